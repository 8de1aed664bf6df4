//! What traces add to the forecast: `cargo run --release -p foreshade-forecast --example replay_gain`.
//!
//! Made-up VMs with known costs, then, with FORESHADE_DATA set, recorded ones. `made`, `recorded` or `speed` as
//! argument runs one of them, and `dev` the part of the records that choices were made on.

use std::time::Instant;

use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::replay::gain::{Loss, Study, ratio, study};
use foreshade_forecast::replay::generate::{CADENCE_S, CPU_COSTS, Tick, Truth, generate};
use foreshade_forecast::replay::{FleetCosts, Replay, ReplayConfig};
use foreshade_types::{Horizon, Resource};

mod recorded;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const HORIZONS: [Horizon; 4] = [Horizon::Peak(6), Horizon::Step(1), Horizon::Step(3), Horizon::Step(6)];
const VMS: u64 = 24;
const TICKS: usize = 4000;

fn print(name: &str, horizons: &[Horizon], losses: &[Vec<Loss>]) {
    for (h, horizon) in horizons.iter().enumerate() {
        let n: u64 = losses.iter().map(|vm| vm[h].n).sum();
        let per = |pick: &dyn Fn(&Loss) -> f64| losses.iter().map(|vm| pick(&vm[h])).sum::<f64>() / n as f64;
        let (alone, both) = (ratio(losses, h, 1, |l| l.pinball), ratio(losses, h, 2, |l| l.pinball));
        let median = ratio(losses, h, 2, |l| l.absolute);
        println!(
            "{name:<26} {:<8} {n:>8} {:>8.3} {:>7.3} {:>7.3} [{:.3}, {:.3}] {:>7.3} [{:.3}, {:.3}] {:>6.3} {:>6.3}",
            format!("{horizon:?}"),
            per(&|l| l.pinball[0]),
            alone.ratio,
            both.ratio,
            both.interval[0],
            both.interval[1],
            median.ratio,
            median.interval[0],
            median.interval[1],
            per(&|l| l.inside[0] as f64),
            per(&|l| l.inside[2] as f64),
        );
    }
}

fn heading() {
    println!("pinball in points; ratios to metrics alone, 95 % bootstrap interval over VMs in brackets");
    println!(
        "{:<26} {:<8} {:>8} {:>8} {:>7} {:>22} {:>22} {:>6} {:>6}",
        "case", "horizon", "n", "metrics", "replay", "both: pinball", "both: MAE", "cov90", "both"
    );
}

fn made(name: &str, truth: &Truth) -> Outcome {
    let ticks: Vec<Vec<Tick>> = (0..VMS).map(|s| generate(truth, 100 + s, TICKS)).collect();
    for resource in [Resource::Cpu, Resource::Memory, Resource::DiskRead, Resource::NetTx] {
        let unit = match resource {
            Resource::Cpu => 40.0,
            Resource::Memory => 81.92,
            _ => 1.0,
        };
        let study_of = Study {
            ticks: &ticks,
            unit: &vec![unit; ticks.len()],
            resource,
            cadence_s: CADENCE_S,
            horizons: &HORIZONS,
            from: 1000,
            model: None,
        };
        let losses = study(&study_of, open("cpu", &OpenOptions::default())?)?;
        print(&format!("{name} {resource}"), &HORIZONS, &losses);
    }
    Ok(())
}

/// Median over the VMs of the relative error of each CPU cost, and the lag found.
fn costs(name: &str, truth: &Truth) -> Outcome {
    let config = ReplayConfig::new(CADENCE_S, &HORIZONS);
    let mut errors = vec![Vec::new(); CPU_COSTS.len()];
    let (mut lags, mut trained) = (0, Vec::new());
    for seed in 0..VMS {
        let mut replay = Replay::new(&config, None);
        for tick in generate(truth, 100 + seed, TICKS) {
            replay.observe(tick.trace.end_ms, &tick.trace, &tick.usage)?;
        }
        for (errors, (kind, cost)) in errors.iter_mut().zip(CPU_COSTS) {
            errors.push((replay.cost(Resource::Cpu, kind) / (cost * truth.weight) - 1.0).abs());
        }
        lags += usize::from(replay.lag_ticks(Resource::Cpu) == truth.lag);
        trained.push(replay);
    }
    let median = |v: &mut Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v[v.len() / 2]
    };
    let each: Vec<String> = errors
        .iter_mut()
        .zip(CPU_COSTS)
        .map(|(e, (kind, _))| format!("{} {:.1} %", kind.name(), 100.0 * median(e)))
        .collect();
    println!(
        "{name}: median error of a cost: {}; lag {} found on {lags} of {VMS}",
        each.join(", "),
        truth.lag
    );
    newcomer(name, truth, &FleetCosts::of(&trained));
    Ok(())
}

/// Mean error of the estimate over the first ticks of VMs that nobody has seen, with the fleet's costs and without.
fn newcomer(name: &str, truth: &Truth, fleet: &FleetCosts) {
    let config = ReplayConfig::new(CADENCE_S, &HORIZONS);
    let mut line = format!("{name}: new VM, mean CPU error of the estimate, millicores:");
    for range in [1..10, 10..30, 30..100, 100..500] {
        let mut sums = [0.0; 2];
        for (sum, fleet) in sums.iter_mut().zip([None, Some(fleet)]) {
            for seed in 0..VMS {
                let mut replay = Replay::new(&config, fleet);
                for (t, tick) in generate(truth, 900 + seed, range.end).iter().enumerate() {
                    let estimate = replay.estimate(&tick.trace)[Resource::Cpu as usize];
                    if range.contains(&t) {
                        *sum += (estimate.mean - tick.usage.of(Resource::Cpu)).abs();
                    }
                    let _ = replay.observe(tick.trace.end_ms, &tick.trace, &tick.usage);
                }
            }
        }
        let n = (range.len() as u64 * VMS) as f64;
        line += &format!(" ticks {range:?} alone {:.0}, with the fleet {:.0};", sums[0] / n, sums[1] / n);
    }
    println!("{line}");
}

/// Seconds this thread has been on a processor, where the system tells; else the clock.
fn busy_s(start: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ns = told.and_then(|t| t.split(' ').next()?.parse::<f64>().ok());
    ns.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

fn speed() -> Outcome {
    let config = ReplayConfig::new(CADENCE_S, &HORIZONS);
    let ticks = generate(&Truth::default(), 1, 20_000);
    let mut best = f64::INFINITY;
    let start = Instant::now();
    for _ in 0..5 {
        let mut replay = Replay::new(&config, None);
        let before = busy_s(start);
        for tick in &ticks {
            replay.observe(tick.trace.end_ms, &tick.trace, &tick.usage)?;
        }
        best = best.min(busy_s(start) - before);
        assert!(replay.is_ready(Resource::Cpu));
    }
    let per_s = ticks.len() as f64 / best;
    println!(
        "speed, one core, processor time: {:.0} VM ticks/s ({:.2} us), {:.0} VM x resource updates/s: 6 resources x (4 lags + the short memory), {} horizons",
        per_s,
        1e6 / per_s,
        6.0 * per_s,
        HORIZONS.len()
    );
    Ok(())
}

fn main() -> Outcome {
    let part = std::env::args().nth(1).unwrap_or_default();
    let drifting = Truth { drift: 0.5, ..Truth::default() };
    heading();
    if part.is_empty() || part == "made" {
        made("known truth", &Truth::default())?;
        made("drifting cost", &drifting)?;
        made("no lag", &Truth { lag: 0, ..Truth::default() })?;
        made("other VM's traces", &Truth { informative: false, ..Truth::default() })?;
        costs("known truth", &Truth::default())?;
        costs("drifting cost (end of a swing)", &drifting)?;
    }
    if part != "recorded" && part != "dev" {
        speed()?;
    }
    if part != "made" && part != "speed" {
        recorded::all(part == "dev", print)?;
    }
    Ok(())
}
