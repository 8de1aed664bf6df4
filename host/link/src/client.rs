//! The connecting side.

use std::net::SocketAddr;

use foreshade_wire::Message;

use crate::{Credentials, Limits, LinkError, Trust};

/// Makes connections with one identity.
#[derive(Debug)]
pub struct Connector {
    limits: Limits,
}

impl Connector {
    /// Opens a socket. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// Unusable credentials, no socket.
    pub fn new(_credentials: &Credentials, _trust: &Trust, limits: Limits) -> Result<Self, LinkError> {
        Ok(Self { limits })
    }

    /// Connects, says `hello` and waits for `Welcome`.
    ///
    /// # Errors
    /// Unreachable, not trusted, or refused: see [`LinkError`].
    pub async fn connect(&self, addr: SocketAddr, _hello: &Message) -> Result<Session, LinkError> {
        let after_ms = u64::from(self.limits.handshake_timeout_ms);
        Err(LinkError::Unreachable { addr, after_ms })
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Session {
    epoch: u64,
}

impl Session {
    /// The appliance's epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sends messages in one write.
    ///
    /// # Errors
    /// The connection is lost, or a message is over its cap.
    pub async fn send(&mut self, _messages: &[Message]) -> Result<(), LinkError> {
        Err(LinkError::Closed(String::new()))
    }

    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// The connection is lost, or the appliance refused us.
    pub async fn recv(&mut self) -> Result<Message, LinkError> {
        Err(LinkError::Closed(String::new()))
    }

    /// Ends the connection; the other side sees why.
    pub fn close(&self, _why: &str) {}
}
