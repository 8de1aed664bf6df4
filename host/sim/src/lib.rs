//! The product on trace time: a recorded fleet becomes simulated racks ([`fleet`], [`world`]), policies run on them
//! ([`backtest`]), and what they cost is counted the same way for all ([`report`]);
//! [`same`] tells whether two devices decide the same.

pub mod backtest;
pub mod fleet;
pub mod report;
pub mod rows;
pub mod same;
pub mod scenario;
pub mod world;

/// Samples that are history only: sent over the same path, never decided on, never scored (12 h at 300 s).
pub const WARM_UP_TICKS: u64 = 144;
