//! Durable state behind one port.
//!
//! Every method is one transaction. What a claim protects carries its fence: a method that takes a [`Claim`] changes
//! nothing and answers [`StoreError::LeaseLost`] when a later claim exists.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    call::Fact,
    event::Event,
    id::{HostName, InstallationId, ProfileName, ProjectName, ResourceRef, SandboxId, SandboxName, Slot},
    ledger::{Body, Entry, Head},
    plan::Plan,
    sandbox::{Actor, Claim, Identity, OperationKind, OperationState, Resource, ResourceState, Sandbox, State},
};

/// Why the store did not do it. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The directory or file cannot be opened, locked, read or written.
    #[error("the store {path} cannot be used: {why}")]
    Unavailable {
        /// The file or directory.
        path: String,
        /// Why.
        why: String,
    },
    /// The file is damaged.
    #[error("the store {path} is damaged: {why}")]
    Corrupt {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The file was made by something else or by a newer version, or belongs to another installation's key.
    #[error("the store {path} is not ours to use: {why}")]
    Foreign {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// No space left.
    #[error("no space is left for the store {path}")]
    Full {
        /// The file.
        path: String,
    },
    /// A later claim exists, or the operation has ended.
    #[error("the lease on this operation is lost")]
    LeaseLost,
    /// The sandbox is no longer wanted: `destroy` came in during its create.
    #[error("the sandbox is no longer wanted")]
    Unwanted,
    /// A live sandbox of the project has that name.
    #[error("the name `{name}` is taken by sandbox {holder}")]
    NameTaken {
        /// The name.
        name: SandboxName,
        /// Who has it.
        holder: SandboxId,
    },
    /// There is no such sandbox.
    #[error("there is no sandbox {0}")]
    NoSandbox(SandboxId),
    /// The sandbox is not ready, so nothing can be run in it.
    #[error("the sandbox is {0}, not ready")]
    NotReady(State),
    /// A note is over its bound.
    #[error("the note is refused: {0}")]
    NoteRefused(String),
    /// A fault of ours.
    #[error("the store failed: {0}")]
    Internal(String),
}

/// A sandbox to open.
#[derive(Debug, Clone)]
pub struct NewSandbox {
    /// Its id, made by the caller so that the plan can name it.
    pub id: SandboxId,
    /// What a person calls it.
    pub name: Option<SandboxName>,
    /// Whose it is.
    pub project: ProjectName,
    /// Who asks.
    pub actor: Actor,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Everything that was decided.
    pub plan: Plan,
    /// Why, in a sentence.
    pub reason: String,
}

/// Who works, and for how long a claim holds.
#[derive(Debug, Clone)]
pub struct Worker {
    /// A name that is never used twice: machine, boot, process, start time.
    pub owner: String,
    /// How long a claim holds without renewal.
    pub lease: Duration,
}

/// The answer to "let me do this to the sandbox".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The operation is the caller's.
    Claimed(Claim),
    /// Another worker's lease on an operation still runs.
    Busy {
        /// The operation.
        operation: u64,
        /// What it is for.
        kind: OperationKind,
        /// Who holds it.
        owner: String,
        /// Until when.
        until: Timestamp,
    },
    /// Beginning `Create` only takes over, and no create of this sandbox is open.
    NothingOpen,
    /// The sandbox is destroyed already.
    AlreadyDestroyed,
}

/// Under which right a call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// As part of an operation: the claim must still hold; during a create the sandbox must still be wanted.
    Operation(Claim),
    /// As a consumer's access: the sandbox must be ready and wanted.
    Access(SandboxId),
}

impl Right {
    /// The sandbox that the right is about.
    #[must_use]
    pub fn sandbox(&self) -> &SandboxId {
        match self {
            Self::Operation(claim) => &claim.sandbox,
            Self::Access(sandbox) => sandbox,
        }
    }
}

/// A resource row to write together with an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceIntent {
    /// Its name out there.
    pub reference: ResourceRef,
    /// Its slot.
    pub slot: Slot,
    /// The placement host.
    pub host: HostName,
    /// How it is told apart.
    pub identity: Identity,
    /// `Intent` before it is made, `Deleting` before it is removed.
    pub state: ResourceState,
}

/// How an operation ends.
#[derive(Debug, Clone)]
pub struct Ending {
    /// `Done` or `Failed`.
    pub operation: OperationState,
    /// The sandbox's state from then on.
    pub state: State,
    /// Why, in a sentence.
    pub reason: String,
    /// What the adapter found out, when it is ready.
    pub facts: Option<Vec<Fact>>,
    /// The chain's last entry, when everything is gone.
    pub closing: Option<Body>,
}

/// Which sandboxes to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Destroyed ones too.
    pub all: bool,
    /// Only of this project.
    pub project: Option<ProjectName>,
    /// Only in one of these states; empty means any.
    pub states: Vec<State>,
    /// Only of this profile.
    pub profile: Option<ProfileName>,
    /// Only on this host.
    pub host: Option<HostName>,
    /// Only with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// At most so many.
    pub limit: u32,
    /// Only those older than this one (for the next page).
    pub before: Option<SandboxId>,
}

/// An open operation, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOperation {
    /// Its number.
    pub id: u64,
    /// What it is for.
    pub kind: OperationKind,
    /// Who holds or held it.
    pub owner: String,
    /// Until when.
    pub lease_until: Timestamp,
    /// Whether the lease still runs, by the store's clock.
    pub held: bool,
    /// How often it has been claimed.
    pub attempt: u32,
}

/// Durable state.
#[async_trait]
pub trait Store: Send + Sync {
    /// The installation that this store belongs to, minted when it was made.
    async fn installation(&self) -> Result<InstallationId, StoreError>;

    /// Opens a sandbox: its row, its create operation (claimed by `worker`), its first event and its ledger's first
    /// entry, in one transaction. After this nothing about it can be lost.
    async fn open(&self, new: NewSandbox, opened: Body, worker: &Worker) -> Result<(Sandbox, Claim), StoreError>;

    /// Begins an operation, or takes over the open one when its lease has run out. Beginning `Destroy` sets what is
    /// wanted to `absent` even when the answer is [`Begun::Busy`], so that a create that runs elsewhere stops; a stale
    /// create operation is ended as failed and a destroy begun in its place. Beginning `Create` only takes over a stale
    /// create.
    async fn begin(
        &self,
        sandbox: &SandboxId,
        kind: OperationKind,
        actor: Actor,
        reason: &str,
        worker: &Worker,
    ) -> Result<Begun, StoreError>;

    /// Ends a lease early because its owner is known to be dead. Does nothing when `owner` no longer holds it.
    async fn expire_lease(&self, operation: u64, owner: &str) -> Result<(), StoreError>;

    /// Prolongs a lease; answers the new claim.
    async fn renew(&self, claim: &Claim, worker: &Worker) -> Result<Claim, StoreError>;

    /// Moves the sandbox to another state, with the event.
    async fn transition(&self, claim: &Claim, to: State, reason: &str) -> Result<Sandbox, StoreError>;

    /// Writes a progress event without changing the state.
    async fn progress(&self, claim: &Claim, text: &str) -> Result<(), StoreError>;

    /// Ends an operation and moves the sandbox to its next state, with the event and, perhaps, the chain's last entry.
    async fn finish(&self, claim: &Claim, ending: Ending) -> Result<Sandbox, StoreError>;

    /// Appends an intent to the ledger (and a resource row beside it), durably, before anything is sent. Answers the
    /// entry's sequence.
    async fn intend(&self, right: &Right, body: Body, resource: Option<ResourceIntent>) -> Result<u64, StoreError>;

    /// Appends a denial to the ledger.
    async fn deny(&self, sandbox: &SandboxId, body: Body) -> Result<u64, StoreError>;

    /// Appends an outcome to the ledger, always; and, when the right still holds, moves a resource to its new state.
    async fn outcome(
        &self,
        right: &Right,
        body: Body,
        resource: Option<(ResourceRef, ResourceState)>,
    ) -> Result<(), StoreError>;

    /// Moves a resource to another state, with an event.
    async fn mark(
        &self,
        claim: &Claim,
        resource: &ResourceRef,
        state: ResourceState,
        reason: &str,
    ) -> Result<(), StoreError>;

    /// One of the adapter's notes.
    async fn note(&self, sandbox: &SandboxId, key: &str) -> Result<Option<String>, StoreError>;

    /// Writes one of the adapter's notes; at most 64 of them, keys of 64 bytes, values of 4 KiB.
    async fn set_note(&self, claim: &Claim, key: &str, value: &str) -> Result<(), StoreError>;

    /// One sandbox.
    async fn sandbox(&self, id: &SandboxId) -> Result<Option<Sandbox>, StoreError>;

    /// The sandboxes whose id begins with `text`, and those that are named so; live ones before destroyed ones, at most 8.
    async fn find(&self, text: &str) -> Result<Vec<Sandbox>, StoreError>;

    /// Sandboxes, newest first.
    async fn list(&self, filter: &Filter) -> Result<Vec<Sandbox>, StoreError>;

    /// The sandbox's open operation.
    async fn open_operation(&self, sandbox: &SandboxId) -> Result<Option<OpenOperation>, StoreError>;

    /// The sandbox's resources.
    async fn resources(&self, sandbox: &SandboxId) -> Result<Vec<Resource>, StoreError>;

    /// Events after `after`, of one sandbox or of all, in order, at most `limit`.
    async fn events(&self, sandbox: Option<&SandboxId>, after: u64, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// The sandbox's chain.
    async fn ledger(&self, sandbox: &SandboxId) -> Result<Vec<Entry>, StoreError>;

    /// The sandbox's signed head.
    async fn head(&self, sandbox: &SandboxId) -> Result<Option<Head>, StoreError>;

    /// Reads the whole store for damage, for `doctor`.
    async fn check(&self) -> Result<(), StoreError>;
}
