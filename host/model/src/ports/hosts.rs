//! Placement hosts: who they are and what is there. Read-only, so it runs before anything is written down.

use async_trait::async_trait;
use serde::Serialize;

use crate::{error::Result, id::HostName};

/// A placement host as the operator declared it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostEntry {
    /// The operator's name for it.
    pub name: HostName,
    /// `local`, or the address and port as configured.
    pub address: String,
    /// The user that we are there, when it is configured.
    pub user: Option<String>,
    /// The pinned key, `SHA256:…`; without one the user's `known_hosts` decides.
    pub key: Option<String>,
    /// Whether it comes from `connections.toml` (`true`) or is always there or from the user's OpenSSH configuration.
    pub declared: bool,
}

/// What was found on a host: all of it by one fixed, read-only probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// The directory for our sandboxes.
    pub root: String,
    /// The user id that we are there.
    pub uid: u32,
    /// Operating system, from `/etc/os-release`.
    pub os: String,
    /// Kernel release and machine, from `uname -rm`.
    pub kernel: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in bytes: all and available.
    pub memory: (u64, u64),
    /// Bytes on the file system that holds `root`: all and available.
    pub disk: (u64, u64),
    /// The programs among those asked for that are there, by name.
    pub programs: Vec<String>,
    /// The container engine's client programs that are there.
    pub container_engines: Vec<String>,
    /// Whether an unprivileged user may make user namespaces there.
    pub user_namespaces: bool,
    /// The directories of sandboxes that lie under `root`.
    pub sandboxes: Vec<String>,
    /// Milliseconds from the call until the answer, connection included.
    pub latency_ms: u64,
}

/// The placement hosts.
#[async_trait]
pub trait Hosts: Send + Sync {
    /// All that are declared, `local` first.
    fn list(&self) -> Vec<HostEntry>;

    /// Connects and looks. `programs` are the names to look for on the host's `PATH`.
    ///
    /// # Errors
    /// `host.unknown`, `host.unreachable`, `host.key-unknown`, `host.key-changed`, `host.auth`.
    async fn probe(&self, host: &HostName, programs: &[String]) -> Result<HostFacts>;
}
