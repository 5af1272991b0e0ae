//! Wrong requests: a typed error with every problem, and nothing changed.

use std::fs;

use crate::home::Home;

fn fields(error: &serde_json::Value) -> Vec<String> {
    error["problems"].as_array().unwrap().iter().map(|p| p["field"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_input_problem_is_listed_at_once_and_nothing_is_made() {
    let home = Home::new();
    let (status, error) = home.error([
        "create",
        "--profile",
        "profile.agent-dev",
        "-i",
        "typo=1",
        "-i",
        "network=some",
        "-i",
        "memory-mib=many",
        "-i",
        "project=/no/such/directory",
        "-i",
        "processes=0",
    ]);
    assert_eq!((status, error["code"].as_str().unwrap()), (2, "input.invalid"));
    let mut fields = fields(&error);
    fields.sort();
    assert_eq!(fields, ["input.memory-mib", "input.network", "input.processes", "input.project", "input.typo"]);
    assert_eq!(home.json(["list", "--all"])["sandboxes"].as_array().unwrap().len(), 0);
    assert_eq!(home.homes(), Vec::<String>::new());
    home.assert_clean();
}

#[test]
fn unknown_things_are_named_with_what_to_do() {
    let home = Home::new();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["create", "--profile", "profile.nope"], 3, "profile.unknown"),
        (&["create", "--host", "nowhere"], 3, "host.unknown"),
        (&["get", "nope"], 3, "sandbox.unknown"),
        (&["destroy", "nope"], 3, "sandbox.unknown"),
        (&["extension", "inspect", "ext.nope"], 3, "extension.unknown"),
        (&["extension", "inspect", "/no/such.wasm"], 2, "file.unusable"),
        (&["profiles", "show", "profile.nope"], 3, "profile.unknown"),
        (&["cp", "a", "b"], 2, "usage.invalid"),
        (&["audit", "ledger", "nope"], 3, "sandbox.unknown"),
        (&["wait", "nope"], 3, "sandbox.unknown"),
    ];
    for (args, status, code) in cases {
        let (found, error) = home.error(*args);
        assert_eq!((found, error["code"].as_str().unwrap()), (*status, *code), "{args:?}");
        assert!(!error["hint"].as_str().unwrap().is_empty());
    }
    let (status, error) = home.error(["exec", "nope", "--", "true"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (125, "sandbox.unknown"));
    home.assert_clean();
}

#[test]
fn a_name_is_taken_until_its_sandbox_is_destroyed() {
    let home = Home::new();
    let first = home.create(&["--name", "web"]);
    let (status, error) = home.error(["create", "--name", "web"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (4, "name.taken"));
    assert_eq!(home.homes().len(), 1);
    assert_eq!(home.json(["get", "web"])["id"], first.as_str());
    home.run(["destroy", "web"]).succeeded();
    let second = home.create(&["--name", "web"]);
    assert_eq!(home.json(["get", "web"])["id"], second.as_str(), "a live name wins over a destroyed one");
    home.assert_clean();
}

#[test]
fn destroy_is_idempotent_and_a_slip_touches_nothing() {
    let home = Home::new();
    let id = home.create(&[]);
    let (_, error) = home.error(["destroy", &id, "no-such-one"]);
    assert_eq!(error["code"], "sandbox.unknown");
    assert_eq!(home.json(["get", &id])["state"], "ready");
    home.run(["destroy", &id]).succeeded();
    home.run(["destroy", &id]).succeeded();
    let (status, error) = home.error(["exec", &id, "--", "true"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (125, "sandbox.state"));
    home.assert_clean();
}

#[test]
fn a_data_directory_that_cannot_be_used_is_said_to_be_so() {
    let home = Home::new();
    fs::write(home.path("file"), "x").unwrap();
    let below = home.path("file/data").display().to_string();
    let (status, error) = home.error(["--data-dir", &below, "list"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (9, "store.unavailable"));
    assert_eq!(fs::read(home.path("file")).unwrap(), b"x");
}

#[test]
fn a_corrupt_or_foreign_store_is_refused_and_left_as_it_is() {
    let home = Home::new();
    home.create(&[]);
    let store = home.path("data/store.db");
    let good = fs::read(&store).unwrap();
    for (bytes, code) in [
        (b"this is not a database, but somebody's notes".to_vec(), "store.foreign"),
        (good[..good.len() / 2].to_vec(), "store.corrupt"),
    ] {
        for side in ["data/store.db-wal", "data/store.db-shm"] {
            drop(fs::remove_file(home.path(side)));
        }
        fs::write(&store, &bytes).unwrap();
        let (status, error) = home.error(["list"]);
        assert_eq!((status, error["code"].as_str().unwrap()), (9, code));
        assert_eq!(fs::read(&store).unwrap(), bytes, "{code}: the file was changed");
    }
    fs::write(&store, &good).unwrap();
    home.assert_clean();
}

#[test]
fn configuration_is_refused_with_the_place() {
    let home = Home::new();
    fs::write(home.path("config/config.toml"), "hots = \"x\"\n").unwrap();
    let (status, error) = home.error(["list"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (2, "config.invalid"));
    assert!(error["message"].as_str().unwrap().contains("hots"));
    fs::remove_file(home.path("config/config.toml")).unwrap();
    fs::write(home.path("config/connections.toml"), "[hosts.x]\nadress = \"y\"\n").unwrap();
    let (status, error) = home.error(["create"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (2, "config.invalid"));
    assert!(error["message"].as_str().unwrap().contains("adress"));
}
