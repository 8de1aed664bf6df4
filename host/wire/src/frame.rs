//! Frames of a stream: `[u32 length, little-endian][u8 kind][payload]`; the length counts kind and payload.

use bytes::Bytes;

use crate::WireError;

/// Longest frame, kind and payload together. 4 MiB: a batch of [`crate::telemetry::MAX_ROWS`] rows fits.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Bytes of the length field.
pub const LENGTH_BYTES: usize = 4;

/// One frame, unparsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: u8,
    /// The rest.
    pub payload: Bytes,
}

/// Cuts a byte stream into frames: [`Self::push`] what arrived, then [`Self::pop`] until it gives `None`.
///
/// Holds at most one incomplete frame plus what was pushed since the last `pop`: a length over the cap is refused when
/// its four bytes are there, and memory grows with the bytes that came, not with the length announced.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    max_bytes: usize,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameReader {
    /// A reader with the cap [`MAX_FRAME_BYTES`].
    pub fn new() -> Self {
        Self::with_cap(MAX_FRAME_BYTES)
    }

    /// A reader with its own cap on kind and payload.
    pub fn with_cap(max_bytes: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, max_bytes }
    }

    /// Adds bytes that arrived, in order.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// A length of 0 or over the cap; the stream cannot be followed after that.
    pub fn pop(&mut self) -> Result<Option<Frame>, WireError> {
        let ready = &self.buffer[self.start..];
        let Some((length, rest)) = ready.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let len = u32::from_le_bytes(*length);
        if len as usize > self.max_bytes {
            return Err(WireError::FrameTooLong { len: u64::from(len), max: self.max_bytes });
        }
        let len = len as usize;
        if len == 0 {
            return Err(WireError::EmptyFrame);
        }
        if rest.len() < len {
            return Ok(None);
        }
        let frame = Frame { kind: rest[0], payload: Bytes::copy_from_slice(&rest[1..len]) };
        self.start += LENGTH_BYTES + len;
        Ok(Some(frame))
    }

    /// Bytes of an incomplete frame held back.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }
}
