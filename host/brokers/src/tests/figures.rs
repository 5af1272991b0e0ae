//! Figures, for whoever asks: `cargo test --release -p sandboxer-brokers -- --ignored --nocapture figures`.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::Site;
use crate::run;

const ROUNDS: u32 = 200;

async fn median(mut one: impl AsyncFnMut(u32)) -> Duration {
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let begun = Instant::now();
        one(round).await;
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures, not outcomes"]
async fn figures() {
    for site in [Site::local().await, Site::ssh().await] {
        let bare = median(async |round| {
            let order = site.order(&format!("f.{round}"), &["true"]);
            assert!(run::run(&site.host, &order).await.unwrap().exit.success());
        })
        .await;
        println!("{}: a command on a warm host {bare:?}", site.way);
        let streamed = median(async |round| {
            let mut stream = site.stream(site.order(&format!("s.{round}"), &["true"])).await;
            super::commands::drain(&mut stream.output).await;
        })
        .await;
        println!("{}: a stream of its own {streamed:?}", site.way);
        let mut far = Vec::new();
        for _ in 0..20 {
            let begun = Instant::now();
            let order = crate::order::Order::probe(Some("/tmp"), &["bwrap".to_owned()]).unwrap();
            assert!(run::run(&site.host, &order).await.unwrap().exit.success());
            far.push(begun.elapsed());
        }
        far.sort();
        println!("{}: a probe {:?}", site.way, far[10]);
        if let Some(sshd) = site.sshd() {
            println!("{}", against_openssh(sshd).await);
        }
        site.end().await;
    }
    let floor = median(async |_| {
        assert!(tokio::process::Command::new("/bin/true").status().await.unwrap().success());
    })
    .await;
    println!("floor: /bin/true {floor:?}");
}

/// The same over OpenSSH's own multiplexing, whose every command is a process of its own.
async fn against_openssh(sshd: &sandboxer_testkit::sshd::Sshd) -> String {
    let socket = sshd.directory().join("mux");
    let ssh = |master: bool| {
        let mut command = Command::new("ssh");
        command.args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ]);
        command.arg("-o").arg(format!("ControlPath={}", socket.display()));
        command.arg("-i").arg(sshd.user_key()).arg("-p").arg(sshd.port.to_string()).args(["-l", &sshd.user]);
        if master {
            command.args(["-M", "-N"]);
        }
        command.arg("127.0.0.1").stdin(Stdio::null());
        command
    };
    let mut master = ssh(true).spawn().unwrap();
    super::within(Duration::from_secs(5), "the master is there", || socket.exists()).await;
    let time = median(async |_| {
        let mut command = tokio::process::Command::from(ssh(false));
        assert!(command.arg("true").status().await.unwrap().success());
    })
    .await;
    master.kill().unwrap();
    master.wait().unwrap();
    format!("OpenSSH's ControlMaster, a bare command {time:?}")
}
