//! The house's floors: crates on one floor never import each other, and nothing imports upward.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

use crate::home::repository;

/// The floor of each crate. A crate that is not here has no place in the house.
fn floors() -> BTreeMap<&'static str, u8> {
    BTreeMap::from([
        ("sandboxer-model", 0),
        ("sandboxer-guard", 1),
        ("sandboxer-service", 2),
        ("sandboxer-runtime", 2),
        ("sandboxer-brokers", 2),
        ("sandboxer-store", 2),
        ("sandboxer", 4),
        // Never shipped: only as a dev-dependency.
        ("sandboxer-testkit", 5),
        ("sandboxer-tests", 6),
    ])
}

/// What only one crate, or only the upper floors, may know.
const RESERVED: &[(&str, &[&str])] = &[
    ("wasmtime", &["sandboxer-runtime"]),
    ("wasmtime-wasi", &["sandboxer-runtime"]),
    ("russh", &["sandboxer-brokers"]),
    ("cap-std", &["sandboxer-brokers"]),
    ("rusqlite", &["sandboxer-store"]),
    ("clap", &["sandboxer"]),
];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The rule: a violation for each import that breaks it.
fn violations(packages: &[Value]) -> Vec<String> {
    let floors = floors();
    let mut violations = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let Some(floor) = floors.get(name) else {
            violations.push(format!("{name} has no floor"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let dev = dependency["kind"] == "dev";
            if let Some(below) = floors.get(on)
                && below >= floor
                && !(dev && on == "sandboxer-testkit")
            {
                violations.push(format!("{name} (floor {floor}) imports {on} (floor {below})"));
            }
            if let Some((_, allowed)) = RESERVED.iter().find(|(reserved, _)| *reserved == on)
                && !allowed.contains(&name)
                && !dev
            {
                violations.push(format!("{name} imports {on}, which is for {allowed:?} alone"));
            }
            if name == "sandboxer-guard" && !dev && (on == "tokio" || on.starts_with("wasmtime")) {
                violations.push(format!("the guard imports {on}"));
            }
        }
    }
    violations
}

#[test]
fn nothing_imports_upward_or_sideways() {
    let packages = packages();
    assert_eq!(packages.len(), floors().len(), "every crate is judged");
    assert_eq!(violations(&packages), Vec::<String>::new());
}

#[test]
fn an_import_that_breaks_the_rule_is_found() {
    let bad = serde_json::json!([{
        "name": "sandboxer-guard",
        "dependencies": [{ "name": "sandboxer-store", "kind": null }, { "name": "tokio", "kind": null }, { "name": "wasmtime", "kind": null }],
    }]);
    assert_eq!(violations(bad.as_array().unwrap()).len(), 4);
}
