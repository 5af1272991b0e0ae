//! The ports: what one floor may ask of another. Adapters implement them; the composition root in `cli` joins them.

pub mod calls;
pub mod extensions;
pub mod hosts;
pub mod milestones;
pub mod seal;
pub mod store;
pub mod stream;
