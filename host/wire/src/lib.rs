//! Bytes <-> types: Arrow telemetry batches, decision frames, stream messages; no sockets.
//!
//! Everything here is pure and total: any byte sequence gives a value or a [`WireError`], never a panic, and nothing is
//! allocated for a length before that length has been checked against its cap.
//!
//! A stream is a sequence of [`frame`]s; a frame holds one [`Message`]; a [`Message`] may hold a telemetry batch
//! ([`telemetry`]) or the decisions and outcomes of one tick ([`decision`]).

mod cursor;
pub mod decision;
mod error;
pub mod frame;
pub mod message;
mod precheck;
pub mod telemetry;

pub use error::WireError;
pub use frame::{Frame, FrameReader, MAX_FRAME_BYTES};
pub use message::{Message, RefusalCode};
pub use telemetry::{Column, Flags, RejectedRow, Row, TelemetryBatch, TelemetryView};

/// Version of the messages; both ends must speak the same one.
pub const PROTOCOL: u32 = 1;

/// The name both ends agree on in the TLS handshake.
pub const ALPN: &[u8] = b"foreshade/1";
