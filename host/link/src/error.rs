//! Why a connection could not be made or was lost.

use std::net::SocketAddr;

use foreshade_wire::{RefusalCode, WireError};

/// One line: what failed, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A certificate, key, domain or name that cannot be used.
    #[error("{0}")]
    Config(String),
    /// The socket could not be opened.
    #[error("cannot open a UDP socket on {addr}: {why}")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        why: String,
    },
    /// Nobody answered.
    #[error("no answer from {addr} in {after_ms} ms: check the address, UDP and the firewall")]
    Unreachable {
        /// Who was asked.
        addr: SocketAddr,
        /// For how long.
        after_ms: u64,
    },
    /// The other end proved no identity we trust.
    #[error("{addr} is not trusted: {why}; check that both ends use the same CA")]
    Untrusted {
        /// Who.
        addr: SocketAddr,
        /// What was wrong with its certificate.
        why: String,
    },
    /// The other end did not accept our certificate.
    #[error("{addr} did not accept our certificate: {why}; check its CA and its dates")]
    CertificateRejected {
        /// Who.
        addr: SocketAddr,
        /// The TLS alert.
        why: String,
    },
    /// The appliance said no.
    #[error("refused ({code:?}): {text}")]
    Refused {
        /// The kind of reason.
        code: RefusalCode,
        /// The reason.
        text: String,
    },
    /// The appliance is ending its run.
    #[error("appliance has ended: {0}")]
    Ended(String),
    /// Nothing was heard for the idle timeout.
    #[error("connection lost: nothing heard from {addr} for {after_ms} ms")]
    Idle {
        /// Who.
        addr: SocketAddr,
        /// The timeout.
        after_ms: u64,
    },
    /// The connection or stream ended.
    #[error("connection closed: {0}")]
    Closed(String),
    /// The peer sent bytes that are no message.
    #[error("malformed message: {0}")]
    Malformed(#[from] WireError),
    /// A message that has no place here.
    #[error("{got} from the other end, {want} expected")]
    Unexpected {
        /// What came.
        got: &'static str,
        /// What should have.
        want: &'static str,
    },
}

impl LinkError {
    /// Would another attempt with the same certificate and the same hello fail the same way?
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Ended(_) | Self::Malformed(_) | Self::Unexpected { .. } => true,
            Self::Config(_) | Self::Untrusted { .. } | Self::CertificateRejected { .. } => true,
            Self::Refused { code, .. } => *code != RefusalCode::Limit,
            _ => false,
        }
    }
}
