//! The probability that a host fails within the next hour, day or week.
//!
//! # Following an event
//! ```text
//! up / down of a host -> HostState, GroupState of its rack and its site (decayed counts, a few times)
//! question            -> features -> one logistic model per horizon -> calibration -> probability, reasons in words
//! SMART sample        -> DriveState -> features -> the same kind of model
//! ```
//! In discrete time a logistic model of "fails in the next interval, given that it runs" is a hazard model (Allison,
//! "Discrete-time methods for the analysis of event histories", 1982). Its inputs are decayed counts of failures of the
//! host, its rack and its site (self-excitation, [`decay`]) and bent logarithms of the times since (renewal,
//! [`features`]). Coefficients come from one period, the calibration (Platt, 1999) from a later one, figures from a
//! still later one: [`replay`] hands rows out in no other way.
//!
//! State is O(1) per host and per event; nothing allocates once the hosts are known.

pub mod decay;
pub mod drive;
mod explain;
pub mod features;
pub mod fit;
mod model;
pub mod read;
pub mod replay;
pub mod score;
mod shipped;
mod state;
pub mod study;
mod watch;

pub use explain::{Because, Reason, Topic};
pub use model::{Hazard, HazardError, Head, Layout};
pub use shipped::Shipped;
pub use state::{Change, Event, GroupState, HostState};
pub use watch::{DriveWatch, Outlook, Place, Watch};

/// Seconds of an hour.
pub const HOUR_S: i64 = 3600;
/// Seconds of a day.
pub const DAY_S: i64 = 24 * HOUR_S;
/// Seconds of a week.
pub const WEEK_S: i64 = 7 * DAY_S;
