//! ARIMA by exact maximum likelihood: the slow and thorough fit that the closed form of the kernel `arima_fit` is measured
//! against. A reference on the CPU in f64; no forecast of the appliance takes it.
//!
//! # Method
//! What R's `arima` does. A seasonal ARIMA (p, d, q)(P, D, Q)_m with a mean or a drift c x_t,
//!
//! ```text
//! (1 - ar_1 B - ..)(1 - sar_1 B^m - ..) (1 - B)^d (1 - B^m)^D (y_t - c x_t) = (1 + ma_1 B + ..)(1 + sma_1 B^m + ..) e_t
//! ```
//!
//! is written in state-space form, and the Kalman filter gives the likelihood of all samples there are; a gap
//! needs no filling (R. Jones, Maximum likelihood fitting of ARMA models to time series with missing observations, 1980;
//! J. Durbin & S. Koopman, Time Series Analysis by State Space Methods, 2nd edition, sections 3.4, 4.10 and 7.2). The
//! ARMA part starts from its stationary variance (G. Gardner, A. Harvey & G. Phillips, algorithm AS 154, 1980), the samples
//! before the first one from a variance of 1e6 innovations. sigma^2 has a closed form given the rest, which leaves
//!
//! ```text
//! (ln(S / n) + L / n) / 2 -> min          S = sum of v_t^2 / f_t, L = sum of ln f_t, v_t the errors, f_t their variances
//! ```
//!
//! for BFGS. Autoregressions are searched in arctanh of their partial autocorrelations, so all of them are stationary (Jones
//! 1980). Moving averages are searched freely, for roots inside and outside of the unit circle give the same likelihood; the
//! former are turned out at the end. The search starts from no coefficients and from the least conditional squares, and the
//! better end is taken.
//!
//! # Against R
//! `tests/exact.rs` holds likelihoods, coefficients, standard errors and forecasts against R 4.2.2. One thing differs unless
//! [`Diffuse::AsR`] is asked for: R leaves samples of a variance beyond 1e4 out of the likelihood even if nothing is
//! differenced, and so finds fits at |phi_1| > 0.99995 whose likelihood is that of one sample less.
//!
//! # What the closed form gives away
//! `tests/closed_form.rs`, at the order that the closed form chose: 0.05 to 0.2 of some 200 nats in windows of 144 samples of
//! known processes, whose next 12 samples it forecasts as well (errors within 1.1% of each other), and at most 0.9 nats, or
//! 0.35 standard deviations of a forecast, in R's series (the most where samples are missing).

mod bfgs;
mod css;
mod model;
mod poly;
mod space;

pub use model::{Order, Trend};
pub use space::Diffuse;

use bfgs::{gradient, inverse, minimise};
use model::Problem;
use space::{Filtered, Space, State};

/// Most values of a state. An evaluation of the likelihood takes some 5 size^2 multiply-adds per sample.
pub const STATE_MAX: usize = 100;
/// A sample of larger magnitude is refused: its square would leave the range.
pub const SAMPLE_MAX: f64 = 1e100;

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// The exact likelihood.
    #[default]
    Likelihood,
    /// Conditional sum of squares (G. Box & G. Jenkins, Time Series Analysis, section 7.1.2), R's `method = "CSS"`.
    ConditionalSquares,
}

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Mean or drift.
    pub trend: Trend,
    /// What is minimised.
    pub method: Method,
    /// Samples that the likelihood leaves out.
    pub diffuse: Diffuse,
}

/// Why there is no fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// The state-space form would be too large.
    #[error("the order asks for a state of more than {STATE_MAX} values: lower the orders or the period")]
    TooHigh,
    /// Seasonal orders without a season.
    #[error("seasonal orders with period {0}: give a period of 2 samples or more")]
    Period(usize),
    /// A drift that differencing takes away, or a straight line.
    #[error("drift with {0} differences: drift needs exactly one")]
    Drift(usize),
    /// Too few samples.
    #[error(
        "{present} samples are there, at least {needed} are needed: give more samples or lower the order"
    )]
    TooFew {
        /// Samples that are not NaN.
        present: usize,
        /// Samples that this order needs.
        needed: usize,
    },
    /// An infinity or a senseless magnitude.
    #[error("sample {index} is {value}: give values up to 1e100, NaN where missing")]
    Sample {
        /// From 0.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// A gap where the method takes none.
    #[error("sample {0} is missing: conditional squares take no gaps, use the likelihood")]
    Gap(usize),
    /// A coefficient vector of the wrong length.
    #[error(
        "{got} coefficients, the order has {want}: give ar, ma, seasonal ar, seasonal ma, then mean or drift"
    )]
    Coefficients {
        /// Given.
        got: usize,
        /// Needed.
        want: usize,
    },
    /// The likelihood does not exist at these coefficients, given or of the least conditional squares.
    #[error("the autoregression is not stationary: give other coefficients, or fit by likelihood")]
    NotStationary,
    /// A series that its own past or mean tells without error.
    #[error("nothing varies after differencing: there is no likelihood to maximise")]
    NoVariation,
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// ar, ma, seasonal ar, seasonal ma, then mean or drift per sample, if any.
    pub coef: Vec<f64>,
    /// Standard errors of `coef` from the curvature of the likelihood; NaN where it has none.
    pub se: Vec<f64>,
    /// Innovation variance, maximum likelihood: divisor n.
    pub sigma2: f64,
    /// Logarithm of the likelihood (of the conditional one for [`Method::ConditionalSquares`]).
    pub loglik: f64,
    /// Akaike's criterion with the coefficients and the variance counted.
    pub aic: f64,
    /// The same, corrected for few samples.
    pub aicc: f64,
    /// Schwarz's criterion.
    pub bic: f64,
    /// Samples that are there, less those that differencing takes.
    pub n: usize,
    space: Space,
    next: State,
    trend: Trend,
    samples: usize,
}

impl Fit {
    /// Mean and variance of the next `steps` samples. The variance is that of the innovations alone: it takes the
    /// coefficients for known, as R does.
    pub fn forecast(&self, steps: usize) -> Vec<(f64, f64)> {
        let level = self.coef.last().copied().unwrap_or(0.0);
        let ahead = self.space.forecast(&self.next, steps).into_iter().enumerate();
        ahead
            .map(|(h, (mean, variance))| {
                (mean + self.trend.regressor(self.samples + h) * level, variance * self.sigma2)
            })
            .collect()
    }
}

/// Fits a model of the given order to samples, NaN = missing.
///
/// # Errors
/// See [`FitError`].
pub fn fit(y: &[f64], order: Order, options: Options) -> Result<Fit, FitError> {
    let problem = Problem::new(y, order, options)?;
    let (coef, se) = match options.method {
        Method::ConditionalSquares => conditional(&problem)?,
        Method::Likelihood => best(&problem)?,
    };
    finish(&problem, coef, se)
}

/// Logarithm of the exact likelihood at given coefficients, in the order of [`Fit::coef`]; sigma^2 is the best one for them.
///
/// # Errors
/// See [`FitError`].
pub fn log_likelihood(y: &[f64], order: Order, options: Options, coef: &[f64]) -> Result<f64, FitError> {
    let problem = Problem::new(y, order, options)?;
    let coef = problem.checked(coef)?;
    let (_, filtered) = problem.filter(&coef).ok_or(FitError::NotStationary)?;
    let value = problem.log_likelihood(problem.objective(&filtered));
    if value.is_finite() { Ok(value) } else { Err(FitError::NoVariation) }
}

/// Coefficients of the least conditional squares, with standard errors.
fn conditional(problem: &Problem<'_>) -> Result<(Vec<f64>, Vec<f64>), FitError> {
    if let Some(gap) = problem.y.iter().position(|v| v.is_nan()) {
        return Err(FitError::Gap(gap));
    }
    let scaled = css::least(problem).ok_or(FitError::NoVariation)?;
    let coef = |scaled: &[f64]| problem.of_scaled(scaled);
    let se = errors(problem, &|x: &[f64]| css::objective(problem, &coef(x)), &coef, &scaled);
    Ok((coef(&scaled), se))
}

/// The better end of the searches from no coefficients and from those of the least conditional squares, with standard errors.
fn best(problem: &Problem<'_>) -> Result<(Vec<f64>, Vec<f64>), FitError> {
    let of = |coef: &[f64]| problem.filter(coef).map_or(f64::INFINITY, |(_, f)| problem.objective(&f));
    let objective = |free: &[f64]| of(&problem.of_free(free));
    let css = css::least(problem).map(|scaled| problem.invertible(&problem.of_scaled(&scaled)));
    let starts = [Some(problem.zero()), css.and_then(|coef| problem.to_free(&coef))];
    let ends = starts.into_iter().flatten().map(|start| minimise(objective, start));
    let (free, value) = ends.min_by(|a, b| a.1.total_cmp(&b.1)).ok_or(FitError::NoVariation)?;
    if !value.is_finite() {
        return Err(FitError::NoVariation);
    }
    let coef = problem.invertible(&problem.of_free(&free));
    let se = match problem.to_free(&coef) {
        Some(free) => errors(problem, &objective, &|f: &[f64]| problem.of_free(f), &free),
        None => vec![f64::NAN; coef.len()],
    };
    Ok((coef, se))
}

/// Standard errors: of the inverse of n times the Hessian of the objective, with the derivatives of the coefficients by
/// what was searched on either side.
fn errors(
    problem: &Problem<'_>,
    objective: &impl Fn(&[f64]) -> f64,
    coef: &impl Fn(&[f64]) -> Vec<f64>,
    free: &[f64],
) -> Vec<f64> {
    // R's step.
    const STEP: f64 = 1e-3;
    let moved = |i: usize, by: f64| {
        let mut x = free.to_vec();
        x[i] += by;
        x
    };
    let difference = |f: &dyn Fn(&[f64]) -> Vec<f64>, i: usize| -> Vec<f64> {
        let (above, below) = (f(&moved(i, STEP)), f(&moved(i, -STEP)));
        above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * STEP)).collect()
    };
    let count = free.len();
    let hessian: Vec<_> = (0..count).map(|i| difference(&|x| gradient(objective, x), i)).collect();
    let slopes: Vec<_> = (0..count).map(|i| difference(&|x| coef(x), i)).collect();
    let Some(covariance) = inverse(&hessian) else { return vec![f64::NAN; count] };
    let of = |k: usize| -> f64 {
        let pairs = (0..count).flat_map(|i| (0..count).map(move |j| (i, j)));
        pairs.map(|(i, j)| slopes[i][k] * covariance[i][j] * slopes[j][k]).sum()
    };
    (0..count).map(|k| (of(k) / problem.n as f64).sqrt()).collect()
}

fn finish(problem: &Problem<'_>, coef: Vec<f64>, se: Vec<f64>) -> Result<Fit, FitError> {
    let (space, filtered) = problem.filter(&coef).ok_or(FitError::NotStationary)?;
    let n = problem.n as f64;
    let (value, sigma2) = match problem.options.method {
        Method::Likelihood => (problem.objective(&filtered), filtered.squares / n),
        Method::ConditionalSquares => {
            let value = css::objective(problem, &coef);
            (value, (2.0 * value).exp())
        }
    };
    if !value.is_finite() || sigma2 < f64::MIN_POSITIVE {
        return Err(FitError::NoVariation);
    }
    let loglik = problem.log_likelihood(value);
    let k = coef.len() as f64 + 1.0;
    let aic = 2.0 * k - 2.0 * loglik;
    Ok(Fit {
        se,
        sigma2,
        loglik,
        aic,
        aicc: aic + 2.0 * k * (k + 1.0) / (n - k - 1.0),
        bic: aic + k * (n.ln() - 2.0),
        n: problem.n,
        space,
        next: filtered.next,
        trend: problem.trend,
        samples: problem.y.len(),
        coef,
    })
}
