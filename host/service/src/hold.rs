//! Holding a claim while working: renewed at a third of the lease, and cancelled at once when it is lost.

use std::{future::Future, sync::Arc, time::Duration};

use sandboxer_model::{
    ports::store::{Store, StoreError, Worker},
    sandbox::Claim,
};
use tokio_util::sync::CancellationToken;

/// How long work may take to report its end after its lease is gone.
const GRACE: Duration = Duration::from_millis(500);

/// Why work under a claim ended without an answer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// The consumer cancelled.
    Cancelled,
    /// The lease is lost: another worker may hold the sandbox, so nothing more is done to the world.
    LeaseLost,
}

/// Works under a claim until the work is done, the consumer cancels, or the lease is lost. In the last two cases the work is
/// dropped in the middle.
///
/// # Errors
/// [`Interrupted`].
pub async fn hold<T>(
    store: &Arc<dyn Store>,
    worker: &Worker,
    claim: &Claim,
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, Interrupted> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = cancel.cancelled() => Err(Interrupted::Cancelled),
        () = lost(store, worker, claim) => Err(Interrupted::LeaseLost),
    }
}

/// Ends when the lease is lost. A store that cannot be reached for two thirds of the lease counts as that: the claim may have
/// run out without our knowing.
async fn lost(store: &Arc<dyn Store>, worker: &Worker, claim: &Claim) {
    let mut failures = 0_u32;
    loop {
        tokio::time::sleep(worker.lease / 3).await;
        match store.renew(claim, worker).await {
            Ok(_) => failures = 0,
            Err(StoreError::LeaseLost) => {
                // Work that ends its operation just now has no lease to renew either: it gets a moment to say so. It can
                // do no harm in it, since every call and every write of a worker without a lease is refused.
                tokio::time::sleep(GRACE).await;
                return;
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "the lease could not be renewed");
                if failures >= 2 {
                    return;
                }
            }
        }
    }
}
