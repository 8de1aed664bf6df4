//! Does the replay find what events cost, and do traces lower the error?

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::replay::gain::{Loss, Study, ratio, study};
use foreshade_forecast::replay::generate::{CADENCE_S, CPU_COSTS, Tick, Truth, generate};
use foreshade_forecast::replay::{BASE, FleetCosts, Replay, ReplayConfig, ReplayError, Why};
use foreshade_types::{EventKind, Horizon, RESOURCES, Readiness, Resource, TraceData, Usage};

const HORIZONS: [Horizon; 3] = [Horizon::Peak(6), Horizon::Step(1), Horizon::Step(3)];

fn config() -> ReplayConfig {
    ReplayConfig::new(CADENCE_S, &HORIZONS)
}

fn take(replay: &mut Replay, tick: &Tick) {
    replay.observe(tick.trace.end_ms, &tick.trace, &tick.usage).unwrap();
}

fn trained(truth: &Truth, seed: u64, n: usize, fleet: Option<&FleetCosts>) -> Replay {
    let mut replay = Replay::new(&config(), fleet);
    generate(truth, seed, n).iter().for_each(|tick| take(&mut replay, tick));
    replay
}

fn compare(truth: &Truth, resource: Resource, unit: f64) -> Vec<Vec<Loss>> {
    let ticks: Vec<Vec<Tick>> = (0..6).map(|seed| generate(truth, seed, 1600)).collect();
    let s = Study {
        ticks: &ticks,
        unit: &[unit; 6],
        resource,
        cadence_s: CADENCE_S,
        horizons: &HORIZONS,
        from: 600,
        model: None,
    };
    study(&s, open("cpu", &OpenOptions::default()).unwrap()).unwrap()
}

#[test]
fn traces_lower_the_error() {
    let losses = compare(&Truth::default(), Resource::Cpu, 40.0);
    assert!(losses.iter().flatten().all(|l| l.n > 990));
    // Inputs lead their work by two ticks: one tick ahead is known, three are half known.
    for (horizon, most) in [(1, 0.65), (2, 0.8), (0, 0.9)] {
        for pick in [|l: &Loss| l.pinball, |l: &Loss| l.absolute] {
            let r = ratio(&losses, horizon, 2, pick);
            assert!(r.ratio < most && r.interval[1] < most + 0.05, "{:?}: {r:?}", HORIZONS[horizon]);
        }
    }
    let all = |pick: fn(&Loss) -> u64| losses.iter().map(|vm| pick(&vm[1])).sum::<u64>() as f64;
    let coverage = all(|l| l.inside[2]) / all(|l| l.n);
    assert!((coverage - 0.9).abs() < 0.02, "{coverage}");
}

#[test]
fn traces_that_say_nothing_cost_nothing() {
    let stranger = Truth { informative: false, ..Truth::default() };
    for (resource, unit) in [(Resource::Cpu, 40.0), (Resource::Memory, 81.92), (Resource::DiskRead, 1.0)] {
        let losses = compare(&stranger, resource, unit);
        for (horizon, name) in HORIZONS.iter().enumerate() {
            let r = ratio(&losses, horizon, 2, |l| l.pinball);
            assert!(r.ratio < 1.02, "{resource} {name:?}: {r:?}");
        }
    }
}

#[test]
fn costs_and_lag_are_found() {
    for lag in [0, 2, 3] {
        let truth = Truth { lag, ..Truth::default() };
        let mut replays: Vec<Replay> = (0..5).map(|seed| trained(&truth, 40 + seed, 3000, None)).collect();
        for (kind, cost) in CPU_COSTS {
            replays.sort_by(|a, b| a.cost(Resource::Cpu, kind).total_cmp(&b.cost(Resource::Cpu, kind)));
            let off = replays[2].cost(Resource::Cpu, kind) / cost - 1.0;
            let most = if kind == EventKind::Request { 0.05 } else { 0.2 };
            assert!(off.abs() < most, "lag {lag}, {}: off by {:.1} %", kind.name(), 100.0 * off);
        }
        assert!(replays.iter().all(|r| r.lag_ticks(Resource::Cpu) == lag), "lag {lag}");
    }
}

#[test]
fn a_drifting_cost_is_followed() {
    // The cost of a request swings by half within 2,000 ticks; the estimate must not be worse than by a steady noise.
    let truth = Truth { drift: 0.5, drift_ticks: 2000.0, ..Truth::default() };
    let steady = estimates(&Truth::default(), 3, 3000).remove(Resource::Cpu as usize);
    let drifting = estimates(&truth, 3, 3000).remove(Resource::Cpu as usize);
    let error =
        |pairs: &[(f64, f64)]| pairs.iter().map(|(e, y)| (e - y).abs()).sum::<f64>() / pairs.len() as f64;
    let mean = drifting.iter().map(|p| p.1).sum::<f64>() / drifting.len() as f64;
    assert!(error(&drifting) < 0.14 * mean, "{} of {mean}", error(&drifting));
    assert!(error(&steady) < 0.06 * mean, "{} of {mean}", error(&steady));
}

/// (estimate, true use) per resource, from inputs alone, each before its use was known. Of memory: the change.
fn estimates(truth: &Truth, seed: u64, n: usize) -> Vec<Vec<(f64, f64)>> {
    let mut replay = Replay::new(&config(), None);
    let mut pairs = vec![Vec::new(); RESOURCES.len()];
    let mut memory = 0.0;
    for (t, tick) in generate(truth, seed, n).iter().enumerate() {
        let estimate = replay.estimate(&tick.trace);
        for resource in RESOURCES {
            let base = if resource == Resource::Memory { memory } else { 0.0 };
            if t >= n / 3 {
                pairs[resource as usize]
                    .push((estimate[resource as usize].mean - base, tick.usage.of(resource) - base));
            }
        }
        memory = tick.usage.of(Resource::Memory);
        take(&mut replay, tick);
    }
    pairs
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let (a, b) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let sum = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>();
    sum(&|p| (p.0 - a) * (p.1 - b)) / (sum(&|p| (p.0 - a).powi(2)) * sum(&|p| (p.1 - b).powi(2))).sqrt()
}

#[test]
fn simulated_use_tracks_true_use() {
    for (resource, pairs) in RESOURCES.iter().zip(estimates(&Truth::default(), 8, 2400)) {
        let r = correlation(&pairs);
        assert!(r > 0.9, "{resource}: r = {r:.3}");
    }
    // The traces of another VM say nothing of this one's use.
    let stranger = Truth { informative: false, ..Truth::default() };
    let r = correlation(&estimates(&stranger, 8, 2400)[Resource::Cpu as usize]);
    assert!(r < 0.5, "{r}");
}

#[test]
fn histograms_of_io_and_memory_are_reproduced() {
    for (resource, pairs) in RESOURCES.iter().zip(estimates(&Truth::default(), 9, 3600)) {
        let distance = distance(&pairs);
        assert!(distance < 0.1, "{resource}: {distance:.3} of the mass lies in another decile");
    }
}

/// Total variation between the histograms of both, over the deciles of the true use.
fn distance(pairs: &[(f64, f64)]) -> f64 {
    let mut truth: Vec<f64> = pairs.iter().map(|p| p.1).collect();
    truth.sort_by(f64::total_cmp);
    let edges: Vec<f64> = (1..10).map(|i| truth[i * truth.len() / 10]).collect();
    let mut mass = [0.0; 10];
    for (estimate, used) in pairs {
        mass[edges.partition_point(|e| e <= estimate)] += 1.0;
        mass[edges.partition_point(|e| e <= used)] -= 1.0;
    }
    mass.iter().map(|m: &f64| m.abs()).sum::<f64>() / 2.0 / pairs.len() as f64
}

#[test]
fn the_interval_of_an_estimate_holds_what_it_promises() {
    let (mut inside, mut n) = (0, 0);
    for seed in 0..4 {
        let mut replay = Replay::new(&config(), None);
        for (t, tick) in generate(&Truth::default(), 60 + seed, 1500).iter().enumerate() {
            let e = &replay.estimate(&tick.trace)[Resource::Cpu as usize];
            if t >= 400 {
                let used = tick.usage.of(Resource::Cpu);
                inside += usize::from(e.quantiles[0] <= used && used <= e.quantiles[3]);
                n += 1;
            }
            take(&mut replay, tick);
        }
    }
    let coverage = inside as f64 / n as f64;
    assert!((coverage - 0.9).abs() < 0.03, "{coverage}");
}

#[test]
fn a_new_vm_starts_from_the_fleet() {
    let fleet: Vec<Replay> = (0..5).map(|seed| trained(&Truth::default(), seed, 1500, None)).collect();
    let fleet = FleetCosts::of(&fleet);
    let cpu = Resource::Cpu;
    let error = |fleet: Option<&FleetCosts>| {
        (0..6)
            .map(|seed| {
                let mut replay = Replay::new(&config(), fleet);
                let mut sum = 0.0;
                for tick in generate(&Truth::default(), 70 + seed, 20) {
                    sum += (replay.estimate(&tick.trace)[cpu as usize].mean - tick.usage.of(cpu)).abs();
                    take(&mut replay, &tick);
                }
                sum
            })
            .sum::<f64>()
    };
    let (alone, leaning) = (error(None), error(Some(&fleet)));
    assert!(leaning < 0.7 * alone, "{leaning} {alone}");
    let of = |fleet| {
        trained(&Truth::default(), 70, 5, fleet).estimate(&TraceData::new(30_000, 5000))[cpu as usize]
    };
    assert_eq!((of(None).readiness, of(None).why), (Readiness::Cold, Why::TooYoung));
    assert_eq!((of(Some(&fleet)).readiness, of(Some(&fleet)).why), (Readiness::Fallback, Why::FleetCosts));
    assert_eq!(FleetCosts::of(&[]), FleetCosts::default());
}

#[test]
fn an_estimate_says_how_far_it_may_be_trusted_and_why() {
    let ticks = generate(&Truth::default(), 4, 300);
    let mut replay = Replay::new(&config(), None);
    for (t, tick) in ticks.iter().enumerate() {
        let e = replay.estimate(&tick.trace)[Resource::Cpu as usize];
        let want = match t {
            ..20 => (Readiness::Cold, Why::TooYoung),
            25..50 => (Readiness::Fallback, Why::FewTicks),
            54.. => (Readiness::Ready, Why::Learned),
            _ => (e.readiness, e.why),
        };
        assert_eq!((e.readiness, e.why), want, "tick {t}");
        let lead = replay.lead(Resource::Cpu, 1);
        assert!(lead.is_none() || e.readiness != Readiness::Cold, "tick {t}");
        assert!(lead.is_some() || t < 30, "tick {t}");
        take(&mut replay, tick);
    }
    let e = replay.estimate(&ticks[299].trace)[Resource::Cpu as usize];
    assert!((e.parts.iter().sum::<f64>() - e.mean).abs() < 1e-9 * e.mean);
    assert!(e.parts[EventKind::Request as usize] > e.parts[EventKind::DiskWrite as usize]);
    assert!(e.parts[BASE] > 0.0 && e.quantiles.is_sorted());
    let silent = ticks[299].trace.with(EventKind::Request, f64::NAN);
    let e = replay.estimate(&silent)[Resource::Cpu as usize];
    assert_eq!((e.readiness, e.why), (Readiness::Fallback, Why::MissingEvents));
    assert!(e.mean.is_finite());
}

#[test]
fn records_are_taken_once_and_in_order() {
    let ticks = generate(&Truth::default(), 5, 400);
    let mut replay = Replay::new(&ReplayConfig::new(CADENCE_S, &[]), None);
    let (mut taken, mut refused) = (0, 0);
    for i in 0..50_000i64 {
        let mut tick = ticks[i as usize % ticks.len()];
        tick.trace.end_ms = (i + 1) * 5000;
        take(&mut replay, &tick);
        taken += 1;
        if i % 1000 == 0 {
            let before = format!("{replay:?}");
            let again = replay.observe(tick.trace.end_ms, &tick.trace, &tick.usage);
            assert!(matches!(again, Err(ReplayError::Order { .. })), "{again:?}");
            tick.trace.end_ms += 5000;
            let early = replay.observe(tick.trace.end_ms - 1, &tick.trace, &tick.usage);
            assert!(matches!(early, Err(ReplayError::Future { .. })), "{early:?}");
            assert_eq!(format!("{replay:?}"), before);
            refused += 2;
        }
    }
    assert_eq!((taken, refused), (50_000, 100));
}

#[test]
fn gaps_teach_nothing_and_break_nothing() {
    let ticks = generate(&Truth::default(), 6, 900);
    let (mut skipped, mut empty) = (Replay::new(&config(), None), Replay::new(&config(), None));
    for (t, tick) in ticks.iter().enumerate() {
        if t % 97 >= 90 {
            let nothing = Tick { trace: TraceData::new(tick.trace.end_ms, 5000), usage: Usage::UNKNOWN };
            take(&mut empty, &nothing);
            continue;
        }
        take(&mut skipped, tick);
        take(&mut empty, tick);
        // A tick that was not sent is a tick without content.
        assert_eq!(format!("{skipped:?}"), format!("{empty:?}"), "tick {t}");
        for h in 0..HORIZONS.len() {
            let lead = skipped.lead(Resource::Cpu, h);
            assert!(lead.is_none_or(|e| e.quantiles.iter().all(|q| q.is_finite() && *q >= 0.0)));
        }
    }
    let off = skipped.cost(Resource::Cpu, EventKind::Request) / 6.0 - 1.0;
    assert!(off.abs() < 0.1, "{off}");
}

#[test]
fn its_sources_reach_for_nothing_outside() {
    const OUTSIDE: [&str; 9] = [
        "std::fs",
        "std::net",
        "std::io",
        "std::os",
        "std::process",
        "std::thread",
        "std::env",
        "unsafe",
        "extern",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/replay");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.len() > 8);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let found = OUTSIDE.iter().find(|word| text.contains(**word));
        assert_eq!(found, None, "{}", path.display());
    }
}
