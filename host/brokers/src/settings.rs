//! What the brokers need to know about their user. Collected once, at the edge, so that nothing below reads the
//! environment.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sandboxer_model::{Error, ErrorCode, Result};

/// Where the user's things are, and how long to wait for a host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The operator's `connections.toml`; it need not be there.
    pub connections: PathBuf,
    /// The user's home directory, for `~` in what OpenSSH is configured with.
    pub home: PathBuf,
    /// The user's name, for hosts that name none.
    pub user: String,
    /// Where the user's data lies when it is not `~/.local/share`: the local root for sandboxes lies beneath it.
    pub data_home: Option<PathBuf>,
    /// The socket of the user's SSH agent.
    pub agent: Option<PathBuf>,
    /// OpenSSH's client, which is asked how it would reach a host and never to reach it. `None` does without it.
    pub ssh: Option<PathBuf>,
    /// The user's OpenSSH configuration: where aliases come from.
    pub ssh_config: PathBuf,
    /// Whether [`Settings::ssh_config`] is the one that OpenSSH reads by itself, together with the system's.
    pub ssh_config_is_default: bool,
    /// At most this long for the connection, and once more for keys and authentication.
    pub connect_timeout: Duration,
    /// A host that says nothing for three times as long is given up.
    pub keepalive: Duration,
}

impl Settings {
    /// The settings of the user that runs this process.
    ///
    /// # Errors
    /// `config.invalid` when the user has no home directory.
    pub fn from_user(connections: PathBuf) -> Result<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let home = home.ok_or_else(|| {
            Error::new(ErrorCode::ConfigInvalid, "HOME is not set to an absolute path")
                .hint("set HOME to your home directory and try again")
        })?;
        let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|user| !user.is_empty());
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Ok(Self {
            connections,
            user: user
                .unwrap_or_else(|| if rustix::process::getuid().is_root() { "root".into() } else { "nobody".into() }),
            data_home: absolute("XDG_DATA_HOME"),
            agent: absolute("SSH_AUTH_SOCK"),
            ssh: find_program("ssh"),
            ssh_config: home.join(".ssh/config"),
            ssh_config_is_default: true,
            home,
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(15),
        })
    }
}

/// Where programs that run on this machine are looked for: the same places as on a far side, not the operator's `PATH`.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}
