//! Features of a series: a pure function of its last 144 samples, one vector per tick; computed for sixteen series at once.
//!
//! Order statistics live in sorted windows that a tick updates; sums run over the window
//! anew, so that nothing drifts and a series rebuilt from its last 144 samples gives the same bytes.
//! `tools/features.py` is the same function in NumPy, for training; `models/default/fixture.safetensors` ties the two.

use fearless_simd::{Level, Simd, SimdBase, SimdWiden, dispatch, f32x16, f64x8};
use foreshade_types::Horizon;

use crate::history::{HOUR, History, PEAK, Place};
use crate::lanes::{LANES, Lane, all, each, load};
use crate::order::Level::{Q05, Q10, Q25, Q50, Q75, Q90, Q95, Q99};

/// Samples in the window: 12 h at 5 min.
pub const WINDOW: usize = 144;
/// Values of [`Features::input`].
pub const INPUT: usize = 6;
/// Values of [`Features::stats`].
pub const STATS: usize = 48;
/// Version of the meaning of both vectors; a model names the one it was trained on.
pub const VERSION: &str = "1";

/// Statistics beyond this many scales say no more, and the head has not seen them.
const CLIP: f32 = 8.0;
/// Weights of the moving averages with smoothing factors 0.05, 0.2 and 0.5.
static EWMA: [Ewma; 3] = [Ewma::new(0.05), Ewma::new(0.2), Ewma::new(0.5)];

/// The vectors of one series at one tick. Levels are in units of `scale`, relative to the window's mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// Enters the LSTM: z, x / 100, hour's maximum and mean of z, ln scale, mean / 100.
    pub input: [f32; INPUT],
    /// Enters the head; the order is that of `stats` in `tools/features.py`.
    pub stats: [f32; STATS],
    /// The last sample, points: forecasts are relative to it.
    pub last: f32,
    /// Standard deviation of the window plus half a point: forecasts are in units of it.
    pub scale: f32,
}

/// The last [`WINDOW`] samples of a series, kept so that [`Self::features`] is cheap: the first of sixteen lanes.
#[derive(Debug, Clone)]
pub struct FeatureWindow(History);

impl Default for FeatureWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl FeatureWindow {
    /// A series without a sample.
    pub fn new() -> Self {
        Self(History::new(&[]))
    }

    /// Samples in the window, at most [`WINDOW`].
    pub fn len(&self) -> usize {
        self.0.len(0)
    }

    /// Has there been no sample yet?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The window, oldest sample first.
    pub fn samples(&self) -> Vec<f32> {
        self.0.window(0).collect()
    }

    /// Adds the sample of a tick, in points. A missing one (not finite) repeats the last; before the first sample it
    /// is left out. Values are held to 0..=10,000.
    pub fn push(&mut self, points: f32) {
        let points = each(|l| if l == 0 { points } else { f32::NAN });
        dispatch!(Level::new(), simd => self.0.push(simd, &points));
    }

    /// The vectors at this tick; `None` before the first sample.
    pub fn features(&self) -> Option<Features> {
        let n = self.len();
        (n > 0).then(|| {
            dispatch!(Level::new(), simd => {
                let moments = Moments::of(simd, &self.0, n);
                let rows = describe(&self.0, &moments);
                let row = |i: usize| rows[i].as_slice()[0];
                let mut f = Features { input: [0.0; INPUT], stats: [0.0; STATS], last: self.0.last()[0], scale: 0.0 };
                f.scale = moments.scale.as_slice()[0];
                f.input.iter_mut().enumerate().for_each(|(i, v)| *v = row(i));
                f.stats.iter_mut().enumerate().for_each(|(i, v)| *v = row(INPUT + i));
                f
            })
        })
    }
}

/// Windows of one length: their means and spreads.
pub(crate) struct Moments<S: Simd> {
    simd: S,
    n: usize,
    mean: f32x16<S>,
    /// Standard deviation plus half a point, which keeps an idle series from having no unit at all.
    pub(crate) scale: f32x16<S>,
}

impl<S: Simd> Moments<S> {
    /// Of the lanes that have `n` samples; others get anything.
    #[inline(always)]
    pub(crate) fn of(simd: S, history: &History, n: usize) -> Self {
        let n = n.max(1);
        let sample = |i: usize| history.filled(simd, n - 1 - i);
        let mean = load(simd, &mean(simd, n, sample));
        let variance = variance(simd, n, mean, sample);
        let scale = each(|l| variance[l].sqrt() as f32 + 0.5);
        Self { simd, n, mean, scale: load(simd, &scale) }
    }
}

/// The vectors of the lanes that have as many samples as the moments are of: input, then statistics.
#[inline(always)]
pub(crate) fn describe<S: Simd>(history: &History, m: &Moments<S>) -> [f32x16<S>; INPUT + STATS] {
    let (simd, n, mean, s) = (m.simd, m.n, m.mean, m.scale);
    let sample = |i: usize| history.filled(simd, n - 1 - i);
    let last = sample(n - 1);
    let z = |x: f32x16<S>| (x - mean) / s;

    let hours = n.min(HOUR);
    let hour = |i: usize| sample(n - hours + i);
    let hour_max = z(max(hours, hour));
    let hour_mean = load(simd, &self::mean(simd, hours, hour));
    let hour_var = variance(simd, hours, hour_mean, hour);
    let hour_spread = load(simd, &each(|l| hour_var[l].sqrt() as f32));
    let ln_scale = load(simd, &each(|l| s.as_slice()[l].ln()));

    let mut rows = Rows { values: [all(simd, 0.0); INPUT + STATS], len: 0 };
    rows.all([z(last), last / 100.0, hour_max, z(hour_mean), ln_scale, mean / 100.0]);
    rows.put(mean / 100.0);
    rows.put(ln_scale);
    rows.scaled(history.values(simd, n, [Q05, Q25, Q50, Q75, Q90, Q95, Q99]), z);
    rows.scaled(history.recent(simd, n, [Q10, Q50, Q90]), z);
    let (peak, peaks) = (Horizon::Peak(PEAK as u32), [Q50, Q90, Q95, Q99]);
    if n >= PEAK {
        rows.scaled(history.outcomes(simd, n, peak, Place::Features, peaks).1, z);
    } else {
        rows.all([z(max(n, sample)); 4]);
    }
    // The last hour, oldest first; a short window repeats its first sample.
    for i in 0..HOUR {
        rows.put(z(sample((n + i).saturating_sub(HOUR))));
    }
    let late = n.saturating_sub(PEAK);
    rows.all([z(max(n - late, |i| sample(late + i))), hour_max, z(hour_mean), hour_spread / s]);
    rows.scaled(history.moves(simd, n, [Q50, Q90, Q99]), |v| v / s);
    let mut centred = Centred([[0.0; LANES]; WINDOW]);
    centred.0[..n].iter_mut().enumerate().for_each(|(i, c)| (sample(i) - mean).store_slice(c));
    let c = &centred.0[..n];
    for lag in [1, PEAK, HOUR] {
        rows.put(autocorrelation(simd, c, lag, s));
    }
    for e in &EWMA {
        rows.put(e.average(simd, c) / s);
    }
    rows.scaled(history.rises(simd, n, peak, Place::Features, peaks).1, |v| v / s);
    let hour = Horizon::Step(HOUR as u32);
    rows.scaled(history.rises(simd, n, hour, Place::Features, [Q05, Q95]).1, |v| v / s);
    rows.put(all(simd, n as f32 / WINDOW as f32));
    rows.values[INPUT..].iter_mut().for_each(|v| *v = v.max(-CLIP).min(CLIP));
    rows.values
}

/// Windows less their means, on cache lines.
#[repr(align(64))]
struct Centred([Lane; WINDOW]);

/// Fills the vectors in order.
struct Rows<S: Simd> {
    values: [f32x16<S>; INPUT + STATS],
    len: usize,
}

impl<S: Simd> Rows<S> {
    #[inline(always)]
    fn put(&mut self, v: f32x16<S>) {
        self.values[self.len] = v;
        self.len += 1;
    }

    #[inline(always)]
    fn scaled<const N: usize>(&mut self, values: [f32x16<S>; N], f: impl Fn(f32x16<S>) -> f32x16<S>) {
        for v in values {
            self.put(f(v));
        }
    }

    #[inline(always)]
    fn all<const N: usize>(&mut self, values: [f32x16<S>; N]) {
        self.scaled(values, |v| v);
    }
}

/// The largest of `n` rows.
#[inline(always)]
fn max<S: Simd>(n: usize, row: impl Fn(usize) -> f32x16<S>) -> f32x16<S> {
    (1..n).fold(row(0), |most, i| most.max(row(i)))
}

/// Partial sums of a lane, added in a fixed order: vector code over the lanes, and the same bytes everywhere.
const PARTS: usize = 8;

/// Adds `n` rows into [`PARTS`] partial sums: what is over first, then row by row.
#[inline(always)]
fn parts(n: usize, mut add: impl FnMut(usize, usize)) {
    let over = n % PARTS;
    for part in 0..PARTS {
        if part < over {
            add(part, n - over + part);
        }
    }
    for first in (0..n - over).step_by(PARTS) {
        for part in 0..PARTS {
            add(part, first + part);
        }
    }
}

/// Sums of `n` rows of pairs of halves.
#[inline(always)]
fn sum<S: Simd>(simd: S, n: usize, row: impl Fn(usize) -> [f64x8<S>; 2]) -> [f64; LANES] {
    let mut part = [[f64x8::splat(simd, 0.0); 2]; PARTS];
    parts(n, |p, i| {
        let [low, high] = row(i);
        part[p][0] += low;
        part[p][1] += high;
    });
    let [first, rest @ ..] = part;
    let [low, high] = rest.iter().fold(first, |[a, b], [c, d]| [a + *c, b + *d]);
    let mut out = [0.0; LANES];
    low.store_slice(&mut out[..LANES / 2]);
    high.store_slice(&mut out[LANES / 2..]);
    out
}

/// Means of `n` rows.
#[inline(always)]
fn mean<S: Simd>(simd: S, n: usize, row: impl Fn(usize) -> f32x16<S>) -> Lane {
    let sum = sum(simd, n, |i| <[f64x8<S>; 2]>::from(row(i).widen()));
    each(|l| (sum[l] / n as f64) as f32)
}

/// Variances of `n` rows about a mean.
#[inline(always)]
fn variance<S: Simd>(simd: S, n: usize, mean: f32x16<S>, row: impl Fn(usize) -> f32x16<S>) -> [f64; LANES] {
    let mut of = sum(simd, n, |i| {
        let (low, high) = (row(i) - mean).widen();
        [low * low, high * high]
    });
    of.iter_mut().for_each(|v| *v /= n as f64);
    of
}

/// Mean of z[t] z[t - lag], of windows less their mean; 0 when they are not longer than the lag.
#[inline(always)]
fn autocorrelation<S: Simd>(simd: S, c: &[Lane], lag: usize, s: f32x16<S>) -> f32x16<S> {
    let Some(n) = c.len().checked_sub(lag).filter(|&n| n > 0) else { return all(simd, 0.0) };
    let (from, to) = (&c[..n], &c[lag..lag + n]);
    dot(simd, n, |i| load(simd, &from[i]) * load(simd, &to[i])) / (s * s * n as f32)
}

/// Sum of products in partial sums, added in a fixed order.
#[inline(always)]
fn dot<S: Simd>(simd: S, n: usize, product: impl Fn(usize) -> f32x16<S>) -> f32x16<S> {
    let mut part = [all(simd, 0.0); PARTS];
    parts(n, |p, i| part[p] += product(i));
    let [first, rest @ ..] = part;
    rest.iter().fold(first, |sum, part| sum + *part)
}

/// An exponential moving average over at most [`WINDOW`] samples, its weights adding to 1 whatever their number.
struct Ewma {
    /// alpha (1 - alpha)^age, the newest sample's last.
    weights: [f32; WINDOW],
    /// Sum of the last `n + 1` weights.
    totals: [f32; WINDOW],
}

impl Ewma {
    const fn new(alpha: f64) -> Self {
        let (mut weights, mut totals) = ([0.0; WINDOW], [0.0; WINDOW]);
        let (mut weight, mut total, mut age) = (alpha, 0.0, 0);
        while age < WINDOW {
            total += weight;
            weights[WINDOW - 1 - age] = weight as f32;
            totals[age] = total as f32;
            weight *= 1.0 - alpha;
            age += 1;
        }
        Self { weights, totals }
    }

    /// The average of windows less their mean.
    #[inline(always)]
    fn average<S: Simd>(&self, simd: S, c: &[Lane]) -> f32x16<S> {
        let weights = &self.weights[WINDOW - c.len()..];
        dot(simd, c.len(), |i| load(simd, &c[i]) * weights[i]) / self.totals[c.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_every_age_have_the_features_of_a_series_alone() {
        let (mut history, mut alone) = (History::new(&[]), vec![FeatureWindow::new(); LANES]);
        let mut state = 1u32;
        for t in 0..2 * WINDOW {
            // Lane 0 never begins, the last one with the 136th tick; every one has gaps of its own.
            let points = [0; LANES].map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 9) as f32 / (1 << 20) as f32
            });
            let there = |l: usize| l > 0 && t > 9 * l && !(t + l).is_multiple_of(17);
            let points = each(|l| if there(l) { points[l] } else { f32::NAN });
            alone.iter_mut().zip(points).for_each(|(w, x)| w.push(x));
            let mut rows = [[0.0; LANES]; INPUT + STATS];
            dispatch!(Level::new(), simd => {
                history.push(simd, &points);
                for (n, lanes) in history.lengths() {
                    let of = describe(&history, &Moments::of(simd, &history, n));
                    let lanes = fearless_simd::SimdMask::from_bitmask(simd, lanes);
                    rows.iter_mut().zip(of).for_each(|(row, v)| crate::lanes::put(lanes, v, row));
                }
            });
            for (l, window) in alone.iter().enumerate() {
                let want = window.features().map_or([0.0; INPUT + STATS], |f| {
                    let mut all = [0.0; INPUT + STATS];
                    all[..INPUT].copy_from_slice(&f.input);
                    all[INPUT..].copy_from_slice(&f.stats);
                    all
                });
                assert_eq!(rows.map(|row| row[l].to_bits()), want.map(f32::to_bits), "lane {l}, tick {t}");
            }
        }
    }
}
