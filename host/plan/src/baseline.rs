//! What operators run today, under the same latencies, cool-down and budget: the measure the planner is held against.
//!
//! *none* never acts. *reactive*: a VM above 85 % of its allocation gets usage / 0.70, one below 40 % for 6 ticks
//! shrinks to the same; a host above 85 % gives its smallest sufficient VM to the least loaded host that stays below.
//! *peak*: allocation = 1.15 x the largest usage of the last hour, same moves. Both see usage as granted, no forecasts.

use std::collections::VecDeque;

use foreshade_types::{Action, Allocation, HostId, Mebibytes, Millicores, Tick, VmId, VmSize};

use crate::{Budget, CoolDown, Rest};

/// Which baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Never acts.
    None,
    /// Thresholds on usage.
    Reactive,
    /// The last hour's peak.
    Peak,
}

/// A VM as a baseline sees it.
#[derive(Debug, Clone, Copy)]
pub struct BaselineVm {
    /// Its id.
    pub id: VmId,
    /// Where it is.
    pub host: HostId,
    /// What it was sold.
    pub size: VmSize,
    /// What it has.
    pub allocation: Allocation,
    /// CPU granted over the last sample.
    pub cpu_used: Millicores,
    /// Memory granted over the last sample.
    pub memory_used: Mebibytes,
    /// `false`: no sample this tick; it is left alone.
    pub sampled: bool,
}

/// Per-VM memory of a baseline.
#[derive(Debug, Clone, Default)]
struct Memory {
    last_hour: VecDeque<(u64, u64)>,
    low_ticks: [u32; 2],
    rest: CoolDown,
}

/// A baseline with its state.
#[derive(Debug, Clone)]
pub struct BaselinePolicy {
    kind: Baseline,
    manages_memory: bool,
    migrations_per_tick: u32,
    cool_down: Rest,
    hour_ticks: usize,
    memory: Vec<Memory>,
}

const HIGH_PERCENT: u64 = 85;
const LOW_PERCENT: u64 = 40;
const LOW_TICKS: u32 = 6;

impl BaselinePolicy {
    /// For VMs `0..vms`, samples every `cadence_s`; budget and cool-down are the planner's own.
    pub fn new(
        kind: Baseline,
        vms: usize,
        cadence_s: u32,
        manages_memory: bool,
        policy: &crate::Policy,
    ) -> Self {
        Self {
            kind,
            manages_memory,
            migrations_per_tick: policy.migrations_per_tick,
            cool_down: policy.rest(),
            hour_ticks: (3600 / cadence_s.max(1)).max(1) as usize,
            memory: vec![Memory::default(); vms],
        }
    }

    /// Notes a sample; called for warm-up ticks too.
    pub fn see(&mut self, vms: &[BaselineVm]) {
        for v in vms.iter().filter(|v| v.sampled) {
            let m = &mut self.memory[v.id.index()];
            m.last_hour.push_back((v.cpu_used.0, v.memory_used.0));
            if m.last_hour.len() > self.hour_ticks {
                m.last_hour.pop_front();
            }
        }
    }

    /// Actions for one rack: `vms` ascending, `hosts` with their CPU.
    pub fn decide(
        &mut self,
        now: Tick,
        vms: &[BaselineVm],
        hosts: &[(HostId, Millicores)],
    ) -> Vec<(VmId, Action)> {
        if self.kind == Baseline::None {
            return Vec::new();
        }
        let mut out = self.moves(now, vms, hosts);
        for v in vms.iter().filter(|v| v.sampled) {
            let to = match self.kind {
                Baseline::Reactive => self.reactive(v),
                _ => self.peak(v),
            };
            let keep = if self.manages_memory { to.memory } else { v.allocation.memory };
            let to = Allocation { memory: keep, ..to };
            if to.cpu > v.allocation.cpu || to.memory > v.allocation.memory {
                out.push((v.id, Action::PreAllocate { to }));
            } else if to != v.allocation {
                out.push((v.id, Action::GiveBack { to }));
            }
        }
        out
    }

    fn reactive(&mut self, v: &BaselineVm) -> Allocation {
        let low = &mut self.memory[v.id.index()].low_ticks;
        let mut rule = |i: usize, used: u64, has: u64, size: u64| {
            low[i] = if used * 100 < has * LOW_PERCENT { low[i] + 1 } else { 0 };
            let want = (used * 100).div_ceil(70).clamp(1, size);
            if used * 100 > has * HIGH_PERCENT {
                want.max(has)
            } else if low[i] >= LOW_TICKS {
                low[i] = 0;
                want.min(has)
            } else {
                has
            }
        };
        Allocation {
            cpu: Millicores(rule(0, v.cpu_used.0, v.allocation.cpu.0, v.size.cpu.0)),
            memory: Mebibytes(rule(1, v.memory_used.0, v.allocation.memory.0, v.size.memory.0)),
        }
    }

    fn peak(&self, v: &BaselineVm) -> Allocation {
        let seen = &self.memory[v.id.index()].last_hour;
        let bound = |peak: Option<u64>, size: u64| (peak.unwrap_or(size) * 115).div_ceil(100).clamp(1, size);
        Allocation {
            cpu: Millicores(bound(seen.iter().map(|s| s.0).max(), v.size.cpu.0)),
            memory: Mebibytes(bound(seen.iter().map(|s| s.1).max(), v.size.memory.0)),
        }
    }

    /// One move per overloaded host: its smallest VM that suffices, else its largest that fits somewhere.
    fn moves(
        &mut self,
        now: Tick,
        vms: &[BaselineVm],
        hosts: &[(HostId, Millicores)],
    ) -> Vec<(VmId, Action)> {
        let used = |h: HostId| vms.iter().filter(|v| v.host == h).map(|v| v.cpu_used.0).sum::<u64>();
        let mut load: Vec<u64> = hosts.iter().map(|h| used(h.0)).collect();
        let high = |i: usize| hosts[i].1.0 * HIGH_PERCENT / 100;
        let mut budget = Budget::new(self.migrations_per_tick, 0);
        let mut out = Vec::new();
        for i in 0..hosts.len() {
            if load[i] <= high(i) || budget.left() == 0 {
                continue;
            }
            let mut movable: Vec<_> =
                vms.iter().filter(|v| v.host == hosts[i].0 && v.cpu_used.0 > 0).collect();
            movable.retain(|v| !self.memory[v.id.index()].rest.rests(now));
            movable.sort_by_key(|v| {
                let suffices = load[i] - v.cpu_used.0 <= high(i);
                (!suffices, if suffices { v.cpu_used.0 } else { u64::MAX - v.cpu_used.0 }, v.id)
            });
            let target = |v: &BaselineVm| {
                let fits = |j: &usize| *j != i && load[*j] + v.cpu_used.0 < high(*j);
                (0..hosts.len()).filter(fits).min_by_key(|j| (load[*j], *j))
            };
            if let Some((v, j)) = movable.iter().find_map(|v| target(v).map(|j| (*v, j))) {
                budget.take();
                load[i] -= v.cpu_used.0;
                load[j] += v.cpu_used.0;
                self.memory[v.id.index()].rest.moved(now, v.host, &self.cool_down);
                out.push((v.id, Action::Migrate { to: hosts[j].0 }));
            }
        }
        out
    }
}
