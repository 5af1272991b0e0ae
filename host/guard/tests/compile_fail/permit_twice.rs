//! One permit is one call: it cannot be copied.
use sandboxer_guard::{broker::SshBroker, permit::Permit};

async fn twice(broker: &dyn SshBroker, permit: Permit) {
    let _ = broker.run(permit.clone()).await;
    let _ = broker.run(permit).await;
}

fn main() {}
