//! Do sums of sample paths keep each VM's forecast, and what the VMs did together?

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Lcg;
use foreshade_forecast::paths::{Ahead, Part, PathSum, Paths, Stretch};
use foreshade_types::Quantiles;
use proptest::prelude::*;

const DRAWS: usize = 138;
const STEPS: usize = 6;

/// A forecast whose spread grows with the steps.
fn ahead(level: f32, spread: f32) -> [Ahead; 2] {
    let at = |step: u32, w: f32| {
        let q = [-1.645, 0.0, 1.282, 1.645, 2.326].map(|z| level + w * z);
        Ahead { step, quantiles: Quantiles(q) }
    };
    [at(1, spread / 2.0), at(STEPS as u32, spread)]
}

fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut g = Lcg(seed);
    (0..n).map(|_| 1000.0 + 100.0 * g.normal()).collect()
}

fn paths(histories: &[&[f32]], level: f32, spread: f32) -> Paths {
    let mut paths = Paths::new(histories.len(), DRAWS, STEPS);
    for (vm, h) in histories.iter().enumerate() {
        paths.draw(vm, vm as u64 + 1, h, &ahead(level, spread));
    }
    paths
}

fn sum(paths: &Paths, vms: &[usize]) -> PathSum {
    let mut sum = PathSum::new(DRAWS, STEPS);
    vms.iter().for_each(|v| sum.add(paths.of(*v)));
    sum
}

/// What a VM may have left behind: any values, gaps, a late start.
fn history() -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![4 => 0f32..4000.0, 1 => Just(0.0), 1 => Just(f32::NAN)];
    prop::collection::vec(value, 0..200)
}

fn column(draws: &[f32], step: usize) -> Vec<f32> {
    let mut v: Vec<f32> = draws.iter().skip(step - 1).step_by(STEPS).copied().collect();
    v.sort_unstable_by(f32::total_cmp);
    v
}

proptest! {
    #[test]
    fn each_step_keeps_its_forecast_whatever_the_past(a in history(), b in history(), key: u64) {
        let mut paths = Paths::new(2, DRAWS, STEPS);
        paths.draw(0, key, &a, &ahead(900.0, 200.0));
        paths.draw(1, key.wrapping_add(1), &b, &ahead(900.0, 200.0));
        for step in 1..=STEPS {
            let (a, b) = (column(paths.of(0), step), column(paths.of(1), step));
            prop_assert_eq!(&a, &b);
            let width = 100.0 + 100.0 * (step - 1) as f32 / 5.0;
            let near = |at: f32, z: f32| (a[(at * DRAWS as f32) as usize] - 900.0 - width * z).abs() < 0.1 * width;
            prop_assert!(near(0.05, -1.645) && near(0.5, 0.0) && near(0.75, 0.674) && near(0.95, 1.645), "{:?}", a);
        }
    }

    #[test]
    fn sums_are_exact_in_any_order_and_a_vm_leaves_no_trace(
        histories in prop::collection::vec(history(), 2..6),
        percent in 1i32..100,
    ) {
        let all: Vec<&[f32]> = histories.iter().map(Vec::as_slice).collect();
        let paths = paths(&all, 1e6, 3e5);
        let order: Vec<usize> = (0..all.len()).collect();
        let back: Vec<usize> = order.iter().rev().copied().collect();
        let (mut one, mut other) = (sum(&paths, &order), sum(&paths, &back));
        prop_assert_eq!(one.peak(), other.peak());
        let without = sum(&paths, &order[1..]).peak();
        let moved = [Part { draws: paths.of(0), percent: -100 }];
        prop_assert_eq!(one.peak_if(&moved), without);
        prop_assert_eq!(one.peak(), other.peak());
        one.remove(paths.of(0));
        prop_assert_eq!(one.peak(), without);
        one.change(Part { draws: paths.of(0), percent });
        one.change(Part { draws: paths.of(0), percent: 100 - percent });
        prop_assert_eq!(one.peak(), other.peak());
    }

    #[test]
    fn following_a_vm_tick_by_tick_is_drawing_it_anew(h in history(), key: u64, late in 1usize..60) {
        let (first, all) = (&h[..h.len() / 2], &h);
        let mut followed = Paths::new(1, 12, 3).every(2);
        followed.draw(0, key, first, &ahead(900.0, 200.0));
        for n in first.len() + 1..=all.len() {
            followed.turn();
            followed.follow(0, key, &all[n.saturating_sub(200 - late)..n]);
        }
        followed.fill(0, &ahead(900.0, 200.0));
        let mut anew = Paths::new(1, 12, 3).every(2);
        (first.len()..all.len()).for_each(|_| anew.turn());
        anew.draw(0, key, all, &ahead(900.0, 200.0));
        prop_assert_eq!(followed.of(0), anew.of(0));
    }

    #[test]
    fn what_others_did_shows_in_no_draw(a in history(), b in history()) {
        let (alone, beside) = (paths(&[&a], 900.0, 200.0), paths(&[&a, &b], 900.0, 200.0));
        prop_assert_eq!(alone.of(0), beside.of(0));
    }
}

#[test]
fn vms_that_go_together_need_the_sum_of_their_bounds_and_others_less() {
    let a = noise(1, 144);
    let against: Vec<f32> = a.iter().map(|x| 2000.0 - x).collect();
    let other = noise(2, 144);
    let paths = paths(&[&a, &a, &other, &against], 1000.0, 200.0);
    let one = sum(&paths, &[0]).peak();
    let (same, independent, turns) =
        (sum(&paths, &[0, 1]).peak(), sum(&paths, &[0, 2]).peak(), sum(&paths, &[0, 3]).peak());
    for l in 0..5 {
        assert!((same.0[l] - 2.0 * one.0[l]).abs() < 1e-3, "{same:?} {one:?}");
    }
    let over = |q: Quantiles| q.q99() - q.q50();
    assert!(over(independent) < 0.85 * over(same), "{independent:?} {same:?}");
    assert!(turns.q99() < 2000.0 + 0.2 * (same.q99() - 2000.0), "{turns:?} {same:?}");
}

#[test]
fn the_peak_of_a_sum_is_less_than_the_sum_of_peaks_of_vms_that_take_turns() {
    // Each rises every sixth sample, the second three samples after the first.
    let job = |phase: usize| -> Vec<f32> {
        (0..144).map(|i| if i % 6 == phase { 4000.0 } else { 1000.0 } + (i * 7 % 13) as f32).collect()
    };
    let (a, b, c) = (job(0), job(0), job(3));
    let at = |step| Ahead { step, quantiles: Quantiles([1000.0, 1100.0, 4000.0, 4000.0, 4000.0]) };
    let mut paths = Paths::new(3, DRAWS, STEPS);
    for (vm, h) in [&a, &b, &c].into_iter().enumerate() {
        paths.draw(vm, vm as u64, h, &[at(1), at(6)]);
    }
    let (together, turns) = (sum(&paths, &[0, 1]).peak(), sum(&paths, &[0, 2]).peak());
    assert!(together.q50() > 7000.0, "{together:?}");
    assert!(turns.q50() < 6500.0, "{turns:?}");
}

#[test]
fn a_draw_belongs_to_the_same_instant_in_every_vm() {
    // At one past instant, and only there, all of them rose.
    let jump = |seed: u64| {
        let mut h = noise(seed, 144);
        h[100] = 9000.0;
        h
    };
    let histories: Vec<Vec<f32>> = (0..5).map(jump).collect();
    let all: Vec<&[f32]> = histories.iter().map(Vec::as_slice).collect();
    let paths = paths(&all, 1000.0, 200.0);
    // Three steps before the jump: draw k starts at sample k of 144.
    let k = 97;
    for vm in 0..all.len() {
        let largest = column(paths.of(vm), 3)[DRAWS - 1];
        assert_eq!(paths.of(vm)[k * STEPS + 2], largest);
    }
    let top = 5.0 * column(paths.of(0), 3)[DRAWS - 1];
    assert_eq!(sum(&paths, &[0, 1, 2, 3, 4]).step(3).q99(), {
        let mut by_k: Vec<f32> =
            (0..DRAWS).map(|k| (0..5).map(|v| paths.of(v)[k * STEPS + 2]).sum::<f32>()).collect();
        by_k.sort_unstable_by(f32::total_cmp);
        assert_eq!(by_k[DRAWS - 1], top);
        let at = 0.99f64 * 137.0;
        by_k[135] + (at - 135.0) as f32 * (by_k[136] - by_k[135])
    });
}

#[test]
fn what_is_not_known_goes_with_nothing() {
    let (flat, new, gaps) = (vec![500.0; 144], vec![500.0; 3], vec![f32::NAN; 144]);
    let known = noise(3, 144);
    let paths = paths(&[&known, &known, &flat, &flat, &new, &new, &gaps, &gaps], 1000.0, 200.0);
    let over = |vms: &[usize]| {
        let q = sum(&paths, vms).step(STEPS);
        q.q95() - q.q50()
    };
    for pair in [[2, 3], [4, 5], [6, 7], [0, 2], [0, 6]] {
        assert!(over(&pair) < 0.9 * over(&[0, 1]), "{pair:?}");
    }
}

#[test]
fn half_a_history_keeps_the_dependence_of_its_half() {
    // Two VMs known for half the window: where they are known they rise together.
    let mut a = noise(4, 144);
    a[..72].fill(f32::NAN);
    let paths = paths(&[&a, &a], 1000.0, 200.0);
    let (x, y) = (paths.of(0), paths.of(1));
    let apart = |draws: std::ops::Range<usize>| {
        draws.map(|k| (x[k * STEPS + 5] - y[k * STEPS + 5]).abs()).sum::<f32>()
    };
    assert!(apart(72..138) < 1.0, "{}", apart(72..138));
    assert!(apart(0..66) > 66.0 * 100.0, "{}", apart(0..66));
}

#[test]
fn the_chance_is_the_share_of_draws_above() {
    let paths = paths(&[&noise(5, 144), &noise(6, 144)], 1000.0, 200.0);
    let mut host = sum(&paths, &[0]);
    let with = [Part { draws: paths.of(1), percent: 100 }];
    assert_eq!((host.exceeds(0.0), host.exceeds(1e7)), (1.0, 0.0));
    let q95 = host.peak_at(0.95, &with);
    let chance = host.exceeds_if(&with, q95);
    assert!((chance - 0.05).abs() < 0.01, "{chance}");
    assert!(host.exceeds(q95) < chance, "one VM alone needs less");
    assert_eq!(host.peak_if(&with).q95(), q95);
    let half = [Part { draws: paths.of(0), percent: -50 }];
    assert_eq!(host.peak_if(&half).q95(), host.peak().q95() / 2.0);
    host.clear();
    assert_eq!(host.peak(), Quantiles([0.0; 5]));
}

#[test]
fn no_forecast_is_no_demand() {
    let mut paths = Paths::new(1, DRAWS, STEPS);
    paths.draw(0, 1, &noise(7, 144), &[]);
    assert!(paths.of(0).iter().all(|d| *d == 0.0));
    let wild = Ahead { step: 2, quantiles: Quantiles([f32::NAN, -5.0, -4.0, -3.0, f32::NAN]) };
    paths.draw(0, 1, &noise(7, 144), &[wild]);
    assert!(paths.of(0).iter().all(|d| *d == 0.0));
}

#[test]
fn a_stretch_learns_to_be_missed_one_time_in_twenty() {
    // Bounds that think the spread is half of what it is, and then twice.
    let said = Quantiles([-1.645, 0.0, 1.282, 1.645, 2.326].map(|z| 1000.0 + 100.0 * z));
    let (mut stretch, mut g) = (Stretch::default(), Lcg(11));
    for (spread, near) in [(200.0, 2.0), (50.0, 0.5)] {
        let mut missed = 0;
        for i in 0..4000 {
            let miss = 1000.0 + spread * g.normal() > stretch.bounds(said).q95();
            stretch.learn(miss);
            missed += u32::from(miss && i >= 1000);
        }
        assert!((100..=200).contains(&missed), "{missed} of 3000");
        assert!((stretch.factor() / near - 1.0).abs() < 0.25, "{stretch:?}");
    }
    (0..10_000).for_each(|_| stretch.learn(true));
    assert_eq!(stretch.factor(), 4.0, "and no farther");
    let bounds = stretch.bounds(said);
    assert_eq!(
        (bounds.q05(), bounds.q50(), bounds.q90()),
        (said.q05(), said.q50(), 1000.0 + 4.0 * (said.q90() - 1000.0))
    );
}

#[test]
fn a_stretched_chance_is_that_of_the_stretched_bound() {
    let paths = paths(&[&noise(8, 144), &noise(9, 144)], 1000.0, 200.0);
    let mut host = sum(&paths, &[0, 1]);
    let mut stretch = Stretch::default();
    assert_eq!(stretch.capacity(&host.peak(), 2500.0), 2500.0);
    (0..40).for_each(|_| stretch.learn(true));
    let q = host.peak();
    let wide = stretch.bounds(q).q95();
    assert!(wide > q.q95() + 100.0);
    let chance = host.exceeds(stretch.capacity(&q, wide));
    assert!((chance - 0.05).abs() < 0.01, "{chance}");
    assert!(host.exceeds(wide) < chance);
    assert_eq!(stretch.capacity(&q, q.q05()), q.q05(), "what is below the median stays");
}
