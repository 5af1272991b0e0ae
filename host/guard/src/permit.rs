//! The permit: proof that one call was checked and written down.
//!
//! Its fields are private and its only constructor is visible in this crate alone, so a broker that takes a permit
//! cannot be called without the guard, and forgetting the check does not compile. It is neither `Clone` nor
//! `Deserialize`: one permit is one call.
//!
//! What a broker does with a permit compiles:
//!
//! ```
//! use sandboxer_guard::{broker::SshBroker, permit::Permit};
//!
//! async fn once(broker: &dyn SshBroker, permit: Permit) {
//!     let _ = broker.run(permit).await;
//! }
//! ```
//!
//! A call without a permit does not:
//!
//! ```compile_fail,E0308
//! use sandboxer_guard::{broker::SshBroker, permit::Permit};
//!
//! async fn once(broker: &dyn SshBroker) {
//!     let _ = broker.run("rm -rf /").await;
//! }
//! ```
//!
//! Nor does one permit for two calls:
//!
//! ```compile_fail,E0382
//! use sandboxer_guard::{broker::SshBroker, permit::Permit};
//!
//! async fn twice(broker: &dyn SshBroker, permit: Permit) {
//!     let _ = broker.run(permit).await;
//!     let _ = broker.run(permit).await;
//! }
//! ```
//!
//! Nor a copy of a permit:
//!
//! ```compile_fail,E0277
//! use sandboxer_guard::permit::Permit;
//!
//! fn is_clone<T: Clone>() {}
//!
//! fn copy() {
//!     is_clone::<Permit>();
//! }
//! ```
//!
//! Nor a permit made by hand:
//!
//! ```compile_fail,E0451
//! use sandboxer_guard::permit::{Launch, Permit};
//!
//! fn forge(launch: Launch) -> Permit {
//!     Permit {
//!         host: sandboxer_model::id::HostName::local(),
//!         call: String::new(),
//!         argv: Vec::new(),
//!         launch,
//!         timeout: None,
//!         output_limit: 0,
//!         terminal: None,
//!     }
//! }
//! ```
//!
//! Nor asking the guard for one from outside:
//!
//! ```compile_fail,E0624
//! use sandboxer_guard::{Guard, asked::{Asked, Occasion}};
//!
//! async fn ask(guard: &Guard, occasion: &Occasion, asked: Asked<'_>) {
//!     let _ = guard.authorize(occasion, asked).await;
//! }
//! ```

use std::time::Duration;

use sandboxer_model::{
    id::{HostName, SandboxRef},
    ports::stream::TerminalSize,
};

/// How the fixed wrapper starts the command on the far side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The sandbox's directory there: it holds `workspace`, `state` and `control`.
    pub home: String,
    /// The sandbox's name there; the command's processes carry it in their environment.
    pub reference: SandboxRef,
    /// The name of the command's record in `control`: letters, digits, `.` and `-`.
    pub record: String,
    /// The user id that it runs under, when we are root there and the manifest says `run-as = "sandbox"`.
    pub run_as: Option<u32>,
    /// Whether `home` must be there already (all but the call that makes it).
    pub needs_home: bool,
    /// Whether it is a job: detached, surviving us, its exit on record.
    pub job: bool,
}

/// A terminal for the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// The value of `TERM`.
    pub term: String,
    /// Its size at the start.
    pub size: TerminalSize,
}

/// Leave to make one call, once.
#[derive(Debug)]
pub struct Permit {
    host: HostName,
    call: String,
    argv: Vec<String>,
    launch: Launch,
    timeout: Option<Duration>,
    output_limit: usize,
    terminal: Option<Terminal>,
}

/// What a permit says, before it is one.
pub(crate) struct Terms {
    pub(crate) host: HostName,
    pub(crate) call: String,
    pub(crate) argv: Vec<String>,
    pub(crate) launch: Launch,
    pub(crate) timeout: Option<Duration>,
    pub(crate) output_limit: usize,
    pub(crate) terminal: Option<Terminal>,
}

impl Permit {
    /// Only `authorize` calls this, after the intent is durable.
    pub(crate) fn grant(terms: Terms) -> Self {
        let Terms { host, call, argv, launch, timeout, output_limit, terminal } = terms;
        Self { host, call, argv, launch, timeout, output_limit, terminal }
    }

    /// Where.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// Which call, for messages: `host.exec`.
    #[must_use]
    pub fn call(&self) -> &str {
        &self.call
    }

    /// The program and its arguments, rendered.
    #[must_use]
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// How the wrapper starts it.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// How long it may take; `None` for an access that lasts as long as the consumer wants.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// How many bytes of each output stream are kept.
    #[must_use]
    pub fn output_limit(&self) -> usize {
        self.output_limit
    }

    /// The terminal that it gets.
    #[must_use]
    pub fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }
}
