//! The floor that benchmarks compare with: wasmtime alone, on the same engine settings. No limits, no WASI, no host
//! functions, nothing checked.

use sandboxer_model::{
    call::{ExecRequest, SandboxView},
    ports::extensions::HookError,
};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker},
};

use crate::{
    bindings::entered::EnteredPre,
    convert, engine,
    settings::Limits,
    trap::{died_of, internal, unfit},
};

/// A component in bare wasmtime. Every import traps.
pub struct Bare {
    engine: Engine,
    access: EnteredPre<()>,
}

impl Bare {
    /// Compiles the component in this process.
    ///
    /// # Errors
    /// [`HookError`] when it does not compile or has no `access`.
    pub fn new(component: &[u8]) -> Result<Self, HookError> {
        let engine = engine::engine(Limits::default().stack)?;
        let component = Component::new(&engine, component).map_err(internal("it does not compile"))?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component).map_err(|error| unfit(&error))?;
        let linked = linker.instantiate_pre(&component).map_err(|error| unfit(&error))?;
        Ok(Self { engine, access: EnteredPre::new(linked).map_err(|error| unfit(&error))? })
    }

    /// Instantiates, calls `exec`, drops.
    ///
    /// # Errors
    /// [`HookError`] when the guest traps or answers with an error.
    pub async fn exec(&self, sandbox: &SandboxView, request: &ExecRequest) -> Result<(), HookError> {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let (sandbox, request) = (convert::sandbox(sandbox), convert::exec_request(request));
        let failed = |error: wasmtime::Error| died_of(&error, None);
        let guest = self.access.instantiate_async(&mut store).await.map_err(failed)?;
        let answer = guest.sandboxer_extension_access().call_exec(&mut store, &sandbox, &request).await;
        answer.map_err(failed)?.map(drop).map_err(|error| HookError::Failed(convert::error_from_guest(error)))
    }
}
