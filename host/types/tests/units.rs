//! Arithmetic of units: what the rack adds up is exact and never goes below zero.

use foreshade_types::{Mebibytes, Millicores, VmClass, VmSize};
use proptest::prelude::*;

#[test]
fn points_round_up_so_that_a_bound_is_never_cut() {
    assert_eq!(Millicores(4000).points_up(50.0), Millicores(2000));
    assert_eq!(Millicores(1000).points_up(33.34), Millicores(334));
    assert_eq!(Mebibytes(3).points_up(50.0), Mebibytes(2));
    assert_eq!(Millicores(4000).points_up(150.0), Millicores(6000));
}

#[test]
fn points_that_make_no_sense_reserve_nothing() {
    assert_eq!(Millicores(4000).points_up(f32::NAN), Millicores(0));
    assert_eq!(Millicores(4000).points_up(-5.0), Millicores(0));
    assert_eq!(Millicores(0).points_of(Millicores(10)), 0.0);
}

#[test]
fn what_is_left_is_never_negative() {
    assert_eq!(Millicores(3) - Millicores(5), Millicores(0));
    let mut left = Mebibytes(3);
    left -= Mebibytes(5);
    assert_eq!(left, Mebibytes(0));
}

#[test]
fn scaling_rounds_up() {
    assert_eq!(Mebibytes(1024).scale_up(1, 32), Mebibytes(32));
    assert_eq!(Millicores(1001).scale_up(1, 2), Millicores(501));
}

proptest! {
    #[test]
    fn a_share_read_back_covers_the_part(whole in 1u64..1_000_000, part in 0u64..1_000_000) {
        let whole = Millicores(whole);
        let back = whole.points_up(whole.points_of(Millicores(part)));
        // Points are f32: seven digits.
        prop_assert!(back.0 as f64 >= part as f64 * (1.0 - 1e-6) && back.0 as f64 <= part as f64 * (1.0 + 1e-6) + 1.0);
    }
}

#[test]
fn a_class_is_by_the_cores_sold() {
    let class = |mc| VmClass::from(VmSize { cpu: Millicores(mc), memory: Mebibytes(1) });
    let at = [0, 2000, 2001, 8000, 8001, 64_000].map(|mc| class(mc).name());
    assert_eq!(at, ["small", "small", "medium", "medium", "large", "large"]);
}
