//! Connecting again until it works or is hopeless.

use std::net::SocketAddr;
use std::time::Duration;

use foreshade_link::client::{Connector, Session};
use foreshade_link::{Credentials, Limits, LinkError, Trust};
use foreshade_wire::Message;
use tokio::time::{Instant, sleep, timeout};

use crate::ClientError;

/// First and longest pause between attempts.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 10..=500;

/// One peer's way to the appliance.
#[derive(Debug)]
pub(crate) struct Dialer {
    connector: Connector,
    addr: SocketAddr,
    give_up_after_ms: u64,
    connections: u64,
}

impl Dialer {
    pub(crate) fn new(
        addr: SocketAddr,
        credentials: &Credentials,
        trust: &Trust,
        limits: Limits,
        give_up_after_ms: u64,
    ) -> Result<Self, ClientError> {
        let connector = Connector::new(credentials, trust, limits)?;
        Ok(Self { connector, addr, give_up_after_ms, connections: 0 })
    }

    /// Connections made so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections
    }

    /// Tries until let in, until it is hopeless, or until `give_up_after_ms` have passed.
    pub(crate) async fn dial(&mut self, hello: &Message) -> Result<Session, ClientError> {
        let after_ms = self.give_up_after_ms;
        let deadline = Instant::now() + Duration::from_millis(after_ms);
        let mut pause_ms = *PAUSE_MS.start();
        let mut last = LinkError::Unreachable { addr: self.addr, after_ms };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.connector.connect(self.addr, hello)).await {
                Ok(Ok(session)) => {
                    self.connections += 1;
                    return Ok(session);
                }
                Ok(Err(e)) if e.is_permanent() => return Err(e.into()),
                Ok(Err(e)) => last = e,
                Err(_) => return Err(ClientError::GaveUp { after_ms, last }),
            }
            tracing::info!(addr = %self.addr, why = %last, "connecting again");
            sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(*PAUSE_MS.end());
        }
    }
}
