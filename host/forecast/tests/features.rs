//! The streaming window against the plain definition, on hostile series.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_forecast::features::{FeatureWindow, Features, STATS, WINDOW};
use proptest::prelude::*;

/// What a window that saw only these samples says.
fn anew(samples: &[f32]) -> Option<Features> {
    let mut w = FeatureWindow::new();
    for &x in samples {
        w.push(x);
    }
    w.features()
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => 0.0f32..110.0,
        3 => (0u8..5).prop_map(|v| f32::from(v) * 25.0),
        1 => Just(f32::NAN),
        1 => prop::sample::select(vec![f32::INFINITY, f32::NEG_INFINITY, -5.0, -0.0, 1e30, 1e-40]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The features depend on the last 144 samples and nothing else, to the last bit: a restart, a late start and a
    /// truncated file cannot change a forecast.
    #[test]
    fn only_the_window_counts(samples in prop::collection::vec(value(), 1..420)) {
        let mut w = FeatureWindow::new();
        for &x in &samples {
            w.push(x);
        }
        prop_assert!(w.len() <= WINDOW);
        let again = anew(&w.samples());
        prop_assert_eq!(w.features(), again);
    }

    #[test]
    fn every_value_is_finite_and_bounded(samples in prop::collection::vec(value(), 1..200)) {
        let mut w = FeatureWindow::new();
        for &x in &samples {
            w.push(x);
            let Some(f) = w.features() else { continue };
            prop_assert!(f.stats.iter().all(|v| v.abs() <= 8.0));
            prop_assert!(f.input.iter().all(|v| v.is_finite() && v.abs() <= 200.0), "{:?}", f.input);
            prop_assert!(f.scale >= 0.5 && f.last >= 0.0 && f.last <= 10_000.0);
        }
    }
}

#[test]
fn a_missing_sample_repeats_the_last() {
    assert_eq!(anew(&[3.0, f32::NAN, 4.0]), anew(&[3.0, 3.0, 4.0]));
    assert_eq!(anew(&[f32::NAN, f32::NAN, 4.0]), anew(&[4.0]), "nothing to repeat yet");
    assert_eq!(anew(&[f32::NAN]), None);
    assert!(FeatureWindow::new().is_empty());
}

#[test]
fn the_oldest_sample_leaves_no_trace() {
    let quiet = vec![10.0; WINDOW];
    let mut spiked = vec![99.0, 0.0, 50.0];
    spiked.extend(&quiet);
    assert_eq!(anew(&spiked), anew(&quiet));
}

#[test]
fn a_flat_series_has_no_spread() {
    let f = anew(&[40.0; 200]).unwrap();
    assert_eq!((f.last, f.scale), (40.0, 0.5));
    let mut want = [0.0; STATS];
    (want[0], want[1], want[STATS - 1]) = (0.4, 0.5f32.ln(), 1.0);
    assert_eq!(f.stats, want);
}

#[test]
fn a_rise_shows_in_its_own_statistic() {
    // Every 12th sample jumps by 30: the peak of the next six rises by 30 half of the time.
    let samples: Vec<f32> = (0..WINDOW).map(|t| if t % 12 == 11 { 50.0 } else { 20.0 }).collect();
    let f = anew(&samples).unwrap();
    let rises: Vec<f32> = f.stats[41..45].iter().map(|v| v * f.scale).collect();
    assert!((rises[1] - 30.0).abs() < 1e-3 && (rises[3] - 30.0).abs() < 1e-3, "{rises:?}");
}
