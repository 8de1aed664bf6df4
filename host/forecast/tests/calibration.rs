//! Do the intervals keep what they promise, and what becomes of gaps?

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{HORIZONS, Lcg, fleet, usage};
use foreshade_forecast::{ForecastError, Held, ResourceScore, Scorer};
use foreshade_types::{Horizon, Quantiles, Readiness, Resource, SeriesForecast, VmClass};

/// Runs a fleet over series and scores every tick from `from` on.
fn score(series: &[Vec<f32>], cadence_s: u32, from: usize, model: bool) -> ResourceScore {
    let mut fleet = fleet(series.len(), cadence_s, 1, model);
    let mut scorer = Scorer::new(vec![Resource::Cpu; series.len()], &HORIZONS, &[1, 6, 12]);
    for t in 0..series[0].len() {
        let points: Vec<f32> = series.iter().map(|s| s[t]).collect();
        let forecasts = fleet.step(&points).unwrap();
        scorer.tick(&points, (t >= from).then_some(forecasts));
    }
    scorer.report()["cpu"]
}

#[test]
fn coverage_holds_while_the_noise_comes_and_goes() {
    // The spread swings between 1 and 9 points within two windows: no interval from the window alone keeps up.
    let series: Vec<Vec<f32>> = (0..6)
        .map(|s| {
            let mut g = Lcg(s + 1);
            let sd = |t: usize| 5.0 + 4.0 * (t as f32 / 45.0 + s as f32).sin();
            (0..2000).map(|t| (50.0 + sd(t) * g.normal()).max(0.0)).collect()
        })
        .collect();
    // Where the model speaks, shifts are slower: 2.1 points are missing here, none on recorded series.
    for (cadence_s, model, within) in [(60, false, 0.02), (300, true, 0.025)] {
        let s = score(&series, cadence_s, 200, model);
        assert!(s.n > 10_000);
        assert!((s.coverage90 - 0.90).abs() < within, "{s:?}");
        assert!((s.peak_violations95 - 0.05).abs() < 0.02, "{s:?}");
    }
}

/// Steps after which bounds hold again: one hour at 300 s.
const HOLDS_STEPS: usize = 12;
/// Steps after which they are no wider than they must be: the change of level is seen after 18, and what was before forgotten.
const TIGHT_STEPS: usize = 24;

#[test]
fn a_drift_is_absorbed_in_a_stated_number_of_steps() {
    const SERIES: usize = 60;
    const DRIFT: usize = 500;
    const AFTER: usize = TIGHT_STEPS + 180;
    // Twice the level and twice the noise from one sample to the next.
    let series: Vec<Vec<f32>> = (0..SERIES as u64)
        .map(|s| {
            let mut g = Lcg(7 * s + 1);
            let at = |t: usize| if t < DRIFT { (30.0, 2.0) } else { (60.0, 4.0) };
            (0..DRIFT + AFTER + 12).map(|t| (at(t).0 + at(t).1 * g.normal()).max(0.0)).collect()
        })
        .collect();
    let mut fleet = fleet(SERIES, 300, 2, true);
    let mut missed = vec![0usize; DRIFT + AFTER];
    let mut over = vec![0f32; DRIFT + AFTER];
    for t in 0..DRIFT + AFTER {
        let points: Vec<f32> = series.iter().map(|s| s[t]).collect();
        for (s, f) in series.iter().zip(fleet.step(&points).unwrap()) {
            let peak = s[t + 1..=t + 6].iter().copied().fold(0.0, f32::max);
            let bound = f.quantiles[0].q95();
            missed[t] += usize::from(peak > bound);
            over[t] += (bound - peak) / SERIES as f32;
        }
    }
    let rate =
        |from: usize, n: usize| missed[from..from + n].iter().sum::<usize>() as f32 / (n * SERIES) as f32;
    let width = |from: usize, n: usize| over[from..from + n].iter().sum::<f32>() / n as f32;
    for k in 0..AFTER / 12 {
        println!(
            "{:>3} steps after: {:.3} missed, {:.1} over",
            12 * k,
            rate(DRIFT + 12 * k, 12),
            width(DRIFT + 12 * k, 12)
        );
    }
    assert!((0.02..0.09).contains(&rate(300, 200)), "before: {}", rate(300, 200));
    assert!(rate(DRIFT + HOLDS_STEPS, 60) < 0.08, "{}", rate(DRIFT + HOLDS_STEPS, 60));
    // Twice the noise needs at least twice the room. Were the jump left in the window, it would take eight times as much.
    let (now, before) = (width(DRIFT + TIGHT_STEPS, 60), width(300, 200));
    assert!(now < 4.0 * before, "{now} {before}");
}

#[test]
fn readiness_says_how_much_is_known() {
    let mut fleet = fleet(1, 300, 1, true);
    for t in 1..=200 {
        let f = &fleet.step(&[t as f32 % 7.0]).unwrap()[0];
        let want = match t {
            ..12 => Readiness::Cold,
            12..144 => Readiness::Fallback,
            _ => Readiness::Ready,
        };
        assert_eq!(f.readiness, want, "sample {t}");
    }
    for gap in 1..=144 {
        let f = &fleet.step(&[f32::NAN]).unwrap()[0];
        let want = match 144 - gap {
            ..12 => Readiness::Cold,
            12..72 => Readiness::Fallback,
            _ => Readiness::Ready,
        };
        assert_eq!(f.readiness, want, "gap of {gap}");
        assert_in_order(f);
    }
}

fn assert_in_order(f: &SeriesForecast) {
    for (q, mean) in f.quantiles.iter().zip(&f.mean) {
        assert!(mean.is_finite() && *mean >= 0.0);
        assert!(q.0[0] >= 0.0 && q.0.is_sorted() && q.0[4].is_finite(), "{q:?}");
    }
}

#[test]
fn forecasts_are_finite_and_in_order_whatever_comes() {
    let mut g = Lcg(3);
    let mut wild: Vec<Vec<f32>> = vec![vec![f32::NAN; 300], vec![0.0; 300], vec![3e38; 300], usage(5, 300)];
    wild.push((0..300).map(|_| if g.unit() < 0.6 { f32::NAN } else { g.unit() * 100.0 }).collect());
    wild.push((0..300).map(|i| if i % 50 == 0 { 1e6 } else { 0.0 }).collect());
    wild.push((0..300).map(|i| -(i as f32)).collect());
    let mut fleet = fleet(wild.len(), 300, 1, true);
    for t in 0..300 {
        let points: Vec<f32> = wild.iter().map(|s| s[t]).collect();
        fleet.step(&points).unwrap().iter().for_each(assert_in_order);
    }
}

#[test]
fn infinite_and_missing_samples_are_told_apart() {
    let mut fleet = fleet(2, 300, 1, false);
    assert_eq!(fleet.step(&[1.0]), Err(ForecastError::Samples { got: 1, want: 2 }));
    assert_eq!(fleet.step(&[1.0, f32::INFINITY]), Err(ForecastError::Infinite(1)));
    assert!(fleet.step(&[f32::NAN, 1.0]).is_ok());
}

#[test]
fn the_scorer_by_hand() {
    let horizons = [Horizon::Peak(2), Horizon::Step(1)];
    let mut scorer = Scorer::new(vec![Resource::Cpu], &horizons, &[1]);
    let says = |peak95: f32, step: [f32; 5]| {
        let quantiles = vec![Quantiles([0.0, 0.0, 0.0, peak95, peak95]), Quantiles(step)];
        vec![SeriesForecast { readiness: Readiness::Ready, mean: vec![0.0; 2], quantiles }]
    };
    // Origin 0: next 3, 5 (peak 5 over 4: a violation by 1). Origin 1: next is 5, then a gap: not scored.
    scorer.tick(&[1.0], Some(&says(4.0, [2.0, 3.0, 4.0, 5.0, 6.0])));
    scorer.tick(&[3.0], Some(&says(9.0, [0.0; 5])));
    scorer.tick(&[5.0], None);
    scorer.tick(&[f32::NAN], None);
    let s = scorer.report()["cpu"];
    assert_eq!((s.n, s.coverage90, s.peak_violations95, s.peak_over_reservation), (1, 1.0, 1.0, -1.0));
    // q50 = 3 exact, q90 = 4: 0.1, q95 = 5: 0.05 * 2, q99 = 6: 0.01 * 3.
    assert!((s.pinball - (0.0 + 0.1 + 0.1 + 0.03) / 4.0).abs() < 1e-6, "{s:?}");
    // The peak is above [0, 4], the step inside [2, 5].
    let held = scorer.held()["cpu"].clone();
    assert_eq!(held[&0], Held { n: 1, in_90: 0, above_95: 1 });
    assert_eq!(held[&1], Held { n: 1, in_90: 1, above_95: 0 });
}

#[test]
fn what_held_is_told_apart_by_class() {
    // Of three VMs, the outcome is above 95 % for the first alone, a small one; the others are large.
    let classes = vec![VmClass::Small, VmClass::Large, VmClass::Large];
    let mut scorer = Scorer::new(vec![Resource::Cpu; 3], &[Horizon::Step(1)], &[1]).by_class(classes);
    let f = SeriesForecast {
        readiness: Readiness::Ready,
        mean: vec![0.0],
        quantiles: vec![Quantiles([1.0, 2.0, 3.0, 4.0, 5.0])],
    };
    scorer.tick(&[2.0; 3], Some(&[f.clone(), f.clone(), f]));
    scorer.tick(&[9.0, 2.0, 3.0], None);
    let held = scorer.held();
    assert_eq!(held.keys().collect::<Vec<_>>(), ["cpu", "cpu/large", "cpu/small"]);
    assert_eq!(held["cpu"][&1], Held { n: 3, in_90: 2, above_95: 1 });
    assert_eq!(held["cpu/small"][&1], Held { n: 1, in_90: 0, above_95: 1 });
    assert_eq!(held["cpu/large"][&1], Held { n: 2, in_90: 2, above_95: 0 });
}
