//! What is injected is found, named and dated, and the metric at fault is the first of the list.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Lcg;
use foreshade_forecast::anomaly::{Anomaly, AnomalyError, Config, Detector, Group, Kind};
use foreshade_types::Quantiles;

/// One a week.
fn config(seed: u64) -> Config {
    Config { false_alarms_per_day: 1.0 / 7.0, cadence_s: 300, least: 0.0, seed }
}

/// When it begins.
const ONSET: usize = 3000;

/// The first alarm from the onset on, and the number before.
fn first(series: impl Fn(usize, f32) -> f32, seed: u64, within: usize) -> (Option<Anomaly>, usize) {
    let (mut g, mut detector) = (Lcg(seed + 1), Detector::new(config(seed)).unwrap());
    let mut alarm = |t: usize| detector.observe(series(t, g.normal()), None);
    let before = (0..ONSET).filter(|&t| alarm(t).is_some()).count();
    ((ONSET..ONSET + within).find_map(alarm), before)
}

/// What changes: the kind to be named, the samples until then, how often of 20 (unrest begins with a spike or a few on
/// one side as often as not), and the series.
type Case = (Kind, usize, usize, fn(usize, f32) -> f32);

const CASES: [Case; 7] = [
    (Kind::Spike, 1, 18, |t, e| 40.0 + e + if t == ONSET { 12.0 } else { 0.0 }),
    (Kind::Dip, 1, 18, |t, e| 40.0 + e - if t == ONSET { 12.0 } else { 0.0 }),
    (Kind::Rise, 40, 18, |t, e| 40.0 + e + if t >= ONSET { 1.5 } else { 0.0 }),
    (Kind::Fall, 40, 18, |t, e| 40.0 + e - if t >= ONSET { 1.5 } else { 0.0 }),
    (Kind::Unrest, 60, 10, |t, e| 40.0 + e * if t >= ONSET { 2.0 } else { 1.0 }),
    (Kind::Calm, 60, 18, |t, e| 40.0 + e * if t >= ONSET { 0.1 } else { 1.0 }),
    // A sensor in steps of a half that sticks where it often is.
    (Kind::Flat, 60, 18, |t, e| if t >= ONSET { 40.0 } else { 40.0 + (e * 2.0).round() / 2.0 }),
];

#[test]
fn what_is_injected_is_found_and_named() {
    for (kind, within, least, series) in CASES {
        let (mut found, mut named) = (0, 0);
        for seed in 0..20 {
            let (alarm, before) = first(series, seed, within);
            assert!(before <= 6, "{kind:?}: {before} alarms before anything happened");
            found += usize::from(alarm.is_some());
            named += usize::from(alarm.is_some_and(|a| a.kind == kind && a.p_value < 1e-3));
        }
        println!("{kind:?}: found {found}, named {named} of 20");
        assert!(found >= 18 && named >= least, "{kind:?}: found {found}, named {named} of 20");
    }
}

#[test]
fn a_rise_is_dated_and_told_once() {
    let mut g = Lcg(8);
    let mut detector = Detector::new(config(8)).unwrap();
    let mut alarms = Vec::new();
    for t in 0..ONSET + 600 {
        let x = 40.0 + g.normal() + if t >= ONSET { 2.0 } else { 0.0 };
        alarms.extend(detector.observe(x, None).filter(|_| t >= ONSET));
    }
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert!((ONSET as i64 - alarms[0].since as i64).abs() <= 3, "{alarms:?}");
}

#[test]
fn what_lasts_a_few_samples_is_told_once() {
    let (mut g, mut detector) = (Lcg(21), Detector::new(config(21)).unwrap());
    let mut alarm = |t: usize| {
        let peak = if (ONSET..ONSET + 5).contains(&t) { 30.0 } else { 0.0 };
        detector.observe(40.0 + g.normal() + peak, None).is_some()
    };
    assert!((0..ONSET).filter(|&t| alarm(t)).count() <= 6);
    assert_eq!((ONSET..ONSET + 12).filter(|&t| alarm(t)).count(), 1);
}

#[test]
fn a_day_like_every_day_is_normal_and_a_missing_peak_is_not() {
    let (mut g, mut detector) = (Lcg(4), Detector::new(config(4)).unwrap());
    let mut alarms = Vec::new();
    for t in 0..20 * 288 {
        let day = if (100..160).contains(&(t % 288)) && t / 288 != 15 { 30.0 } else { 0.0 };
        let alarm = detector.observe(20.0 + day + g.normal(), None);
        alarms.extend(alarm.map(|a| (t, a.kind)));
    }
    let late: Vec<_> = alarms.iter().filter(|(t, _)| *t >= 8 * 288).collect();
    assert!(late.iter().any(|(t, k)| *t == 15 * 288 + 100 && *k == Kind::Dip), "{late:?}");
    assert!(late.iter().filter(|(t, _)| t / 288 != 15).count() <= 3, "{late:?}");
}

#[test]
fn a_spike_that_the_forecast_knew_is_no_anomaly() {
    let peak = |t: usize| if t % 500 == 499 { 60.0 } else { 0.0 };
    let spread = |m: f32| Quantiles([m - 1.6, m, m + 1.3, m + 1.6, m + 2.3]);
    let alarms = |told: bool| {
        let (mut g, mut detector) = (Lcg(6), Detector::new(config(6)).unwrap());
        let mut alarm = |t: usize| {
            let q = spread(20.0 + if told { peak(t) } else { 0.0 });
            detector.observe(20.0 + peak(t) + g.normal(), Some(&q)).is_some()
        };
        (0..3000).filter(|&t| alarm(t) && t % 500 == 499).count()
    };
    assert_eq!((alarms(true), alarms(false) > 0), (0, true));
}

#[test]
fn the_metric_at_fault_comes_first() {
    let mut first = 0;
    for seed in 0..20u64 {
        let (mut g, mut group) = (Lcg(seed + 50), Group::new(config(seed), 20).unwrap());
        let guilty = (seed as usize * 7) % 20;
        let mut found = None;
        for t in 0..ONSET + 40 {
            let common = g.normal();
            let mut values = [0.0; 20];
            values.iter_mut().for_each(|v| *v = 10.0 + common + g.normal());
            values[guilty] += if t >= ONSET { [15.0, -3.0][seed as usize % 2] } else { 0.0 };
            let alarm = group.observe(&values, None).filter(|_| t >= ONSET);
            found = found.or(alarm);
        }
        let found = found.unwrap_or_else(|| panic!("{seed}: not found"));
        assert_eq!(found.metrics.len(), 20);
        assert!(found.metrics.is_sorted_by(|a, b| a.decades >= b.decades));
        first += usize::from(found.metrics[0].metric == guilty);
    }
    println!("{first} of 20");
    assert!(first >= 18, "{first}");
}

#[test]
fn many_small_surprises_at_once_are_one_large_one() {
    // Three standard deviations each: no metric alone would alarm.
    let mut found = 0;
    for seed in 0..10 {
        let (mut g, mut group) = (Lcg(seed + 9), Group::new(config(seed), 20).unwrap());
        let mut tick = |up: f32| {
            let mut values = [0.0; 20];
            values.iter_mut().for_each(|v| *v = 10.0 + up + g.normal());
            group.observe(&values, None)
        };
        (0..ONSET).for_each(|_| drop(tick(0.0)));
        found += usize::from(tick(3.0).is_some());
    }
    assert!(found >= 9, "{found}");
}

#[test]
fn what_is_too_small_to_matter_is_no_anomaly() {
    let alarms = |least: f32| {
        let mut detector = Detector::new(Config { least, ..config(2) }).unwrap();
        let mut g = Lcg(12);
        // An idle machine that stirs: 0.3 where 0.01 is usual.
        let mut alarm = |t: usize| {
            let stir = if t % 700 == 699 { 0.3 } else { 0.0 };
            detector.observe(3.0 + 0.01 * g.normal() + stir, None).is_some() && stir > 0.0
        };
        (0..4000).filter(|&t| alarm(t)).count()
    };
    assert_eq!(alarms(Config::POINTS), 0);
    assert!(alarms(0.0) > 0);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let one = |c: Config| Detector::new(c).map(|_| ()).unwrap_err();
    assert_eq!(one(Config { cadence_s: 0, ..config(0) }), AnomalyError::Cadence(0));
    assert_eq!(one(Config { cadence_s: 86_401, ..config(0) }), AnomalyError::Cadence(86_401));
    for rate in [0.0, -1.0, 288.0, f64::NAN, f64::INFINITY] {
        assert_eq!(one(Config { false_alarms_per_day: rate, ..config(0) }), AnomalyError::Rate);
    }
    for least in [-0.1, f32::NAN, f32::INFINITY] {
        assert_eq!(one(Config { least, ..config(0) }), AnomalyError::Least);
    }
    assert_eq!(Group::new(config(0), 0).map(|_| ()).unwrap_err(), AnomalyError::Empty);
}
