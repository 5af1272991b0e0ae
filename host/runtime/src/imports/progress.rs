//! `progress`: what people see. A guest cannot flood it: what goes over the limits is dropped and costs only the guest's
//! own time.

use crate::{bindings::sandboxer::extension::progress::Host, instance::Instance};

impl Host for Instance {
    async fn step(&mut self, text: String) -> wasmtime::Result<()> {
        if let Some(step) = self.journal.step(&text) {
            let calls = self.calls();
            self.waiting(calls.step(&step)).await?;
        }
        Ok(())
    }

    fn log(&mut self, text: String) -> wasmtime::Result<()> {
        for line in self.journal.log(&text) {
            self.calls().log(&line);
        }
        Ok(())
    }
}
