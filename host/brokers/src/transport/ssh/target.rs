//! Where a host is and how to get in: the operator's entry over what OpenSSH's configuration says.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use sandboxer_model::{Error, ErrorCode, Result, id::HostName};
use tokio::{process::Command, time::timeout};

use crate::{Settings, connections::HostConnection, settings::PATH};

/// What is known about a host before it is reached.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    /// Private keys, in the order in which they are tried.
    pub(crate) identities: Vec<PathBuf>,
    /// Whether keys of the agent that are none of these are left alone.
    pub(crate) identities_only: bool,
    pub(crate) agent: Option<PathBuf>,
    /// The name under which `known_hosts` has the host, when it is not its address.
    pub(crate) alias: Option<String>,
    pub(crate) known_hosts: Vec<PathBuf>,
    /// The fingerprint that the operator pinned.
    pub(crate) pinned: Option<String>,
}

impl Target {
    pub(crate) fn shown(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    pub(crate) async fn resolve(name: &HostName, entry: &HostConnection, settings: &Settings) -> Result<Self> {
        let address = entry.address.as_deref().unwrap_or(name.as_str());
        let said = match &settings.ssh {
            Some(ssh) => ask(ssh, address, entry, settings).await.map_err(|why| {
                Error::new(ErrorCode::ConfigInvalid, format!("host `{name}`: `ssh -G` cannot resolve it: {why}"))
                    .hint(format!("run `ssh -G {address}` to see what is wrong with the OpenSSH configuration"))
            })?,
            None => Said::default(),
        };
        said.check(name)?;
        let home = &settings.home;
        let only = entry.identity_file.as_ref().map(|path| vec![expand(path, home)]);
        let identities_only = only.is_some() || said.one("identitiesonly") == Some("yes");
        let known = entry.known_hosts.as_ref().map(|path| vec![expand(path, home)]);
        Ok(Self {
            address: said.one("hostname").unwrap_or(address).to_owned(),
            port: entry.port.or_else(|| said.one("port")?.parse().ok()).unwrap_or(22),
            user: entry.user.as_deref().or(said.one("user")).unwrap_or(&settings.user).to_owned(),
            identities: only.unwrap_or_else(|| said.identities(home)),
            identities_only,
            agent: said.agent(settings),
            alias: said.one("hostkeyalias").map(str::to_owned),
            known_hosts: known.unwrap_or_else(|| said.known_hosts(home)),
            pinned: entry.key.clone(),
        })
    }
}

/// The answer of `ssh -G`: keywords in lower case, each with its values.
#[derive(Default)]
struct Said(HashMap<String, Vec<String>>);

async fn ask(ssh: &Path, address: &str, entry: &HostConnection, settings: &Settings) -> Result<Said, String> {
    let mut command = Command::new(ssh);
    command.arg("-G").env_clear().env("PATH", PATH).env("HOME", &settings.home).env("USER", &settings.user);
    if !settings.ssh_config_is_default {
        command.arg("-F").arg(&settings.ssh_config);
    }
    if let Some(port) = entry.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = &entry.user {
        command.arg("-l").arg(user);
    }
    command.arg("--").arg(address).stdin(Stdio::null()).kill_on_drop(true);
    let output =
        timeout(Duration::from_secs(10), command.output()).await.map_err(|_| "it does not answer".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(complaint.lines().next().unwrap_or("it fails").to_owned());
    }
    let mut said = Said::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((key, value)) = line.split_once(' ') {
            said.0.entry(key.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
        }
    }
    Ok(said)
}

impl Said {
    fn one(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.first().map(String::as_str).filter(|value| !value.is_empty() && *value != "none")
    }

    fn all(&self, key: &str) -> Option<&Vec<String>> {
        self.0.get(key)
    }

    /// Refuses what would have to be honoured and is not. Going on without it might reach another host, or trust a key
    /// that the user revoked.
    fn check(&self, name: &HostName) -> Result<()> {
        let unsupported = ["proxyjump", "proxycommand", "certificatefile", "revokedhostkeys"];
        match unsupported.into_iter().find(|key| self.one(key).is_some()) {
            None => Ok(()),
            Some(key) => {
                let what =
                    format!("host `{name}`: the OpenSSH configuration sets `{key}` for it, which is not supported yet");
                Err(Error::new(ErrorCode::ConfigInvalid, what)
                    .hint("use an address that can be reached directly, with a plain key: `sandboxer hosts add`"))
            }
        }
    }

    fn identities(&self, home: &Path) -> Vec<PathBuf> {
        let defaults = || ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"].map(str::to_owned).to_vec();
        let files = self.all("identityfile").cloned().unwrap_or_else(defaults);
        files.iter().filter(|file| *file != "none").map(|file| expand(Path::new(file), home)).collect()
    }

    fn agent(&self, settings: &Settings) -> Option<PathBuf> {
        match self.all("identityagent").and_then(|values| values.first()).map(String::as_str) {
            Some("none") => None,
            None | Some("SSH_AUTH_SOCK") => settings.agent.clone(),
            Some(path) => Some(expand(Path::new(path), &settings.home)),
        }
    }

    fn known_hosts(&self, home: &Path) -> Vec<PathBuf> {
        let defaults = ["~/.ssh/known_hosts".to_owned(), "/etc/ssh/ssh_known_hosts".to_owned()];
        let mut files = Vec::new();
        for key in ["userknownhostsfile", "globalknownhostsfile"] {
            files.extend(
                self.all(key).into_iter().flatten().flat_map(|value| value.split_whitespace().map(str::to_owned)),
            );
        }
        if files.is_empty() {
            files.extend(defaults);
        }
        files.iter().filter(|file| *file != "none").map(|file| expand(Path::new(file), home)).collect()
    }
}

fn expand(path: &Path, home: &Path) -> PathBuf {
    path.strip_prefix("~").map_or_else(|_| path.to_owned(), |rest| home.join(rest))
}
