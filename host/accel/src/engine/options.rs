//! How an engine treats its devices.

use std::time::Duration;

/// Limits of patience and trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Care {
    /// Longest a job may take on a device that has a successor; a device that needs longer is ejected. Generous beside
    /// a step (milliseconds) and short beside a tick (seconds).
    pub deadline: Duration,
    /// Longest the building of kernels and the self-test may take.
    pub start_deadline: Duration,
    /// Every this many steps the state is read back and one group of lanes is recomputed in f64. It bounds both the
    /// time until a wrong device is noticed and the steps that a redo has to replay.
    pub check_every: u64,
    /// Steps between two probes of an ejected device; doubled with each further ejection.
    pub probe_every: u64,
    /// Probes in a row that must go well before an ejected device is used again.
    pub clean_probes: u32,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(2),
            start_deadline: Duration::from_secs(60),
            check_every: 8,
            probe_every: 16,
            clean_probes: 3,
        }
    }
}
