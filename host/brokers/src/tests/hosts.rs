//! Which hosts there are, and what is found on them.

use std::fs;

use sandboxer_model::{ErrorCode, id::HostName, ports::hosts::Hosts};
use sandboxer_testkit::sshd::Sshd;

use super::settings;
use crate::{
    Brokers,
    connections::{Connections, HostConnection, add_host},
};

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_transports_tell_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let sshd = Sshd::start().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("sbx-a-b")).unwrap();
    let settings = settings(dir.path());
    let entry = sshd.connection("far", Some(&root)).unwrap();
    fs::write(&settings.connections, format!("[hosts.local]\nroot = \"{}\"\n\n{entry}", root.display())).unwrap();
    let brokers = Brokers::new(settings).unwrap();
    let programs = ["sh", "env", "no-such-program"].map(str::to_owned);
    for host in ["local", "far"] {
        let facts = brokers.probe(&name(host), &programs).await.unwrap();
        assert_eq!((facts.root.as_str(), facts.uid), (root.to_str().unwrap(), rustix::process::getuid().as_raw()));
        assert_eq!(
            (facts.programs, facts.sandboxes),
            (vec!["sh".to_owned(), "env".to_owned()], vec!["sbx-a-b".to_owned()])
        );
        assert!(
            facts.cpus >= 1
                && facts.memory.0 > 0
                && facts.disk.0 > 0
                && !facts.os.is_empty()
                && facts.latency_ms < 5000
        );
    }
    let listed: Vec<_> = brokers.list().into_iter().map(|entry| (entry.name.to_string(), entry.declared)).collect();
    assert_eq!(listed, [("local".to_owned(), true), ("far".to_owned(), true)]);
    let error = brokers.probe(&name("elsewhere"), &[]).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::HostUnknown, "there is no host `elsewhere`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_declared_root_the_user_s_own_place_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let brokers = Brokers::new(settings(dir.path())).unwrap();
    let facts = brokers.probe(&HostName::local(), &[]).await.unwrap();
    let expected = if rustix::process::getuid().is_root() {
        "/var/lib/sandboxer".to_owned()
    } else {
        format!("{}/data/sandboxer/sandboxes", dir.path().display())
    };
    assert_eq!(facts.root, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_the_user_s_openssh_configuration_is_a_host() {
    let dir = tempfile::tempdir().unwrap();
    let sshd = Sshd::start().unwrap();
    let settings = settings(dir.path());
    let known = sshd.known_hosts().unwrap();
    let alias = format!(
        "Host box *.example\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n\
         Host jump\n  HostName 127.0.0.1\n  ProxyJump elsewhere\nHost cert\n  CertificateFile /x\nHost cmd\n  ProxyCommand nc %h %p\n",
        sshd.port,
        sshd.user,
        sshd.user_key().display(),
        known.display()
    );
    fs::create_dir_all(dir.path().join(".ssh/config.d")).unwrap();
    fs::write(dir.path().join(".ssh/config.d/work.conf"), alias).unwrap();
    // OpenSSH resolves a relative `Include` against the home of its user, so the path is given whole.
    fs::write(&settings.ssh_config, format!("Include {}/.ssh/config.d/*.conf\n", dir.path().display())).unwrap();
    let brokers = Brokers::new(settings.clone()).unwrap();
    let listed: Vec<_> = brokers.list().into_iter().map(|entry| (entry.name.to_string(), entry.declared)).collect();
    let expected = [("local", false), ("box", false), ("cert", false), ("cmd", false), ("jump", false)];
    assert_eq!(listed, expected.map(|(name, declared)| (name.to_owned(), declared)));
    assert!(brokers.probe(&name("box"), &[]).await.is_ok());
    for (host, key) in [("jump", "proxyjump"), ("cert", "certificatefile"), ("cmd", "proxycommand")] {
        let error = brokers.probe(&name(host), &[]).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ConfigInvalid);
        assert!(error.message.contains(&format!("sets `{key}` for it, which is not supported yet")), "{error}");
    }
    assert_eq!(brokers.probe(&name("x.example"), &[]).await.unwrap_err().code, ErrorCode::HostUnknown);
    // Without OpenSSH's client a declared host is reached all the same.
    fs::write(&settings.connections, sshd.connection("far", None).unwrap()).unwrap();
    let alone = Brokers::new(crate::Settings { ssh: None, ..settings }).unwrap();
    assert!(alone.probe(&name("far"), &[]).await.is_ok());
}

#[test]
fn connections_that_say_what_they_may_not_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("connections.toml");
    for (text, why) in [
        ("[hosts.a]\naddres = \"x\"", "unknown field `addres`"),
        ("[host.a]\naddress = \"x\"", "unknown field `host`"),
        ("[hosts.local]\naddress = \"x\"", "only `root` can be set for it"),
        ("[hosts.\"a b\"]\naddress = \"x\"", "is not a host name"),
        ("[hosts.a]\naddress = \"-oProxyCommand=id\"", "is not a usable address"),
        ("[hosts.a]\naddress = \"x y\"", "is not a usable address"),
        ("[hosts.a]\nuser = \"-l\"", "is not a usable user"),
        ("[hosts.a]\nport = 0", "0 is not a usable port"),
        ("[hosts.a]\nport = 70000", "70000"),
        ("[hosts.a]\nkey = \"MD5:aa\"", "is not a fingerprint"),
        ("[hosts.a]\nroot = \"/a b\"", "cannot be a directory for sandboxes"),
        ("[hosts.a]\nroot = \"relative\"", "cannot be a directory for sandboxes"),
        ("[hosts.a]\nidentity-file = \"key\"", "must be absolute"),
        ("not toml", "TOML parse error at line 1"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Connections::read(&path).unwrap_err();
        assert_eq!(error.code, ErrorCode::ConfigInvalid, "{text}");
        assert!(error.message.contains(why) && error.message.contains("connections.toml"), "{text}: {error}");
    }
    assert_eq!(Connections::read(&dir.path().join("none")).unwrap(), Connections::default());
}

#[test]
fn a_host_is_added_and_everything_else_is_kept() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deeper/connections.toml");
    let host = HostConnection { address: Some("10.0.0.5".to_owned()), port: Some(2222), ..HostConnection::default() };
    add_host(&path, &name("one"), &host).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let before = format!("# ours\n{}", fs::read_to_string(&path).unwrap());
    fs::write(&path, &before).unwrap();
    let two = HostConnection { key: Some(format!("SHA256:{}", "A".repeat(43))), ..HostConnection::default() };
    add_host(&path, &name("two.example"), &two).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&before), "{text}");
    let read = Connections::read(&path).unwrap();
    assert_eq!((read.host(&name("one")), read.host(&name("two.example"))), (Some(&host), Some(&two)));
    // Declared anew: its own lines are replaced.
    let moved = HostConnection { address: Some("10.0.0.6".to_owned()), ..host.clone() };
    add_host(&path, &name("one"), &moved).unwrap();
    let read = Connections::read(&path).unwrap();
    assert_eq!((read.host(&name("one")), read.host(&name("two.example"))), (Some(&moved), Some(&two)));
    assert!(fs::read_to_string(&path).unwrap().starts_with("# ours\n"));
    let bad = HostConnection { port: Some(0), ..HostConnection::default() };
    assert_eq!(add_host(&path, &name("bad"), &bad).unwrap_err().code, ErrorCode::ConfigInvalid);
    fs::write(&path, "broken").unwrap();
    assert_eq!(add_host(&path, &name("one"), &host).unwrap_err().code, ErrorCode::ConfigInvalid);
    assert_eq!(fs::read_to_string(&path).unwrap(), "broken", "a file that cannot be read is not replaced");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left behind");
}
