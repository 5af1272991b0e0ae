//! Compiles the bundled extensions for `wasm32-wasip2` and embeds them, so that `cargo build` alone gives one
//! self-contained binary. The alternative, components kept in the repository, would be binaries that nobody can review.
//!
//! The guests are a workspace of their own with a target directory of their own, shared by every profile and every
//! selection of packages: under `OUT_DIR` each of them would compile the guests again.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const GUESTS: [&str; 2] = ["canary", "bubblewrap"];
const TARGET: &str = "wasm32-wasip2";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let root = directory("CARGO_MANIFEST_DIR")?.join("../..").canonicalize().map_err(|error| error.to_string())?;
    let guests = root.join("extensions-wasm");
    watch(&root, &guests);
    let out = directory("OUT_DIR")?;
    let target = target_directory(&out)?.join("guests");
    compile(&root, &guests, &target)?;
    let mut bundled = String::from("&[\n");
    for name in GUESTS {
        let built = target.join(TARGET).join("release").join(format!("{name}.wasm"));
        let kept = out.join(format!("{name}.wasm"));
        fs::copy(&built, &kept).map_err(|error| format!("{} cannot be copied: {error}", built.display()))?;
        bundled.push_str(&format!("    Bundled {{ name: {name:?}, component: include_bytes!({kept:?}) }},\n"));
    }
    bundled.push(']');
    fs::write(out.join("bundled.rs"), bundled).map_err(|error| error.to_string())
}

fn directory(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("cargo did not set {variable}"))
}

/// `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>-<hash>/out`; the target directory is the one with cargo's
/// `CACHEDIR.TAG`, and else the one above the profile.
fn target_directory(out: &Path) -> Result<PathBuf, String> {
    let tagged = out.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    let found = tagged.or_else(|| out.ancestors().nth(4)).map(Path::to_owned);
    found.ok_or_else(|| format!("no target directory above {}", out.display()))
}

/// What the guests are made of.
fn watch(root: &Path, guests: &Path) {
    let mut watched = vec![
        PathBuf::from("build.rs"),
        root.join("wit"),
        root.join("rust-toolchain.toml"),
        guests.join("Cargo.toml"),
        guests.join("Cargo.lock"),
    ];
    for package in GUESTS.iter().chain(&["sdk"]) {
        watched.extend(["src", "Cargo.toml"].map(|part| guests.join(package).join(part)));
    }
    watched.extend(GUESTS.map(|name| guests.join(name).join("extension.toml")));
    for path in watched {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn compile(root: &Path, guests: &Path, target: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").ok_or("cargo did not set CARGO")?;
    let mut command = Command::new(cargo);
    command.current_dir(guests).args(["build", "--release", "--locked", "--quiet", "--target", TARGET]);
    for name in GUESTS {
        command.args(["--package", name]);
    }
    command.arg("--target-dir").arg(target);
    for (name, _) in env::vars_os() {
        if name.to_str().is_none_or(|name| !passes(name)) {
            command.env_remove(name);
        }
    }
    // Where the sources lie must not show in the component, whose digest people approve.
    command.env("RUSTFLAGS", remapped(root)?);
    let output = command.output().map_err(|error| format!("cargo cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let missing = ["target may not be installed", "can't find crate for `core`", "can't find crate for `std`"];
    if missing.iter().any(|sign| said.contains(sign)) {
        return Err(format!(
            "the bundled extensions need the target {TARGET}, which is not installed; install it with\n\n    rustup target add {TARGET}\n"
        ));
    }
    Err(format!("the bundled extensions do not compile:\n{said}"))
}

/// What cargo sets for this build script describes the host's build and would be taken for the guests'.
fn passes(name: &str) -> bool {
    const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR"];
    const PREFIXES: [&str; 6] = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "DEP_", "CFLAGS"];
    const NAMES: [&str; 11] = [
        "CC",
        "AR",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "OPT_LEVEL",
        "DEBUG",
        "PROFILE",
        "NUM_JOBS",
        "LLVM_PROFILE_FILE",
        "CLIPPY_ARGS",
    ];
    KEPT.contains(&name) || !(NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

fn remapped(root: &Path) -> Result<String, String> {
    let cargo_home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => directory("HOME")?.join(".cargo"),
    };
    let of = |path: &Path, name: &str| match path.to_str() {
        Some(text) if !text.contains(char::is_whitespace) => Ok(format!("--remap-path-prefix={text}={name}")),
        Some(_) | None => Err(format!("{} holds a space; move it to a path without one", path.display())),
    };
    Ok(format!("{} {}", of(root, "/sandboxer")?, of(&cargo_home, "/cargo")?))
}
