//! Compiling the bundled guests: for the build script, and for the tests and benchmarks that run them.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// The bundled guests.
pub(crate) const GUESTS: [&str; 2] = ["canary", "bubblewrap"];
const TARGET: &str = "wasm32-wasip2";

/// Where a compiled guest lies.
pub(crate) fn built(target: &Path, name: &str) -> PathBuf {
    target.join(TARGET).join("release").join(format!("{name}.wasm"))
}

/// Compiles all of them into this target directory.
pub(crate) fn compile(root: &Path, target: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").ok_or("cargo did not set CARGO")?;
    let mut command = Command::new(cargo);
    command.current_dir(root.join("extensions-wasm")).args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--target",
        TARGET,
    ]);
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
    command.env("CARGO_ENCODED_RUSTFLAGS", remapped(root)?);
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

/// The compiler's flags, as cargo separates them.
fn remapped(root: &Path) -> Result<OsString, String> {
    let cargo_home = match (env::var_os("CARGO_HOME"), env::var_os("HOME")) {
        (Some(home), _) => PathBuf::from(home),
        (None, Some(home)) => PathBuf::from(home).join(".cargo"),
        (None, None) => return Err("neither CARGO_HOME nor HOME is set".to_owned()),
    };
    let mut flags = OsString::new();
    for (path, name) in [(root, "=/sandboxer"), (cargo_home.as_path(), "=/cargo")] {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(path);
        flags.push(name);
    }
    Ok(flags)
}
