//! What hosts may need in the next half hour, and what a move would change: sums of sample paths of their VMs, so that peaks
//! that coincide count, each widened by its host's guard band.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foreshade_accel::{AccelError, Engine, KernelId, Slab};
use foreshade_forecast::WINDOW;
use foreshade_forecast::paths::{Ahead, Part, PathSum, Paths, Stretch};
use foreshade_plan::{Bound, MoveQuery, MoveScore, Named, PlanInput, Policy, Wanted};
use foreshade_telemetry::History;
use foreshade_types::{HostId, Quantiles, SeriesForecast, Tick, VmId};
use serde::{Deserialize, Serialize};

/// Steps of a path at most: at 300 s one per sample of the next half hour.
const STEPS_MAX: usize = 6;

/// Hosts that are named for each VM that might leave its own.
const NAMED: usize = 4;

/// What a sure overload costs and what a host's whole capacity of room is worth, in the kernel's cost: the chance decides,
/// the room breaks ties.
const RISK_COST: f32 = 100.0;
const ROOM_VALUE: f32 = 1.0;

/// A host reserved for shadows goes before all others; only shadows may use it.
const RESERVED_COST: f32 = -1000.0;

/// The paths of all VMs and the guard bands of all hosts.
#[derive(Debug)]
pub(crate) struct Chances {
    paths: Paths,
    stride: usize,
    keys: Vec<u64>,
    guards: BTreeMap<HostId, Guard>,
}

/// How far a host's bounds are stretched, and whether they held.
#[derive(Debug, Clone, Default)]
struct Guard {
    stretch: Stretch,
    /// Bounds whose half hour is not over, oldest first.
    pending: VecDeque<Pending>,
    /// Who runs on it, and how much of each, as one number.
    carries: u64,
    held: HeldBounds,
}

/// A bound and what has come since.
#[derive(Debug, Clone, Copy)]
struct Pending {
    until: Tick,
    bound: u64,
    sure: bool,
    peak: u64,
}

/// How often a host's 95 % bounds held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeldBounds {
    /// Half hours whose peak stayed at or below the bound given before.
    pub held: u64,
    /// Half hours that are over, and in which the host carried the same VMs throughout.
    pub of: u64,
}

/// The guard band of a host: how far its bounds lie from its median, against what its VMs' forecasts alone say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GuardBand {
    /// Factor on the distance in thousandths, 500 to 4000: grows with each bound that was too low, shrinks while bounds hold.
    pub factor_permille: u32,
    /// What it follows.
    #[serde(flatten)]
    pub bounds: HeldBounds,
}

impl Chances {
    /// `keys` are the VMs' own numbers; `peak_steps` samples make the next half hour.
    pub(crate) fn new(keys: Vec<u64>, peak_steps: usize) -> Self {
        let stride = peak_steps.div_ceil(STEPS_MAX).max(1);
        let steps = (peak_steps / stride).max(1);
        let draws = WINDOW - steps * stride;
        let mut paths = Paths::new(keys.len(), draws, steps).every(stride);
        keys.iter().enumerate().for_each(|(vm, key)| paths.draw(vm, *key, &[], &[]));
        Self { paths, stride, keys, guards: BTreeMap::new() }
    }

    /// Takes the newest sample of every VM.
    pub(crate) fn tick(&mut self, history: &History) {
        self.paths.turn();
        for (vm, key) in self.keys.iter().enumerate() {
            self.paths.follow(vm, *key, history.of(vm));
        }
    }

    /// Draws every VM from its newest forecast: `ahead` are the places of its horizons that are steps, with their samples.
    pub(crate) fn draw(
        &mut self,
        forecasts: &[SeriesForecast],
        ahead: &[(usize, u32)],
        whole: impl Iterator<Item = u64>,
    ) {
        let mut steps = Vec::with_capacity(ahead.len());
        for (vm, (f, whole)) in forecasts.iter().zip(whole).enumerate() {
            let unit = whole as f32 / 100.0;
            let at = |&(i, step): &(usize, u32)| {
                f.quantiles.get(i).map(|q| Ahead { step, quantiles: Quantiles(q.0.map(|x| x * unit)) })
            };
            steps.clear();
            steps.extend(ahead.iter().filter_map(at));
            self.paths.fill(vm, &steps);
        }
    }

    /// As many sums without VMs, in the memory of `spare` as far as it goes.
    pub(crate) fn nothing(&self, mut spare: Vec<PathSum>, hosts: usize) -> Vec<PathSum> {
        spare.iter_mut().for_each(PathSum::clear);
        spare.resize(hosts, PathSum::new(self.paths.draws(), self.paths.steps()));
        spare
    }

    /// A part of a VM, negative = taken out.
    pub(crate) fn part(&self, vm: VmId, percent: i32) -> Part<'_> {
        Part { draws: self.paths.of(vm.index()), percent }
    }

    /// The peak that a host's sum may reach, its guard band included.
    pub(crate) fn peak(&self, host: HostId, sum: &mut PathSum, parts: &[Part<'_>]) -> Bound {
        let q = sum.peak_if(parts);
        let stretch = self.guards.get(&host).map(|g| g.stretch).unwrap_or_default();
        Bound::from_units(&stretch.bounds(q))
    }

    /// The guard bands, by host.
    pub(crate) fn guards(&self) -> BTreeMap<HostId, GuardBand> {
        let band = |g: &Guard| GuardBand {
            factor_permille: (g.stretch.factor() * 1000.0).round() as u32,
            bounds: g.held,
        };
        self.guards.iter().map(|(h, g)| (*h, band(g))).collect()
    }

    /// Holds what came against what was said, and remembers what is said now. A host that carries other VMs than before, or
    /// whose load is not known, starts anew: its bounds were about something else.
    pub(crate) fn learn(&mut self, now: Tick, host: HostId, said: Bound, load: Option<u64>, carries: u64) {
        let ahead = (self.paths.steps() * self.stride) as u64;
        let guard = self.guards.entry(host).or_default();
        let Some(load) = load.filter(|_| guard.carries == carries) else {
            guard.pending.clear();
            guard.carries = carries;
            return;
        };
        guard.pending.iter_mut().for_each(|p| p.peak = p.peak.max(load));
        while let Some(p) = guard.pending.front().filter(|p| p.until <= now) {
            let missed = p.peak > p.bound;
            guard.held.of += 1;
            guard.held.held += u64::from(!missed);
            if !p.sure {
                guard.stretch.learn(missed);
            }
            guard.pending.pop_front();
        }
        let sure = said.q95 <= said.q50;
        guard.pending.push_back(Pending { until: Tick(now.0 + ahead), bound: said.q95, sure, peak: 0 });
    }

    /// The best hosts of the rack for each VM that might leave its own, best first, as the device finds them: every allowed
    /// host is tried with every path. `sums` are the hosts' in the order of the input.
    ///
    /// # Errors
    /// No device is left that works.
    pub(crate) fn shortlist(
        &self,
        input: &PlanInput<'_>,
        policy: &Policy,
        wanted: &[Wanted],
        sums: &mut [PathSum],
        engine: &mut Engine,
    ) -> Result<Vec<Named>, AccelError> {
        if wanted.is_empty() {
            return Ok(vec![]);
        }
        let request = Request { chances: self, input, policy, wanted };
        let hosts = input.hosts.len().next_multiple_of(64);
        let (paths, steps) = (self.paths.draws(), self.paths.steps());
        let ints = [wanted.len(), hosts, paths, steps, RESOURCES, NAMED].map(|n| n as i32);
        let inputs = [
            Arc::new(Slab::from_f32(&request.demand())),
            Arc::new(Slab::from_f32(&request.room(sums, hosts))),
            Arc::new(Slab::from_f32(&request.hosts(hosts))),
            // Moving costs the same whatever the host; the planner weighs it. Their own host is not allowed.
            Arc::new(Slab::from_f32(&[0.0, -1.0].repeat(wanted.len()))),
            Arc::new(Slab::from_i32(&request.allowed(hosts))),
        ];
        let out = engine.call(KernelId::PlacementScore, &ints, &[RISK_COST, ROOM_VALUE], &inputs)?;
        let best = out.first().map(Slab::i32).unwrap_or_default();
        let named = |(w, best): (&Wanted, &[i32])| {
            let what = *w;
            let host = |i: &i32| usize::try_from(*i).ok().and_then(|i| input.hosts.get(i));
            best.iter().filter_map(host).map(move |h| Named { what, to: h.id }).collect::<Vec<_>>()
        };
        Ok(wanted.iter().zip(best.chunks_exact(NAMED)).flat_map(named).collect())
    }

    /// Answers a what-if from the sums of the two hosts.
    pub(crate) fn score(&self, input: &PlanInput<'_>, sums: &mut [PathSum], q: &MoveQuery) -> MoveScore {
        let slot = |h: HostId| input.hosts.binary_search_by_key(&h, |x| x.id).ok();
        let vm = input.vms.binary_search_by_key(&q.vm, |v| v.id).ok().map(|i| &input.vms[i]);
        let from = vm.and_then(|v| match (q.back, v.shadow) {
            (true, Some(s)) => Some(s.place.host),
            (true, None) => None,
            (false, _) => Some(v.host),
        });
        let (Some((from, source)), Some(target)) = (from.and_then(|h| Some((h, slot(h)?))), slot(q.to))
        else {
            // No such move: a peak that fits nowhere.
            let never = Bound { q50: u64::MAX, q90: u64::MAX, q95: u64::MAX, q99: u64::MAX };
            return MoveScore { source: never, target: never };
        };
        let percent = i32::from(q.share_percent);
        MoveScore {
            source: self.peak(from, &mut sums[source], &[self.part(q.vm, -percent)]),
            target: self.peak(q.to, &mut sums[target], &[self.part(q.vm, percent)]),
        }
    }
}

/// CPU by path, memory as it is.
const RESOURCES: usize = 2;

/// What the kernel is asked; layouts in `kernels/placement_score/spec.rs`.
struct Request<'a> {
    chances: &'a Chances,
    input: &'a PlanInput<'a>,
    policy: &'a Policy,
    wanted: &'a [Wanted],
}

impl Request<'_> {
    /// [vms][paths][steps][resources], millicores and MiB.
    fn demand(&self) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.wanted.len() * self.chances.paths.of(0).len() * RESOURCES);
        for w in self.wanted {
            let share = f32::from(w.share_percent) / 100.0;
            let vm = self.input.vms.binary_search_by_key(&w.vm, |v| v.id).ok().map(|i| &self.input.vms[i]);
            let memory = vm.map_or(0, |v| self.policy.memory_brought(v, w.share_percent).0) as f32;
            let draws = self.chances.paths.of(w.vm.index());
            out.extend(draws.iter().flat_map(|d| [d * share, memory]));
        }
        out
    }

    /// [paths][steps][resources][hosts]: room under the limits that a move must keep, in units of the capacity. A stretched
    /// sum over a limit is the sum itself over a limit that lies closer.
    fn room(&self, sums: &mut [PathSum], hosts: usize) -> Vec<f32> {
        let cells = self.chances.paths.draws() * self.chances.paths.steps();
        let mut out = vec![0.0; cells * RESOURCES * hosts];
        for (h, (host, sum)) in self.input.hosts.iter().zip(sums).enumerate() {
            let capacity = (host.cpu.0.max(1)) as f32;
            let limit = (host.cpu.0 * self.policy.target_limit_percent / 100) as f32;
            let stretch = self.chances.guards.get(&host.id).map(|g| g.stretch).unwrap_or_default();
            let limit = stretch.capacity(&sum.peak(), limit);
            let memory_limit = host.memory.0 as f32 * 0.95;
            let memory = (memory_limit - host.memory_load.0 as f32) / host.memory.0.max(1) as f32;
            for (cell, load) in sum.draws().enumerate() {
                let at = cell * RESOURCES * hosts + h;
                out[at] = (limit - load) / capacity;
                out[at + hosts] = memory;
            }
        }
        out
    }

    /// [1 + resources][hosts].
    fn hosts(&self, hosts: usize) -> Vec<f32> {
        let mut out = vec![0.0; (1 + RESOURCES) * hosts];
        for (i, h) in self.input.hosts.iter().enumerate() {
            let reserved = h.pool == foreshade_types::Pool::Shadow;
            out[i] = if reserved { RESERVED_COST } else { 0.0 };
            out[hosts + i] = 1.0 / h.cpu.0.max(1) as f32;
            out[2 * hosts + i] = 1.0 / h.memory.0.max(1) as f32;
        }
        out
    }

    /// [vms][hosts / 32], a bit per host.
    fn allowed(&self, hosts: usize) -> Vec<i32> {
        let mut out = vec![0u32; self.wanted.len() * hosts / 32];
        for (w, bits) in self.wanted.iter().zip(out.chunks_exact_mut(hosts / 32)) {
            let Ok(i) = self.input.vms.binary_search_by_key(&w.vm, |v| v.id) else { continue };
            for (h, host) in self.input.hosts.iter().enumerate() {
                let may = self.input.may_take(&self.input.vms[i], w.share_percent, host);
                bits[h / 32] |= u32::from(may) << (h % 32);
            }
        }
        out.into_iter().map(u32::cast_signed).collect()
    }
}

#[cfg(test)]
mod tests {
    use foreshade_accel::{OpenOptions, open};
    use foreshade_plan::{HostView, Site, VmView};
    use foreshade_types::{Allocation, Mebibytes, Millicores, Pool, RackId, Readiness, VmSize};

    use super::*;

    const SURE: Bound = Bound { q50: 1000, q90: 1000, q95: 1000, q99: 1000 };
    const WIDE: Bound = Bound { q50: 1000, q90: 1500, q95: 2000, q99: 2500 };

    fn chances() -> Chances {
        Chances::new(vec![1, 2], 6)
    }

    fn live(c: &mut Chances, from: u64, ticks: u64, said: Bound, load: u64) {
        (from..from + ticks).for_each(|t| c.learn(Tick(t), HostId(0), said, Some(load), 7));
    }

    fn factor(c: &Chances) -> u32 {
        c.guards()[&HostId(0)].factor_permille
    }

    #[test]
    fn a_guard_band_widens_with_misses_narrows_while_bounds_hold_and_is_bounded() {
        let mut c = chances();
        live(&mut c, 0, 100, WIDE, 2001);
        let wide = factor(&c);
        assert!(wide > 1500, "{wide}");
        live(&mut c, 100, 1000, WIDE, 2001);
        assert_eq!(factor(&c), 4000);
        live(&mut c, 1100, 10_000, WIDE, 2000);
        assert_eq!(factor(&c), 500);
        let held = c.guards()[&HostId(0)].bounds;
        // The first tick only says whom the host carries; a bound is judged six samples after it was given.
        assert_eq!((held.held, held.of), (9_995, 11_100 - 1 - 6), "five half hours begin among the misses");
    }

    #[test]
    fn a_bound_is_judged_by_the_largest_load_of_its_half_hour() {
        let mut c = chances();
        live(&mut c, 0, 2, WIDE, 0);
        live(&mut c, 2, 1, WIDE, 9000);
        live(&mut c, 3, 4, WIDE, 0);
        assert_eq!(c.guards()[&HostId(0)].bounds, HeldBounds { held: 0, of: 0 }, "not over yet");
        live(&mut c, 7, 2, WIDE, 0);
        assert_eq!(c.guards()[&HostId(0)].bounds, HeldBounds { held: 1, of: 2 });
    }

    #[test]
    fn bounds_of_other_vms_or_of_unknown_loads_or_without_spread_teach_nothing() {
        let mut c = chances();
        for t in 0..500 {
            c.learn(Tick(t), HostId(0), WIDE, Some(9000), t / 6);
            c.learn(Tick(t), HostId(1), WIDE, (t % 6 > 0).then_some(9000), 1);
            c.learn(Tick(t), HostId(2), SURE, Some(1000), 1);
        }
        let g = c.guards();
        assert_eq!([0, 1, 2].map(|h| g[&HostId(h)].factor_permille), [1000; 3]);
        assert_eq!((g[&HostId(0)].bounds.of, g[&HostId(1)].bounds.of), (0, 0));
    }

    /// Low but for every twelfth sample, where it is `top`.
    fn peaks(phase: usize, top: f32) -> impl Fn(usize) -> f32 {
        move |t| if t % 12 == phase { top } else { 500.0 + (t * 7 % 13) as f32 }
    }

    fn vm(id: u32, host: u32) -> VmView {
        let size = VmSize { cpu: Millicores(8000), memory: Mebibytes(1024) };
        VmView {
            id: VmId(id),
            host: HostId(host),
            size,
            allocation: Allocation::from(size),
            memory_demand: Mebibytes(100),
            readiness: Readiness::Ready,
            ..VmView::default()
        }
    }

    fn host(id: u32) -> HostView {
        HostView {
            id: HostId(id),
            cpu: Millicores(8000),
            memory: Mebibytes(4096),
            pool: Pool::General,
            domain: id,
            up: true,
            ..HostView::default()
        }
    }

    #[test]
    fn the_device_names_the_host_whose_peaks_do_not_meet_those_of_the_vm() {
        // VM 0 on host 0 peaks with the VMs of hosts 1 to 5; that of host 6 has as high a peak, six samples later.
        let (together, apart) = (peaks(0, 6000.0), peaks(6, 6000.0));
        let vms: Vec<_> = (0..7).map(|i| vm(i, i)).collect();
        let hosts: Vec<_> = (0..7).map(host).collect();
        let mut history = History::new(7, WINDOW);
        let mut chances = Chances::new((1..8).collect(), 6);
        for t in 0..2 * WINDOW {
            let of = |i: u32| if i == 6 { apart(t) } else { together(t) };
            history.push((0..7).map(of));
            chances.tick(&history);
        }
        // One sample in twelve is at the top: forecasts of points that know no hour.
        let q = Quantiles([6.0, 7.0, 75.0, 75.0, 75.0]);
        for vm in 0..7 {
            chances.paths.fill(vm, &[Ahead { step: 1, quantiles: Quantiles(q.0.map(|p| p * 80.0)) }]);
        }
        let mut sums = chances.nothing(vec![], 7);
        (0..7u32).for_each(|i| sums[i as usize].change(chances.part(VmId(i), 100)));
        let site = Site::default();
        let input = PlanInput {
            rack: RackId(0),
            tick: Tick(300),
            vms: &vms,
            hosts: &hosts,
            cadence_s: 300,
            tick_ms: 300_000,
            migrations_left: 2,
            site: &site,
            bandwidth_mib_s: 500,
            peak_s: 1800,
            hour_s: 3600,
            shortlist: &[],
        };
        let what = Wanted { vm: VmId(0), share_percent: 100 };
        let mut engine = open("cpu", &OpenOptions::default()).unwrap();
        let named = chances.shortlist(&input, &Policy::default(), &[what], &mut sums, &mut engine).unwrap();
        assert_eq!(named.len(), NAMED);
        assert_eq!(named[0], Named { what, to: HostId(6) }, "{named:?}");
        assert!(named.iter().all(|n| n.to != HostId(0)), "not its own");
        let query = |to| MoveQuery { vm: VmId(0), to: HostId(to), share_percent: 100, back: false };
        let meets = chances.score(&input, &mut sums, &query(1)).target;
        let turns = chances.score(&input, &mut sums, &query(6)).target;
        assert!(meets.q50 > turns.q50 + 3_000, "{meets:?} {turns:?}");
        // A host whose bounds were too low is believed to need more.
        (0..40).for_each(|t| chances.learn(Tick(t), HostId(6), WIDE, Some(9000), 7));
        let wider = chances.score(&input, &mut sums, &query(6)).target;
        assert!(wider.q50 == turns.q50 && wider.q95 > turns.q95 + 1_000, "{wider:?} {turns:?}");
    }
}
