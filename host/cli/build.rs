//! Compiles the bundled extensions for `wasm32-wasip2` and embeds them, so that `cargo build` alone gives one
//! self-contained binary. The alternative, components kept in the repository, would be binaries that nobody can review.
//!
//! The guests are a workspace of their own with a target directory of their own, shared by every profile and every
//! selection of packages: under `OUT_DIR` each of them would compile the guests again.

#[path = "guests.rs"]
mod guests;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use guests::GUESTS;

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
    watch(&root);
    let out = directory("OUT_DIR")?;
    let target = target_directory(&out)?.join("guests");
    guests::compile(&root, &target)?;
    let mut bundled = String::from("&[\n");
    for name in GUESTS {
        let built = guests::built(&target, name);
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
fn watch(root: &Path) {
    let guests = root.join("extensions-wasm");
    let mut watched = vec![
        PathBuf::from("build.rs"),
        PathBuf::from("guests.rs"),
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
