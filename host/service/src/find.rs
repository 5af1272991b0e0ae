//! Finding sandboxes by what a person types: an id, a unique prefix of one, or a name.

use sandboxer_model::{Error, ErrorCode, Result, id::SandboxId, sandbox::Sandbox};

use crate::{Service, failures};

impl Service {
    /// The sandbox of this id.
    ///
    /// # Errors
    /// `sandbox.unknown`.
    pub async fn known(&self, id: &SandboxId) -> Result<Sandbox> {
        self.store.sandbox(id).await.map_err(failures::of_store)?.ok_or_else(|| unknown(id.as_str()))
    }

    /// The one sandbox that `text` means. A live name wins over a prefix; an exact id wins over all.
    ///
    /// # Errors
    /// `sandbox.unknown`, `sandbox.ambiguous` with the candidates.
    pub async fn find(&self, text: &str) -> Result<Sandbox> {
        let found = self.store.find(text).await.map_err(failures::of_store)?;
        let exact = |sandbox: &&Sandbox| sandbox.id.as_str() == text;
        let named = |sandbox: &&Sandbox| {
            !sandbox.state.is_final() && sandbox.name.as_ref().is_some_and(|name| name.as_str() == text)
        };
        if let Some(sandbox) = found.iter().find(exact) {
            return Ok(sandbox.clone());
        }
        let live_names: Vec<&Sandbox> = found.iter().filter(named).collect();
        if let [sandbox] = live_names.as_slice() {
            return Ok((*sandbox).clone());
        }
        match found.as_slice() {
            [] => Err(unknown(text)),
            [sandbox] => Ok(sandbox.clone()),
            several => {
                let ids: Vec<&str> = several.iter().map(|sandbox| sandbox.id.as_str()).collect();
                Err(Error::new(
                    ErrorCode::SandboxAmbiguous,
                    format!("`{}` fits several sandboxes: {}", shown(text), ids.join(", ")),
                ))
            }
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

fn unknown(text: &str) -> Error {
    Error::new(ErrorCode::SandboxUnknown, format!("there is no sandbox `{}`", shown(text)))
}
