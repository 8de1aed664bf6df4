//! The accepting side: the appliance's ear.

mod accept;
mod session;
mod slot;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foreshade_types::{ControllerId, HostId, Outcome, RackId, Tick};
use foreshade_wire::{Message, RefusalCode};
use quinn::{Endpoint, VarInt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::accept::Shared;
use self::slot::Slot;
use crate::stream::CLOSE_BYE;
use crate::{Credentials, Limits, LinkError, Role, Trust, tls};

/// One connection of one peer; a reconnect gives a new one. Ascending in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What happened on the wire, in the order it happened per peer.
///
/// An identity has one live connection: a newer one replaces the older, whose `Down` comes before the `Up` of the newer.
#[derive(Debug, Clone)]
pub enum LinkEvent {
    /// An agent was let in. Send it `Release` for the tick it may send.
    AgentUp {
        /// To answer it.
        peer: PeerHandle,
        /// Its host.
        host: HostId,
        /// The rack its certificate says it is in.
        rack: RackId,
        /// Its first tick that is not acknowledged.
        next_tick: Tick,
    },
    /// The batch of a tick, not decoded yet; `EndOfTick` of the same tick follows directly.
    Telemetry {
        /// From whom.
        peer: PeerId,
        /// Its host.
        host: HostId,
        /// The tick.
        tick: Tick,
        /// For [`foreshade_wire::TelemetryView::decode`].
        ipc: Bytes,
    },
    /// All of an agent's samples of a tick are in. Comes once per host and tick, however often it was sent.
    EndOfTick {
        /// From whom.
        peer: PeerId,
        /// Its host.
        host: HostId,
        /// The tick.
        tick: Tick,
        /// Rows of the tick.
        rows: u32,
    },
    /// A controller was let in. Decisions of its rack go to `peer`.
    ControllerUp {
        /// To answer it.
        peer: PeerHandle,
        /// Its rack.
        rack: RackId,
        /// Its number.
        controller: ControllerId,
        /// Highest decision number it has answered.
        last_seq: u64,
        /// Highest epoch it has seen.
        epoch: u64,
    },
    /// A controller's outcomes for a tick. Comes once per rack and tick, however often it was sent.
    Outcomes {
        /// From whom.
        peer: PeerId,
        /// Its rack.
        rack: RackId,
        /// The tick.
        tick: Tick,
        /// In the order sent.
        outcomes: Vec<Outcome>,
    },
    /// A peer that was up is gone.
    Down {
        /// Who.
        peer: PeerId,
        /// Its identity.
        who: String,
        /// Why.
        why: String,
    },
    /// Somebody was turned away, before or after being let in. Dropped rather than queued when the queue is full.
    Refused {
        /// Identity or address.
        who: String,
        /// Why.
        why: String,
    },
}

/// To answer one peer: whatever connection its identity has now. Cheap to clone; keeps no connection alive.
#[derive(Debug, Clone)]
pub struct PeerHandle {
    id: PeerId,
    slot: Arc<Slot>,
}

/// The peer is gone, or too slow to take more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It has no connection. `Release` and `Decisions` are kept and go out when it is back.
    #[error("peer is not connected")]
    Gone,
    /// Its queue is full.
    #[error("peer takes no more: its queue is full")]
    Full,
    /// The message cannot be encoded.
    #[error("cannot encode: {0}")]
    Wire(#[from] foreshade_wire::WireError),
}

impl PeerHandle {
    /// The connection this handle came with.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Queues a message; it goes out in one write. Never blocks.
    ///
    /// The last `Release` or `Decisions` is also kept until it is answered, and sent again after a reconnect.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&self, message: &Message) -> Result<(), SendError> {
        self.slot.send(message)
    }

    /// Turns away the connection this handle came with: what is queued goes out, then `Refused`, then it is closed. Does
    /// nothing if that connection is gone.
    pub fn refuse(&self, code: RefusalCode, text: impl Into<String>) {
        self.slot.refuse(self.id, code, text.into());
    }
}

/// The listening endpoint. Dropping it closes all connections.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    local: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on `addr` and tells peers `epoch`. Must run inside a tokio runtime; the events come on the receiver.
    ///
    /// # Errors
    /// The address is taken, or the credentials are no appliance's.
    pub fn bind(
        addr: SocketAddr,
        credentials: &Credentials,
        trust: &Trust,
        epoch: u64,
        limits: Limits,
    ) -> Result<(Self, mpsc::Receiver<LinkEvent>), LinkError> {
        let identity = credentials.identity();
        if identity.role != Role::Appliance {
            return Err(LinkError::Config(format!("{identity} is no appliance and cannot serve")));
        }
        let config = tls::server_config(credentials, trust, &limits)?;
        let endpoint = tls::endpoint(addr, Some(config), &limits)?;
        let bind = |e: std::io::Error| LinkError::Bind { addr, why: e.to_string() };
        let local = endpoint.local_addr().map_err(bind)?;
        let (events, receiver) = mpsc::channel(limits.event_queue.max(session::MAX_EVENTS_PER_FRAME));
        let shared = Arc::new(Shared::new(identity.domain.clone(), epoch, limits, events));
        tokio::spawn(accept::run(endpoint.clone(), Arc::clone(&shared)));
        Ok((Self { endpoint, local, shared }, receiver))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// From now on lets in only agents of these hosts, each with a certificate of the host's rack.
    pub fn restrict_hosts(&self, racks: BTreeMap<HostId, RackId>) {
        self.shared.restrict_hosts(racks);
    }

    /// Says `Bye` to every peer, waits up to `wait_ms` until they have left, and closes.
    pub async fn close(self, text: &str, wait_ms: u64) {
        self.shared.bye(text);
        let wait = Duration::from_millis(wait_ms);
        let _ = timeout(wait, self.shared.all_left()).await;
        self.endpoint.close(VarInt::from_u32(CLOSE_BYE), text.as_bytes());
        let _ = timeout(wait, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(0), b"appliance stopped");
    }
}
