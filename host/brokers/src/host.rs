//! One placement host: its control connections, which are shared and always drained, and connections of their own for
//! streams.

use std::sync::Arc;

use sandboxer_guard::permit::Terminal;
use sandboxer_model::{Error, ErrorCode, call::CallError};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::{
    transport::{Channel, Connection, Seat, Transport},
    watch::Watch,
};

/// So many control connections are opened to one host; what comes beyond waits for a free channel.
const CONTROL_CONNECTIONS: usize = 6;

/// A host and what is open to it.
pub(crate) struct Host {
    transport: Box<dyn Transport>,
    controls: Mutex<Vec<Arc<Control>>>,
    /// Channels that may still be opened, over all control connections.
    free: Arc<Semaphore>,
}

/// A connection with its control stream.
pub(crate) struct Control {
    connection: Arc<dyn Connection>,
    watch: Watch,
    channels: Arc<Semaphore>,
}

/// A place for one channel on a connection.
pub(crate) struct Place {
    control: Arc<Control>,
    seat: Seat,
}

impl Place {
    fn new(control: &Arc<Control>, channel: OwnedSemaphorePermit, free: OwnedSemaphorePermit) -> Self {
        Self { control: Arc::clone(control), seat: Some(Box::new((channel, free))) }
    }

    /// Opens its channel.
    pub(crate) async fn open(&mut self, line: &str, terminal: Option<&Terminal>) -> Result<Channel, CallError> {
        let seat = self.seat.take();
        self.control.connection.open(line, terminal, seat).await
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.control.watch
    }
}

impl Host {
    pub(crate) fn new(transport: Box<dyn Transport>) -> Self {
        let places = transport.channels() * CONTROL_CONNECTIONS;
        Self { transport, controls: Mutex::new(Vec::new()), free: Arc::new(Semaphore::new(places)) }
    }

    /// A place on a control connection, for a channel that is always drained.
    pub(crate) async fn shared(&self) -> Result<Place, Error> {
        let closing = |_| Error::new(ErrorCode::Internal, "the host's connections are being closed");
        let free = Arc::clone(&self.free).acquire_owned().await.map_err(closing)?;
        // Held while a connection is made: whoever comes meanwhile wants the same one.
        let mut controls = self.controls.lock().await;
        controls.retain(|control| !control.connection.is_closed() && !control.watch.is_broken());
        for control in controls.iter() {
            if let Ok(channel) = Arc::clone(&control.channels).try_acquire_owned() {
                return Ok(Place::new(control, channel, free));
            }
        }
        let control = Arc::new(self.open().await?);
        let channel = Arc::clone(&control.channels).acquire_owned().await.map_err(closing)?;
        controls.push(Arc::clone(&control));
        Ok(Place::new(&control, channel, free))
    }

    /// A connection for a stream: one of its own where a stream that is not read would hold up the others.
    pub(crate) async fn own(&self) -> Result<Place, Error> {
        if self.transport.stalls() {
            Ok(Place { control: Arc::new(self.open().await?), seat: None })
        } else {
            self.shared().await
        }
    }

    /// Forgets every control connection; what runs over them ends.
    #[cfg(test)]
    pub(crate) async fn disconnect(&self) {
        self.controls.lock().await.clear();
    }

    async fn open(&self) -> Result<Control, Error> {
        let connection = self.transport.connect().await?;
        let watch = Watch::open(&*connection).await.map_err(|error| {
            let said = match error {
                CallError::Unavailable(said) | CallError::Lost(said) | CallError::Failed(said) => said,
                CallError::Denied(_)
                | CallError::Invalid(_)
                | CallError::NotConfigured(_)
                | CallError::TimedOut(_)
                | CallError::Cancelled => error.to_string(),
            };
            Error::new(ErrorCode::HostUnreachable, format!("the host does not run commands for us: {said}"))
        })?;
        let channels = Arc::new(Semaphore::new(self.transport.channels()));
        Ok(Control { connection, watch, channels })
    }
}

/// An error of a connection as one of a call: nothing was sent.
pub(crate) fn unsent(error: &Error) -> CallError {
    CallError::Unavailable(error.message.clone())
}
