//! What loads and what does not.

use super::*;

const CANARY: &str = include_str!("../../../../extensions-wasm/canary/extension.toml");
const BUBBLEWRAP: &str = include_str!("../../../../extensions-wasm/bubblewrap/extension.toml");

fn minimal(command: &str) -> String {
    format!(
        r#"
name = "ext.x"
version = "1"
world = "sandboxer:extension@0.1.0"
summary = "s"
[ssh.host]
reason = "r"
run-as = "connection"
[ssh.host.commands.c]
about = "a"
{command}
"#
    )
}

fn refused(text: &str, why: &str) {
    let problems = Manifest::parse(text).unwrap_err().0;
    assert!(problems.iter().any(|problem| problem.contains(why)), "expected {why:?} among {problems:?}");
}

#[test]
fn the_bundled_manifests_load_and_their_wide_list_is_exactly_exec_command() {
    for text in [CANARY, BUBBLEWRAP] {
        let manifest = Manifest::parse(text).unwrap();
        let wide: Vec<String> =
            manifest.wide().iter().map(|(path, hole)| format!("{}: {hole}", path.command)).collect();
        assert_eq!(wide, ["exec: command"]);
    }
}

#[test]
fn a_minimal_manifest_loads() {
    let manifest = Manifest::parse(&minimal("program = 'true'")).unwrap();
    let (_, _, command) = manifest.commands().next().unwrap();
    assert_eq!(command.timeout, Duration::from_secs(30));
    assert_eq!(command.phases, [Phase::Provision, Phase::WaitReady, Phase::Teardown]);
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    refused(&format!("extra = 1\n{}", minimal("program = 'x'")), "unknown field `extra`");
    refused(&minimal("program = 'x'\nenv = { A = '1' }"), "unknown field `env`");
    refused(&minimal("program = 'x'\nargv = ['{h}']\nholes.h = { type = 'name', min = 1 }"), "unknown field");
    refused(&minimal("program = 'x'\nargv = ['{h}']\nholes.h = { type = 'regex' }"), "unknown variant `regex`");
    refused(&minimal("program = 'x'\nphases = ['build']"), "unknown variant `build`");
}

#[test]
fn a_hole_in_program_text_does_not_load() {
    let hole = "holes.h = { type = 'text', max-bytes = 9 }";
    refused(&minimal(&format!("program = 'sh'\nargv = ['-c', 'echo {{h}}']\n{hole}")), "takes its program text");
    refused(&minimal(&format!("program = 'ssh'\nargv = ['x', '{{h}}']\n{hole}")), "after `ssh`");
    refused(&minimal(&format!("program = ['true', 'sudo x']\nargv = ['{{h}}']\n{hole}")), "after `sudo`");
    refused(&minimal("program = 'sh'\nargv = ['-c', '{input.text}']"), "takes its program text");
    refused(&minimal(&format!("script = 'eval \"$1\"'\nargv = ['{{h}}']\n{hole}")), "eval");
    refused(
        &minimal("program = 'sudo'\nargv = ['{c...}']\nholes.c = { type = 'argv', max-items = 3 }"),
        "after `sudo`",
    );
}

#[test]
fn holes_are_typed_and_used_and_rest_arguments_stand_last() {
    refused(&minimal("program = 'x'\nargv = ['{h}']"), "`h` has no type");
    refused(&minimal("program = 'x'\nholes.h = { type = 'name' }"), "stands nowhere");
    refused(
        &minimal("program = 'x'\nargv = ['{c...}', 'y']\nholes.c = { type = 'argv', max-items = 3 }"),
        "must stand last",
    );
    refused(&minimal("program = 'x'\nargv = ['{c}']\nholes.c = { type = 'argv', max-items = 3 }"), "three dots");
    refused(&minimal("program = 'x'\nargv = ['{c...}']\nholes.c = { type = 'name' }"), "must have the type argv");
    refused(
        &minimal("program = 'x'\nargv = ['{h}']\nholes.h = { type = 'integer', min = 3, max = 1 }"),
        "min over its max",
    );
    refused(&minimal("program = 'x'\nargv = ['{h}']\nholes.h = { type = 'enum', values = ['-x'] }"), "dash");
}

#[test]
fn a_program_is_a_plain_name() {
    refused(&minimal("program = '{h}'"), "not the name of a program");
    refused(&minimal("program = 'x; y'"), "not the name of a program");
    refused(&minimal("program = ['a', '']"), "not the name of a program");
    refused(&minimal("program = 'x'\nscript = 'y'"), "both");
    refused(&minimal(""), "needs `program` or `script`");
    refused(&minimal("program = 'x'\ntimeout = '0s'"), "between 1s and 24h");
    refused(&minimal("program = 'x'\ntimeout = '2 days'"), "not a duration");
}

#[test]
fn what_is_made_can_be_found_and_removed_by_the_host_alone() {
    let resource = |lookup: &str, more: &str| {
        format!(
            "{}\n{more}\n[resources.it]\nidentity = 'name'\ncreated-by = 'host.c'\nlookup = '{lookup}'\nabsent = {{ stdout = 'empty' }}\ndestroyed-by = 'host.rm'\n",
            minimal("program = 'x'\ncreates = 'it'")
        )
    };
    let removal =
        "[ssh.host.commands.rm]\nabout = 'a'\nprogram = 'rm'\n[ssh.host.commands.ls]\nabout = 'a'\nprogram = 'ls'\n";
    assert!(Manifest::parse(&resource("host.ls", removal)).is_ok());
    refused(&minimal("program = 'x'\ncreates = 'it'"), "no resource of that name");
    refused(&resource("host.nothing", removal), "is no command");
    let holey = removal.replace("program = 'ls'", "program = 'ls'\nargv = ['{h}']\nholes.h = { type = 'name' }");
    refused(&resource("host.ls", &holey), "only the adapter could fill");
    let conditional = removal.replace("program = 'ls'", "program = 'ls'\nwhen = { input = 'a', is = 'b' }");
    refused(&resource("host.ls", &conditional), "condition");
    let early = removal.replace("program = 'ls'", "program = 'ls'\nphases = ['provision']");
    refused(&resource("host.ls", &early), "teardown phase");
}

#[test]
fn exec_and_logs_stand_apart_from_making_things() {
    refused(&minimal("program = 'x'\nphases = ['exec', 'teardown']"), "that phase alone");
    refused(&minimal("program = 'x'\nphases = ['exec']\njob = true"), "neither a job");
}
