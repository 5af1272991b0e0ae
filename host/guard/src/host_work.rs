//! What the host does by itself, through the same choke point: the workspace, and removal that needs no adapter.

use sandboxer_model::{
    call::{CallError, CallOutput},
    id::Slot,
    ledger::OutcomeResult,
    plan::Upload,
};

use crate::{
    asked::{Asked, Occasion, WorkspaceCall},
    authorize::Guard,
    broker::Transferred,
    manifest::Absent,
};

/// Whether something was found out there. An error is never taken for absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
}

impl Guard {
    /// Makes the sandbox's directory on the placement host, or finds it made.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn prepare_workspace(&self, occasion: &Occasion) -> Result<(), CallError> {
        let output = self.run(occasion, Asked::Workspace(WorkspaceCall::Prepare)).await?;
        succeeded("making the sandbox's directory", &output)
    }

    /// Sends a directory's content, or a file, into the workspace.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn fill_workspace(&self, occasion: &Occasion, upload: &Upload) -> Result<Transferred, CallError> {
        let (permit, receipt) = self.authorize(occasion, Asked::Workspace(WorkspaceCall::Unpack)).await?;
        match self.broker().upload(permit, upload).await {
            Ok(moved) => {
                let exit = sandboxer_model::call::Exit::Status(0);
                self.settle(receipt, OutcomeResult::Exited { exit }, (moved.bytes, 0), None).await?;
                Ok(moved)
            }
            Err(error) => self.settle_error(receipt, error).await,
        }
    }

    /// Whether the sandbox's directory is there.
    ///
    /// # Errors
    /// [`CallError`]; never taken for absence.
    pub async fn workspace_presence(&self, occasion: &Occasion) -> Result<Presence, CallError> {
        let output = self.run(occasion, Asked::Workspace(WorkspaceCall::Present)).await?;
        succeeded("looking for the sandbox's directory", &output)?;
        Ok(presence(&output))
    }

    /// Stops what runs in the sandbox's name and removes its directory. Not found is fine.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn remove_workspace(&self, occasion: &Occasion) -> Result<(), CallError> {
        let output = self.run(occasion, Asked::Workspace(WorkspaceCall::Remove)).await?;
        succeeded("removing the sandbox's directory", &output)
    }

    /// Whether something lies in the slot.
    ///
    /// # Errors
    /// [`CallError`]; never taken for absence.
    pub async fn slot_presence(&self, occasion: &Occasion, slot: &Slot) -> Result<Presence, CallError> {
        let output = self.run(occasion, Asked::Lookup(slot)).await?;
        succeeded(&format!("looking up `{slot}`"), &output)?;
        let absent = occasion.warrant.manifest().resources.get(slot).map(|resource| resource.absent);
        Ok(match absent {
            Some(Absent::EmptyStdout) => presence(&output),
            None => Presence::Present,
        })
    }

    /// Removes what lies in the slot. Whether it is gone, [`Guard::slot_presence`] says.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn destroy_slot(&self, occasion: &Occasion, slot: &Slot) -> Result<(), CallError> {
        let output = self.run(occasion, Asked::Destroy(slot)).await?;
        succeeded(&format!("removing `{slot}`"), &output)
    }
}

fn presence(output: &CallOutput) -> Presence {
    if output.stdout.iter().all(u8::is_ascii_whitespace) { Presence::Absent } else { Presence::Present }
}

fn succeeded(what: &str, output: &CallOutput) -> Result<(), CallError> {
    if output.exit.success() {
        return Ok(());
    }
    Err(CallError::Failed(format!("{what} ended with {}: {}", output.exit, last_line(&output.stderr))))
}

/// The last line of an output that says something, shortened and without control characters.
#[must_use]
pub fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}
