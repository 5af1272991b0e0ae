//! The parts of WASI that Rust's standard library imports even in a guest that does nothing with them: streams, standard
//! input (empty) and output (logged), an empty environment, clocks, randomness. There are no files, no sockets, no HTTP.

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{
    WasiCtx, WasiCtxView, WasiView,
    cli::{WasiCli, WasiCliView},
    clocks::{WasiClocks, WasiClocksView},
    p2::bindings::{cli, clocks, random},
    random::WasiRandom,
};
use wasmtime_wasi_io::{
    IoView,
    bindings::wasi::io::{error, poll, streams},
};

use crate::{instance::Instance, journal::Output};

/// The most random bytes that a guest gets in one call.
const RANDOM: u64 = 64 << 10;

/// A guest's view of WASI: everything empty, output to the journal.
pub(crate) fn context(stdout: Output, stderr: Output) -> WasiCtx {
    WasiCtx::builder()
        .stdout(stdout)
        .stderr(stderr)
        .max_random_size(RANDOM)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

impl IoView for Instance {
    fn table(&mut self) -> &mut ResourceTable {
        Self::table(self)
    }
}

impl WasiView for Instance {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi()
    }
}

/// The interfaces that the static inspection lets through, and no other.
pub(crate) fn add_to_linker(linker: &mut Linker<Instance>) -> wasmtime::Result<()> {
    let l = linker;
    error::add_to_linker::<Instance, Io>(l, Instance::table)?;
    poll::add_to_linker::<Instance, Io>(l, Instance::table)?;
    streams::add_to_linker::<Instance, Io>(l, Instance::table)?;
    cli::environment::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::exit::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::stdin::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::stdout::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::stderr::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::terminal_input::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::terminal_output::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::terminal_stdin::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::terminal_stdout::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    cli::terminal_stderr::add_to_linker::<Instance, WasiCli>(l, Instance::cli)?;
    clocks::monotonic_clock::add_to_linker::<Instance, WasiClocks>(l, Instance::clocks)?;
    clocks::wall_clock::add_to_linker::<Instance, WasiClocks>(l, Instance::clocks)?;
    random::random::add_to_linker::<Instance, WasiRandom>(l, |instance| instance.wasi().ctx.random())?;
    random::insecure::add_to_linker::<Instance, WasiRandom>(l, |instance| instance.wasi().ctx.random())?;
    random::insecure_seed::add_to_linker::<Instance, WasiRandom>(l, |instance| instance.wasi().ctx.random())
}

/// What `wasi:io` works on.
struct Io;

impl wasmtime::component::HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}
