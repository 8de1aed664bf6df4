//! The fit in f64, one series at a time: the definition. README.md has the formulas and where they come from.

use super::{AICC, REACH_MAX, SCALE_MIN};
use super::{
    D, FIT_WORDS, LAST, LEVELS, MEAN, N, P, P_MAX, PHI, Q, QUANTILES, RESIDUAL, STATUS, TAIL, THETA, VARIANCE,
};

/// Fewest values of a series that is fitted.
pub const PRESENT_MIN: usize = 24;
/// Fewest residuals that judge a model.
pub const JUDGED_MIN: usize = 12;
/// The first sample whose residual is judged: by then all lags of either difference are in the window.
pub const WARM: usize = P_MAX + 1;
/// White-noise correction of r_0. It bounds the condition of the Toeplitz system, so that f32 is enough.
pub const NOISE: f64 = 1.0 / 16384.0;
/// Least innovation variance of an order, as a share of r_0.
pub const SHARE_MIN: f64 = 1.0 / 1_048_576.0;
/// Least innovation variance, in squares of the scale: about the rounding of f32 samples.
pub const VARIANCE_MIN: f64 = 1.0 / 1_099_511_627_776.0;
/// A root is this far from the unit circle, where a moving average is involved.
pub const MARGIN: f64 = 0.98;
/// The long autoregression must be better than AR(p - 1) by this share, or p of ARMA(p, 1) cannot be told.
pub const GAIN_MIN: f64 = 1.0 / 64.0;
/// Quantiles of the normal distribution at [`LEVELS`].
pub const NORMAL: [f64; 5] = [-1.644_853_6, 0.0, 1.281_551_6, 1.644_853_6, 2.326_347_9];

/// A series in units of its scale, once per difference d = 0, 1.
#[derive(Debug, Clone)]
pub struct Scaled {
    /// A power of two, so that scaling is exact.
    pub scale: f64,
    /// Of the samples, in their own unit.
    pub centre: f64,
    /// Mean of the scaled samples; what d = 0 subtracts.
    pub mean: f64,
    /// (y - centre) / scale; 0 where missing.
    pub u: Vec<f64>,
    /// The (differenced) series less its mean; 0 where missing. For d = 1 there is no mean, and z\[0\] = 0.
    pub z: [Vec<f64>; 2],
    /// Is z there?
    pub there: [Vec<bool>; 2],
    /// How many are.
    pub n: [usize; 2],
    /// Residuals that judge: samples from [`WARM`] on, present beside a present one.
    pub judged: usize,
}

/// An order with its coefficients, from autocorrelations.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Autoregressive order.
    pub p: usize,
    /// Moving-average order.
    pub q: usize,
    /// phi_1 ..
    pub phi: [f64; P_MAX],
    /// theta_1.
    pub theta: f64,
    /// Innovation variance as a share of r_0.
    pub share: f64,
    /// Not negative: it may be chosen.
    pub margin: f64,
}

/// One fitted series.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The words of `spec.rs`, in f64.
    pub words: [f64; FIT_WORDS],
}

/// Is a sample there? NaN, infinities and senseless magnitudes are not.
pub fn present(y: f32) -> bool {
    y.abs() <= REACH_MAX
}

/// Least and greatest value; infinite the wrong way round without any.
fn limits(y: &[f32]) -> (f32, f32) {
    let there = y.iter().copied().filter(|&v| present(v));
    there.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// Half of max - min, in f32 as on the devices: its exponent is part of the definition.
fn half_range(y: &[f32]) -> f32 {
    let (lo, hi) = limits(y);
    0.5 * hi - 0.5 * lo
}

/// Scales a series; `None` where a model cannot be fitted.
pub fn scaled(y: &[f32]) -> Option<Scaled> {
    let there: Vec<bool> = y.iter().map(|&v| present(v)).collect();
    let n = there.iter().filter(|&&v| v).count();
    let pair: Vec<bool> = (0..y.len()).map(|t| t > 0 && there[t] && there[t - 1]).collect();
    let judged = pair.iter().skip(WARM).filter(|&&v| v).count();
    let half = half_range(y);
    if n < PRESENT_MIN || judged < JUDGED_MIN || half < SCALE_MIN {
        return None;
    }
    let scale = f64::from(f32::from_bits(half.to_bits() & 0x7f80_0000));
    let (lo, hi) = limits(y);
    let centre = f64::from(0.5 * hi + 0.5 * lo);
    let at = |t: usize, value: f64| if there[t] { value } else { 0.0 };
    let u: Vec<f64> = (0..y.len()).map(|t| at(t, (f64::from(y[t]) - centre) / scale)).collect();
    let mean = u.iter().sum::<f64>() / n as f64;
    let z0 = (0..y.len()).map(|t| at(t, u[t] - mean)).collect();
    let z1 =
        (0..y.len()).map(|t| if pair[t] { (f64::from(y[t]) - f64::from(y[t - 1])) / scale } else { 0.0 });
    let (z1, n1) = (z1.collect(), pair.iter().filter(|&&v| v).count());
    Some(Scaled { scale, centre, mean, u, z: [z0, z1], there: [there, pair], n: [n, n1], judged })
}

/// r_0 .. r_7 with the divisor n.
pub fn autocovariances(z: &[f64], n: usize) -> [f64; P_MAX + 2] {
    std::array::from_fn(|k| (k..z.len()).map(|t| z[t] * z[t - k]).sum::<f64>() / n as f64)
}

/// All orders from autocovariances: AR 0 .. 6 by Levinson and Durbin, then ARMA 0 .. 2, 1 by Hannan and Rissanen's
/// regression on the residuals of AR(6), whose moments follow from the autocovariances.
pub fn candidates(r: &[f64; P_MAX + 2]) -> Vec<Candidate> {
    let mut rho = r.map(|v| if r[0] > 0.0 { v / r[0] } else { 0.0 });
    rho[0] = 1.0 + NOISE;
    let ar =
        |p, phi, share: f64| Candidate { p, q: 0, phi, theta: 0.0, share: share.max(SHARE_MIN), margin: 1.0 };
    let mut phi = [0.0; P_MAX];
    let mut v = rho[0];
    let mut all = vec![ar(0, phi, v)];
    for k in 0..P_MAX {
        let reflection = (rho[k + 1] - (0..k).map(|j| phi[j] * rho[k - j]).sum::<f64>()) / v;
        let old = phi;
        for j in 0..k {
            phi[j] = old[j] - reflection * old[k - 1 - j];
        }
        phi[k] = reflection;
        v *= 1.0 - reflection * reflection;
        all.push(ar(k + 1, phi, v));
    }
    let g = rho[1] - (0..P_MAX).map(|j| phi[j] * rho[j + 2]).sum::<f64>();
    let mixed: Vec<_> = (0..=2).map(|p| arma(p, &rho, v, g, &all)).collect();
    all.extend(mixed);
    all
}

/// ARMA(p, 1): the regression of z_t on z_{t-1} .. z_{t-p} and e_{t-1}, with cov(z_{t-1}, e_{t-1}) = var e = v and
/// cov(z_t, e_{t-1}) = g; z_{t-2} and e_{t-1} do not correlate.
fn arma(p: usize, rho: &[f64], v: f64, g: f64, ar: &[Candidate]) -> Candidate {
    let mut phi = [0.0; P_MAX];
    let mut margin = f64::INFINITY;
    if p > 0 {
        let before = rho[0] * ar[p - 1].share / ar[0].share;
        margin = before - v - GAIN_MIN * before;
    }
    let gap = rho[0] - v;
    if p == 1 {
        phi[0] = (rho[1] - g) / gap.max(SHARE_MIN);
    }
    if p == 2 {
        let det = (gap * rho[0] - rho[1] * rho[1]).max(SHARE_MIN * SHARE_MIN);
        phi[0] = ((rho[1] - g) * rho[0] - rho[1] * rho[2]) / det;
        phi[1] = (gap * rho[2] - (rho[1] - g) * rho[1]) / det;
    }
    let theta = g / v - phi[0];
    let root = if p == 2 { (phi[0].abs() + phi[1]).max(phi[1].abs()) } else { phi[0].abs() };
    margin = margin.min(MARGIN - root).min(MARGIN - theta.abs());
    let share = rho[0] - phi[0] * rho[1] - phi[1] * rho[2] - theta * g;
    Candidate { p, q: 1, phi, theta, share: share.max(SHARE_MIN), margin }
}

/// 2 k + 2 k (k + 1) / (n - k - 1): Hurvich and Tsai's penalty of k parameters.
pub fn penalty(n: usize, k: usize) -> f64 {
    let (n, k) = (n as f64, k as f64);
    2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
}

/// Parameters of a candidate: its coefficients, the variance and, for d = 0, the mean.
pub fn parameters(d: usize, c: &Candidate) -> usize {
    c.p + c.q + 2 - d
}

/// The criterion that chooses among the orders of one difference.
pub fn order_aicc(s: &Scaled, d: usize, c: &Candidate) -> f64 {
    s.n[d] as f64 * c.share.ln() + penalty(s.n[d], parameters(d, c))
}

/// One-step errors of a model over all samples, 0 where z is missing.
pub fn residuals(s: &Scaled, d: usize, phi: &[f64; P_MAX], theta: f64) -> Vec<f64> {
    let z = &s.z[d];
    let mut e = vec![0.0; z.len()];
    for t in 0..z.len() {
        if s.there[d][t] {
            let lags: f64 = (1..=P_MAX.min(t)).map(|j| phi[j - 1] * z[t - j]).sum();
            let shock = if t > 0 { theta * e[t - 1] } else { 0.0 };
            e[t] = z[t] - lags - shock;
        }
    }
    e
}

/// The residuals that judge, the same samples for either difference.
pub fn judged(s: &Scaled, e: &[f64]) -> Vec<f64> {
    (WARM..e.len()).filter(|&t| s.there[1][t]).map(|t| e[t]).collect()
}

/// Mean square of the judging residuals, and the criterion that chooses the difference.
pub fn difference_aicc(s: &Scaled, d: usize, c: &Candidate, e: &[f64]) -> (f64, f64) {
    let kept = judged(s, e);
    let variance = (kept.iter().map(|e| e * e).sum::<f64>() / kept.len() as f64).max(VARIANCE_MIN);
    (variance, kept.len() as f64 * variance.ln() + penalty(kept.len(), parameters(d, c)))
}

/// Quantile of sorted values by linear interpolation (R's type 7).
pub fn quantile(sorted: &[f64], level: f64) -> f64 {
    let at = level * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

/// The newest sample that is there; 0 without any.
pub fn last(y: &[f32]) -> f64 {
    y.iter().rev().find(|&&v| present(v)).map_or(0.0, |&v| f64::from(v))
}

/// Fits one series.
pub fn fit(y: &[f32]) -> Fit {
    let Some(s) = scaled(y) else { return last_value(y) };
    let mut best: Option<(f64, f64, usize, Candidate, Vec<f64>)> = None;
    for d in 0..2 {
        let r = autocovariances(&s.z[d], s.n[d]);
        let mut chosen: Option<(f64, Candidate)> = None;
        for c in candidates(&r).into_iter().filter(|c| c.margin >= 0.0) {
            let aicc = order_aicc(&s, d, &c);
            if chosen.as_ref().is_none_or(|b| aicc < b.0) {
                chosen = Some((aicc, c));
            }
        }
        let Some((_, c)) = chosen else { continue };
        let e = residuals(&s, d, &c.phi, c.theta);
        let (variance, aicc) = difference_aicc(&s, d, &c, &e);
        if best.as_ref().is_none_or(|b| aicc < b.0) {
            best = Some((aicc, variance, d, c, e));
        }
    }
    let Some((aicc, variance, d, c, e)) = best else { return last_value(y) };
    let mut words = words(&s, d, &e, last(y));
    words[P] = c.p as f64;
    words[Q] = c.q as f64;
    words[PHI..PHI + P_MAX].copy_from_slice(&c.phi);
    words[THETA] = c.theta;
    words[VARIANCE] = variance * s.scale * s.scale;
    words[AICC] = aicc + 2.0 * s.judged as f64 * s.scale.ln();
    Fit { words }
}

/// The words that follow from the residuals of a model.
pub fn words(s: &Scaled, d: usize, e: &[f64], last: f64) -> [f64; FIT_WORDS] {
    let mut words = [0.0; FIT_WORDS];
    words[D] = d as f64;
    words[N] = s.n[d] as f64;
    words[MEAN] = if d == 0 { s.centre + s.mean * s.scale } else { 0.0 };
    let z = &s.z[d];
    for j in 0..P_MAX {
        words[TAIL + j] = z[z.len() - 1 - j] * s.scale;
    }
    words[RESIDUAL] = e[e.len() - 1] * s.scale;
    words[LAST] = last;
    let mut sorted = judged(s, e);
    sorted.sort_by(f64::total_cmp);
    for (i, level) in LEVELS.iter().enumerate() {
        words[QUANTILES + i] = quantile(&sorted, f64::from(*level)) * s.scale;
    }
    words
}

/// What stands for a model where none can be fitted: the last value, with the spread of what is there.
fn last_value(y: &[f32]) -> Fit {
    let values: Vec<f64> = y.iter().filter(|&&v| present(v)).map(|&v| f64::from(v)).collect();
    let mut words = [0.0; FIT_WORDS];
    words[STATUS] = 1.0;
    words[N] = values.len() as f64;
    words[LAST] = last(y);
    if half_range(y) >= SCALE_MIN {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        words[VARIANCE] = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        for (i, normal) in NORMAL.iter().enumerate() {
            words[QUANTILES + i] = normal * words[VARIANCE].sqrt();
        }
    }
    Fit { words }
}
