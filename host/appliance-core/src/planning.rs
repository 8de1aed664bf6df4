//! From forecasts to the planner's view of a rack and back to numbered decisions.

use std::collections::BTreeSet;

use foreshade_forecast::aggregate::SumPath;
use foreshade_plan::{Bound, HostView, MoveQuery, MoveScore, PlanInput, VmForecast, VmView, candidates};
use foreshade_telemetry::History;
use foreshade_types::{HostId, Quantiles, Readiness, SeriesForecast, Tick, VmId};
use foreshade_wire::Flags;

use crate::fleet_state::{FleetState, VmState};
use crate::{CoreConfig, HostSpec, RackSpec};

/// Which of a series' horizons are which: peak, next sample, 30 min, 1 h.
pub(crate) const PEAK: usize = 0;
pub(crate) const STEP: usize = 1;
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
    pub(crate) peak_steps: usize,
    pub(crate) hour_steps: usize,
}

/// One rack, ready to be planned.
pub(crate) struct RackScene {
    pub(crate) vms: Vec<VmView>,
    pub(crate) hosts: Vec<HostView>,
    /// Aligned CPU demand of each host, millicores, oldest first.
    sums: Vec<SumPath>,
}

impl Scene<'_> {
    /// The rack's VMs and hosts as the planner sees them.
    pub(crate) fn rack(&self, rack: &RackSpec) -> RackScene {
        let on_rack = |h: HostId| rack.hosts.binary_search_by_key(&h, |s| s.id).ok();
        let ids = (0..self.fleet.0.len()).filter(|i| on_rack(self.fleet.0[*i].host).is_some());
        let vms: Vec<_> = ids.map(|i| self.vm(VmId(i as u32), &self.fleet.0[i])).collect();
        let samples = vms.iter().map(|v| self.history.of(v.id.index()).len()).max().unwrap_or(0);
        let mut sums = vec![SumPath::new(samples); rack.hosts.len()];
        for v in &vms {
            let away = v.away_percent();
            if let Some(i) = on_rack(v.host) {
                sums[i].add_percent(self.history.of(v.id.index()), 100 - away as i64);
            }
            if let Some(i) = v.shadow.and_then(|s| on_rack(s.place.host)) {
                sums[i].add_percent(self.history.of(v.id.index()), away as i64);
            }
        }
        let hosts = rack.hosts.iter().zip(&sums).map(|(spec, sum)| self.host(spec, sum, &vms)).collect();
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

    fn host(&self, spec: &HostSpec, sum: &SumPath, vms: &[VmView]) -> HostView {
        let of = |v: &VmView| match v.shadow {
            Some(s) if s.place.host == spec.id => v.away_percent(),
            _ if v.host == spec.id => 100 - v.away_percent(),
            _ => 0,
        };
        let memory = |v: &VmView| {
            let shadow = v.shadow.filter(|s| s.place.host == spec.id).map(|s| s.size.memory);
            let primary = (v.host == spec.id).then_some(v.memory_demand);
            shadow.unwrap_or_default() + primary.unwrap_or_default()
        };
        let load = vms.iter().map(|v| v.cpu_demand.0 * of(v) / 100).sum();
        HostView {
            id: spec.id,
            cpu: spec.cpu,
            memory: spec.memory,
            load: foreshade_types::Millicores(load),
            memory_load: vms.iter().map(memory).sum(),
            peak: Bound::from_units(&sum.peak(self.peak_steps)),
            hour: Bound::from_units(&sum.step(self.hour_steps)),
            pool: spec.pool,
            domain: spec.domain,
            up: !self.down.contains(&spec.id),
        }
    }

    /// Answers the planner's what-ifs from aligned histories, so that peaks that coincide count.
    pub(crate) fn scores(&self, input: &PlanInput<'_>, scene: &RackScene) -> Vec<MoveScore> {
        let queries = candidates(input, &self.config.policy);
        queries.iter().map(|q| self.score(input, scene, q)).collect()
    }

    fn score(&self, input: &PlanInput<'_>, scene: &RackScene, q: &MoveQuery) -> MoveScore {
        let slot = |h: HostId| scene.hosts.binary_search_by_key(&h, |x| x.id).ok();
        let vm = input.vms.binary_search_by_key(&q.vm, |v| v.id).ok().map(|i| &input.vms[i]);
        let from = vm.and_then(|v| match (q.back, v.shadow) {
            (true, Some(s)) => slot(s.place.host),
            (true, None) => None,
            (false, _) => slot(v.host),
        });
        let (Some(from), Some(to)) = (from, slot(q.to)) else {
            // No such move: a peak that fits nowhere.
            let never = Bound { q50: u64::MAX, q90: u64::MAX, q95: u64::MAX, q99: u64::MAX };
            return MoveScore { source: never, target: never };
        };
        let percent = i64::from(q.share_percent);
        let (mut source, mut target) = (scene.sums[from].clone(), scene.sums[to].clone());
        let history = self.history.of(q.vm.index());
        source.add_percent(history, -percent);
        target.add_percent(history, percent);
        let peak = |s: &SumPath| Bound::from_units(&s.peak(self.peak_steps));
        MoveScore { source: peak(&source), target: peak(&target) }
    }
}

/// The quantiles of a host that a view shows.
pub(crate) fn show(q: &Quantiles) -> String {
    format!("q05 {:.1} q50 {:.1} q90 {:.1} q95 {:.1} q99 {:.1}", q.q05(), q.q50(), q.q90(), q.q95(), q.q99())
}
