//! Floor 2: durable state behind one port. [`SqliteStore`] keeps it in one SQLite file that any number of processes on
//! one machine may use at once.
//!
//! SQLite and not a key-value store such as redb, because the CLI, a server and their workers are several processes on
//! the same file; rusqlite and not sqlx, because a transaction here is a closure on a thread of its own, which no
//! cancelled future can leave half open.

mod check;
mod connection;
mod creation;
mod event;
mod fault;
mod header;
mod lane;
mod ledger;
mod migration;
mod note;
mod operation;
mod place;
mod registry;
mod resource;
mod row;
mod sandbox;
mod sqlite;
mod transaction;

pub use sqlite::SqliteStore;
