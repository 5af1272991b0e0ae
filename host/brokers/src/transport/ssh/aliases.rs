//! The host aliases of the user's OpenSSH configuration: the literal names after `Host`. What they mean is for `ssh -G`
//! to say; this only tells which names the user has given.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use sandboxer_model::id::HostName;

use crate::Settings;

/// The aliases that the user has defined, in files that can be read.
pub(crate) fn aliases(settings: &Settings) -> BTreeSet<HostName> {
    let mut names = BTreeSet::new();
    read(&settings.ssh_config, &settings.home, 0, &mut names);
    names
}

/// OpenSSH itself stops at 16; nobody nests that deep.
const DEEPEST: usize = 8;

fn read(path: &Path, home: &Path, depth: usize, names: &mut BTreeSet<HostName>) {
    let Ok(text) = std::fs::read_to_string(path) else { return };
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((keyword, rest)) = line.split_once([' ', '\t', '=']) else { continue };
        let words = rest.split_whitespace().map(|word| word.trim_matches('"')).filter(|word| *word != "=");
        if keyword.eq_ignore_ascii_case("host") {
            // A pattern is not a name, and a negated name is not one that is defined here.
            names.extend(words.filter_map(|word| word.parse::<HostName>().ok()));
        } else if keyword.eq_ignore_ascii_case("include") && depth < DEEPEST {
            for word in words {
                for file in included(word, home) {
                    read(&file, home, depth + 1, names);
                }
            }
        }
    }
}

/// The files that an `Include` names: relative to `~/.ssh`, with `*` in its last part.
fn included(word: &str, home: &Path) -> Vec<PathBuf> {
    let path = match word.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => home.join(".ssh").join(word),
    };
    let Some(pattern) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.contains(['*', '?'])) else {
        return vec![path];
    };
    let (Some(directory), pattern) = (path.parent(), pattern.to_owned()) else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let named = entries.filter_map(Result::ok).filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| super::host_keys::matches_pattern(&pattern, name))
    });
    let mut files: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    files.sort();
    files
}
