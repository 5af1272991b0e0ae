//! What guests may import, one file an interface. Host functions answer with values; only a limit ends the guest.

pub(crate) mod progress;
pub(crate) mod ssh;
pub(crate) mod state;
pub(crate) mod wasi;

use sandboxer_model::call::CallError;
use wasmtime::component::{HasSelf, Linker, ResourceTableError};

use crate::{
    bindings::sandboxer::extension::{
        progress as progress_wit, ssh as ssh_wit, state as state_wit,
        types::{self, Error},
    },
    convert,
    instance::Instance,
    trap::Exceeded,
};

/// Why a host function gives no result: a value for the guest, or the end of the guest.
pub(crate) enum Refusal {
    /// The guest gets it as a value.
    Value(CallError),
    /// The guest went over a limit.
    Stop(wasmtime::Error),
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self::Value(error)
    }
}

impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Self {
        Self::Stop(error.into())
    }
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        Self::Stop(wasmtime::Error::new(exceeded))
    }
}

impl types::Host for Instance {
    fn convert_error(&mut self, refusal: Refusal) -> wasmtime::Result<Error> {
        match refusal {
            Refusal::Value(error) => Ok(convert::error_to_guest(error)),
            Refusal::Stop(error) => Err(error),
        }
    }
}

/// Links everything that exists. What a component may import of it is decided before, by its manifest.
pub(crate) fn add_to_linker(linker: &mut Linker<Instance>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<_>>(linker, |instance| instance)?;
    ssh_wit::add_to_linker::<_, HasSelf<_>>(linker, |instance| instance)?;
    state_wit::add_to_linker::<_, HasSelf<_>>(linker, |instance| instance)?;
    progress_wit::add_to_linker::<_, HasSelf<_>>(linker, |instance| instance)?;
    wasi::add_to_linker(linker)
}
