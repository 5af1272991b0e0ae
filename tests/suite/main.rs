//! End-to-end: the real binary, real shells, a real bubblewrap, a real SSH server. One test binary.
//!
//! Every test has a home of its own (data, configuration, cache, sandbox root), asserts outcomes, and fails when it leaves a
//! sandbox, a directory or a process behind.

#![allow(missing_docs, reason = "tests")]

mod cases;
mod home;
