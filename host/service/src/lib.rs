//! Floor 2: the use cases, one file a verb. CLI and, later, API call the same ones and print the same thing.
//!
//! A use case knows ports, never adapters. What it decides about a sandbox it decides once, in `create`, and freezes in
//! the sandbox's plan; every later verb works from that.

pub mod catalog;
pub mod create;
pub mod destroy;
mod establish;
pub mod exec;
mod failures;
pub mod find;
pub mod hold;
pub mod lint;
pub mod placement;
pub mod recreate;
pub mod remove;
pub mod verify;
pub mod wait;
pub mod worker;

use std::sync::Arc;

use sandboxer_guard::{Guard, asked::Occasion, key::InstallationKey, warrant::Warrant};
use sandboxer_model::{
    Error, ErrorCode, Result,
    id::{Digest, HostName},
    ledger::Phase,
    ports::{
        extensions::Extensions,
        hosts::Hosts,
        store::{Right, Store, Worker},
    },
    sandbox::{Actor, Sandbox},
};

use crate::catalog::Catalog;
pub use crate::failures::of_store as store_error;

/// Where the bytes of components are kept by digest, as long as a sandbox refers to them.
pub trait Shelf: Send + Sync {
    /// The bytes of a component.
    ///
    /// # Errors
    /// When they are not there or do not have that digest.
    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>>;

    /// Keeps a component for as long as a sandbox may refer to it.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<()>;
}

/// The ports that the use cases work through.
pub struct Service {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The choke point.
    pub guard: Arc<Guard>,
    /// The adapters' hooks.
    pub extensions: Arc<dyn Extensions>,
    /// The placement hosts.
    pub hosts: Arc<dyn Hosts>,
    /// Profiles and extensions.
    pub catalog: Arc<dyn Catalog>,
    /// Components by digest.
    pub shelf: Arc<dyn Shelf>,
    /// The key that signs ledger heads.
    pub key: Arc<InstallationKey>,
    /// Who we are as a worker.
    pub worker: Worker,
    /// The host that is taken when nobody names one.
    pub default_host: HostName,
}

impl Service {
    /// What a sandbox may do, from its frozen plan and the manifest in its component.
    pub(crate) fn warrant(&self, sandbox: &Sandbox) -> Result<Warrant> {
        let bytes = self.shelf.bytes(&sandbox.plan.component)?;
        let (_, manifest) = catalog::read_component(&bytes)?;
        Warrant::new(Arc::new(sandbox.plan.clone()), Arc::new(manifest)).map_err(|unfit| {
            Error::new(
                ErrorCode::Internal,
                format!("the plan of sandbox {} does not fit its component: {unfit}", sandbox.id),
            )
        })
    }

    pub(crate) fn occasion(&self, warrant: &Warrant, right: Right, phase: Phase, actor: Actor) -> Occasion {
        Occasion { warrant: warrant.clone(), right, phase, actor }
    }
}
