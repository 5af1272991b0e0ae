//! Floor 1: what a security reviewer reads.
//!
//! Here is decided what an adapter may do: manifests, prepared calls and their holes, quoting, the choke point
//! `authorize -> Permit`, and the ledger's chain. No async runtime, no wasmtime, no network.
//!
//! Start with [`authorize`]; `resolve` is what it checks, [`manifest`] what it checks against.

#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests"))]

pub mod access;
pub mod asked;
pub mod authorize;
pub mod broker;
pub mod calls;
pub mod component;
pub mod far_side;
pub mod hole;
pub mod host_work;
pub mod key;
pub mod ledger;
pub mod manifest;
pub mod permit;
pub mod program_text;
mod resolve;
pub mod review;
pub mod template;
pub mod warrant;

pub use authorize::Guard;
