//! What a sandbox cannot see and cannot do, also when sandboxer runs as root.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::home::{Home, SECRET};

#[test]
fn what_is_the_hosts_is_invisible() {
    let home = Home::new();
    let canary = home.path("root-only");
    fs::write(&canary, "CANARY-OF-THE-HOST").unwrap();
    fs::set_permissions(&canary, fs::Permissions::from_mode(0o600)).unwrap();
    let id = home.sandbox();
    let hidden = [
        canary.display().to_string(),
        "/etc/shadow".to_owned(),
        "/root/.ssh".to_owned(),
        "/home".to_owned(),
        home.path("data").display().to_string(),
        home.path("config").display().to_string(),
        home.path("roots").display().to_string(),
        "/var".to_owned(),
        "/sys".to_owned(),
        "/boot".to_owned(),
    ];
    for path in &hidden {
        home.run(["exec", &id, "--", "test", "-e", path]).status(1);
    }
    // Not by way of another process's root either.
    let roots =
        home.sh(&id, "for p in /proc/[0-9]*; do cat $p/root/etc/shadow $p/root/root-only; done 2>/dev/null; true");
    assert_eq!(roots.succeeded().stdout(), "");
    home.assert_clean();
}

#[test]
fn only_the_workspace_and_private_places_can_be_written() {
    let home = Home::new();
    let id = home.sandbox();
    for place in ["/usr/x", "/etc/x", "/x", "/bin/x", "/proc/sys/kernel/core_pattern", "/dev/shm/../../x"] {
        let written = home.sh(&id, &format!("echo x 2>/dev/null >{place}"));
        assert_ne!(written.output.status.code(), Some(0), "{place} was written");
    }
    home.sh(&id, "echo x >/workspace/x && echo x >/tmp/x && test \"$(cat x /tmp/x)\" = \"x\nx\"").succeeded();
    home.assert_clean();
}

#[test]
fn namespaces_capabilities_and_privileges_are_the_sandboxs_own() {
    let home = Home::new();
    let id = home.sandbox();
    let status = home.sh(&id, "grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status");
    let expected = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| format!("{set}:\t0000000000000000\n")).concat();
    assert_eq!(status.succeeded().stdout(), format!("{expected}NoNewPrivs:\t1\n"));
    for namespace in ["pid", "user", "ipc", "net", "mnt", "uts"] {
        let inside = home.run(["exec", &id, "--", "readlink", &format!("/proc/self/ns/{namespace}")]);
        let outside = fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        assert_ne!(inside.succeeded().stdout().trim(), outside.to_string_lossy(), "{namespace}");
    }
    for made in ["unshare --user true", "unshare --mount true", "mount -t tmpfs none /tmp", "chroot / true"] {
        assert_ne!(home.sh(&id, &format!("{made} 2>/dev/null")).output.status.code(), Some(0), "{made}");
    }
    let processes = home.sh(&id, "ls /proc | grep -c '^[0-9]'");
    let count: u32 = processes.succeeded().stdout().trim().parse().unwrap();
    assert!(count < 10, "{count} processes are visible");
    home.assert_clean();
}

#[test]
fn two_sandboxes_do_not_see_each_other() {
    let home = Home::new();
    let (one, two) = (home.sandbox(), home.sandbox());
    home.sh(&one, "echo mine >secret; nohup sleep 1234 >/dev/null 2>&1 &").succeeded();
    home.sh(&two, "test ! -e secret && ! pgrep -x sleep -a | grep 1234").succeeded();
    home.assert_clean();
}

#[test]
fn no_network_by_default_and_the_hosts_when_asked() {
    let home = Home::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 2)");
    let closed = home.sandbox();
    let refused = home.run(["exec", &closed, "--", "python3", "-c", &connect]);
    assert_ne!(refused.output.status.code(), Some(0));
    let open = home.create(&["--profile", "profile.agent-dev", "--input", "network=all"]);
    home.run(["exec", &open, "--", "python3", "-c", &connect]).succeeded();
    home.assert_clean();
}

#[test]
fn limits_hold_inside() {
    let home = Home::new();
    let id = home.create(&[
        "--profile",
        "profile.agent-dev",
        "-i",
        "memory-mib=256",
        "-i",
        "processes=32",
        "-i",
        "file-mib=2",
        "-i",
        "cpu-seconds=1",
    ]);
    let memory = home.run(["exec", &id, "--", "python3", "-c", "x = bytearray(512 * 1024 * 1024)"]);
    assert_ne!(memory.output.status.code(), Some(0));
    let file = home.sh(&id, "head -c 4194304 /dev/zero >big");
    assert_ne!(file.output.status.code(), Some(0));
    assert_eq!(home.sh(&id, "stat -c %s big").succeeded().stdout(), "2097152\n");
    let processes = home.sh(&id, "n=0; while [ $n -lt 64 ]; do sleep 5 & n=$((n+1)); done 2>/dev/null; true");
    assert_ne!(processes.output.status.code(), Some(0), "64 processes fit into 32");
    home.run(["exec", &id, "--", "sh", "-c", "while :; do :; done"]).status(137);
    home.assert_clean();
}

#[test]
fn the_operators_secret_is_found_nowhere() {
    let home = Home::new();
    let project = home.path("project");
    fs::create_dir(&project).unwrap();
    let input = format!("project={}", project.display());
    let id = home.create(&["--profile", "profile.agent-dev", "--input", &input]);
    let canary = home.create(&[]);
    for sandbox in [&id, &canary] {
        let environment =
            home.sh(sandbox, "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; cat /proc/*/cmdline");
        // The canary is not isolated: what it can read of other processes is the host's, and the commands of this test carry the
        // secret. Its own environment is what counts.
        let own = home.run(["exec", sandbox, "--", "env"]);
        assert!(!own.succeeded().stdout().contains(SECRET));
        if *sandbox == id {
            assert!(!environment.stdout().contains(SECRET));
        }
    }
    // What runs in their names while nobody is there.
    for process in crate::home::processes_with("SANDBOXER_SANDBOX=") {
        assert!(!process.contains(SECRET), "{process}");
    }
    home.error(["create", "--profile", "profile.agent-dev", "--input", "network=OPERATORS"]);
    let printed = [
        home.run(["audit", "ledger", &id]).stdout(),
        home.run(["events"]).stdout(),
        home.run(["-vv", "get", &id]).stderr(),
    ];
    assert!(!printed.concat().contains(SECRET));
    home.run(["destroy", &id, &canary]).succeeded();
    let found = std::process::Command::new("grep").args(["-rl", SECRET]).arg(home.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "files hold the secret");
    home.assert_clean();
}
