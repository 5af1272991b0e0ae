//! Sealing ledger entries: hashing into the chain and signing its head. The guard implements it; the store calls it
//! inside the transaction that appends, because only there is the previous hash certain.

use jiff::Timestamp;

use crate::{
    id::{Digest, SandboxId},
    ledger::{Body, Entry, Head},
};

/// An entry that cannot be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger entry cannot be sealed: {0}")]
pub struct SealError(pub String);

/// Seals entries.
pub trait Sealer: Send + Sync {
    /// The entry at `sequence` after the one whose hash is `previous` (zeroes at the start), and the new signed head.
    ///
    /// # Errors
    /// [`SealError`] when the body cannot be written as text.
    fn seal(
        &self,
        sandbox: &SandboxId,
        sequence: u64,
        previous: &Digest,
        at: Timestamp,
        body: &Body,
    ) -> Result<(Entry, Head), SealError>;

    /// The public key, so that a store can notice that it is used with another installation's key.
    fn public_key(&self) -> String;
}
