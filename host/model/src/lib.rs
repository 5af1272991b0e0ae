//! Floor 0: the vocabulary of sandboxer and the ports through which its floors meet.
//!
//! Nothing here does I/O. Types are closed: every enum that decides policy is matched without a wildcard arm, every
//! record that is read from a file refuses unknown keys, and every identifier has a type of its own, so that a
//! sandbox's id can never be passed where a resource's name is meant.

pub mod call;
pub mod error;
pub mod event;
pub mod id;
pub mod input;
pub mod ledger;
pub mod plan;
pub mod ports;
pub mod profile;
pub mod sandbox;
pub mod secret;

pub use error::{Error, ErrorCode, Problem, Result};
