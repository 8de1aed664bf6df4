//! The forecaster's scale: monotone, invertible, and closed to values that are not numbers.

use foreshade_types::{RESOURCES, Resource, Transform};
use proptest::prelude::*;

#[test]
fn ten_times_the_rate_is_twenty_points() {
    assert_eq!(Transform::Log.to_points(0.0), 0.0);
    assert!((Transform::Log.to_points(9.0) - 20.0).abs() < 1e-5);
    assert!((Transform::Log.to_points(99.0) - 40.0).abs() < 1e-5);
}

#[test]
fn percent_stays_percent() {
    for r in RESOURCES {
        let percent = matches!(r, Resource::Cpu | Resource::Memory);
        assert_eq!(r.transform() == Transform::Points, percent, "{r}");
    }
    assert_eq!(Transform::Points.to_points(37.5), 37.5);
}

#[test]
fn missing_stays_missing_and_negative_counts_as_zero() {
    for t in [Transform::Points, Transform::Log] {
        assert!(t.to_points(f32::NAN).is_nan());
        assert_eq!(t.to_points(-3.0), 0.0);
        assert_eq!(t.from_points(-3.0), 0.0);
    }
}

proptest! {
    // Spread over the decades: among evenly spread numbers the small ones, where an offset shows, hardly occur.
    #[test]
    fn a_round_trip_changes_nothing(decade in -2f32..7.0) {
        let x = 10f32.powf(decade) - 0.01;
        for t in [Transform::Points, Transform::Log] {
            let back = t.from_points(t.to_points(x));
            prop_assert!((back - x).abs() <= 1e-5 * (1.0 + x), "{t:?}: {x} became {back}");
        }
    }

    #[test]
    fn order_survives(x in 0f32..1e7, y in 0f32..1e7) {
        for t in [Transform::Points, Transform::Log] {
            prop_assert!((x <= y) <= (t.to_points(x) <= t.to_points(y)));
        }
    }
}
