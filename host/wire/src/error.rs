//! Everything that can be wrong with bytes from a peer.

/// One line: what is wrong, where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length field of a frame exceeds the cap.
    #[error("frame of {len} bytes exceeds the limit of {max} bytes: send smaller batches")]
    FrameTooLong {
        /// What the peer announced.
        len: u64,
        /// The cap.
        max: usize,
    },
    /// A frame too short to name its kind.
    #[error("frame of 0 bytes: a frame starts with its kind")]
    EmptyFrame,
    /// A kind byte nobody knows.
    #[error("unknown message kind {kind}: peer speaks another protocol version")]
    UnknownKind {
        /// The byte.
        kind: u8,
    },
    /// A message ended before its fields did.
    #[error("{what} ends after {have} bytes, {need} needed")]
    Truncated {
        /// Which message or field.
        what: &'static str,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// Bytes after the last field.
    #[error("{what} has {extra} bytes after its end")]
    Trailing {
        /// Which message.
        what: &'static str,
        /// How many.
        extra: usize,
    },
    /// More items than the cap.
    #[error("{what}: {count} exceeds the limit of {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u64,
        /// The cap.
        max: usize,
    },
    /// A field with a value that has no meaning.
    #[error("{what} has no meaning for the value {value}")]
    BadValue {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// Text that is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// Which field.
        what: &'static str,
    },
    /// A decision or outcome frame of another layout version.
    #[error("{what} frame version {got}, this side speaks {want}")]
    Version {
        /// Which frame.
        what: &'static str,
        /// The peer's.
        got: u8,
        /// Ours.
        want: u8,
    },
    /// The schema of HELLO is not the pinned one.
    #[error(
        "telemetry schema of {got} bytes differs from the pinned one of {want} bytes: send the schema of this version"
    )]
    Schema {
        /// Length of the peer's.
        got: usize,
        /// Length of ours.
        want: usize,
    },
    /// The Arrow message is not laid out as the pinned schema demands.
    #[error("telemetry batch: {0}")]
    Layout(String),
    /// Rows out of order or repeated.
    #[error("telemetry batch: row {row} is vm {vm} after vm {before}: ids must ascend strictly")]
    Order {
        /// The row.
        row: usize,
        /// Its VM.
        vm: u32,
        /// The VM of the row before.
        before: u32,
    },
}
