//! Isolated workspaces: one bubblewrap sandbox per sandbox, whose init every command joins.
//!
//! The init is a job, so it survives the process that started it, and a server started in one command answers the next.
//! How it is confined stands in the manifest, where a reviewer reads it; nothing here can widen it.

use sandboxer_sdk::{
    Access, Arguments, Error, ExecRequest, JobStatus, Lifecycle, LogsRequest, Output, PreparedCall, Readiness, Sandbox,
    Session, Setting, export, pending, progress, setting, ssh,
};

const GRANT: &str = "host";
/// Where the sandbox sees its workspace, as the manifest mounts it.
const WORKSPACE: &str = "/workspace";
/// The init is up within some milliseconds; the host backs off when it is not.
const RETRY_AFTER_MS: u32 = 10;

struct Bubblewrap;

impl Lifecycle for Bubblewrap {
    fn provision(_sandbox: Sandbox) -> Result<(), Error> {
        progress::step("starting the sandbox's init");
        ssh::open(GRANT)?.start("init", &[])?;
        Ok(())
    }

    fn wait_ready(_sandbox: Sandbox) -> Result<Readiness, Error> {
        let session = ssh::open(GRANT)?;
        let check = session.run("check", &[])?;
        if check.success() {
            return Ok(Readiness::Ready(facts(&check)));
        }
        // Starting it again finds the job that is there.
        match session.start("init", &[])?.poll()? {
            JobStatus::Running | JobStatus::Absent => Ok(pending(RETRY_AFTER_MS, reason(&check))),
            JobStatus::Ended(exit) => Err(Error::Failed(format!("the init ended with {exit}{}", trouble(&session)))),
        }
    }

    fn teardown(_sandbox: Sandbox) -> Result<(), Error> {
        ssh::open(GRANT)?.run_ok("stop", &[])?;
        Ok(())
    }
}

impl Access for Bubblewrap {
    fn exec(_sandbox: Sandbox, request: ExecRequest) -> Result<PreparedCall, Error> {
        let ExecRequest { argv, env, cwd, tty: _ } = request;
        let arguments = Arguments::new().text("directory", inside(cwd.as_deref()));
        let arguments = if env.is_empty() { arguments } else { arguments.items("env", env) };
        Ok(arguments.items("command", argv).call(GRANT, "exec"))
    }

    fn logs(_sandbox: Sandbox, request: LogsRequest) -> Result<PreparedCall, Error> {
        let follow = if request.follow { "follow" } else { "once" };
        Ok(Arguments::new().text("follow", follow).call(GRANT, "logs"))
    }
}

/// Where a command starts: the workspace, a place relative to it, or an absolute path inside the sandbox.
fn inside(directory: Option<&str>) -> String {
    match directory {
        None => WORKSPACE.to_owned(),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("{WORKSPACE}/{path}"),
    }
}

/// `name=value`, a line each; other lines say nothing.
fn facts(check: &Output) -> Vec<Setting> {
    let text = check.text();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| setting(name.trim(), value.trim())).collect()
}

fn reason(check: &Output) -> String {
    match check.error_text().trim() {
        "" => "the sandbox's init".to_owned(),
        text => text.to_owned(),
    }
}

/// What the init wrote before it ended, as the end of a sentence.
fn trouble(session: &Session) -> String {
    match session.run_ok("trouble", &[]).map(|output| output.text().trim().to_owned()) {
        Ok(text) if !text.is_empty() => format!(": {text}"),
        Ok(_) | Err(_) => String::new(),
    }
}

export!(Bubblewrap with access);
