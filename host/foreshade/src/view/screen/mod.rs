//! The full-screen view of a run: what will be needed, what was decided and why, how long the hops take.
//!
//! ```text
//!  Core, Summary --live--> State --draw--> Buffer --terminal--> screen
//!                            ^----keys--------------------------'
//! ```
//! [`draw`] is a pure function of the [`State`], so that a frame can be tested as text; only [`terminal`] knows a terminal.

mod draw;
mod heat;
mod hosts;
mod live;
mod log;
mod overlay;
mod side;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use live::{Live, Shared};
pub(crate) use log::{Item, Kind, Log};
pub(crate) use state::{Facts, Pane, Stage};
pub(crate) use terminal::{Order, Orders, Screen, colour, wanted};
