//! A rack controller's session.

use std::net::SocketAddr;

use bytes::Bytes;
use foreshade_link::client::Session;
use foreshade_link::{Credentials, Limits, LinkError, Trust};
use foreshade_types::{ControllerId, Decision, Outcome, RackId, Tick};
use foreshade_wire::Message;

use crate::ClientError;
use crate::dial::Dialer;

/// Where to and as whom.
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// The appliance.
    pub addr: SocketAddr,
    /// Whom the appliance must be issued by.
    pub trust: Trust,
    /// The controller's own certificate.
    pub credentials: Credentials,
    /// Its rack; the certificate must say the same.
    pub rack: RackId,
    /// Its number.
    pub controller: ControllerId,
    /// Highest decision number answered before; 0 = none.
    pub last_seq: u64,
    /// Highest epoch seen before; 0 = none.
    pub epoch: u64,
    /// Timeouts of one connection.
    pub limits: Limits,
    /// How long to try for a connection, each time one is lost.
    pub give_up_after_ms: u64,
}

/// What the appliance decided next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// All decisions of a tick, possibly none. No tick comes twice.
    Tick(Tick, Vec<Decision>),
    /// The run is over, with the reason.
    Bye(String),
}

/// Receives a rack's decisions and answers them, tick by tick.
#[derive(Debug)]
pub struct ControllerSession {
    dialer: Dialer,
    rack: RackId,
    controller: ControllerId,
    /// Highest epoch seen, and the highest number answered in it.
    answered: (u64, u64),
    session: Option<Session>,
    open: Option<Open>,
    /// The last answer, kept in case the appliance asks for it again.
    answer: Option<(Tick, Bytes)>,
    bye: Option<String>,
}

/// A tick given out and not answered yet.
#[derive(Debug, Clone, Copy)]
struct Open {
    tick: Tick,
    /// Highest number of its decisions in the present epoch, if any.
    last_seq: Option<u64>,
}

impl ControllerSession {
    /// Connects.
    ///
    /// # Errors
    /// As any call: a permanent failure, none but failures for `give_up_after_ms`, or a superseded appliance.
    pub async fn connect(config: ControllerConfig) -> Result<Self, ClientError> {
        let dialer = Dialer::new(
            config.addr,
            &config.credentials,
            &config.trust,
            config.limits,
            config.give_up_after_ms,
        )?;
        let (rack, controller, answered) = (config.rack, config.controller, (config.epoch, config.last_seq));
        let (session, open, answer) = (None, None, None);
        let mut new = Self { dialer, rack, controller, answered, session, open, answer, bye: None };
        new.session = Some(new.dial().await?);
        Ok(new)
    }

    async fn dial(&mut self) -> Result<Session, ClientError> {
        let (epoch, last_seq) = self.answered;
        let (rack, controller) = (self.rack, self.controller);
        let protocol = foreshade_wire::PROTOCOL;
        let hello = Message::Subscribe { protocol, rack, controller, last_seq, epoch };
        let session = self.dialer.dial(&hello).await?;
        let (got, seen) = (session.epoch(), epoch);
        if got < seen {
            session.close("superseded appliance");
            return Err(ClientError::StaleEpoch { got, seen });
        }
        if got > seen {
            // Numbers start anew with each epoch.
            self.answered = (got, 0);
        }
        Ok(session)
    }

    /// Waits for the decisions of the next tick. Answers a repeated tick from memory.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn next_decisions(&mut self) -> Result<Decided, ClientError> {
        loop {
            if let Some(text) = &self.bye {
                return Ok(Decided::Bye(text.clone()));
            }
            let Some(session) = &mut self.session else {
                match self.dial().await {
                    Err(ClientError::Link(LinkError::Ended(text))) => return Ok(self.end(text)),
                    dialed => self.session = Some(dialed?),
                }
                continue;
            };
            match session.recv().await {
                Ok(Message::Decisions { tick, decisions }) => {
                    if !self.repeat_answer(tick).await {
                        continue;
                    }
                    if let Some(decisions) = self.give(tick, decisions) {
                        return Ok(Decided::Tick(tick, decisions));
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
                    return Err(LinkError::Unexpected { got: other.name(), want: "Decisions" }.into());
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
                    tracing::info!(rack = %self.rack, why = %e, "connection lost");
                }
            }
        }
    }

    /// Sends the stored answer if it is asked for again. False = the connection was lost on the way.
    async fn repeat_answer(&mut self, asked: Tick) -> bool {
        match &self.answer {
            Some((tick, _)) if *tick == asked => self.write_answer().await,
            _ => true,
        }
    }

    /// Writes the stored answer to the present connection, if there is one.
    async fn write_answer(&mut self) -> bool {
        let (Some(mut session), Some((_, frame))) = (self.session.take(), &self.answer) else { return false };
        // Out of `self` meanwhile: after half a write nothing else may go out on this connection.
        if session.send_encoded(frame).await.is_err() {
            // Nothing more can be written, but what the appliance said before it closed can still be read.
            self.session = Some(session);
            return false;
        }
        self.session = Some(session);
        true
    }

    /// Each tick once, each decision once: `None` for what was given out before.
    fn give(&mut self, tick: Tick, mut decisions: Vec<Decision>) -> Option<Vec<Decision>> {
        let last = self.open.map(|o| o.tick).max(self.answer.as_ref().map(|(tick, _)| *tick));
        if last.is_some_and(|last| tick <= last) {
            return None;
        }
        let (epoch, answered) = self.answered;
        let all = decisions.len();
        decisions.retain(|d| d.epoch != epoch || d.seq > answered);
        if decisions.len() < all {
            tracing::warn!(%tick, dropped = all - decisions.len(), "decisions answered before were sent again");
        }
        let last_seq = decisions.iter().filter(|d| d.epoch == epoch).map(|d| d.seq).max();
        self.open = Some(Open { tick, last_seq });
        Some(decisions)
    }

    fn end(&mut self, text: String) -> Decided {
        self.bye = Some(text.clone());
        Decided::Bye(text)
    }

    /// Answers the tick last given out, and keeps the answer until the next one. If the connection is lost, it goes out
    /// in the next [`Self::next_decisions`].
    ///
    /// # Errors
    /// Another tick than the one last given out; outcomes that cannot be encoded.
    pub async fn report(&mut self, tick: Tick, outcomes: Vec<Outcome>) -> Result<(), ClientError> {
        let Some(open) = self.open.filter(|open| open.tick == tick) else {
            let open = self.open.map_or("no tick".into(), |o| o.tick.to_string());
            return Err(ClientError::Usage(format!("{tick} cannot be answered: {open} is open")));
        };
        let message = Message::Outcomes { tick, outcomes };
        let frame = message.encode().map_err(LinkError::Malformed)?;
        self.open = None;
        self.answered.1 = self.answered.1.max(open.last_seq.unwrap_or(0));
        self.answer = Some((tick, frame));
        self.write_answer().await;
        Ok(())
    }

    /// Highest epoch seen.
    pub fn epoch(&self) -> u64 {
        self.answered.0
    }

    /// Highest decision number answered in that epoch.
    pub fn last_seq(&self) -> u64 {
        self.answered.1
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
