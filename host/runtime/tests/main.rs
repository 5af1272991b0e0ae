//! The runtime against good, bad and hostile guests, with a recording fake in the guard's place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod bundled;
mod cache;
mod fixture;
mod guests;
mod hooks;
mod hostile;
mod output;
mod refused;
