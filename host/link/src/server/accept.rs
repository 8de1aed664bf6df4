//! Accepting connections: who is it, may it, and is it the newest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foreshade_types::{HostId, RackId, Tick};
use foreshade_wire::{Message, PROTOCOL, RefusalCode, telemetry};
use quinn::{Connection, Endpoint, Incoming, SendStream, VarInt};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::session::{self, Hello, Part};
use super::slot::{Queue, Slot};
use super::{LinkEvent, PeerHandle, PeerId};
use crate::stream::{FrameStream, ReadFailure, peer_identity};
use crate::{Identity, Limits, Role};

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    domain: String,
    pub(super) epoch: u64,
    pub(super) limits: Limits,
    pub(super) events: mpsc::Sender<LinkEvent>,
    slots: Mutex<BTreeMap<Identity, Arc<Slot>>>,
    /// The rack of each host; `None` = not known here, the appliance judges.
    racks: Mutex<Option<BTreeMap<HostId, RackId>>>,
    next_peer: AtomicU64,
    /// Set when the run is over: what to tell those who come now.
    ending: Mutex<Option<String>>,
    /// Connections being handled.
    open: watch::Sender<usize>,
}

impl Shared {
    pub(super) fn new(domain: String, epoch: u64, limits: Limits, events: mpsc::Sender<LinkEvent>) -> Self {
        let (open, _) = watch::channel(0);
        let (slots, racks, ending) = (Mutex::default(), Mutex::default(), Mutex::default());
        let next_peer = AtomicU64::new(1);
        Self { domain, epoch, limits, events, slots, racks, next_peer, ending, open }
    }

    pub(super) fn restrict_hosts(&self, racks: BTreeMap<HostId, RackId>) {
        *self.racks.lock().unwrap_or_else(PoisonError::into_inner) = Some(racks);
    }

    /// Is the host in this rack, as far as is known here?
    fn host_fits(&self, host: HostId, rack: Option<RackId>) -> bool {
        let racks = self.racks.lock().unwrap_or_else(PoisonError::into_inner);
        racks.as_ref().is_none_or(|racks| rack.is_some() && racks.get(&host).copied() == rack)
    }

    fn slot(&self, identity: &Identity) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(identity.clone()).or_default())
    }

    pub(super) fn bye(&self, text: &str) {
        // First this, then the live ones: a connection made in between hears of it one way or the other.
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().for_each(|slot| slot.bye(text));
    }

    fn ending(&self) -> Option<String> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until no connection is left.
    pub(super) async fn all_left(&self) {
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open == 0).await;
    }

    fn report_refusal(&self, who: String, why: String) {
        tracing::warn!(who, why, "peer refused");
        // A flood of strangers must not stop the ticks: their reports may be lost.
        let _ = self.events.try_send(LinkEvent::Refused { who, why });
    }
}

/// Accepts until the endpoint is closed.
pub(super) async fn run(endpoint: Endpoint, shared: Arc<Shared>) {
    while let Some(incoming) = endpoint.accept().await {
        if *shared.open.borrow() >= shared.limits.max_peers {
            shared.report_refusal(incoming.remote_address().to_string(), "too many peers".into());
            incoming.refuse();
            continue;
        }
        shared.open.send_modify(|open| *open += 1);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            handle(incoming, &shared).await;
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

/// Why a connection did not become a session.
struct Refusal {
    code: RefusalCode,
    text: String,
}

fn refusal(code: RefusalCode, text: impl Into<String>) -> Refusal {
    Refusal { code, text: text.into() }
}

async fn handle(incoming: Incoming, shared: &Shared) {
    let addr = incoming.remote_address().to_string();
    let limit = Duration::from_millis(u64::from(shared.limits.handshake_timeout_ms));
    let connection = match timeout(limit, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(e)) => return shared.report_refusal(addr, format!("TLS handshake: {e}")),
        Err(_) => return shared.report_refusal(addr, "TLS handshake: timed out".into()),
    };
    let (send, frames) = match timeout(limit, connection.accept_bi()).await {
        Ok(Ok((send, recv))) => (send, FrameStream::new(recv)),
        Ok(Err(e)) => return shared.report_refusal(addr, format!("no stream: {e}")),
        Err(_) => {
            let text = "no stream was opened in time";
            connection.close(VarInt::from_u32(RefusalCode::Malformed as u32), text.as_bytes());
            return shared.report_refusal(addr, text.into());
        }
    };
    let who = peer_identity(&connection);
    let name = who.as_ref().map_or(addr, Identity::to_string);
    let identity = match who {
        Ok(identity) if identity.domain == shared.domain => Ok(identity),
        Ok(_) => Err(refusal(RefusalCode::Identity, format!("identity is not of domain {}", shared.domain))),
        Err(e) => Err(refusal(RefusalCode::Identity, e.to_string())),
    };
    let checked = match identity {
        Ok(identity) => hello(identity, frames, limit, shared).await,
        Err(refused) => Err(refused),
    };
    match checked {
        Ok((identity, hello, frames)) => {
            admit(connection, send, frames, identity, hello, shared).await;
        }
        Err(Refusal { code, text }) => {
            shared.report_refusal(name, text.clone());
            session::refuse(&connection, send, code, &text).await;
        }
    }
}

/// Reads the first message and checks it against the identity.
async fn hello(
    identity: Identity,
    mut frames: FrameStream,
    limit: Duration,
    shared: &Shared,
) -> Result<(Identity, Hello, FrameStream), Refusal> {
    let malformed = |text: String| refusal(RefusalCode::Malformed, text);
    let frame = match timeout(limit, frames.next()).await {
        Ok(Ok(frame)) => frame,
        Ok(Err(ReadFailure::Malformed(e))) => return Err(malformed(e.to_string())),
        Ok(Err(_)) => return Err(malformed("stream ended before the hello".into())),
        Err(_) => return Err(malformed("no hello in time".into())),
    };
    let message = Message::decode(frame).map_err(|e| malformed(e.to_string()))?;
    let hello = check(&identity, message, shared)?;
    Ok((identity, hello, frames))
}

/// May this identity say this?
fn check(identity: &Identity, message: Message, shared: &Shared) -> Result<Hello, Refusal> {
    let (protocol, needs) = match &message {
        Message::AgentHello { protocol, .. } => (*protocol, Role::Agent),
        Message::Subscribe { protocol, .. } => (*protocol, Role::Controller),
        other => {
            let text = format!("{} is no first message: AgentHello or Subscribe expected", other.name());
            return Err(refusal(RefusalCode::Malformed, text));
        }
    };
    if protocol != PROTOCOL {
        let text = format!("protocol {protocol}, this appliance speaks {PROTOCOL}: use the same version");
        return Err(refusal(RefusalCode::Protocol, text));
    }
    if identity.role != needs {
        let text = format!("{identity} may not act as {needs}: use a certificate of that role");
        return Err(refusal(RefusalCode::Role, text));
    }
    match message {
        Message::AgentHello { host, next_tick, schema, .. } => {
            if identity.host() != Some(host) {
                let text = format!("{identity} may not push for {host}: use that host's certificate");
                return Err(refusal(RefusalCode::Host, text));
            }
            if !shared.host_fits(host, identity.rack) {
                let text = format!("{identity}: {host} is not a host of that rack here");
                return Err(refusal(RefusalCode::Rack, text));
            }
            telemetry::check_schema(&schema).map_err(|e| refusal(RefusalCode::Schema, e.to_string()))?;
            Ok(Hello {
                part: Part::Agent { host, rack: identity.rack.unwrap_or_default() },
                next_tick,
                last_seq: 0,
                epoch: 0,
            })
        }
        Message::Subscribe { rack, controller, last_seq, epoch, .. } => {
            if identity.rack != Some(rack) {
                let text = format!("{identity} may not control {rack}: use a certificate of that rack");
                return Err(refusal(RefusalCode::Rack, text));
            }
            let part = Part::Controller { rack, controller };
            Ok(Hello { part, next_tick: Tick(0), last_seq, epoch })
        }
        _ => Err(refusal(RefusalCode::Malformed, "no first message")),
    }
}

/// Waits for the identity's older connection to leave, then runs the session.
async fn admit(
    connection: Connection,
    send: SendStream,
    frames: FrameStream,
    identity: Identity,
    hello: Hello,
    shared: &Shared,
) {
    let id = PeerId(shared.next_peer.fetch_add(1, Ordering::Relaxed));
    let slot = shared.slot(&identity);
    slot.announce(id);
    let _turn = slot.turn.lock().await;
    let (queue, outgoing) = Queue::new(id, shared.limits.send_queue);
    let depth = queue.depth();
    let Ok(repeat) = slot.enter(queue) else {
        return session::replaced(&connection);
    };
    if let Some(text) = shared.ending() {
        slot.leave(id);
        return session::bye(&connection, send, &text).await;
    }
    let peer = PeerHandle { id, slot: Arc::clone(&slot) };
    let session = session::Session { connection, peer, who: identity.to_string(), hello, depth };
    session.run(send, frames, outgoing, repeat, shared).await;
}
