//! The forecast in f64, one series at a time: the definition.

use crate::arima_fit::{D, FIT_WORDS, LAST, MEAN, P_MAX, PHI, RESIDUAL, STATUS, TAIL, THETA, VARIANCE};

/// A variance stops here: it must not become infinite.
pub const VARIANCE_MAX: f32 = 3.0e38;

/// The forecast of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Per step.
    pub mean: Vec<f64>,
    /// Of the error, per step.
    pub variance: Vec<f64>,
    /// Steps ahead of the (differenced) series less its mean.
    pub ahead: Vec<f64>,
    /// Weights of the shocks in the (differenced) series, psi_0 = 1 first.
    pub psi: Vec<f64>,
}

/// Steps 1 .. `steps`.
pub fn forecast(fit: &[f64; FIT_WORDS], steps: usize) -> Forecast {
    let phi = &fit[PHI..PHI + P_MAX];
    let (mut ahead, mut psi) = (Vec::new(), Vec::new());
    for h in 0..steps {
        // z_{t+h+1-j}: a forecast, or a value of the past.
        let past = |j: usize| if h >= j { ahead[h - j] } else { fit[TAIL + j - h - 1] };
        let lags: f64 = (1..=P_MAX).map(|j| phi[j - 1] * past(j)).sum();
        let shock = if h == 0 { fit[THETA] * fit[RESIDUAL] } else { 0.0 };
        ahead.push(lags + shock);
        let lags: f64 = (1..=P_MAX.min(h)).map(|j| phi[j - 1] * psi[h - j]).sum();
        psi.push(lags + [1.0, fit[THETA]].get(h).copied().unwrap_or(0.0));
    }
    let level = if fit[STATUS] != 0.0 || fit[D] != 0.0 { fit[LAST] } else { fit[MEAN] };
    let (mut mean, mut variance) = (Vec::new(), Vec::new());
    let (mut sum, mut weight, mut squares) = (0.0, 0.0, 0.0);
    for h in 0..steps {
        (sum, weight) = if fit[D] == 0.0 { (ahead[h], psi[h]) } else { (sum + ahead[h], weight + psi[h]) };
        squares += weight * weight;
        mean.push(level + sum);
        variance.push((fit[VARIANCE] * squares).min(f64::from(VARIANCE_MAX)));
    }
    Forecast { mean, variance, ahead, psi }
}
