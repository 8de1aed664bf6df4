//! The accepting side: the appliance's ear.

use std::net::SocketAddr;

use bytes::Bytes;
use foreshade_types::{ControllerId, HostId, Outcome, RackId, Tick};
use foreshade_wire::{Message, RefusalCode};
use tokio::sync::mpsc;

use crate::{Credentials, Limits, LinkError, Trust};

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

/// To answer one peer. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone)]
pub struct PeerHandle {
    id: PeerId,
}

/// The peer is gone, or too slow to take more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Its connection ended; `Down` comes or came.
    #[error("peer is gone")]
    Gone,
    /// Its queue is full.
    #[error("peer takes no more: its queue is full")]
    Full,
    /// The message cannot be encoded.
    #[error("cannot encode: {0}")]
    Wire(#[from] foreshade_wire::WireError),
}

impl PeerHandle {
    /// The connection.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Queues a message; it goes out in one write. Never blocks.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&self, _message: &Message) -> Result<(), SendError> {
        Err(SendError::Gone)
    }

    /// Turns the peer away: what is queued goes out, then `Refused`, then the connection is closed.
    pub fn refuse(&self, _code: RefusalCode, _text: impl Into<String>) {}
}

/// The listening endpoint.
#[derive(Debug)]
pub struct Server {
    local: SocketAddr,
}

impl Server {
    /// Listens on `addr` and tells peers `epoch`. Must run inside a tokio runtime; the events come on the receiver.
    ///
    /// # Errors
    /// The address is taken, or the credentials are no appliance's.
    pub fn bind(
        addr: SocketAddr,
        _credentials: &Credentials,
        _trust: &Trust,
        _epoch: u64,
        _limits: Limits,
    ) -> Result<(Self, mpsc::Receiver<LinkEvent>), LinkError> {
        Err(LinkError::Bind { addr, why: String::new() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Says `Bye` to every peer, waits up to `wait_ms` until they have it, and closes.
    pub async fn close(self, _text: &str, _wait_ms: u64) {}
}
