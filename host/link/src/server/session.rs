//! One connection that was let in, until it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foreshade_types::{ControllerId, HostId, Outcome, RackId, Tick};
use foreshade_wire::{Frame, Message, RefusalCode};
use quinn::{Connection, ConnectionError, SendStream, VarInt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::Instrument;

use super::accept::Shared;
use super::slot::{Claim, Outgoing};
use super::{LinkEvent, PeerHandle};
use crate::stream::{CLOSE_BYE, FrameStream, ReadFailure};

/// How long a peer may take to leave after the last message.
const LEAVE_WAIT: Duration = Duration::from_millis(1_000);

/// Events one received frame may cause: a batch and its end mark. They are queued together or not at all.
pub(super) const MAX_EVENTS_PER_FRAME: usize = 2;

/// What a peer is here for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// To push a host's telemetry.
    Agent { host: HostId, rack: RackId },
    /// To carry out a rack's decisions.
    Controller { rack: RackId, controller: ControllerId },
}

/// The checked first message.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) part: Part,
    pub(super) next_tick: Tick,
    pub(super) last_seq: u64,
    pub(super) epoch: u64,
}

/// How a session ends.
enum End {
    /// The peer has left, or is lost.
    Gone(String),
    /// The peer is to be turned away.
    Refuse { code: RefusalCode, text: String },
    /// The run is over.
    Bye { text: String },
    /// A newer connection takes over.
    Replaced,
    /// The appliance listens no more.
    Deaf,
}

/// A live connection.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) peer: PeerHandle,
    pub(super) who: String,
    pub(super) hello: Hello,
    /// See `Queue`.
    pub(super) depth: Arc<AtomicUsize>,
}

impl Session {
    /// Runs until the connection ends; `Up` comes first and `Down` last.
    pub(super) async fn run(
        self,
        mut send: SendStream,
        frames: FrameStream,
        outgoing: mpsc::UnboundedReceiver<Outgoing>,
        repeat: Option<(Tick, Bytes)>,
        shared: &Shared,
    ) {
        if shared.events.send(self.up()).await.is_err() {
            self.peer.slot.leave(self.peer.id);
            return;
        }
        let end = match self.welcome(&mut send, repeat, shared.epoch).await {
            Err(why) => End::Gone(why),
            Ok(()) => tokio::select! {
                // In this order: what was received before the end still counts.
                biased;
                end = self.read(frames, shared) => end,
                end = self.write(&mut send, outgoing) => end,
            },
        };
        self.peer.slot.leave(self.peer.id);
        let why = self.part(end, send).await;
        tracing::info!(who = self.who, why, "peer down");
        let (peer, who) = (self.peer.id, self.who);
        let _ = shared.events.send(LinkEvent::Down { peer, who, why }).await;
    }

    fn up(&self) -> LinkEvent {
        let peer = self.peer.clone();
        let Hello { next_tick, last_seq, epoch, .. } = self.hello;
        match self.hello.part {
            Part::Agent { host, rack } => LinkEvent::AgentUp { peer, host, rack, next_tick },
            Part::Controller { rack, controller } => {
                LinkEvent::ControllerUp { peer, rack, controller, last_seq, epoch }
            }
        }
    }

    /// Lets the peer in and repeats what it has not answered.
    async fn welcome(
        &self,
        send: &mut SendStream,
        repeat: Option<(Tick, Bytes)>,
        epoch: u64,
    ) -> Result<(), String> {
        let mut bytes = BytesMut::new();
        Message::Welcome { epoch }.encode_into(&mut bytes).map_err(|e| e.to_string())?;
        if let Some((_, frame)) = repeat {
            bytes.extend_from_slice(&frame);
        }
        send.write_all(&bytes).await.map_err(|e| e.to_string())
    }

    async fn write(&self, send: &mut SendStream, mut outgoing: mpsc::UnboundedReceiver<Outgoing>) -> End {
        loop {
            match outgoing.recv().await {
                Some(Outgoing::Frame { tick, bytes }) => {
                    self.depth.fetch_sub(1, Ordering::Relaxed);
                    let span = tracing::info_span!("link::egress", tick = tick.map(|t| t.0));
                    if let Err(e) = send.write_all(&bytes).instrument(span).await {
                        return End::Gone(e.to_string());
                    }
                }
                Some(Outgoing::Refuse { code, text }) => return End::Refuse { code, text },
                Some(Outgoing::Bye { text }) => return End::Bye { text },
                Some(Outgoing::Replaced) => return End::Replaced,
                None => return End::Gone("closed".into()),
            }
        }
    }

    async fn read(&self, mut frames: FrameStream, shared: &Shared) -> End {
        let mut batch = None;
        loop {
            let frame = match frames.next().await {
                Ok(frame) => frame,
                Err(ReadFailure::Finished) => return End::Gone("peer finished".into()),
                Err(ReadFailure::Broken(why)) => return End::Gone(why),
                Err(ReadFailure::Lost(e)) => return End::Gone(lost(e)),
                Err(ReadFailure::Malformed(e)) => return malformed(e.to_string()),
            };
            let span = tracing::info_span!("link::ingress", tick = tracing::field::Empty);
            if let Err(end) = self.ingress(frame, &mut batch, shared).instrument(span).await {
                return end;
            }
        }
    }

    /// One received frame.
    async fn ingress(
        &self,
        frame: Frame,
        batch: &mut Option<(Tick, Bytes)>,
        shared: &Shared,
    ) -> Result<(), End> {
        let message = Message::decode(frame).map_err(|e| malformed(e.to_string()))?;
        if let Some(tick) = message.tick() {
            tracing::Span::current().record("tick", tick.0);
        }
        match (self.hello.part, message) {
            (Part::Agent { .. }, Message::Telemetry { tick, ipc }) => self.stash(tick, ipc, batch),
            (Part::Agent { host, .. }, Message::EndOfTick { tick, rows }) => {
                self.end_of_tick(host, tick, rows, batch.take(), shared).await
            }
            (Part::Controller { rack, controller }, Message::Outcomes { tick, outcomes }) => {
                self.outcomes(rack, controller, tick, outcomes, shared).await
            }
            (_, other) => Err(malformed(format!("{} is not for {} to send", other.name(), self.who))),
        }
    }

    /// Keeps a batch until its end mark: half a tick is never handed over.
    fn stash(&self, tick: Tick, ipc: Bytes, batch: &mut Option<(Tick, Bytes)>) -> Result<(), End> {
        if let Claim::Unasked(asked) = self.peer.slot.look(tick) {
            return Err(unasked("Telemetry", tick, asked));
        }
        if batch.is_some() {
            return Err(malformed(format!("second Telemetry before the end of {tick}")));
        }
        *batch = Some((tick, ipc));
        Ok(())
    }

    async fn end_of_tick(
        &self,
        host: HostId,
        tick: Tick,
        rows: u32,
        batch: Option<(Tick, Bytes)>,
        shared: &Shared,
    ) -> Result<(), End> {
        let fits = match &batch {
            Some((of, _)) => *of == tick,
            None => rows == 0,
        };
        if !fits {
            return Err(malformed(format!("EndOfTick of {tick} with {rows} rows without its Telemetry")));
        }
        let peer = self.peer.id;
        let batch = batch.map(|(tick, ipc)| LinkEvent::Telemetry { peer, host, tick, ipc });
        let end = LinkEvent::EndOfTick { peer, host, tick, rows };
        self.hand_over("EndOfTick", tick, batch.into_iter().chain([end]).collect(), shared).await
    }

    async fn outcomes(
        &self,
        rack: RackId,
        controller: ControllerId,
        tick: Tick,
        outcomes: Vec<Outcome>,
        shared: &Shared,
    ) -> Result<(), End> {
        if let Some(o) = outcomes.iter().find(|o| o.controller != controller) {
            return Err(malformed(format!("outcome of {} from {controller}", o.controller)));
        }
        let event = LinkEvent::Outcomes { peer: self.peer.id, rack, tick, outcomes };
        self.hand_over("Outcomes", tick, vec![event], shared).await
    }

    /// All events of a tick, or none: room for them is reserved before the tick counts as done.
    async fn hand_over(
        &self,
        what: &str,
        tick: Tick,
        events: Vec<LinkEvent>,
        shared: &Shared,
    ) -> Result<(), End> {
        let permits = shared.events.reserve_many(events.len()).await.map_err(|_| End::Deaf)?;
        let claim = self.peer.slot.take(tick, || {
            permits.zip(events).for_each(|(permit, event)| permit.send(event));
        });
        match claim {
            Claim::New | Claim::Repeated => Ok(()),
            Claim::Unasked(asked) => Err(unasked(what, tick, asked)),
        }
    }

    /// The last words. Returns why the session ended.
    async fn part(&self, end: End, send: SendStream) -> String {
        match end {
            End::Gone(why) => {
                self.connection.close(VarInt::from_u32(0), why.as_bytes());
                why
            }
            End::Refuse { code, text } => {
                refuse(&self.connection, send, code, &text).await;
                text
            }
            End::Bye { text } => {
                bye(&self.connection, send, &text).await;
                text
            }
            End::Replaced => {
                replaced(&self.connection);
                "replaced by a newer connection".into()
            }
            End::Deaf => "appliance stopped".into(),
        }
    }
}

/// Turns a peer away: `Refused` on the stream, and as the code of the closed connection.
pub(super) async fn refuse(connection: &Connection, send: SendStream, code: RefusalCode, text: &str) {
    let message = Message::Refused { code, text: text.into() };
    last_message(connection, send, &message, code as u32, text).await;
}

/// Ends a connection in order: `Bye` on the stream, and as the code of the closed connection.
pub(super) async fn bye(connection: &Connection, send: SendStream, text: &str) {
    last_message(connection, send, &Message::Bye { text: text.into() }, CLOSE_BYE, text).await;
}

/// Ends the older of two connections of one identity. Without a message: it is most likely dead.
pub(super) fn replaced(connection: &Connection) {
    let code = VarInt::from_u32(RefusalCode::Replaced as u32);
    connection.close(code, b"a newer connection of this identity has taken over");
}

async fn last_message(
    connection: &Connection,
    mut send: SendStream,
    message: &Message,
    code: u32,
    text: &str,
) {
    let leave = async {
        let bytes = message.encode().ok()?;
        send.write_all(&bytes).await.ok()?;
        send.finish().ok()?;
        // The peer closes when it has read it; closing earlier could overtake the message.
        Some(connection.closed().await)
    };
    let _ = timeout(LEAVE_WAIT, leave).await;
    connection.close(VarInt::from_u32(code), text.as_bytes());
}

fn malformed(text: String) -> End {
    End::Refuse { code: RefusalCode::Malformed, text }
}

fn unasked(what: &str, tick: Tick, asked: Option<Tick>) -> End {
    let asked = asked.map_or("none is".into(), |t| format!("{t} is"));
    malformed(format!("{what} of {tick} out of turn: {asked} asked for"))
}

fn lost(e: ConnectionError) -> String {
    match e {
        ConnectionError::ApplicationClosed(frame) => {
            format!("closed by peer: {}", String::from_utf8_lossy(&frame.reason))
        }
        ConnectionError::TimedOut => "nothing heard for the idle timeout".into(),
        e => e.to_string(),
    }
}
