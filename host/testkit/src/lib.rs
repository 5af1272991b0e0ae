//! Whole simulators and real parts under test control. Never shipped.

pub mod sshd;
