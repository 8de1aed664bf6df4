//! Adaptive conformal shifts (Gibbs and Candès, "Adaptive conformal inference under distribution shift", 2021): a bound
//! that was missed moves out, one that held moves in, so that in the long run each misses as often as its level says,
//! whatever the series does.

use fearless_simd::{Select, Simd, SimdBase, f32x16};
use foreshade_types::LEVELS;

use crate::lanes::{LANES, Lane, each, load};
use crate::lstm::Profile;

/// Step of a shift per outcome, in units of the window's scale. Chosen on the calibration split of the bench.
///
/// Bounds from a window alone are behind when the spread changes, so they are corrected fast; the model sees the last hour
/// beside the window and is ahead of it, and a fast correction would only add its own noise.
pub(crate) fn gamma(target: Option<usize>) -> f32 {
    if target.is_some() { 0.01 } else { 0.02 }
}

/// A shift this many scales away explains nothing any more; it would take too long to come back.
const SHIFT_MAX: f32 = 4.0;

/// A bound this close to the outcome (in scales) neither held nor was missed: an idle series that is forecast exactly
/// must not be driven into jitter.
const TIE: f32 = 1e-4;

/// The median's index in LEVELS: it is not shifted.
const MEDIAN: usize = 1;

/// Shifts of one horizon, in scales.
#[derive(Debug, Clone, PartialEq)]
#[repr(align(64))]
pub(crate) struct Shifts([Lane; 5]);

impl Shifts {
    /// Where a series begins that has no outcome yet.
    pub(crate) fn starting(at: [f32; 5]) -> Self {
        Self(at.map(|v| [v; LANES]))
    }

    /// The shifted quantiles, before they are put in order.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(&self, simd: S, mut q: [f32x16<S>; 5], scale: f32x16<S>) -> [f32x16<S>; 5] {
        q.iter_mut().zip(&self.0).for_each(|(q, shift)| *q += load(simd, shift) * scale);
        q
    }

    /// Takes the outcomes (NaN = unknown) of shifted quantiles that [`Self::apply`] gave.
    #[inline(always)]
    pub(crate) fn learn<S: Simd>(
        &mut self,
        simd: S,
        gamma: f32,
        shifted: &[Lane; 5],
        y: f32x16<S>,
        scale: f32x16<S>,
    ) {
        let (zero, tie) = (f32x16::splat(simd, 0.0), scale * TIE);
        for i in (0..LEVELS.len()).filter(|&i| i != MEDIAN) {
            // P(y > q) is to be 1 - level: for a lower bound being above is the rule, for an upper one the miss.
            let (hit, miss) = (gamma * LEVELS[i], gamma * (LEVELS[i] - 1.0));
            let (above, shift) = (y - load(simd, &shifted[i]), load(simd, &self.0[i]));
            let step = above.simd_gt(zero).select(f32x16::splat(simd, hit), f32x16::splat(simd, miss));
            let moved = (shift + step).max(-SHIFT_MAX).min(SHIFT_MAX);
            // False where the outcome is unknown.
            above.abs().simd_gt(tie).select(moved, shift).store_slice(&mut self.0[i]);
        }
    }
}

/// Quantiles in order, none negative; the median stays where it is.
#[inline(always)]
pub(crate) fn in_order(shifted: &[Lane; 5]) -> [Lane; 5] {
    let positive = |row: &Lane| each(|l| row[l].max(0.0));
    let mid = positive(&shifted[MEDIAN]);
    let low = positive(&shifted[0]);
    let over = |i: usize| each(|l| shifted[i][l].max(mid[l]));
    let (smaller, larger) =
        (|a: &Lane, b: &Lane| each(|l| a[l].min(b[l])), |a: &Lane, b: &Lane| each(|l| a[l].max(b[l])));
    let (a, b, c) = (over(2), over(3), over(4));
    let (a, b) = (smaller(&a, &b), larger(&a, &b));
    let (b, c) = (smaller(&b, &c), larger(&b, &c));
    let (a, b) = (smaller(&a, &b), larger(&a, &b));
    [smaller(&low, &mid), mid, a, b, c]
}

/// Split conformal start (Papadopoulos et al., "Inductive confidence machines for regression", 2002): what the quantiles of
/// the shipped model and its fellows lacked on the calibration split of the bench, in scales, about the median of its
/// data sets, for those with bursts want more than the others can bear. By profile, then peak and steps of 1, 6 and 12 samples.
const START: [[[f32; 5]; 4]; 2] = [
    [
        [0.0, 0.0, 0.03, 0.05, 0.3],
        [0.0, 0.0, 0.0, 0.0, 0.05],
        [0.01, 0.0, 0.03, 0.04, 0.2],
        [0.01, 0.0, 0.03, 0.05, 0.4],
    ],
    [
        [0.0, 0.0, 0.04, 0.06, 0.5],
        [0.0, 0.0, 0.0, 0.02, 0.3],
        [0.0, 0.0, 0.02, 0.03, 0.4],
        [0.0, 0.0, 0.03, 0.07, 0.5],
    ],
];

/// The start of a horizon that the model speaks of as its `target`-th; 0 for others.
pub(crate) fn start(profile: Profile, target: Option<usize>) -> [f32; 5] {
    let of_profile = match profile {
        Profile::Cpu => &START[0],
        Profile::Other => &START[1],
    };
    target.map_or([0.0; 5], |t| of_profile[t])
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    fn all(q: [f32; 5]) -> [Lane; 5] {
        q.map(|v| [v; LANES])
    }

    fn learn(s: &mut Shifts, gamma: f32, shifted: [f32; 5], y: f32, scale: f32) {
        dispatch!(Level::new(), simd => {
            s.learn(simd, gamma, &all(shifted), f32x16::splat(simd, y), f32x16::splat(simd, scale))
        });
    }

    #[test]
    fn misses_move_out_and_hits_move_in() {
        let mut s = Shifts::starting([0.0; 5]);
        learn(&mut s, 0.1, [1.0, 2.0, 3.0, 4.0, 5.0], 4.5, 1.0);
        let want = [0.1 * 0.05, 0.0, 0.1 * 0.9, 0.1 * 0.95, -0.1 * 0.01];
        for (got, want) in s.0.iter().zip(want) {
            assert!((got[0] - want).abs() < 1e-6, "{got:?} {want}");
        }
        let q = dispatch!(Level::new(), simd => {
            let q = [f32x16::splat(simd, 0.0); 5];
            s.apply(simd, q, f32x16::splat(simd, 2.0))[2].as_slice()[7]
        });
        assert!((q - 0.18).abs() < 1e-6);
    }

    #[test]
    fn a_tie_and_an_unknown_outcome_move_nothing() {
        let mut s = Shifts::starting([0.0; 5]);
        learn(&mut s, 0.02, [0.0; 5], 0.0, 0.5);
        assert_eq!(s, Shifts::starting([0.0; 5]));
        learn(&mut s, 0.02, [0.0; 5], f32::NAN, 0.5);
        assert_eq!(s, Shifts::starting([0.0; 5]));
    }

    #[test]
    fn crossed_quantiles_are_put_in_order_around_the_median() {
        assert_eq!(in_order(&all([3.0, 2.0, 1.0, 9.0, 8.0])), all([2.0, 2.0, 2.0, 8.0, 9.0]));
        assert_eq!(in_order(&all([-3.0, -1.0, 1.0, 2.0, 3.0])), all([0.0, 0.0, 1.0, 2.0, 3.0]));
    }
}
