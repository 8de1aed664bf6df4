//! An agent's session.

use std::net::SocketAddr;

use foreshade_link::{Credentials, Limits, Trust};
use foreshade_types::{HostId, Tick};
use foreshade_wire::TelemetryBatch;

use crate::ClientError;

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
pub struct AgentSession {}

impl AgentSession {
    /// Connects.
    ///
    /// # Errors
    /// As any call: a permanent failure, or none but failures for `give_up_after_ms`.
    pub async fn connect(_config: AgentConfig) -> Result<Self, ClientError> {
        Err(ClientError::Usage(String::new()))
    }

    /// Waits until the next tick may be sent. Resends an unacknowledged one after a lost connection. Cancel safe.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn released(&mut self) -> Result<Released, ClientError> {
        Err(ClientError::Usage(String::new()))
    }

    /// Sends the samples of a released tick and its end mark in one write, and keeps them until acknowledged.
    ///
    /// # Errors
    /// As [`Self::connect`]; a tick that is not released; a batch that cannot be encoded.
    pub async fn send_tick(&mut self, _tick: Tick, _batch: TelemetryBatch) -> Result<(), ClientError> {
        Err(ClientError::Usage(String::new()))
    }

    /// Closes the connection under the session, as a fault would.
    pub fn drop_connection(&mut self) {}

    /// Connections made so far; more than 1 = reconnected.
    pub fn connections(&self) -> u64 {
        0
    }
}
