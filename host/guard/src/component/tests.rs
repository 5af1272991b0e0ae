#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

/// A component with these fields, the manifest and the mandatory export.
fn component(fields: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {fields}
             (component $life)
             (instance $l (instantiate $life))
             (export "sandboxer:extension/lifecycle@0.1.0" (instance $l))
             (@custom "sandboxer:manifest" "name = \"x\""))"#
    );
    wat::parse_str(text).unwrap()
}

fn refused(bytes: &[u8]) -> ComponentRefused {
    inspect(bytes).unwrap_err()
}

fn import(name: &str, functions: &str) -> String {
    format!(r#"(import "{name}" (instance {functions}))"#)
}

#[test]
fn a_component_is_read_without_compiling_it() {
    let bytes = component(&format!(
        "{} {}",
        import("sandboxer:extension/progress@0.1.0", r#"(export "step" (func (param "text" string)))"#),
        import("wasi:random/insecure-seed@0.2.6", r#"(export "insecure-seed" (func (result (tuple u64 u64))))"#),
    ));
    let found = inspect(&bytes).unwrap();
    assert_eq!(found.size, bytes.len());
    assert_eq!(found.digest, digest(&bytes));
    assert_eq!(found.manifest, "name = \"x\"");
    assert_eq!(
        found.imports,
        [
            Import { interface: "sandboxer:extension/progress@0.1.0".into(), functions: vec!["step".into()] },
            Import { interface: "wasi:random/insecure-seed@0.2.6".into(), functions: vec!["insecure-seed".into()] },
        ]
    );
    assert_eq!(found.exports, ["sandboxer:extension/lifecycle@0.1.0"]);
    assert!(found.exports_interface("lifecycle"));
    assert!(!found.exports_interface("access"));
}

#[test]
fn a_manifest_inside_a_nested_module_is_found() {
    let bytes = wat::parse_str(
        r#"(component
             (core module (@custom "sandboxer:manifest" "inner"))
             (component $life) (instance $l (instantiate $life))
             (export "sandboxer:extension/lifecycle@0.1.0" (instance $l)))"#,
    )
    .unwrap();
    assert_eq!(inspect(&bytes).unwrap().manifest, "inner");
}

#[test]
fn exactly_one_manifest_that_is_short_text_is_needed() {
    let none = wat::parse_str("(component)").unwrap();
    assert!(matches!(refused(&none), ComponentRefused::NoManifest));
    let two = component(r#"(core module (@custom "sandboxer:manifest" "again"))"#);
    assert!(matches!(refused(&two), ComponentRefused::SecondManifest));
    let binary = wat::parse_str(r#"(component (@custom "sandboxer:manifest" "\ff"))"#).unwrap();
    assert!(matches!(refused(&binary), ComponentRefused::ManifestNotText));
    for (size, accepted) in [(MAX_MANIFEST, true), (MAX_MANIFEST + 1, false)] {
        let manifest = "a".repeat(size);
        let text = format!(
            r#"(component (component $life) (instance $l (instantiate $life))
                 (export "sandboxer:extension/lifecycle@0.1.0" (instance $l))
                 (@custom "sandboxer:manifest" "{manifest}"))"#
        );
        let result = inspect(&wat::parse_str(text).unwrap());
        assert_eq!(result.is_ok(), accepted, "{size}");
    }
}

#[test]
fn imports_off_the_list_are_refused_by_name() {
    let function = r#"(export "f" (func))"#;
    for name in [
        "wasi:sockets/tcp@0.2.6",
        "wasi:http/outgoing-handler@0.2.6",
        "wasi:filesystem/preopens@0.2.6",
        "wasi:filesystem/types@0.2.0",
        "wasi:cli/run@0.2.6",
        "wasi:io/poll@0.2.13",
        "wasi:io/poll@0.3.0",
        "wasi:io/poll@0.2.6-rc1",
        "wasi:io/poll",
        "sandboxer:extension/reveal@0.1.0",
        "sandboxer:extension/progress@0.1.1",
        "sandboxer:extensions/progress@0.1.0",
        "sandboxer:extension/ssh",
        "evil:thing/x@1.0.0",
        "plain",
    ] {
        match refused(&component(&import(name, function))) {
            ComponentRefused::UnknownImport { name: found } => assert_eq!(found, name),
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn a_function_off_the_list_of_a_known_interface_is_refused_by_name() {
    for (interface, function) in [
        ("sandboxer:extension/ssh@0.1.0", "connect"),
        ("sandboxer:extension/state@0.1.0", "delete"),
        ("sandboxer:extension/types@0.1.0", "f"),
    ] {
        let error = refused(&component(&import(interface, &format!(r#"(export "{function}" (func))"#))));
        assert_eq!(error.to_string(), format!("it imports `{interface}#{function}`, which sandboxer does not offer"));
    }
}

#[test]
fn an_import_that_is_no_interface_is_refused() {
    for (field, name) in [
        (r#"(import "f" (func))"#, "f"),
        (r#"(import "sandboxer:extension/ssh@0.1.0" (func))"#, "sandboxer:extension/ssh@0.1.0"),
        (r#"(import "m" (core module))"#, "m"),
        (r#"(import "c" (component))"#, "c"),
    ] {
        match refused(&component(field)) {
            ComponentRefused::UnknownImport { name: found } => assert_eq!(found, name),
            other => panic!("{field}: {other}"),
        }
    }
}

#[test]
fn an_import_beyond_the_manifest_is_refused_and_one_within_is_not() {
    let open = import("sandboxer:extension/ssh@0.1.0", r#"(export "open" (func (param "grant" string)))"#);
    let found = inspect(&component(&open)).unwrap();
    assert_eq!(found.imports[0].capability(), Some(Capability::Ssh));
    check_imports(&found, Declared { ssh: true }).unwrap();
    match check_imports(&found, Declared::default()).unwrap_err() {
        ComponentRefused::Undeclared { interface } => assert_eq!(interface, "sandboxer:extension/ssh@0.1.0"),
        other => panic!("{other}"),
    }
    let harmless = import("sandboxer:extension/state@0.1.0", r#"(export "get" (func))"#)
        + &import("sandboxer:extension/progress@0.1.0", r#"(export "log" (func))"#)
        + &import("wasi:random/random@0.2.0", r#"(export "get-random-u64" (func (result u64)))"#);
    check_imports(&inspect(&component(&harmless)).unwrap(), Declared::default()).unwrap();
}

#[test]
fn what_is_no_component_is_refused() {
    assert!(matches!(refused(b""), ComponentRefused::NotAComponent));
    assert!(matches!(refused(b"\x7fELF"), ComponentRefused::NotAComponent));
    assert!(matches!(refused(&wat::parse_str("(module)").unwrap()), ComponentRefused::NotAComponent));
    let whole = component("");
    let manifest = b"name = \"x\"";
    let end = whole.windows(manifest.len()).position(|window| window == manifest).unwrap() + manifest.len();
    for cut in 8..end {
        assert!(inspect(&whole[..cut]).is_err(), "cut at {cut}");
    }
    let mut broken = component("(core module (func (result i32) i32.const 1))");
    let at = broken.windows(2).position(|pair| pair == [0x41, 1]).unwrap();
    broken[at] = 0x42;
    assert!(matches!(refused(&broken), ComponentRefused::Invalid(_)));
}

#[test]
fn a_component_without_the_lifecycle_is_refused() {
    let bytes = wat::parse_str(r#"(component (@custom "sandboxer:manifest" ""))"#).unwrap();
    assert_eq!(refused(&bytes).to_string(), "it does not export `sandboxer:extension/lifecycle@0.1.0`");
}

#[test]
fn size_and_nesting_are_limited() {
    let fill = MAX_SIZE - component("").len() - 64;
    let padding = |size: usize| format!(r#"(@custom "padding" "{}")"#, "a".repeat(size));
    assert!(inspect(&component(&padding(fill))).is_ok());
    let large = component(&padding(MAX_SIZE));
    match refused(&large) {
        ComponentRefused::TooLarge { size } => assert_eq!(size, large.len()),
        other => panic!("{other}"),
    }
    let nested = |levels: usize| component(&format!("{}{}", "(component ".repeat(levels), ")".repeat(levels)));
    assert!(inspect(&nested(MAX_NESTING)).is_ok());
    assert!(matches!(refused(&nested(MAX_NESTING + 1)), ComponentRefused::TooDeep));
    assert!(matches!(refused(&nested(40)), ComponentRefused::TooDeep));
}

#[test]
fn numbers_of_parts_are_limited() {
    let many = |part: &str, count: u64| part.repeat(usize::try_from(count).unwrap());
    for (part, field) in [
        (Part::Function, format!("(core module {})", many("(func)", Part::Function.limit() + 1))),
        (Part::Type, format!("(core module {})", many("(type (func))", Part::Type.limit() + 1))),
        (Part::Import, format!("(core module {})", many(r#"(import "" "" (func))"#, Part::Import.limit() + 1))),
        (Part::Store, format!("(core module {})", many("(global i32 i32.const 0)", Part::Store.limit() + 1))),
        (Part::Segment, format!("(core module (memory 1) {})", many(r#"(data "")"#, Part::Segment.limit() + 1))),
        (Part::Nested, many("(core module)", Part::Nested.limit() + 1)),
        (Part::Section, many(r#"(@custom "x" "")"#, Part::Section.limit() + 1)),
    ] {
        match refused(&component(&field)) {
            ComponentRefused::TooMany { part: found } => assert_eq!(found, part),
            other => panic!("{part}: {other}"),
        }
    }
}

#[test]
fn features_that_guests_do_not_need_are_refused() {
    for (what, field) in [
        ("threads", "(core module (memory 1 1 shared))"),
        ("64-bit memories", "(core module (memory i64 1))"),
        ("several memories", "(core module (memory 1) (memory 1))"),
        ("exceptions", "(core module (tag))"),
        ("the garbage collector", "(core module (type (struct)))"),
        ("references to outside", "(core module (func (param externref)))"),
        ("vectors", "(core module (func (result v128) v128.const i64x2 0 0))"),
        ("tail calls", "(core module (func $f return_call $f))"),
    ] {
        assert!(matches!(refused(&component(field)), ComponentRefused::Invalid(_)), "{what}");
    }
    let streams = component("(type $s (stream u8)) (core func (canon stream.new $s))");
    assert!(matches!(refused(&streams), ComponentRefused::SwitchedOff { .. } | ComponentRefused::Invalid(_)));
}

#[test]
fn messages_from_a_hostile_component_stay_on_one_line() {
    let bytes = component(r#"(import "a" (func)) (import "a" (func))"#);
    for error in [refused(&bytes), ComponentRefused::NoManifest] {
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}
