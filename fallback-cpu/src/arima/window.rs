//! A group's samples in the nearest cache, and the passes over them.

use fearless_simd::{Select, Simd, SimdBase, SimdFloat};
use foreshade_kernels::GROUP;
use foreshade_kernels::arima_fit::reference::{JUDGED_MIN, NORMAL, PRESENT_MIN, VARIANCE_MIN, WARM};
use foreshade_kernels::arima_fit::{
    AICC, D, LAST, LEVELS, MEAN, N, P, P_MAX, PHI, Q, QUANTILES, REACH_MAX, RESIDUAL, SCALE_MIN, STATUS,
    TAIL, THETA, VARIANCE,
};

use super::model::{Choice, choose, ln, penalty};
use super::sort::{quantile, sort_rows};
use super::{put, row};

/// Longest vector.
const WIDEST: usize = 16;
/// Rows of zeros before the first sample: a lag that leads out of the window is 0.
const PAD: usize = P_MAX + 1;
/// Terms per partial sum, so that the error of a sum grows with 16 + n / 16 and not with n.
const CHUNK: usize = 16;
/// Above every scaled residual: sorts behind them.
const BEHIND: f32 = f32::MAX;

/// Memory for one group, kept over the loop.
pub(super) struct Window {
    samples: usize,
    /// [64 / vector][samples][vector]
    y: Rows,
    /// 1 where a sample is there, 0 elsewhere: [PAD + samples][vector], as what follows.
    there: Rows,
    /// The series less its mean, and its differences.
    z: [Rows; 2],
    /// Residuals of the chosen order of each.
    e: [Rows; 2],
}

/// Words that begin on a cache line, so that no vector crosses one.
struct Rows {
    words: Vec<f32>,
    first: usize,
}

impl Rows {
    fn new(len: usize) -> Self {
        let words = vec![0.0f32; len + WIDEST];
        let first = words.as_ptr().align_offset(64).min(WIDEST);
        Self { words, first }
    }

    #[inline(always)]
    fn get(&self) -> &[f32] {
        &self.words[self.first..]
    }

    #[inline(always)]
    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.words[self.first..]
    }
}

impl Window {
    pub(super) fn new(samples: usize) -> Self {
        let rows = || Rows::new((PAD + samples) * WIDEST);
        Self {
            samples,
            y: Rows::new(samples * GROUP),
            there: rows(),
            z: [rows(), rows()],
            e: [rows(), rows()],
        }
    }

    /// Copies the samples of 64 lanes: their rows lie a batch apart, and the passes would miss the cache on each.
    #[inline(always)]
    pub(super) fn load<S: Simd>(&mut self, simd: S, y: &[f32], lanes: usize, first: usize) {
        let (n, samples) = (S::f32s::LEN, self.samples);
        let to = self.y.get_mut();
        for t in 0..samples {
            let from = &y[t * lanes + first..t * lanes + first + GROUP];
            for (part, values) in from.chunks_exact(n).enumerate() {
                put::<S>(to, part * samples + t, S::f32s::from_slice(simd, values));
            }
        }
    }
}

/// What one pass over the samples tells.
struct Survey<V> {
    /// Values, pairs of neighbours, residuals that will judge.
    n: V,
    pairs: V,
    judged: V,
    low: V,
    high: V,
    last: V,
}

#[inline(always)]
fn survey<S: Simd>(simd: S, y: &[f32], there: &mut [f32], samples: usize) -> Survey<S::f32s> {
    let splat = |v| S::f32s::splat(simd, v);
    let (zero, one, reach) = (splat(0.0), splat(1.0), splat(REACH_MAX));
    let (high, low) = (splat(f32::NEG_INFINITY), splat(f32::INFINITY));
    let mut s = Survey { n: zero, pairs: zero, judged: zero, low, high, last: zero };
    let mut before = zero;
    for t in 0..samples {
        let v = row(simd, y, t);
        let is = v.abs().simd_le(reach);
        let now = is.select(one, zero);
        put::<S>(there, PAD + t, now);
        s.low = s.low.min(is.select(v, low));
        s.high = s.high.max(is.select(v, high));
        s.last = is.select(v, s.last);
        let pair = now * before;
        s.n += now;
        s.pairs += pair;
        if t >= WARM {
            s.judged += pair;
        }
        before = now;
    }
    s
}

/// What turns a sample into a scaled one.
struct Unit<V> {
    centre: V,
    inverse: V,
}

/// Scales the samples: z of both differences. Returns the mean of the scaled samples.
#[inline(always)]
fn scaled<S: Simd>(
    simd: S,
    y: &[f32],
    there: &[f32],
    unit: &Unit<S::f32s>,
    n: S::f32s,
    z: &mut [Rows; 2],
    samples: usize,
) -> S::f32s {
    let zero = S::f32s::splat(simd, 0.0);
    let mut total = zero;
    for chunk in (0..samples).step_by(CHUNK) {
        let mut sum = zero;
        for t in chunk..(chunk + CHUNK).min(samples) {
            let is = row(simd, there, PAD + t).simd_gt(zero);
            sum += is.select((row(simd, y, t) - unit.centre) * unit.inverse, zero);
        }
        total += sum;
    }
    let mean = total / n.max(S::f32s::splat(simd, 1.0));
    let [z0, z1] = z;
    let (z0, z1) = (z0.get_mut(), z1.get_mut());
    let (mut before, mut was) = (zero, zero.simd_gt(zero));
    for t in 0..samples {
        let v = row(simd, y, t);
        let is = row(simd, there, PAD + t).simd_gt(zero);
        put::<S>(z0, PAD + t, is.select((v - unit.centre) * unit.inverse - mean, zero));
        put::<S>(z1, PAD + t, (is & was).select((v - before) * unit.inverse, zero));
        (before, was) = (v, is);
    }
    mean
}

/// r_0 .. r_7 of `n` values.
#[inline(always)]
fn autocovariances<S: Simd>(simd: S, z: &[f32], n: S::f32s, samples: usize) -> [S::f32s; P_MAX + 2] {
    let zero = S::f32s::splat(simd, 0.0);
    let mut total = [zero; P_MAX + 2];
    for chunk in (0..samples).step_by(CHUNK) {
        let mut sum = [zero; P_MAX + 2];
        for t in chunk..(chunk + CHUNK).min(samples) {
            let now = row(simd, z, PAD + t);
            for (k, sum) in sum.iter_mut().enumerate() {
                *sum = now.mul_add(row(simd, z, PAD + t - k), *sum);
            }
        }
        for (total, sum) in total.iter_mut().zip(sum) {
            *total += sum;
        }
    }
    let share = S::f32s::splat(simd, 1.0) / n.max(S::f32s::splat(simd, 1.0));
    total.map(|v| v * share)
}

/// Residuals of a model, and the sum of squares of those that judge.
#[inline(always)]
fn residuals<S: Simd>(
    simd: S,
    z: &[f32],
    there: &[f32],
    d: usize,
    c: &Choice<S::f32s>,
    e: &mut [f32],
    samples: usize,
) -> S::f32s {
    let zero = S::f32s::splat(simd, 0.0);
    let minus = c.phi.map(|phi| zero - phi);
    let mut total = zero;
    let mut shock = zero;
    let mut before = zero;
    for chunk in (0..samples).step_by(CHUNK) {
        let mut sum = zero;
        for t in chunk..(chunk + CHUNK).min(samples) {
            let mut v = row(simd, z, PAD + t);
            for (j, minus) in minus.iter().enumerate() {
                v = minus.mul_add(row(simd, z, PAD + t - 1 - j), v);
            }
            let now = row(simd, there, PAD + t);
            let pair = now * before;
            shock = (v - c.theta * shock) * if d == 0 { now } else { pair };
            put::<S>(e, PAD + t, shock);
            if t >= WARM {
                let judges = shock * pair;
                sum = judges.mul_add(judges, sum);
            }
            before = now;
        }
        total += sum;
    }
    total
}

/// Fits the vector of lanes that begins at `first` of the group; `out` [FIT_WORDS][64].
#[inline(always)]
pub(super) fn fit<S: Simd>(simd: S, w: &mut Window, first: usize, out: &mut [f32]) {
    let splat = |v| S::f32s::splat(simd, v);
    let (zero, one) = (splat(0.0), splat(1.0));
    let samples = w.samples;
    let y = &w.y.get()[first * samples..(first + S::f32s::LEN) * samples];
    let s = survey(simd, y, w.there.get_mut(), samples);
    let there = w.there.get();
    let half = s.high * 0.5 - s.low * 0.5;
    let varied = half.simd_ge(splat(SCALE_MIN));
    let scale = S::f32s::from_bits(varied.select(half, one).to_bits() & 0x7f80_0000);
    let unit = Unit {
        centre: varied.select(s.high * 0.5 + s.low * 0.5, zero),
        // Exact: a power of two.
        inverse: varied.select(one / scale, zero),
    };
    let mean = scaled(simd, y, there, &unit, s.n, &mut w.z, samples);

    let counts = [s.n, s.pairs];
    let mut spread = zero;
    let mut chosen = [(zero, Choice { aicc: zero, p: zero, q: zero, phi: [zero; P_MAX], theta: zero }); 2];
    for d in 0..2 {
        let z = w.z[d].get();
        let r = autocovariances(simd, z, counts[d], samples);
        if d == 0 {
            spread = r[0];
        }
        let fixed = if d == 0 { 2.0 } else { 1.0 };
        let mut c = choose(simd, &r, counts[d], fixed);
        let squares = residuals(simd, z, there, d, &c, w.e[d].get_mut(), samples);
        let variance = (squares / s.judged.max(one)).max(splat(VARIANCE_MIN as f32));
        let k = c.p + c.q + fixed;
        c.aicc = s.judged.mul_add(ln(simd, variance), penalty::<S>(s.judged, k));
        chosen[d] = (variance, c);
    }

    let fitted = varied & s.n.simd_ge(splat(PRESENT_MIN as f32)) & s.judged.simd_ge(splat(JUDGED_MIN as f32));
    let once = chosen[1].1.aicc.simd_lt(chosen[0].1.aicc);
    let pick = |a: S::f32s, b: S::f32s| fitted.select(once.select(b, a), zero);
    let mut write = |word: usize, v: S::f32s| v.store_slice(&mut out[word * GROUP + first..][..S::f32s::LEN]);
    let [(variance0, c0), (variance1, c1)] = chosen;
    write(STATUS, fitted.select(zero, one));
    write(D, pick(zero, one));
    write(P, pick(c0.p, c1.p));
    write(Q, pick(c0.q, c1.q));
    write(N, fitted.select(once.select(s.pairs, s.n), s.n));
    write(MEAN, pick(mean.mul_add(scale, unit.centre), zero));
    let variance = fitted.select(once.select(variance1, variance0), spread);
    write(VARIANCE, variance * scale * scale);
    let in_unit = (s.judged + s.judged) * ln(simd, scale);
    write(AICC, pick(c0.aicc + in_unit, c1.aicc + in_unit));
    for j in 0..P_MAX {
        write(PHI + j, pick(c0.phi[j], c1.phi[j]));
        let t = PAD + samples - 1 - j;
        write(TAIL + j, pick(row(simd, w.z[0].get(), t), row(simd, w.z[1].get(), t)) * scale);
    }
    write(THETA, pick(c0.theta, c1.theta));
    let [e0, e1] = &mut w.e;
    let newest = PAD + samples - 1;
    write(RESIDUAL, pick(row(simd, e0.get(), newest), row(simd, e1.get(), newest)) * scale);
    write(LAST, s.last);

    let judges = samples - WARM;
    let sorted = e0.get_mut();
    for i in 0..judges {
        let t = PAD + WARM + i;
        let pair = row(simd, there, t) * row(simd, there, t - 1);
        let e = once.select(row(simd, e1.get(), t), row(simd, sorted, t));
        // Row i was read before: it is in front of row t.
        put::<S>(sorted, i, pair.simd_gt(zero).select(e, splat(BEHIND)));
    }
    sort_rows(simd, sorted, judges);
    let deviation = spread.sqrt();
    let judged = s.judged.max(one);
    for (i, level) in LEVELS.iter().enumerate() {
        let q = quantile(simd, sorted, judged.as_slice(), *level);
        write(QUANTILES + i, fitted.select(q, deviation * NORMAL[i] as f32) * scale);
    }
}
