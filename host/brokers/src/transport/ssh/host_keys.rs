//! Whether a host is who it should be. Nothing is ever written: a key that is not known is refused, with its
//! fingerprint shown, and it is the operator who pins it.
//!
//! The lines of `known_hosts` are matched here, over the library's parser of one line, because the library's own check
//! accepts a key that is marked as revoked.

use std::{path::PathBuf, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{
    Algorithm, HashAlg, PublicKey,
    ssh_key::known_hosts::{Entry, HostPatterns, Marker},
};
use sandboxer_model::{Error, ErrorCode, Result, id::HostName};

use super::{host_key_algorithms, target::Target};

/// What is known about one host's keys.
#[derive(Clone)]
pub(crate) struct HostKeys(Arc<Known>);

struct Known {
    name: HostName,
    shown: String,
    pinned: Option<String>,
    lines: Vec<Line>,
}

/// A line of a file that is about this host.
struct Line {
    file: PathBuf,
    number: usize,
    marker: Option<Marker>,
    key: PublicKey,
}

/// What is thought of a key that a host shows.
pub(crate) enum Verdict {
    /// It is the host's.
    Known,
    /// It is not, or nobody knows.
    Refused(Error),
}

impl HostKeys {
    /// Reads what is known. A file that is not there knows nothing; one that cannot be read is an error, because a
    /// revoked key may stand in it.
    pub(crate) fn read(name: &HostName, target: &Target) -> Result<Self> {
        let host = target.alias.clone().unwrap_or_else(|| match target.port {
            22 => target.address.to_ascii_lowercase(),
            port => format!("[{}]:{port}", target.address.to_ascii_lowercase()),
        });
        let mut lines = Vec::new();
        for file in &target.known_hosts {
            let text = match std::fs::read(file) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let what = format!("the known host keys in {} cannot be read: {error}", file.display());
                    return Err(Error::new(ErrorCode::ConfigInvalid, what).because(error));
                }
            };
            for (number, line) in text.lines().enumerate() {
                if let Some(entry) = entry(line)
                    && names(entry.host_patterns(), &host)
                {
                    let (marker, key) = (entry.marker().copied(), entry.public_key().clone());
                    lines.push(Line { file: file.clone(), number: number + 1, marker, key });
                }
            }
        }
        Ok(Self(Arc::new(Known { name: name.clone(), shown: target.shown(), pinned: target.pinned.clone(), lines })))
    }

    /// Which host-key algorithms to ask for, in which order; more than one list is tried one after the other.
    pub(crate) fn algorithms(&self) -> Vec<Vec<Algorithm>> {
        let all = host_key_algorithms();
        if self.0.pinned.is_some() {
            let of = |kind: fn(&Algorithm) -> bool| all.iter().filter(|algorithm| kind(algorithm)).cloned().collect();
            return vec![
                all.clone(),
                of(|a| matches!(a, Algorithm::Ecdsa { .. })),
                of(|a| matches!(a, Algorithm::Rsa { .. })),
            ];
        }
        // A server with several keys shall show one that is known.
        let known: Vec<Algorithm> = self.plain().map(|line| line.key.algorithm()).collect();
        let is_known = |algorithm: &Algorithm| known.iter().any(|known| same_kind(known, algorithm));
        let (mut first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_known);
        first.extend(rest);
        vec![first]
    }

    /// Judges the key that the host shows.
    pub(crate) fn judge(&self, key: &PublicKey) -> Verdict {
        let known = &*self.0;
        let shown = key.fingerprint(HashAlg::Sha256).to_string();
        let kind = key.algorithm();
        let host = format!("host `{}` ({}) shows the {kind} key {shown}", known.name, known.shown);
        let changed = |why: String| {
            Verdict::Refused(Error::new(ErrorCode::HostKeyChanged, format!("{host}, but {why}; nothing was sent")))
        };
        if let Some(pinned) = &known.pinned {
            return if *pinned == shown {
                Verdict::Known
            } else {
                changed(format!("{pinned} is pinned for it in connections.toml"))
            };
        }
        let same = |line: &&Line| line.key.key_data() == key.key_data();
        if let Some(line) = known.lines.iter().filter(|line| line.marker == Some(Marker::Revoked)).find(same) {
            return changed(format!("that key is marked as revoked in {}, line {}", line.file.display(), line.number));
        }
        if self.plain().any(|line| same(&line)) {
            return Verdict::Known;
        }
        if let Some(line) = self.plain().next() {
            let other = line.key.fingerprint(HashAlg::Sha256);
            return changed(format!("{}, line {}, has {other} for it", line.file.display(), line.number));
        }
        let what = format!("{host}, which is not known; nothing was sent");
        Verdict::Refused(Error::new(ErrorCode::HostKeyUnknown, what).hint(format!(
            "compare the fingerprint with the host's own, then pin it: `sandboxer hosts add {} --key {shown}`",
            known.name
        )))
    }

    /// Lines that name a key of the host itself: neither revoked ones nor authorities.
    fn plain(&self) -> impl Iterator<Item = &Line> {
        self.0.lines.iter().filter(|line| line.marker.is_none())
    }
}

fn same_kind(known: &Algorithm, offered: &Algorithm) -> bool {
    match (known, offered) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (known, offered) => known == offered,
    }
}

/// One line, or nothing when it is a comment or cannot be read, as OpenSSH passes over it too.
fn entry(line: &str) -> Option<Entry> {
    let words: Vec<&str> = line.split_whitespace().take(4).collect();
    let wanted = match words.first()? {
        first if first.starts_with('#') => return None,
        first if first.starts_with('@') => 4,
        _ => 3,
    };
    words.get(..wanted)?.join(" ").parse().ok()
}

/// Whether a line's patterns mean this host. A negated pattern that fits rules the line out, wherever it stands.
fn names(patterns: &HostPatterns, host: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let Ok(mut mac) = Hmac::<sha1::Sha1>::new_from_slice(salt) else { return false };
            mac.update(host.as_bytes());
            mac.verify_slice(hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let fits = |pattern: &str| matches_pattern(&pattern.to_ascii_lowercase(), host);
            let negated = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(fits);
            !negated && patterns.iter().filter(|pattern| !pattern.starts_with('!')).any(|pattern| fits(pattern))
        }
    }
}

/// Whether a pattern with `*` and `?` fits a whole text.
pub(super) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Positions in the pattern that the text so far may have come to; a `*` stays where it is.
    let skip_stars = |mut at: Vec<usize>| {
        let mut next = 0;
        while let Some(&position) = at.get(next) {
            if pattern.get(position) == Some(&'*') && !at.contains(&(position + 1)) {
                at.push(position + 1);
            }
            next += 1;
        }
        at
    };
    let mut at = skip_stars(vec![0]);
    for c in text {
        let step = |&position: &usize| match pattern.get(position) {
            Some('*') => Some(position),
            Some('?') => Some(position + 1),
            Some(own) if *own == c => Some(position + 1),
            Some(_) | None => None,
        };
        at = skip_stars(at.iter().filter_map(step).collect());
    }
    at.contains(&pattern.len())
}
