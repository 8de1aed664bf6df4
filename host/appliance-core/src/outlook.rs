//! What racks and hosts will need: sums that are series of their own, never sums of bounds.
//!
//! The next 30 min of a rack's total are forecast and calibrated as any other series is (a joint interval); 1 h, 6 h and 24 h
//! of hosts and racks come from hourly means of their own load ([`foreshade_forecast::outlook`]), once an hour. Load is what VMs ask for, granted or
//! not; hosts count what they carry at the tick, so that a migration is a change of level.

use std::collections::{BTreeMap, VecDeque};

use foreshade_forecast::outlook::{HOURS, Outlook, OutlookScore};
use foreshade_forecast::seasonal::{SeasonalForecast, SeasonalState};
use foreshade_types::{HostId, Millicores, Quantiles, RackId, Tick, VmId};
use serde::{Deserialize, Serialize};

use crate::fleet_state::FleetState;
use crate::{CoreConfig, GuardBand, HazardReport};

/// Quantiles of a load, millicores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadMc {
    /// 5 %.
    pub q05: u64,
    /// Median.
    pub q50: u64,
    /// 90 %.
    pub q90: u64,
    /// 95 %.
    pub q95: u64,
    /// 99 %.
    pub q99: u64,
}

impl LoadMc {
    /// Millicores of quantiles that count units of this many.
    fn new(q: &Quantiles, unit_mc: f64) -> Self {
        let [q05, q50, q90, q95, q99] = q.0.map(|q| (f64::from(q) * unit_mc).round() as u64);
        Self { q05, q50, q90, q95, q99 }
    }
}

/// A rack's load now and in the next 30 min (30 s where samples are fast).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RackLoad {
    /// Which.
    pub rack: RackId,
    /// What its VMs ask for.
    pub now: Millicores,
    /// The largest sum of the next 30 min: one interval of the whole.
    pub peak: LoadMc,
}

/// Some hours ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourAhead {
    /// Mean of the hour that ends then.
    pub mean: LoadMc,
    /// Largest sample from now to then.
    pub peak: LoadMc,
}

/// A rack or a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// What it has, millicores.
    pub capacity_mc: u64,
    /// What is asked of it, millicores.
    pub now_mc: u64,
    /// The largest sum of the next 30 min; racks only, and once decisions are taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_30min: Option<LoadMc>,
    /// How far its days and weeks are known.
    pub state: String,
    /// By hours ahead; while the state is cold, the range of what was seen.
    pub hours: BTreeMap<usize, HourAhead>,
    /// How likely the host is to fail; absent as long as no failure of any host was reported.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hazard: Option<HazardReport>,
    /// How far a host's bounds of the next 30 min are stretched, and how often they held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard_band: Option<GuardBand>,
}

/// How good forecasts of sums were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoadScore {
    /// Forecasts that met their outcome.
    pub n: u64,
    /// Pinball loss, mean over the levels, percent of what the rack or host has.
    pub pinball: f64,
    /// Share of outcomes inside [q05, q95]; nominal 0.90.
    pub coverage90: f64,
    /// Share of outcomes above q95; nominal 0.05.
    pub above95: f64,
}

impl LoadScore {
    fn new(s: OutlookScore) -> Option<Self> {
        let n = s.n as f64;
        (s.n > 0).then(|| Self {
            n: s.n,
            pinball: s.pinball / n,
            coverage90: s.inside as f64 / n,
            above95: s.above as f64 / n,
        })
    }
}

/// The object `outlook` of the report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OutlookReport {
    /// By name.
    pub racks: BTreeMap<String, LoadReport>,
    /// By name.
    pub hosts: BTreeMap<String, LoadReport>,
    /// `rack_peak_30min`, and racks and hosts by hours ahead (`rack_6h`); what met no outcome yet is absent.
    pub scores: BTreeMap<String, LoadScore>,
}

/// A rack's joint peaks that wait for their outcome.
#[derive(Debug, Default)]
struct Peaks {
    /// The newest ticks: load in percent, and what was said of the ticks after it.
    recent: VecDeque<(f32, Option<Quantiles>)>,
    score: OutlookScore,
}

impl Peaks {
    fn tick(&mut self, load: f32, said: Option<Quantiles>, steps: usize) {
        if self.recent.len() == steps
            && let Some((_, Some(q))) = self.recent.front()
        {
            let after = || self.recent.iter().skip(1).map(|(x, _)| *x).chain([load]);
            if after().all(f32::is_finite) {
                self.score.add(q, after().fold(0.0, f32::max));
            }
        }
        if self.recent.len() >= steps.max(1) {
            self.recent.pop_front();
        }
        self.recent.push_back((load, said));
    }
}

/// Hosts and racks, and every VM.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Hosts by rack, then racks.
    sums: Outlook,
    capacity: Vec<u64>,
    hosts: Vec<HostId>,
    racks: Vec<RackId>,
    /// Load of the newest tick; NaN = nobody was heard.
    load_mc: Vec<f32>,
    peaks: Vec<Peaks>,
    peak_steps: usize,
    /// Of the newest tick, percent, by rack; none before the first decision.
    newest: Vec<Quantiles>,
    told: Vec<[SeasonalForecast; HOURS.len()]>,
    vms: Outlook,
}

impl Ahead {
    pub(crate) fn new(config: &CoreConfig, peak_steps: usize) -> Self {
        let hosts: Vec<_> = config.racks.iter().flat_map(|r| r.hosts.iter().map(|h| h.id)).collect();
        let host = config.racks.iter().flat_map(|r| r.hosts.iter().map(|h| h.cpu.0));
        let rack = config.racks.iter().map(|r| r.hosts.iter().map(|h| h.cpu.0).sum());
        let capacity: Vec<u64> = host.chain(rack).collect();
        let n = capacity.len();
        Self {
            sums: Outlook::new(config.cadence_s, n),
            load_mc: vec![f32::NAN; n],
            peaks: config.racks.iter().map(|_| Peaks::default()).collect(),
            racks: config.racks.iter().map(|r| r.id).collect(),
            newest: vec![],
            told: vec![],
            vms: Outlook::compact(config.cadence_s, config.vms.len()),
            capacity,
            hosts,
            peak_steps,
        }
    }

    /// What was forecast of each rack's total (percent) with the samples of a tick, and each VM in percent of its size.
    /// `scored`: decisions are taken, so that peaks count.
    pub(crate) fn tick(&mut self, tick: Tick, peaks: Vec<Quantiles>, scored: bool, cpu_points: &[f32]) {
        let percent: Vec<f32> = self.percent().collect();
        if self.sums.tick(tick.0, percent.iter().copied()) {
            self.told = (0..self.sums.len()).filter_map(|i| self.sums.tell(i)).collect();
        }
        self.vms.tick(tick.0, cpu_points.iter().copied());
        self.newest = if scored { peaks } else { vec![] };
        for (r, peaks) in self.peaks.iter_mut().enumerate() {
            peaks.tick(percent[self.hosts.len() + r], self.newest.get(r).copied(), self.peak_steps);
        }
    }

    fn percent(&self) -> impl Iterator<Item = f32> {
        let share =
            |(mc, whole): (&f32, &u64)| if *whole == 0 { f32::NAN } else { mc * 100.0 / *whole as f32 };
        self.load_mc.iter().zip(&self.capacity).map(share)
    }

    /// What VMs ask of their hosts and racks. A VM that is silent counts with what it asked for last, as long as another of
    /// the same host or rack is heard. Gives the racks' totals in percent of what they have; NaN = nobody is heard.
    pub(crate) fn add_up(&mut self, tick: Tick, config: &CoreConfig, fleet: &FleetState) -> Vec<f32> {
        let n = self.capacity.len();
        let (mut sum, mut vms, mut heard) = (vec![0u64; n], vec![0u32; n], vec![0u32; n]);
        let hosts: BTreeMap<HostId, (usize, usize)> = config
            .racks
            .iter()
            .enumerate()
            .flat_map(|(r, rack)| rack.hosts.iter().map(move |h| (h.id, r)))
            .enumerate()
            .map(|(i, (id, r))| (id, (i, self.hosts.len() + r)))
            .collect();
        for vm in &fleet.0 {
            let Some((host, rack)) = hosts.get(&vm.host).copied() else { continue };
            let away = vm.away_percent();
            let shadow =
                vm.shadow.and_then(|s| hosts.get(&s.place.host).copied()).map_or(host, |(shadow, _)| shadow);
            let mc = vm.cpu_demand.0;
            sum[shadow] += mc * away / 100;
            sum[host] += mc - mc * away / 100;
            sum[rack] += mc;
            for i in [host, rack] {
                vms[i] += 1;
                heard[i] += u32::from(vm.last_sample == Some(tick));
            }
        }
        for (i, load) in self.load_mc.iter_mut().enumerate() {
            *load = if vms[i] > 0 && heard[i] == 0 { f32::NAN } else { sum[i] as f32 };
        }
        self.percent().skip(self.hosts.len()).collect()
    }

    /// Each rack's total now and in the next 30 min; none before the first decision.
    pub(crate) fn racks(&self) -> Vec<RackLoad> {
        let load = |(r, q): (usize, &Quantiles)| {
            let i = self.hosts.len() + r;
            let now = Millicores(self.load_mc[i].max(0.0) as u64);
            RackLoad { rack: self.racks[r], now, peak: LoadMc::new(q, self.unit_mc(i)) }
        };
        self.newest.iter().enumerate().map(load).collect()
    }

    /// Millicores of a percent.
    fn unit_mc(&self, i: usize) -> f64 {
        self.capacity[i] as f64 / 100.0
    }

    /// What is known of a VM: its state, and its hours ahead in percent of its size.
    pub(crate) fn vm(&self, vm: VmId) -> Option<(SeasonalState, [SeasonalForecast; HOURS.len()])> {
        self.vms.state(vm.index()).zip(self.vms.tell(vm.index()))
    }

    pub(crate) fn report(
        &self,
        hazard: &BTreeMap<HostId, HazardReport>,
        guards: &BTreeMap<HostId, GuardBand>,
    ) -> OutlookReport {
        let of = |i: usize, peak_30min: Option<LoadMc>| {
            let unit_mc = self.unit_mc(i);
            let hour = |f: &SeasonalForecast| {
                let [mean, peak] = [f.quantiles, f.peak].map(|q| LoadMc::new(&q, unit_mc));
                (f.horizon_h, HourAhead { mean, peak })
            };
            LoadReport {
                capacity_mc: self.capacity[i],
                now_mc: self.load_mc[i].max(0.0) as u64,
                peak_30min,
                state: self.sums.state(i).map(|s| s.to_string()).unwrap_or_default(),
                hazard: self.hosts.get(i).and_then(|h| hazard.get(h)).cloned(),
                guard_band: self.hosts.get(i).and_then(|h| guards.get(h)).copied(),
                hours: self.told.get(i).iter().flat_map(|t| t.iter().map(hour)).collect(),
            }
        };
        let first_rack = self.hosts.len();
        let peak = |r: usize| self.newest.get(r).map(|q| LoadMc::new(q, self.unit_mc(first_rack + r)));
        let racks =
            self.racks.iter().enumerate().map(|(r, id)| (id.to_string(), of(first_rack + r, peak(r))));
        let hosts = self.hosts.iter().enumerate().map(|(i, id)| (id.to_string(), of(i, None)));
        OutlookReport { racks: racks.collect(), hosts: hosts.collect(), scores: self.scores() }
    }

    fn scores(&self) -> BTreeMap<String, LoadScore> {
        let peaks = self.peaks.iter().fold(OutlookScore::default(), |sum, p| sum.plus(p.score));
        let mut all = vec![("rack_peak_30min".to_owned(), peaks)];
        let first_rack = self.hosts.len();
        for (name, range) in [("host", 0..first_rack), ("rack", first_rack..self.capacity.len())] {
            let scores = self.sums.scores(range);
            all.extend(HOURS.iter().zip(scores).map(|(h, s)| (format!("{name}_{h}h"), s)));
        }
        all.into_iter().filter_map(|(name, s)| Some((name, LoadScore::new(s)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use foreshade_plan::lifecycle::{Place, Shadow};
    use foreshade_types::{Mebibytes, ShadowPhase, VmSize};

    use super::*;
    use crate::fleet_state::VmState;
    use crate::{HostSpec, RackSpec, VmSpec};

    #[test]
    fn a_peak_is_held_to_the_samples_after_it_and_to_no_other() {
        let q = |x: f32| Some(Quantiles([x; 5]));
        let mut p = Peaks::default();
        // Said at 10: 30, and the next two samples are 20 and 30; at 20: 31, and 30 and 5; at 30: 5, and 5 and 4.
        let ticks =
            [(10.0, q(30.0)), (20.0, q(31.0)), (30.0, q(5.0)), (5.0, q(1.0)), (4.0, None), (f32::NAN, None)];
        for (load, said) in ticks {
            p.tick(load, said, 2);
        }
        assert_eq!((p.score.n, p.score.inside, p.score.above), (3, 2, 0));
        p.tick(5.0, None, 2);
        assert_eq!(p.score.n, 3, "an unknown sample is no outcome");
    }

    /// Two hosts of 10 cores in a rack, with two VMs on the first.
    fn rack() -> (CoreConfig, FleetState) {
        let size = VmSize { cpu: Millicores(4000), memory: Mebibytes(1024) };
        let host = |id| HostSpec::general(HostId(id), Millicores(10_000), Mebibytes(65_536));
        let vm = |name: &str| VmSpec {
            name: name.into(),
            size,
            host: HostId(0),
            customer: None,
            care: Default::default(),
        };
        let config = CoreConfig {
            epoch: 1,
            cadence_s: 300,
            racks: vec![RackSpec { id: RackId(0), hosts: vec![host(0), host(1)] }],
            vms: vec![vm("a"), vm("b")],
            resources: vec![],
            manages_memory: false,
            first_decision: Tick(0),
            last: Tick(9),
            policy: foreshade_plan::Policy::default(),
            site: foreshade_plan::Site::default(),
            backend: "cpu".into(),
            threads: 1,
            follow: None,
        };
        let mut fleet = FleetState(vec![VmState::new(size, HostId(0)), VmState::new(size, HostId(0))]);
        for (vm, mc) in fleet.0.iter_mut().zip([1000, 3000]) {
            (vm.cpu_demand, vm.last_sample) = (Millicores(mc), Some(Tick(5)));
        }
        (config, fleet)
    }

    #[test]
    fn a_load_follows_its_share_and_silence_is_no_load() {
        let (config, mut fleet) = rack();
        let mut a = Ahead::new(&config, 6);
        assert_eq!(
            (a.add_up(Tick(5), &config, &fleet), &a.load_mc[..]),
            (vec![20.0], &[4000.0, 0.0, 4000.0][..])
        );
        let place = |n| Place { host: HostId(n), domain: n };
        let size = fleet.0[1].size.into();
        let (shadow, _) = Shadow::request(place(0), place(1), size, 0).unwrap();
        fleet.0[1].shadow = Some(Shadow { phase: ShadowPhase::Active, share_percent: 50, ..shadow });
        a.add_up(Tick(5), &config, &fleet);
        assert_eq!(a.load_mc, [2500.0, 1500.0, 4000.0]);
        // One of two is silent: it counts as before. Both are: nothing is known.
        fleet.0[0].last_sample = Some(Tick(6));
        assert_eq!(a.add_up(Tick(6), &config, &fleet), [20.0]);
        assert!(
            a.add_up(Tick(7), &config, &fleet)[0].is_nan() && a.load_mc[0].is_nan() && a.load_mc[1] == 1500.0
        );
    }
}
