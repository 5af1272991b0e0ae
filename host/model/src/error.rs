//! Errors that a user meets: a stable code, what happened and why, what to do next, and an exit status.
//!
//! A user's mistake, a fault of ours and the exit status of a program inside a sandbox are three different things; the
//! last is never an [`Error`].

use std::fmt;

use serde::Serialize;

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One thing that is wrong with what was given; an [`Error`] lists all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which part of the request: `input.network`, `profile`, `host`.
    pub field: String,
    /// What is wrong with it, to be read after the field's name.
    pub message: String,
}

impl Problem {
    /// A problem with one field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// An error with a stable code.
#[derive(Debug, Serialize)]
pub struct Error {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened and why, in one sentence.
    pub message: String,
    /// Every problem, when there can be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What to do next, when the code's own hint is not the best one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What lies beneath, for `--verbose` and for logs.
    #[serde(skip)]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), problems: Vec::new(), hint: None, source: None }
    }

    /// The same error with a better hint than its code's.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with every problem listed.
    #[must_use]
    pub fn problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// The same error with its cause kept.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.code.hint())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $exit:literal, $hint:literal;)*) => {
        /// The stable code of an error. `docs/errors.md` lists them; scripts may match on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as text.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The status that the `sandboxer` process exits with.
            #[must_use]
            pub fn exit_status(self) -> u8 {
                match self { $(Self::$variant => $exit,)* }
            }

            /// What to do next, when nothing better is known.
            #[must_use]
            pub fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }
        }
    };
}

codes! {
    /// A flag or argument that does not fit.
    UsageInvalid = "usage.invalid", 2, "run the command with --help";
    /// One or more inputs are unknown, missing or ill-typed.
    InputInvalid = "input.invalid", 2, "`sandboxer profiles show PROFILE` lists the inputs and their types";
    /// The configuration cannot be used.
    ConfigInvalid = "config.invalid", 2, "correct the file that the message names; `sandboxer doctor` checks the whole configuration";
    /// No profile of that name.
    ProfileUnknown = "profile.unknown", 3, "`sandboxer profiles list` shows the profiles";
    /// The profile cannot be used.
    ProfileInvalid = "profile.invalid", 2, "`sandboxer profiles lint FILE` lists what is wrong with it";
    /// No extension of that name.
    ExtensionUnknown = "extension.unknown", 3, "`sandboxer extension list` shows the extensions";
    /// The component or its manifest is refused.
    ExtensionInvalid = "extension.invalid", 5, "`sandboxer extension inspect NAME` shows what was found in it";
    /// No placement host of that name.
    HostUnknown = "host.unknown", 3, "`sandboxer hosts list` shows the hosts; `sandboxer hosts add` declares one";
    /// The placement host cannot be reached.
    HostUnreachable = "host.unreachable", 6, "`sandboxer hosts check HOST` shows where it fails";
    /// The placement host shows a key that is not known.
    HostKeyUnknown = "host.key-unknown", 5, "compare the fingerprint with the host's own, then pin it: `sandboxer hosts add HOST --key SHA256:...`";
    /// The placement host shows another key than the known one.
    HostKeyChanged = "host.key-changed", 5, "find out why before you go on: this is what an attack looks like; `sandboxer hosts check HOST` shows the key";
    /// The placement host does not let us in.
    HostAuth = "host.auth", 5, "check the user, the key and the agent with `sandboxer hosts check HOST`";
    /// The placement host lacks something that the extension needs.
    HostUnfit = "host.unfit", 6, "`sandboxer inspect host HOST` shows what is there";
    /// No sandbox of that id, prefix or name.
    SandboxUnknown = "sandbox.unknown", 3, "`sandboxer list --all` shows every sandbox, also destroyed ones";
    /// The prefix fits several sandboxes.
    SandboxAmbiguous = "sandbox.ambiguous", 2, "give more characters of the id; `sandboxer list --all` shows the ids";
    /// A live sandbox already has that name.
    NameTaken = "name.taken", 4, "choose another name, or destroy the other one with `sandboxer destroy NAME`";
    /// The sandbox is not in a state that allows this.
    SandboxState = "sandbox.state", 4, "`sandboxer get ID` shows its state, `sandboxer events ID` how it came to it";
    /// Another worker holds the sandbox's operation.
    OperationBusy = "operation.busy", 4, "wait for it with `sandboxer wait ID`, then try again";
    /// The lease ran out in the middle of an operation; another worker may have taken over.
    LeaseLost = "operation.lease-lost", 4, "`sandboxer get ID` shows who goes on with it";
    /// The guard denied a call.
    CallDenied = "call.denied", 5, "`sandboxer audit ledger ID` shows the denied call and the reason";
    /// The adapter does not offer this.
    Unsupported = "extension.unsupported", 5, "`sandboxer extension inspect NAME` shows what the extension offers";
    /// The adapter reported a failure.
    AdapterFailed = "extension.failed", 7, "`sandboxer events ID` and `sandboxer audit ledger ID` show what it had done";
    /// The adapter trapped.
    AdapterTrapped = "extension.trapped", 7, "this is a fault of the extension; `sandboxer audit ledger ID` shows its last calls";
    /// The adapter went over one of its limits.
    AdapterLimit = "extension.limit", 7, "`sandboxer extension inspect NAME` shows the limits";
    /// Something that was made could not be removed yet.
    TeardownIncomplete = "teardown.incomplete", 7, "run `sandboxer destroy ID` again once the host answers; until then the sandbox stays listed";
    /// It took longer than allowed.
    TimedOut = "timed-out", 8, "`sandboxer get ID` shows how far it came";
    /// The user cancelled it.
    Cancelled = "cancelled", 130, "`sandboxer list` shows what is left, if anything";
    /// A file or directory of the consumer's machine cannot be read or written.
    FileUnusable = "file.unusable", 2, "check that the path exists and that you may read or write it";
    /// A transfer was refused or broke off.
    TransferFailed = "transfer.failed", 7, "nothing outside the target was touched; correct the cause and run `sandboxer cp` again";
    /// The data directory or the store in it cannot be used.
    StoreUnavailable = "store.unavailable", 9, "check the directory's owner, mode and free space; `sandboxer doctor` names it";
    /// The store is damaged.
    StoreCorrupt = "store.corrupt", 9, "keep the file, restore a backup beside it, and see `sandboxer doctor`; nothing was changed";
    /// The store was made by something else, or by a newer version.
    StoreForeign = "store.foreign", 9, "point SANDBOXER_DATA_DIR somewhere else, or use the version that made it; nothing was changed";
    /// No space left for the store.
    StoreFull = "store.full", 9, "free some space; `sandboxer doctor` shows where the store lies; the old state is intact";
    /// The ledger does not verify.
    LedgerBroken = "ledger.broken", 1, "treat the entries from there on as untrusted; `sandboxer audit ledger ID` prints them";
    /// A check found something wrong.
    CheckFailed = "check.failed", 1, "each finding names its remedy; `sandboxer doctor` repeats the check";
    /// A fault of ours.
    Internal = "internal", 10, "please report this with the output of `sandboxer doctor`";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_exit_statuses_stay_clear_of_what_programs_use() {
        let mut seen = std::collections::BTreeSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{code} is there twice");
            assert!(matches!(code.exit_status(), 1..=10 | 130), "{code}");
        }
    }
}
