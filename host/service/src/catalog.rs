//! Profiles and extensions: where they come from and how they are read.

use std::sync::Arc;

use sandboxer_guard::{
    component::{self, Component, Declared},
    manifest::Manifest,
};
use sandboxer_model::{
    Error, ErrorCode, Result,
    id::{ExtensionName, ProfileName},
    profile::Profile,
};

/// The profiles and extensions that an installation has.
pub trait Catalog: Send + Sync {
    /// The names of all profiles.
    fn profiles(&self) -> Vec<ProfileName>;

    /// One profile.
    ///
    /// # Errors
    /// `profile.unknown`, `profile.invalid`.
    fn profile(&self, name: &ProfileName) -> Result<Profile>;

    /// The names of all extensions.
    fn extensions(&self) -> Vec<ExtensionName>;

    /// One extension's component.
    ///
    /// # Errors
    /// `extension.unknown`.
    fn component(&self, name: &ExtensionName) -> Result<Arc<[u8]>>;
}

/// Reads a component without running it: its imports, its manifest, and that the one stays within the other.
///
/// # Errors
/// `extension.invalid`.
pub fn read_component(bytes: &[u8]) -> Result<(Component, Manifest)> {
    let refused = |why: String| Error::new(ErrorCode::ExtensionInvalid, format!("the component is refused: {why}"));
    let component = component::inspect(bytes).map_err(|error| refused(error.to_string()))?;
    let manifest = Manifest::parse(&component.manifest).map_err(|error| refused(error.to_string()))?;
    component::check_imports(&component, Declared { ssh: !manifest.ssh.is_empty() })
        .map_err(|error| refused(error.to_string()))?;
    Ok((component, manifest))
}

/// Reads a profile.
///
/// # Errors
/// `profile.invalid`, with the parser's sentence.
pub fn read_profile(text: &str, place: &str) -> Result<Profile> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(String::new(), |span| {
            format!(", line {}", text.get(..span.start).unwrap_or_default().lines().count().max(1))
        });
        Error::new(ErrorCode::ProfileInvalid, format!("the profile {place} cannot be read{line}: {}", error.message()))
    })
}
