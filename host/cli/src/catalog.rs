//! The profiles and extensions that this binary carries. They are approved by the build that carries them; profiles of an
//! operator's own come with approvals.

use std::sync::Arc;

use sandboxer_model::{
    Error, ErrorCode, Result,
    id::{ExtensionName, ProfileName},
    profile::Profile,
};
use sandboxer_service::catalog::{Catalog, read_profile};

use crate::bundled::BUNDLED;

const PROFILES: &[(&str, &str)] = &[
    ("agent-dev", include_str!("../../../profiles/agent-dev.toml")),
    ("sandbox-canary", include_str!("../../../profiles/sandbox-canary.toml")),
];

/// What the binary carries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BundledCatalog;

impl Catalog for BundledCatalog {
    fn profiles(&self) -> Vec<ProfileName> {
        PROFILES.iter().filter_map(|(name, _)| name.parse().ok()).collect()
    }

    fn profile(&self, name: &ProfileName) -> Result<Profile> {
        match PROFILES.iter().find(|(known, _)| *known == name.as_str()) {
            Some((_, text)) => read_profile(text, &format!("profile.{name}")),
            None => Err(Error::new(ErrorCode::ProfileUnknown, format!("there is no profile.{name}"))),
        }
    }

    fn extensions(&self) -> Vec<ExtensionName> {
        BUNDLED.iter().filter_map(|bundled| bundled.name.parse().ok()).collect()
    }

    fn component(&self, name: &ExtensionName) -> Result<Arc<[u8]>> {
        match BUNDLED.iter().find(|bundled| bundled.name == name.as_str()) {
            Some(bundled) => Ok(Arc::from(bundled.component)),
            None => Err(Error::new(ErrorCode::ExtensionUnknown, format!("there is no ext.{name}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use sandboxer_service::catalog::read_component;

    use super::*;

    #[test]
    fn every_bundled_profile_and_extension_is_what_its_name_says() {
        for name in BundledCatalog.profiles() {
            assert_eq!(BundledCatalog.profile(&name).unwrap().name, name);
        }
        for name in BundledCatalog.extensions() {
            let (_, manifest) = read_component(&BundledCatalog.component(&name).unwrap()).unwrap();
            assert_eq!(manifest.name, name);
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles")).unwrap().count();
        assert_eq!(files, PROFILES.len(), "every file in profiles/ is bundled");
    }
}
