//! The canary: proves the whole path to a placement host, and collects the host's telemetry.
//!
//! It leaves a token in its directory and reads it back: what comes back went through guard, ledger, transport and the far
//! side's wrapper, in both directions. The token is the sandbox's own reference, so an answer from another sandbox or
//! from an earlier one does not pass.

use sandboxer_sdk::{
    Access, Arguments, Error, ExecRequest, Lifecycle, LogsRequest, PreparedCall, Readiness, Sandbox, Session, Setting,
    export, progress, setting, ssh,
};

const GRANT: &str = "host";
/// Commands without holes whose first line of output becomes a fact of the same name.
const TELEMETRY: [&str; 6] = ["kernel", "os", "cpus", "memory", "disk", "uptime"];

struct Canary;

impl Lifecycle for Canary {
    fn provision(sandbox: Sandbox) -> Result<(), Error> {
        progress::step("leaving a token");
        ssh::open(GRANT)?.run_ok("write", &Arguments::new().text("token", sandbox.reference))?;
        Ok(())
    }

    fn wait_ready(sandbox: Sandbox) -> Result<Readiness, Error> {
        let session = ssh::open(GRANT)?;
        progress::step("reading the token back");
        let found = session.run_ok("read", &[])?.first_line();
        if found != sandbox.reference {
            return Err(Error::Failed("the token that came back is not the one that was left".to_owned()));
        }
        progress::step("collecting telemetry");
        Ok(Readiness::Ready(TELEMETRY.iter().map(|name| measure(&session, name)).collect::<Result<_, _>>()?))
    }

    fn teardown(_sandbox: Sandbox) -> Result<(), Error> {
        ssh::open(GRANT)?.run_ok("clear", &[])?;
        Ok(())
    }
}

impl Access for Canary {
    fn exec(_sandbox: Sandbox, request: ExecRequest) -> Result<PreparedCall, Error> {
        let ExecRequest { argv, env, cwd, tty: _ } = request;
        // The manifest puts it below the workspace.
        let arguments = Arguments::new().text("directory", cwd.unwrap_or_else(|| ".".to_owned()));
        let arguments = if env.is_empty() { arguments } else { arguments.items("env", env) };
        Ok(arguments.items("command", argv).call(GRANT, "exec"))
    }

    fn logs(_sandbox: Sandbox, request: LogsRequest) -> Result<PreparedCall, Error> {
        let follow = if request.follow { "follow" } else { "once" };
        Ok(Arguments::new().text("follow", follow).call(GRANT, "logs"))
    }
}

/// A figure that the host does not give is no reason to call it unreachable; a cancelled operation is over.
fn measure(session: &Session, name: &str) -> Result<Setting, Error> {
    match session.run_ok(name, &[]) {
        Ok(output) => Ok(setting(name, output.first_line())),
        Err(Error::Cancelled) => Err(Error::Cancelled),
        Err(
            Error::Denied(_)
            | Error::Invalid(_)
            | Error::NotConfigured(_)
            | Error::Unavailable(_)
            | Error::Lost(_)
            | Error::TimedOut(_)
            | Error::Failed(_),
        ) => Ok(setting(name, "unknown")),
    }
}

export!(Canary with access);
