//! The extensions that this binary carries. The build script compiles them from `extensions-wasm/`.

/// An extension in the binary.
#[derive(Debug, Clone, Copy)]
pub struct Bundled {
    /// Its name without `ext.`: `canary`.
    pub name: &'static str,
    /// The component, its manifest inside.
    pub component: &'static [u8],
}

/// All of them.
pub static BUNDLED: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
