//! What an engine has seen of its devices, for the metrics page and for tests.

use std::time::Duration;

use super::ward::FaultKind;

/// Counters since the engine was opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Jobs whose result was used.
    pub jobs: u64,
    /// Time kernels took in those jobs, as the device says it.
    pub kernel_time: Duration,
    /// Results compared with the f64 reference.
    pub checks: u64,
    /// Largest error found, in units of the tolerance; above 1 the device was ejected.
    pub worst_check: f64,
    /// Faults by kind: late, lost, not finite, wrong, self-test.
    pub faults: [u64; FaultKind::ALL.len()],
    /// Devices put out of use.
    pub ejections: u64,
    /// Jobs that another device did in the place of the one that failed.
    pub redone: u64,
    /// Steps replayed to bring another device to the present.
    pub replayed: u64,
    /// Probes of ejected devices, and those that went well.
    pub probes: [u64; 2],
    /// Devices taken back into use.
    pub readmissions: u64,
}

impl Metrics {
    /// Faults of one kind.
    pub fn faults_of(&self, kind: FaultKind) -> u64 {
        self.faults[kind as usize]
    }
}
