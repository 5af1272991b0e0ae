//! A host that is not who it should be gets nothing sent, and getting in fails with a reason.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sandboxer_model::{Error, ErrorCode, ports::hosts::Hosts};
use sandboxer_testkit::sshd::{Sshd, SshdOptions};

use super::settings;
use crate::{Brokers, Settings};

/// A user with a server and nothing that knows it.
struct Stranger {
    dir: tempfile::TempDir,
    sshd: Sshd,
    settings: Settings,
}

impl Stranger {
    fn new() -> Self {
        Self::with(SshdOptions::default())
    }

    fn with(options: SshdOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        Self { sshd: Sshd::with(options).unwrap(), settings, dir }
    }

    /// Connects and looks, as declared by these lines.
    async fn probe(&self, lines: &str) -> Result<(), Error> {
        let entry = format!(
            "[hosts.far]\naddress = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\nidentity-file = \"{}\"\n{lines}\n",
            self.sshd.port,
            self.sshd.user,
            self.sshd.user_key().display()
        );
        self.probe_as(&entry).await
    }

    async fn probe_as(&self, connections: &str) -> Result<(), Error> {
        fs::write(&self.settings.connections, connections).unwrap();
        let brokers = Brokers::new(self.settings.clone()).unwrap();
        brokers.probe(&"far".parse().unwrap(), &[]).await.map(drop)
    }

    fn known_hosts(&self, text: &str) -> String {
        let path = self.dir.path().join("known");
        fs::write(&path, text).unwrap();
        format!("known-hosts = \"{}\"", path.display())
    }

    fn key(&self, kind: &str) -> String {
        self.sshd.host_key(kind).unwrap()
    }
}

fn other_key(dir: &Path, kind: &str) -> (String, PathBuf) {
    let path = dir.join(format!("other_{kind}"));
    let _ = fs::remove_file(&path);
    let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&path).status().unwrap();
    assert!(made.success());
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (public.split_whitespace().take(2).collect::<Vec<_>>().join(" "), path)
}

/// A server whose every session leaves a mark, so that it shows when anything was run there.
fn with_canary() -> (Stranger, PathBuf) {
    let scratch = tempfile::tempdir().unwrap().keep();
    let canary = scratch.join("ran");
    let configuration = vec![format!("ForceCommand touch {}; exec sh -c \"$SSH_ORIGINAL_COMMAND\"", canary.display())];
    (Stranger::with(SshdOptions { configuration, ..SshdOptions::default() }), canary)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_with_its_fingerprint_and_nothing_runs() {
    let (stranger, canary) = with_canary();
    let error = stranger.probe(&stranger.known_hosts("")).await.unwrap_err();
    let fingerprint = stranger.sshd.fingerprint("ed25519").unwrap();
    assert_eq!(error.code, ErrorCode::HostKeyUnknown);
    let expected = format!(
        "host `far` (127.0.0.1:{}) shows the ssh-ed25519 key {fingerprint}, which is not known; nothing was sent",
        stranger.sshd.port
    );
    assert_eq!(error.message, expected);
    assert!(error.advice().contains(&format!("sandboxer hosts add far --key {fingerprint}")), "{}", error.advice());
    assert_eq!(fs::read_to_string(stranger.dir.path().join("known")).unwrap(), "", "nothing is ever learnt");
    assert!(!canary.exists());
    // The same host, pinned: now it runs, so the canary would have shown it.
    stranger.probe(&format!("key = \"{fingerprint}\"")).await.unwrap();
    assert!(canary.exists());
    fs::remove_dir_all(canary.parent().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_refused_naming_where_the_known_one_stands() {
    let (mut stranger, canary) = with_canary();
    let known = stranger.sshd.known_hosts().unwrap();
    let pinned = format!("key = \"{}\"", stranger.sshd.fingerprint("ed25519").unwrap());
    let line = format!("known-hosts = \"{}\"", known.display());
    stranger.sshd.change_host_keys().unwrap();
    let error = stranger.probe(&line).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::HostKeyChanged);
    assert!(error.message.contains(&format!("{}, line 1, has SHA256:", known.display())), "{error}");
    let error = stranger.probe(&pinned).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::HostKeyChanged);
    assert!(error.message.contains("is pinned for it in connections.toml"), "{error}");
    assert!(!canary.exists());
    fs::remove_dir_all(canary.parent().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn known_hosts_is_read_as_openssh_reads_it() {
    let stranger = Stranger::new();
    let (key, port) = (stranger.key("ed25519"), stranger.sshd.port);
    let (other, _) = other_key(stranger.dir.path(), "ed25519");
    let hashed = {
        let path = stranger.dir.path().join("hashed");
        fs::write(&path, format!("[127.0.0.1]:{port} {key}\n")).unwrap();
        let hashed =
            Command::new("ssh-keygen").arg("-Hf").arg(&path).stderr(Stdio::null()).stdout(Stdio::null()).status();
        assert!(hashed.unwrap().success());
        fs::read_to_string(&path).unwrap()
    };
    assert!(hashed.starts_with("|1|"));
    let admitted = [
        format!("[127.0.0.1]:{port} {key} a comment\n"),
        format!("# a comment\n\n  [127.0.0.1]:{port},elsewhere\t{key}\n"),
        hashed.clone(),
        format!("[127.0.0.*]:{port} {key}\n"),
        format!("[127.?.0.1]:{port} {key}\n"),
        format!("* {key}\n"),
        format!("garbage\n[127.0.0.1]:{port} {other}\n[127.0.0.1]:{port} {key}\n"),
    ];
    for text in admitted {
        let probed = stranger.probe(&stranger.known_hosts(&text)).await;
        assert!(probed.is_ok(), "{text}: {:?}", probed.unwrap_err().message);
    }
    let unknown = [
        format!("127.0.0.1 {key}\n"),
        format!("[127.0.0.1]:{} {key}\n", port ^ 1),
        format!("!127.0.0.1,elsewhere {key}\n"),
        format!("*,![127.0.0.1]:{port} {key}\n"),
        format!("@cert-authority [127.0.0.1]:{port} {key}\n"),
        format!("#[127.0.0.1]:{port} {key}\n"),
        format!("[127.0.0.1]:{port} {}\n", &key[..key.len() - 8]),
    ];
    for text in unknown {
        let error = stranger.probe(&stranger.known_hosts(&text)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::HostKeyUnknown, "{text}: {error}");
    }
    let refused = [
        (format!("[127.0.0.1]:{port} {key}\n@revoked [127.0.0.1]:{port} {key}\n"), "revoked"),
        (format!("@revoked * {key}\n[127.0.0.1]:{port} {key}\n"), "revoked"),
        (format!("@revoked {hashed}"), "revoked"),
        (format!("[127.0.0.1]:{port} {other}\n"), "line 1, has"),
    ];
    for (text, why) in refused {
        let error = stranger.probe(&stranger.known_hosts(&text)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::HostKeyChanged, "{text}: {error}");
        assert!(error.message.contains(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_host_keys_the_known_one_is_asked_for() {
    let options = SshdOptions { host_keys: vec!["ed25519", "ecdsa", "rsa"], ..SshdOptions::default() };
    let stranger = Stranger::with(options);
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let known = format!("[127.0.0.1]:{} {}\n", stranger.sshd.port, stranger.key(kind));
        stranger.probe(&stranger.known_hosts(&known)).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let pinned = format!("key = \"{}\"", stranger.sshd.fingerprint(kind).unwrap());
        stranger.probe(&pinned).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
    let (other, _) = other_key(stranger.dir.path(), "rsa");
    let known = format!("[127.0.0.1]:{} {other}\n", stranger.sshd.port);
    assert_eq!(stranger.probe(&stranger.known_hosts(&known)).await.unwrap_err().code, ErrorCode::HostKeyChanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_in_fails_with_a_reason() {
    let stranger = Stranger::new();
    let key = stranger.sshd.fingerprint("ed25519").unwrap();
    let (_, wrong) = other_key(stranger.dir.path(), "ed25519");
    let locked = stranger.dir.path().join("locked");
    fs::copy(stranger.sshd.user_key(), &locked).unwrap();
    let changed =
        Command::new("ssh-keygen").args(["-q", "-p", "-N", "secret", "-f"]).arg(&locked).stdout(Stdio::null()).status();
    assert!(changed.unwrap().success());
    let open = stranger.dir.path().join("open");
    fs::copy(stranger.sshd.user_key(), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    for (identity, why) in [
        (wrong.clone(), "1 key was refused"),
        (locked.clone(), "locked needs a passphrase: add it to an agent with `ssh-add`"),
        (open, "open is passed over because others may read it"),
        (stranger.dir.path().join("missing"), "no key could be tried"),
    ] {
        let entry = format!(
            "[hosts.far]\naddress = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\nkey = \"{key}\"\nidentity-file = \"{}\"\n",
            stranger.sshd.port,
            stranger.sshd.user,
            identity.display()
        );
        let error = stranger.probe_as(&entry).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::HostAuth, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
    let nobody = format!("user = \"no-such-user\"\nkey = \"{key}\"");
    let entry = format!(
        "[hosts.far]\naddress = \"127.0.0.1\"\nport = {}\nidentity-file = \"{}\"\n{nobody}\n",
        stranger.sshd.port,
        stranger.sshd.user_key().display()
    );
    assert_eq!(stranger.probe_as(&entry).await.unwrap_err().code, ErrorCode::HostAuth);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_signs_for_keys_that_cannot_be_read_here() {
    let stranger = Stranger::new();
    let socket = stranger.dir.path().join("agent");
    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    super::within(std::time::Duration::from_secs(5), "the agent is there", || socket.exists()).await;
    let mut settings = stranger.settings.clone();
    settings.agent = Some(socket.clone());
    let connections = format!(
        "[hosts.far]\naddress = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\nkey = \"{}\"\n",
        stranger.sshd.port,
        stranger.sshd.user,
        stranger.sshd.fingerprint("ed25519").unwrap()
    );
    fs::write(&settings.connections, connections).unwrap();
    let probe = async || Brokers::new(settings.clone()).unwrap().probe(&"far".parse().unwrap(), &[]).await;
    assert_eq!(probe().await.unwrap_err().code, ErrorCode::HostAuth, "an agent without keys does not help");
    for key in [other_key(stranger.dir.path(), "rsa").1, stranger.sshd.user_key()] {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
        assert!(added.success());
    }
    let probed = probe().await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(probed.is_ok(), "{probed:?}");
}
