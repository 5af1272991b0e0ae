//! Holes: the places of a prepared call that are filled when it is made. A closed set of types, each with one check.
//!
//! Rejected: regular expressions in manifests as hole types. A reviewer would have to read and trust each of them, while
//! these few types are read once.

use std::fmt;

use sandboxer_model::{call::Value, id::Symbol};
use serde::{Deserialize, Serialize};

/// The type of a hole that the adapter fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HoleType {
    // Written with braces, because serde lets unknown keys pass beside a variant without fields.
    /// 1 to 63 characters of a-z, 0-9, `.`, `_` and `-`, starting with a letter or digit.
    Name {},
    /// A path without `..`, not absolute, at most 1024 bytes.
    RelativePath {},
    /// A whole number within bounds; never negative, so that it never looks like a flag.
    Integer {
        /// The least value.
        min: u32,
        /// The greatest value.
        max: u32,
    },
    /// One of a few words.
    Enum {
        /// The words.
        values: Vec<String>,
    },
    /// `sha256:` and 64 hexadecimal digits.
    Digest {},
    /// Bounded text without control characters.
    Text {
        /// At most so many bytes.
        #[serde(rename = "max-bytes")]
        max_bytes: usize,
    },
    /// `NAME=value` for a program's environment inside the sandbox; tabs and newlines are allowed in the value.
    Assignment {
        /// At most so many bytes.
        #[serde(rename = "max-bytes")]
        max_bytes: usize,
    },
    /// Rest arguments: any bytes but NUL. The host cannot check them, so the hole is *wide*.
    Argv {
        /// At most so many arguments.
        #[serde(rename = "max-items")]
        max_items: usize,
    },
}

impl HoleType {
    /// Whether the host cannot check what goes in: what a reviewer looks at first.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        match self {
            Self::Argv { .. } => true,
            Self::Name {}
            | Self::RelativePath {}
            | Self::Integer { .. }
            | Self::Enum { .. }
            | Self::Digest {}
            | Self::Text { .. }
            | Self::Assignment { .. } => false,
        }
    }
}

impl fmt::Display for HoleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name {} => f.write_str("name"),
            Self::RelativePath {} => f.write_str("relative path"),
            Self::Integer { min, max } => write!(f, "integer {min}..{max}"),
            Self::Enum { values } => f.write_str(&values.join("|")),
            Self::Digest {} => f.write_str("digest"),
            Self::Text { max_bytes } => write!(f, "text up to {max_bytes} bytes"),
            Self::Assignment { max_bytes } => write!(f, "NAME=value up to {max_bytes} bytes"),
            Self::Argv { max_items } => write!(f, "any arguments, up to {max_items}"),
        }
    }
}

/// A hole that the host fills; the adapter has no say in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHole {
    /// The sandbox's name out there.
    Sandbox,
    /// The sandbox's workspace on the placement host.
    Workspace,
    /// Where the adapter's commands keep what they need between calls.
    State,
    /// What the consumer said.
    Input(Symbol),
}

impl HostHole {
    /// Reads the name between the braces; `None` when it is not one of the host's.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "sandbox" => Some(Self::Sandbox),
            "workspace" => Some(Self::Workspace),
            "state" => Some(Self::State),
            other => other.strip_prefix("input.").and_then(|input| input.parse().ok()).map(Self::Input),
        }
    }
}

impl fmt::Display for HostHole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sandbox => f.write_str("sandbox"),
            Self::Workspace => f.write_str("workspace"),
            Self::State => f.write_str("state"),
            Self::Input(name) => write!(f, "input.{name}"),
        }
    }
}

/// The texts that a value stands for: one, or for lists several.
///
/// # Errors
/// A sentence that says why the value does not fit the hole. It never repeats the value.
pub fn check(hole: &HoleType, value: &Value) -> Result<Vec<String>, String> {
    match (hole, value) {
        (HoleType::Argv { max_items }, Value::List(items)) => {
            if items.len() > *max_items {
                return Err(format!("holds {} arguments, but at most {max_items} are allowed", items.len()));
            }
            if items.iter().any(|item| item.contains('\0')) {
                return Err("holds a NUL byte".to_owned());
            }
            Ok(items.clone())
        }
        (HoleType::Argv { .. }, Value::Text(_) | Value::Integer(_)) => Err("must be a list".to_owned()),
        (_, Value::List(items)) => items.iter().map(|item| check_text(hole, item).map(|()| item.clone())).collect(),
        (HoleType::Integer { .. }, Value::Integer(number)) => {
            check_text(hole, &number.to_string()).map(|()| vec![number.to_string()])
        }
        (_, Value::Integer(_)) => Err("must be text".to_owned()),
        (_, Value::Text(text)) => check_text(hole, text).map(|()| vec![text.clone()]),
    }
}

fn check_text(hole: &HoleType, text: &str) -> Result<(), String> {
    check_plain(text, matches!(hole, HoleType::Assignment { .. }))?;
    match hole {
        HoleType::Name {} => {
            let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            let rest =
                text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
            if first && rest && text.len() <= 63 { Ok(()) } else { Err("is not a name".to_owned()) }
        }
        HoleType::RelativePath {} => {
            let inside = !text.is_empty()
                && !text.starts_with('/')
                && text.len() <= 1024
                && text.split('/').all(|part| !part.is_empty() && part != ".." && part != ".");
            if inside { Ok(()) } else { Err("is not a path inside the workspace".to_owned()) }
        }
        HoleType::Integer { min, max } => match text.parse::<u32>() {
            Ok(number) if number >= *min && number <= *max && number.to_string() == text => Ok(()),
            Ok(_) | Err(_) => Err(format!("must be a whole number from {min} to {max}")),
        },
        HoleType::Enum { values } => {
            if values.iter().any(|word| word == text) {
                Ok(())
            } else {
                Err("is not one of the allowed words".to_owned())
            }
        }
        HoleType::Digest {} => {
            text.parse::<sandboxer_model::id::Digest>().map(drop).map_err(|_| "is not a digest".to_owned())
        }
        HoleType::Text { max_bytes } => at_most(text, *max_bytes),
        HoleType::Assignment { max_bytes } => {
            let (name, _) = text.split_once('=').ok_or("is not NAME=value")?;
            let named = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if named { at_most(text, *max_bytes) } else { Err("is not NAME=value".to_owned()) }
        }
        HoleType::Argv { .. } => Err("must be a list".to_owned()),
    }
}

fn at_most(text: &str, max: usize) -> Result<(), String> {
    if text.len() <= max { Ok(()) } else { Err(format!("is {} bytes long, but at most {max} are allowed", text.len())) }
}

/// What holds for every value outside rest arguments: no leading dash, so that it never is a flag; no control characters.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_plain(text: &str, allow_tab_and_newline: bool) -> Result<(), String> {
    if text.starts_with('-') {
        return Err("begins with a dash, so it could be taken for a flag".to_owned());
    }
    if text.chars().any(|c| c.is_control() && !(allow_tab_and_newline && matches!(c, '\n' | '\t'))) {
        return Err("holds control characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    fn denied(hole: &HoleType, values: &[&str]) {
        for value in values {
            assert!(check(hole, &text(value)).is_err(), "{hole} took {value:?}");
        }
    }

    #[test]
    fn every_type_takes_what_it_says_and_denies_the_rest() {
        let path = HoleType::RelativePath {};
        assert_eq!(check(&path, &text("a/b c")).unwrap(), ["a/b c"]);
        denied(&path, &["", "/a", "../a", "a/../b", "a//b", "./a", "a/.", "-a", "a\nb", "a\0b"]);

        assert!(check(&HoleType::Name {}, &text("web-1.x_y")).is_ok());
        denied(&HoleType::Name {}, &["", "-web", "Web", "a b", "ä", "a/b", "a\n", ".a"]);

        let number = HoleType::Integer { min: 1, max: 10 };
        assert_eq!(check(&number, &Value::Integer(10)).unwrap(), ["10"]);
        denied(&number, &["0", "11", "+1", "01", " 1", "1e0", "-1", ""]);
        assert!(check(&number, &Value::Integer(-1)).is_err());

        let word = HoleType::Enum { values: vec!["on".into()] };
        assert!(check(&word, &text("on")).is_ok());
        denied(&word, &["off", "ON", "on ", ""]);

        let short = HoleType::Text { max_bytes: 4 };
        assert!(check(&short, &text("ä b")).is_ok());
        denied(&short, &["abcde", "a\tb", "a\u{1b}", "a\u{85}", "-a"]);

        let env = HoleType::Assignment { max_bytes: 20 };
        assert!(check(&env, &text("A_1=x\ny\t-z")).is_ok());
        denied(&env, &["A", "=x", "1A=x", "A-B=x", "-A=x", "A=\u{7}", "A B=x"]);
    }

    #[test]
    fn rest_arguments_take_any_byte_but_nul() {
        let rest = HoleType::Argv { max_items: 2 };
        let items = |list: &[&str]| Value::List(list.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(check(&rest, &items(&["-x", "a\nb"])).unwrap(), ["-x", "a\nb"]);
        assert!(check(&rest, &items(&["a\0b"])).is_err());
        assert!(check(&rest, &items(&["a", "b", "c"])).is_err());
        assert!(check(&rest, &text("a")).is_err());
    }
}
