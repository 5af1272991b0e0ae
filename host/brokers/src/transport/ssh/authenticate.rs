//! Getting in: by the user's agent first, then by key files. Nothing is asked of the user, so a key that needs a
//! passphrase counts only through an agent.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::{
    MethodKind,
    client::{AuthResult, Handle},
    keys::{
        Error as KeyError, HashAlg, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
        load_public_key, load_secret_key,
    },
};
use sandboxer_model::{Error, ErrorCode, id::HostName};
use tokio::net::UnixStream;

use super::{Client, target::Target};

/// OpenSSH's server hangs up after six; a few more for those that do not.
const MOST_KEYS: usize = 12;

/// Proves to the host who we are.
pub(super) async fn authenticate(handle: &mut Handle<Client>, name: &HostName, target: &Target) -> Result<(), Error> {
    let mut attempt = Attempt { handle, target, tried: Vec::new(), notes: Vec::new(), over: false };
    let admitted = match attempt.by_agent().await {
        Ok(true) => Ok(true),
        Ok(false) => attempt.by_files().await,
        Err(error) => Err(error),
    };
    let why = match admitted {
        Ok(true) => return Ok(()),
        Ok(false) => None,
        Err(error) => Some(error.to_string()),
    };
    let mut notes = attempt.notes;
    notes.extend(why);
    let tried = match attempt.tried.len() {
        0 => "no key could be tried".to_owned(),
        1 => "1 key was refused".to_owned(),
        count => format!("{count} keys were refused"),
    };
    let notes = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
    let what = format!("host `{name}` ({}) does not let us in as `{}`: {tried}{notes}", target.shown(), target.user);
    Err(Error::new(ErrorCode::HostAuth, what))
}

struct Attempt<'a> {
    handle: &'a mut Handle<Client>,
    target: &'a Target,
    tried: Vec<PublicKey>,
    notes: Vec<String>,
    over: bool,
}

impl Attempt<'_> {
    /// The agent's keys: first those that the configuration names, then the others.
    async fn by_agent(&mut self) -> Result<bool, russh::Error> {
        let Some(socket) = &self.target.agent else { return Ok(false) };
        let mut agent = match AgentClient::<UnixStream>::connect_uds(socket).await {
            Ok(agent) => agent,
            Err(error) => {
                self.notes.push(format!("the SSH agent cannot be reached: {error}"));
                return Ok(false);
            }
        };
        let identities = match agent.request_identities().await {
            Ok(identities) => identities,
            Err(error) => {
                self.notes.push(format!("the SSH agent does not list its keys: {error}"));
                return Ok(false);
            }
        };
        let named: Vec<PublicKey> = self.target.identities.iter().filter_map(|path| public_half(path)).collect();
        let keys = identities.into_iter().filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Some(key),
            AgentIdentity::Certificate { .. } => None,
        });
        let is_named = |key: &PublicKey| named.iter().any(|own| own.key_data() == key.key_data());
        let (first, others): (Vec<_>, Vec<_>) = keys.partition(is_named);
        let others = if self.target.identities_only { Vec::new() } else { others };
        for key in first.into_iter().chain(others) {
            if !self.may_try(&key) {
                continue;
            }
            let hash = self.hash(key.algorithm().is_rsa()).await?;
            let user = self.target.user.clone();
            match self.handle.authenticate_publickey_with(user, key, hash, &mut agent).await {
                Ok(result) if self.admitted(&result) => return Ok(true),
                Ok(_) => {}
                Err(error) => self.notes.push(format!("the SSH agent does not sign: {error}")),
            }
        }
        Ok(false)
    }

    async fn by_files(&mut self) -> Result<bool, russh::Error> {
        for path in self.target.identities.clone() {
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            // An agent may have tried it already, without the passphrase that it may need here.
            if public_half(&path).is_some_and(|key| self.has_tried(&key)) {
                continue;
            }
            if metadata.mode() & 0o077 != 0 {
                self.notes.push(format!("{} is passed over because others may read it", path.display()));
                continue;
            }
            let key = match load_secret_key(&path, None) {
                Ok(key) => key,
                Err(KeyError::KeyIsEncrypted) => {
                    self.notes
                        .push(format!("{} needs a passphrase: add it to an agent with `ssh-add`", path.display()));
                    continue;
                }
                Err(error) => {
                    self.notes.push(format!("{} cannot be used: {error}", path.display()));
                    continue;
                }
            };
            if !self.may_try(key.public_key()) {
                continue;
            }
            let hash = self.hash(key.algorithm().is_rsa()).await?;
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
            let result = self.handle.authenticate_publickey(self.target.user.clone(), key).await?;
            if self.admitted(&result) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_tried(&self, key: &PublicKey) -> bool {
        self.tried.iter().any(|tried| tried.key_data() == key.key_data())
    }

    fn may_try(&mut self, key: &PublicKey) -> bool {
        if self.over || self.tried.len() >= MOST_KEYS || self.has_tried(key) {
            return false;
        }
        self.tried.push(key.clone());
        true
    }

    fn admitted(&mut self, result: &AuthResult) -> bool {
        match result {
            AuthResult::Success => true,
            AuthResult::Failure { remaining_methods, partial_success } => {
                if *partial_success {
                    self.notes.push("the host asks for more than a key".to_owned());
                }
                self.over = *partial_success || !remaining_methods.contains(&MethodKind::PublicKey);
                false
            }
        }
    }

    /// The hash that an RSA key signs with; SHA-1 never.
    async fn hash(&self, rsa: bool) -> Result<Option<HashAlg>, russh::Error> {
        if !rsa {
            return Ok(None);
        }
        let best = self.handle.best_supported_rsa_hash().await?;
        Ok(best.flatten().or(Some(HashAlg::Sha512)))
    }
}

/// The public key that lies beside a private one.
fn public_half(path: &Path) -> Option<PublicKey> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    load_public_key(PathBuf::from(name)).ok()
}
