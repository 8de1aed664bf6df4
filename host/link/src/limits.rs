//! Timeouts and caps of a connection.

/// All in milliseconds, bytes or counts. The default suits agents and controllers of one rack on a LAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A connection on which nothing is heard for this long is dead.
    pub idle_timeout_ms: u32,
    /// How often a quiet connection is kept alive; well below the idle timeout.
    pub keep_alive_ms: u32,
    /// How long a connection attempt, the hello and its answer may take together.
    pub handshake_timeout_ms: u32,
    /// How long the other end may sit on an acknowledgement. 1 ms bounds the tail under packet loss.
    pub max_ack_delay_ms: u32,
    /// Unread bytes a stream may hold: one frame at least, or a long one would stall.
    pub receive_window_bytes: u32,
    /// Socket buffers, each direction.
    pub socket_buffer_bytes: usize,
    /// Most peers at a time; the server turns others away.
    pub max_peers: usize,
    /// Events queued for the appliance; full = peers are read no further.
    pub event_queue: usize,
    /// Messages queued for one peer; full = the peer is too slow.
    pub send_queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_timeout_ms: 5_000,
            keep_alive_ms: 1_000,
            handshake_timeout_ms: 3_000,
            max_ack_delay_ms: 1,
            receive_window_bytes: 8 << 20,
            socket_buffer_bytes: 4 << 20,
            max_peers: 4_096,
            event_queue: 1_024,
            send_queue: 64,
        }
    }
}
