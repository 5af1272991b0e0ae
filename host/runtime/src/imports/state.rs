//! `state`: the adapter's own notes. How many and how large they may be is for the guard to say, which writes them.

use super::Refusal;
use crate::{bindings::sandboxer::extension::state::Host, instance::Instance};

impl Host for Instance {
    async fn get(&mut self, key: String) -> Result<Option<String>, Refusal> {
        self.spend_call()?;
        let calls = self.calls();
        Ok(self.waiting(calls.note(&key)).await??)
    }

    async fn set(&mut self, key: String, value: String) -> Result<(), Refusal> {
        self.spend_call()?;
        let calls = self.calls();
        Ok(self.waiting(calls.set_note(&key, &value)).await??)
    }
}
