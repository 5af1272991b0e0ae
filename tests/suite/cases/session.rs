//! A session as a user has it: create, work, copy out, destroy.

use crate::home::Home;

#[test]
fn the_canary_is_made_tells_about_the_host_and_goes() {
    let home = Home::new();
    let created = home.json(["create"]);
    assert_eq!(created["state"], "ready");
    assert_eq!(created["profile"], "profile.sandbox-canary@1");
    let facts = created["facts"].as_object().unwrap();
    for fact in ["kernel", "os", "cpus", "memory", "disk", "uptime"] {
        let value = facts[fact].as_str().unwrap();
        assert!(!value.is_empty() && value != "unknown", "{fact}: {value}");
    }
    let uname = std::process::Command::new("uname").arg("-srm").output().unwrap().stdout;
    assert_eq!(facts["kernel"], String::from_utf8(uname).unwrap().trim());
    let id = created["id"].as_str().unwrap();
    assert_eq!(home.homes().len(), 1);
    home.run(["destroy", id]).succeeded();
    assert_eq!(home.json(["list"])["sandboxes"].as_array().unwrap().len(), 0);
    let all = home.json(["list", "--all"]);
    assert_eq!(all["sandboxes"][0]["state"], "destroyed");
    home.run(["audit", "verify"]).succeeded();
    home.assert_clean();
}

#[test]
fn a_server_started_in_one_exec_answers_the_next_and_is_gone_after_destroy() {
    let home = Home::new();
    let id = home.sandbox();
    let serve = "echo hello >page; nohup python3 -m http.server 8123 >/tmp/server.log 2>&1 & \
                 n=0; until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8123))' 2>/dev/null; do \
                 n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.05; done";
    home.sh(&id, serve).succeeded();
    let fetch = "python3 -c 'import urllib.request; print(urllib.request.urlopen(\"http://127.0.0.1:8123/page\").read().decode(), end=\"\")'";
    let fetched = home.sh(&id, fetch);
    assert_eq!(fetched.succeeded().stdout(), "hello\n");
    home.run(["destroy", &id]).succeeded();
    home.assert_clean();
}

#[test]
fn exit_statuses_pass_through() {
    let home = Home::new();
    for profile in ["profile.agent-dev", "profile.sandbox-canary"] {
        let id = home.create(&["--profile", profile]);
        home.run(["exec", &id, "--", "true"]).status(0);
        home.run(["exec", &id, "--", "false"]).status(1);
        home.run(["exec", &id, "--", "no-such-program-anywhere"]).status(127);
        home.run(["exec", &id, "--", "/workspace"]).status(if profile.ends_with("dev") { 126 } else { 127 });
        home.sh(&id, "exit 42").status(42);
        for (signal, status) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
            home.sh(&id, &format!("kill -{signal} $$")).status(status);
        }
    }
    home.assert_clean();
}
