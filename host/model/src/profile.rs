//! Profiles: named, versioned recipes in TOML. They hold names only: a URL, an address or a path in one is an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::{ExtensionName, InvalidId, ProfileName, Symbol},
    input::InputSpec,
    plan::Grant,
};

/// A profile as its author wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// `profile.NAME`.
    #[serde(deserialize_with = "profile_name", serialize_with = "show_profile_name")]
    pub name: ProfileName,
    /// Grows when the author changes something.
    pub version: u32,
    /// One line for a person.
    pub summary: String,
    /// `ext.NAME`.
    #[serde(deserialize_with = "extension_name", serialize_with = "show_extension_name")]
    pub extension: ExtensionName,
    /// Seconds that create may take until the sandbox is ready.
    pub ready_within_s: u32,
    /// What a consumer may say.
    #[serde(default)]
    pub inputs: BTreeMap<Symbol, InputSpec>,
    /// What the extension may do, by grant name.
    pub grants: BTreeMap<Symbol, Grant>,
}

/// Reads `profile.NAME`, or the bare name.
///
/// # Errors
/// When it is not a profile name.
pub fn parse_profile_name(text: &str) -> Result<ProfileName, InvalidId> {
    text.strip_prefix("profile.").unwrap_or(text).parse()
}

/// Reads `ext.NAME`, or the bare name.
///
/// # Errors
/// When it is not an extension name.
pub fn parse_extension_name(text: &str) -> Result<ExtensionName, InvalidId> {
    text.strip_prefix("ext.").unwrap_or(text).parse()
}

fn profile_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ProfileName, D::Error> {
    let text = String::deserialize(deserializer)?;
    let name =
        text.strip_prefix("profile.").ok_or_else(|| serde::de::Error::custom("the name must begin with `profile.`"))?;
    name.parse().map_err(serde::de::Error::custom)
}

fn show_profile_name<S: serde::Serializer>(name: &ProfileName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("profile.{name}"))
}

fn extension_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ExtensionName, D::Error> {
    let text = String::deserialize(deserializer)?;
    let name =
        text.strip_prefix("ext.").ok_or_else(|| serde::de::Error::custom("the extension must begin with `ext.`"))?;
    name.parse().map_err(serde::de::Error::custom)
}

fn show_extension_name<S: serde::Serializer>(name: &ExtensionName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("ext.{name}"))
}
