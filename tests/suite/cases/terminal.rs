//! A person at a terminal: `shell` with job control, resizing, Ctrl-C, and the terminal back as it was.

use std::process::Command;

use sandboxer_testkit::sshd::Sshd;

use crate::home::{Home, binary};

/// Drives a program on a pseudo-terminal: waits for what `expect` names, sends what follows. Python's standard library has the
/// terminal handling that a test would otherwise need unsafe code for.
const DRIVE: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time

argv = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
def resize(rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
seen = b""
def expect(text, seconds=20):
    global seen
    until = time.monotonic() + seconds
    while text not in seen:
        if not select.select([fd], [], [], max(0, until - time.monotonic()))[0]:
            sys.exit("never saw %r in %r" % (text, seen))
        try:
            seen += os.read(fd, 65536)
        except OSError:
            sys.exit("ended before %r: %r" % (text, seen))
    at = seen.index(text) + len(text)
    before, seen = seen[:at], seen[at:]
    return before
def send(text):
    os.write(fd, text)
resize(33, 101)
send(b"PS1=; echo up$((40+2))\n")
expect(b"up42")
send(b"test -t 0 && stty size | tr ' ' x\n")
expect(b"33x101")
resize(44, 55)
time.sleep(0.5)
send(b"stty size | tr ' ' x\n")
expect(b"44x55")
# Ctrl-C ends the program in the foreground and not the shell.
send(b"sleep 1000\n")
time.sleep(0.5)
send(b"\x03")
send(b"echo after-$?\n")
expect(b"after-130")
# Job control.
send(b"sleep 1001 & jobs; kill %1; wait %1; echo waited-$?\n")
expect(b"waited-143")
send(b"tty >/dev/null; echo $TERM-end\n")
expect(b"-end")
send(b"exit 9\n")
until = time.monotonic() + 20
while True:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    if time.monotonic() > until:
        os.kill(pid, signal.SIGKILL)
        sys.exit("it did not end")
    if select.select([fd], [], [], 0.05)[0]:
        try:
            os.read(fd, 65536)
        except OSError:
            pass
"#;

fn drive(home: &Home, sandbox: &str) {
    let template = home.command(["shell", sandbox]);
    let mut driver = Command::new("python3");
    driver.args(["-c", DRIVE]).arg(binary()).args(["shell", sandbox]).env_clear();
    for (name, value) in template.get_envs() {
        driver.env(name, value.unwrap());
    }
    let output = driver.env("TERM", "xterm-256color").output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_shell_is_usable_here() {
    let home = Home::new();
    let id = home.sandbox();
    drive(&home, &id);
    home.assert_clean();
}

#[test]
fn a_shell_is_usable_over_ssh() {
    let sshd = Sshd::start().unwrap();
    let home = Home::new();
    let connection = sshd.connection("far", Some(&home.path("roots/far"))).unwrap();
    std::fs::write(home.path("config/connections.toml"), connection).unwrap();
    let id = home.create(&["--host", "far", "--profile", "profile.agent-dev"]);
    drive(&home, &id);
    home.run(["destroy", &id]).succeeded();
}

#[test]
fn without_a_terminal_a_shell_is_refused() {
    let home = Home::new();
    let (status, error) = home.error(["shell", "whatever"]);
    assert_eq!((status, error["code"].as_str().unwrap()), (125, "usage.invalid"));
}
