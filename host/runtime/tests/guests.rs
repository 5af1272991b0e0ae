//! Guests, written as core modules with the canonical ABI's names. Memory starts as zeros, and all hooks answer with
//! address 0: a record of zeros there is a good answer of every hook.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub const PLAIN: &str = r#"
name = "ext.test"
version = "0.1.0"
world = "sandboxer:extension@0.1.0"
summary = "a guest for tests"
"#;

pub const SSH: &str = r#"
name = "ext.test"
version = "0.1.0"
world = "sandboxer:extension@0.1.0"
summary = "a guest for tests"

[ssh.host]
reason = "runs things"
run-as = "connection"

[ssh.host.commands.run]
about = "runs"
program = "true"
phases = ["provision"]
"#;

/// A guest: what differs from one that does nothing.
#[derive(Clone)]
pub struct Guest<'a> {
    pub manifest: &'a str,
    pub imports: &'a str,
    /// Functions, globals, tables, a start function.
    pub more: &'a str,
    pub memory: &'a str,
    /// Bodies. They leave an address on the stack or fall through to 0.
    pub provision: &'a str,
    pub wait_ready: &'a str,
    pub teardown: &'a str,
    /// Without it the guest has no `access`.
    pub exec: Option<&'a str>,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            manifest: PLAIN,
            imports: "",
            more: "",
            memory: r#"(memory (export "memory") 1)"#,
            provision: "",
            wait_ready: "",
            teardown: "",
            exec: None,
        }
    }
}

pub const OPEN: &str = r#"
(import "sandboxer:extension/ssh@0.1.0" "open" (func $open (param i32 i32 i32)))
(import "sandboxer:extension/ssh@0.1.0" "[method]session.run" (func $run (param i32 i32 i32 i32 i32 i32)))
(import "sandboxer:extension/ssh@0.1.0" "[method]session.start" (func $start (param i32 i32 i32 i32 i32 i32)))
(import "sandboxer:extension/ssh@0.1.0" "[method]job.poll" (func $poll (param i32 i32)))
"#;
pub const LOG: &str = r#"(import "sandboxer:extension/progress@0.1.0" "log" (func $log (param i32 i32)))"#;
pub const STEP: &str = r#"(import "sandboxer:extension/progress@0.1.0" "step" (func $step (param i32 i32)))"#;
pub const STATE: &str = r#"
(import "sandboxer:extension/state@0.1.0" "get" (func $get (param i32 i32 i32)))
(import "sandboxer:extension/state@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))
"#;

impl Guest<'_> {
    pub fn core(&self) -> String {
        let Self { manifest, imports, more, memory, provision, wait_ready, teardown, exec } = self;
        let manifest = manifest.replace('"', "\\\"").replace('\n', "\\n");
        let sandbox = "(param i32 i32 i32 i32 i32 i32)";
        let access = exec.map_or(String::new(), |body| {
            format!(
                r#"(func (export "sandboxer:extension/access@0.1.0#exec")
                     {sandbox} (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {body} i32.const 0)
                   (func (export "sandboxer:extension/access@0.1.0#logs") {sandbox} (param i32) (result i32) i32.const 0)"#
            )
        });
        format!(
            r#"(module {imports}
                 {memory}
                 (global $heap (mut i32) (i32.const 32768))
                 (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                   (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                   (global.set $heap (i32.add (local.get $at) (local.get 3)))
                   (block $done (loop $more
                     (br_if $done (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
                     (br_if $done (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
                     (br $more)))
                   (local.get $at))
                 {more}
                 (func (export "sandboxer:extension/lifecycle@0.1.0#provision") {sandbox} (result i32)
                   {provision} i32.const 0)
                 (func (export "sandboxer:extension/lifecycle@0.1.0#wait-ready") {sandbox} (result i32)
                   {wait_ready} i32.const 0)
                 (func (export "sandboxer:extension/lifecycle@0.1.0#teardown") {sandbox} (result i32)
                   {teardown} i32.const 0)
                 {access}
                 (@custom "sandboxer:manifest" "{manifest}"))"#
        )
    }

    pub fn component(&self) -> Vec<u8> {
        encode(&self.core(), if self.exec.is_some() { "accessible-extension" } else { "extension" })
    }
}

/// The component that is made of a core module.
pub fn encode(core: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(core).unwrap_or_else(|error| panic!("{error}\n{core}"));
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

pub const LOOP: &str = "(loop $endless (br $endless))";

/// Enough of WASI for a guest that writes to its standard output and exits.
const WASI: &str = r#"
package tests:guest;

world noisy {
    include sandboxer:extension/extension@0.1.0;
    import wasi:cli/stderr@0.2.6;
    import wasi:cli/exit@0.2.6;
    import wasi:cli/environment@0.2.6;
}

package wasi:io@0.2.6 {
    interface error { resource error; }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        }
    }
}

package wasi:cli@0.2.6 {
    interface stderr {
        use wasi:io/streams@0.2.6.{output-stream};
        get-stderr: func() -> output-stream;
    }
    interface exit { exit: func(status: result); }
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
        initial-cwd: func() -> option<string>;
    }
}
"#;

/// Imports of a guest that uses WASI.
pub const NOISE: &str = r#"
(import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
(import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
(import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))
(import "wasi:cli/environment@0.2.6" "get-arguments" (func $arguments (param i32)))
(import "wasi:cli/environment@0.2.6" "initial-cwd" (func $cwd (param i32)))
"#;

/// A component that uses WASI.
pub fn noisy(guest: &Guest<'_>) -> Vec<u8> {
    let mut module = wat::parse_str(guest.core()).unwrap_or_else(|error| panic!("{error}\n{}", guest.core()));
    let mut resolve = Resolve::default();
    resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
    let package = resolve.push_str("noisy.wit", WASI).unwrap();
    let world = resolve.select_world(&[package], Some("noisy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
