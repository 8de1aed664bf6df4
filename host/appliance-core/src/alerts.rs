//! Samples that are not like those before: one group of detectors per VM over its resources, one alert per episode.
//!
//! An alert is for people: nothing acts on it. What is missing is never strange, and neither is anything of a VM that was seen
//! for less than a day (its detectors only learn) or before the first decision. See [`foreshade_forecast::anomaly`] for what the
//! evidence is and what its rate of false alarms promises.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;

use foreshade_forecast::anomaly::{Anomaly, Config, Group, Kind};
use foreshade_types::{HostId, Resource, Tick, VmId};
use serde::{Deserialize, Serialize};

use crate::CoreConfig;
use crate::fleet_state::FleetState;

/// False alarms that each VM is allowed, all its resources together: one in 30 days. Rarer ones would hide a burst from a
/// VM that is known for days only.
pub const FALSE_ALARMS_PER_VM_DAY: f64 = 1.0 / 30.0;

/// An episode is over when nothing alarmed for six hours.
const EPISODE_S: u64 = 6 * 3600;

/// A VM is cold as long as fewer samples than a day has are known of it: what its hours are like cannot be known yet.
const COLD_S: u32 = 24 * 3600;

/// VMs below which a thread costs more than it saves.
const CHUNK: usize = 256;

/// A VM that behaves as it never did: the first sample of an episode at which that is certain enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// When it was raised.
    pub tick: Tick,
    /// Whose.
    pub vm: VmId,
    /// Where it ran.
    pub host: HostId,
    /// The resource at fault: the one with the most surprise.
    pub resource: Resource,
    /// What it looks like.
    pub kind: Kind,
    /// Expected false alarms per sample of this strength, all resources together.
    pub p_value: f64,
    /// Evidence, decades.
    pub decades: f64,
    /// The sample it began with.
    pub since: Tick,
}

impl Alert {
    /// Resource and kind: `cpu spike`.
    pub fn what(&self) -> String {
        format!("{} {}", self.resource, self.kind.name())
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let once = 1.0 / self.p_value.max(f64::MIN_POSITIVE);
        write!(f, "{} on {}: {} since {}", self.vm, self.host, self.what(), self.since)?;
        write!(f, ", by chance once in {once:.0} samples ({:.1} decades of evidence)", self.decades)
    }
}

/// The object `anomalies` of the report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AnomalyReport {
    /// Episodes that were alerted.
    pub alerts: u64,
    /// Days of VMs that were watched: since the first decision, and no longer cold.
    pub vm_days: f64,
    /// False alarms per day that each VM is allowed.
    pub stated_per_vm_day: f64,
    /// Alerts by resource and kind (`cpu spike`).
    pub by_kind: BTreeMap<String, KindReport>,
}

/// Alerts of one resource and kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindReport {
    /// How many.
    pub alerts: u64,
    /// The newest.
    pub latest: Alert,
}

/// What an episode is about: the metric, and whether it went up (1), down (-1) or neither.
type Subject = (usize, i8);

fn subject(a: &Anomaly) -> Subject {
    let way = match a.kind {
        Kind::Spike | Kind::Rise => 1,
        Kind::Dip | Kind::Fall => -1,
        Kind::Unrest | Kind::Calm | Kind::Flat => 0,
    };
    (metric(a), way)
}

/// Does an alarm belong to an episode? A burst leaves unrest behind, but what then falls is news.
fn belongs(alarm: Subject, to: Subject) -> bool {
    alarm.0 == to.0 && alarm.1 * to.1 >= 0
}

fn metric(a: &Anomaly) -> usize {
    a.metrics.first().map_or(0, |b| b.metric)
}

/// One VM.
#[derive(Debug)]
struct Watched {
    group: Group,
    /// Samples known of it.
    known: u32,
    /// What the episode is about, and its newest alarm.
    episode: Option<(Subject, Tick)>,
}

impl Watched {
    /// An alarm that begins an episode; none while the VM is cold.
    fn observe(&mut self, tick: Tick, values: &[f32], t: &Times) -> Option<Anomaly> {
        let cold = self.known < t.cold;
        self.known = self.known.saturating_add(u32::from(values.iter().any(|v| v.is_finite())));
        let alarm = self.group.observe(values, None).filter(|_| !cold)?;
        let about = subject(&alarm);
        let goes_on =
            self.episode.is_some_and(|(s, last)| belongs(about, s) && tick.since(last) <= t.episode);
        let of = self.episode.filter(|_| goes_on).map_or(about, |(s, _)| s);
        self.episode = Some((of, tick));
        (!goes_on).then_some(alarm)
    }
}

/// In ticks.
#[derive(Debug, Clone, Copy)]
struct Times {
    episode: u64,
    cold: u32,
}

/// All VMs.
#[derive(Debug)]
pub(crate) struct Alerts {
    /// Empty where no detector can be made.
    vms: Vec<Watched>,
    threads: usize,
    times: Times,
    ticks_per_day: f64,
    vm_ticks: u64,
    report: AnomalyReport,
}

impl Alerts {
    pub(crate) fn new(config: &CoreConfig) -> Self {
        let metrics = config.resources.len();
        let group = |vm: usize| {
            let c = Config {
                false_alarms_per_day: FALSE_ALARMS_PER_VM_DAY,
                cadence_s: config.cadence_s,
                least: Config::POINTS,
                seed: vm as u64,
            };
            Group::new(c, metrics).ok().map(|group| Watched { group, known: 0, episode: None })
        };
        let report = AnomalyReport { stated_per_vm_day: FALSE_ALARMS_PER_VM_DAY, ..AnomalyReport::default() };
        Self {
            vms: (0..config.vms.len()).map_while(group).collect(),
            threads: config.threads.max(1),
            times: Times {
                episode: EPISODE_S / u64::from(config.cadence_s.max(1)),
                cold: COLD_S / config.cadence_s.max(1),
            },
            ticks_per_day: 86_400.0 / f64::from(config.cadence_s.max(1)),
            vm_ticks: 0,
            report,
        }
    }

    /// Takes the samples of a tick in points, by resource and then VM (NaN = missing). `since`: nothing is said before.
    pub(crate) fn tick(
        &mut self,
        tick: Tick,
        since: Tick,
        resources: &[Resource],
        points: &[f32],
        fleet: &FleetState,
    ) -> Vec<Alert> {
        let begun = self.observe(tick, resources.len(), points);
        if tick < since {
            return vec![];
        }
        self.vm_ticks += self.vms.iter().filter(|w| w.known > self.times.cold).count() as u64;
        let alert = |(vm, a): (usize, Anomaly)| {
            Some(Alert {
                tick,
                vm: VmId(vm as u32),
                host: fleet.0.get(vm)?.host,
                resource: *resources.get(metric(&a))?,
                kind: a.kind,
                p_value: a.p_value,
                decades: a.score,
                since: Tick(a.since),
            })
        };
        let alerts: Vec<Alert> = begun.into_iter().filter_map(alert).collect();
        for a in &alerts {
            self.report.alerts += 1;
            let new = || KindReport { alerts: 0, latest: a.clone() };
            let kind = self.report.by_kind.entry(a.what()).or_insert_with(new);
            kind.alerts += 1;
            kind.latest.clone_from(a);
        }
        alerts
    }

    /// Alarms that begin an episode, by VM. Each VM is by itself: threads show nowhere.
    fn observe(&mut self, tick: Tick, metrics: usize, points: &[f32]) -> Vec<(usize, Anomaly)> {
        let (n, times) = (self.vms.len(), self.times);
        let part = |first: usize, vms: &mut [Watched]| {
            let mut values = vec![f32::NAN; metrics];
            let mut begun = vec![];
            for (i, w) in vms.iter_mut().enumerate() {
                for (r, v) in values.iter_mut().enumerate() {
                    *v = points.get(r * n + first + i).copied().unwrap_or(f32::NAN);
                }
                begun.extend(w.observe(tick, &values, &times).map(|a| (first + i, a)));
            }
            begun
        };
        let size = n.div_ceil(self.threads).max(CHUNK);
        if n <= size {
            return part(0, &mut self.vms);
        }
        let part = &part;
        thread::scope(|s| {
            let chunks = self.vms.chunks_mut(size).enumerate();
            let running: Vec<_> = chunks.map(|(i, vms)| s.spawn(move || part(i * size, vms))).collect();
            // A thread that ended early had a defect: its alarms are lost, the others' are not.
            running.into_iter().flat_map(|t| t.join().unwrap_or_default()).collect()
        })
    }

    pub(crate) fn report(&self) -> AnomalyReport {
        AnomalyReport { vm_days: self.vm_ticks as f64 / self.ticks_per_day, ..self.report.clone() }
    }
}

#[cfg(test)]
mod tests {
    use foreshade_plan::Policy;
    use foreshade_types::{Mebibytes, Millicores, VmSize};

    use super::*;
    use crate::VmSpec;
    use crate::fleet_state::VmState;

    const RESOURCES: [Resource; 2] = [Resource::Cpu, Resource::Memory];
    const DAY: u64 = 288;

    fn alerts(vms: usize, threads: usize) -> (Alerts, FleetState) {
        let size = VmSize { cpu: Millicores(4000), memory: Mebibytes(1024) };
        let spec = |i: usize| VmSpec {
            name: i.to_string(),
            size,
            host: HostId(3),
            customer: None,
            care: Default::default(),
        };
        let config = CoreConfig {
            epoch: 1,
            cadence_s: 300,
            racks: vec![],
            vms: (0..vms).map(spec).collect(),
            resources: RESOURCES.to_vec(),
            manages_memory: false,
            first_decision: Tick(0),
            last: Tick(9),
            policy: Policy::default(),
            site: foreshade_plan::Site::default(),
            backend: "cpu".into(),
            threads,
            follow: None,
        };
        (Alerts::new(&config), FleetState(vec![VmState::new(size, HostId(3)); vms]))
    }

    /// Nearly normal noise around 30 points, the same on every machine.
    fn noise(tick: u64, series: usize) -> f32 {
        let mut z = (tick << 20) + series as u64;
        let mut unit = || {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let x = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((x ^ (x >> 31)) >> 40) as f32 / (1u64 << 24) as f32
        };
        30.0 + (0..6).map(|_| unit()).sum::<f32>() * 2.0
    }

    /// Noise with something done to it, by tick and series (resources before VMs); all alerts.
    fn run(
        vms: usize,
        threads: usize,
        ticks: u64,
        since: u64,
        of: impl Fn(u64, usize, f32) -> f32,
    ) -> (Vec<Alert>, Alerts) {
        let (mut a, fleet) = alerts(vms, threads);
        let mut all = vec![];
        for t in 0..ticks {
            let points: Vec<f32> = (0..vms * RESOURCES.len()).map(|s| of(t, s, noise(t, s))).collect();
            all.extend(a.tick(Tick(t), Tick(since), &RESOURCES, &points, &fleet));
        }
        (all, a)
    }

    #[test]
    fn an_episode_is_alerted_once_with_who_and_what() {
        let day = 5 * DAY;
        // The CPU of VM 1 bursts, and more and more every 100 min. The memory of VM 2 falls away for half an hour.
        let bursts = [(day, 60.0), (day + 20, 400.0), (day + 40, 4000.0)];
        let (all, a) = run(3, 1, 7 * DAY, 0, |t, s, x| match s {
            1 => x + bursts.iter().filter(|b| (b.0..b.0 + 3).contains(&t)).map(|b| b.1).sum::<f32>(),
            5 if (day + 50..day + 56).contains(&t) => x - 28.0,
            _ => x,
        });
        let said: Vec<_> = all.iter().map(|a| (a.vm, a.resource, a.tick.0)).collect();
        assert_eq!(said.len(), 2, "{all:?}");
        let at = |vm, r, from: u64| {
            said.iter().filter(|s| s.0 == VmId(vm) && s.1 == r && (from..from + 6).contains(&s.2)).count()
        };
        assert_eq!([at(1, RESOURCES[0], day), at(2, RESOURCES[1], day + 50)], [1; 2], "{all:?}");
        let first = all.iter().find(|a| a.vm == VmId(1)).unwrap();
        assert!(
            matches!(first.kind, Kind::Spike | Kind::Rise) && (day..day + 4).contains(&first.since.0),
            "{first:?}"
        );
        assert!(first.p_value < 1e-4 && first.decades > 4.0 && first.host == HostId(3), "{first:?}");
        let text = first.to_string();
        assert!(
            text.starts_with(&format!(
                "vm1 on host3: {} since t{}, by chance once in",
                first.what(),
                first.since.0
            )),
            "{text}"
        );
        let fall = all.iter().find(|a| a.vm == VmId(2)).unwrap();
        assert!(matches!(fall.kind, Kind::Dip | Kind::Fall), "{fall:?}");
        let report = a.report();
        assert_eq!((report.alerts, report.by_kind.values().map(|k| k.alerts).sum::<u64>()), (2, 2));
        // Six of seven days: the first is for learning.
        assert!((report.vm_days - 18.0).abs() < 0.02, "{}", report.vm_days);
    }

    #[test]
    fn unrest_belongs_to_a_burst_and_a_fall_does_not() {
        assert!(belongs((0, 1), (0, 1)) && belongs((0, 0), (0, 1)) && belongs((0, -1), (0, 0)));
        assert!(!belongs((0, -1), (0, 1)) && !belongs((1, 1), (0, 1)));
    }

    #[test]
    fn what_is_cold_or_missing_or_history_alerts_nobody() {
        let burst = |at: u64| {
            move |t: u64, s: usize, x: f32| if s == 0 && (at..at + 4).contains(&t) { 95.0 } else { x }
        };
        assert!(run(1, 1, 3 * DAY, 0, burst(200)).0.is_empty(), "cold: less than a day is known");
        assert_eq!(run(1, 1, 3 * DAY, 0, burst(600)).0.len(), 1);
        assert!(run(1, 1, 3 * DAY, 700, burst(600)).0.is_empty(), "before the first decision");
        // A VM of which nothing was known until the burst's day is as young as that.
        let late = |t: u64, s: usize, x: f32| if t < 500 { f32::NAN } else { burst(600)(t, s, x) };
        assert!(run(1, 1, 3 * DAY, 0, late).0.is_empty());
        let gone = |t: u64, _: usize, x: f32| {
            if (600..780).contains(&t) || t.is_multiple_of(7) { f32::NAN } else { x }
        };
        assert!(run(2, 1, 4 * DAY, 0, gone).0.is_empty(), "silence is for the health checks");
    }

    #[test]
    fn threads_show_nowhere() {
        let strange = |t: u64, s: usize, x: f32| if s % 50 == 7 && t >= 400 { x + 50.0 } else { x };
        let (one, many) = (run(600, 1, 420, 0, strange).0, run(600, 3, 420, 0, strange).0);
        assert!(one.len() >= 12, "{}", one.len());
        assert_eq!(one, many);
    }

    #[test]
    fn false_alarms_are_as_rare_as_stated() {
        let (all, a) = run(80, 1, 30 * DAY, 0, |_, _, x| x);
        let days = a.report().vm_days;
        assert!((2300.0..2400.0).contains(&days), "{days}");
        // 77 are allowed in 2,320 VM-days.
        assert!(all.len() < 77, "{} false alarms in {days} VM-days", all.len());
        println!("{} false alarms in {days:.0} VM-days of noise", all.len());
    }
}
