//! The extensions that this binary carries. The build script compiles them from `extensions-wasm/`.

/// An extension in the binary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bundled {
    /// Its name without `ext.`: `canary`.
    pub(crate) name: &'static str,
    /// The component, its manifest inside.
    pub(crate) component: &'static [u8],
}

/// All of them.
pub(crate) static BUNDLED: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
