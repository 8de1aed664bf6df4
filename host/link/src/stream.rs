//! Messages on a QUIC stream, and what the end of a connection means.

use foreshade_wire::{Frame, FrameReader, WireError};
use quinn::{ConnectionError, ReadError, RecvStream};
use rustls::pki_types::CertificateDer;

use crate::{Identity, LinkError};

/// Most bytes taken off the stream at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Application close code of an orderly end.
pub(crate) const CLOSE_BYE: u32 = 100;

/// Cuts a stream into frames.
#[derive(Debug)]
pub(crate) struct FrameStream {
    recv: RecvStream,
    frames: FrameReader,
}

/// Why no frame came.
#[derive(Debug)]
pub(crate) enum ReadFailure {
    /// The peer ended its side of the stream.
    Finished,
    /// It ended in the middle of a frame, or reset the stream.
    Broken(String),
    /// The connection is gone.
    Lost(ConnectionError),
    /// The bytes are no frames.
    Malformed(WireError),
}

impl FrameStream {
    pub(crate) fn new(recv: RecvStream) -> Self {
        Self { recv, frames: FrameReader::new() }
    }

    /// The next frame. Cancel safe: what was read stays in the reader.
    pub(crate) async fn next(&mut self) -> Result<Frame, ReadFailure> {
        loop {
            if let Some(frame) = self.frames.pop().map_err(ReadFailure::Malformed)? {
                return Ok(frame);
            }
            match self.recv.read_chunk(CHUNK_BYTES, true).await {
                Ok(Some(chunk)) => self.frames.push(&chunk.bytes),
                Ok(None) if self.frames.pending_bytes() == 0 => return Err(ReadFailure::Finished),
                Ok(None) => return Err(ReadFailure::Broken("stream ended in the middle of a frame".into())),
                Err(ReadError::ConnectionLost(e)) => return Err(ReadFailure::Lost(e)),
                Err(e) => return Err(ReadFailure::Broken(e.to_string())),
            }
        }
    }
}

/// The identity the other end proved in its handshake.
pub(crate) fn peer_identity(connection: &quinn::Connection) -> Result<Identity, LinkError> {
    let none = || LinkError::Config("peer has no certificate".into());
    let any = connection.peer_identity().ok_or_else(none)?;
    let chain = any.downcast::<Vec<CertificateDer<'static>>>().map_err(|_| none())?;
    Identity::from_certificate(chain.first().ok_or_else(none)?)
}
