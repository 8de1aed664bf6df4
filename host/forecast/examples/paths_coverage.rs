//! How well three bounds on the 30-min CPU peak of a host of 20 VMs hold, and how much room they take:
//! `cargo run --release -p foreshade-forecast --example paths_coverage -- INPUT.parquet [STRIDE [pool]]`.
//!
//! Hosts are drawn from the series that start at the same time (`pool`: from all, side by side by their sample number, for
//! sets of single days), eight times over, each series at most once per draw. All VMs have 4 cores. Beside the bounds of
//! what-ifs stands the host's own series, which no what-if has.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Instant;

use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::aggregate::SumPath;
use foreshade_forecast::lstm::LstmModel;
use foreshade_forecast::paths::{Ahead, PathSum, Paths, Stretch};
use foreshade_forecast::{Fleet, FleetConfig, SeriesProfile, WINDOW, key};
use foreshade_telemetry::History;
use foreshade_telemetry::trace::Trace;
use foreshade_types::{Horizon, Quantiles, Resource};

const VMS: usize = 20;
const REPEATS: u64 = 8;
const STEPS: usize = 6;
const DRAWS: usize = WINDOW - STEPS;
/// Millicores of a point of a VM with 4 cores.
const UNIT: f32 = 40.0;
const HORIZONS: [Horizon; 3] = [Horizon::Peak(6), Horizon::Step(1), Horizon::Step(6)];

/// What one method said, and what came.
#[derive(Default)]
struct Said {
    /// Bound less peak, points of the host.
    over: Vec<f64>,
    /// Chance of a peak above the host's capacity, and whether it came.
    chances: Vec<(f64, bool)>,
}

impl Said {
    fn line(&self, method: &str) -> String {
        let n = self.over.len() as f64;
        let mean = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>() / n;
        let missed = 100.0 * self.over.iter().filter(|o| **o < 0.0).count() as f64 / n;
        let room = mean(&mut self.over.iter().copied());
        let loss = mean(&mut self.over.iter().map(|o| if *o < 0.0 { -0.95 * o } else { 0.05 * o }));
        let mut sorted = self.over.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at_5 = room - sorted[(0.05 * n) as usize];
        let line = format!("{method} | {missed:.1} | {room:.2} | {at_5:.2} | {loss:.3}");
        if self.chances.is_empty() {
            return format!("| {line} | | |");
        }
        let said = mean(&mut self.chances.iter().map(|(p, _)| *p));
        let came = mean(&mut self.chances.iter().map(|(_, y)| f64::from(u8::from(*y))));
        let brier = mean(&mut self.chances.iter().map(|(p, y)| (p - f64::from(u8::from(*y))).powi(2)));
        format!("| {line} | {:.1} of {:.1} | {brier:.4} |", 100.0 * said, 100.0 * came)
    }
}

/// A host: its VMs, the demand of each sample (NaN where one is not known), and a capacity that one peak in ten exceeds.
struct Host {
    vms: Vec<usize>,
    demand: Vec<f32>,
    capacity: f32,
    paths: Learnt,
    sum_path: Learnt,
}

/// A stretch and the bounds it gave in the last ticks, oldest first.
#[derive(Default)]
struct Learnt {
    stretch: Stretch,
    pending: VecDeque<f32>,
}

impl Learnt {
    /// Takes the peak of the oldest bound if its half hour is over and all known, and keeps the newest.
    fn learn(&mut self, newest: Quantiles, peak: Option<f32>) {
        self.pending.push_back(self.stretch.bounds(newest).q95());
        if self.pending.len() > STEPS
            && let (Some(old), Some(peak)) = (self.pending.pop_front(), peak)
        {
            self.stretch.learn(peak > old);
        }
    }
}

impl Host {
    fn new(vms: &[usize], usage: &[Vec<f32>]) -> Self {
        let len = vms.iter().map(|v| usage[*v].len()).min().unwrap_or(0);
        let demand: Vec<f32> = (0..len).map(|t| vms.iter().map(|v| usage[*v][t]).sum()).collect();
        let mut host = Self {
            vms: vms.to_vec(),
            demand,
            capacity: 0.0,
            paths: Learnt::default(),
            sum_path: Learnt::default(),
        };
        let mut peaks: Vec<f32> = (0..len).filter_map(|t| host.peak(t)).collect();
        peaks.sort_unstable_by(f32::total_cmp);
        host.capacity = peaks.get(peaks.len() * 9 / 10).copied().unwrap_or(0.0);
        host
    }

    /// The largest demand after `t`, if all of it is known.
    fn peak(&self, t: usize) -> Option<f32> {
        let next = self.demand.get(t + 1..=t + STEPS)?;
        next.iter().all(|x| !x.is_nan()).then(|| next.iter().copied().fold(0.0, f32::max))
    }
}

fn hosts(trace: &Trace, usage: &[Vec<f32>], pool: bool) -> Vec<Host> {
    let mut groups: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (i, vm) in trace.vms.iter().enumerate() {
        groups.entry(if pool { 0 } else { vm.start_ms }).or_default().push(i);
    }
    let mut hosts = Vec::new();
    for repeat in 0..REPEATS {
        for group in groups.values() {
            let mut order = group.clone();
            order.sort_by_key(|v| key(&format!("{repeat}/{}", trace.vms[*v].name)));
            hosts.extend(order.chunks_exact(VMS).map(|vms| Host::new(vms, usage)));
        }
    }
    hosts
}

/// Everything that is stepped along the trace.
struct Run {
    fleet: Fleet,
    history: History,
    paths: Paths,
    sum: PathSum,
    said: BTreeMap<&'static str, Said>,
    /// Peaks of single VMs: above the 95 % of their forecast, of their draws, of all.
    vms: [u64; 3],
    draw_s: f64,
    drawn: u64,
    sum_s: f64,
    sums: u64,
}

impl Run {
    fn put(&mut self, method: &'static str, bound: f32, peak: f32, chance: Option<(f32, f32)>) {
        let said = self.said.entry(method).or_default();
        said.over.push(f64::from(bound - peak) / f64::from(UNIT * VMS as f32));
        said.chances.extend(chance.map(|(p, capacity)| (f64::from(p), peak > capacity)));
    }

    fn draw(&mut self, vm: usize, name: u64) {
        let q = &self.fleet.latest()[vm].quantiles;
        let ahead = [(1, q[1]), (STEPS as u32, q[2])];
        let ahead = ahead.map(|(step, q)| Ahead { step, quantiles: Quantiles(q.0.map(|x| x * UNIT)) });
        let start = Instant::now();
        self.paths.draw(vm, name, self.history.of(vm), &ahead);
        self.draw_s += start.elapsed().as_secs_f64();
        self.drawn += 1;
    }

    fn sum_path(&self, host: &Host) -> SumPath {
        let mut sum = SumPath::new(WINDOW);
        host.vms.iter().for_each(|v| sum.add(self.history.of(*v)));
        sum
    }

    /// The draws' peak of a host.
    fn peak(&mut self, host: &Host) -> Quantiles {
        self.sum.clear();
        host.vms.iter().for_each(|v| self.sum.add(self.paths.of(*v)));
        self.sum.peak()
    }

    fn judge(&mut self, host: &Host, own: usize, t: usize, usage: &[Vec<f32>]) {
        let Some(peak) = host.peak(t) else { return };
        let latest = self.fleet.latest();
        let bounds: f32 = host.vms.iter().map(|v| latest[*v].quantiles[0].q95() * UNIT).sum();
        let own = latest[own].quantiles[0].q95() * UNIT * VMS as f32;
        self.put("sum of the VMs' bounds", bounds, peak, None);
        let old = self.sum_path(host);
        let chance = rises_above(&old, &host.vms, &self.history, host.capacity);
        let q = old.peak(STEPS);
        self.put("SumPath", q.q95(), peak, Some((chance, host.capacity)));
        self.put("SumPath, stretched", host.sum_path.stretch.bounds(q).q95(), peak, None);
        let start = Instant::now();
        let q = self.peak(host);
        let chance = self.sum.exceeds(host.capacity);
        self.sum_s += start.elapsed().as_secs_f64();
        self.sums += 1;
        self.put("sample paths", q.q95(), peak, Some((chance, host.capacity)));
        let chance = self.sum.exceeds(host.paths.stretch.capacity(&q, host.capacity));
        self.put(
            "sample paths, stretched",
            host.paths.stretch.bounds(q).q95(),
            peak,
            Some((chance, host.capacity)),
        );
        self.put("(own series, no what-ifs)", own, peak, None);
        for &v in &host.vms {
            let y = usage[v][t + 1..=t + STEPS].iter().copied().fold(0.0, f32::max);
            self.sum.clear();
            self.sum.add(self.paths.of(v));
            self.vms[0] += u64::from(y > self.fleet.latest()[v].quantiles[0].q95() * UNIT);
            self.vms[1] += u64::from(y > self.sum.peak().q95());
            self.vms[2] += 1;
        }
    }
}

/// The share of a host's past rises that would take it above a capacity from where it is.
fn rises_above(sum: &SumPath, vms: &[usize], history: &History, capacity: f32) -> f32 {
    let n = vms.iter().map(|v| history.of(*v).len()).min().unwrap_or(0);
    let of = |i: usize| vms.iter().map(|v| history.of(*v)[i]).sum::<f32>();
    let series: Vec<f32> = (0..n).map(of).collect();
    let rise = |w: &[f32]| w[1..].iter().copied().fold(f32::NEG_INFINITY, f32::max) - w[0];
    let above = series.windows(STEPS + 1).filter(|w| sum.now() as f32 + rise(w) > capacity).count();
    above as f32 / series.len().saturating_sub(STEPS).max(1) as f32
}

fn start(trace: &Trace, hosts: usize) -> Result<Run, Box<dyn std::error::Error>> {
    let own = (0..hosts).map(|i| format!("host {i}"));
    let names = trace.vms.iter().map(|v| v.name.clone()).chain(own);
    let config = FleetConfig {
        series: names.map(|n| SeriesProfile { key: key(&n), ..Resource::Cpu.into() }).collect(),
        horizons: HORIZONS.to_vec(),
        cadence_s: trace.cadence_s,
        threads: 1,
    };
    let engine = open("cpu", &OpenOptions::default())?;
    Ok(Run {
        fleet: Fleet::new(config, Some(LstmModel::shipped()?.into()), engine)?,
        history: History::new(trace.vms.len(), WINDOW),
        paths: Paths::new(trace.vms.len(), DRAWS, STEPS),
        sum: PathSum::new(DRAWS, STEPS),
        said: BTreeMap::new(),
        vms: [0; 3],
        draw_s: 0.0,
        drawn: 0,
        sum_s: 0.0,
        sums: 0,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let input = args.first().ok_or("usage: paths_coverage INPUT.parquet [STRIDE [pool]]")?;
    let stride: usize = args.get(1).map_or(Ok(7), |v| v.parse())?;
    let trace = Trace::read(Path::new(input))?;
    let points: Vec<Vec<f32>> =
        (0..trace.vms.len()).map(|v| trace.points(v, Resource::Cpu).unwrap_or_default()).collect();
    let usage: Vec<Vec<f32>> =
        points.iter().map(|p| p.iter().map(|x| (x * UNIT).round()).collect()).collect();
    let mut hosts = hosts(&trace, &usage, args.get(2).is_some());
    let mut run = start(&trace, hosts.len())?;
    for t in 0..usage.iter().map(Vec::len).max().unwrap_or(0) {
        let of = |v: &Vec<f32>| v.get(t).copied().unwrap_or(f32::NAN);
        let own = hosts.iter().map(|h| of(&h.demand) / (UNIT * VMS as f32));
        let now: Vec<f32> = points.iter().map(of).chain(own).collect();
        run.fleet.step(&now)?;
        run.history.push(usage.iter().map(of));
        if t < WINDOW {
            continue;
        }
        (0..usage.len()).for_each(|v| run.draw(v, key(&trace.vms[v].name)));
        for (i, host) in hosts.iter_mut().enumerate() {
            if t >= WINDOW + STEPS && t.is_multiple_of(stride) {
                run.judge(host, usage.len() + i, t, &usage);
            }
            let came = host.peak(t - STEPS);
            host.paths.learn(run.peak(host), came);
            host.sum_path.learn(run.sum_path(host).peak(STEPS), came);
        }
    }
    println!("{input}: {} hosts of {VMS} VMs, {} peaks, {DRAWS} draws", hosts.len(), run.sums);
    println!(
        "| bound | missed % | room | room at 5 % missed | pinball of q95 | chance said, of came % | Brier |"
    );
    run.said.iter().for_each(|(method, said)| println!("{}", said.line(method)));
    let [forecast, drawn, n] = run.vms.map(|v| v as f64);
    println!(
        "one VM's peak above q95: of its forecast {:.1} %, of its draws {:.1} %",
        100.0 * forecast / n,
        100.0 * drawn / n
    );
    let (draw, sum) = (run.draw_s / run.drawn as f64, run.sum_s / run.sums as f64);
    println!("{:.1} us to draw a VM, {:.1} us to sum {VMS} and read bound and chance", draw * 1e6, sum * 1e6);
    Ok(())
}
