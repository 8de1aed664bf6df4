//! Seeded series of every kind a fleet shows, and some that it should not.

use super::{FIT_WORDS, REACH_MAX, reference};
use crate::spec::blocked;

/// Kinds of series; lane i is of kind i % KINDS.
pub const KINDS: usize = 16;

/// A small generator (splitmix64): the cases must be the same for ever.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Nearly normal: a sum of 12 uniform numbers.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// An ARMA path, `warm` values thrown away.
    fn arma(&mut self, ar: &[f64], ma: f64, n: usize) -> Vec<f64> {
        const WARM: usize = 64;
        let (mut z, mut before): (Vec<f64>, f64) = (Vec::new(), 0.0);
        for t in 0..n + WARM {
            let e = self.normal();
            let lags: f64 =
                ar.iter().enumerate().filter(|(j, _)| *j < t).map(|(j, a)| a * z[t - 1 - j]).sum();
            z.push(lags + e + ma * before);
            before = e;
        }
        z.split_off(WARM)
    }
}

/// y [samples][lanes], oldest first.
pub fn case(seed: u64, lanes: usize, samples: usize) -> Vec<f32> {
    let mut y = vec![0.0; samples * lanes];
    for lane in 0..lanes {
        let mut random = Random(seed ^ (lane as u64).wrapping_mul(0xd134_2543_de82_ef95));
        for (t, v) in series(&mut random, lane % KINDS, samples).into_iter().enumerate() {
            y[t * lanes + lane] = v;
        }
    }
    y
}

fn series(r: &mut Random, kind: usize, n: usize) -> Vec<f32> {
    let f32s = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
    match kind {
        0 => vec![r.uniform() as f32; n],
        1 => f32s(r.arma(&[0.7], 0.0, n)),
        2 => f32s(r.arma(&[0.5, -0.3, 0.1, 0.0, 0.2, 0.1], 0.0, n)),
        3 => f32s(r.arma(&[], 0.6, n)),
        4 => f32s(r.arma(&[0.8], -0.4, n)),
        5 => f32s(running_sum(r.arma(&[], 0.0, n), 50.0)),
        6 => f32s(running_sum(r.arma(&[0.6], 0.0, n), 8.0e9)),
        7 => f32s(running_sum(r.arma(&[], -0.7, n), 0.0)),
        // Idle: percent with little noise.
        8 => (0..n).map(|_| (0.3 + 1e-4 * r.normal()) as f32).collect(),
        // Idle with bursts.
        9 => (0..n).map(|_| if r.uniform() < 0.05 { 90.0 } else { r.uniform() as f32 }).collect(),
        // Whole percents.
        10 => f32s(r.arma(&[0.5], 0.0, n).into_iter().map(|v| (20.0 + 4.0 * v).round()).collect()),
        // Gaps.
        11 => holes(r, 0.1, n),
        12 => {
            let share = [0.5, 0.9, 0.99][(r.bits() % 3) as usize];
            holes(r, share, n)
        }
        // Near the ends of what counts.
        13 => f32s(r.arma(&[0.9], 0.0, n).into_iter().map(|v| v * 1.0e14).collect()),
        14 => f32s(r.arma(&[0.4], 0.0, n).into_iter().map(|v| v * 1.0e-14).collect()),
        _ => odd(r, n),
    }
}

fn running_sum(steps: Vec<f64>, first: f64) -> Vec<f64> {
    let mut at = first;
    let scale = first.abs().max(1.0) * 1e-3;
    steps
        .into_iter()
        .map(|v| {
            at += v * scale;
            at
        })
        .collect()
}

fn holes(r: &mut Random, share: f64, n: usize) -> Vec<f32> {
    let path = r.arma(&[0.8], 0.0, n);
    path.into_iter().map(|v| if r.uniform() < share { f32::NAN } else { v as f32 }).collect()
}

/// Wrong samples, nothing but gaps, ramps and waves without noise.
fn odd(r: &mut Random, n: usize) -> Vec<f32> {
    let wrong = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -f32::MAX, REACH_MAX * 2.0, f32::NAN];
    match r.bits() % 6 {
        0 => vec![f32::NAN; n],
        1 => (0..n).map(|t| t as f32 * 0.25).collect(),
        2 => (0..n).map(|t| (t as f32 * 0.2).sin() * 30.0 + 40.0).collect(),
        3 => (0..n).map(|t| if t < n / 2 { 1.0 } else { 5.0 }).collect(),
        4 => (0..n).map(|t| if t % 2 == 0 { f32::NAN } else { r.normal() as f32 }).collect(),
        _ => {
            let path = r.arma(&[0.6], 0.3, n);
            let mut spoilt = |v: f64| match r.uniform() < 0.1 {
                true => wrong[(r.bits() % 6) as usize],
                false => v as f32,
            };
            path.into_iter().map(&mut spoilt).collect()
        }
    }
}

/// Fitted words of the series of [`case`], [lanes/64][FIT_WORDS][64], as the reference has them. Series repeat after 256.
pub fn fitted(seed: u64, lanes: usize, samples: usize) -> Vec<f32> {
    let distinct = lanes.clamp(1, 256);
    let y = case(seed, distinct, samples);
    let fits: Vec<_> = (0..distinct)
        .map(|lane| reference::fit(&(0..samples).map(|t| y[t * distinct + lane]).collect::<Vec<_>>()).words)
        .collect();
    let mut words = vec![0.0; lanes * FIT_WORDS];
    for lane in 0..lanes {
        for i in 0..FIT_WORDS {
            words[blocked(lane, i, FIT_WORDS)] = fits[lane % distinct][i] as f32;
        }
    }
    words
}
