//! A permit's constructor and its terms are the guard's alone.
use sandboxer_guard::permit::{Permit, Terms};

fn main() {
    let _ = Permit::grant(todo!() as Terms);
}
