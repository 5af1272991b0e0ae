//! What the ports' failures mean to a user: the one place where they become errors with codes.

use sandboxer_model::{
    Error, ErrorCode,
    call::CallError,
    ports::{extensions::HookError, store::StoreError},
};

/// What a store's refusal means to a user.
#[must_use]
pub fn of_store(error: StoreError) -> Error {
    let code = match &error {
        StoreError::Unavailable { .. } => ErrorCode::StoreUnavailable,
        StoreError::Corrupt { .. } => ErrorCode::StoreCorrupt,
        StoreError::Foreign { .. } => ErrorCode::StoreForeign,
        StoreError::Full { .. } => ErrorCode::StoreFull,
        StoreError::LeaseLost => ErrorCode::LeaseLost,
        StoreError::Unwanted => ErrorCode::Cancelled,
        StoreError::NameTaken { .. } => ErrorCode::NameTaken,
        StoreError::NoSandbox(_) => ErrorCode::SandboxUnknown,
        StoreError::NotReady(_) => ErrorCode::SandboxState,
        StoreError::NoteRefused(_) | StoreError::Internal(_) => ErrorCode::Internal,
    };
    Error::new(code, error.to_string()).because(error)
}

pub(crate) fn of_call(what: &str, error: CallError) -> Error {
    let code = match &error {
        CallError::Denied(_) | CallError::Invalid(_) | CallError::NotConfigured(_) => ErrorCode::CallDenied,
        CallError::Unavailable(_) | CallError::Lost(_) => ErrorCode::HostUnreachable,
        CallError::TimedOut(_) => ErrorCode::TimedOut,
        CallError::Cancelled => ErrorCode::Cancelled,
        CallError::Failed(_) => ErrorCode::AdapterFailed,
    };
    Error::new(code, format!("{what}: {error}")).because(error)
}

pub(crate) fn of_hook(what: &str, error: HookError) -> Error {
    let code = match error {
        HookError::Failed(call) => return of_call(what, call),
        HookError::Unsupported(_) => ErrorCode::Unsupported,
        HookError::Trapped(_) => ErrorCode::AdapterTrapped,
        HookError::Limit { .. } => ErrorCode::AdapterLimit,
        HookError::Refused(_) => ErrorCode::ExtensionInvalid,
        HookError::Internal(_) => ErrorCode::Internal,
    };
    Error::new(code, format!("{what}: {error}")).because(error)
}
