//! A broker takes a permit and nothing else.
use sandboxer_guard::broker::SshBroker;

async fn run(broker: &dyn SshBroker) {
    let _ = broker.run("rm -rf /").await;
}

fn main() {}
