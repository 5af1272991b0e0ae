//! Running an order to its end, with its output kept up to a limit and drained beyond it.

use std::time::Duration;

use sandboxer_model::{
    call::{CallError, CallOutput, Exit},
    ports::stream::Chunk,
};

use crate::{
    host::{Host, Place, unsent},
    order::Order,
    transport::{Channel, ChannelOutput},
    watch::Watched,
};

/// An order that runs on a host.
pub(crate) struct Started {
    pub(crate) channel: Channel,
    pub(crate) watched: Option<Watched>,
    pub(crate) place: Place,
}

/// Starts an order, announced first.
pub(crate) async fn start(mut place: Place, order: &Order) -> Result<Started, CallError> {
    let watched = match &order.record {
        Some(record) => Some(place.watch().announce(record).await?),
        None => None,
    };
    let channel = place.open(&order.line, order.terminal.as_ref()).await?;
    Ok(Started { channel, watched, place })
}

/// Runs an order on one of a host's control connections.
pub(crate) async fn run(host: &Host, order: &Order) -> Result<CallOutput, CallError> {
    let place = host.shared().await.map_err(|error| unsent(&error))?;
    let started = start(place, order).await?;
    finish(started, order).await
}

/// Waits for the end of a started order; ends its standard input first.
pub(crate) async fn finish(mut started: Started, order: &Order) -> Result<CallOutput, CallError> {
    let Channel { input, output, control } = &mut started.channel;
    let collected = tokio::select! {
        collected = async {
            // A command that has ended without reading is as good as one that has read.
            let _ = input.close().await;
            collect(&mut **output, order.output_limit).await
        } => collected,
        () = expire(order.timeout) => {
            if let Some(watched) = started.watched.take() {
                watched.stop().await;
            }
            control.kill().await;
            return Err(timed_out(order));
        }
    };
    if collected.is_ok()
        && let Some(watched) = started.watched.take()
    {
        watched.ended();
    }
    drop(started.place);
    collected
}

/// Reads until the end; keeps the first bytes of each stream and goes on reading beyond.
pub(crate) async fn collect(output: &mut dyn ChannelOutput, limit: usize) -> Result<CallOutput, CallError> {
    let mut kept = CallOutput { exit: Exit::Status(0), stdout: Vec::new(), stderr: Vec::new(), truncated: false };
    loop {
        let (stream, bytes) = match output.next().await? {
            Chunk::Stdout(bytes) => (&mut kept.stdout, bytes),
            Chunk::Stderr(bytes) => (&mut kept.stderr, bytes),
            Chunk::Ended(exit) => {
                kept.exit = exit;
                return Ok(kept);
            }
        };
        let room = limit.saturating_sub(stream.len()).min(bytes.len());
        stream.extend_from_slice(bytes.get(..room).unwrap_or_default());
        kept.truncated |= room < bytes.len();
    }
}

/// Waits for a time limit; without one for ever.
pub(crate) async fn expire(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

pub(crate) fn timed_out(order: &Order) -> CallError {
    let limit = order.timeout.unwrap_or_default();
    CallError::TimedOut(format!("{} took longer than {limit:?} and was stopped", order.call))
}
