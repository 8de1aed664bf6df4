//! A rack controller's session.

use std::net::SocketAddr;

use foreshade_link::{Credentials, Limits, Trust};
use foreshade_types::{ControllerId, Decision, Outcome, RackId, Tick};

use crate::ClientError;

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
pub struct ControllerSession {}

impl ControllerSession {
    /// Connects.
    ///
    /// # Errors
    /// As any call: a permanent failure, or none but failures for `give_up_after_ms`.
    pub async fn connect(_config: ControllerConfig) -> Result<Self, ClientError> {
        Err(ClientError::Usage(String::new()))
    }

    /// Waits for the decisions of the next tick. Answers a repeated tick from memory. Cancel safe.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn next_decisions(&mut self) -> Result<Decided, ClientError> {
        Err(ClientError::Usage(String::new()))
    }

    /// Answers the tick last given out, and keeps the answer until the next one.
    ///
    /// # Errors
    /// As [`Self::connect`]; another tick than the one last given out.
    pub async fn report(&mut self, _tick: Tick, _outcomes: Vec<Outcome>) -> Result<(), ClientError> {
        Err(ClientError::Usage(String::new()))
    }

    /// Highest epoch seen.
    pub fn epoch(&self) -> u64 {
        0
    }

    /// Closes the connection under the session, as a fault would.
    pub fn drop_connection(&mut self) {}

    /// Connections made so far; more than 1 = reconnected.
    pub fn connections(&self) -> u64 {
        0
    }
}
