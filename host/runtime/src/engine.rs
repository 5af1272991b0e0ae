//! The engine's configuration: one for the compiling child and for the process that runs what it compiled, because native
//! code fits only an engine that is configured like its compiler.
//!
//! Instances are allocated on demand. The pooling allocator saves some microseconds a call and costs a reservation of many
//! gigabytes of address space at every start, which a short-lived process pays each time and a limited one cannot.

use std::hash::{Hash, Hasher};

use sandboxer_model::ports::extensions::HookError;
use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Engine};

use crate::trap::internal;

/// Address space that is reserved for a memory. Guests get less than this, so memories never move.
const RESERVATION: u64 = 128 << 20;

/// Bytes of stack for host functions, which run on the guest's stack above the guest's own share: as much as a thread of
/// the standard library has. Only what is touched costs anything.
const HOST_STACK: usize = 2 << 20;

/// An engine for compiling and running guests. `stack` is no part of the compiled form.
pub(crate) fn engine(stack: usize) -> Result<Engine, HookError> {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        .async_stack_size(stack + HOST_STACK)
        .memory_reservation(RESERVATION)
        .memory_reservation_for_growth(0)
        .memory_guard_size(64 << 10)
        .memory_init_cow(false)
        .generate_address_map(false)
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(None);
    features(&mut config);
    Engine::new(&config).map_err(internal("the engine cannot be made"))
}

/// The same features as the static inspection accepts.
fn features(config: &mut Config) {
    config
        .wasm_relaxed_simd(false)
        .wasm_simd(false)
        .wasm_tail_call(false)
        .wasm_memory64(false)
        .wasm_extended_const(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_multi_value(true)
        .wasm_bulk_memory(true)
        .wasm_component_model(true);
}

/// What compiled components of this engine are filed under: a hash of all that the compiled form depends on, and of our
/// own version, whose rules a component passed before it was compiled.
pub(crate) fn compatibility(engine: &Engine) -> [u8; 32] {
    let mut hasher = Sha256Hasher(Sha256::new());
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

/// A strong hash where the standard library's interface gives 64 bits.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Never asked for: the digest is taken from the inside.
    fn finish(&self) -> u64 {
        0
    }
}
