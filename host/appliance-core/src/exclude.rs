//! Samples that an operator does not want to be learnt from: a broken agent, a load test, a maintenance.
//!
//! They enter the forecasts, their scores, the sums and the search for anomalies as missing. What a VM asks for now is
//! still seen by the planner: a load test is a load.

use foreshade_types::{HostId, Millicores, Tick, VmId};

use crate::fleet_state::FleetState;

/// Whose samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// All.
    Everyone,
    /// A VM's.
    Vm(VmId),
    /// Of whatever runs on a host.
    Host(HostId),
}

/// Ticks `from..until` of some samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exclusion {
    /// Whose.
    pub whose: Whose,
    /// The first tick.
    pub from: Tick,
    /// The first tick after them.
    pub until: Tick,
}

/// All exclusions, and what was known last of each VM outside of them.
#[derive(Debug, Default)]
pub(crate) struct Excluded {
    entries: Vec<Exclusion>,
    left_out: Vec<u64>,
    /// By VM; empty without entries.
    kept: Vec<(Millicores, Option<Tick>)>,
}

impl Excluded {
    pub(crate) fn new(entries: Vec<Exclusion>, fleet: &FleetState) -> Self {
        let kept = if entries.is_empty() { vec![] } else { vec![(Millicores(0), None); fleet.0.len()] };
        Self { left_out: vec![0; entries.len()], entries, kept }
    }

    /// Samples left out so far, by entry; one that several name counts in each.
    pub(crate) fn left_out(&self) -> &[u64] {
        &self.left_out
    }

    /// The fleet as if excluded samples had not come, and which VMs' they are; `None` = there are none at this tick.
    pub(crate) fn tick(&mut self, tick: Tick, fleet: &FleetState) -> Option<(FleetState, Vec<bool>)> {
        let now: Vec<usize> = (0..self.entries.len())
            .filter(|i| (self.entries[*i].from..self.entries[*i].until).contains(&tick))
            .collect();
        let mut out = vec![false; self.kept.len()];
        for (vm, state) in fleet.0.iter().enumerate().take(self.kept.len()) {
            for &i in &now {
                let named = match self.entries[i].whose {
                    Whose::Everyone => true,
                    Whose::Vm(id) => id.index() == vm,
                    Whose::Host(host) => state.host == host,
                };
                out[vm] |= named;
                self.left_out[i] += u64::from(named && state.last_sample == Some(tick));
            }
            if !out[vm] {
                self.kept[vm] = (state.cpu_demand, state.last_sample);
            }
        }
        if !out.contains(&true) {
            return None;
        }
        let mut without = fleet.clone();
        for ((vm, kept), _) in without.0.iter_mut().zip(&self.kept).zip(&out).filter(|(_, out)| **out) {
            (vm.cpu_demand, vm.last_sample) = *kept;
        }
        Some((without, out))
    }
}
