//! Hostile values through the front door: they arrive byte for byte, or are refused before anything is sent.

use std::fs;

use crate::home::Home;

/// Values that shells, quoting and templates have stumbled over.
pub(crate) const HOSTILE: &[&str] = &[
    "",
    " ",
    "  a  ",
    "-x",
    "--",
    "--help",
    "-",
    "a b",
    "a\tb",
    "a\nb",
    "\n",
    "a\r\nb",
    "'",
    "\"",
    "\\",
    "\\\\'",
    "''",
    "\"\"",
    "`touch PWNED`",
    "$(touch PWNED)",
    "${HOME}",
    "$HOME",
    "$1",
    "$@",
    "$$",
    "; touch PWNED",
    "| touch PWNED",
    "& touch PWNED",
    "&& touch PWNED",
    "> PWNED",
    "< /etc/passwd",
    "*",
    "?",
    "[a-z]*",
    "~",
    "~root",
    "!",
    "!!",
    "!$",
    "#",
    "a#b",
    "{a,b}",
    "{sandbox}",
    "{workspace}",
    "{command...}",
    "{{",
    "}}",
    "%s",
    "%n",
    "\u{1b}[31m",
    "\u{7}",
    "\u{8}",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "ä",
    "日本",
    "🦀",
    "a=b",
    "=",
    "A=",
    "../../etc/passwd",
    "/etc/passwd",
    "'; touch PWNED; '",
    "\"; touch PWNED; \"",
    "';touch${IFS}PWNED;'",
    "\\'; touch PWNED #",
    "\u{0}1",
];

const SHOW: &str = "import os, sys; os.write(1, b'\\0'.join(os.fsencode(a) for a in sys.argv[1:]))";

#[test]
fn arguments_arrive_byte_for_byte() {
    let home = Home::new();
    let values: Vec<&str> = HOSTILE.iter().copied().filter(|value| !value.contains('\0')).collect();
    for profile in ["profile.agent-dev", "profile.sandbox-canary"] {
        let id = home.create(&["--profile", profile]);
        let mut args = vec!["exec", &id, "--", "python3", "-c", SHOW];
        args.extend(&values);
        let ran = home.run(args);
        ran.succeeded();
        let arrived: Vec<&[u8]> = ran.output.stdout.split(|b| *b == 0).collect();
        let sent: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        assert_eq!(arrived, sent);
        home.sh(&id, "test ! -e PWNED").succeeded();
    }
    home.assert_clean();
}

#[test]
fn what_cannot_arrive_is_refused_and_written_down() {
    let home = Home::new();
    let id = home.sandbox();
    // Over the limit of one line to the far side.
    let long = "x".repeat(130_000);
    let (status, error) = home.error(["exec", &id, "--", "echo", &long]);
    assert_eq!((status, error["code"].as_str().unwrap()), (125, "call.denied"));
    let many: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let mut args = vec!["exec", &id, "--", "echo"];
    args.extend(many.iter().map(String::as_str));
    let (status, error) = home.error(args);
    assert_eq!((status, error["code"].as_str().unwrap()), (125, "call.denied"));
    // A directory that looks like a flag is a directory that is not there.
    home.run(["exec", "--cwd", "-P", &id, "--", "true"]).status(126);
    let (status, error) = home.error(["exec", "--cwd", "a\nb", &id, "--", "true"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (125, "call.denied"));
    let ledger = home.json(["audit", "ledger", &id]);
    let denied = ledger["entries"].as_array().unwrap().iter().filter(|e| e["body"]["entry"] == "denied").count();
    assert!(denied >= 3, "{denied} denials are in the ledger");
    home.assert_clean();
}

#[test]
fn a_project_with_hostile_names_goes_up_as_it_is() {
    let home = Home::new();
    let project = home.path("project");
    fs::create_dir(&project).unwrap();
    let mut names: Vec<&str> = HOSTILE
        .iter()
        .copied()
        .filter(|name| !name.is_empty() && !name.contains(['/', '\0']) && *name != "." && *name != "..")
        .collect();
    names.sort_unstable();
    for name in &names {
        fs::write(project.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", project.join("absolute")).unwrap();
    std::os::unix::fs::symlink("nowhere", project.join("dangling")).unwrap();
    let id = home.create(&["--profile", "profile.agent-dev", "-i", &format!("project={}", project.display())]);
    let list = "import os; print('\\0'.join(sorted(n for n in os.listdir('.') if not os.path.islink(n))), end='')";
    let ran = home.run(["exec", &id, "--", "python3", "-c", list]);
    assert_eq!(ran.succeeded().stdout().split('\0').collect::<Vec<_>>(), names);
    let links = home.sh(&id, "readlink absolute dangling");
    assert_eq!(links.succeeded().stdout(), "/etc/passwd\nnowhere\n");
    home.assert_clean();
}
