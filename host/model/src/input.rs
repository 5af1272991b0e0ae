//! Inputs: what a consumer may say about a sandbox, as its profile declares it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{error::Problem, id::Symbol};

/// One input as a profile declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawInput")]
pub struct InputSpec {
    /// What kind of value it takes.
    #[serde(flatten)]
    pub kind: InputKind,
    /// Whether it must be given when it has no default.
    pub required: bool,
    /// One line for a person.
    pub help: String,
}

/// The kinds of input: a closed set.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum InputKind {
    /// A directory of the consumer's machine; its files go into the workspace.
    Directory {
        /// The enum input that says `include` when files that `.gitignore` excludes go too; never, when absent.
        #[serde(rename = "ignored-files")]
        ignored_files: Option<Symbol>,
    },
    /// A file of the consumer's machine; it goes into the workspace under its own name.
    File,
    /// A line of text without control characters, at most `max-length` bytes, matching `pattern` from end to end.
    String {
        /// The value when none is given.
        default: Option<String>,
        /// A regular expression that the whole value must match.
        pattern: Option<String>,
        /// At most so many bytes; 1024 when absent.
        #[serde(rename = "max-length")]
        max_length: Option<usize>,
    },
    /// A whole number within bounds.
    Integer {
        /// The value when none is given.
        default: Option<i64>,
        /// The least allowed value.
        min: i64,
        /// The greatest allowed value.
        max: i64,
    },
    /// One of a few words.
    Enum {
        /// The value when none is given.
        default: Option<String>,
        /// The words.
        values: Vec<String>,
    },
}

/// An input as it stands in a file: every key of every kind, so that one that does not fit the kind can be named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawInput {
    r#type: RawKind,
    #[serde(default)]
    required: bool,
    help: String,
    default: Option<RawDefault>,
    pattern: Option<String>,
    max_length: Option<usize>,
    min: Option<i64>,
    max: Option<i64>,
    values: Option<Vec<String>>,
    ignored_files: Option<Symbol>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    Directory,
    File,
    String,
    Integer,
    Enum,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawDefault {
    Integer(i64),
    Text(String),
}

impl TryFrom<RawInput> for InputSpec {
    type Error = String;

    fn try_from(raw: RawInput) -> Result<Self, String> {
        let stray = |present: bool, key: &str| {
            if present { Err(format!("`{key}` does not belong to an input of this type")) } else { Ok(()) }
        };
        let textual = matches!(raw.r#type, RawKind::String);
        let counted = matches!(raw.r#type, RawKind::Integer);
        stray(raw.pattern.is_some() && !textual, "pattern")?;
        stray(raw.max_length.is_some() && !textual, "max-length")?;
        stray(raw.min.is_some() && !counted, "min")?;
        stray(raw.max.is_some() && !counted, "max")?;
        stray(raw.ignored_files.is_some() && raw.r#type != RawKind::Directory, "ignored-files")?;
        stray(raw.values.is_some() && raw.r#type != RawKind::Enum, "values")?;
        let text = |default: Option<RawDefault>| match default {
            None => Ok(None),
            Some(RawDefault::Text(text)) => Ok(Some(text)),
            Some(RawDefault::Integer(_)) => Err("`default` must be text".to_owned()),
        };
        let kind = match raw.r#type {
            RawKind::Directory | RawKind::File => {
                stray(raw.default.is_some(), "default")?;
                if raw.r#type == RawKind::File {
                    InputKind::File
                } else {
                    InputKind::Directory { ignored_files: raw.ignored_files }
                }
            }
            RawKind::String => {
                InputKind::String { default: text(raw.default)?, pattern: raw.pattern, max_length: raw.max_length }
            }
            RawKind::Integer => InputKind::Integer {
                default: match raw.default {
                    None => None,
                    Some(RawDefault::Integer(number)) => Some(number),
                    Some(RawDefault::Text(_)) => return Err("`default` must be a number".to_owned()),
                },
                min: raw.min.ok_or("an integer needs `min`")?,
                max: raw.max.ok_or("an integer needs `max`")?,
            },
            RawKind::Enum => {
                InputKind::Enum { default: text(raw.default)?, values: raw.values.ok_or("an enum needs `values`")? }
            }
        };
        kind.check()?;
        if raw.required && kind.default_value().is_some() {
            return Err("an input with a default is never missing, so `required` does not belong to it".to_owned());
        }
        Ok(Self { kind, required: raw.required, help: raw.help })
    }
}

/// A value that passed its declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "kebab-case")]
pub enum InputValue {
    /// An absolute path to a directory.
    Directory(String),
    /// An absolute path to a file.
    File(String),
    /// Text.
    String(String),
    /// A number.
    Integer(i64),
    /// A word.
    Enum(String),
}

impl fmt::Display for InputValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(text) | Self::File(text) | Self::String(text) | Self::Enum(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
        }
    }
}

impl InputKind {
    /// The kind's name as a profile writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::File => "file",
            Self::String { .. } => "string",
            Self::Integer { .. } => "integer",
            Self::Enum { .. } => "enum",
        }
    }

    /// The default, when there is one.
    #[must_use]
    pub fn default_value(&self) -> Option<InputValue> {
        match self {
            Self::Directory { .. } | Self::File => None,
            Self::String { default, .. } => default.clone().map(InputValue::String),
            Self::Integer { default, .. } => default.map(InputValue::Integer),
            Self::Enum { default, .. } => default.clone().map(InputValue::Enum),
        }
    }

    /// Reads one value given as text. Paths are only checked for form here; whether they exist is the caller's to see.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the value.
    pub fn read(&self, text: &str) -> Result<InputValue, String> {
        if text.contains('\0') {
            return Err("holds a NUL byte".to_owned());
        }
        match self {
            Self::Directory { .. } | Self::File if text.is_empty() => Err("is empty, but a path is needed".to_owned()),
            Self::Directory { .. } => Ok(InputValue::Directory(text.to_owned())),
            Self::File => Ok(InputValue::File(text.to_owned())),
            Self::String { pattern, max_length, .. } => {
                let max = max_length.unwrap_or(1024);
                if text.len() > max {
                    return Err(format!("is {} bytes long, but at most {max} are allowed", text.len()));
                }
                if text.chars().any(char::is_control) {
                    return Err("holds control characters".to_owned());
                }
                if let Some(pattern) = pattern {
                    let whole = regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|_| {
                        "cannot be checked: the profile's pattern is not a regular expression".to_owned()
                    })?;
                    if !whole.is_match(text) {
                        return Err(format!("does not match `{pattern}`"));
                    }
                }
                Ok(InputValue::String(text.to_owned()))
            }
            Self::Integer { min, max, .. } => {
                let number: i64 = text.parse().map_err(|_| "is not a whole number".to_owned())?;
                if number < *min || number > *max {
                    return Err(format!("must lie between {min} and {max}"));
                }
                Ok(InputValue::Integer(number))
            }
            Self::Enum { values, .. } => {
                if values.iter().any(|word| word == text) {
                    Ok(InputValue::Enum(text.to_owned()))
                } else {
                    Err(format!("must be one of {}", values.join(", ")))
                }
            }
        }
    }

    /// Whether the declaration itself makes sense: its default passes, its bounds are ordered, its pattern compiles.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the declaration.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Directory { .. } | Self::File => Ok(()),
            Self::String { pattern, default, .. } => {
                if let Some(pattern) = pattern {
                    regex::Regex::new(pattern).map_err(|error| format!("its pattern does not compile: {error}"))?;
                }
                default
                    .as_ref()
                    .map_or(Ok(()), |text| self.read(text).map(drop).map_err(|why| format!("its default {why}")))
            }
            Self::Integer { min, max, default } => {
                if min > max {
                    return Err(format!("its min {min} is greater than its max {max}"));
                }
                default.map_or(Ok(()), |number| {
                    self.read(&number.to_string()).map(drop).map_err(|why| format!("its default {why}"))
                })
            }
            Self::Enum { values, default } => {
                if values.is_empty() {
                    return Err("it lists no values".to_owned());
                }
                default
                    .as_ref()
                    .map_or(Ok(()), |word| self.read(word).map(drop).map_err(|why| format!("its default {why}")))
            }
        }
    }
}

/// Reads all given inputs against all declared ones, and reports every problem at once.
///
/// # Errors
/// One problem for each input that is unknown, missing, given twice or ill-typed.
pub fn resolve(
    declared: &BTreeMap<Symbol, InputSpec>,
    given: &[(String, String)],
) -> Result<BTreeMap<Symbol, InputValue>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut values = BTreeMap::new();
    for (name, text) in given {
        let Some((symbol, spec)) = declared.iter().find(|(symbol, _)| symbol.as_str() == name) else {
            let known: Vec<&str> = declared.keys().map(Symbol::as_str).collect();
            let known =
                if known.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", known.join(", ")) };
            problems.push(Problem::new(
                format!("input.{}", name.escape_default()),
                format!("the profile has no such input; {known}"),
            ));
            continue;
        };
        if values.contains_key(symbol) {
            problems.push(Problem::new(format!("input.{name}"), "is given twice"));
            continue;
        }
        match spec.kind.read(text) {
            Ok(value) => drop(values.insert(symbol.clone(), value)),
            Err(why) => {
                // Marks the input as seen, so that a bad value is not also called missing.
                problems.push(Problem::new(format!("input.{name}"), why));
                values.insert(symbol.clone(), InputValue::String(String::new()));
            }
        }
    }
    for (symbol, spec) in declared {
        if values.contains_key(symbol) {
            continue;
        }
        match spec.kind.default_value() {
            Some(value) => drop(values.insert(symbol.clone(), value)),
            None if spec.required => {
                problems.push(Problem::new(
                    format!("input.{symbol}"),
                    format!("is required ({}): {}", spec.kind.name(), spec.help),
                ));
            }
            None => {}
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> BTreeMap<Symbol, InputSpec> {
        let spec = |kind, required| InputSpec { kind, required, help: "help".to_owned() };
        [
            ("dir", spec(InputKind::Directory { ignored_files: None }, true)),
            ("n", spec(InputKind::Integer { default: Some(3), min: 1, max: 9 }, false)),
            (
                "net",
                spec(
                    InputKind::Enum { default: Some("none".into()), values: vec!["none".into(), "all".into()] },
                    false,
                ),
            ),
            (
                "s",
                spec(InputKind::String { default: None, pattern: Some("[a-z]+".into()), max_length: Some(4) }, false),
            ),
        ]
        .into_iter()
        .map(|(name, spec)| (name.parse().unwrap(), spec))
        .collect()
    }

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let problems =
            resolve(&declared(), &given(&[("n", "10"), ("net", "some"), ("s", "abcde"), ("typo", "x"), ("n", "2")]))
                .unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["input.n", "input.net", "input.s", "input.typo", "input.n", "input.dir"]);
    }

    #[test]
    fn defaults_fill_what_is_not_given() {
        let values = resolve(&declared(), &given(&[("dir", "/x")])).unwrap();
        assert_eq!(values.get(&"n".parse::<Symbol>().unwrap()), Some(&InputValue::Integer(3)));
        assert_eq!(values.get(&"net".parse::<Symbol>().unwrap()), Some(&InputValue::Enum("none".into())));
        assert_eq!(values.get(&"s".parse::<Symbol>().unwrap()), None);
    }

    #[test]
    fn a_pattern_must_match_from_end_to_end() {
        let problems = resolve(&declared(), &given(&[("dir", "/x"), ("s", "ab1")])).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(resolve(&declared(), &given(&[("dir", "/x"), ("s", "a\nb")])).is_err());
    }
}
