//! The ledger's chain: how entries are hashed, how heads are signed, and how both are verified.
//!
//! An entry's hash is SHA-256 over a version tag, the sandbox's id, the sequence, the time, the previous hash and the exact
//! text of the body, each with its length before it. A head is the ed25519 signature of the installation's key over sandbox, sequence
//! and hash. Whoever holds that key can rewrite a chain; only a head kept elsewhere shows that. `docs/ledger.md` says so.

use std::sync::Arc;

use jiff::Timestamp;
use sandboxer_model::{
    id::{Digest, SandboxId},
    ledger::{Body, Entry, Head},
    ports::seal::{SealError, Sealer},
};
use sha2::{Digest as _, Sha256};

use crate::key::InstallationKey;

const PURPOSE: &str = "sandboxer ledger head v1";

/// The hash before a chain's first entry.
pub const START: Digest = Digest::new([0; 32]);

/// Seals entries with the installation's key.
#[derive(Clone)]
pub struct LedgerSealer(Arc<InstallationKey>);

impl LedgerSealer {
    /// A sealer with this key.
    #[must_use]
    pub fn new(key: Arc<InstallationKey>) -> Self {
        Self(key)
    }
}

impl Sealer for LedgerSealer {
    fn seal(
        &self,
        sandbox: &SandboxId,
        sequence: u64,
        previous: &Digest,
        at: Timestamp,
        body: &Body,
    ) -> Result<(Entry, Head), SealError> {
        let body = serde_json::to_string(body).map_err(|error| SealError(error.to_string()))?;
        let hash = hash(sandbox, sequence, previous, at, &body);
        let signature = data_encoding::HEXLOWER.encode(&self.0.sign(PURPOSE, &head_message(sandbox, sequence, &hash)));
        let entry = Entry { sandbox: sandbox.clone(), sequence, at, previous: *previous, body, hash };
        Ok((entry, Head { sandbox: sandbox.clone(), sequence, hash, signature }))
    }

    fn public_key(&self) -> String {
        self.0.public_key()
    }
}

fn hash(sandbox: &SandboxId, sequence: u64, previous: &Digest, at: Timestamp, body: &str) -> Digest {
    let mut hasher = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    field(b"sandboxer ledger entry v1");
    field(sandbox.as_str().as_bytes());
    field(&sequence.to_be_bytes());
    field(at.to_string().as_bytes());
    field(previous.as_bytes());
    field(body.as_bytes());
    Digest::new(hasher.finalize().into())
}

fn head_message(sandbox: &SandboxId, sequence: u64, hash: &Digest) -> Vec<u8> {
    let mut message = sandbox.as_str().as_bytes().to_vec();
    message.push(0);
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(hash.as_bytes());
    message
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is no entry although there is a head, or the other way round.
    #[error("the chain has no {0}")]
    Missing(&'static str),
    /// An entry is of another sandbox.
    #[error("entry {0} belongs to another sandbox")]
    Stranger(u64),
    /// A sequence is left out, there twice or out of order.
    #[error("entry {expected} is missing or out of order; entry {found} stands in its place")]
    Order {
        /// The sequence that should stand there.
        expected: u64,
        /// The one that does.
        found: u64,
    },
    /// An entry does not follow from the one before it.
    #[error("entry {0} does not follow the entry before it: one of the two was replaced")]
    Unlinked(u64),
    /// An entry is not what was hashed.
    #[error("entry {0} was edited")]
    Edited(u64),
    /// An entry cannot be read.
    #[error("entry {0} is not a ledger entry: {1}")]
    Unreadable(u64, String),
    /// An outcome names no intent before it.
    #[error("entry {0} is the outcome of entry {1}, which is not a call that was allowed")]
    Dangling(u64, u64),
    /// The first entry does not open a chain, or a later one does.
    #[error("entry {0} opens the chain at the wrong place, or does not open it")]
    Opening(u64),
    /// Something follows the closing entry.
    #[error("entry {0} stands after the end of the chain")]
    AfterEnd(u64),
    /// The head names another end: entries were cut off, or added without the key.
    #[error("the signed head names entry {head}, but the chain ends with entry {last}")]
    Truncated {
        /// The head's sequence.
        head: u64,
        /// The last entry's sequence.
        last: u64,
    },
    /// The head names the right sequence but another hash.
    #[error("the signed head does not match entry {0}")]
    HeadMismatch(u64),
    /// The head's signature is not the installation's.
    #[error("the head's signature is not this installation's")]
    Signature,
}

/// Verifies a whole chain against its signed head and reads its entries.
///
/// # Errors
/// [`Broken`], the first fault in the chain's order.
pub fn verify(key: &InstallationKey, entries: &[Entry], head: Option<&Head>) -> Result<Vec<Body>, Broken> {
    let head = head.ok_or(Broken::Missing("signed head"))?;
    let last = entries.last().ok_or(Broken::Missing("entry"))?;
    let mut bodies: Vec<Body> = Vec::with_capacity(entries.len());
    let mut previous = START;
    for (expected, entry) in (0_u64..).zip(entries) {
        if entry.sandbox != head.sandbox {
            return Err(Broken::Stranger(entry.sequence));
        }
        if entry.sequence != expected {
            return Err(Broken::Order { expected, found: entry.sequence });
        }
        if entry.hash != hash(&entry.sandbox, entry.sequence, &entry.previous, entry.at, &entry.body) {
            return Err(Broken::Edited(expected));
        }
        if entry.previous != previous {
            return Err(Broken::Unlinked(expected));
        }
        previous = entry.hash;
        let body: Body =
            serde_json::from_str(&entry.body).map_err(|error| Broken::Unreadable(expected, error.to_string()))?;
        follows(&bodies, &body, expected)?;
        bodies.push(body);
    }
    if head.sequence != last.sequence {
        return Err(Broken::Truncated { head: head.sequence, last: last.sequence });
    }
    if head.hash != last.hash {
        return Err(Broken::HeadMismatch(last.sequence));
    }
    let signature = data_encoding::HEXLOWER.decode(head.signature.as_bytes()).ok().and_then(|s| s.try_into().ok());
    let message = head_message(&head.sandbox, head.sequence, &head.hash);
    if !signature.is_some_and(|signature| key.verify(PURPOSE, &message, &signature)) {
        return Err(Broken::Signature);
    }
    Ok(bodies)
}

fn follows(before: &[Body], body: &Body, at: u64) -> Result<(), Broken> {
    if matches!(before.last(), Some(Body::Closed { .. })) {
        return Err(Broken::AfterEnd(at));
    }
    if matches!(body, Body::Opened { .. }) != before.is_empty() {
        return Err(Broken::Opening(at));
    }
    if let Body::Outcome { of, .. } = body {
        let intent = usize::try_from(*of).ok().and_then(|of| before.get(of));
        if !matches!(intent, Some(Body::Intent { .. })) {
            return Err(Broken::Dangling(at, *of));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> InstallationKey {
        InstallationKey::from_bytes([7; 32])
    }

    fn opened() -> Body {
        Body::Opened {
            actor: sandboxer_model::sandbox::Actor::Agent,
            profile: "profile.x@1".into(),
            extension: "ext.x@1".into(),
            component: START,
            grants: START,
            host: "local".into(),
        }
    }

    fn chain(length: u64) -> (Vec<Entry>, Head) {
        let sealer = LedgerSealer::new(Arc::new(key()));
        let id: SandboxId = "0123456789abcdef".parse().unwrap();
        let (first, mut head) = sealer.seal(&id, 0, &START, Timestamp::UNIX_EPOCH, &opened()).unwrap();
        let mut entries = vec![first];
        for at in 1..length {
            let body = Body::Denied {
                call: sandboxer_model::ledger::CallRecord {
                    actor: sandboxer_model::sandbox::Actor::Agent,
                    phase: sandboxer_model::ledger::Phase::Exec,
                    call: format!("host.c{at}"),
                    host: "local".into(),
                    target: String::new(),
                    target_digest: START,
                },
                reason: "no".into(),
            };
            let (entry, next) =
                sealer.seal(&id, at, &entries.last().unwrap().hash, Timestamp::UNIX_EPOCH, &body).unwrap();
            entries.push(entry);
            head = next;
        }
        (entries, head)
    }

    #[test]
    fn a_chain_verifies() {
        let (entries, head) = chain(5);
        assert_eq!(verify(&key(), &entries, Some(&head)).unwrap().len(), 5);
    }

    #[test]
    fn every_single_edit_is_found_where_it_was_made() {
        let (entries, head) = chain(5);
        for at in 0..5_usize {
            let mut edited = entries.clone();
            edited[at].body = edited[at].body.replace("no", "on").replace("agt", "adm");
            assert_eq!(verify(&key(), &edited, Some(&head)), Err(Broken::Edited(at as u64)));
            let mut late = entries.clone();
            late[at].at = Timestamp::from_second(1).unwrap();
            assert_eq!(verify(&key(), &late, Some(&head)), Err(Broken::Edited(at as u64)));
        }
    }

    #[test]
    fn gaps_order_truncation_and_foreign_heads_are_found() {
        let (entries, head) = chain(5);
        let mut gap = entries.clone();
        gap.remove(2);
        assert_eq!(verify(&key(), &gap, Some(&head)), Err(Broken::Order { expected: 2, found: 3 }));
        let mut swapped = entries.clone();
        swapped.swap(2, 3);
        assert_eq!(verify(&key(), &swapped, Some(&head)), Err(Broken::Order { expected: 2, found: 3 }));
        assert_eq!(verify(&key(), &entries[..4], Some(&head)), Err(Broken::Truncated { head: 4, last: 3 }));
        let (shorter, older) = chain(4);
        assert_eq!(verify(&key(), &entries, Some(&older)), Err(Broken::Truncated { head: 3, last: 4 }));
        assert!(verify(&key(), &shorter, Some(&older)).is_ok(), "a rollback of both is what only an anchor shows");
        assert_eq!(verify(&InstallationKey::from_bytes([8; 32]), &entries, Some(&head)), Err(Broken::Signature));
        assert_eq!(verify(&key(), &entries, None), Err(Broken::Missing("signed head")));
    }

    #[test]
    fn a_recomputed_chain_without_the_key_does_not_verify() {
        let (mut entries, head) = chain(3);
        entries[2].body = entries[2].body.replace("\"no\"", "\"yes\"");
        entries[2].hash = hash(&entries[2].sandbox, 2, &entries[2].previous, entries[2].at, &entries[2].body);
        assert_eq!(verify(&key(), &entries, Some(&head)), Err(Broken::HeadMismatch(2)));
    }
}
