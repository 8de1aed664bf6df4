//! Do the intervals keep what they promise, and what becomes of gaps?

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{HORIZONS, Lcg, fleet, usage};
use foreshade_forecast::{ForecastError, ResourceScore, Scorer};
use foreshade_types::{Horizon, Quantiles, Readiness, Resource, SeriesForecast};

/// Runs a fleet over series and scores every tick from `from` on.
fn score(series: &[Vec<f32>], cadence_s: u32, from: usize) -> ResourceScore {
    let mut fleet = fleet(series.len(), cadence_s, 1, false);
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
    let s = score(&series, 60, 200);
    assert!(s.n > 10_000);
    assert!((s.coverage90 - 0.90).abs() < 0.02, "{s:?}");
    assert!((s.peak_violations95 - 0.05).abs() < 0.02, "{s:?}");
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
}
