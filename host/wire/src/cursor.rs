//! Reading fields off a payload without ever running past its end.

use bytes::{Buf, Bytes};

use crate::WireError;

/// A payload being read; `what` names it in errors.
pub(crate) struct Cursor {
    what: &'static str,
    rest: Bytes,
}

impl Cursor {
    pub(crate) fn new(what: &'static str, payload: Bytes) -> Self {
        Self { what, rest: payload }
    }

    fn need(&self, bytes: usize) -> Result<(), WireError> {
        let have = self.rest.len();
        if have < bytes { Err(WireError::Truncated { what: self.what, need: bytes, have }) } else { Ok(()) }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.need(2)?;
        Ok(self.rest.get_u16_le())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.need(4)?;
        Ok(self.rest.get_u32_le())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.need(8)?;
        Ok(self.rest.get_u64_le())
    }

    /// Exactly `bytes` bytes, shared with the payload.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<Bytes, WireError> {
        self.need(bytes)?;
        Ok(self.rest.split_to(bytes))
    }

    /// All that is left, shared with the payload.
    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }

    /// All that is left, as text of at most `max` bytes.
    pub(crate) fn text(self, max: usize) -> Result<String, WireError> {
        let (what, count) = (self.what, self.rest.len());
        if count > max {
            return Err(WireError::TooMany { what, count: count as u64, max });
        }
        String::from_utf8(self.rest.to_vec()).map_err(|_| WireError::NotUtf8 { what })
    }

    /// Fails if anything is left.
    pub(crate) fn end(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(WireError::Trailing { what: self.what, extra }),
        }
    }
}
