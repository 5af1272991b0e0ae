//! Whoever is not the guard cannot even ask it for a permit.
use sandboxer_guard::{Guard, asked::{Asked, Occasion}};

async fn ask(guard: &Guard, occasion: &Occasion, asked: Asked<'_>) {
    let _ = guard.authorize(occasion, asked).await;
}

fn main() {}
