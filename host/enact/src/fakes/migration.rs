//! A simulated live migration: what two hosts do with a VM, in time.
//!
//! ```text
//! preparing --prepare--> snapshotting --M/B--> transferring --M/(B-D)--> redirecting --standstill--> verifying --> finalising --> kept
//! ```
//! Each step ends by itself, well or, where a fault was laid in it, not. The VM is on one host at every moment: at the source
//! until the end of the redirection, at the target from then on.

use foreshade_types::{HostId, MovePhase as Phase};

use super::rack::RackConfig;

/// One migration under way, its rollback window included.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub(super) from: HostId,
    pub(super) to: HostId,
    pub(super) phase: Phase,
    /// When the phase ends.
    until_ms: u64,
    snapshot_ms: u64,
    transfer_ms: u64,
    /// The step that fails.
    pub(super) fault: Option<Phase>,
}

/// What a step of time brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The VM runs on this host now, and stood still for it.
    Switched(HostId),
    /// It is over, in this phase.
    Over(Phase),
}

impl Transfer {
    /// Begins to move `memory_mib` that are dirtied at `dirty_mib_s`; the second value is when the VM runs at its target.
    /// `None`: it would not converge.
    pub(super) fn begin(
        (from, to): (HostId, HostId),
        memory_mib: u64,
        dirty_mib_s: u64,
        now_ms: u64,
        config: &RackConfig,
    ) -> Option<(Self, u64)> {
        let rate = config.migration_mib_s.saturating_sub(dirty_mib_s);
        if rate * 10 < config.migration_mib_s {
            return None;
        }
        let whole_ms = memory_mib * 1000 / rate;
        let snapshot_ms = (memory_mib * 1000 / config.migration_mib_s).min(whole_ms);
        let until_ms = now_ms + config.migration_prepare_ms;
        let transfer_ms = whole_ms - snapshot_ms;
        let phase = Phase::Preparing;
        let new = Self { from, to, phase, until_ms, snapshot_ms, transfer_ms, fault: None };
        Some((new, until_ms + whole_ms + config.downtime_ms))
    }

    /// Lets time pass until `now_ms`.
    pub(super) fn settle(&mut self, now_ms: u64, config: &RackConfig) -> Vec<Turn> {
        let mut turns = Vec::new();
        while self.until_ms <= now_ms && !self.phase.is_over() {
            let failed = self.fault == Some(self.phase);
            match (self.phase, failed) {
                (Phase::Preparing, false) => self.on(Phase::Snapshotting, self.snapshot_ms),
                (Phase::Snapshotting, false) => self.on(Phase::Transferring, self.transfer_ms),
                (Phase::Transferring, false) => self.on(Phase::Redirecting, config.downtime_ms),
                (Phase::Redirecting, false) => {
                    turns.push(Turn::Switched(self.to));
                    self.on(Phase::Verifying, config.migration_verify_ms);
                }
                (Phase::Verifying, false) => self.on(Phase::Finalising, config.migration_finalise_ms),
                (Phase::Finalising, false) => self.on(Phase::Kept, config.rollback_window_ms),
                // What fails now is the way back alone.
                (Phase::Finalising | Phase::Kept, _) => self.on(Phase::Done, 0),
                (_, _) => turns.extend(self.go_back()),
            }
            if self.phase.is_over() {
                turns.push(Turn::Over(self.phase));
            }
        }
        turns
    }

    fn on(&mut self, phase: Phase, lasts_ms: u64) {
        (self.phase, self.until_ms) = (phase, self.until_ms + lasts_ms);
    }

    /// The VM runs at the source again; what it wrote at the target went there too.
    pub(super) fn go_back(&mut self) -> Option<Turn> {
        let away = self.phase.is_at_target() || self.phase == Phase::Redirecting;
        self.phase = Phase::RolledBack;
        away.then_some(Turn::Switched(self.from))
    }

    /// Does it still copy, at the cost of both hosts' CPU?
    pub(super) fn copies(&self) -> bool {
        self.phase <= Phase::Redirecting
    }

    /// The host that holds memory for it beside the one on which the VM runs.
    pub(super) fn other_host(&self) -> HostId {
        if self.phase.is_at_target() { self.from } else { self.to }
    }
}
