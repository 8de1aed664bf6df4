//! How much a shadow is given, and what of it a policy allows.

use foreshade_types::{Allocation, HoldReason, Mebibytes, Millicores};

use crate::{PlanInput, Policy, VmView};

impl Policy {
    /// What a shadow of this VM is given while it idles: 1/16 of its CPU, at least one core, and 1/32 of its memory (the
    /// policy's divisors), `x (1 + g m)` for `m` migrations in the last `migration_window_ticks` and
    /// `g = shadow_growth_percent_per_move / 100`: what moves often is used often. Never more than the VM itself.
    pub fn idle_shadow(&self, v: &VmView) -> Allocation {
        let grown = |x: u64| x * (100 + self.shadow_growth_percent_per_move * u64::from(v.moves)) / 100;
        let cpu = (v.size.cpu.0 / self.shadow_cpu_divisor).max(1000);
        let memory = (v.size.memory.0 / self.shadow_memory_divisor).max(self.floor_mib);
        Allocation {
            cpu: Millicores(grown(cpu).min(v.size.cpu.0)),
            memory: Mebibytes(grown(memory).min(v.size.memory.0)),
        }
    }

    /// What a new shadow of this VM is given: its idle footprint; as a fail-over target, the upper bound (q99) of what the
    /// VM is forecast to need at its next peak, for it takes the whole load at once.
    pub fn shadow_size(&self, v: &VmView) -> Allocation {
        let idle = self.idle_shadow(v);
        if !self.is_failover_target(v) {
            return idle;
        }
        // Memory that is not forecast is inherited whole.
        let memory = v.memory.map_or(v.size.memory.0, |m| m.peak.q99);
        Allocation {
            cpu: Millicores(v.cpu.peak.q99.min(v.size.cpu.0)).max(idle.cpu),
            memory: Mebibytes(memory.min(v.size.memory.0)).max(idle.memory),
        }
    }

    /// May the rack hold one more idle shadow of this size, with `released` millicores given up for it?
    pub(crate) fn affords(
        &self,
        input: &PlanInput<'_>,
        size: Allocation,
        made: Millicores,
    ) -> Result<(), HoldReason> {
        if size.cpu.0 > self.shadow_cost_cap_millicores {
            return Err(HoldReason::ShadowCost);
        }
        let idle = |v: &VmView| v.shadow.filter(|s| s.share_percent == 0).map(|s| s.held().cpu);
        let held: Millicores = input.vms.iter().filter_map(idle).sum();
        let rack: Millicores = input.hosts.iter().map(|h| h.cpu).sum();
        let most = rack.0 * self.shadow_idle_budget_percent / 100;
        if (held + made + size.cpu).0 > most { Err(HoldReason::ShadowBudget) } else { Ok(()) }
    }
}
