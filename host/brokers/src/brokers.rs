//! The brokers: all placement hosts by name, and the ports that the floors above speak to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sandboxer_guard::{
    broker::{SshBroker, Transferred},
    far_side,
    permit::Permit,
};
use sandboxer_model::{
    Error, ErrorCode, Result,
    call::{CallError, CallOutput, Exit, JobStatus},
    id::HostName,
    plan::Upload,
    ports::{
        hosts::{HostEntry, HostFacts, Hosts},
        stream::Stream,
    },
};

use crate::{
    Settings,
    connections::Connections,
    host::{Host, unsent},
    order::Order,
    run,
    stream::stream,
    transport::{local::Local, ssh},
    workspace::{self, PackOptions},
};

/// How long a job may take to start: its wrapper only, not the job.
const START_WITHIN: Duration = Duration::from_secs(30);

/// Commands on placement hosts, and files for them. Clone-free: the composition root shares one behind an [`Arc`].
pub struct Brokers {
    settings: Settings,
    connections: Connections,
    hosts: Mutex<HashMap<HostName, Arc<Host>>>,
}

impl Brokers {
    /// Reads the operator's connections. Nothing is connected before it is used.
    ///
    /// # Errors
    /// `config.invalid` when `connections.toml` cannot be read or says something that it may not.
    pub fn new(settings: Settings) -> Result<Self> {
        let connections = Connections::read(&settings.connections)?;
        Ok(Self { settings, connections, hosts: Mutex::default() })
    }

    fn host(&self, name: &HostName) -> Result<Arc<Host>> {
        if let Some(host) = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(host));
        }
        let host = if name.is_local() {
            Host::new(Box::new(Local::new(&self.settings)))
        } else {
            let entry = self.connections.host(name);
            if entry.is_none() && !ssh::aliases(&self.settings).contains(name) {
                return Err(Error::new(ErrorCode::HostUnknown, format!("there is no host `{name}`")));
            }
            Host::new(Box::new(ssh::Ssh::new(name, entry, &self.settings)))
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(hosts.entry(name.clone()).or_insert_with(|| Arc::new(host))))
    }

    fn host_of(&self, permit: &Permit) -> Result<Arc<Host>, CallError> {
        self.host(permit.host()).map_err(|error| unsent(&error))
    }

    /// The directory for sandboxes, as configured. Locally the user's own data directory counts as configured.
    fn root(&self, name: &HostName) -> Option<String> {
        let configured = self.connections.host(name).and_then(|entry| entry.root.clone());
        let own = || {
            let data = self.settings.data_home.as_ref().filter(|_| name.is_local())?;
            (!rustix::process::getuid().is_root()).then(|| format!("{}/sandboxer/sandboxes", data.display()))
        };
        configured.or_else(own)
    }
}

#[async_trait]
impl SshBroker for Brokers {
    async fn run(&self, permit: Permit) -> Result<CallOutput, CallError> {
        let order = Order::run(&permit)?;
        run::run(&*self.host_of(&permit)?, &order).await
    }

    async fn start(&self, permit: Permit) -> Result<(), CallError> {
        let mut order = Order::run(&permit)?;
        order.timeout = Some(START_WITHIN);
        let output = run::run(&*self.host_of(&permit)?, &order).await?;
        if output.exit.success() { Ok(()) } else { Err(CallError::Failed(said(&output))) }
    }

    async fn poll(&self, permit: Permit) -> Result<JobStatus, CallError> {
        let order = Order::poll(&permit)?;
        let output = run::run(&*self.host_of(&permit)?, &order).await?;
        job_status(&output)
    }

    async fn stream(&self, permit: Permit) -> Result<Stream, CallError> {
        let order = Order::run(&permit)?;
        let place = self.host_of(&permit)?.own().await.map_err(|error| unsent(&error))?;
        Ok(stream(run::start(place, &order).await?, order))
    }

    async fn upload(&self, permit: Permit, upload: &Upload) -> Result<Transferred, CallError> {
        let order = Order::run(&permit)?;
        let place = self.host_of(&permit)?.own().await.map_err(|error| unsent(&error))?;
        let options = PackOptions { everything: upload.include_ignored, ..PackOptions::default() };
        workspace::upload(place, &order, &upload.source, options).await
    }
}

/// What a wrapper that failed has to say.
fn said(output: &CallOutput) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim().trim_start_matches("sandboxer: ");
    if text.is_empty() { format!("it ended with {}", output.exit) } else { text.to_owned() }
}

pub(crate) fn job_status(output: &CallOutput) -> Result<JobStatus, CallError> {
    if !output.exit.success() {
        return Err(CallError::Failed(said(output)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim() {
        "running" => Ok(JobStatus::Running),
        "absent" => Ok(JobStatus::Absent),
        ended => match ended.strip_prefix("ended ").and_then(|status| status.parse().ok()) {
            Some(status) => Ok(JobStatus::Ended(Exit::Status(status))),
            None => Err(CallError::Failed(format!("the host's answer cannot be read: `{}`", ended.escape_default()))),
        },
    }
}

#[async_trait]
impl Hosts for Brokers {
    fn list(&self) -> Vec<HostEntry> {
        let mut entries = self.connections.list();
        for name in ssh::aliases(&self.settings) {
            if self.connections.host(&name).is_none() && !name.is_local() {
                let address = name.as_str().to_owned();
                entries.push(HostEntry { name, address, user: None, key: None, declared: false });
            }
        }
        entries
    }

    async fn probe(&self, name: &HostName, programs: &[String]) -> Result<HostFacts> {
        let begun = Instant::now();
        let host = self.host(name)?;
        let refused = |error: far_side::QuoteError| Error::new(ErrorCode::ConfigInvalid, error.to_string());
        let order = Order::probe(self.root(name).as_deref(), programs).map_err(refused)?;
        let place = host.shared().await?;
        let unreachable = |why: String| Error::new(ErrorCode::HostUnreachable, format!("host `{name}`: {why}"));
        let output = async { run::finish(run::start(place, &order).await?, &order).await }.await;
        let output = output.map_err(|error| unreachable(error.to_string()))?;
        if !output.exit.success() {
            return Err(unreachable(format!("it cannot be looked at: {}", said(&output))));
        }
        let answer = String::from_utf8_lossy(&output.stdout);
        let mut facts = far_side::parse_probe(&answer).map_err(|error| match error {
            far_side::ProbeError::Root(_) => Error::new(ErrorCode::ConfigInvalid, format!("host `{name}`: {error}"))
                .hint("set `root` for the host in connections.toml"),
            far_side::ProbeError::Unreadable(_) => unreachable(error.to_string()),
        })?;
        facts.latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(facts)
    }
}
