//! Streams pass through byte for byte, and nothing outlives its client.

use std::{
    io::Write,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::home::{Home, processes_with};

/// Bytes that look random and are the same each time (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn a_hundred_megabytes_go_in_and_come_out() {
    let home = Home::new();
    let id = home.sandbox();
    let bytes = noise(100_000_000);
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
    home.assert_clean();
}

#[test]
fn output_and_error_stay_apart_and_every_byte_passes() {
    let home = Home::new();
    let id = home.sandbox();
    let ran = home.run([
        "exec",
        &id,
        "--",
        "python3",
        "-c",
        "import sys; sys.stdout.buffer.write(bytes(range(256))); sys.stderr.buffer.write(bytes(range(255, -1, -1)))",
    ]);
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(ran.succeeded().output.stdout, all);
    assert_eq!(ran.output.stderr, all.iter().rev().copied().collect::<Vec<u8>>());
    home.assert_clean();
}

#[test]
fn environment_and_directory_are_as_asked() {
    let home = Home::new();
    let id = home.sandbox();
    let value = "A=x y\n'\"$(id)`id`\\ \u{00e4}";
    let ran = home.run(["exec", "--env", value, "--cwd", "/tmp", &id, "--", "sh", "-c", "pwd; printf %s \"$A\""]);
    assert_eq!(ran.succeeded().stdout(), format!("/tmp\n{}", value.trim_start_matches("A=")));
    home.run(["exec", "--cwd", "no/such", &id, "--", "true"]).status(126);
    let (status, error) = home.error(["exec", "--env", "NOVALUE", &id, "--", "true"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (125, "usage.invalid"));
    let inside = home.run(["exec", &id, "--", "env"]);
    let names: Vec<String> =
        inside.succeeded().stdout().lines().filter_map(|l| Some(l.split_once('=')?.0.to_owned())).collect();
    for name in &names {
        let known = ["PATH", "HOME", "USER", "LANG", "TERM", "SANDBOX_LOG", "PWD"];
        assert!(known.contains(&name.as_str()), "{name} is in the environment");
    }
    home.assert_clean();
}

fn gone_within(needle: &str, limit: Duration) {
    let until = Instant::now() + limit;
    while !processes_with(needle).is_empty() {
        assert!(Instant::now() < until, "{:#?}", processes_with(needle));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn appears(needle: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    while processes_with(needle).len() < 2 {
        assert!(Instant::now() < until, "{needle} never ran");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_client_leaves_nothing_running() {
    let home = Home::new();
    for (number, profile) in ["profile.agent-dev", "profile.sandbox-canary"].into_iter().enumerate() {
        let id = home.create(&["--profile", profile]);
        let marker = format!("98765{number}");
        let mut child =
            home.command(["exec", &id, "--", "sh", "-c", &format!("sleep {marker}; sleep {marker}")]).spawn().unwrap();
        appears(&format!("sleep {marker}"));
        child.kill().unwrap();
        child.wait().unwrap();
        gone_within(&format!("sleep {marker}"), Duration::from_secs(5));
        home.run(["exec", &id, "--", "true"]).succeeded();
    }
    home.assert_clean();
}

#[test]
fn signals_reach_the_program() {
    let home = Home::new();
    let id = home.sandbox();
    let script = "trap 'echo got it; exit 7' INT; echo ready; while :; do sleep 0.05; done";
    let mut child = home.command(["exec", &id, "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
    assert_eq!(rest, "got it\n");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    home.assert_clean();
}

#[test]
fn a_reader_that_stops_reading_ends_the_command() {
    let home = Home::new();
    let id = home.sandbox();
    let mut child =
        home.command(["exec", &id, "--", "yes", "pipe-marker-4711"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut some = [0; 4096];
    std::io::Read::read_exact(&mut stdout, &mut some).unwrap();
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(141));
    gone_within("pipe-marker-4711", Duration::from_secs(5));
    home.assert_clean();
}
