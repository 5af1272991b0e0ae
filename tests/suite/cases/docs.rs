//! The documentation is true: every command that it shows runs, and every error code stands in its page.
//!
//! The alternative, documents that a person keeps true, is true on the day it is written. CONTRIBUTING.md has the rules for
//! blocks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sandboxer_guard::manifest::Manifest;
use sandboxer_model::ErrorCode;

use crate::home::{Home, binary, repository};

/// The longest that one command of a document may take.
const SECONDS: &str = "120";

/// One line that begins with `$ `, and what is shown beneath it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// Where it stands: `README.md:12`.
    place: String,
    command: String,
    exits: i32,
    shown: Vec<String>,
}

/// README.md, CONTRIBUTING.md and docs/*.md, relative to the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md")];
    for entry in fs::read_dir(repository().join("docs")).unwrap() {
        let name = entry.unwrap().file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            pages.push(Path::new("docs").join(name));
        }
    }
    pages.sort();
    pages
}

fn text_of(page: &Path) -> String {
    let path = repository().join(page);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The steps of all blocks that are marked `console`.
fn steps(page: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        let place = format!("{page}:{number}");
        match line.trim_end() {
            "```console" => {
                assert!(!inside, "{place}: a block begins within another one");
                inside = true;
                let first = text.lines().nth(number).unwrap_or_default();
                assert!(first.starts_with("$ "), "{place}: a block must begin with a command");
            }
            "```" => inside = false,
            _ if !inside => {}
            line => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    let exits = command.rsplit_once("# exits ").map_or(0, |(_, status)| status.parse().unwrap());
                    steps.push(Step { place, command: command.to_owned(), exits, shown: Vec::new() });
                }
                (None, Some(step)) if !line.is_empty() && line != "..." => step.shown.push(line.to_owned()),
                (None, _) => {}
            },
        }
    }
    assert!(!inside, "{page}: a block does not end");
    steps
}

/// Runs of white space as one space: tables are as wide as what stands in them.
fn narrow(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the line is as shown; `...` in it stands for anything.
fn fits(shown: &str, line: &str) -> bool {
    let (shown, line) = (narrow(shown), narrow(line));
    let mut parts = shown.split("...");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first.trim_end())) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        let Some(at) = rest.find(part.trim()) else { return false };
        rest = &rest[at + part.trim().len()..];
        open = part.trim().is_empty();
    }
    open || rest.is_empty()
}

/// The first shown line that is not in the output, in this order.
fn missing<'s>(shown: &'s [String], output: &str) -> Option<&'s String> {
    let mut lines = output.lines();
    shown.iter().find(|wanted| !lines.any(|line| fits(wanted, line)))
}

/// Runs one command with the binary first on `PATH`, in a directory that belongs to the page.
fn run(home: &Home, step: &Step) -> String {
    let bin = binary().parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("timeout")
        .args(["--kill-after=5", SECONDS, "bash", "-c", &format!("exec 2>&1\n{}", step.command)])
        .current_dir(home.path("page"))
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", home.path("page"))
        .env("SANDBOXER_DATA_DIR", home.path("data"))
        .env("SANDBOXER_CONFIG_DIR", home.path("config"))
        .env("SANDBOXER_CACHE_DIR", bin.join("suite-cache"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(step.exits), "{}: $ {}\n{text}", step.place, step.command);
    text
}

/// Runs all commands of one page in order; the page must leave no sandbox.
fn run_page(page: &str) {
    let steps = steps(page, &text_of(Path::new(page)));
    assert!(!steps.is_empty(), "{page} shows no command in a block marked `console`");
    let home = Home::new();
    fs::create_dir(home.path("page")).unwrap();
    for step in &steps {
        let output = run(&home, step);
        if let Some(line) = missing(&step.shown, &output) {
            panic!("{}: $ {}\nshows `{line}`, but the output is\n{output}", step.place, step.command);
        }
    }
    let left = home.json(["list"]);
    assert_eq!(left["sandboxes"], serde_json::json!([]), "{page} does not clean up after itself");
    home.assert_clean();
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    run_page("README.md");
}

#[test]
fn the_commands_about_configuration_do_what_the_page_says() {
    run_page("docs/configuration.md");
}

#[test]
fn the_commands_about_errors_do_what_the_page_says() {
    run_page("docs/errors.md");
}

#[test]
fn the_commands_about_extensions_do_what_the_page_says() {
    run_page("docs/extensions.md");
}

#[test]
fn the_commands_about_the_ledger_do_what_the_page_says() {
    run_page("docs/ledger.md");
}

#[test]
fn the_commands_about_security_do_what_the_page_says() {
    run_page("docs/security.md");
}

#[test]
fn every_page_with_commands_is_run() {
    let run = [
        "README.md",
        "docs/configuration.md",
        "docs/errors.md",
        "docs/extensions.md",
        "docs/ledger.md",
        "docs/security.md",
    ];
    let with_commands: Vec<String> = pages()
        .iter()
        .map(|page| page.display().to_string())
        .filter(|page| !steps(page, &text_of(Path::new(page))).is_empty())
        .collect();
    assert_eq!(with_commands, run, "each page with commands has a test of its own above");
}

#[test]
fn blocks_are_read_as_they_are_documented() {
    let text = "x\n```sh\n$ not run\n```\n```console\n$ one\na  b\n\n...\nc\n$ two # exits 3\n```\n";
    let step = |place: &str, command: &str, exits, shown: &[&str]| Step {
        place: place.to_owned(),
        command: command.to_owned(),
        exits,
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(steps("p", text), [step("p:6", "one", 0, &["a  b", "c"]), step("p:11", "two # exits 3", 3, &[])]);
    assert!(fits("a b", "a   b") && !fits("a b", "a b c") && !fits("b", "a b"));
    assert!(fits("id ... ready ...", "id 123 ready now") && !fits("id ... ready", "id 123 ready now"));
    let shown = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert_eq!(missing(&shown(&["a", "c"]), "a\nb\nc\n"), None);
    assert_eq!(missing(&shown(&["c", "a"]), "a\nb\nc\n"), Some(&"a".to_owned()), "order counts");
}

/// The first fenced block of this kind that begins so.
fn block(page: &str, kind: &str, begins: &str) -> String {
    let text = text_of(Path::new(page));
    let found = text.split(&format!("```{kind}\n")).skip(1).find(|block| block.starts_with(begins));
    let (block, _) = found.and_then(|block| block.split_once("```\n")).unwrap_or_else(|| panic!("{page}: {begins}"));
    block.to_owned()
}

#[test]
fn the_manifest_that_is_shown_is_a_whole_one() {
    let text = block("docs/extensions.md", "toml", "name = \"ext.");
    let manifest = Manifest::parse(&text).unwrap();
    assert_eq!(manifest.name.as_str(), "greeter");
    assert_eq!(manifest.commands().count(), 4);
    let holed =
        text.replace("program = \"rm\"", "program = \"sh -c\"").replace("\"-f\", \"{state}/clock\"", "\"{state}\"");
    assert_ne!(text, holed);
    assert!(Manifest::parse(&holed).unwrap_err().to_string().contains("program text"));
}

#[test]
fn the_hosts_that_are_shown_can_be_declared_so() {
    let home = Home::new();
    fs::write(home.path("config/connections.toml"), block("docs/configuration.md", "toml", "[hosts.build]")).unwrap();
    let listed = home.json(["hosts", "list"]);
    let names: Vec<&str> =
        listed["hosts"].as_array().unwrap().iter().filter_map(|host| host["name"].as_str()).collect();
    assert_eq!(names, ["local", "build"]);
}

#[test]
fn every_error_code_is_documented_and_no_other() {
    let text = text_of(Path::new("docs/errors.md"));
    let mut entries: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("- `") {
            entries.push(String::new());
            inside = true;
        } else if !line.starts_with("  ") {
            inside = false;
        }
        if let Some(entry) = entries.last_mut().filter(|_| inside) {
            entry.push_str(line);
            entry.push(' ');
        }
    }
    assert_eq!(entries.len(), ErrorCode::ALL.len(), "{entries:#?}");
    for (entry, code) in entries.iter().zip(ErrorCode::ALL) {
        let entry = narrow(entry);
        let begins = format!("- `{code}`, exits {}: ", code.exit_status());
        assert!(entry.starts_with(&begins), "`{begins}` should begin: {entry}");
        let ends = format!("Hint: {}", code.hint());
        assert!(entry.ends_with(&ends), "`{ends}` should end: {entry}");
    }
}

/// Every page, decisions included.
fn all_pages() -> Vec<PathBuf> {
    let mut all = pages();
    all.push(PathBuf::from("CHANGELOG.md"));
    for entry in fs::read_dir(repository().join("docs/adr")).unwrap() {
        all.push(Path::new("docs/adr").join(entry.unwrap().file_name()));
    }
    all
}

#[test]
fn lines_are_short_and_links_lead_somewhere() {
    let mut links = 0;
    for page in all_pages() {
        for (number, line) in (1..).zip(text_of(&page).lines()) {
            let place = format!("{}:{number}", page.display());
            assert!(line.chars().count() <= 120, "{place} is longer than 120 characters");
            for link in line.split("](").skip(1) {
                let target = link.split([')', '#']).next().unwrap_or_default();
                if target.is_empty() || target.starts_with("http") {
                    continue;
                }
                let path = repository().join(&page).parent().unwrap().join(target);
                assert!(path.exists(), "{place} links to {target}, which is not there");
                links += 1;
            }
        }
    }
    assert!(links > 10, "only {links} links were found");
}

#[test]
fn decisions_are_numbered_and_short() {
    let mut names: Vec<String> = fs::read_dir(repository().join("docs/adr"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    for (number, name) in (1..).zip(&names) {
        assert!(name.starts_with(&format!("{number:04}-")), "{name} should be number {number}");
        let text = text_of(&Path::new("docs/adr").join(name));
        assert!(text.lines().count() <= 40, "{name} has more than 40 lines");
        for part in ["## Context", "## Decision", "## What it costs"] {
            assert!(text.contains(part), "{name} has no `{part}`");
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let page = text_of(Path::new("docs/adr/0011-dependencies.md"));
    let words: Vec<&str> = page.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c))).collect();
    let mut manifests =
        vec![repository().join("tests/Cargo.toml"), repository().join("extensions-wasm/sdk/Cargo.toml")];
    manifests.extend(
        fs::read_dir(repository().join("host")).unwrap().map(|crate_| crate_.unwrap().path().join("Cargo.toml")),
    );
    let mut used = 0;
    for manifest in manifests {
        for line in fs::read_to_string(&manifest).unwrap().lines() {
            let Some((name, _)) = line.split_once(".workspace = true") else { continue };
            let own = name.starts_with("sandboxer");
            // Keys of `[package]` are written in the same way.
            if own || ["version", "edition", "rust-version", "license", "publish"].contains(&name) {
                continue;
            }
            assert!(words.contains(&name), "{}: {name} has no line in the page", manifest.display());
            used += 1;
        }
    }
    assert!(used > 50, "only {used} dependencies were found");
}
