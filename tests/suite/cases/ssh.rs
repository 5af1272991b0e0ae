//! The same session on a second host: a real OpenSSH server on loopback, with a user of its own when the suite runs as root.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sandboxer_testkit::sshd::{Sshd, SshdOptions};

use super::hostile::HOSTILE;
use crate::home::{Home, processes_with};

/// A user that is there for one test.
struct OwnUser(String);

impl OwnUser {
    fn new() -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            return None;
        }
        let tag =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() % 1_000_000_000;
        let name = format!("sbxt{}{tag}", std::process::id() % 1000);
        run("useradd", &["--create-home", "--shell", "/bin/sh", &name]);
        // Without a password, but not locked, or the server would not let anybody in.
        run("usermod", &["--password", "*", &name]);
        Some(Self(name))
    }
}

impl Drop for OwnUser {
    fn drop(&mut self) {
        let killed = Command::new("pkill").args(["-KILL", "-u", &self.0]).status();
        drop(killed);
        // The user cannot be removed while one of its processes is still ending.
        for _ in 0..50 {
            let removed = Command::new("userdel").args(["--remove", &self.0]).output();
            if removed.is_ok_and(|output| output.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!("the test's user {} could not be removed", self.0);
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A home whose host `far` is a real SSH server.
struct Far {
    home: Home,
    sshd: Sshd,
    // Dropped last: the server must have ended before its user goes.
    _user: Option<OwnUser>,
}

impl Far {
    fn new() -> Self {
        let user = OwnUser::new();
        let options = SshdOptions { user: user.as_ref().map(|user| user.0.clone()), ..SshdOptions::default() };
        let sshd = Sshd::with(options).unwrap();
        let home = Home::new();
        let far = Self { home, sshd, _user: user };
        let connection = far.sshd.connection("far", None).unwrap();
        far.declare(&connection);
        far
    }

    fn declare(&self, connection: &str) {
        let local = format!("[hosts.local]\nroot = \"{}\"\n", self.home.path("roots/local").display());
        fs::write(self.home.path("config/connections.toml"), format!("{local}\n{connection}")).unwrap();
    }

    /// What lies in the directory for sandboxes on the far side.
    fn homes(&self) -> Vec<String> {
        let facts = self.home.json(["inspect", "host", "far"]);
        facts["sandboxes"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_whole_session_over_ssh() {
    let far = Far::new();
    let home = &far.home;
    home.run(["hosts", "check", "far"]).succeeded();
    let canary = home.create(&["--host", "far"]);
    assert_eq!(home.json(["get", &canary])["host"], "far");

    let project = home.path("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("hello.sh"), "echo hello from $(id -un) >result; cat result\n").unwrap();
    let input = format!("project={}", project.display());
    let id = home.create(&["--host", "far", "--profile", "profile.agent-dev", "-i", &input, "--name", "remote"]);
    assert_eq!(home.sh(&id, "sh hello.sh").succeeded().stdout(), "hello from sandbox\n");
    home.run(["cp", "remote:result", home.path("result").to_str().unwrap()]).succeeded();
    assert_eq!(fs::read_to_string(home.path("result")).unwrap(), "hello from sandbox\n");

    // Everything that is isolated here is isolated there.
    for hidden in ["/etc/shadow", "/home", "/root", "/var"] {
        home.run(["exec", &id, "--", "test", "-e", hidden]).status(1);
    }
    home.run(["exec", &id, "--", "false"]).status(1);
    home.run(["exec", &id, "--", "no-such-program"]).status(127);
    home.sh(&id, "kill -KILL $$").status(137);
    home.sh(&id, "kill -TERM $$").status(143);

    // One init for all.
    let serve = "nohup python3 -m http.server 8124 >/dev/null 2>&1 & n=0; until python3 -c 'import socket; \
                 socket.create_connection((\"127.0.0.1\", 8124))' 2>/dev/null; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.05; done";
    home.sh(&id, serve).succeeded();
    home.sh(&id, "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8124))'").succeeded();

    assert_eq!(far.homes().len(), 2);
    let reference = home.json(["get", &id])["reference"].as_str().unwrap().to_owned();
    assert!(!processes_with(&reference).is_empty());
    home.run(["destroy", &id, &canary]).succeeded();
    assert_eq!(far.homes(), Vec::<String>::new());
    assert_eq!(processes_with(&reference), Vec::<String>::new());
    home.run(["audit", "verify"]).succeeded();
    home.assert_clean();
}

#[test]
fn hostile_arguments_arrive_over_ssh() {
    let far = Far::new();
    let id = far.home.create(&["--host", "far", "--profile", "profile.agent-dev"]);
    let values: Vec<&str> = HOSTILE.iter().copied().filter(|value| !value.contains('\0')).collect();
    let show = "import os, sys; os.write(1, b'\\0'.join(os.fsencode(a) for a in sys.argv[1:]))";
    let mut args = vec!["exec", &id, "--", "python3", "-c", show];
    args.extend(&values);
    let ran = far.home.run(args);
    ran.succeeded();
    let arrived: Vec<&[u8]> = ran.output.stdout.split(|b| *b == 0).collect();
    assert_eq!(arrived, values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>());
    far.home.run(["destroy", &id]).succeeded();
    far.home.assert_clean();
}

#[test]
fn a_hundred_megabytes_go_over_ssh_and_come_back() {
    let far = Far::new();
    let home = &far.home;
    let id = home.create(&["--host", "far", "--profile", "profile.agent-dev"]);
    let bytes: Vec<u8> = (0..25_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut child =
        home.command(["exec", &id, "--", "tee", "copy"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == bytes, "what came back differs ({} bytes)", output.stdout.len());
    assert_eq!(home.sh(&id, "stat -c %s copy").succeeded().stdout(), "100000000\n");
    home.run(["destroy", &id]).succeeded();
    home.assert_clean();
}

#[test]
fn a_killed_client_leaves_nothing_running_on_the_far_side() {
    let far = Far::new();
    let home = &far.home;
    let id = home.create(&["--host", "far", "--profile", "profile.agent-dev"]);
    let needle = "sleep 424242";
    let mut child = home.command(["exec", &id, "--", "sh", "-c", &format!("{needle}; {needle}")]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while processes_with(needle).len() < 2 {
        assert!(Instant::now() < until, "it never ran");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while !processes_with(needle).is_empty() {
        assert!(Instant::now() < until, "{:#?}", processes_with(needle));
        std::thread::sleep(Duration::from_millis(20));
    }
    home.run(["exec", &id, "--", "true"]).succeeded();
    home.run(["destroy", &id]).succeeded();
    home.assert_clean();
}

/// Creating on `far` must fail with this code, and nothing may have run there or be written down here.
fn refused(far: &Far, code: &str) {
    let (_, error) = far.home.error(["create", "--host", "far"]);
    assert_eq!(error["code"], code, "{error}");
    assert_eq!(far.home.json(["list", "--all"])["sandboxes"], serde_json::json!([]));
    // Restored, the host shows that no directory was made.
}

#[test]
fn an_unknown_or_changed_host_key_is_refused_and_nothing_runs() {
    let mut far = Far::new();
    let good = far.sshd.connection("far", None).unwrap();
    let without_key: String =
        good.lines().filter(|line| !line.starts_with("key")).map(|line| format!("{line}\n")).collect();
    let empty = far.home.path("known_hosts");
    fs::write(&empty, "").unwrap();
    far.declare(&format!("{without_key}known-hosts = \"{}\"\n", empty.display()));
    refused(&far, "host.key-unknown");
    let (_, error) = far.home.error(["hosts", "check", "far"]);
    let fingerprint = far.sshd.fingerprint("ed25519").unwrap();
    assert!(error["message"].as_str().unwrap().contains(&fingerprint), "the shown key is named: {error}");

    far.declare(&good);
    assert_eq!(far.homes(), Vec::<String>::new());
    let known = far.sshd.known_hosts().unwrap();
    far.sshd.change_host_keys().unwrap();
    refused(&far, "host.key-changed");
    far.declare(&format!("{without_key}known-hosts = \"{}\"\n", known.display()));
    refused(&far, "host.key-changed");
    far.declare(&far.sshd.connection("far", None).unwrap());
    assert_eq!(far.homes(), Vec::<String>::new());
    far.home.assert_clean();
}

#[test]
fn with_the_server_stopped_nothing_becomes_ready_and_nothing_is_lost() {
    let mut far = Far::new();
    let id = far.home.create(&["--host", "far", "--profile", "profile.agent-dev"]);
    far.sshd.stop();
    let (_, error) = far.home.error(["create", "--host", "far"]);
    assert_eq!(error["code"], "host.unreachable");
    let (status, error) = far.home.error(["destroy", &id]);
    assert_eq!((status, error["code"].as_str().unwrap()), (7, "teardown.incomplete"));
    let shown = far.home.json(["get", &id]);
    assert_eq!((shown["state"].as_str(), shown["desired"].as_str()), (Some("failed"), Some("absent")));
    // Back again, on the same port with the same keys.
    far.sshd.restart().unwrap();
    far.home.run(["destroy", &id]).succeeded();
    assert_eq!(far.homes(), Vec::<String>::new());
    far.home.assert_clean();
}
