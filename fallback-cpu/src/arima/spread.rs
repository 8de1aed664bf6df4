//! How far off a window's own forecasts were: what the fitted model would have said at each sample of the window that it
//! was fitted to, against what came. The quantiles of these errors, per horizon, are bounds that assume no distribution and
//! hold for the peak of the next samples as well as for one of them, which no variance formula gives.

use fearless_simd::{Select, Simd, SimdBase, dispatch};
use foreshade_kernels::GROUP;
use foreshade_kernels::arima_fit::{D, FIT_WORDS, LEVELS, MEAN, P, P_MAX, PHI, THETA};
use rayon::prelude::*;

use super::sort::{quantile, sort_rows};
use super::{put, row};
use crate::Exec;

/// What a forecast is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The value this many samples ahead.
    Step(usize),
    /// The largest of this many samples.
    Peak(usize),
}

impl Reach {
    fn steps(self) -> usize {
        match self {
            Self::Step(n) | Self::Peak(n) => n,
        }
    }
}

/// Words per horizon: the quantiles of the errors at [`LEVELS`], and how many errors there were.
pub const SPREAD_WORDS: usize = LEVELS.len() + 1;

/// Most steps of a horizon.
pub const STEPS_MAX: usize = 72;

/// Samples from one origin to the next: the errors of neighbours are nearly the same, and half of them costs half.
const STRIDE: usize = 2;

/// The first origin: all lags are before it.
const fn first(samples: usize) -> usize {
    P_MAX + (samples - 1 - P_MAX) % STRIDE
}

/// Origins that are looked at side by side.
const SIDE: usize = 4;

/// What is ahead of some origins: written as far as it is read.
struct Ahead<S: Simd> {
    /// What the model is of, from [`P_MAX`] values before the origin.
    path: [[S::f32s; SIDE]; P_MAX + STEPS_MAX],
    /// The forecasts.
    point: [[S::f32s; SIDE]; STEPS_MAX],
}

impl<S: Simd> Ahead<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let none = [S::f32s::splat(simd, 0.0); SIDE];
        Self { path: [none; P_MAX + STEPS_MAX], point: [none; STEPS_MAX] }
    }
}

/// Longest vector.
const WIDEST: usize = 16;
/// Above every error: sorts behind them.
const BEHIND: f32 = f32::MAX;

/// Windows `y` [samples][lanes] (NaN = missing) and the models `fit` that `arima_fit` made of them give `out`,
/// [lanes/64][horizons][[`SPREAD_WORDS`]][64]: outcome minus forecast. A peak needs half of its samples.
///
/// # Panics
/// If a length is wrong, or a horizon is 0 or beyond [`STEPS_MAX`] or the window: a bug of the caller.
pub fn spread(
    exec: &Exec,
    [lanes, samples]: [usize; 2],
    horizons: &[Reach],
    y: &[f32],
    fit: &[f32],
    out: &mut [f32],
) {
    let longest = horizons.iter().map(|h| h.steps()).max().unwrap_or(0);
    assert!(longest <= STEPS_MAX && longest + P_MAX < samples && y.len() == lanes * samples, "shapes");
    let words = horizons.len() * SPREAD_WORDS * GROUP;
    if words == 0 {
        return;
    }
    exec.install(|| {
        out.par_chunks_exact_mut(words).enumerate().for_each_init(
            || Past::new(samples, horizons.len()),
            |past, (group, out)| {
                let fit = &fit[group * FIT_WORDS * GROUP..(group + 1) * FIT_WORDS * GROUP];
                dispatch!(exec.level(), simd => {
                    for first in (0..GROUP).step_by(width(simd)) {
                        let model = Model::read(simd, &fit[first..]);
                        past.load(simd, &model, &y[group * GROUP + first..], lanes);
                        past.errors(simd, &model, horizons, longest);
                        past.quantiles(simd, horizons, &mut out[first..]);
                    }
                });
            },
        );
    });
}

#[inline(always)]
fn width<S: Simd>(_: S) -> usize {
    S::f32s::LEN
}

/// A vector's models.
struct Model<S: Simd> {
    phi: [S::f32s; P_MAX],
    theta: S::f32s,
    mean: S::f32s,
    differenced: S::f32s,
    /// Highest order among them.
    order: usize,
}

impl<S: Simd> Model<S> {
    #[inline(always)]
    fn read(simd: S, fit: &[f32]) -> Self {
        let n = S::f32s::LEN;
        let word = |w: usize| S::f32s::from_slice(simd, &fit[w * GROUP..w * GROUP + n]);
        let order = fit[P * GROUP..P * GROUP + n].iter().fold(0.0f32, |a, b| a.max(*b)) as usize;
        let phi = std::array::from_fn(|j| word(PHI + j));
        Self { phi, theta: word(THETA), mean: word(MEAN), differenced: word(D), order: order.min(P_MAX) }
    }
}

/// A vector's windows, rows of one value per lane.
struct Past {
    samples: usize,
    /// Samples, NaN = missing.
    raw: Vec<f32>,
    /// Samples, gaps filled with the value before them.
    filled: Vec<f32>,
    /// 1 from the first sample on.
    begun: Vec<f32>,
    /// What the model is of: the samples less their mean, or their differences; 0 where missing.
    z: Vec<f32>,
    /// Residuals; 0 where missing.
    e: Vec<f32>,
    /// Errors by horizon and origin.
    errors: Vec<Vec<f32>>,
    /// Errors that are none, by horizon.
    missing: Vec<[f32; WIDEST]>,
}

impl Past {
    fn new(samples: usize, horizons: usize) -> Self {
        let rows = || vec![0.0; samples * WIDEST];
        Self {
            samples,
            raw: rows(),
            filled: rows(),
            begun: rows(),
            z: rows(),
            e: rows(),
            errors: (0..horizons).map(|_| rows()).collect(),
            missing: vec![[0.0; WIDEST]; horizons],
        }
    }

    /// One pass over the samples, `y` from the first lane of the vector on.
    #[inline(always)]
    fn load<S: Simd>(&mut self, simd: S, m: &Model<S>, y: &[f32], lanes: usize) {
        let (zero, one) = (S::f32s::splat(simd, 0.0), S::f32s::splat(simd, 1.0));
        let differenced = m.differenced.simd_gt(zero);
        let (mut filled, mut there, mut begun, mut e) = (zero, zero, zero, zero);
        for t in 0..self.samples {
            let x = S::f32s::from_slice(simd, &y[t * lanes..t * lanes + S::f32s::LEN]);
            let known = x.simd_eq(x);
            let now = known.select(one, zero);
            let both = (now * there).simd_gt(zero);
            let counts = differenced.select(both.select(one, zero), now).simd_gt(zero);
            let z = counts.select(x - differenced.select(filled, m.mean), zero);
            let mut said = m.theta * e;
            for j in 0..m.order.min(t) {
                said += m.phi[j] * row(simd, &self.z, t - 1 - j);
            }
            e = counts.select(z - said, zero);
            filled = known.select(x, filled);
            there = now;
            begun = begun.max(now);
            put::<S>(&mut self.raw, t, x);
            put::<S>(&mut self.filled, t, filled);
            put::<S>(&mut self.begun, t, begun);
            put::<S>(&mut self.z, t, z);
            put::<S>(&mut self.e, t, e);
        }
    }

    /// Forecasts from every sample that has all lags before it, and what they missed by.
    #[inline(always)]
    fn errors<S: Simd>(&mut self, simd: S, m: &Model<S>, horizons: &[Reach], longest: usize) {
        self.missing.iter_mut().for_each(|m| *m = [0.0; WIDEST]);
        let shortest = horizons.iter().map(|h| h.steps()).min().unwrap_or(longest);
        let mut ahead = Ahead::new(simd);
        let (mut k, end) = (first(self.samples), self.samples - shortest);
        while k < end {
            // While all reach as far.
            if k + (SIDE - 1) * STRIDE + longest < self.samples {
                self.origins::<S, SIDE>(simd, m, horizons, &mut ahead, k, longest);
                k += SIDE * STRIDE;
            } else {
                let steps = longest.min(self.samples - 1 - k);
                self.origins::<S, 1>(simd, m, horizons, &mut ahead, k, steps);
                k += STRIDE;
            }
        }
    }

    /// `N` origins from `k` on, `steps` ahead each. One alone would wait for every one of its additions.
    #[inline(always)]
    fn origins<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        m: &Model<S>,
        horizons: &[Reach],
        ahead: &mut Ahead<S>,
        k: usize,
        steps: usize,
    ) {
        let (zero, one) = (S::f32s::splat(simd, 0.0), S::f32s::splat(simd, 1.0));
        let differenced = m.differenced.simd_gt(zero);
        let (path, point) = (&mut ahead.path, &mut ahead.point);
        let mut shock = [zero; N];
        let mut sum = [zero; N];
        for o in 0..N {
            let k = k + o * STRIDE;
            for (j, slot) in path[..P_MAX].iter_mut().enumerate() {
                slot[o] = row(simd, &self.z, k + 1 + j - P_MAX);
            }
            shock[o] = m.theta * row(simd, &self.e, k);
            sum[o] = row(simd, &self.filled, k);
        }
        for h in 0..steps {
            let mut f = shock;
            for j in 0..m.order {
                for o in 0..N {
                    f[o] += m.phi[j] * path[P_MAX + h - 1 - j][o];
                }
            }
            shock = [zero; N];
            for o in 0..N {
                path[P_MAX + h][o] = f[o];
                sum[o] += f[o];
                point[h][o] = differenced.select(sum[o], m.mean + f[o]);
            }
        }
        for o in 0..N {
            let k = k + o * STRIDE;
            let begun = row(simd, &self.begun, k).simd_gt(zero);
            for (i, reach) in horizons.iter().enumerate().filter(|(_, r)| r.steps() <= steps) {
                let n = reach.steps();
                let (said, came) = match reach {
                    Reach::Step(_) => (point[n - 1][o], row(simd, &self.raw, k + n)),
                    Reach::Peak(_) => {
                        let said = point[..n].iter().fold(point[0][o], |a, b| a.max(b[o]));
                        (said, self.peak(simd, k, n))
                    }
                };
                let told = came.simd_eq(came) & begun;
                let error = told.select(came - said, S::f32s::splat(simd, BEHIND));
                put::<S>(&mut self.errors[i], (k - first(self.samples)) / STRIDE, error);
                let lost = S::f32s::from_slice(simd, &self.missing[i][..S::f32s::LEN]);
                (lost + told.select(zero, one)).store_slice(&mut self.missing[i][..S::f32s::LEN]);
            }
        }
    }

    /// The largest known value of samples k + 1 ..= k + n, NaN where less than half are known.
    #[inline(always)]
    fn peak<S: Simd>(&self, simd: S, k: usize, n: usize) -> S::f32s {
        let (zero, one) = (S::f32s::splat(simd, 0.0), S::f32s::splat(simd, 1.0));
        let (mut most, mut there) = (S::f32s::splat(simd, -BEHIND), zero);
        for t in k + 1..=k + n {
            let x = row(simd, &self.raw, t);
            let known = x.simd_eq(x);
            most = known.select(x.max(most), most);
            there += known.select(one, zero);
        }
        let enough = (there + there).simd_ge(S::f32s::splat(simd, n as f32));
        enough.select(most, S::f32s::splat(simd, f32::NAN))
    }

    #[inline(always)]
    fn quantiles<S: Simd>(&mut self, simd: S, horizons: &[Reach], out: &mut [f32]) {
        let n = S::f32s::LEN;
        for (i, reach) in horizons.iter().enumerate() {
            let first = first(self.samples);
            let origins = (self.samples - first - reach.steps()).div_ceil(STRIDE);
            sort_rows(simd, &mut self.errors[i], origins);
            let mut counts = [1.0; WIDEST];
            for (count, missing) in counts.iter_mut().zip(&self.missing[i]) {
                *count = origins as f32 - missing;
            }
            let at = |word: usize| (i * SPREAD_WORDS + word) * GROUP;
            out[at(LEVELS.len())..at(LEVELS.len()) + n].copy_from_slice(&counts[..n]);
            counts.iter_mut().for_each(|c| *c = c.max(1.0));
            for (k, &level) in LEVELS.iter().enumerate() {
                quantile(simd, &self.errors[i], &counts, level).store_slice(&mut out[at(k)..at(k) + n]);
            }
        }
    }
}
