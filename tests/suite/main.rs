//! End-to-end: the real binary, real shells, a real bubblewrap, a real SSH server. One test binary.
//!
//! Every test has a home of its own (data, configuration, cache, sandbox root), asserts outcomes, and fails when it leaves a
//! sandbox, a directory or a process behind.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod cases;
mod home;
