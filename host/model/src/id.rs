//! Identifiers. Each is a type of its own with one constructor that checks, so that a value of the type is valid.
//!
//! Sandbox ids are 80 random bits in 16 lowercase letters and digits: random rather than ordered by time, so that short
//! prefixes stay unique in a burst, and short enough that `sbx-<installation>-<id>-<slot>` fits in 40 characters, the
//! limit that container engines and cloud providers share.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A value that is not a valid identifier, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {what}: {rule}")]
pub struct InvalidId {
    /// The refused value, shortened and escaped for display.
    pub value: String,
    /// What was expected, with its article: "a sandbox name".
    pub what: &'static str,
    /// The rule that a valid value follows.
    pub rule: &'static str,
}

fn shown(value: &str) -> String {
    value.chars().take(64).flat_map(char::escape_default).collect()
}

/// Letters, digits and inner hyphens, lowercase, starting with a letter or digit.
fn is_label(value: &str, max: usize) -> bool {
    !value.is_empty()
        && value.len() <= max
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !value.starts_with('-')
        && !value.ends_with('-')
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(value: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(value) {
                    Ok(Self(value.to_owned()))
                } else {
                    Err(InvalidId { value: shown(value), what: $what, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(value: String) -> Result<Self, InvalidId> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn is_id(value: &str, len: usize) -> bool {
    value.len() == len && value.bytes().all(|b| ALPHABET.contains(&b))
}

identifier!(
    /// One sandbox, for ever: 16 characters of Crockford's base32, lowercase.
    SandboxId, "a sandbox id", "16 characters of 0-9 and a-z without i, l, o, u", |v| is_id(v, 16)
);
identifier!(
    /// One installation of sandboxer, minted when its store is made. Part of every name that sandboxer gives away.
    InstallationId, "an installation id", "6 characters of 0-9 and a-z without i, l, o, u", |v| is_id(v, 6)
);
identifier!(
    /// What a person calls a sandbox. Unique among the sandboxes of a project that are not destroyed.
    SandboxName, "a sandbox name", "1 to 63 characters of a-z, 0-9 and inner hyphens", |v| is_label(v, 63)
);
identifier!(
    /// A profile without its `profile.` prefix.
    ProfileName, "a profile name", "`profile.` and 1 to 40 characters of a-z, 0-9 and inner hyphens", |v| is_label(v, 40)
);
identifier!(
    /// An extension without its `ext.` prefix.
    ExtensionName, "an extension name", "`ext.` and 1 to 40 characters of a-z, 0-9 and inner hyphens", |v| is_label(v, 40)
);
identifier!(
    /// A placement host by the operator's name for it.
    HostName, "a host name", "1 to 63 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, starting with a letter or digit",
    |v| v.len() <= 63
        && v.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && v.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
);
identifier!(
    /// A project label: what groups sandboxes of one consumer.
    ProjectName, "a project name", "1 to 63 characters of a-z, 0-9 and inner hyphens", |v| is_label(v, 63)
);
identifier!(
    /// Something an adapter makes, as its manifest names it.
    Slot, "a slot", "1 to 12 characters of a-z, 0-9 and inner hyphens", |v| is_label(v, 12)
);
identifier!(
    /// The name of a grant, a prepared call, an input, a hole or a capture.
    Symbol, "a symbol", "1 to 40 characters of a-z, 0-9 and inner hyphens, starting with a letter",
    |v| is_label(v, 40) && v.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
);

fn random(len: usize) -> Result<String, getrandom::Error> {
    let mut bytes = vec![0_u8; len];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().filter_map(|b| ALPHABET.get(usize::from(b % 32)).copied().map(char::from)).collect())
}

impl SandboxId {
    /// A new random id.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        random(16).map(Self)
    }

    /// A number for this id in `0..bound`, spread evenly (FNV-1a); used to give each sandbox a user id of its own.
    #[must_use]
    pub fn spread(&self, bound: u32) -> u32 {
        let hash =
            self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        u32::try_from(hash % u64::from(bound.max(1))).unwrap_or(0)
    }
}

impl InstallationId {
    /// A new random id.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        random(6).map(Self)
    }
}

impl HostName {
    /// The machine that sandboxer itself runs on. Always there.
    #[must_use]
    pub fn local() -> Self {
        Self("local".to_owned())
    }

    /// Whether this is the machine that sandboxer itself runs on.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0 == "local"
    }
}

/// What a sandbox is called out there: `sbx-<installation>-<id>`. Made by the host, never by an adapter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SandboxRef(String);

impl SandboxRef {
    /// The name of this sandbox on every host and at every provider.
    #[must_use]
    pub fn new(installation: &InstallationId, id: &SandboxId) -> Self {
        Self(format!("sbx-{installation}-{id}"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SandboxRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one resource is called out there: the sandbox's name and the slot. At most 40 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceRef(String);

impl ResourceRef {
    /// The deterministic name of the resource in `slot` of this sandbox.
    #[must_use]
    pub fn new(sandbox: &SandboxRef, slot: &Slot) -> Self {
        Self(format!("{sandbox}-{slot}"))
    }

    /// Reads a name that a store kept.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 digest. Written `sha256:<64 hex digits>`, as `sha256sum` would compute it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps a computed digest.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits without the prefix.
    #[must_use]
    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// The first 12 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.hex().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(value: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            value: shown(value),
            what: "a digest",
            rule: "`sha256:` and 64 lowercase hexadecimal digits",
        };
        let hex = value.strip_prefix("sha256:").ok_or_else(invalid)?;
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(|_| invalid())?;
        bytes.try_into().map(Self).map_err(|_| invalid())
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidId;
    fn try_from(value: String) -> Result<Self, InvalidId> {
        value.parse()
    }
}

impl From<Digest> for String {
    fn from(value: Digest) -> String {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_fit_the_forty_characters_that_providers_share() {
        let id = SandboxId::random().unwrap();
        let sandbox = SandboxRef::new(&InstallationId::random().unwrap(), &id);
        let longest: Slot = "abcdefghijkl".parse().unwrap();
        assert!(ResourceRef::new(&sandbox, &longest).as_str().len() <= 40);
        assert!("abcdefghijklm".parse::<Slot>().is_err());
    }

    #[test]
    fn hostile_names_are_refused_and_shown_escaped() {
        for bad in ["", "-x", "x-", "A", "a b", "a/b", "../x", "a\nb", "ü", &"x".repeat(64)] {
            let error = bad.parse::<SandboxName>().unwrap_err();
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_digest_reads_what_it_writes_and_nothing_else() {
        let digest = Digest::new([7; 32]);
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("sha256:00".parse::<Digest>().is_err());
        assert!(digest.hex().parse::<Digest>().is_err());
    }
}
