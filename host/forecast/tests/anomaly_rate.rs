//! Detectors keep their stated rate of false alarms on samples that are as normal as those before.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Lcg;
use foreshade_forecast::anomaly::{Config, Detector, Group};
use foreshade_types::Quantiles;

/// One in a hundred samples: many alarms to count in a short run.
const RATE: f64 = 0.01;
const CADENCE_S: u32 = 300;

fn config(seed: u64) -> Config {
    Config { false_alarms_per_day: RATE * 288.0, cadence_s: CADENCE_S, least: 0.0, seed }
}

type Noise = fn(&mut Lcg) -> f32;

fn exponential(g: &mut Lcg) -> f32 {
    -(1.0 - g.unit()).ln()
}

/// Samples with more tail than any normal ones, less, on one side, in steps.
const NOISES: [(&str, Noise); 7] = [
    ("normal", Lcg::normal),
    ("uniform", Lcg::unit),
    ("laplace", |g| exponential(g) - exponential(g)),
    ("student 3", |g| {
        g.normal() / ((g.normal().powi(2) + g.normal().powi(2) + g.normal().powi(2)) / 3.0).sqrt()
    }),
    ("lognormal", |g| g.normal().exp()),
    ("steps", |g| (g.unit() * 4.0).floor()),
    ("one in 20", |g| f32::from(u8::from(g.unit() < 0.05)) * exponential(g)),
];

/// Alarms per judged sample of `n` samples from each of 20 detectors.
fn rate(n: u32, mut series: impl FnMut(u64) -> Box<dyn FnMut() -> f32>) -> f64 {
    let mut alarms = 0;
    for seed in 0..20 {
        let (mut detector, mut next) = (Detector::new(config(seed)).unwrap(), series(seed));
        alarms += (0..n).filter(|_| detector.observe(next(), None).is_some()).count();
    }
    alarms as f64 / f64::from(20 * n)
}

#[test]
fn no_noise_alarms_more_often_than_stated() {
    for (name, noise) in NOISES {
        let rate = rate(4000, |seed| {
            let mut g = Lcg(seed + 77);
            Box::new(move || noise(&mut g))
        });
        println!("{name}: {rate:.5} alarms a sample, {RATE} stated");
        assert!(rate <= RATE, "{name}: {rate}");
    }
}

#[test]
fn memory_of_the_series_is_not_an_anomaly() {
    for phi in [0.5, 0.9, 0.99] {
        let rate = rate(4000, |seed| {
            let (mut g, mut x) = (Lcg(seed + 99), 0.0);
            Box::new(move || {
                x = phi * x + g.normal();
                50.0 + x
            })
        });
        println!("autoregression {phi}: {rate:.5} alarms a sample, {RATE} stated");
        assert!(rate <= RATE, "{phi}: {rate}");
    }
}

#[test]
fn the_bound_is_used_and_not_a_sleeping_detector() {
    let rate = rate(4000, |seed| {
        let mut g = Lcg(seed + 5);
        Box::new(move || g.normal())
    });
    assert!(rate >= RATE / 20.0, "{rate}");
}

#[test]
fn a_rarer_alarm_is_kept_too_also_while_little_is_known() {
    // One in 2,016 samples: a week at 300 s. Half of the samples come before ranks alone could tell.
    let mut alarms = [0, 0];
    for (i, (name, noise)) in NOISES.into_iter().enumerate() {
        let mut own = 0;
        for seed in 0..20 {
            let mut g = Lcg(seed * 31 + i as u64);
            let mut detector =
                Detector::new(Config { false_alarms_per_day: 1.0 / 7.0, ..config(seed) }).unwrap();
            for t in 0..8064 {
                let alarm = usize::from(detector.observe(noise(&mut g), None).is_some());
                alarms[t / 4032] += alarm;
                own += alarm;
            }
        }
        println!("{name}: {own} alarms in 80 weeks, 80 stated");
        assert!(own <= 80, "{name}: {own}");
    }
    println!("first halves {}, second halves {}; 280 stated of each", alarms[0], alarms[1]);
    assert!(alarms.iter().all(|&a| a <= 280));
}

#[test]
fn a_forecast_that_is_too_sure_does_not_break_the_rate() {
    let (mut alarms, n) = (0, 8000);
    for seed in 0..10 {
        let (mut g, mut detector) = (Lcg(seed + 3), Detector::new(config(seed)).unwrap());
        // Ten times too narrow.
        let q = Quantiles([49.84, 50.0, 50.13, 50.16, 50.23]);
        alarms += (0..n).filter(|_| detector.observe(50.0 + g.normal(), Some(&q)).is_some()).count();
    }
    let rate = f64::from(alarms as u32) / f64::from(10 * n);
    assert!(rate <= RATE, "{rate}");
}

#[test]
fn a_group_keeps_one_budget_however_its_metrics_hang_together() {
    for shared in [0.0, 0.7, 1.0f32] {
        let mut alarms = 0;
        for seed in 0..10 {
            let mut g = Lcg(seed + 11);
            let mut group = Group::new(config(seed), 12).unwrap();
            for _ in 0..4000 {
                let common = g.normal();
                let mut values = [0.0; 12];
                values.iter_mut().for_each(|v| *v = shared * common + (1.0 - shared) * g.normal());
                alarms += usize::from(group.observe(&values, None).is_some());
            }
        }
        let rate = alarms as f64 / 40_000.0;
        println!("12 metrics, {shared} shared: {rate:.5} alarms a sample, {RATE} stated");
        assert!(rate <= RATE, "{shared}: {rate}");
    }
}

#[test]
fn restless_hours_do_not_break_the_rate() {
    // Residuals that are not exchangeable: quiet and restless spells of half an hour to five hours, and a job of random size
    // now and then.
    let (mut alarms, weeks) = (0, 4);
    for seed in 0..20 {
        let (mut g, mut left, mut spread) = (Lcg(seed + 40), 0, 1.0);
        let mut detector = Detector::new(Config { false_alarms_per_day: 1.0 / 7.0, ..config(seed) }).unwrap();
        for _ in 0..weeks * 7 * 288 {
            if left == 0 {
                (left, spread) = (6 + (g.unit() * 54.0) as u32, 1.0 + 4.0 * g.unit().powi(2));
            }
            left -= 1;
            let job = if g.unit() < 0.01 { 10.0 * exponential(&mut g) } else { 0.0 };
            alarms += usize::from(detector.observe(50.0 + spread * g.normal() + job, None).is_some());
        }
    }
    println!("restless: {alarms} alarms in {} weeks, as many stated", 20 * weeks);
    assert!(alarms <= 20 * weeks, "{alarms}");
}

#[test]
fn memory_is_as_stated_and_never_grows() {
    let config = Config { false_alarms_per_day: 0.01, cadence_s: 300, least: 0.5, seed: 1 };
    let (mut alone, mut group) = (Detector::new(config).unwrap(), Group::new(config, 6).unwrap());
    let before = (alone.bytes(), group.bytes());
    for i in 0..3000 {
        let x = (i * 7919 % 101) as f32;
        alone.observe(x, None);
        group.observe(&[x; 6], None);
    }
    assert_eq!((alone.bytes(), group.bytes()), before);
    assert!(before.0 <= 5_000 && before.1 <= 26_000, "{before:?}");
    assert!(Group::new(config, 2).unwrap().bytes() <= 10_500);
    println!("{before:?}, {} of two", Group::new(config, 2).unwrap().bytes());
}
