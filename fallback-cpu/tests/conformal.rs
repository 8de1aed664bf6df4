//! The quantile tracker of the CPU back end against the f64 definition, at every instruction set of this machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::{Exec, conformal, levels};
use foreshade_kernels::conformal_update::cases::{self, SIZES, case};
use foreshade_kernels::conformal_update::reference::Inputs;
use foreshade_kernels::conformal_update::{SPEC, tolerance};

/// The kernel's outputs over poisoned memory of exactly the lengths that `SPEC` states.
fn run(exec: &Exec, x: &Inputs) -> (Vec<f32>, Vec<f32>) {
    let words = (SPEC.extent)(&x.ints).unwrap().words;
    let given = [x.y.len(), x.issued.len(), x.scale.len(), x.base.len(), x.shift.len()];
    assert_eq!(given, words[..5]);
    let (mut shift, mut out) = (vec![f32::NAN; words[5]], vec![f32::NAN; words[6]]);
    conformal::update(
        exec, &x.ints, &x.floats, &x.y, &x.issued, &x.scale, &x.base, &x.shift, &mut shift, &mut out,
    );
    (shift, out)
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn every_level_is_within_rounding_of_the_reference() {
    for (level, _) in levels() {
        let exec = Exec::new(Some(level), 2).unwrap();
        for (seed, series) in SIZES.into_iter().enumerate() {
            let inputs = case(seed as u64, series);
            let (shift, out) = run(&exec, &inputs);
            tolerance::check(&inputs, &shift, &out).unwrap_or_else(|e| panic!("{level} {series}: {e}"));
        }
    }
}

#[test]
fn every_level_gives_the_same_bytes() {
    let inputs = case(9, 4097);
    let mut all = levels().into_iter().map(|(level, _)| {
        let (shift, out) = run(&Exec::new(Some(level), 2).unwrap(), &inputs);
        (level, bits(&shift), bits(&out))
    });
    let (_, shift, out) = all.next().unwrap();
    for (level, s, o) in all {
        assert!(s == shift && o == out, "{level}");
    }
}

#[test]
fn a_group_does_not_feel_the_others_or_the_threads() {
    let inputs = case(4, 64 * 40);
    let (shift, out) = run(&Exec::new(None, 3).unwrap(), &inputs);
    for group in [0, 1, 17, 39] {
        let (s, o) = run(&Exec::new(None, 1).unwrap(), &cases::group(&inputs, group));
        assert_eq!(bits(&s), bits(&shift[group * 320..(group + 1) * 320]));
        assert_eq!(bits(&o), bits(&out[group * 640..(group + 1) * 640]));
    }
}

/// Feeds one lane with outcomes and counts how often each bound was exceeded.
#[test]
fn in_the_long_run_each_bound_is_missed_as_often_as_its_level_says() {
    const TICKS: usize = 20_000;
    let exec = Exec::new(None, 1).unwrap();
    let mut x = case(0, 1);
    x.floats[0] = 0.05;
    x.scale.fill(2.0);
    x.base.fill(10.0);
    x.shift.fill(0.0);
    x.issued.fill(10.0);
    let mut noise = 1u64;
    let mut exceeded = [0usize; 5];
    for tick in 0..TICKS {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // A series whose level and spread both wander.
        let level = 10.0 + (tick as f32 / 900.0).sin();
        x.y[0] = level + (1.0 + (tick as f32 / 2000.0).cos()) * ((noise >> 40) as f32 / (1u32 << 24) as f32);
        for (k, n) in exceeded.iter_mut().enumerate() {
            *n += usize::from(x.y[0] > x.issued[k * 64]);
        }
        let (shift, out) = run(&exec, &x);
        x.shift = shift;
        x.issued = out[..320].to_vec();
    }
    for (k, rare) in [(0, 0.95), (2, 0.1), (3, 0.05), (4, 0.01)] {
        let share = exceeded[k] as f64 / TICKS as f64;
        // The shifts stay within +-4, so the count is within 8 / gamma of its aim.
        assert!((share - rare).abs() <= 8.0 / 0.05 / TICKS as f64, "level {k}: {share}");
    }
    assert!((0..64).all(|i| x.shift[64 + i] == 0.0), "the median moved");
}

/// The check of the other tests must itself notice a wrong answer.
#[test]
fn the_check_refuses_wrong_answers() {
    let inputs = case(2, 64);
    let (shift, out) = run(&Exec::new(None, 1).unwrap(), &inputs);
    let refused = |change: &dyn Fn(&mut [f32], &mut [f32])| {
        let (mut shift, mut out) = (shift.clone(), out.clone());
        change(&mut shift, &mut out);
        tolerance::check(&inputs, &shift, &out).is_err()
    };
    assert!(!refused(&|_, _| ()));
    let known = (0..64).find(|&i| !inputs.y[i].is_nan()).unwrap();
    assert!(refused(&|s, _| s[known] += 1e-3), "shift");
    assert!(refused(&|_, o| o[known] *= 1.000_001), "raw");
    assert!(refused(&|_, o| o[320 + known] = o[320 + known].next_up()), "ordered");
    assert!(refused(&|_, o| o[0] = f32::NAN), "NaN");
}
