//! The only crate that knows quinn: mutual TLS, roles, sessions, resume.
//!
//! One QUIC connection per peer, TLS 1.3 both ways, one bidirectional stream opened by the client, on which both sides
//! speak [`foreshade_wire::Message`]s. The first message of the client says what it wants; the appliance checks it
//! against the identity in the client's certificate and answers `Welcome` or `Refused`.
//!
//! # Resume
//! A lost connection costs nothing but time. The server keeps, per identity, what the peer has not answered: the last
//! `Release` of an agent, the last `Decisions` of a controller; it sends it again after the next `Welcome`. A tick is
//! handed to the appliance whole (batch and end mark together) and once: what a peer repeats is dropped.

#[cfg(not(any(feature = "client", feature = "server")))]
compile_error!("foreshade-link: enable the feature `client`, `server` or both");

mod cert;
#[cfg(feature = "client")]
pub mod client;
mod error;
mod identity;
mod limits;
#[cfg(feature = "server")]
pub mod server;
mod stream;
mod tls;

pub use cert::{Ca, Credentials, Trust, Validity};
pub use error::LinkError;
pub use identity::{Identity, Role};
pub use limits::Limits;
