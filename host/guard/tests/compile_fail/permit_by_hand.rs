//! A permit's fields are private.
use sandboxer_guard::permit::Permit;

fn main() {
    let _ = Permit {
        host: sandboxer_model::id::HostName::local(),
        call: String::new(),
        argv: Vec::new(),
        timeout: None,
        output_limit: 0,
        terminal: None,
    };
}
