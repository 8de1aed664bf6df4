//! An agent's session.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use foreshade_link::client::Session;
use foreshade_link::{Credentials, Limits, LinkError, Trust};
use foreshade_types::{HostId, Tick};
use foreshade_wire::{Message, TelemetryBatch};

use crate::ClientError;
use crate::dial::Dialer;

/// Where to and as whom.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The appliance.
    pub addr: SocketAddr,
    /// Whom the appliance must be issued by.
    pub trust: Trust,
    /// The agent's own certificate.
    pub credentials: Credentials,
    /// The host it speaks for; the certificate must say the same.
    pub host: HostId,
    /// The first tick it has samples of.
    pub first_tick: Tick,
    /// Timeouts of one connection.
    pub limits: Limits,
    /// How long to try for a connection, each time one is lost.
    pub give_up_after_ms: u64,
}

/// What the appliance allows next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// Send this tick; all before are acknowledged. No tick comes twice.
    Tick(Tick),
    /// The run is over, with the reason.
    Bye(String),
}

/// Pushes one host's telemetry, tick by tick.
#[derive(Debug)]
pub struct AgentSession {
    dialer: Dialer,
    host: HostId,
    /// The first tick not acknowledged.
    next_tick: Tick,
    session: Option<Session>,
    /// The last tick given out.
    given: Option<Tick>,
    pending: Option<Pending>,
    bye: Option<String>,
}

/// A sent tick, until it is acknowledged.
#[derive(Debug)]
struct Pending {
    tick: Tick,
    frames: Bytes,
    /// Written to the present connection?
    written: bool,
}

impl AgentSession {
    /// Connects.
    ///
    /// # Errors
    /// As any call: a permanent failure, or none but failures for `give_up_after_ms`.
    pub async fn connect(config: AgentConfig) -> Result<Self, ClientError> {
        let AgentConfig { addr, trust, credentials, host, first_tick, limits, give_up_after_ms } = config;
        let dialer = Dialer::new(addr, &credentials, &trust, limits, give_up_after_ms)?;
        let (next_tick, session, given) = (first_tick, None, None);
        let mut agent = Self { dialer, host, next_tick, session, given, pending: None, bye: None };
        agent.session = Some(agent.dial().await?);
        Ok(agent)
    }

    async fn dial(&mut self) -> Result<Session, ClientError> {
        if let Some(pending) = &mut self.pending {
            pending.written = false;
        }
        self.dialer.dial(&Message::agent_hello(self.host, self.next_tick)).await
    }

    /// Waits until the next tick may be sent. Resends an unacknowledged one after a lost connection, when the appliance
    /// asks for it.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn released(&mut self) -> Result<Released, ClientError> {
        loop {
            if let Some(text) = &self.bye {
                return Ok(Released::Bye(text.clone()));
            }
            let Some(session) = &mut self.session else {
                match self.dial().await {
                    Err(ClientError::Link(LinkError::Ended(text))) => return Ok(self.end(text)),
                    dialed => self.session = Some(dialed?),
                }
                continue;
            };
            match session.recv().await {
                Ok(Message::Release { tick }) => {
                    if !self.resend(tick).await {
                        continue;
                    }
                    if let Some(tick) = self.give(tick) {
                        return Ok(Released::Tick(tick));
                    }
                }
                Ok(Message::Bye { text }) => {
                    if let Some(session) = self.session.take() {
                        session.finish("bye").await;
                    }
                    return Ok(self.end(text));
                }
                Ok(other) => {
                    self.close("unexpected message");
                    return Err(LinkError::Unexpected { got: other.name(), want: "Release" }.into());
                }
                // The goodbye may have been cut off by the close that follows it; the close says the same.
                Err(LinkError::Ended(text)) => {
                    self.session = None;
                    return Ok(self.end(text));
                }
                Err(e) => {
                    self.session = None;
                    if e.is_permanent() {
                        return Err(e.into());
                    }
                    tracing::info!(host = %self.host, why = %e, "connection lost");
                }
            }
        }
    }

    /// Settles what is pending against a released tick. False = the connection was lost on the way.
    async fn resend(&mut self, released: Tick) -> bool {
        match &self.pending {
            Some(p) if p.tick == released && !p.written => self.write_pending().await,
            Some(p) if p.tick < released => {
                self.pending = None;
                true
            }
            _ => true,
        }
    }

    /// Writes what is pending to the present connection, if there is one.
    async fn write_pending(&mut self) -> bool {
        let (Some(mut session), Some(pending)) = (self.session.take(), &mut self.pending) else {
            return false;
        };
        // Out of `self` meanwhile: after half a write nothing else may go out on this connection.
        if session.send_encoded(&pending.frames).await.is_err() {
            // Nothing more can be written, but what the appliance said before it closed can still be read.
            self.session = Some(session);
            return false;
        }
        pending.written = true;
        self.session = Some(session);
        true
    }

    /// Each tick once, in order: what was given out before is a repetition after a reconnect.
    fn give(&mut self, released: Tick) -> Option<Tick> {
        if self.given.is_some_and(|given| released <= given) {
            return None;
        }
        self.given = Some(released);
        self.next_tick = released;
        Some(released)
    }

    fn end(&mut self, text: String) -> Released {
        self.bye = Some(text.clone());
        Released::Bye(text)
    }

    /// Sends the samples of a released tick and its end mark in one write, and keeps them until acknowledged. If the
    /// connection is lost, they go out in the next [`Self::released`].
    ///
    /// # Errors
    /// A tick that is not the one last released; a batch that cannot be encoded.
    pub async fn send_tick(&mut self, tick: Tick, batch: TelemetryBatch) -> Result<(), ClientError> {
        if self.given != Some(tick) || self.pending.is_some() {
            let given = self.given.map_or("none".into(), |t| t.to_string());
            return Err(ClientError::Usage(format!("{tick} cannot be sent: {given} was last released")));
        }
        let frames = encode(tick, batch)?;
        self.pending = Some(Pending { tick, frames, written: false });
        self.write_pending().await;
        Ok(())
    }

    /// Closes the connection under the session, as a fault would.
    pub fn drop_connection(&mut self) {
        self.close("dropped on purpose");
    }

    fn close(&mut self, why: &str) {
        if let Some(session) = self.session.take() {
            session.close(why);
        }
    }

    /// Connections made so far; more than 1 = reconnected.
    pub fn connections(&self) -> u64 {
        self.dialer.connections()
    }
}

/// Batch and end mark, ready for one write.
fn encode(tick: Tick, batch: TelemetryBatch) -> Result<Bytes, ClientError> {
    let rows = batch.rows() as u32;
    let mut frames = BytesMut::new();
    let encoded = batch.encode().and_then(|ipc| {
        Message::Telemetry { tick, ipc }.encode_into(&mut frames)?;
        Message::EndOfTick { tick, rows }.encode_into(&mut frames)
    });
    encoded.map_err(LinkError::Malformed)?;
    Ok(frames.freeze())
}
