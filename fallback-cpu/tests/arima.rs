//! ARIMA fits and forecasts on every instruction set of this machine, against the f64 reference.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::{Exec, arima, levels};
use foreshade_kernels::arima_fit::{self, FIT_WORDS, LEVELS, QUANTILES, STATUS, cases};
use foreshade_kernels::arima_forecast;
use foreshade_kernels::spec::blocked;

fn fit(exec: &Exec, y: &[f32], lanes: usize, samples: usize) -> Vec<f32> {
    let mut words = vec![f32::NAN; lanes * FIT_WORDS];
    let mut scratch = vec![f32::NAN; 2 * samples * lanes];
    arima::fit(exec, &[lanes as i32, samples as i32], y, &mut words, &mut scratch);
    words
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn fits_stay_within_the_derived_bound_of_the_reference_on_every_level() {
    for (name, _) in levels() {
        let exec = Exec::new(Some(name), 1).unwrap();
        for (seed, lanes, samples) in [(1, 256, 144), (2, 128, 24), (3, 128, 288), (4, 64, 31)] {
            let y = cases::case(seed, lanes, samples);
            let words = fit(&exec, &y, lanes, samples);
            let errors: Vec<_> =
                (0..lanes).filter_map(|lane| arima_fit::check(&y, samples, &words, lane).err()).collect();
            assert!(errors.is_empty(), "{name}, {samples} samples: {} of {lanes}: {errors:#?}", errors.len());
        }
    }
}

#[test]
fn forecasts_stay_within_the_derived_bound_of_the_reference_on_every_level() {
    for (name, _) in levels() {
        let exec = Exec::new(Some(name), 1).unwrap();
        for (lanes, steps) in [(256, 12), (64, 1), (64, 288)] {
            let words = cases::fitted(5, lanes, 96);
            let mut mean = vec![f32::NAN; lanes * steps];
            let mut variance = mean.clone();
            arima::forecast(&exec, &[lanes as i32, steps as i32], &words, &mut mean, &mut variance);
            for lane in 0..lanes {
                arima_forecast::check(&words, steps, &mean, &variance, lane)
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
    }
}

#[test]
fn a_series_does_not_feel_its_batch_nor_the_threads() {
    let (lanes, samples) = (4096 + 64, 48);
    let y = cases::case(6, lanes, samples);
    let one = fit(&Exec::new(None, 1).unwrap(), &y, lanes, samples);
    assert_eq!(bits(&one), bits(&fit(&Exec::new(None, 3).unwrap(), &y, lanes, samples)));
    // The last group alone, its lanes the other way round.
    let first = lanes - 64;
    let mut alone = vec![0.0; 64 * samples];
    for t in 0..samples {
        for lane in 0..64 {
            alone[t * 64 + 63 - lane] = y[t * lanes + first + lane];
        }
    }
    let alone = fit(&Exec::new(None, 1).unwrap(), &alone, 64, samples);
    for lane in 0..64 {
        for i in 0..FIT_WORDS {
            let (a, b) = (alone[blocked(63 - lane, i, FIT_WORDS)], one[blocked(first + lane, i, FIT_WORDS)]);
            assert_eq!(a.to_bits(), b.to_bits(), "lane {lane} word {i}: {a} alone, {b} in the batch");
        }
    }
}

#[test]
fn bounds_are_the_mean_and_the_residual_quantiles_widened_by_the_step() {
    let (lanes, steps) = (128, 12);
    for (name, _) in levels() {
        let exec = Exec::new(Some(name), 2).unwrap();
        let words = cases::fitted(7, lanes, 64);
        let (mut mean, mut variance) = (vec![f32::NAN; lanes * steps], vec![f32::NAN; lanes * steps]);
        arima::forecast(&exec, &[lanes as i32, steps as i32], &words, &mut mean, &mut variance);
        let mut out = vec![f32::NAN; lanes * steps * LEVELS.len()];
        arima::bounds(&exec, steps, &mean, &variance, &words, &mut out);
        for lane in 0..lanes {
            let first = f64::from(variance[blocked(lane, 0, steps)]);
            for h in 0..steps {
                let at = blocked(lane, h, steps);
                let wider = if first > 0.0 { (f64::from(variance[at]) / first).sqrt() } else { 0.0 };
                for i in 0..LEVELS.len() {
                    let q = f64::from(words[blocked(lane, QUANTILES + i, FIT_WORDS)]);
                    let want = f64::from(mean[at]) + wider * q;
                    let got = f64::from(out[blocked(lane, h * LEVELS.len() + i, steps * LEVELS.len())]);
                    let near = 4e-7 * (f64::from(mean[at]).abs() + wider * q.abs());
                    assert!((got - want).abs() <= near, "{name} lane {lane} step {h}: {got}, want {want}");
                }
            }
        }
    }
}

#[test]
fn the_cases_reach_every_order_and_both_ends() {
    let (lanes, samples) = (4096, 144);
    let words = fit(&Exec::new(None, 1).unwrap(), &cases::case(8, lanes, samples), lanes, samples);
    let of = |lane, i| words[blocked(lane, i, FIT_WORDS)];
    assert!((0..lanes).any(|lane| of(lane, STATUS) == 1.0));
    for d in 0..2 {
        for (p, q) in (0..=6).map(|p| (p, 0)).chain((0..=2).map(|p| (p, 1))) {
            let is = |lane| {
                (of(lane, arima_fit::D), of(lane, arima_fit::P), of(lane, arima_fit::Q))
                    == (d as f32, p as f32, q as f32)
                    && of(lane, STATUS) == 0.0
            };
            assert!((0..lanes).any(is), "no series is ({p}, {d}, {q})");
        }
    }
}
