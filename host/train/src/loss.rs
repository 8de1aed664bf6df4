//! The pinball loss (Koenker and Bassett 1978) of the head's ordered quantiles, and its gradient.

use foreshade_accel::lstm_step::{LEVELS, TARGETS};
use foreshade_types::LEVELS as QUANTILE_LEVELS;

use crate::net::OUTPUTS;
use crate::real::Real;

/// How much each level counts: bounds are what is acted on, the median carries the others.
pub const LEVEL_WEIGHTS: [f64; LEVELS] = [1.0, 2.0, 1.0, 1.5, 2.0];

/// What came, and what the forecast is relative to. Each [tick][stream].
#[derive(Debug, Clone, Copy)]
pub struct Ahead<'a, T> {
    /// The targets, points, [tick][stream][4].
    pub y: &'a [T],
    /// The last sample, points.
    pub last: &'a [T],
    /// The window's scale, points.
    pub scale: &'a [T],
    /// How much the row counts; 0 where a sample is missing.
    pub weight: &'a [T],
}

/// A sum of losses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outcome {
    /// Sum over rows, targets and levels of weight x level weight x pinball.
    pub sum: f64,
    /// Sum of the rows' weights.
    pub weight: f64,
}

/// The loss of raw outputs r [row][20] and its gradient times `share`, to `d_r`. With q ordered by running sums of
/// softplus (kernels/lstm_step/README.md), softplus' = sigmoid.
#[inline(always)]
pub(crate) fn pinball<T: Real>(r: &[T], ahead: Ahead<'_, T>, share: f64, d_r: &mut [T]) -> Outcome {
    let mut total = Outcome::default();
    let weights = LEVEL_WEIGHTS.map(T::of);
    let levels = QUANTILE_LEVELS.map(|l| T::of(f64::from(l)));
    let share = T::of(share);
    for (row, (r, d_r)) in r.chunks_exact(OUTPUTS).zip(d_r.chunks_exact_mut(OUTPUTS)).enumerate() {
        let weight = ahead.weight[row];
        if weight == T::default() {
            d_r.fill(T::default());
            continue;
        }
        let mut soft = [T::default(); OUTPUTS];
        let mut slope = [T::default(); OUTPUTS];
        for k in 0..OUTPUTS {
            soft[k] = r[k].softplus();
            slope[k] = r[k].sigmoid();
        }
        let (last, scale) = (ahead.last[row], ahead.scale[row]);
        let mut sum = T::default();
        for target in 0..TARGETS {
            let at = target * LEVELS;
            let actual = ahead.y[row * TARGETS + target] - last;
            let median = r[at + 1];
            let mut q = [median; LEVELS];
            q[0] = median - soft[at];
            for level in 2..LEVELS {
                q[level] = q[level - 1] + soft[at + level];
            }
            let mut d_q = [T::default(); LEVELS];
            for level in 0..LEVELS {
                let error = actual - q[level] * scale;
                // max(level * error, (level - 1) * error), and its slope by the error.
                let by = if error > T::default() { levels[level] } else { levels[level] - T::ONE };
                sum += weights[level] * by * error;
                d_q[level] = -(weights[level] * by * scale * weight * share);
            }
            let mut above = T::default();
            for level in (2..LEVELS).rev() {
                above += d_q[level];
                d_r[at + level] = above * slope[at + level];
            }
            d_r[at] = -(d_q[0] * slope[at]);
            d_r[at + 1] = d_q[0] + d_q[1] + above;
        }
        total.sum += (sum * weight).wide();
        total.weight += weight.wide();
    }
    total
}
