//! Both transports against real shells and a real SSH server. They start below the permit, at the [`Order`] that a
//! permit becomes: permits are the guard's alone, also in tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod commands;
mod endings;
mod figures;
mod host_keys;
mod hosts;
mod transfers;
mod workspace;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use sandboxer_guard::far_side;
use sandboxer_model::{
    call::{CallError, CallOutput},
    id::{InstallationId, SandboxId, SandboxRef},
    ports::stream::Stream,
};
use sandboxer_testkit::sshd::Sshd;

use crate::{
    Settings,
    connections::Connections,
    host::Host,
    order::Order,
    run,
    stream::stream,
    transport::{local::Local, ssh::Ssh},
};

/// A host, reached in one of the two ways, with the directories of one sandbox on it.
pub(crate) struct Site {
    pub(crate) way: &'static str,
    pub(crate) host: Arc<Host>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) reference: SandboxRef,
    sshd: Option<Sshd>,
}

/// The settings of a user who has nothing but a temporary home.
pub(crate) fn settings(home: &Path) -> Settings {
    let config = home.join(".ssh/config");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    if !config.exists() {
        let known = home.join(".ssh/known_hosts");
        let text = format!("UserKnownHostsFile {}\nGlobalKnownHostsFile none\n", known.display());
        fs::write(&config, text).unwrap();
    }
    Settings {
        connections: home.join("connections.toml"),
        home: home.to_owned(),
        user: "nobody".to_owned(),
        data_home: Some(home.join("data")),
        agent: None,
        ssh: Some(PathBuf::from("/usr/bin/ssh")),
        ssh_config: config,
        ssh_config_is_default: false,
        connect_timeout: Duration::from_secs(10),
        keepalive: Duration::from_secs(15),
    }
}

impl Site {
    pub(crate) async fn local() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(Box::new(Local::new(&settings(dir.path()))));
        Self::made("local", host, dir, None).await
    }

    pub(crate) async fn ssh() -> Self {
        Self::ssh_through(None).await
    }

    /// Over SSH, perhaps through another port that leads to the server's.
    pub(crate) async fn ssh_through(port: Option<&Cut>) -> Self {
        Self::ssh_with(Sshd::start().unwrap(), port).await
    }

    pub(crate) async fn ssh_with(sshd: Sshd, port: Option<&Cut>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut entry = sshd.connection("far", None).unwrap();
        if let Some(cut) = port {
            cut.lead_to(sshd.port);
            entry = entry.replace(&format!("port = {}", sshd.port), &format!("port = {}", cut.port));
        }
        let settings = settings(dir.path());
        fs::write(&settings.connections, entry).unwrap();
        let connections = Connections::read(&settings.connections).unwrap();
        let name = "far".parse().unwrap();
        let host = Host::new(Box::new(Ssh::new(&name, connections.host(&name), &settings)));
        Self::made("ssh", host, dir, Some(sshd)).await
    }

    async fn made(way: &'static str, host: Host, dir: tempfile::TempDir, sshd: Option<Sshd>) -> Self {
        let reference = SandboxRef::new(&InstallationId::random().unwrap(), &SandboxId::random().unwrap());
        let site = Self { way, host: Arc::new(host), dir, reference, sshd };
        let argv = far_side::prepare_argv(&site.home(), None).unwrap();
        let output = site.run(&Order { record: None, ..site.order("prepare", &argv) }).await;
        assert!(output.exit.success(), "{output:?}");
        site
    }

    pub(crate) fn sshd(&self) -> Option<&Sshd> {
        self.sshd.as_ref()
    }

    pub(crate) fn home(&self) -> String {
        format!("{}/{}", self.dir.path().display(), self.reference)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        Path::new(&self.home()).join(below)
    }

    /// What a permit for this command becomes.
    pub(crate) fn order(&self, record: &str, argv: &[impl AsRef<str>]) -> Order {
        self.order_in("run", record, argv, "-", "-")
    }

    pub(crate) fn order_in(
        &self,
        script: &str,
        record: &str,
        argv: &[impl AsRef<str>],
        uid: &str,
        term: &str,
    ) -> Order {
        let home = self.home();
        let text = |name: &str| far_side::scripts().iter().find(|(known, _)| *known == name).unwrap().1;
        let mut words = vec!["exec", "/bin/sh", "-c", text(script), "sandboxer"];
        match script {
            "job" => words.extend([text("keeper"), &home, record, uid]),
            "poll" => words.extend([home.as_str(), record]),
            _ => words.extend([home.as_str(), record, uid, term, "-"]),
        }
        words.extend(argv.iter().map(AsRef::as_ref));
        Order {
            call: "host.test".to_owned(),
            line: far_side::quote(&words).unwrap(),
            record: (script == "run")
                .then(|| format!("{home}/control/{record}{}", if term == "-" { "" } else { ":t" })),
            timeout: Some(Duration::from_secs(60)),
            output_limit: 32 << 20,
            terminal: None,
        }
    }

    pub(crate) async fn run(&self, order: &Order) -> CallOutput {
        run::run(&self.host, order).await.unwrap_or_else(|error| panic!("{}: {error}", self.way))
    }

    pub(crate) async fn sh(&self, record: &str, script: &str) -> CallOutput {
        self.run(&self.order(record, &["sh", "-c", script])).await
    }

    pub(crate) async fn stream(&self, order: Order) -> Stream {
        let place = self.host.own().await.unwrap();
        stream(run::start(place, &order).await.unwrap(), order)
    }

    /// A stream with a terminal. A server that does not run as root has none to give, which must be told: then there is
    /// no stream.
    pub(crate) async fn terminal(&self, order: Order) -> Option<Stream> {
        let place = self.host.own().await.unwrap();
        if self.way == "ssh" && !rustix::process::getuid().is_root() {
            let error = run::start(place, &order).await.err().unwrap();
            assert_eq!(error, CallError::Unavailable("the host gives us no terminal".to_owned()));
            return None;
        }
        Some(stream(run::start(place, &order).await.unwrap(), order))
    }

    /// Removes the sandbox, as its last act, and checks that nothing of it is left.
    pub(crate) async fn end(self) {
        let argv = far_side::remove_argv(&self.home(), self.reference.as_str()).unwrap();
        let output = self.run(&self.order("remove", &argv)).await;
        assert!(output.exit.success(), "{}: {output:?}", self.way);
        assert!(!Path::new(&self.home()).exists());
        assert_eq!(carriers(&self.reference), Vec::<u32>::new(), "{}: processes are left", self.way);
    }
}

/// Runs the same test over both transports.
macro_rules! over_both {
    ($(#[$attribute:meta])* $name:ident, |$site:ident| $body:block) => {
        $(#[$attribute])*
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            for way in ["local", "ssh"] {
                let $site = if way == "local" { Site::local().await } else { Site::ssh().await };
                $body
                $site.end().await;
            }
        }
    };
}
pub(crate) use over_both;

/// Processes that carry a sandbox's name and are more than a number.
pub(crate) fn carriers(reference: &SandboxRef) -> Vec<u32> {
    let mark = format!("SANDBOXER_SANDBOX={reference}");
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let carries = |pid: &u32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
    };
    pids.filter(carries).collect()
}

pub(crate) fn breathes(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(") ").next().unwrap().starts_with(['Z', 'X'])
}

pub(crate) async fn within(limit: Duration, what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Numbers that are as good as random and the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// A port that leads to another one until it is cut.
pub(crate) struct Cut {
    pub(crate) port: u16,
    to: Arc<std::sync::atomic::AtomicU16>,
    open: Arc<tokio::sync::watch::Sender<bool>>,
}

impl Cut {
    pub(crate) async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = Arc::new(std::sync::atomic::AtomicU16::new(0));
        let open = Arc::new(tokio::sync::watch::Sender::new(true));
        let (target, gate) = (Arc::clone(&to), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let port = target.load(std::sync::atomic::Ordering::SeqCst);
                let Ok(mut far) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let mut gate = gate.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = gate.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { port, to, open }
    }

    fn lead_to(&self, port: u16) {
        self.to.store(port, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}
