//! What goes in arrives, and what comes out comes back, byte for byte.

use std::time::{Duration, Instant};

use sandboxer_guard::permit::Terminal;
use sandboxer_model::{
    call::{CallError, Exit},
    ports::stream::{Chunk, Signal, StreamOutput, TerminalSize},
};
use sha2::{Digest, Sha256};

use super::{Random, Site, over_both};
use crate::{order::Order, run};

const HOSTILE: &[&str] = &[
    "",
    " ",
    "-n",
    "--",
    "-",
    "$HOME",
    "`id`",
    "$(id)",
    "${IFS}",
    "a'b",
    "a\"b",
    "''",
    "\\",
    "a\\b",
    "!!",
    "!x",
    "^a^b",
    "{a,b}",
    "{1..9}",
    "*",
    "?",
    "[a-z]",
    "~",
    "~root",
    "a\nb",
    "\n",
    "\n\n",
    "\t",
    "\r",
    "\r\n",
    "\u{b}",
    "\u{1}",
    "\u{7f}",
    "\u{1b}[31m",
    "\u{a0}",
    "\u{2003}",
    "\u{2028}",
    "\u{3000}",
    "\u{feff}",
    "\u{202e}",
    "a=b",
    "#",
    "# x",
    ";",
    "a;b",
    "&",
    "&&",
    "|",
    "||",
    "<",
    ">",
    ">>x",
    "<(id)",
    "%s",
    "%n",
    "\\n",
    "\\0",
    "é",
    "🦀",
    "(",
    ")",
    "()",
    "if",
    "done",
    "exec",
    "0",
    "2>&1",
];

fn random_word(random: &mut Random) -> String {
    let len = random.below(40);
    let special: Vec<char> = "$`'\"\\!{}[]()*?~;&|<>#=%^-+ \n\t\r\u{a0}\u{2003}é🦀\u{7f}\u{1}".chars().collect();
    (0..len)
        .map(|_| match random.below(3) {
            0 => special[usize::try_from(random.below(special.len() as u64)).unwrap()],
            1 => char::from(u8::try_from(1 + random.below(127)).unwrap()),
            _ => char::from_u32(u32::try_from(1 + random.below(0x10_ffff)).unwrap()).unwrap_or('x'),
        })
        .collect()
}

over_both!(every_word_arrives_byte_for_byte, |site| {
    let mut random = Random(0x5eed);
    let mut batches: Vec<Vec<String>> = vec![HOSTILE.iter().map(|&word| word.to_owned()).collect()];
    batches.extend((0..80).map(|_| (0..250).map(|_| random_word(&mut random)).collect()));
    assert_eq!(batches.iter().skip(1).map(Vec::len).sum::<usize>(), 20_000);
    for (number, words) in batches.iter().enumerate() {
        let mut argv = vec!["printf".to_owned(), "%s\\0".to_owned()];
        argv.extend(words.iter().cloned());
        let output = site.run(&site.order(&format!("w.{number}"), &argv)).await;
        let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        assert!(output.exit.success() && output.stdout == expected, "{}: batch {number}", site.way);
    }
});

over_both!(a_hundred_megabytes_go_in_and_come_out, |site| {
    const TOTAL: usize = 100 << 20;
    let mut stream = site.stream(Order { timeout: None, ..site.order("cat", &["cat"]) }).await;
    let begun = Instant::now();
    let mut input = stream.input;
    let writer = tokio::spawn(async move {
        let (mut random, mut hash, mut left) = (Random(42), Sha256::new(), TOTAL);
        while left > 0 {
            let bytes = random.bytes(left.min(100_000));
            hash.update(&bytes);
            input.write(&bytes).await.unwrap();
            left -= bytes.len();
        }
        input.close().await.unwrap();
        hash.finalize()
    });
    let (mut hash, mut read) = (Sha256::new(), 0);
    let exit = loop {
        match stream.output.next().await.unwrap() {
            Chunk::Stdout(bytes) => {
                read += bytes.len();
                hash.update(&bytes);
            }
            Chunk::Stderr(bytes) => panic!("{}", String::from_utf8_lossy(&bytes)),
            Chunk::Ended(exit) => break exit,
        }
    };
    assert_eq!((exit, read), (Exit::Status(0), TOTAL));
    assert_eq!(hash.finalize(), writer.await.unwrap(), "{}", site.way);
    println!("{}: 100 MiB in and out in {:?}", site.way, begun.elapsed());
});

over_both!(exits_come_back_as_they_are, |site| {
    std::fs::write(site.path("workspace/plain"), "").unwrap();
    for (argv, exit) in [
        (&["true"][..], Exit::Status(0)),
        (&["false"], Exit::Status(1)),
        (&["sh", "-c", "exit 255"], Exit::Status(255)),
        (&["no-such-program"], Exit::Status(127)),
        (&["./plain"], Exit::Status(126)),
        (&["sh", "-c", "kill -KILL $$"], Exit::Signal(9)),
        (&["sh", "-c", "kill -TERM $$"], Exit::Signal(15)),
        (&["sh", "-c", "kill -SEGV $$"], Exit::Signal(11)),
        (&["sh", "-c", "sh -c 'kill -KILL $$'; exit $?"], Exit::Status(137)),
    ] {
        let output = site.run(&site.order("exit", argv)).await;
        assert_eq!(output.exit, exit, "{}: {argv:?}", site.way);
    }
    let output = site.sh("both", "echo out; echo err >&2; exit 3").await;
    assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
});

over_both!(what_a_command_leaves_behind_does_not_hold_its_end_up, |site| {
    let begun = Instant::now();
    let output = site.sh("bg", "sleep 30 & yes >/dev/null & echo done").await;
    assert_eq!((output.exit, output.stdout), (Exit::Status(0), b"done\n".to_vec()));
    assert!(begun.elapsed() < Duration::from_secs(5), "{}: {:?}", site.way, begun.elapsed());
    // Nor does one that never stops writing into the pipe that it was left with.
    let begun = Instant::now();
    let order = Order { output_limit: 1000, ..site.order("loud", &["sh", "-c", "yes & sleep 0.2"]) };
    let output = tokio::time::timeout(Duration::from_secs(20), run::run(&site.host, &order)).await;
    if site.way == "local" {
        assert_eq!(output.unwrap().unwrap().exit, Exit::Status(0));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
});

over_both!(endless_output_is_cut_off_and_drained, |site| {
    let script = "head -c 30000000 /dev/zero; head -c 30000000 /dev/zero >&2";
    let order = Order { output_limit: 1000, ..site.order("big", &["sh", "-c", script]) };
    let output = site.run(&order).await;
    assert_eq!((output.exit, output.truncated), (Exit::Status(0), true));
    assert_eq!((output.stdout.len(), output.stderr.len()), (1000, 1000));
    let exact = Order { output_limit: 5, ..site.order("exact", &["printf", "12345"]) };
    let output = site.run(&exact).await;
    assert_eq!((output.stdout.as_slice(), output.truncated), (b"12345".as_slice(), false));
    let limit = Duration::from_millis(500);
    let endless = Order { output_limit: 1000, timeout: Some(limit), ..site.order("yes", &["yes"]) };
    let error = run::run(&site.host, &endless).await.unwrap_err();
    assert_eq!(error, CallError::TimedOut("host.test took longer than 500ms and was stopped".to_owned()));
});

over_both!(a_command_that_does_not_read_ends_the_writing, |site| {
    let mut stream = site.stream(site.order("deaf", &["sh", "-c", "exec 0<&-; sleep 0.3"])).await;
    let bytes = vec![0; 64 << 20];
    let error = tokio::time::timeout(Duration::from_secs(20), async {
        let (written, ended) = tokio::join!(stream.input.write(&bytes), drain(&mut stream.output));
        assert_eq!(ended.1, Exit::Status(0));
        written.unwrap_err()
    });
    assert!(matches!(error.await.unwrap(), CallError::Failed(_)), "{}", site.way);
});

over_both!(a_terminal_has_the_size_that_it_is_told, |site| {
    let size = TerminalSize { rows: 17, columns: 91 };
    let mut order = site.order_in(
        "run",
        "tty",
        &["sh", "-c", "stty size; tty -s && echo $TERM; read x; stty size; echo \"got $x\"; exit 5"],
        "-",
        "vt100",
    );
    order.terminal = Some(Terminal { term: "vt100".to_owned(), size });
    let Some(mut stream) = site.terminal(order).await else {
        site.end().await;
        continue;
    };
    let mut text = String::new();
    let read_until = async |output: &mut Box<dyn StreamOutput>, text: &mut String, end: &str| {
        while !text.contains(end) {
            match tokio::time::timeout(Duration::from_secs(10), output.next()).await.unwrap().unwrap() {
                Chunk::Stdout(bytes) => text.push_str(&String::from_utf8(bytes).unwrap()),
                other @ (Chunk::Stderr(_) | Chunk::Ended(_)) => panic!("{other:?} after {text:?}"),
            }
        }
    };
    read_until(&mut stream.output, &mut text, "vt100").await;
    assert!(text.starts_with("17 91\r\n"), "{text:?}");
    stream.control.resize(TerminalSize { rows: 40, columns: 120 }).await.unwrap();
    // Over SSH the new size and the line travel apart from each other's effect.
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream.input.write(b"hello\n").await.unwrap();
    read_until(&mut stream.output, &mut text, "got hello").await;
    assert!(text.contains("40 120\r\n"), "{text:?}");
    assert_eq!(drain(&mut stream.output).await.1, Exit::Status(5));
});

over_both!(a_terminal_passes_control_keys_on_as_signals, |site| {
    let size = TerminalSize { rows: 24, columns: 80 };
    let mut order = site.order_in(
        "run",
        "int",
        &["sh", "-c", "trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.05; done"],
        "-",
        "xterm",
    );
    order.terminal = Some(Terminal { term: "xterm".to_owned(), size });
    let Some(mut stream) = site.terminal(order).await else {
        site.end().await;
        continue;
    };
    assert!(matches!(stream.output.next().await.unwrap(), Chunk::Stdout(bytes) if bytes.starts_with(b"up")));
    stream.input.write(&[3]).await.unwrap();
    let (text, exit) = drain(&mut stream.output).await;
    assert_eq!((text.contains("caught"), exit), (true, Exit::Status(9)), "{}: {text:?}", site.way);
});

over_both!(signals_reach_the_command, |site| {
    for (signal, exit) in
        [(Signal::Interrupt, Exit::Signal(2)), (Signal::Terminate, Exit::Signal(15)), (Signal::Kill, Exit::Signal(9))]
    {
        let mut stream = site
            .stream(site.order(&format!("sig.{}", signal.as_str()), &["sh", "-c", "echo up; exec sleep 100"]))
            .await;
        assert!(matches!(stream.output.next().await.unwrap(), Chunk::Stdout(_)));
        stream.control.signal(signal).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), drain(&mut stream.output)).await.unwrap();
        assert_eq!(ended.1, exit, "{}", site.way);
        stream.control.signal(signal).await.unwrap();
    }
});

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_allows_few_sessions_is_waited_for() {
    let configuration = vec!["MaxSessions 3".to_owned()];
    let options = sandboxer_testkit::sshd::SshdOptions { configuration, ..Default::default() };
    let site = Site::ssh_with(sandboxer_testkit::sshd::Sshd::with(options).unwrap(), None).await;
    let all: Vec<_> = (0..12)
        .map(|number| {
            let (host, order) = (site.host.clone(), site.order(&format!("m.{number}"), &["sleep", "0.05"]));
            tokio::spawn(async move { run::run(&host, &order).await.unwrap().exit })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Exit::Status(0));
    }
    site.end().await;
}

over_both!(fifty_commands_run_at_once, |site| {
    let all = (0..50).map(|number| {
        let (host, order) = (
            site.host.clone(),
            site.order(&format!("c.{number}"), &["sh", "-c", &format!("sleep 0.1; echo {number}")]),
        );
        tokio::spawn(async move { run::run(&host, &order).await.unwrap().stdout })
    });
    let all: Vec<_> = all.collect();
    for (number, one) in all.into_iter().enumerate() {
        assert_eq!(one.await.unwrap(), format!("{number}\n").into_bytes());
    }
});

/// Reads to the end.
pub(super) async fn drain(output: &mut Box<dyn StreamOutput>) -> (String, Exit) {
    let mut text = String::new();
    loop {
        match output.next().await.unwrap() {
            Chunk::Stdout(bytes) | Chunk::Stderr(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Chunk::Ended(exit) => return (text, exit),
        }
    }
}
