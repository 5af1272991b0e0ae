//! Nothing outlives its client but what is meant to.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sandboxer_model::{
    call::{CallError, Exit, JobStatus},
    ports::stream::{Chunk, Stream},
};

use super::{Cut, Random, Site, breathes, carriers, over_both, within};
use crate::{order::Order, run};

/// A command with a child, a grandchild and one that leaves the session; says their pids, the stray's last.
const FAMILY: &str = "sleep 300 & echo $!; (sh -c 'sleep 300 & echo $!; wait') & sleep 0.1; setsid sleep 300 & echo $!; sleep 0.1; echo $$; wait";

async fn family(stream: &mut Stream) -> Vec<u32> {
    let mut text = String::new();
    while text.lines().count() < 4 || !text.ends_with('\n') {
        match stream.output.next().await.unwrap() {
            Chunk::Stdout(bytes) => text.push_str(&String::from_utf8(bytes).unwrap()),
            other @ (Chunk::Stderr(_) | Chunk::Ended(_)) => panic!("{other:?}"),
        }
    }
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// The stray lives, all others are gone; ends the stray.
async fn only_the_stray_survives(pids: &[u32], way: &str) {
    let [child, grandchild, stray, leader] = pids else { panic!("{pids:?}") };
    let gone = || [child, grandchild, leader].iter().all(|pid| !breathes(**pid));
    within(Duration::from_secs(1), &format!("{way}: the command is gone with its children"), gone).await;
    assert!(breathes(*stray), "{way}: a process with a session of its own survives");
}

over_both!(dropping_a_stream_ends_the_command_and_its_children, |site| {
    for what in 0..2 {
        let mut stream = site.stream(site.order("drop", &["sh", "-c", FAMILY])).await;
        let pids = family(&mut stream).await;
        if what == 0 {
            drop(stream);
        } else {
            // Nobody listens any more: that is enough.
            drop(stream.output);
        }
        only_the_stray_survives(&pids, site.way).await;
        within(Duration::from_secs(1), "its record is gone", || !site.path("control/drop").exists()).await;
    }
});

over_both!(dropping_a_run_ends_the_command, |site| {
    let (host, order) = (site.host.clone(), site.order("run", &["sh", "-c", "echo $$ >pid; sleep 300"]));
    let running = tokio::spawn(async move { run::run(&host, &order).await });
    within(Duration::from_secs(5), "it runs", || site.path("workspace/pid").exists()).await;
    within(Duration::from_secs(5), "it says so", || !std::fs::read(site.path("workspace/pid")).unwrap().is_empty())
        .await;
    let pid: u32 = std::fs::read_to_string(site.path("workspace/pid")).unwrap().trim().parse().unwrap();
    running.abort();
    within(Duration::from_secs(1), "it is gone", || !breathes(pid)).await;
});

over_both!(a_time_limit_ends_the_command_before_it_is_reported, |site| {
    let limit = Some(Duration::from_millis(700));
    let script = "trap '' TERM INT HUP; sleep 300 & echo $! $$ >pids; wait; sleep 300";
    let order = Order { timeout: limit, ..site.order("late", &["sh", "-c", script]) };
    let begun = Instant::now();
    let error = run::run(&site.host, &order).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let pids = std::fs::read_to_string(site.path("workspace/pids")).unwrap();
    assert!(pids.split_whitespace().all(|pid| !breathes(pid.parse().unwrap())), "{}", site.way);
    // A stream is held to it as well.
    let mut stream = site.stream(Order { timeout: limit, ..site.order("slow", &["sleep", "300"]) }).await;
    assert!(matches!(stream.output.next().await, Err(CallError::TimedOut(_))));
    assert_eq!(carriers(&site.reference), Vec::<u32>::new());
});

over_both!(a_command_is_stopped_at_any_moment_of_its_start, |site| {
    let mut random = Random(7);
    for number in 0..60 {
        let (host, order) = (site.host.clone(), site.order(&format!("r.{number}"), &["sleep", "300"]));
        let running = tokio::spawn(async move { run::run(&host, &order).await });
        tokio::time::sleep(Duration::from_micros(random.below(12_000))).await;
        running.abort();
    }
    // One more round trip through the control stream, so that every order before it has been carried out.
    assert_eq!(site.sh("last", "echo ok").await.stdout, b"ok\n");
    within(Duration::from_secs(3), "none of them is left", || carriers(&site.reference).is_empty()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(carriers(&site.reference), Vec::<u32>::new(), "{}", site.way);
});

over_both!(a_job_outlives_the_connection_and_tells_its_end, |site| {
    let start = |script: &str| site.order_in("job", "job", &["sh", "-c", script], "-", "-");
    let poll = async || {
        let output = site.run(&site.order_in("poll", "job", &[] as &[&str], "-", "-")).await;
        crate::brokers::job_status(&output).unwrap()
    };
    assert_eq!(poll().await, JobStatus::Absent);
    let script = "echo x >>starts; while [ ! -e go ]; do sleep 0.02; done; exit 4";
    for _ in 0..2 {
        assert_eq!(site.run(&start(script)).await.exit, Exit::Status(0));
    }
    assert_eq!(poll().await, JobStatus::Running);
    // Its starter's connection, and whatever it watched, ends.
    site.host.disconnect().await;
    assert_eq!(poll().await, JobStatus::Running);
    std::fs::write(site.path("workspace/go"), "").unwrap();
    while poll().await == JobStatus::Running {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(poll().await, JobStatus::Ended(Exit::Status(4)));
    assert_eq!(std::fs::read_to_string(site.path("workspace/starts")).unwrap(), "x\n");
});

over_both!(what_a_command_left_running_stays_when_its_client_goes, |site| {
    let mut stream = site.stream(site.order("serve", &["sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $!"])).await;
    let (text, exit) = super::commands::drain(&mut stream.output).await;
    let server: u32 = text.trim().parse().unwrap();
    assert_eq!(exit, Exit::Status(0));
    // As when a process exits: the control stream may end before it heard that the command has.
    drop(stream);
    site.host.disconnect().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(breathes(server), "{}", site.way);
});

over_both!(a_terminal_that_goes_takes_everything_along, |site| {
    let script = "trap '' HUP TERM INT; sleep 300 & sh -c 'trap \"\" HUP; sleep 300' & echo $! up; wait";
    let mut order = site.order_in("run", "tty", &["sh", "-c", script], "-", "xterm");
    let size = sandboxer_model::ports::stream::TerminalSize { rows: 24, columns: 80 };
    order.terminal = Some(sandboxer_guard::permit::Terminal { term: "xterm".to_owned(), size });
    let Some(mut stream) = site.terminal(order).await else {
        site.end().await;
        continue;
    };
    assert!(matches!(stream.output.next().await.unwrap(), Chunk::Stdout(_)));
    within(Duration::from_secs(2), "all of them run", || carriers(&site.reference).len() >= 3).await;
    drop(stream);
    within(Duration::from_secs(1), "nothing is left", || carriers(&site.reference).is_empty()).await;
});

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_ends_the_command_and_is_reported() {
    let cut = Cut::new().await;
    let site = Site::ssh_through(Some(&cut)).await;
    let mut stream = site.stream(site.order("stream", &["sh", "-c", FAMILY])).await;
    let pids = family(&mut stream).await;
    let (host, order) = (site.host.clone(), site.order("run", &["sh", "-c", "echo $$ >pid; sleep 300"]));
    let running = tokio::spawn(async move { run::run(&host, &order).await });
    within(Duration::from_secs(5), "it runs", || {
        std::fs::read_to_string(site.path("workspace/pid")).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let pid: u32 = std::fs::read_to_string(site.path("workspace/pid")).unwrap().trim().parse().unwrap();
    cut.cut();
    assert!(matches!(stream.output.next().await, Err(CallError::Lost(_))));
    assert!(matches!(running.await.unwrap(), Err(CallError::Lost(_))));
    only_the_stray_survives(&pids, "ssh").await;
    within(Duration::from_secs(1), "the other one is gone", || !breathes(pid)).await;
    // A new connection is made when the old one is gone.
    cut.mend();
    assert_eq!(site.sh("again", "echo ok").await.stdout, b"ok\n");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_goes_silent_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let mut settings = super::settings(dir.path());
    settings.connect_timeout = Duration::from_millis(400);
    std::fs::write(&settings.connections, format!("[hosts.mute]\naddress = \"127.0.0.1\"\nport = {port}\n")).unwrap();
    let brokers = crate::Brokers::new(settings).unwrap();
    let begun = Instant::now();
    use sandboxer_model::{ErrorCode, ports::hosts::Hosts};
    let error = brokers.probe(&"mute".parse().unwrap(), &[]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::HostUnreachable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(listener);
    let error = brokers.probe(&"mute".parse().unwrap(), &[]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::HostUnreachable, "{error}");
}

/// Not a test by itself: the client that the next test kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the victim of `a_killed_client_leaves_nothing_running`"]
async fn victim() {
    let site = if std::env::var("VICTIM").unwrap() == "local" { Site::local().await } else { Site::ssh().await };
    let sleeper = site.order("run", &["sleep", "300"]);
    let _stream = site.stream(site.order("stream", &["sh", "-c", "sleep 300 & wait"])).await;
    println!("home {}", site.home());
    run::run(&site.host, &sleeper).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_leaves_nothing_running() {
    for way in ["local", "ssh"] {
        let scratch = tempfile::tempdir().unwrap();
        let mut client = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::endings::victim", "--ignored", "--nocapture"])
            .env("VICTIM", way)
            .env("TMPDIR", scratch.path())
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(client.stdout.take().unwrap()));
        let home = lines.find_map(|line| line.unwrap().rsplit_once("home ").map(|(_, home)| home.to_owned())).unwrap();
        let reference = home.rsplit('/').next().unwrap().to_owned();
        let reference: sandboxer_model::id::SandboxRef =
            serde_json::from_value(serde_json::Value::String(reference)).unwrap();
        let records = std::path::Path::new(&home).join("control");
        let both = || records.join("run").exists() && records.join("stream").exists();
        within(Duration::from_secs(5), "both commands run", both).await;
        within(Duration::from_secs(5), "both have become what they are", || carriers(&reference).len() >= 3).await;
        // Its server, when it has one, must outlive it for this to show anything: only the client itself is killed.
        client.kill().unwrap();
        client.wait().unwrap();
        within(Duration::from_secs(1), &format!("{way}: nothing is left"), || carriers(&reference).is_empty()).await;
        // The server that the client left behind.
        for pid in std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("sshd") && line.contains(scratch.path().to_str().unwrap()) {
                let _ = rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    rustix::process::Signal::KILL,
                );
            }
        }
    }
}
