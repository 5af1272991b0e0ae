//! Argument templates: what a manifest's `argv` means.
//!
//! A word is text with holes in braces (`"{workspace}/compose.json"`), `{{` and `}}` standing for braces themselves; a
//! word that is one hole with three dots takes rest arguments (`"{command...}"`); an array inside the array is an optional
//! group that is there once for each value of its hole (`["--env", "{env}"]`), or not at all.

use std::collections::BTreeMap;

use sandboxer_model::id::Symbol;
use serde::{Deserialize, Serialize};

use crate::hole::{self, HostHole};

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands as it is.
    Literal(String),
    /// A hole that the host fills.
    Host(HostHole),
    /// A hole that the adapter fills.
    Guest(Symbol),
}

/// One element of an argument template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Exactly one argument.
    One(Vec<Piece>),
    /// Rest arguments.
    Rest(Symbol),
    /// Arguments that are there once for each value of the group's one hole.
    Group(Vec<Vec<Piece>>),
}

/// A word as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RawWord {
    /// A word.
    One(String),
    /// An optional group.
    Group(Vec<String>),
}

/// Reads one word.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse(raw: &RawWord) -> Result<Word, String> {
    match raw {
        RawWord::One(text) => {
            if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix("...}")) {
                let name = name.parse().map_err(|_| format!("`{text}` does not name a hole"))?;
                return Ok(Word::Rest(name));
            }
            pieces(text).map(Word::One)
        }
        RawWord::Group(words) => {
            let words = words.iter().map(|text| pieces(text)).collect::<Result<Vec<_>, _>>()?;
            let holes = words.iter().flatten().filter(|piece| !matches!(piece, Piece::Literal(_))).count();
            if holes != 1 {
                return Err(format!("an optional group needs exactly one hole, but this one has {holes}"));
            }
            Ok(Word::Group(words))
        }
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    if text.contains('\0') {
        return Err("holds a NUL byte".to_owned());
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        if let Some(after) = from.strip_prefix("{{") {
            literal.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            literal.push('}');
            rest = after;
        } else if let Some((name, after)) = from.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(match HostHole::parse(name) {
                Some(host) => Piece::Host(host),
                None => Piece::Guest(name.parse().map_err(|_| format!("`{{{name}}}` does not name a hole"))?),
            });
            rest = after;
        } else {
            return Err(format!(
                "`{text}` has a brace without its partner; write `{{{{` or `}}}}` for the brace itself"
            ));
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

impl Word {
    /// Every hole in the word, in order.
    pub fn holes(&self) -> Vec<Piece> {
        match self {
            Self::One(pieces) => pieces.iter().filter(|piece| !matches!(piece, Piece::Literal(_))).cloned().collect(),
            Self::Rest(name) => vec![Piece::Guest(name.clone())],
            Self::Group(words) => {
                words.iter().flatten().filter(|piece| !matches!(piece, Piece::Literal(_))).cloned().collect()
            }
        }
    }

    /// The whole word when it has no hole.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::One(pieces) => match pieces.as_slice() {
                [Piece::Literal(text)] => Some(text),
                _ => None,
            },
            Self::Rest(_) | Self::Group(_) => None,
        }
    }
}

/// The values that a rendering takes: checked already for the adapter's holes, known to the host for its own.
pub struct Values<'a> {
    /// What the adapter filled in, each as one text or, for lists, several.
    pub guest: &'a BTreeMap<Symbol, Vec<String>>,
    /// What the host fills in; `None` when the consumer gave nothing.
    pub host: &'a dyn Fn(&HostHole) -> Option<String>,
}

/// Renders a template into arguments.
///
/// # Errors
/// A sentence that says which hole is empty or which host value could be taken for a flag.
pub fn render(words: &[Word], values: &Values<'_>) -> Result<Vec<String>, String> {
    let mut argv = Vec::new();
    for word in words {
        match word {
            Word::One(pieces) => argv.push(render_pieces(pieces, values, None)?),
            Word::Rest(name) => argv.extend(values.guest.get(name).into_iter().flatten().cloned()),
            Word::Group(words) => {
                for repetition in 0..repetitions(word, values)? {
                    for pieces in words {
                        argv.push(render_pieces(pieces, values, Some(repetition))?);
                    }
                }
            }
        }
    }
    Ok(argv)
}

fn repetitions(word: &Word, values: &Values<'_>) -> Result<usize, String> {
    match word.holes().as_slice() {
        [Piece::Guest(name)] => Ok(values.guest.get(name).map_or(0, Vec::len)),
        [Piece::Host(hole)] => Ok(usize::from((values.host)(hole).is_some())),
        _ => Err("an optional group needs exactly one hole".to_owned()),
    }
}

fn render_pieces(pieces: &[Piece], values: &Values<'_>, repetition: Option<usize>) -> Result<String, String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Host(hole) => {
                let value = (values.host)(hole).ok_or_else(|| format!("`{{{hole}}}` has no value"))?;
                hole::check_plain(&value, false).map_err(|why| format!("the value of `{{{hole}}}` {why}"))?;
                text.push_str(&value);
            }
            Piece::Guest(name) => {
                let given = values.guest.get(name).map(Vec::as_slice).unwrap_or_default();
                let value = match (repetition, given) {
                    (Some(at), list) => list.get(at),
                    (None, [one]) => Some(one),
                    (None, _) => None,
                };
                text.push_str(value.ok_or_else(|| format!("the hole `{name}` needs exactly one value"))?);
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(raw: &[RawWord]) -> Vec<Word> {
        raw.iter().map(|word| parse(word).unwrap()).collect()
    }

    fn one(text: &str) -> RawWord {
        RawWord::One(text.to_owned())
    }

    fn rendered(raw: &[RawWord], guest: &[(&str, &[&str])]) -> Result<Vec<String>, String> {
        let guest = guest
            .iter()
            .map(|(name, values)| (name.parse().unwrap(), values.iter().map(|v| (*v).to_owned()).collect()))
            .collect();
        let host = |hole: &HostHole| match hole {
            HostHole::Sandbox => Some("sbx-x-y".to_owned()),
            HostHole::Workspace => Some("/w".to_owned()),
            HostHole::State => Some("-s".to_owned()),
            HostHole::Input(_) => None,
        };
        render(&words(raw), &Values { guest: &guest, host: &host })
    }

    #[test]
    fn holes_groups_and_rest_arguments_render_as_written() {
        let raw = [
            one("{workspace}/{{x}}-{name}"),
            RawWord::Group(vec!["--env".into(), "{env}".into()]),
            RawWord::Group(vec!["--cpu={input.cpu}".into()]),
            one("{rest...}"),
        ];
        let argv =
            rendered(&raw, &[("name", &["n"]), ("env", &["A=1", "B={x}"]), ("rest", &["{sandbox}", "-x"])]).unwrap();
        assert_eq!(
            argv,
            ["/w/{x}-n", "--env", "A=1", "--env", "B={x}", "{sandbox}", "-x"],
            "values are never templates"
        );
    }

    #[test]
    fn a_hole_without_its_one_value_or_with_a_flag_is_refused() {
        assert!(rendered(&[one("{name}")], &[]).is_err());
        assert!(rendered(&[one("{name}")], &[("name", &["a", "b"])]).is_err());
        assert!(rendered(&[one("{input.x}")], &[]).is_err());
        assert!(rendered(&[one("{state}")], &[]).is_err(), "the host's value begins with a dash");
    }

    #[test]
    fn lone_braces_and_wrong_groups_do_not_parse() {
        for bad in ["{", "a}", "{a", "{A}", "{}", "{a b}", "{input.}", "{captured.x}", "a{rest...}"] {
            assert!(parse(&one(bad)).is_err(), "{bad}");
        }
        assert!(parse(&RawWord::Group(vec!["x".into()])).is_err());
        assert!(parse(&RawWord::Group(vec!["{a}".into(), "{b}".into()])).is_err());
    }
}
