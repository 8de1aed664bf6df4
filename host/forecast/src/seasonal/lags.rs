//! Regression of the next hour on chosen hours of the past: the last three, the same hour (and its neighbours) of
//! yesterday, of the mean of the last six days and of the mean of the last three weeks.
//!
//! A seasonal autoregression with most coefficients left out, learnt by recursive least squares with forgetting (Ljung,
//! "System Identification", section 11.2). The averaged lags are what makes it win: single lags carry their hour's noise
//! into the forecast. Residuals are clipped before they teach (Huber), and P may not grow without bound while an idle
//! series excites nothing.

use super::history::History;

/// Lags of each regressor, in hours; a regressor is the mean of those its history reaches.
const REGRESSORS: [&[usize]; COUNT - 1] = [
    &[1],
    &[2],
    &[3],
    &[23],
    &[24],
    &[25],
    &[48],
    &[24, 48, 72, 96, 120, 144],
    &[25, 49, 73, 97, 121, 145],
    &[168, 336, 504],
    &[169, 337, 505],
    &[167, 335, 503],
];

/// Coefficients: the regressors and a constant.
const COUNT: usize = 13;
/// The longest lag.
pub(crate) const REACH_H: usize = 505;
/// Every regressor has a lag within this.
const NEED_H: usize = 169;
/// Learnt hours before it speaks.
const LEARNT_MIN: u32 = 24;
/// Forgetting per hour: half of the weight is younger than 2 weeks.
const MEMORY: f64 = 0.998;
/// A residual teaches at most this many mean absolute residuals.
const CLIP: f64 = 5.0;
/// Variance of a coefficient at the start, in units of one over the variance of the series.
const DOUBT: f64 = 10.0;
/// P may grow to this multiple of its start.
const DOUBT_MAX: f64 = 100.0;
/// Least standard deviation of a series, in points.
const SPREAD_MIN: f64 = 0.01;

/// A symmetric matrix: its upper half by rows.
#[derive(Debug, Clone)]
struct Symmetric([f64; COUNT * (COUNT + 1) / 2]);

impl Default for Symmetric {
    fn default() -> Self {
        Self([0.0; COUNT * (COUNT + 1) / 2])
    }
}

impl Symmetric {
    fn at(i: usize, j: usize) -> usize {
        let (i, j) = (i.min(j), i.max(j));
        i * (2 * COUNT + 1 - i) / 2 + j - i
    }

    fn times(&self, x: &[f64; COUNT]) -> [f64; COUNT] {
        std::array::from_fn(|i| (0..COUNT).map(|j| self.0[Self::at(i, j)] * x[j]).sum())
    }

    fn trace(&self) -> f64 {
        (0..COUNT).map(|i| self.0[Self::at(i, i)]).sum()
    }

    /// Each entry (row, column, value) becomes this.
    fn change(&mut self, of: impl Fn(usize, usize, f64) -> f64) {
        for i in 0..COUNT {
            for j in i..COUNT {
                let p = &mut self.0[Self::at(i, j)];
                *p = of(i, j, *p);
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Lags {
    theta: [f64; COUNT],
    p: Symmetric,
    /// Trace of P at the start; 0 = not begun.
    trace: f64,
    centre: f32,
    residual: f64,
    learnt: u32,
}

impl Lags {
    pub(crate) fn new() -> Self {
        Self {
            theta: [0.0; COUNT],
            p: Symmetric::default(),
            trace: 0.0,
            centre: 0.0,
            residual: 0.0,
            learnt: 0,
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.learnt >= LEARNT_MIN
    }

    /// Regressors of the hour `ahead.len() + 1` after the newest of `past`; `ahead` are the forecasts of those between.
    fn regressors(&self, past: &History, ahead: &[f32]) -> [f64; COUNT] {
        let mut x = [1.0; COUNT];
        let i = ahead.len();
        for (x, lags) in x[1..].iter_mut().zip(REGRESSORS) {
            let value = |&l: &usize| if l <= i { Some(ahead[i - l]) } else { past.back(l - i - 1) };
            let (sum, n) =
                lags.iter().filter_map(value).fold((0.0, 0), |(s, n), z| (s + z - self.centre, n + 1));
            *x = f64::from(sum) / f64::from(n.max(1));
        }
        x
    }

    /// Learns from the hour after the newest of `past`.
    pub(crate) fn learn(&mut self, past: &History, z: f32) {
        if past.len() < NEED_H {
            return;
        }
        if self.trace == 0.0 {
            self.begin(past);
        }
        let x = self.regressors(past, &[]);
        let px = self.p.times(&x);
        let den = MEMORY + dot(&px, &x);
        let e = f64::from(z - self.centre) - dot(&self.theta, &x);
        let e = e.clamp(-CLIP * self.residual, CLIP * self.residual);
        self.residual = (0.99 * self.residual + 0.01 * 1.25 * e.abs()).max(SPREAD_MIN * 0.1);
        self.theta.iter_mut().zip(&px).for_each(|(t, g)| *t += g / den * e);
        let trace = self.p.trace();
        let forget = if trace > DOUBT_MAX * self.trace { 1.0 } else { MEMORY };
        self.p.change(|i, j, p| (p - px[i] * px[j] / den) / forget);
        self.learnt = self.learnt.saturating_add(1);
    }

    fn begin(&mut self, past: &History) {
        let n = past.len() as f32;
        let values = || (0..past.len()).filter_map(|i| past.back(i));
        self.centre = values().sum::<f32>() / n;
        let variance = values().map(|z| f64::from(z - self.centre).powi(2)).sum::<f64>() / f64::from(n);
        let variance = variance.max(SPREAD_MIN * SPREAD_MIN);
        let start = |i: usize| if i == 0 { 0.1 * DOUBT } else { DOUBT / variance };
        self.p.change(|i, j, _| if i == j { start(i) } else { 0.0 });
        self.trace = self.p.trace();
        self.residual = 0.3 * variance.sqrt();
        self.theta[1] = 0.5;
    }

    /// The hours after the newest of `past`, as many as `out` is long: each feeds the next. A forecast may leave the
    /// range of last week by half of it: an unstable recursion must not run away.
    pub(crate) fn path(&self, past: &History, out: &mut [f32]) {
        let week = || (0..168).filter_map(|i| past.back(i));
        let (low, high) = (week().fold(f32::INFINITY, f32::min), week().fold(f32::NEG_INFINITY, f32::max));
        let slack = 0.5 * (high - low).max(0.0);
        for i in 0..out.len() {
            let z = self.centre + dot(&self.theta, &self.regressors(past, &out[..i])) as f32;
            out[i] = z.max(low - slack).min(high + slack);
        }
    }
}

fn dot(a: &[f64; COUNT], b: &[f64; COUNT]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
