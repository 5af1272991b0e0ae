//! Between WIT's records and the model's, and nowhere else. What comes from a guest is bounded and checked here; what goes
//! to a guest is ours.

use sandboxer_model::{
    call::{self, CallError, CallOutput, CallRequest, ExecRequest, Fact, LogsRequest, Readiness, SandboxView},
    id::Symbol,
};

use crate::{
    bindings::{
        entered::exports::sandboxer::extension::access,
        exports::sandboxer::extension::lifecycle,
        sandboxer::extension::{
            ssh,
            types::{Argument, Error, PreparedCall, Sandbox, Setting, Value},
        },
    },
    text,
};

/// Facts that one answer may hold.
const FACTS: usize = 64;
/// Characters of a fact.
const FACT: usize = 256;
/// Characters of a reason or an error.
const SENTENCE: usize = 1_000;
/// Bytes of the name of a grant, a call or a hole.
const NAME: usize = 64;
/// Arguments of a prepared call.
const ARGUMENTS: usize = 64;

/// The sandbox as a guest sees it.
pub(crate) fn sandbox(view: &SandboxView) -> Sandbox {
    let setting = |(name, value): &(String, String)| Setting { name: name.clone(), value: value.clone() };
    Sandbox {
        reference: view.reference.clone(),
        profile: view.profile.clone(),
        inputs: view.inputs.iter().map(setting).collect(),
    }
}

/// What a consumer wants to run, as a guest sees it.
pub(crate) fn exec_request(request: &ExecRequest) -> access::ExecRequest {
    let ExecRequest { argv, env, cwd, tty } = request.clone();
    access::ExecRequest { argv, env, cwd, tty }
}

/// What a consumer wants to see of the logs, as a guest sees it.
pub(crate) fn logs_request(request: LogsRequest) -> access::LogsRequest {
    access::LogsRequest { follow: request.follow }
}

/// A command's output, as a guest sees it.
pub(crate) fn output(output: CallOutput) -> ssh::Output {
    let CallOutput { exit, stdout, stderr, truncated } = output;
    ssh::Output { exit: self::exit(exit), stdout, stderr, truncated }
}

/// A job's state, as a guest sees it.
pub(crate) fn job_status(status: call::JobStatus) -> ssh::JobStatus {
    match status {
        call::JobStatus::Running => ssh::JobStatus::Running,
        call::JobStatus::Ended(exit) => ssh::JobStatus::Ended(self::exit(exit)),
        call::JobStatus::Absent => ssh::JobStatus::Absent,
    }
}

fn exit(exit: call::Exit) -> ssh::Exit {
    match exit {
        call::Exit::Status(status) => ssh::Exit::Status(status),
        call::Exit::Signal(signal) => ssh::Exit::Signal(signal),
    }
}

/// An error as a guest sees it.
pub(crate) fn error_to_guest(error: CallError) -> Error {
    match error {
        CallError::Denied(text) => Error::Denied(text),
        CallError::Invalid(text) => Error::Invalid(text),
        CallError::NotConfigured(text) => Error::NotConfigured(text),
        CallError::Unavailable(text) => Error::Unavailable(text),
        CallError::Lost(text) => Error::Lost(text),
        CallError::TimedOut(text) => Error::TimedOut(text),
        CallError::Cancelled => Error::Cancelled,
        CallError::Failed(text) => Error::Failed(text),
    }
}

/// A guest's own error, its words cleaned.
pub(crate) fn error_from_guest(error: Error) -> CallError {
    let clean = |text: String| text::line(&text, SENTENCE);
    match error {
        Error::Denied(text) => CallError::Denied(clean(text)),
        Error::Invalid(text) => CallError::Invalid(clean(text)),
        Error::NotConfigured(text) => CallError::NotConfigured(clean(text)),
        Error::Unavailable(text) => CallError::Unavailable(clean(text)),
        Error::Lost(text) => CallError::Lost(clean(text)),
        Error::TimedOut(text) => CallError::TimedOut(clean(text)),
        Error::Cancelled => CallError::Cancelled,
        Error::Failed(text) => CallError::Failed(clean(text)),
    }
}

/// A guest's argument. Which holes there are, and what fits them, the guard knows.
pub(crate) fn argument(argument: Argument) -> call::Argument {
    let value = match argument.value {
        Value::Text(text) => call::Value::Text(text),
        Value::Integer(integer) => call::Value::Integer(integer),
        Value::Items(items) => call::Value::List(items),
    };
    call::Argument { hole: argument.hole, value }
}

/// A guest's answer to "is it ready?".
pub(crate) fn readiness(answer: lifecycle::Readiness) -> Result<Readiness, CallError> {
    match answer {
        lifecycle::Readiness::Ready(facts) if facts.len() > FACTS => {
            Err(CallError::Invalid(format!("the extension reported more than {FACTS} facts")))
        }
        lifecycle::Readiness::Ready(facts) => {
            facts.into_iter().map(fact).collect::<Result<_, _>>().map(Readiness::Ready)
        }
        lifecycle::Readiness::Pending(lifecycle::Wait { retry_after_ms, for_ }) => {
            Ok(Readiness::Pending { retry_after_ms, what: text::line(&for_, SENTENCE) })
        }
    }
}

fn fact(Setting { name, value }: Setting) -> Result<Fact, CallError> {
    let name: Symbol = name
        .parse()
        .map_err(|error| CallError::Invalid(format!("the extension reported a fact whose name {error}")))?;
    Ok(Fact { name, value: text::line(&value, FACT) })
}

/// A guest's prepared call. It is not trusted for having passed here: the guard checks it like any other.
pub(crate) fn prepared_call(answer: PreparedCall) -> Result<CallRequest, CallError> {
    let PreparedCall { grant, call, arguments } = answer;
    let names = [&grant, &call].into_iter().chain(arguments.iter().map(|argument| &argument.hole));
    if arguments.len() > ARGUMENTS || names.into_iter().any(|name| name.len() > NAME) {
        return Err(CallError::Invalid("the extension answered with an oversized prepared call".to_owned()));
    }
    Ok(CallRequest { grant, call, arguments: arguments.into_iter().map(argument).collect() })
}
