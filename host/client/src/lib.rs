//! Public client library on the client half of link: sessions that survive a lost connection.
//!
//! A session is driven by its calls: nothing but keep-alives happens between them, so go on calling until `Bye`. Every
//! call is cancel safe: dropped half-way, it costs at most a reconnect.

mod agent;
mod controller;
mod dial;

pub use agent::{AgentConfig, AgentSession, Released};
pub use controller::{ControllerConfig, ControllerSession, Decided};
pub use foreshade_link::{Credentials, Limits, LinkError, Trust};

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Trying again would not help.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Reconnecting took too long.
    #[error("gave up after {after_ms} ms without a connection: {last}")]
    GaveUp {
        /// How long it was tried.
        after_ms: u64,
        /// The last failure.
        last: LinkError,
    },
    /// The appliance has been superseded by another one this controller has heard from.
    #[error("appliance has epoch {got}, {seen} was seen before: it is superseded, connect to the newer one")]
    StaleEpoch {
        /// Its epoch.
        got: u64,
        /// The highest seen.
        seen: u64,
    },
    /// The call does not fit the state of the session.
    #[error("{0}")]
    Usage(String),
}
