//! `audit verify`: whether a sandbox's chain is whole.

use sandboxer_guard::ledger;
use sandboxer_model::{
    Error, ErrorCode, Result,
    id::SandboxId,
    ledger::{Body, Entry},
};

use crate::{Service, failures};

impl Service {
    /// The sandbox's ledger, verified from its first entry to its signed head.
    ///
    /// # Errors
    /// `ledger.broken`, with the first fault and where it is.
    pub async fn verified_ledger(&self, id: &SandboxId) -> Result<Vec<(Entry, Body)>> {
        // The head first: what is appended between the two reads belongs to a later head.
        let head = self.store.head(id).await.map_err(failures::of_store)?;
        let mut entries = self.store.ledger(id).await.map_err(failures::of_store)?;
        if let Some(head) = &head
            && self.store.head(id).await.map_err(failures::of_store)?.as_ref() != Some(head)
        {
            entries.retain(|entry| entry.sequence <= head.sequence);
        }
        let bodies = ledger::verify(&self.key, &entries, head.as_ref()).map_err(|broken| {
            Error::new(ErrorCode::LedgerBroken, format!("the ledger of sandbox {id} does not verify: {broken}"))
                .because(broken)
        })?;
        Ok(entries.into_iter().zip(bodies).collect())
    }
}
