//! What people see: the full-screen view, and in plain lines progress, the decision feed, the heat map and tables. Colour
//! only on a terminal.

mod feed;
mod heat;
mod out;
mod progress;
pub(crate) mod reason;
pub(crate) mod screen;
pub mod table;

pub use feed::Feed;
pub(crate) use feed::what;
pub(crate) use out::{note, said, say};
pub(crate) use progress::Progress;

/// A name from a file as it may stand on a terminal: nothing in it moves the cursor or begins a line.
pub(crate) fn name(raw: &str) -> String {
    raw.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
