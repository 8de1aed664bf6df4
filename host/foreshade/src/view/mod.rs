//! What people see: progress, the decision feed, the heat map, tables. Colour only on a terminal.

mod feed;
mod heat;
mod progress;
pub mod table;

pub use feed::Feed;
pub(crate) use progress::Progress;
