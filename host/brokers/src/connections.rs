//! The operator's `connections.toml`: which hosts there are, and how each is told apart from somebody who pretends to
//! be it.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use sandboxer_model::{Error, ErrorCode, Result, id::HostName, ports::hosts::HostEntry};
use serde::{Deserialize, Serialize};

/// One host as the operator declares it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostConnection {
    /// Its address, or an alias that OpenSSH knows; the host's name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user that we are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its key's fingerprint, `SHA256:…`. When it is given, `known_hosts` is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The directory for sandboxes there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The only private key that is used for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<PathBuf>,
    /// The only file of known host keys that is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
}

/// All declared hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    #[serde(default)]
    hosts: BTreeMap<HostName, HostConnection>,
}

impl Connections {
    /// Reads the file; one that is not there declares nothing.
    ///
    /// # Errors
    /// `config.invalid`, naming the file and the line.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|why| invalid(path, &why)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(invalid(path, "it cannot be read").because(error)),
        }
    }

    /// One declared host.
    #[must_use]
    pub fn host(&self, name: &HostName) -> Option<&HostConnection> {
        self.hosts.get(name)
    }

    pub(crate) fn list(&self) -> Vec<HostEntry> {
        let local = HostName::local();
        let declared = self.hosts.contains_key(&local);
        let mut list = vec![HostEntry { address: "local".to_owned(), name: local, user: None, key: None, declared }];
        for (name, host) in self.hosts.iter().filter(|(name, _)| !name.is_local()) {
            let address = host.address.as_deref().unwrap_or(name.as_str());
            let address = host.port.map_or_else(|| address.to_owned(), |port| format!("{address}:{port}"));
            let (user, key) = (host.user.clone(), host.key.clone());
            list.push(HostEntry { name: name.clone(), address, user, key, declared: true });
        }
        list
    }

    fn parse(text: &str) -> Result<Self, String> {
        let connections: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (name, host) in &connections.hosts {
            host.check(name).map_err(|why| format!("host `{name}`: {why}"))?;
        }
        Ok(connections)
    }
}

impl HostConnection {
    fn check(&self, name: &HostName) -> Result<(), String> {
        let others = [
            self.address.is_some(),
            self.port.is_some(),
            self.user.is_some(),
            self.key.is_some(),
            self.identity_file.is_some(),
            self.known_hosts.is_some(),
        ];
        if name.is_local() && others.contains(&true) {
            return Err("only `root` can be set for it: it is this machine".to_owned());
        }
        let word = |c: char| c.is_ascii_graphic() && !"'\"`$;&|<>(){}\\*?![]#".contains(c);
        for (key, value) in [("address", &self.address), ("user", &self.user)] {
            let Some(value) = value else { continue };
            // An IPv6 address is written as it is, without brackets.
            if value.is_empty() || value.starts_with('-') || value.len() > 255 || !value.chars().all(word) {
                return Err(format!("`{}` is not a usable {key}", value.escape_default()));
            }
        }
        if self.port == Some(0) {
            return Err("0 is not a usable port".to_owned());
        }
        if let Some(key) = &self.key
            && key.parse::<russh::keys::ssh_key::Fingerprint>().is_err()
        {
            return Err(format!("`{}` is not a fingerprint: `SHA256:` and 43 characters", key.escape_default()));
        }
        if let Some(root) = &self.root {
            sandboxer_guard::far_side::probe_line(Some(root), &[]).map_err(|error| error.to_string())?;
        }
        for path in [&self.identity_file, &self.known_hosts].into_iter().flatten() {
            if !path.is_absolute() && !path.starts_with("~") {
                return Err(format!("`{}` must be absolute or begin with `~/`", path.display()));
            }
        }
        Ok(())
    }
}

/// Declares a host, or declares it anew, and keeps everything else that the file says, comments included. The file is
/// replaced in one step and is the user's alone.
///
/// # Errors
/// `config.invalid` when the file or the entry is, `file.unusable` when it cannot be written.
pub fn add_host(path: &Path, name: &HostName, host: &HostConnection) -> Result<()> {
    host.check(name).map_err(|why| Error::new(ErrorCode::ConfigInvalid, format!("host `{name}`: {why}")))?;
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(invalid(path, "it cannot be read").because(error)),
    };
    let mut connections = Connections::parse(&before).map_err(|why| invalid(path, &why))?;
    connections.hosts.insert(name.clone(), host.clone());
    let unwritable =
        |why: String| Error::new(ErrorCode::FileUnusable, format!("{} cannot be written: {why}", path.display()));
    let one = Connections { hosts: BTreeMap::from([(name.clone(), host.clone())]) };
    let one = toml::to_string(&one).map_err(|error| unwritable(error.to_string()))?;
    let kept = without(&before, name);
    let gap = if kept.is_empty() || kept.ends_with("\n\n") { "" } else { "\n" };
    let text = format!("{kept}{gap}{one}");
    // Whatever was put together must say what was meant; a file that declares hosts in another style is left alone.
    if Connections::parse(&text).as_ref() != Ok(&connections) {
        return Err(invalid(path, "it is written in a way that this cannot add to; add the host by hand"));
    }
    // A link to the file stays a link.
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    replace(&place, &text).map_err(|error| unwritable(error.to_string()).because(error))
}

/// The text without the table of one host.
fn without(text: &str, name: &HostName) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            let header = toml::from_str::<Connections>(trimmed).ok();
            inside = header.is_some_and(|header| header.hosts.contains_key(name));
        }
        // A comment above the next table belongs to that one.
        if !inside || trimmed.starts_with('#') {
            kept.push_str(line);
        }
    }
    kept
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    // A temporary file is made with mode 0600, and its directory is the target's, so that the last step is a rename.
    let mut draft = tempfile::NamedTempFile::new_in(directory)?;
    draft.write_all(text.as_bytes())?;
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    std::fs::File::open(directory)?.sync_all()
}

fn invalid(path: &Path, why: &str) -> Error {
    Error::new(ErrorCode::ConfigInvalid, format!("{} cannot be used: {why}", path.display()))
}
