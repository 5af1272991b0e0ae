//! What an adapter of sandboxer is written with.
//!
//! An adapter is a WebAssembly component. It implements [`Lifecycle`] and, when its sandboxes can be entered, [`Access`];
//! [`export!`] makes a component of it and embeds the manifest, `extension.toml` beside its `Cargo.toml`. All that it can
//! do is run the prepared calls that its manifest lists, through handles that the host gives it. There are no files, no
//! network, no environment, and no clock worth trusting: use nothing of `std::fs`, `std::net`, `std::process`, since a
//! component that imports them is refused.
//!
//! ```no_run
//! # // There is no manifest beside this example.
//! # macro_rules! export { ($adapter:ident) => {} }
//! use sandboxer_sdk::{Arguments, Error, Lifecycle, Readiness, Sandbox, ssh};
//!
//! struct Greeter;
//!
//! impl Lifecycle for Greeter {
//!     fn provision(sandbox: Sandbox) -> Result<(), Error> {
//!         let arguments = Arguments::new().text("name", sandbox.reference);
//!         ssh::open("host")?.run_ok("greet", &arguments)?;
//!         Ok(())
//!     }
//!     fn wait_ready(_: Sandbox) -> Result<Readiness, Error> {
//!         Ok(Readiness::Ready(vec![]))
//!     }
//!     fn teardown(_: Sandbox) -> Result<(), Error> {
//!         Ok(())
//!     }
//! }
//! export!(Greeter);
//! ```
//!
//! Each call of a hook gets a fresh instance: what is kept in a static is gone at the next one. [`state`] keeps notes.

mod arguments;
#[doc(hidden)]
pub mod bindings;
mod output;

pub use arguments::Arguments;
pub use bindings::{
    access::exports::sandboxer::extension::access::{ExecRequest, Guest as Access, LogsRequest},
    exports::sandboxer::extension::lifecycle::{Guest as Lifecycle, Readiness, Wait},
    sandboxer::extension::{
        progress, ssh,
        ssh::{Exit, Job, JobStatus, Output, Session},
        state,
        types::{Argument, Error, PreparedCall, Sandbox, Setting, Value},
    },
};

/// Not ready yet: ask again after so many milliseconds. The host bounds them, and owns the deadline.
#[must_use]
pub fn pending(retry_after_ms: u32, what: impl Into<String>) -> Readiness {
    Readiness::Pending(Wait { retry_after_ms, for_: what.into() })
}

/// A name and a value.
#[must_use]
pub fn setting(name: impl Into<String>, value: impl Into<String>) -> Setting {
    Setting { name: name.into(), value: value.into() }
}

/// Makes a component of an adapter, with its manifest in it: `export!(Adapter);`, or `export!(Adapter with access);` when
/// it implements [`Access`] too.
///
/// The manifest is the file `extension.toml` beside the adapter's `Cargo.toml`. It becomes the component's one custom
/// section `sandboxer:manifest`, so that one digest stands for code and manifest together.
#[macro_export]
macro_rules! export {
    ($adapter:ident) => {
        $crate::bindings::export_lifecycle!($adapter with_types_in $crate::bindings);
        $crate::__embed_manifest!();
    };
    ($adapter:ident with access) => {
        $crate::bindings::export_lifecycle!($adapter with_types_in $crate::bindings);
        $crate::bindings::access::export_access!($adapter with_types_in $crate::bindings::access);
        $crate::__embed_manifest!();
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __embed_manifest {
    () => {
        #[allow(unsafe_code, reason = "the attribute places bytes in a custom section, which nothing executes")]
        #[used]
        #[unsafe(link_section = "sandboxer:manifest")]
        static MANIFEST: [u8; include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/extension.toml")).len()] =
            *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/extension.toml"));
    };
}
