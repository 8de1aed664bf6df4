//! A simulated shadow: what a host does with it, in time.
//!
//! ```text
//! provisioning --boot--> syncing --copied--> warm --task done--> ready <--drained-- draining
//!                           ^                                  |   |  \                ^
//!                           +------------- resume -- suspended <---+   +--> active ----+
//! ```

use foreshade_types::{Allocation, HostId, Millicores, ShadowPhase as Phase, SyncState, Template};

use super::rack::RackConfig;
use crate::ShadowSeen;

/// When a phase does not end by itself.
const OPEN: u64 = u64::MAX;

/// One shadow on its host.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) host: HostId,
    pub(super) size: Allocation,
    pub(super) share_percent: u8,
    /// What it was booted from.
    pub(super) template: Template,
    phase: Phase,
    /// When the phase ends by itself.
    until_ms: u64,
    copy: SyncState,
    /// What keeps its copy from being good.
    fault: Option<SyncState>,
    /// A shift or shift-back under way: when, share, size.
    pending: Option<(u64, u8, Allocation)>,
}

impl Guest {
    /// Begins to boot; the second value is when it will be ready.
    pub(super) fn boot(host: HostId, template: Template, now_ms: u64, config: &RackConfig) -> (Self, u64) {
        let size = template.boot;
        let until_ms = now_ms + config.shadow_boot_ms;
        let ready_ms = until_ms + config.shadow_sync_ms + config.shadow_warm_up_ms;
        let (phase, copy) = (Phase::Provisioning, SyncState::Never);
        let (share_percent, fault, pending) = (0, None, None);
        let guest = Self { host, size, share_percent, template, phase, until_ms, copy, fault, pending };
        (guest, ready_ms)
    }

    /// Puts in force what is due.
    pub(super) fn settle(&mut self, now_ms: u64, config: &RackConfig) {
        if let Some((at, share, size)) = self.pending.take_if(|(at, ..)| *at <= now_ms) {
            (self.share_percent, self.size) = (share, size);
            (self.phase, self.until_ms) = if share > 0 {
                (Phase::Active, OPEN)
            } else {
                (Phase::Draining, at + config.shadow_drain_ms)
            };
        }
        while self.until_ms <= now_ms {
            (self.phase, self.until_ms) = match self.phase {
                Phase::Provisioning => self.syncing(self.until_ms, config),
                Phase::Draining if self.copy != SyncState::CaughtUp => self.syncing(self.until_ms, config),
                Phase::Syncing => {
                    self.copy = SyncState::CaughtUp;
                    (Phase::Warm, self.until_ms + config.shadow_warm_up_ms)
                }
                Phase::Warm | Phase::Draining => (Phase::Ready, OPEN),
                phase => (phase, OPEN),
            };
        }
    }

    /// Copies from `now_ms` on; with a fault it does not come to an end.
    fn syncing(&mut self, now_ms: u64, config: &RackConfig) -> (Phase, u64) {
        self.copy = self.fault.unwrap_or(SyncState::Behind);
        (Phase::Syncing, if self.fault.is_some() { OPEN } else { now_ms + config.shadow_sync_ms })
    }

    /// What goes wrong with its copy from now on; `None` = nothing.
    pub(super) fn fault(&mut self, fault: Option<SyncState>, now_ms: u64, config: &RackConfig) {
        self.fault = fault;
        if matches!(self.phase, Phase::Provisioning | Phase::Suspended | Phase::Failed) {
            return;
        }
        let serves = matches!(self.phase, Phase::Active | Phase::Draining);
        match fault {
            // It goes on serving what it serves.
            Some(SyncState::Behind) if serves => self.copy = SyncState::Behind,
            None if serves => self.copy = SyncState::CaughtUp,
            Some(_) => {
                (self.share_percent, self.pending) = (0, None);
                (self.phase, self.until_ms) = self.syncing(now_ms, config);
            }
            None if self.phase == Phase::Syncing && self.until_ms == OPEN => {
                (self.phase, self.until_ms) = self.syncing(now_ms, config);
            }
            None => {}
        }
    }

    /// Its host is lost: nothing of it runs, and what is left is to be cleared.
    pub(super) fn lose(&mut self) {
        (self.phase, self.until_ms, self.share_percent, self.pending) = (Phase::Failed, OPEN, 0, None);
    }

    /// May traffic be shifted to it, or back?
    pub(super) fn takes_shifts(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Active)
    }

    /// Begins to serve `share_percent` at `size`, from `at_ms` on.
    pub(super) fn shift(&mut self, at_ms: u64, share_percent: u8, size: Allocation) {
        self.pending = Some((at_ms, share_percent, size));
    }

    /// Stops its CPUs; `false` if it is in use or not ready.
    pub(super) fn suspend(&mut self) -> bool {
        let may = self.phase == Phase::Ready && self.pending.is_none();
        if may {
            (self.phase, self.until_ms, self.copy) = (Phase::Suspended, OPEN, SyncState::Behind);
        }
        may
    }

    /// Starts its CPUs; when it will be ready. `None` if it is not suspended.
    pub(super) fn resume(&mut self, now_ms: u64, config: &RackConfig) -> Option<u64> {
        if self.phase != Phase::Suspended {
            return None;
        }
        (self.phase, self.until_ms) = self.syncing(now_ms, config);
        Some(self.until_ms.saturating_add(config.shadow_warm_up_ms))
    }

    /// What it takes of its host: a suspended one no CPU.
    pub(super) fn held(&self) -> Allocation {
        let cpu = if self.phase == Phase::Suspended { Millicores(0) } else { self.size.cpu };
        Allocation { cpu, memory: self.size.memory }
    }

    /// Could it take over all load?
    pub(super) fn is_in_sync(&self) -> bool {
        self.takes_shifts() && self.copy == SyncState::CaughtUp
    }

    /// Makes a new copy; when it will be ready, which it never is while something keeps it from being good. `None` where there
    /// is nothing to copy to.
    pub(super) fn copy_anew(&mut self, now_ms: u64, config: &RackConfig) -> Option<u64> {
        if !matches!(self.phase, Phase::Syncing | Phase::Warm | Phase::Ready | Phase::Active) {
            return None;
        }
        (self.share_percent, self.pending) = (0, None);
        (self.phase, self.until_ms) = self.syncing(now_ms, config);
        Some(self.until_ms.saturating_add(config.shadow_warm_up_ms))
    }

    /// As its host reports it: a shift counts once it is under way.
    pub(super) fn seen(&self) -> ShadowSeen {
        let phase = match self.pending {
            Some((_, 0, _)) => Phase::Draining,
            Some(_) => Phase::Active,
            None => self.phase,
        };
        ShadowSeen { phase, sync: self.copy }
    }
}
