//! Program text: the argument that an interpreter takes for a program. No hole may stand in it, because a value there is
//! not data but code.
//!
//! The rule is conservative: wherever a literal word names a shell, an interpreter or a launcher, also in the middle of
//! the arguments of another program, what follows is judged as that program's arguments.

use crate::template::Word;

/// Programs that take a script as an argument or as their first file.
const INTERPRETERS: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "ash",
    "zsh",
    "ksh",
    "mksh",
    "yash",
    "fish",
    "csh",
    "tcsh",
    "busybox",
    "python",
    "python2",
    "python3",
    "perl",
    "ruby",
    "node",
    "nodejs",
    "deno",
    "bun",
    "lua",
    "luajit",
    "php",
    "awk",
    "gawk",
    "mawk",
    "sed",
    "tclsh",
    "expect",
    "Rscript",
    "osascript",
    "make",
    "psql",
    "mysql",
    "sqlite3",
    "gdb",
    "vim",
    "ed",
];

/// Flags after which program text stands.
const TEXT_FLAGS: &[&str] =
    &["-c", "-e", "-E", "-r", "-p", "--eval", "--execute", "--command", "--print", "--expression", "--source"];

/// Programs that hand what follows to another program, another user or another machine, or run it as a template.
const FORBIDDEN_LAUNCHERS: &[&str] = &[
    "ssh",
    "sudo",
    "su",
    "doas",
    "pkexec",
    "runuser",
    "eval",
    "xargs",
    "find",
    "parallel",
    "watch",
    "script",
    "at",
    "batch",
    "crontab",
    "systemd-run",
    "chroot",
    "start-stop-daemon",
    "rsh",
    "mosh",
    "telnet",
    "socat",
    "nc",
];

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_interpreter(word: &str) -> bool {
    let name = base(word);
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.iter().any(|known| *known == name || *known == stem)
}

/// Shells take the word after their program text for their own name.
fn is_shell(word: &str) -> bool {
    matches!(base(word), "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "mksh" | "yash")
}

fn is_text_flag(word: &str) -> bool {
    TEXT_FLAGS.contains(&word)
        // Bundled short flags: `-ec`, `-lc`.
        || (word.starts_with('-') && !word.starts_with("--") && word.len() > 2 && word.ends_with(['c', 'e']))
}

/// Checks the words of a command, its program first.
///
/// # Errors
/// A sentence that names the word in which a hole is not allowed.
pub fn check(program: &[&str], words: &[Word]) -> Result<(), String> {
    // A program's own words are literal: `docker compose`, `sh -c`.
    let mut state = State::default();
    for word in program {
        state.see(Some(word))?;
    }
    for word in words {
        state.see(word.literal())?;
    }
    Ok(())
}

#[derive(Default)]
struct State {
    /// The interpreter whose arguments we are in.
    interpreter: Option<String>,
    /// Whether its program text, or the file that holds it, has been seen.
    has_program: bool,
    /// Whether the word before was a flag after which program text stands.
    text_next: bool,
    /// Whether the next word is what a shell calls itself (`$0`), which is only a name.
    name_next: bool,
    /// The launcher after which nothing may be filled in.
    launcher: Option<String>,
}

impl State {
    fn see(&mut self, literal: Option<&str>) -> Result<(), String> {
        let Some(word) = literal else {
            self.name_next = false;
            if let Some(launcher) = &self.launcher {
                return Err(format!("a hole after `{launcher}` would choose what it runs"));
            }
            if let Some(interpreter) = &self.interpreter
                && (self.text_next || !self.has_program)
            {
                return Err(format!("a hole stands where `{interpreter}` takes its program text"));
            }
            return Ok(());
        };
        // Another flag where text should stand: go on waiting for the text, to be on the safe side.
        if self.text_next && !word.starts_with('-') {
            self.has_program = true;
            self.text_next = false;
            self.name_next = self.interpreter.as_deref().is_some_and(is_shell);
            return Ok(());
        }
        if std::mem::take(&mut self.name_next) && !word.starts_with('-') {
            return Ok(());
        }
        if FORBIDDEN_LAUNCHERS.contains(&base(word)) {
            self.launcher = Some(word.to_owned());
        }
        if is_interpreter(word) {
            self.interpreter = Some(word.to_owned());
            self.has_program = false;
        } else if self.interpreter.is_some() {
            if is_text_flag(word) {
                self.text_next = true;
            } else if !word.starts_with('-') {
                self.has_program = true;
            }
        }
        Ok(())
    }
}

/// Checks a script's own text: it must not turn its arguments back into program text.
///
/// # Errors
/// A sentence that says what was found.
pub fn check_script(script: &str) -> Result<(), String> {
    let words = script.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')));
    if words.clone().any(|word| word == "eval") {
        return Err("the script uses `eval`, which would run a value as program text".to_owned());
    }
    for line in script.lines() {
        // `[ -e "$1" ]` is a question, `perl -e "$1"` is not: the flag counts on a line that starts an interpreter.
        let interprets =
            line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '/'))).any(is_interpreter);
        let values = ["-c \"$", "-c $", "-c '\"$", "-e \"$", "-e $"];
        if let Some(flag) = values.iter().find(|flag| interprets && line.contains(**flag)) {
            return Err(format!("the script holds `{flag}`, which would run a value as program text"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{RawWord, parse};

    fn judged(command: &str) -> Result<(), String> {
        let words: Vec<Word> = command.split('|').map(|word| parse(&RawWord::One(word.to_owned())).unwrap()).collect();
        let program = words.first().unwrap().literal().unwrap().to_owned();
        check(&[&program], words.get(1..).unwrap())
    }

    #[test]
    fn a_hole_in_program_text_is_refused() {
        for bad in [
            "sh|-c|echo {x}",
            "sh|-c|{x}",
            "bash|-ec|{x}",
            "/bin/sh|-c|{x}",
            "bash|{x}",
            "sh|{rest...}",
            "sh|-x|{x}",
            "python3|-c|{x}",
            "python3.11|-c|{x}",
            "perl|-n|-e|{x}",
            "perl|-e|1|-e|{x}",
            "node|--eval|{x}",
            "awk|{x}",
            "sed|-e|{x}",
            "ssh|host|{x}",
            "ssh|{x}",
            "sudo|{rest...}",
            "sudo|-u|x|{rest...}",
            "xargs|{x}",
            "find|{x}",
            "env|sh|-c|{x}",
            "nsenter|-t|1|sh|-c|{x}",
            "timeout|5|bash|-c|{x}",
            "busybox|sh|-c|{x}",
            "docker|exec|a|sh|-c|{x}",
        ] {
            assert!(judged(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hole_that_is_data_is_allowed() {
        for good in [
            "sh|-c|echo \"$1\"|sh|{x}",
            "sh|-c|exec \"$@\"|sh|{rest...}",
            "docker|exec|{x}|{rest...}",
            "cat|{x}",
            "python3|/usr/lib/tool.py|{x}",
            "env|A={x}|prog|{rest...}",
        ] {
            judged(good).unwrap_or_else(|why| panic!("{good}: {why}"));
        }
    }

    #[test]
    fn a_script_that_runs_its_arguments_as_text_is_refused() {
        for bad in ["eval \"$1\"", "sh -c \"$1\"", "x; eval $@", "bash -c $2", "perl -e \"$1\""] {
            assert!(check_script(bad).is_err(), "{bad}");
        }
        for good in ["exec \"$@\" # evaluate", "[ -e \"$1/log\" ] || exit 0"] {
            check_script(good).unwrap();
        }
    }
}
