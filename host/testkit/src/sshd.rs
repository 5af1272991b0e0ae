//! A real OpenSSH server on loopback, with keys and a directory of its own, that ends with the test.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct SshdOptions {
    /// The kinds of host keys that it has, in OpenSSH's words: `ed25519`, `rsa`, `ecdsa`.
    pub host_keys: Vec<&'static str>,
    /// Further lines of its configuration.
    pub configuration: Vec<String>,
    /// The user that may log in, who must be there; without one the user that runs the test.
    pub user: Option<String>,
}

impl Default for SshdOptions {
    fn default() -> Self {
        Self { host_keys: vec!["ed25519"], configuration: Vec::new(), user: None }
    }
}

/// A running server.
pub struct Sshd {
    child: Child,
    directory: tempfile::TempDir,
    options: SshdOptions,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The user that may log in.
    pub user: String,
}

impl Sshd {
    /// Starts a server with a new host key and a new user key.
    ///
    /// # Errors
    /// When OpenSSH's server is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::with(SshdOptions::default())
    }

    /// Starts a server that is set up in another way.
    ///
    /// # Errors
    /// When OpenSSH's server is not installed or does not start.
    pub fn with(options: SshdOptions) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("sshd-").tempdir()?;
        // Its own user must be able to pass through, whoever that is.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        for kind in &options.host_keys {
            new_key(&directory.path().join(format!("host_{kind}")), kind)?;
        }
        new_key(&directory.path().join("user"), "ed25519")?;
        let public = directory.path().join("user.pub");
        fs::copy(&public, directory.path().join("authorized_keys")).context("the authorized keys")?;
        let user = options.user.clone().map_or_else(whoami, Ok)?;
        let (child, port) = launch(directory.path(), &options, None)?;
        Ok(Self { child, directory, options, port, user })
    }

    /// The private key that opens the server.
    #[must_use]
    pub fn user_key(&self) -> PathBuf {
        self.directory.path().join("user")
    }

    /// The directory of the server's keys and configuration; a test may put its own files there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The public host key of one kind, as a line of `known_hosts` has it after the host's name.
    ///
    /// # Errors
    /// When there is no key of that kind.
    pub fn host_key(&self, kind: &str) -> Result<String> {
        let text = fs::read_to_string(self.directory.path().join(format!("host_{kind}.pub")))?;
        let words: Vec<&str> = text.split_whitespace().take(2).collect();
        Ok(words.join(" "))
    }

    /// The fingerprint of the host key of one kind, as `ssh-keygen -l` shows it.
    ///
    /// # Errors
    /// When there is no key of that kind.
    pub fn fingerprint(&self, kind: &str) -> Result<String> {
        let key = self.directory.path().join(format!("host_{kind}.pub"));
        let output = Command::new("ssh-keygen").arg("-lf").arg(key).output()?;
        let text = String::from_utf8(output.stdout)?;
        text.split_whitespace().nth(1).map(str::to_owned).context("ssh-keygen shows no fingerprint")
    }

    /// Writes a `known_hosts` that has the server's keys, and answers where it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn known_hosts(&self) -> Result<PathBuf> {
        let mut text = String::new();
        for kind in &self.options.host_keys {
            text.push_str(&format!("[127.0.0.1]:{} {}\n", self.port, self.host_key(kind)?));
        }
        let path = self.directory.path().join("known_hosts");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// An entry for `connections.toml` with the host's key pinned and, when given, a directory for sandboxes.
    ///
    /// # Errors
    /// When the fingerprint cannot be read.
    pub fn connection(&self, name: &str, root: Option<&Path>) -> Result<String> {
        let kind = self.options.host_keys.first().context("a server without a host key")?;
        let root = root.map_or_else(String::new, |root| format!("root = \"{}\"\n", root.display()));
        Ok(format!(
            "[hosts.{name}]\naddress = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\nkey = \"{}\"\nidentity-file = \"{}\"\n{root}",
            self.port,
            self.user,
            self.fingerprint(kind)?,
            self.user_key().display(),
        ))
    }

    /// Gives the server new host keys, on the same port: what a changed or an impersonated host looks like.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn change_host_keys(&mut self) -> Result<()> {
        self.stop();
        for kind in &self.options.host_keys {
            let path = self.directory.path().join(format!("host_{kind}"));
            fs::remove_file(&path)?;
            fs::remove_file(path.with_extension("pub"))?;
            new_key(&path, kind)?;
        }
        self.restart()
    }

    /// Starts a stopped server again, with the same keys on the same port.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        let (child, _) = launch(self.directory.path(), &self.options, Some(self.port))?;
        self.child = child;
        Ok(())
    }

    /// Ends the server and every connection to it.
    pub fn stop(&mut self) {
        // Sessions are children of the server in process groups of their own; each is told apart by its parent.
        for session in children(self.child.id()) {
            kill(session);
        }
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn whoami() -> Result<String> {
    let output = Command::new("id").arg("-un").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn new_key(path: &Path, kind: &str) -> Result<()> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-C", "test", "-t", kind]);
    if kind == "rsa" {
        command.args(["-b", "2048"]);
    }
    let output = command.arg("-f").arg(path).output().context("`ssh-keygen` is needed: install openssh-client")?;
    ensure!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Starts the server in the foreground and waits until it answers. Another process may take the port between choosing
/// and using it, so a few are tried.
fn launch(directory: &Path, options: &SshdOptions, port: Option<u16>) -> Result<(Child, u16)> {
    ensure!(Path::new("/usr/sbin/sshd").exists(), "a real SSH server is needed for this test: install openssh-server");
    // Where it drops its privileges to; nothing makes it outside an installed service.
    if rustix::process::getuid().is_root() {
        fs::create_dir_all("/run/sshd")?;
    }
    let mut said = String::new();
    for _ in 0..5 {
        let port = match port {
            Some(port) => port,
            None => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
        };
        let at = directory.display();
        // A bash that an SSH server starts reads the user's ~/.bashrc unless it believes that it runs inside another
        // shell; what stands there, and how long it takes, is no part of a test.
        let mut text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nAuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PidFile none\nMaxStartups 100:30:200\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nPrintMotd no\nLogLevel ERROR\nSetEnv SHLVL=1\n"
        );
        for kind in &options.host_keys {
            text.push_str(&format!("HostKey {at}/host_{kind}\n"));
        }
        for line in &options.configuration {
            text.push_str(line);
            text.push('\n');
        }
        let configuration = directory.join("sshd_config");
        fs::write(&configuration, text)?;
        // A test that was started in the background ignores some signals, which every session would inherit.
        let mut child = Command::new("env")
            .args(["--default-signal", "/usr/sbin/sshd", "-D", "-e", "-f"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if answers(&mut child, port) {
            // Its complaints must not fill the pipe.
            if let Some(stderr) = child.stderr.take() {
                std::thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).for_each(drop));
            }
            return Ok((child, port));
        }
        let _ = child.kill();
        let output = child.wait_with_output()?;
        said = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    bail!("the SSH server does not start: {said}");
}

fn answers(child: &mut Child, port: u16) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The direct children of a process.
fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        fields.split(' ').nth(1).and_then(|text| text.parse().ok()) == Some(parent)
    })
    .collect()
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
