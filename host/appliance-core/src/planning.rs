//! From forecasts to the planner's view of a rack and back to numbered decisions.

use std::collections::BTreeSet;

use foreshade_forecast::aggregate::SumPath;
use foreshade_forecast::paths::PathSum;
use foreshade_plan::{Bound, HostView, VmForecast, VmView};
use foreshade_telemetry::History;
use foreshade_types::{HostId, Mebibytes, Millicores, Quantiles, Readiness, SeriesForecast, Tick, VmId};
use foreshade_wire::Flags;

use crate::chance::Chances;
use crate::fleet_state::{FleetState, VmState};
use crate::{CoreConfig, HostSpec, RackSpec};

/// Which of a series' horizons are which: peak, next sample, 30 min, 1 h.
pub(crate) const PEAK: usize = 0;
pub(crate) const STEP: usize = 1;
pub(crate) const HALF: usize = 2;
pub(crate) const HOUR: usize = 3;

/// The forecasts of one tick by resource, then VM.
pub(crate) struct Forecasts<'a> {
    pub(crate) cpu: &'a [SeriesForecast],
    pub(crate) memory: Option<&'a [SeriesForecast]>,
}

/// What the views of all racks are made from.
pub(crate) struct Scene<'a> {
    pub(crate) config: &'a CoreConfig,
    pub(crate) tick: Tick,
    pub(crate) fleet: &'a FleetState,
    pub(crate) history: &'a History,
    /// Hosts that were said to have failed.
    pub(crate) down: &'a BTreeSet<HostId>,
    pub(crate) forecasts: Forecasts<'a>,
    pub(crate) chances: &'a Chances,
    pub(crate) hour_steps: usize,
}

/// One rack, ready to be planned.
pub(crate) struct RackScene {
    pub(crate) vms: Vec<VmView>,
    pub(crate) hosts: Vec<HostView>,
    /// CPU that each host may need, millicores, over all paths.
    pub(crate) sums: Vec<PathSum>,
}

impl Scene<'_> {
    /// The rack's VMs and hosts as the planner sees them.
    pub(crate) fn rack(&self, rack: &RackSpec, spare: Vec<PathSum>) -> RackScene {
        let on_rack = |h: HostId| rack.hosts.binary_search_by_key(&h, |s| s.id).ok();
        let ids = (0..self.fleet.0.len()).filter(|i| on_rack(self.fleet.0[*i].host).is_some());
        let vms: Vec<_> = ids.map(|i| self.vm(VmId(i as u32), &self.fleet.0[i])).collect();
        let mut sums = self.chances.nothing(spare, rack.hosts.len());
        let samples = vms.iter().map(|v| self.history.of(v.id.index()).len()).max().unwrap_or(0);
        let mut past = vec![SumPath::new(samples); rack.hosts.len()];
        let mut add = |vm: VmId, host: usize, percent: u64| {
            sums[host].change(self.chances.part(vm, percent as i32));
            past[host].add_percent(self.history.of(vm.index()), percent as i64);
        };
        for v in &vms {
            let away = v.away_percent();
            if let Some(i) = on_rack(v.host) {
                add(v.id, i, 100 - away);
            }
            if let Some(i) = v.shadow.filter(|_| away > 0).and_then(|s| on_rack(s.place.host)) {
                add(v.id, i, away);
            }
        }
        let mut hosts: Vec<_> = rack.hosts.iter().map(|spec| self.host(spec)).collect();
        for v in &vms {
            let away = v.away_percent();
            if let Some(h) = on_rack(v.host).map(|i| &mut hosts[i]) {
                h.load += Millicores(v.cpu_demand.0 * (100 - away) / 100);
                h.memory_load += v.memory_demand;
            }
            if let Some((h, s)) = v.shadow.and_then(|s| Some((&mut hosts[on_rack(s.place.host)?], s))) {
                h.load += Millicores(v.cpu_demand.0 * away / 100);
                h.memory_load += s.size.memory;
            }
        }
        for ((h, sum), past) in hosts.iter_mut().zip(&mut sums).zip(&past) {
            h.peak = self.chances.peak(h.id, sum, &[]);
            h.hour = Bound::from_units(&past.step(self.hour_steps));
        }
        RackScene { vms, hosts, sums }
    }

    fn vm(&self, id: VmId, s: &VmState) -> VmView {
        let of = |f: &SeriesForecast, whole: u64| {
            let bound = |h: usize| Bound::from_points(&f.quantiles[h], whole);
            VmForecast { peak: bound(PEAK), step: bound(STEP), hour: bound(HOUR) }
        };
        let cpu = &self.forecasts.cpu[id.index()];
        let memory = self.forecasts.memory.filter(|_| self.config.manages_memory).map(|m| &m[id.index()]);
        let readiness = memory.map_or(cpu.readiness, |m| m.readiness.min(cpu.readiness));
        VmView {
            id,
            host: s.host,
            size: s.size,
            allocation: s.allocation,
            cpu_demand: s.cpu_demand,
            memory_demand: s.memory_demand,
            cpu: of(cpu, s.size.cpu.0),
            memory: memory.map(|m| of(m, s.size.memory.0)),
            readiness: if s.last_sample.is_none() { Readiness::Cold } else { readiness },
            stale_ticks: s.last_sample.map_or(u64::MAX, |t| self.tick.since(t)),
            shadow: s.shadow,
            migrating: s.flags.has(Flags::MIGRATING) || s.moving_to.is_some(),
            moving_to: s.moving_to,
            dirty_mib_s: s.dirty_mib_s,
            trail: s.rest.trail(self.tick, self.config.policy.cycle_window_ticks),
            standing: s.guarded.standing(
                self.tick,
                self.down.contains(&s.host),
                self.config.vms.get(id.index()).map(|v| &v.care),
            ),
            cool_down: s.rest.rests(self.tick),
            stopped: s.flags.has(Flags::STOPPED),
            customer: self.config.vms.get(id.index()).and_then(|v| v.customer),
            moves: s.rest.recent(self.tick, self.config.policy.migration_window_ticks),
        }
    }

    /// A host that carries nothing.
    fn host(&self, spec: &HostSpec) -> HostView {
        HostView {
            id: spec.id,
            cpu: spec.cpu,
            memory: spec.memory,
            load: Millicores(0),
            memory_load: Mebibytes(0),
            peak: Bound::default(),
            hour: Bound::default(),
            pool: spec.pool,
            domain: spec.domain,
            up: !self.down.contains(&spec.id),
        }
    }
}

impl RackScene {
    /// Who runs on each host and how much of each, as one number per host: bounds of before a move are about something else.
    pub(crate) fn carried(&self) -> Vec<u64> {
        let mut out = vec![crate::journal::FOLD; self.hosts.len()];
        let slot = |h: HostId| self.hosts.binary_search_by_key(&h, |x| x.id).ok();
        for v in &self.vms {
            let away = v.away_percent();
            let there = v.shadow.filter(|_| away > 0).map(|s| (s.place.host, away));
            for (host, percent) in [(v.host, 100 - away)].into_iter().chain(there) {
                if let Some(i) = slot(host) {
                    out[i] = (out[i] ^ (u64::from(v.id.0) << 8 | percent)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
        out
    }

    /// Is the newest demand of everything on each host known?
    pub(crate) fn known(&self) -> Vec<bool> {
        let mut out = vec![true; self.hosts.len()];
        for v in self.vms.iter().filter(|v| v.stale_ticks > 0) {
            for host in [Some(v.host), v.shadow.map(|s| s.place.host)].into_iter().flatten() {
                if let Ok(i) = self.hosts.binary_search_by_key(&host, |x| x.id) {
                    out[i] = false;
                }
            }
        }
        out
    }
}

/// Peak, next sample, 30 min and 1 h in steps. Fast samples (under a minute) look ahead 30 s, 5 s, 1 min and 2 min. None
/// reaches beyond what the forecaster can.
pub(crate) fn horizon_steps(cadence_s: u32) -> (u32, u32, u32, u32) {
    let steps = |s: u32| (s / cadence_s.max(1)).clamp(1, foreshade_forecast::STEPS_MAX);
    if cadence_s < 60 {
        (steps(30), steps(5), steps(60), steps(120))
    } else {
        (steps(1800), 1, steps(1800), steps(3600))
    }
}

/// The quantiles of a host that a view shows.
pub(crate) fn show(q: &Quantiles) -> String {
    format!("q05 {:.1} q50 {:.1} q90 {:.1} q95 {:.1} q99 {:.1}", q.q05(), q.q50(), q.q90(), q.q95(), q.q99())
}
