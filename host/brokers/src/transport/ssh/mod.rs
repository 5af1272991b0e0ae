//! Placement hosts over SSH.
//!
//! OpenSSH's client is asked where an alias leads (`ssh -G`), because nothing else reads its configuration as it does;
//! the connection itself is made in this process. Rejected: running `ssh` for each command (6 ms a command for its
//! start alone, and its messages would be all we know of a failure).

mod aliases;
mod authenticate;
mod channel;
mod host_keys;
mod target;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use russh::{
    Preferred,
    client::{self, ChannelOpenHandle, Config, Handle, Msg, Session},
    keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate},
};
use sandboxer_guard::permit::Terminal;
use sandboxer_model::{Error, ErrorCode, call::CallError, id::HostName};
use tokio::{net::TcpStream, sync::OnceCell, time::timeout};

pub(crate) use aliases::aliases;

use self::{
    host_keys::{HostKeys, Verdict},
    target::Target,
};
use super::{Channel, Connection, Seat, Transport};
use crate::{Settings, connections::HostConnection};

/// A host over SSH.
pub(crate) struct Ssh {
    name: HostName,
    entry: HostConnection,
    settings: Settings,
    target: OnceCell<Target>,
}

impl Ssh {
    pub(crate) fn new(name: &HostName, entry: Option<&HostConnection>, settings: &Settings) -> Self {
        Self {
            name: name.clone(),
            entry: entry.cloned().unwrap_or_default(),
            settings: settings.clone(),
            target: OnceCell::new(),
        }
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> Error {
        Error::new(ErrorCode::HostUnreachable, format!("host `{}` cannot be reached: {why}", self.name))
    }

    /// One connection up to the host's proof of who it is, with the host-key algorithms in this order.
    async fn handshake(
        &self,
        target: &Target,
        keys: &HostKeys,
        algorithms: Vec<Algorithm>,
    ) -> Result<Handle<Client>, Failed> {
        let limit = self.settings.connect_timeout;
        let late = |_| Failed::Other(self.unreachable(format!("{} does not answer within {limit:?}", target.shown())));
        let stream = timeout(limit, TcpStream::connect((target.address.as_str(), target.port))).await.map_err(late)?;
        let stream = stream
            .map_err(|error| Failed::Other(self.unreachable(format!("{}: {error}", target.shown())).because(error)))?;
        // Commands are small and wait for each other.
        let _ = stream.set_nodelay(true);
        let config = Config {
            nodelay: true,
            keepalive_interval: Some(self.settings.keepalive),
            keepalive_max: 3,
            preferred: Preferred { key: algorithms.into(), ..Preferred::DEFAULT },
            ..Config::default()
        };
        let client = Client { keys: keys.clone() };
        timeout(limit, client::connect_stream(Arc::new(config), stream, client)).await.map_err(late)?
    }
}

#[async_trait]
impl Transport for Ssh {
    async fn connect(&self) -> Result<Arc<dyn Connection>, Error> {
        let target = self.target.get_or_try_init(|| Target::resolve(&self.name, &self.entry, &self.settings)).await?;
        let keys = HostKeys::read(&self.name, target)?;
        // A pinned fingerprint does not tell which of the host's keys it is of, so each kind is asked for before it is
        // refused.
        let mut tried = None;
        let mut handle = None;
        for algorithms in keys.algorithms() {
            match self.handshake(target, &keys, algorithms).await {
                Ok(open) => {
                    handle = Some(open);
                    break;
                }
                Err(Failed::HostKey(error)) => tried = tried.or(Some(error)),
                Err(Failed::Russh(russh::Error::NoCommonAlgo { .. })) if tried.is_some() => {}
                Err(Failed::Russh(error)) => return Err(self.unreachable(&error).because(error)),
                Err(Failed::Other(error)) => return Err(error),
            }
        }
        let Some(mut handle) = handle else {
            return Err(tried.unwrap_or_else(|| self.unreachable("it offers no host key that can be checked")));
        };
        let limit = self.settings.connect_timeout;
        let authenticated = timeout(limit, authenticate::authenticate(&mut handle, &self.name, target)).await;
        authenticated.map_err(|_| self.unreachable(format!("authentication took longer than {limit:?}")))??;
        Ok(Arc::new(Open { handle, answer_within: limit }))
    }

    /// OpenSSH allows 10 sessions on a connection unless it is told otherwise. One is the control stream's, and some
    /// count a moment longer than they last.
    fn channels(&self) -> usize {
        6
    }

    fn stalls(&self) -> bool {
        true
    }
}

/// An open connection.
struct Open {
    handle: Handle<Client>,
    answer_within: Duration,
}

#[async_trait]
impl Connection for Open {
    async fn open(&self, line: &str, terminal: Option<&Terminal>, seat: Seat) -> Result<Channel, CallError> {
        channel::open(&self.handle, self.answer_within, line, terminal, seat).await
    }

    fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }
}

/// Why a connection was not made.
#[derive(Debug)]
enum Failed {
    /// The host is not who it should be.
    HostKey(Error),
    Russh(russh::Error),
    Other(Error),
}

impl From<russh::Error> for Failed {
    fn from(error: russh::Error) -> Self {
        Self::Russh(error)
    }
}

/// What we let a server do: show its key. It may open no channel to us, be it for an agent, X11 or a forwarded port.
struct Client {
    keys: HostKeys,
}

impl client::Handler for Client {
    type Error = Failed;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failed> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => match self.keys.judge(key) {
                Verdict::Known => Ok(true),
                Verdict::Refused(error) => Err(Failed::HostKey(error)),
            },
            // Certificates are not asked for; which authorities to trust is not configurable.
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }

    // The library's own answer to a server that opens a channel is yes. Dropping the reply says no.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: russh::Channel<Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: russh::Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: russh::Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _channel: russh::Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: russh::Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: russh::Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: russh::Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }
}

/// The host-key algorithms that are taken, best first. SHA-1 signatures are not among them.
fn host_key_algorithms() -> Vec<Algorithm> {
    vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]
}
