//! What the LSTM sees of a series: a pure function of its last 144 samples, one vector per tick.
//!
//! Order statistics live in sorted windows that a tick updates by a count and a short move each; sums run over the window
//! anew, so that nothing drifts and a series rebuilt from its last 144 samples gives the same bytes.
//! `tools/features.py` is the same function in NumPy, for training; `models/default/fixture.safetensors` ties the two.

use foreshade_types::Horizon;

use crate::history::{HOUR, History, PEAK, Place};
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

/// The last [`WINDOW`] samples of a series, kept so that [`Self::features`] is cheap.
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
        self.0.len()
    }

    /// Has there been no sample yet?
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// The window, oldest sample first.
    pub fn samples(&self) -> Vec<f32> {
        self.0.window().to_vec()
    }

    /// Adds the sample of a tick, in points. A missing one (not finite) repeats the last; before the first sample it
    /// is left out. Values are held to 0..=10,000.
    pub fn push(&mut self, points: f32) {
        self.0.push(points);
    }

    /// The vectors at this tick; `None` before the first sample.
    pub fn features(&self) -> Option<Features> {
        (self.0.len() > 0).then(|| describe(&self.0, &Moments::of(&self.0)))
    }
}

/// The window, its mean and its spread.
#[derive(Debug)]
pub(crate) struct Moments<'a> {
    window: &'a [f32],
    mean: f32,
    /// Standard deviation plus half a point, which keeps an idle series from having no unit at all.
    pub(crate) scale: f32,
}

impl<'a> Moments<'a> {
    #[inline(always)]
    pub(crate) fn of(history: &'a History) -> Self {
        let w = history.window();
        let count = w.len().max(1) as f64;
        let mean = (sum(w, f64::from) / count) as f32;
        let variance = sum(w, |x| f64::from(x - mean) * f64::from(x - mean)) / count;
        Self { mean, scale: variance.sqrt() as f32 + 0.5, window: w }
    }
}

/// The vectors of a series that has a sample.
#[inline(always)]
pub(crate) fn describe(history: &History, m: &Moments<'_>) -> Features {
    let (w, n, mean, s) = (m.window, m.window.len(), m.mean, m.scale);
    let last = history.last();
    let z = |x: f32| (x - mean) / s;

    let hour = &w[n.saturating_sub(HOUR)..];
    let hour_max = z(max(hour));
    let hour_mean = (sum(hour, f64::from) / hour.len() as f64) as f32;
    let hour_var = sum(hour, |x| f64::from(x - hour_mean) * f64::from(x - hour_mean)) / hour.len() as f64;
    let input = [z(last), last / 100.0, hour_max, z(hour_mean), s.ln(), mean / 100.0];

    let mut stats = Stats { values: [0.0; STATS], len: 0 };
    stats.put(mean / 100.0);
    stats.put(s.ln());
    stats.scaled(history.values([Q05, Q25, Q50, Q75, Q90, Q95, Q99]).1, z);
    stats.scaled(history.recent([Q10, Q50, Q90]), z);
    let peaks = [Q50, Q90, Q95, Q99];
    if n >= PEAK {
        stats.scaled(history.outcomes(Horizon::Peak(PEAK as u32), Place::Features, peaks).1, z);
    } else {
        stats.all([z(max(w)); 4]);
    }
    // The last hour, oldest first; a short window repeats its first sample.
    for i in 0..HOUR {
        stats.put(z(w[(n + i).saturating_sub(HOUR)]));
    }
    stats.all([z(max(&w[n.saturating_sub(PEAK)..])), hour_max, z(hour_mean), hour_var.sqrt() as f32 / s]);
    stats.scaled(history.moves([Q50, Q90, Q99]), |v| v / s);
    let mut centred = [0.0; WINDOW];
    centred.iter_mut().zip(w).for_each(|(c, x)| *c = x - mean);
    let c = &centred[..n];
    for lag in [1, PEAK, HOUR] {
        stats.put(autocorrelation(c, lag, s));
    }
    for e in &EWMA {
        stats.put(e.average(c) / s);
    }
    stats.scaled(history.rises(Horizon::Peak(PEAK as u32), Place::Features, peaks).1, |v| v / s);
    stats.scaled(history.rises(Horizon::Step(HOUR as u32), Place::Features, [Q05, Q95]).1, |v| v / s);
    stats.put(n as f32 / WINDOW as f32);
    stats.values.iter_mut().for_each(|v| *v = v.clamp(-CLIP, CLIP));
    Features { input, stats: stats.values, last, scale: s }
}

/// Fills the statistics in order.
struct Stats {
    values: [f32; STATS],
    len: usize,
}

impl Stats {
    #[inline(always)]
    fn put(&mut self, v: f32) {
        self.values[self.len] = v;
        self.len += 1;
    }

    #[inline(always)]
    fn scaled<const N: usize>(&mut self, mut values: [f32; N], f: impl Fn(f32) -> f32) {
        values.iter_mut().for_each(|v| *v = f(*v));
        self.all(values);
    }

    #[inline(always)]
    fn all<const N: usize>(&mut self, values: [f32; N]) {
        self.values[self.len..self.len + N].copy_from_slice(&values);
        self.len += N;
    }
}

#[inline(always)]
fn max(w: &[f32]) -> f32 {
    w.iter().copied().fold(f32::MIN, f32::max)
}

/// Eight partial sums, added in a fixed order: vector code, and the same bytes everywhere.
#[inline(always)]
fn sum(w: &[f32], f: impl Fn(f32) -> f64) -> f64 {
    let mut part = [0.0f64; 8];
    let chunks = w.chunks_exact(8);
    for (i, &x) in chunks.remainder().iter().enumerate() {
        part[i] += f(x);
    }
    for chunk in chunks {
        for (part, &x) in part.iter_mut().zip(chunk) {
            *part += f(x);
        }
    }
    part.iter().sum()
}

/// Mean of z[t] z[t - lag], of a window less its mean; 0 when it is not longer than the lag.
#[inline(always)]
fn autocorrelation(c: &[f32], lag: usize, s: f32) -> f32 {
    let Some(n) = c.len().checked_sub(lag).filter(|&n| n > 0) else { return 0.0 };
    dot(&c[..n], &c[lag..]) / (s * s * n as f32)
}

/// Sum of products in eight partial sums, added in a fixed order.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut part = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    for (i, (a, b)) in a8.remainder().iter().zip(b8.remainder()).enumerate() {
        part[i] += a * b;
    }
    for (a, b) in a8.zip(b8) {
        for i in 0..8 {
            part[i] += a[i] * b[i];
        }
    }
    part.iter().sum::<f32>()
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

    /// The average of a window less its mean.
    #[inline(always)]
    fn average(&self, c: &[f32]) -> f32 {
        dot(c, &self.weights[WINDOW - c.len()..]) / self.totals[c.len() - 1]
    }
}
