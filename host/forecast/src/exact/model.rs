//! An order, and the problem of fitting it to a series.

use super::poly::{differences, from_partial, invertible, lagged, product, to_partial};
use super::{Filtered, FitError, Options, SAMPLE_MAX, STATE_MAX, Space};

/// Orders of a seasonal ARIMA model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Order {
    /// Autoregressive coefficients.
    pub p: usize,
    /// Differences.
    pub d: usize,
    /// Moving-average coefficients.
    pub q: usize,
    /// Seasonal autoregressive coefficients.
    pub seasonal_p: usize,
    /// Seasonal differences.
    pub seasonal_d: usize,
    /// Seasonal moving-average coefficients.
    pub seasonal_q: usize,
    /// Samples of a season; of no meaning without seasonal orders.
    pub period: usize,
}

impl Order {
    /// Without a season.
    pub fn new(p: usize, d: usize, q: usize) -> Self {
        Self { p, d, q, ..Self::default() }
    }

    /// With a season of `period` samples.
    pub fn seasonal(self, p: usize, d: usize, q: usize, period: usize) -> Self {
        Self { seasonal_p: p, seasonal_d: d, seasonal_q: q, period, ..self }
    }

    fn has_season(&self) -> bool {
        self.seasonal_p + self.seasonal_d + self.seasonal_q > 0
    }

    /// Samples that differencing takes: the length of delta.
    pub(super) fn lost(&self) -> usize {
        self.d + if self.has_season() { self.seasonal_d * self.period } else { 0 }
    }

    /// Lags of the autoregression.
    pub(super) fn lags(&self) -> usize {
        self.p + if self.has_season() { self.seasonal_p * self.period } else { 0 }
    }

    fn check(&self) -> Result<(), FitError> {
        let Self { p, d, q, seasonal_p, seasonal_d, seasonal_q, period } = *self;
        if [p, d, q, seasonal_p, seasonal_d, seasonal_q].iter().any(|&v| v > STATE_MAX) {
            return Err(FitError::TooHigh);
        }
        if !self.has_season() {
            return if p.max(q + 1) + d > STATE_MAX { Err(FitError::TooHigh) } else { Ok(()) };
        }
        if period < 2 {
            return Err(FitError::Period(period));
        }
        let long = period.min(STATE_MAX + 1);
        let size = (p + seasonal_p * long).max(q + seasonal_q * long + 1) + d + seasonal_d * long;
        if size > STATE_MAX { Err(FitError::TooHigh) } else { Ok(()) }
    }
}

/// What is taken off the samples before they are an ARIMA process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trend {
    /// Nothing.
    None,
    /// A mean where nothing is differenced, nothing otherwise: R's `include.mean`.
    #[default]
    Mean,
    /// c times the number of the sample, from 1; with exactly one difference.
    Drift,
}

impl Trend {
    /// x_t of sample `t`, from 0.
    pub(super) fn regressor(self, t: usize) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Mean => 1.0,
            Self::Drift => (t + 1) as f64,
        }
    }
}

/// A series and the model that is to be fitted.
#[derive(Debug)]
pub struct Problem<'a> {
    pub y: &'a [f64],
    pub order: Order,
    pub options: Options,
    /// None if differencing takes the mean away.
    pub trend: Trend,
    /// Samples that are there, less those that differencing takes.
    pub n: usize,
    delta: Vec<f64>,
    /// First guess of the mean or drift, and what a search may move it by at first.
    level: (f64, f64),
}

impl<'a> Problem<'a> {
    pub fn new(y: &'a [f64], order: Order, options: Options) -> Result<Self, FitError> {
        order.check()?;
        let differenced = order.d + order.seasonal_d;
        let trend = if differenced > 0 && options.trend == Trend::Mean { Trend::None } else { options.trend };
        if trend == Trend::Drift && differenced != 1 {
            return Err(FitError::Drift(differenced));
        }
        let senseless = |v: f64| !v.is_nan() && v.abs() > SAMPLE_MAX;
        if let Some((index, &value)) = y.iter().enumerate().find(|(_, v)| senseless(**v)) {
            return Err(FitError::Sample { index, value });
        }
        let present = y.iter().filter(|v| !v.is_nan()).count();
        let delta = differences(order.d, order.seasonal_d, order.period);
        let mut new = Self { y, order, options, trend, n: 0, delta, level: (0.0, 1.0) };
        // So that the corrected criterion exists: one more than the coefficients, the variance and itself.
        let needed = order.lost() + new.parameters() + 3;
        if present < needed {
            return Err(FitError::TooFew { present, needed });
        }
        new.n = present - order.lost();
        new.level = new.guess_level();
        Ok(new)
    }

    pub fn parameters(&self) -> usize {
        let Order { p, q, seasonal_p, seasonal_q, .. } = self.order;
        p + q + seasonal_p + seasonal_q + usize::from(self.trend != Trend::None)
    }

    /// The differenced values; NaN beside a gap.
    pub fn differenced(&self, y: &[f64]) -> Vec<f64> {
        let lost = self.delta.len();
        let past = |t: usize| self.delta.iter().enumerate().map(move |(j, d)| d * y[t - 1 - j]).sum::<f64>();
        (lost..y.len()).map(|t| y[t] - if lost > 0 { past(t) } else { 0.0 }).collect()
    }

    /// Least squares of the differenced samples on the differenced regressor, which is constant: mean, and ten times its
    /// standard error (R's scale).
    fn guess_level(&self) -> (f64, f64) {
        if self.trend == Trend::None {
            return (0.0, 1.0);
        }
        // A drift per sample adds up over a season.
        let unit = self.order.lost().max(1) as f64;
        let there: Vec<f64> =
            self.differenced(self.y).into_iter().filter(|v| !v.is_nan()).map(|v| v / unit).collect();
        let n = there.len().max(2) as f64;
        let mean = there.iter().sum::<f64>() / n;
        let squares: f64 = there.iter().map(|v| (v - mean) * (v - mean)).sum();
        (mean, (10.0 * (squares / (n - 1.0) / n).sqrt()).max(f64::MIN_POSITIVE))
    }

    /// Coefficients by kind: ar, ma, seasonal ar, seasonal ma, level.
    fn split<'c>(&self, coef: &'c [f64]) -> [&'c [f64]; 5] {
        let Order { p, q, seasonal_p, seasonal_q, .. } = self.order;
        let (ar, rest) = coef.split_at(p);
        let (ma, rest) = rest.split_at(q);
        let (sar, rest) = rest.split_at(seasonal_p);
        let (sma, level) = rest.split_at(seasonal_q);
        [ar, ma, sar, sma, level]
    }

    pub fn checked(&self, coef: &[f64]) -> Result<Vec<f64>, FitError> {
        let want = self.parameters();
        if coef.len() != want {
            return Err(FitError::Coefficients { got: coef.len(), want });
        }
        let [ar, _, sar, _, _] = self.split(coef);
        let is_finite = coef.iter().all(|c| c.is_finite());
        if !is_finite || to_partial(ar).is_none() || to_partial(sar).is_none() {
            return Err(FitError::NotStationary);
        }
        Ok(coef.to_vec())
    }

    /// phi and theta with the seasonal factors multiplied in, and the samples less the mean or drift.
    pub fn expand(&self, coef: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let [ar, ma, sar, sma, level] = self.split(coef);
        let phi = product(&lagged(ar, -1.0, 1), &lagged(sar, -1.0, self.order.period));
        let theta = product(&lagged(ma, 1.0, 1), &lagged(sma, 1.0, self.order.period));
        let level = level.first().copied().unwrap_or(0.0);
        let y = self.y.iter().enumerate().map(|(t, y)| y - self.trend.regressor(t) * level).collect();
        (phi[1..].iter().map(|c| -c).collect(), theta[1..].to_vec(), y)
    }

    /// The Kalman filter over the series. `None` where the model is not stationary.
    pub fn filter(&self, coef: &[f64]) -> Option<(Space, Filtered)> {
        let (phi, theta, y) = self.expand(coef);
        let space = Space::new(&phi, &theta, &self.delta);
        let filtered = space.filter(y.into_iter(), self.options.diffuse)?;
        Some((space, filtered))
    }

    /// Half the deviance per sample, without its constant; infinite where there is none.
    pub fn objective(&self, f: &Filtered) -> f64 {
        let n = f.counted as f64;
        let value = 0.5 * ((f.squares / n).ln() + f.logs / n);
        // A perfect fit is no better than none: there is no variance to speak of.
        if value.is_finite() { value } else { f64::INFINITY }
    }

    pub fn log_likelihood(&self, objective: f64) -> f64 {
        -0.5 * self.n as f64 * (2.0 * objective + 1.0 + std::f64::consts::TAU.ln())
    }

    /// Where a search starts without better knowledge.
    pub fn zero(&self) -> Vec<f64> {
        vec![0.0; self.parameters()]
    }

    /// The level in its own unit instead of steps from the first guess.
    fn level_of(&self, free: &[f64]) -> Vec<f64> {
        free.iter().map(|v| self.level.0 + self.level.1 * v).collect()
    }

    /// Coefficients of a search over them as they are, but for the level.
    pub fn of_scaled(&self, free: &[f64]) -> Vec<f64> {
        let [ar, ma, sar, sma, level] = self.split(free);
        [ar, ma, sar, sma, &self.level_of(level)].concat()
    }

    /// Coefficients from what is searched: any numbers give a stationary model.
    pub fn of_free(&self, free: &[f64]) -> Vec<f64> {
        let [ar, ma, sar, sma, level] = self.split(free);
        let stationary = |free: &[f64]| from_partial(&free.iter().map(|v| v.tanh()).collect::<Vec<_>>());
        [stationary(ar), ma.to_vec(), stationary(sar), sma.to_vec(), self.level_of(level)].concat()
    }

    /// The other way; `None` if not stationary.
    pub fn to_free(&self, coef: &[f64]) -> Option<Vec<f64>> {
        let [ar, ma, sar, sma, level] = self.split(coef);
        let free = |coef: &[f64]| {
            to_partial(coef).map(|partial| partial.iter().map(|v| v.atanh()).collect::<Vec<_>>())
        };
        let level = level.iter().map(|v| (v - self.level.0) / self.level.1);
        Some([free(ar)?, ma.to_vec(), free(sar)?, sma.to_vec(), level.collect()].concat())
    }

    /// With invertible moving averages.
    pub fn invertible(&self, coef: &[f64]) -> Vec<f64> {
        let [ar, ma, sar, sma, level] = self.split(coef);
        [ar, &invertible(ma), sar, &invertible(sma), level].concat()
    }
}
