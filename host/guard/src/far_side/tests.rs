//! The scripts in real shells: dash and bash, as login shell and as `sh`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use sandboxer_model::id::{HostName, InstallationId, SandboxId, SandboxRef};

use super::*;
use crate::permit::{Launch, Terms};

/// A root for sandboxes with one sandbox's directories in it, and commands for it.
struct Site {
    dir: tempfile::TempDir,
    reference: SandboxRef,
}

impl Site {
    fn bare() -> Self {
        let reference = SandboxRef::new(&InstallationId::random().unwrap(), &SandboxId::random().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), reference }
    }

    fn new() -> Self {
        let site = Self::bare();
        let argv = prepare_argv(&site.home(), None).unwrap();
        let output = site.run_in("dash", &site.permit("prepare", argv, |launch| launch.needs_home = false));
        assert!(output.status.success(), "{output:?}");
        site
    }

    fn home(&self) -> String {
        format!("{}/{}", self.dir.path().display(), self.reference)
    }

    fn path(&self, below: &str) -> PathBuf {
        Path::new(&self.home()).join(below)
    }

    fn permit(&self, record: &str, argv: Vec<String>, change: impl FnOnce(&mut Launch)) -> Permit {
        let mut launch = Launch {
            home: self.home(),
            reference: self.reference.clone(),
            record: record.to_owned(),
            run_as: None,
            needs_home: true,
            job: false,
        };
        change(&mut launch);
        Permit::grant(Terms {
            host: HostName::local(),
            call: "host.test".to_owned(),
            argv,
            launch,
            timeout: None,
            output_limit: 1 << 20,
            terminal: None,
        })
    }

    fn command(&self, record: &str, argv: &[&str]) -> Permit {
        self.permit(record, argv.iter().map(|&word| word.to_owned()).collect(), |_| ())
    }

    fn run_in(&self, shell: &str, permit: &Permit) -> Output {
        spawn(shell, &line(permit).unwrap()).wait_with_output().unwrap()
    }

    fn run(&self, record: &str, argv: &[&str]) -> Output {
        self.run_in("dash", &self.command(record, argv))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let argv = remove_argv(&self.home(), self.reference.as_str()).unwrap();
        let output = self.run_in("dash", &self.permit("drop", argv, |launch| launch.needs_home = false));
        if !std::thread::panicking() {
            assert!(output.status.success(), "{output:?}");
        }
    }
}

fn spawn(shell: &str, line: &str) -> Child {
    Command::new("setsid")
        .args([shell, "-c", line])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/")
        .env("LD_BIND_NOW", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn within(limit: Duration, what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process is there and not just waiting to be reaped.
fn breathes(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(") ").next().unwrap().starts_with(['Z', 'X'])
}

fn recorded(site: &Site, record: &str) -> Option<u32> {
    let text = fs::read_to_string(site.path("control").join(record)).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    (words.len() == 3).then(|| words[0].parse().unwrap())
}

/// The control stream.
struct Watch(Child);

impl Watch {
    fn new(shell: &str) -> Self {
        Self(spawn(shell, &watch_line().unwrap()))
    }

    fn say(&mut self, order: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{order}").unwrap();
    }

    fn stop(&mut self, record: &str) {
        self.say(&format!("! {record}"));
        let mut answer = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(answer, format!("stopped {record}\n"));
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn words_arrive_byte_for_byte_in_both_shells() {
    let site = Site::new();
    let hostile = [
        "",
        " ",
        "-n",
        "--",
        "$HOME",
        "`id`",
        "$(id)",
        "a'b",
        "a\"b",
        "a\\b",
        "!!",
        "!x",
        "{a,b}",
        "*",
        "?",
        "[a]",
        "~",
        "~root",
        "a\nb",
        "\n",
        "\t",
        "\r",
        "\u{a0}\u{2003}",
        "\u{7f}",
        "\u{1b}[31m",
        "a=b",
        "#",
        ";",
        "&",
        "|",
        "<",
        ">",
        "%s",
        "\\n",
        "é",
        "🦀",
        "\u{202e}",
    ];
    for shell in ["dash", "bash"] {
        let mut argv = vec!["printf", "%s\\0"];
        argv.extend(hostile);
        let output = site.run_in(shell, &site.command("words", &argv));
        assert!(output.status.success(), "{output:?}");
        let expected: Vec<u8> = hostile.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(output.stdout, expected, "{shell}");
    }
}

#[test]
fn a_line_that_cannot_be_sent_is_refused_before() {
    let site = Site::bare();
    assert_eq!(line(&site.command("r", &["echo", "a\0b"])), Err(QuoteError::Nul(6)));
    let long = "x".repeat(LINE_LIMIT);
    assert!(matches!(line(&site.command("r", &["echo", &long])), Err(QuoteError::TooLong(_))));
    for argv in [&[][..], &[""], &["A=b", "c"]] {
        assert!(matches!(line(&site.command("r", argv)), Err(QuoteError::Program(_))), "{argv:?}");
    }
    for record in ["", "../x", "a/b", "a b", ".x", "-x"] {
        assert!(matches!(line(&site.command(record, &["true"])), Err(QuoteError::Word { .. })), "{record}");
    }
    let own = site.home();
    for home in
        ["/", "", "relative", "/tmp", "/tmp/sbx-other", &format!("{own}/"), &format!("/x/../{}", site.reference)]
    {
        let permit = site.permit("r", vec!["true".to_owned()], |launch| launch.home = home.to_owned());
        assert!(matches!(line(&permit), Err(QuoteError::Home(_))), "{home}");
        assert!(matches!(remove_argv(home, site.reference.as_str()), Err(QuoteError::Home(_))), "{home}");
        assert!(remove_argv(home, "etc").is_err() && remove_argv("/etc", "etc").is_err());
    }
    for directory in ["/x", "..", "a/../b", "", "a//b", "a\nb"] {
        assert!(unpack_argv(Some(directory)).is_err(), "{directory}");
    }
    assert!(probe_line(Some("/a b"), &[]).is_err() && probe_line(None, &["-x".to_owned()]).is_err());
}

#[test]
fn a_command_gets_a_fixed_environment_its_workspace_and_a_record_of_itself() {
    let site = Site::new();
    let output = site.run("env", &["sh", "-c", "pwd; env; cat ../control/env; echo $$; umask"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let home = site.home();
    assert!(text.starts_with(&format!("{home}/workspace\n")), "{text}");
    let mut variables: Vec<&str> =
        text.lines().filter(|line| line.contains('=') && !line.starts_with("PWD=")).collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            &format!("HOME={home}/workspace"),
            "LANG=C.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            &format!("SANDBOXER_SANDBOX={}", site.reference),
        ]
    );
    let tail: Vec<&str> = text.lines().rev().take(3).collect();
    let record: Vec<&str> = tail[2].split(' ').collect();
    assert_eq!(
        (record[0], record[2], tail[0]),
        (tail[1], tail[1], "0022"),
        "the process on record is the command and leads its session"
    );
}

#[test]
fn exits_arrive_and_a_missing_home_is_refused() {
    let site = Site::new();
    fs::write(site.path("workspace/plain"), "").unwrap();
    for (argv, status) in [
        (&["true"][..], 0),
        (&["false"], 1),
        (&["sh", "-c", "exit 77"], 77),
        (&["no-such-program"], 127),
        (&["./plain"], 126),
    ] {
        assert_eq!(site.run("x", argv).status.code(), Some(status), "{argv:?}");
    }
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(site.run("x", &["sh", "-c", "kill -9 $$"]).status.signal(), Some(9));
    let bare = Site::bare();
    let output = bare.run("x", &["touch", "/tmp/never"]);
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("sandboxer: there is no sandbox at {}\n", bare.home())
    );
}

#[test]
fn the_control_stream_ends_a_session_with_all_its_children_and_only_that() {
    for shell in ["dash", "bash"] {
        let site = Site::new();
        let mut watch = Watch::new(shell);
        let script = "setsid sleep 100 & echo $!; cp /bin/sleep ') S 1 1'; './) S 1 1' 100 & echo $!; (sh -c 'sleep 100 & echo $!; wait') & wait";
        let control = format!("{}/control", site.home());
        watch.say(&format!("+ {control}/one"));
        let mut other = spawn(shell, &line(&site.command("two", &["sleep", "100"])).unwrap());
        let mut child = spawn(shell, &line(&site.command("one", &["sh", "-c", script])).unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let pids: Vec<u32> = (0..3).map(|_| lines.next().unwrap().unwrap().parse().unwrap()).collect();
        within(Duration::from_secs(2), "the other command is on record", || recorded(&site, "two").is_some());
        watch.stop(&format!("{control}/one"));
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let named: Vec<bool> = pids.iter().map(|&pid| breathes(pid)).collect();
        assert!(breathes(pids[0]), "a process that left the session survives: {named:?}");
        assert!(!breathes(pids[1]) && !breathes(pids[2]), "no other one does: {named:?}");
        assert!(breathes(recorded(&site, "two").unwrap()), "another command is not touched");
        assert!(!site.path("control/one").exists() && !site.path("control/one.stop").exists());
        watch.say(&format!("+ {control}/two"));
        watch.end();
        assert_eq!(other.wait().unwrap().signal(), Some(9), "the end of the stream ends what is watched");
    }
}

#[test]
fn what_is_done_is_forgotten_and_a_signal_reaches_the_group() {
    let site = Site::new();
    let mut watch = Watch::new("dash");
    let record = format!("{}/control/r", site.home());
    watch.say(&format!("+ {record}"));
    let mut child = spawn(
        "dash",
        &line(&site.command("r", &["sh", "-c", "trap 'echo got; exit 3' USR1; echo up; while :; do sleep 0.01; done"]))
            .unwrap(),
    );
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    watch.say(&format!("k USR1 {record}"));
    assert_eq!(lines.next().unwrap().unwrap(), "got");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    watch.say(&format!("- {record}"));
    within(Duration::from_secs(2), "the record is removed", || !Path::new(&record).exists());
    let mut next = spawn("dash", &line(&site.command("r", &["sleep", "100"])).unwrap());
    within(Duration::from_secs(2), "the next command is on record", || recorded(&site, "r").is_some());
    watch.end();
    assert!(next.try_wait().unwrap().is_none(), "what was forgotten is not ended");
}

#[test]
fn a_command_that_was_stopped_before_it_began_never_begins() {
    let site = Site::new();
    let mut watch = Watch::new("dash");
    watch.stop(&format!("{}/control/r", site.home()));
    let output = site.run("r", &["touch", "ran"]);
    assert_eq!(output.status.code(), Some(137));
    assert!(!site.path("workspace/ran").exists());
    assert!(!site.path("control/r.stop").exists() && !site.path("control/r").exists());
    assert!(site.run("r", &["touch", "ran"]).status.success(), "the tombstone was for one command");
    watch.end();
}

#[test]
fn a_reused_pid_is_never_killed() {
    let site = Site::new();
    let mut stranger = Command::new("setsid").args(["sleep", "100"]).spawn().unwrap();
    fs::write(site.path("control/r"), format!("{0} 1 {0}\n", stranger.id())).unwrap();
    let mut watch = Watch::new("dash");
    watch.stop(&format!("{}/control/r", site.home()));
    assert!(breathes(stranger.id()));
    watch.end();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_job_is_detached_found_again_and_leaves_its_exit() {
    let site = Site::new();
    let job =
        |script: &str| site.permit("job", ["sh", "-c", script].map(str::to_owned).to_vec(), |launch| launch.job = true);
    let poll = || {
        let output = spawn("dash", &poll_line(&job("")).unwrap()).wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(poll(), "absent\n");
    let script = "echo $$ >>starts; env | grep -c SANDBOXER_SANDBOX; while [ ! -e go ]; do sleep 0.01; done; exit 7";
    // Four at once start one.
    let at_once: Vec<Child> = (0..4).map(|_| spawn("dash", &line(&job(script)).unwrap())).collect();
    for starter in at_once {
        let output = starter.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
    assert_eq!(poll(), "running\n");
    within(Duration::from_secs(2), "it started", || site.path("workspace/starts").exists());
    fs::write(site.path("workspace/go"), "").unwrap();
    within(Duration::from_secs(2), "it ends", || poll() == "ended 7\n");
    assert_eq!(fs::read_to_string(site.path("workspace/starts")).unwrap().lines().count(), 1);
    assert_eq!(fs::read_to_string(site.path("control/job.out")).unwrap(), "1\n");
    // A new start after the end runs it anew; what kills it together with its keeper is not taken for an exit of its
    // own.
    fs::remove_file(site.path("workspace/go")).unwrap();
    assert!(site.run_in("bash", &job("sleep 100")).status.success());
    assert_eq!(poll(), "running\n");
    Command::new("kill").args(["-KILL", &recorded(&site, "job").unwrap().to_string()]).status().unwrap();
    within(Duration::from_secs(2), "its keeper is gone", || poll() == "ended 137\n");
}

#[test]
fn remove_takes_everything_and_follows_nothing() {
    let site = Site::new();
    let neighbour = Site::new();
    let mut unharmed = spawn("dash", &line(&neighbour.command("n", &["sleep", "100"])).unwrap());
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "kept").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o500)).unwrap();
    symlink(outside.path(), site.path("workspace/link")).unwrap();
    fs::create_dir_all(site.path("workspace/closed/deep")).unwrap();
    fs::write(site.path("workspace/closed/deep/file"), "").unwrap();
    symlink(outside.path(), site.path("workspace/closed/link")).unwrap();
    fs::set_permissions(site.path("workspace/closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let mut session = spawn("dash", &line(&site.command("s", &["sleep", "100"])).unwrap());
    let job = site.permit("j", vec!["sleep".to_owned(), "100".to_owned()], |launch| launch.job = true);
    assert!(site.run_in("dash", &job).status.success());
    let strayed = site.run("t", &["sh", "-c", "setsid sleep 100 >/dev/null 2>&1 & echo $!"]);
    let strayed: u32 = String::from_utf8(strayed.stdout).unwrap().trim().parse().unwrap();
    within(Duration::from_secs(2), "all are on record", || {
        recorded(&site, "s").is_some() && recorded(&site, "j").is_some()
    });
    let keeper = recorded(&site, "j").unwrap();
    let argv = remove_argv(&site.home(), site.reference.as_str()).unwrap();
    for _ in 0..2 {
        let output = site.run_in("dash", &site.permit("rm", argv.clone(), |launch| launch.needs_home = false));
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(!Path::new(&site.home()).exists());
    }
    assert!(unharmed.try_wait().unwrap().is_none(), "another sandbox's processes are not touched");
    drop(neighbour);
    unharmed.wait().unwrap();
    assert!(session.wait().is_ok() && !breathes(keeper) && !breathes(strayed));
    assert_eq!(fs::read_to_string(outside.path().join("precious")).unwrap(), "kept");
    assert_eq!(fs::metadata(outside.path()).unwrap().mode() & 0o777, 0o500);
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn prepare_is_idempotent_and_present_tells() {
    let site = Site::bare();
    fs::set_permissions(site.dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let prepare = site.permit("p", prepare_argv(&site.home(), None).unwrap(), |launch| launch.needs_home = false);
    let present = site.permit("q", present_argv(&site.home()).unwrap(), |launch| launch.needs_home = false);
    assert_eq!(site.run_in("dash", &present).stdout, b"");
    for shell in ["dash", "bash"] {
        assert!(site.run_in(shell, &prepare).status.success());
    }
    assert_eq!(site.run_in("dash", &present).stdout, format!("{}\n", site.home()).into_bytes());
    for (below, mode) in [("", 0o711), ("control", 0o700), ("workspace", 0o700), ("state", 0o700)] {
        assert_eq!(fs::metadata(site.path(below)).unwrap().mode() & 0o7777, mode, "{below}");
    }
    // A root that is there keeps its mode; one that is made gets its own.
    assert_eq!(fs::metadata(site.dir.path()).unwrap().mode() & 0o777, 0o750);
    let deeper = format!("{}/a/b/{}", site.dir.path().display(), site.reference);
    let permit = site.permit("p", prepare_argv(&deeper, None).unwrap(), |launch| {
        launch.home = deeper.clone();
        launch.needs_home = false;
    });
    assert!(site.run_in("dash", &permit).status.success());
    assert_eq!(fs::metadata(Path::new(&deeper).parent().unwrap()).unwrap().mode() & 0o777, 0o711);
    // A symbolic link in place of the workspace is not completed.
    fs::remove_dir(site.path("workspace")).unwrap();
    symlink("/tmp", site.path("workspace")).unwrap();
    assert_eq!(site.run_in("dash", &prepare).status.code(), Some(1));
}

#[test]
fn the_probe_tells_what_is_there() {
    let site = Site::new();
    let names = ["sh", "no-such-program", "env", "read"].map(str::to_owned);
    for shell in ["dash", "bash"] {
        let line = probe_line(Some(site.dir.path().to_str().unwrap()), &names).unwrap();
        let output = spawn(shell, &line).wait_with_output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        let facts = parse_probe(&answer).unwrap();
        assert_eq!(facts.programs, ["sh", "env"], "a word of the shell is not a program: {answer}");
        assert_eq!(facts.sandboxes, [site.reference.as_str()]);
        assert_eq!(Path::new(&facts.root), site.dir.path());
        assert!(facts.cpus >= 1 && facts.memory.0 > facts.memory.1 && facts.memory.1 > 1 << 20, "{answer}");
        assert!(facts.disk.0 >= facts.disk.1 && facts.disk.0 > 1 << 20 && facts.kernel.contains(' '), "{answer}");
    }
    assert!(matches!(parse_probe("root=/a b\nuid=0\nend=yes\n"), Err(ProbeError::Root(_))));
    assert!(matches!(parse_probe("root=/a\nuid=0\n"), Err(ProbeError::Unreadable(_))));
    assert!(matches!(parse_probe("root=/a\nmotd: hello\nend=yes\n"), Err(ProbeError::Unreadable(_))));
}

#[test]
fn unpack_stays_in_the_workspace_and_keeps_modes() {
    let site = Site::new();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("tool"), "x").unwrap();
    fs::set_permissions(source.path().join("tool"), fs::Permissions::from_mode(0o775)).unwrap();
    symlink("tool", source.path().join("link")).unwrap();
    let tar = Command::new("tar").arg("-C").arg(source.path()).args(["-c", "."]).output().unwrap().stdout;
    let unpack = |directory| {
        let permit = site.permit("u", unpack_argv(directory).unwrap(), |_| ());
        let mut child = spawn("dash", &line(&permit).unwrap());
        let _ = child.stdin.take().unwrap().write_all(&tar);
        child.wait_with_output().unwrap()
    };
    for directory in [None, Some("a/b c")] {
        let output = unpack(directory);
        assert!(output.status.success(), "{output:?}");
        let base = site.path("workspace").join(directory.unwrap_or(""));
        assert_eq!(fs::metadata(base.join("tool")).unwrap().mode() & 0o7777, 0o775);
        assert_eq!(fs::read_link(base.join("link")).unwrap(), Path::new("tool"));
    }
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), site.path("workspace/out")).unwrap();
    assert_eq!(unpack(Some("out/x")).status.code(), Some(1));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

proptest::proptest! {
    /// The quick look at words, whose sizes it bounds by hand, never answers otherwise than quoting them would.
    #[test]
    fn checking_words_answers_as_quoting_them(
        words in proptest::collection::vec("[a\\\\'\"^!$`\u{e9} \0]{0,12}", 0..8), times in 1_usize..3000
    ) {
        let long: Vec<String> = words.iter().map(|word| word.repeat(times)).collect();
        for words in [words, long] {
            let quoted = quote(&words);
            if let Ok(line) = &quoted {
                let most: usize = words.iter().map(|word| word.len() * 4 + 3).sum();
                proptest::prop_assert!(line.len() <= most, "{} > {most}: {line}", line.len());
            }
            proptest::prop_assert_eq!(check_words(&words), quoted.map(drop));
        }
    }
}

#[test]
fn checking_words_refuses_what_cannot_be_sent() {
    assert_eq!(check_words(&["a", "b\0"]), Err(QuoteError::Nul(1)));
    assert_eq!(check_words(&["a".repeat(LINE_LIMIT)]), Ok(()));
    assert_eq!(check_words(&["a".repeat(LINE_LIMIT + 1)]), Err(QuoteError::TooLong(LINE_LIMIT + 1)));
    assert_eq!(check_words(&["a".repeat(LINE_LIMIT), "\0".to_owned()]), Err(QuoteError::Nul(1)));
}
