//! Gaps, constants and numbers that no machine reports: no panic, no alarm without cause, the same answer twice.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Lcg;
use foreshade_forecast::anomaly::{Config, Detector, Group};
use foreshade_types::Quantiles;
use proptest::prelude::*;

fn config() -> Config {
    Config { false_alarms_per_day: 1.0 / 7.0, cadence_s: 300, least: 0.0, seed: 1 }
}

fn any_sample() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -10.0..10.0f32,
        2 => Just(0.0f32),
        1 => any::<f32>(),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, -0.0]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_everything_is_finite(
        samples in prop::collection::vec(any_sample(), 1..600),
        forecasts in prop::collection::vec(prop::option::of(prop::array::uniform5(any_sample())), 1..40),
        cadence_s in prop::sample::select(vec![1u32, 60, 300, 86_400]),
    ) {
        let config = Config { cadence_s, false_alarms_per_day: 0.5, least: 0.0, seed: 3 };
        let (mut one, mut two) = (Detector::new(config).unwrap(), Detector::new(config).unwrap());
        let mut group = Group::new(config, 3).unwrap();
        for (i, &x) in samples.iter().enumerate() {
            let q = forecasts[i % forecasts.len()].map(Quantiles);
            let alarm = one.observe(x, q.as_ref());
            prop_assert_eq!(&alarm, &two.observe(x, q.as_ref()));
            prop_assert!(one.score().is_finite() && one.score() >= 0.0);
            if let Some(a) = alarm {
                prop_assert!(x.is_finite() && a.p_value > 0.0 && a.p_value <= 1.0 && a.since <= i as u64);
            }
            group.observe(&[x, 1.0, samples[i / 2]], None);
            prop_assert!(group.score().is_finite());
        }
    }

    #[test]
    fn a_constant_never_alarms(x in any_sample(), gap in 1usize..50) {
        let mut d = Detector::new(config()).unwrap();
        for i in 0..3000 {
            let x = if i % gap == 7 { f32::NAN } else { x };
            prop_assert_eq!(d.observe(x, None), None);
        }
    }

    #[test]
    fn a_gap_of_any_length_is_no_anomaly(seed in 0u64..1000, gap in 1usize..2000) {
        let (mut g, mut d) = (Lcg(seed), Detector::new(config()).unwrap());
        let mut level = 50.0;
        let mut next = || { level += 0.1 * (50.0 - level) + g.normal(); level };
        for _ in 0..1000 {
            d.observe(next(), None);
        }
        for _ in 0..gap {
            // What happens unseen goes on.
            next();
            prop_assert_eq!(d.observe(f32::NAN, None), None);
        }
        // The first value after it is judged by nothing that is a gap old.
        let alarm = d.observe(next(), None);
        prop_assert!(gap <= 3 || alarm.is_none(), "{:?}", alarm);
    }
}

#[test]
fn nothing_alarms_before_it_knows_anything() {
    let mut d = Detector::new(config()).unwrap();
    let mut g = Lcg(2);
    for i in 0..100 {
        let x = if i % 10 == 9 { 1e6 } else { g.unit() };
        assert_eq!(d.observe(x, None), None, "{i}");
    }
}

#[test]
fn a_metric_that_is_not_given_is_missing() {
    let mut group = Group::new(config(), 4).unwrap();
    let mut g = Lcg(9);
    for _ in 0..500 {
        assert_eq!(group.observe(&[g.normal()], None), None);
    }
    assert_eq!(group.observe(&[], None), None);
    assert_eq!(group.heat()[1..], [0.0; 3]);
}
