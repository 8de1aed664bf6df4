//! Samples become columns. [`arena`] holds the tick that is being filled and publishes it as Arrow arrays without a
//! copy; [`history`] keeps the aligned recent past of one quantity per VM; [`trace`] reads recorded fleets.

pub mod arena;
pub mod history;
pub mod trace;

pub use arena::{Arena, PushError, Sealed};
pub use history::History;
