//! Floor 2: the outside world.
//!
//! Commands on placement hosts over two transports behind one port, and the files that go there and come back. What is
//! allowed was decided before: a broker takes a permit and nothing else, and the only line that it ever sends is the
//! one that [`sandboxer_guard::far_side`] makes of it.
//!
//! Start with [`Brokers`]; `transport` is how a host is reached, `watch` is what makes sure that nothing outlives its
//! client.

mod brokers;
pub mod connections;
mod host;
mod order;
mod run;
mod settings;
mod stream;
mod transport;
mod watch;
pub mod workspace;

pub use brokers::Brokers;
pub use settings::Settings;

#[cfg(test)]
mod tests;
