//! The SQLite adapter against the promises of the store port, and against what happens to files: damage, full disks,
//! strangers, crashes and crowds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod commits;
mod contract;
mod crowd;
mod damage;
mod fixture;
mod places;
mod strangers;

use contract::machine;
use fixture::File;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_adapter_keeps_every_promise_of_the_port() {
    contract::everything(File::fresh).await;
}

#[test]
fn the_adapter_plays_like_its_model() {
    machine::play(File::fresh);
}
