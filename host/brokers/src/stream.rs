//! A running command whose streams pass through: the parts that a consumer holds.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sandboxer_model::{
    call::CallError,
    ports::stream::{Chunk, Signal, Stream, StreamControl, StreamInput, StreamOutput, TerminalSize},
};
use tokio::time::Instant;

use crate::{
    host::Place,
    order::Order,
    run::{Started, timed_out},
    transport::{Channel, ChannelControl, ChannelInput, ChannelOutput},
    watch::Watched,
};

/// The stream of a started order.
pub(crate) fn stream(started: Started, order: Order) -> Stream {
    let Started { channel: Channel { input, output, control }, watched, place } = started;
    let hold = Arc::new(Hold { watched: Mutex::new(watched), _place: place });
    let deadline = order.timeout.map(|timeout| Instant::now() + timeout);
    Stream {
        input: Box::new(Input { input, _hold: Arc::clone(&hold) }),
        output: Box::new(Output { output, deadline, order, control: Arc::clone(&control), hold: Arc::clone(&hold) }),
        control: Arc::new(Control { control, hold }),
    }
}

/// What keeps the command running: as long as it is announced and its output is held.
struct Hold {
    watched: Mutex<Option<Watched>>,
    _place: Place,
}

impl Hold {
    fn take(&self) -> Option<Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct Input {
    input: Box<dyn ChannelInput>,
    _hold: Arc<Hold>,
}

#[async_trait]
impl StreamInput for Input {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        self.input.write(bytes).await
    }

    async fn close(&mut self) -> Result<(), CallError> {
        self.input.close().await
    }
}

struct Output {
    output: Box<dyn ChannelOutput>,
    deadline: Option<Instant>,
    order: Order,
    control: Arc<dyn ChannelControl>,
    hold: Arc<Hold>,
}

#[async_trait]
impl StreamOutput for Output {
    async fn next(&mut self) -> Result<Chunk, CallError> {
        let deadline = self.deadline;
        let expired = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let chunk = tokio::select! {
            chunk = self.output.next() => chunk,
            () = expired => {
                if let Some(watched) = self.hold.take() {
                    watched.stop().await;
                }
                self.control.kill().await;
                return Err(timed_out(&self.order));
            }
        };
        if matches!(chunk, Ok(Chunk::Ended(_)))
            && let Some(watched) = self.hold.take()
        {
            watched.ended();
        }
        chunk
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Nobody will see its end: dropping what was announced stops it.
        drop(self.hold.take());
    }
}

struct Control {
    control: Arc<dyn ChannelControl>,
    hold: Arc<Hold>,
}

#[async_trait]
impl StreamControl for Control {
    async fn signal(&self, signal: Signal) -> Result<(), CallError> {
        match &*self.hold.watched.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(watched) => watched.signal(signal),
            // It has ended.
            None => Ok(()),
        }
    }

    async fn resize(&self, size: TerminalSize) -> Result<(), CallError> {
        self.control.resize(size).await
    }
}
