//! Which migrations may be started at all: not back where a VM came from, not more at once than a host and a rack bear.

use foreshade_types::{HoldReason, HostId};

use crate::budget::Rest;
use crate::{PlanInput, Policy, VmView};

impl Policy {
    /// How long VMs rest after moves.
    pub fn rest(&self) -> Rest {
        Rest {
            base_ticks: self.cool_down_ticks,
            cap_ticks: self.cool_down_cap_ticks,
            window_ticks: self.cool_down_window_ticks,
        }
    }

    /// Migrations that a rack may still start at a tick while `under_way` run.
    pub fn migrations_left(&self, under_way: u32) -> u32 {
        self.migrations_per_tick
            .saturating_sub(under_way)
            .min(self.migrations_per_rack.saturating_sub(under_way))
    }
}

impl PlanInput<'_> {
    /// Migrations under way from or to a host.
    pub fn moves_at(&self, host: HostId) -> u32 {
        let at = |v: &&VmView| v.migrating && (v.host == host || v.moving_to == Some(host));
        self.vms.iter().filter(at).count() as u32
    }

    /// May a migration of `v` to `to` be started? `planned` = hosts of those that this tick's plan has, source and target.
    pub(crate) fn may_start(
        &self,
        policy: &Policy,
        v: &VmView,
        to: HostId,
        planned: &[HostId],
    ) -> Result<(), HoldReason> {
        if v.trail.leads_back_to(to) {
            return Err(HoldReason::WouldReturn);
        }
        let busy = |h: HostId| {
            let soon = planned.iter().filter(|p| **p == h).count() as u32;
            self.moves_at(h) + soon >= policy.migrations_per_host
        };
        if busy(v.host) || busy(to) { Err(HoldReason::HostMoves) } else { Ok(()) }
    }
}
