//! Conditional sum of squares: errors from the first sample on whose lags are all there, earlier errors taken for 0
//! (G. Box & G. Jenkins, Time Series Analysis: Forecasting and Control, section 7.1.2).

use super::bfgs::minimise;
use super::model::Problem;

/// Half the logarithm of the mean square; infinite where there is none, as beside a gap.
pub fn objective(problem: &Problem<'_>, coef: &[f64]) -> f64 {
    let (phi, theta, y) = problem.expand(coef);
    let w = problem.differenced(&y);
    let first = problem.order.lags();
    let mut errors = vec![0.0; w.len()];
    let mut squares = 0.0;
    for t in first..w.len() {
        let past: f64 = phi.iter().zip(w[..t].iter().rev()).map(|(c, w)| c * w).sum();
        let shocks: f64 = theta.iter().zip(errors[..t].iter().rev()).map(|(c, e)| c * e).sum();
        errors[t] = w[t] - past - shocks;
        squares += errors[t] * errors[t];
    }
    let value = 0.5 * (squares / w.len().saturating_sub(first) as f64).ln();
    if value.is_finite() { value } else { f64::INFINITY }
}

/// Where the sum is least, as [`Problem::of_scaled`] takes it; `None` with gaps or without variation.
pub fn least(problem: &Problem<'_>) -> Option<Vec<f64>> {
    let of = |scaled: &[f64]| objective(problem, &problem.of_scaled(scaled));
    let (scaled, value) = minimise(of, problem.zero());
    value.is_finite().then_some(scaled)
}
