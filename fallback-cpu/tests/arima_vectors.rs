//! The vectors of an independent oracle (kernels/arima_*/gen.py) against the f64 reference and the CPU kernels.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::{Exec, arima, levels};
use foreshade_kernels::arima_fit::{self, FIT_WORDS, reference};
use foreshade_kernels::arima_forecast;
use foreshade_kernels::spec::{GROUP, blocked};
use serde_json::Value;

const FIT: &str = include_str!("../../kernels/arima_fit/vectors/small.json");
const FORECAST: &str = include_str!("../../kernels/arima_forecast/vectors/small.json");

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(number).collect()
}

fn number(v: &Value) -> f64 {
    match v {
        Value::Null => f64::NAN,
        Value::String(s) => s.parse().unwrap(),
        v => v.as_f64().unwrap(),
    }
}

/// The words of a model in a case, by the names that gen.py gives them.
fn words(fit: &Value) -> [f64; FIT_WORDS] {
    let names = [
        "status", "d", "p", "q", "n", "mean", "variance", "aicc", "phi", "theta", "tail", "residual", "last",
    ];
    let mut all: Vec<f64> = Vec::new();
    for name in names.iter().chain(&["quantiles"]) {
        match &fit[name] {
            list @ Value::Array(_) => all.extend(numbers(list)),
            v => all.push(number(v)),
        }
    }
    all.try_into().unwrap()
}

#[test]
fn the_reference_fits_as_the_oracle_does() {
    for case in cases(FIT) {
        let y: Vec<f32> = numbers(&case["y"]).iter().map(|&v| v as f32).collect();
        let (got, want) = (reference::fit(&y).words, words(&case["fit"]));
        let size =
            y.iter().filter(|v| reference::present(**v)).fold(0.0f64, |a, v| a.max(f64::from(v.abs())));
        for i in 0..FIT_WORDS {
            // Both are f64, but they take the mean off in another order.
            let near = 1e-9 * (want[i].abs() + if i >= arima_fit::TAIL { size } else { 1e-30 });
            assert!(
                (got[i] - want[i]).abs() <= near,
                "{}: word {i} is {}, want {}",
                case["name"],
                got[i],
                want[i]
            );
        }
    }
}

#[test]
fn every_level_fits_the_oracle_series_within_the_bound() {
    for (name, _) in levels() {
        let exec = Exec::new(Some(name), 1).unwrap();
        for case in cases(FIT) {
            let series = numbers(&case["y"]);
            let samples = series.len();
            // Lane 5 of a group of zeros.
            let mut y = vec![0.0; samples * GROUP];
            series.iter().enumerate().for_each(|(t, v)| y[t * GROUP + 5] = *v as f32);
            let mut fit = vec![f32::NAN; FIT_WORDS * GROUP];
            let ints = [GROUP as i32, samples as i32];
            arima::fit(&exec, &ints, &y, &mut fit, &mut vec![0.0; 2 * samples * GROUP]);
            arima_fit::check(&y, samples, &fit, 5).unwrap_or_else(|e| panic!("{name} {}: {e}", case["name"]));
        }
    }
}

#[test]
fn the_reference_and_every_level_forecast_as_the_oracle_does() {
    for case in cases(FORECAST) {
        let fit = words(&case["fit"]);
        let (mean, variance) = (numbers(&case["mean"]), numbers(&case["variance"]));
        let steps = mean.len();
        let got = arima_forecast::reference::forecast(&fit, steps);
        for h in 0..steps {
            let near = |got: f64, want: f64| (got - want).abs() <= 1e-9 * want.abs().max(1e-12);
            assert!(near(got.mean[h], mean[h]), "{} step {h}: {} {}", case["name"], got.mean[h], mean[h]);
            assert!(near(got.variance[h], variance[h]), "{} step {h}", case["name"]);
        }
        let mut blocked_fit = vec![0.0; FIT_WORDS * GROUP];
        (0..FIT_WORDS).for_each(|i| blocked_fit[blocked(9, i, FIT_WORDS)] = fit[i] as f32);
        for (name, _) in levels() {
            let exec = Exec::new(Some(name), 1).unwrap();
            let (mut mean, mut variance) = (vec![f32::NAN; steps * GROUP], vec![f32::NAN; steps * GROUP]);
            arima::forecast(&exec, &[GROUP as i32, steps as i32], &blocked_fit, &mut mean, &mut variance);
            let checked = arima_forecast::check(&blocked_fit, steps, &mean, &variance, 9);
            checked.unwrap_or_else(|e| panic!("{name} {}: {e}", case["name"]));
        }
    }
}

/// Figures that a person can work out: 10 + 4 / 2^h, and a random walk whose variance grows by 1/4 a step.
#[test]
fn two_forecasts_by_hand() {
    let all = cases(FORECAST);
    let of = |i: usize| arima_forecast::reference::forecast(&words(&all[i]["fit"]), 4);
    assert_eq!(of(0).mean, [12.0, 11.0, 10.5, 10.25]);
    assert_eq!(of(0).variance, [4.0, 5.0, 5.25, 5.3125]);
    assert_eq!(of(1).mean, [3.0; 4]);
    assert_eq!(of(1).variance, [0.25, 0.5, 0.75, 1.0]);
}
