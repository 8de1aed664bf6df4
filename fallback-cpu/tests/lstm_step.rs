//! The step at every SIMD level of this machine against the f64 definition, and the promise that a lane's bytes depend on
//! that lane alone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::{Exec, levels, lstm_step};
use foreshade_kernels::lstm_step::cases::{Case, Shape, case};
use foreshade_kernels::lstm_step::{LEVELS, RESET, STEP};
use foreshade_kernels::spec::{GROUP, blocked};

/// No kernel result has these bits.
const POISON: f32 = f32::from_bits(0xFFFF_FFFF);

/// The state after the step and the outputs; every word was written.
fn run(exec: &Exec, c: &Case) -> (Vec<f32>, Vec<f32>) {
    let (mut state, mut out) = (vec![POISON; c.state_words()], vec![POISON; c.out_words()]);
    lstm_step::step(exec, &c.ints, &c.mode, &c.x, &c.stats, &c.packed, &c.state_in, &mut state, &mut out);
    let written = |v: &f32| v.to_bits() != POISON.to_bits();
    assert!(state.iter().chain(&out).all(written), "an output word was not written");
    (state, out)
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

/// Input, hidden, layers, stats, width.
fn shape(sizes: [usize; 5]) -> Shape {
    let [input, hidden, layers, stats, width] = sizes;
    Shape { input, hidden, layers, stats, width }
}

fn check(level: &str, lanes: usize, sizes: [usize; 5], stride: usize) {
    let c = case(7 + lanes as u64, lanes, shape(sizes)).unwrap();
    for threads in [1, 2] {
        let (state, out) = run(&Exec::new(Some(level), threads).unwrap(), &c);
        match c.check(&state, &out, stride) {
            Ok(worst) => println!("{level} {sizes:?} {lanes} lanes: {worst:?} of the tolerance"),
            Err(e) => panic!("{level}, {lanes} lanes, {sizes:?}, {threads} threads: {e}"),
        }
    }
}

#[test]
fn every_level_stays_within_the_derived_bound() {
    for (level, _) in levels() {
        for hidden in [1, 7, 16, 24, 32, 128] {
            for layers in [1, 2] {
                for (stats, width) in [(0, 0), (48, 64), (3, 7)] {
                    let stride = if hidden == 128 { 5 } else { 1 };
                    check(level, 65, [6, hidden, layers, stats, width], stride);
                }
            }
        }
    }
}

#[test]
fn every_number_of_lanes_is_whole() {
    for (level, _) in levels() {
        for lanes in [0, 1, 63, 64, 65, 4097] {
            check(level, lanes, [8, 32, 1, 0, 0], 41);
            check(level, lanes, [6, 16, 2, 10, 12], 41);
        }
    }
}

#[test]
fn a_lane_does_not_feel_its_neighbours_nor_its_place() {
    for (level, _) in levels() {
        let exec = Exec::new(Some(level), 2).unwrap();
        let all = case(3, 1000, shape([6, 24, 2, 5, 9])).unwrap();
        let (state, out) = run(&exec, &all);
        let lanes = all.mode.len();
        for (lane, to) in [(0, 17), (63, 0), (64, 63), (500, 5), (999, 40)] {
            // The same lane alone in a group whose other lanes hold.
            let mut alone = case(3, GROUP, shape([6, 24, 2, 5, 9])).unwrap();
            alone.mode.fill(0);
            alone.mode[to] = all.mode[lane];
            (0..6).for_each(|k| alone.x[k * GROUP + to] = all.x[k * lanes + lane]);
            (0..5).for_each(|k| alone.stats[k * GROUP + to] = all.stats[k * lanes + lane]);
            (0..96).for_each(|v| alone.state_in[blocked(to, v, 96)] = all.state_in[blocked(lane, v, 96)]);
            let (one_state, one_out) = run(&exec, &alone);
            let pick = |from: &[f32], lane, n| -> Vec<u32> {
                (0..n).map(|v| from[blocked(lane, v, n)].to_bits()).collect()
            };
            assert_eq!(pick(&one_state, to, 96), pick(&state, lane, 96), "{level} lane {lane}");
            assert_eq!(pick(&one_out, to, 20), pick(&out, lane, 20), "{level} lane {lane}");
        }
    }
}

#[test]
fn threads_change_the_time_only() {
    for (level, _) in levels() {
        let c = case(5, 4097, shape([6, 16, 1, 10, 12])).unwrap();
        let (state, out) = run(&Exec::new(Some(level), 1).unwrap(), &c);
        for threads in [2, 3, 5] {
            let (s, o) = run(&Exec::new(Some(level), threads).unwrap(), &c);
            assert_eq!((bits(&s), bits(&o)), (bits(&state), bits(&out)), "{level} {threads} threads");
        }
    }
}

#[test]
fn held_lanes_keep_every_bit_and_reset_lanes_start_from_zero() {
    let mut c = case(8, 4 * GROUP, shape([4, 8, 2, 3, 4])).unwrap();
    // Groups: all held, all held and reset, all reset, mixed. Held state holds bits that arithmetic would change.
    for (lane, mode) in c.mode.iter_mut().enumerate() {
        *mode = [0, RESET, STEP | RESET, if lane % 2 == 0 { STEP } else { RESET }][lane / GROUP];
    }
    let dirty = f32::from_bits(0x7FA0_1234);
    c.state_in[..GROUP * 32].fill(dirty);
    c.x.iter_mut().for_each(|v| *v = if v.is_nan() { 0.5 } else { *v });
    c.stats.iter_mut().for_each(|v| *v = if v.is_nan() { 0.5 } else { *v });
    for (level, _) in levels() {
        let (state, out) = run(&Exec::new(Some(level), 1).unwrap(), &c);
        c.check(&state, &out, 1).unwrap_or_else(|e| panic!("{level}: {e}"));
        assert!(state[..GROUP * 32].iter().all(|v| v.to_bits() == dirty.to_bits()), "{level}");
    }
}

#[test]
fn quantiles_cannot_cross() {
    for (level, _) in levels() {
        let exec = Exec::new(Some(level), 1).unwrap();
        let mut c = case(2, 200, shape([6, 32, 1, 48, 64])).unwrap();
        for _ in 0..20 {
            let (state, out) = run(&exec, &c);
            for lane in (0..200).filter(|l| c.mode[*l] & STEP != 0) {
                let q: Vec<f32> = (0..20).map(|v| out[blocked(lane, v, 20)]).collect();
                assert!(q.chunks(LEVELS).all(|q| q.is_sorted()), "{level} lane {lane}: {q:?}");
            }
            c.state_in = state;
        }
    }
}
