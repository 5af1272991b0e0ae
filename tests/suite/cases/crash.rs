//! `kill -9` at every crash point of create, exec and destroy. The points are every guard pass and every store commit of a traced
//! run; the lists are compared with what is recorded here, so that a new point is a decision and a lost one is noticed.

use std::{fs, os::unix::process::ExitStatusExt, process::Command};

use crate::home::Home;

/// The points that a command passes.
fn traced(home: &Home, args: &[&str]) -> Vec<String> {
    let trace = home.path("trace");
    let status = home.command(args).env("SANDBOXER_CRASH_TRACE", &trace).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let points = fs::read_to_string(&trace).unwrap().lines().map(str::to_owned).collect();
    fs::remove_file(trace).unwrap();
    points
}

/// Runs a command that is killed at its `n`-th point, from 1.
fn killed_at(home: &Home, n: usize, args: &[&str]) {
    let mut command: Command = home.command(args);
    let output = command.env("SANDBOXER_CRASH_AT", n.to_string()).output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "point {n}: {command:?} {}", String::from_utf8_lossy(&output.stderr));
}

/// The sandboxes that are not destroyed.
fn live(home: &Home) -> Vec<String> {
    let listed = home.json(["list"]);
    listed["sandboxes"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect()
}

fn project(home: &Home) -> String {
    let dir = home.path("project");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("file"), "content\n").unwrap();
    format!("project={}", dir.display())
}

#[test]
fn the_crash_points_are_the_known_ones() {
    let home = Home::new();
    let input = project(&home);
    home.json(["list"]);
    let create = traced(&home, &["create", "--profile", "profile.agent-dev", "--input", &input, "--name", "x"]);
    let exec = traced(&home, &["exec", "x", "--", "true"]);
    let destroy = traced(&home, &["destroy", "x"]);
    // How often readiness is asked for depends on the machine's mood: each point counts once.
    let once = |points: Vec<String>| {
        let mut seen = Vec::new();
        for point in points {
            if !seen.contains(&point) {
                seen.push(point);
            }
        }
        seen.join("\n")
    };
    insta::assert_snapshot!("create", once(create));
    insta::assert_snapshot!("exec", once(exec));
    insta::assert_snapshot!("destroy", once(destroy));
    home.assert_clean();
}

/// Kills a create at every point; `then` deals with what is left, and in the end nothing is.
fn every_point_of_create(then: impl Fn(&Home, &str, usize)) {
    let probe = Home::new();
    let input = project(&probe);
    probe.json(["list"]);
    let points = traced(&probe, &["create", "--profile", "profile.agent-dev", "--input", &input, "--name", "x"]).len();
    probe.assert_clean();
    assert!(points > 20, "only {points} points");
    let mut left = 0;
    for n in 1..=points {
        let home = Home::new();
        let input = project(&home);
        home.json(["list"]);
        let args = ["create", "--profile", "profile.agent-dev", "--input", &input, "--name", "x"];
        let mut command = home.command(args);
        let output = command.env("SANDBOXER_CRASH_AT", n.to_string()).output().unwrap();
        // A quicker run may pass fewer points than the traced one; it must then have ended well.
        if output.status.success() {
            assert!(n > points - 8, "point {n} of {points} was not reached");
        } else {
            assert_eq!(output.status.signal(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let found = live(&home);
        assert!(found.len() <= 1, "point {n}: {found:?}");
        if let [id] = found.as_slice() {
            left += 1;
            then(&home, id, n);
        }
        home.assert_clean();
    }
    assert!(left > points / 2, "a sandbox was left only {left} times of {points}");
}

#[test]
fn a_create_killed_anywhere_is_destroyed_without_a_trace() {
    every_point_of_create(|home, id, n| {
        home.run(["destroy", id]).succeeded();
        assert_eq!(home.homes(), Vec::<String>::new(), "point {n}");
    });
}

#[test]
fn a_create_killed_anywhere_is_taken_over_and_finished() {
    every_point_of_create(|home, id, n| {
        let ready = home.json(["wait", id, "--timeout", "30"]);
        assert_eq!(ready["state"], "ready", "point {n}");
        assert_eq!(home.homes().len(), 1, "point {n}");
        let inside = home.sh(id, "cat file && pgrep -c sleep");
        assert_eq!(inside.succeeded().stdout(), "content\n1\n", "point {n}: one sandbox, with its files");
        home.run(["audit", "verify", id]).succeeded();
    });
}

#[test]
fn an_exec_killed_anywhere_leaves_the_sandbox_as_it_was() {
    let home = Home::new();
    let id = home.sandbox();
    let points = traced(&home, &["exec", &id, "--", "true"]).len();
    for n in 1..=points {
        killed_at(&home, n, &["exec", &id, "--", "sh", "-c", "sleep 0.01"]);
        home.run(["exec", &id, "--", "true"]).succeeded();
    }
    home.run(["audit", "verify", &id]).succeeded();
    home.assert_clean();
}

#[test]
fn a_destroy_killed_anywhere_can_be_asked_for_again() {
    let home = Home::new();
    let probe = home.sandbox();
    let points = traced(&home, &["destroy", &probe]).len();
    assert!(points > 10, "only {points} points");
    for n in 1..=points {
        let id = home.sandbox();
        killed_at(&home, n, &["destroy", &id]);
        home.run(["destroy", &id]).succeeded();
        assert_eq!(home.homes(), Vec::<String>::new(), "point {n}");
        assert_eq!(home.json(["get", &id])["state"], "destroyed");
        home.run(["audit", "verify", &id]).succeeded();
    }
    home.assert_clean();
}

#[test]
fn a_takeover_that_is_killed_too_is_taken_over_again() {
    // Every third point of the create, and of its takeover, so that the product stays small.
    let home = Home::new();
    home.json(["list"]);
    for first in (1..=24).step_by(3) {
        for second in (1..=24).step_by(5) {
            let create = home
                .command(["create", "--profile", "profile.agent-dev"])
                .env("SANDBOXER_CRASH_AT", first.to_string())
                .output()
                .unwrap();
            let [id] = live(&home).try_into().unwrap_or_else(|_| [String::new()]);
            if id.is_empty() {
                assert!(!create.status.success());
                continue;
            }
            drop(home.command(["wait", &id]).env("SANDBOXER_CRASH_AT", second.to_string()).output().unwrap());
            assert_eq!(home.json(["wait", &id])["state"], "ready", "points {first} and {second}");
            home.run(["destroy", &id]).succeeded();
            assert_eq!(home.homes(), Vec::<String>::new(), "points {first} and {second}");
        }
    }
    home.assert_clean();
}
