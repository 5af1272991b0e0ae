//! A home for one test: everything that sandboxer keeps, in a directory that is removed at the end.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

/// The binary under test, built by `scripts/test` before the suite runs.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let suite = std::env::current_exe().unwrap();
        let binary = suite.ancestors().nth(2).unwrap().join("sandboxer");
        assert!(binary.is_file(), "{} is missing: run `cargo build --workspace` first", binary.display());
        binary
    })
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A canary secret that stands in the operator's environment of every command of every test and may be found nowhere.
pub(crate) const SECRET: &str = "CANARY-SECRET-5f2c9e71d04b";

/// One test's home.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sbx-test-").tempdir().unwrap();
        // Sandboxes run under a user id of their own when we are root: they must be able to reach their workspace.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let home = Self { dir };
        fs::create_dir(home.path("config")).unwrap();
        fs::create_dir(home.path("roots")).unwrap();
        fs::set_permissions(home.path("roots"), fs::Permissions::from_mode(0o711)).unwrap();
        // One key for all homes, so that a component that was compiled for one of them is vouched for in all.
        fs::create_dir(home.path("data")).unwrap();
        fs::set_permissions(home.path("data"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(home.path("data/installation.key"), [7_u8; 32]).unwrap();
        fs::set_permissions(home.path("data/installation.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let connections = format!("[hosts.local]\nroot = \"{}\"\n", home.path("roots/local").display());
        fs::write(home.path("config/connections.toml"), connections).unwrap();
        home
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// The binary with this home, not yet started.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("SANDBOXER_DATA_DIR", self.path("data"))
            .env("SANDBOXER_CONFIG_DIR", self.path("config"))
            .env("SANDBOXER_CACHE_DIR", shared_cache())
            .env("OPERATORS_SECRET", SECRET)
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.command(args);
        let shown = format!("{command:?}");
        Ran { output: command.output().unwrap(), shown }
    }

    /// Runs the binary with `--output json` and reads what it prints; the status must be 0.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let mut command = self.command(["--output", "json"]);
        command.args(args);
        let shown = format!("{command:?}");
        let ran = Ran { output: command.output().unwrap(), shown };
        ran.succeeded();
        serde_json::from_slice(&ran.output.stdout).unwrap_or_else(|error| panic!("{error} in {}", ran.stdout()))
    }

    /// Runs the binary with `--output json`, which must fail; answers the status and the error.
    pub(crate) fn error<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> (i32, Value) {
        let mut command = self.command(["--output", "json"]);
        command.args(args);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{command:?} succeeded");
        let line = text
            .lines()
            .rev()
            .find(|line| line.starts_with("{\"error\""))
            .unwrap_or_else(|| panic!("no error in {text}"));
        let value: Value = serde_json::from_str(line).unwrap();
        (output.status.code().unwrap(), value["error"].clone())
    }

    /// An isolated sandbox with nothing in it; answers its id.
    pub(crate) fn sandbox(&self) -> String {
        self.create(&["--profile", "profile.agent-dev"])
    }

    /// Creates with these arguments; answers the id.
    pub(crate) fn create(&self, args: &[&str]) -> String {
        let mut all = vec!["create"];
        all.extend(args);
        let created = self.json(all);
        assert_eq!(created["state"], "ready", "{created}");
        created["id"].as_str().unwrap().to_owned()
    }

    /// Runs a shell script in a sandbox.
    pub(crate) fn sh(&self, sandbox: &str, script: &str) -> Ran {
        self.run(["exec", sandbox, "--", "sh", "-c", script])
    }

    /// The directories of sandboxes under the local root.
    pub(crate) fn homes(&self) -> Vec<String> {
        match fs::read_dir(self.path("roots/local")) {
            Ok(entries) => entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Every process, zombies apart, that carries a reference to this home in its arguments or environment.
    pub(crate) fn processes(&self) -> Vec<String> {
        let needle = self.dir.path().to_string_lossy().into_owned();
        processes_with(&needle)
    }

    /// Destroys everything and asserts that nothing is left.
    pub(crate) fn assert_clean(&self) {
        let listed = self.json(["list"]);
        for sandbox in listed["sandboxes"].as_array().unwrap() {
            self.run(["destroy", sandbox["id"].as_str().unwrap()]).succeeded();
        }
        assert_eq!(self.homes(), Vec::<String>::new(), "directories are left");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !self.processes().is_empty() {
            assert!(std::time::Instant::now() < until, "processes are left: {:#?}", self.processes());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A test that failed in the middle leaves nothing running either.
impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(listed) = self.command(["--quiet", "list"]).output()
        {
            let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
            if !ids.is_empty() {
                drop(self.command(["--quiet", "destroy"].into_iter().chain(ids.lines())).output());
            }
        }
    }
}

/// Components are compiled once for the whole suite, as on a machine in use.
fn shared_cache() -> PathBuf {
    binary().parent().unwrap().join("suite-cache")
}

/// Processes whose arguments or environment hold `needle`, this process apart.
pub(crate) fn processes_with(needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|b| b.is_ascii_digit()) || name == std::process::id().to_string() {
            continue;
        }
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let text = [read("cmdline"), read("environ")].concat();
        let text = String::from_utf8_lossy(&text).replace('\0', " ");
        if text.contains(needle) {
            found.push(format!("{name}: {}…", text.chars().take(300).collect::<String>()));
        }
    }
    found
}

/// A command that ran to its end.
pub(crate) struct Ran {
    pub(crate) output: Output,
    shown: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &Self {
        self.status(0)
    }

    #[track_caller]
    pub(crate) fn status(&self, expected: i32) -> &Self {
        assert_eq!(
            self.output.status.code(),
            Some(expected),
            "{}\n{:?}\nstdout: {}\nstderr: {}",
            self.shown,
            self.output.status,
            self.stdout(),
            self.stderr()
        );
        self
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}
