//! The exact likelihood against R's `arima` and against likelihoods that can be written down.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
mod reference;

use foreshade_forecast::exact::{Diffuse, Fit, FitError, Method, Options, Order, Trend, fit, log_likelihood};
use proptest::prelude::*;
use reference::{RFit, Reference};

/// Relative, at R's own coefficients; R's figures have ten digits.
const AT_R: f64 = 1e-8;
/// What R's maximum may be above ours.
const BELOW_R: f64 = 1e-3;
/// Two fits with log-likelihoods this near are the same maximum.
const SAME: f64 = 1e-2;
/// Coefficients, in R's standard errors. R stops when the objective gains 1e-8: 0.03 at 5000 samples.
const COEF: f64 = 0.05;
/// Standard errors, relative: R takes the curvature by differences.
const SE: f64 = 5e-3;
/// Innovation variance and the deviations of forecasts, relative.
const SPREAD: f64 = 5e-4;
/// Means of forecasts, in their deviations.
const MEAN: f64 = 5e-3;

fn near(what: &str, got: &[f64], want: &[f64], within: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert!((a - b).abs() <= within(i), "{what} {i}: {a}, R has {b}");
    }
}

/// Fits of R that say something else than the rest, each with the reason.
fn is_other(f: &RFit) -> Option<&'static str> {
    match f.id.as_str() {
        "presidents" if f.is_auto() => Some("its criterion counts 120 samples, 114 are there"),
        "sim_ar1_near_unit_n200" => Some("R leaves the first sample out"),
        "AirPassengers" if f.method.as_deref() == Some("CSS") => Some("the sum has a lower minimum"),
        _ => None,
    }
}

fn likelihood_at_r(f: &RFit, y: &[f64]) {
    let (order, options) = f.model();
    let got = log_likelihood(y, order, options, &f.coef).unwrap();
    assert!((got / f.loglik - 1.0).abs() < AT_R, "{}: {got}, R has {}", f.name(), f.loglik);
}

fn own_maximum(f: &RFit, y: &[f64]) -> Fit {
    let (order, options) = f.model();
    let own = fit(y, order, options).unwrap();
    assert!(own.loglik > f.loglik - BELOW_R, "{}: {}, R has {}", f.name(), own.loglik, f.loglik);
    own
}

/// The same maximum as R's: all that follows from it is the same, too.
fn same_maximum(f: &RFit, own: &Fit) {
    let name = f.name();
    assert!((own.loglik - f.loglik).abs() < SAME, "{name}: {}, R has {}", own.loglik, f.loglik);
    let errors = f.se.as_ref().unwrap_or(&own.se);
    near(&format!("{name} coefficient"), &own.coef, &f.coef, |i| COEF * errors[i]);
    near(&format!("{name} standard error"), &own.se, errors, |i| SE * errors[i]);
    let (means, variances): (Vec<f64>, Vec<f64>) = own.forecast(24).into_iter().unzip();
    near(&format!("{name} mean of step"), &means, &f.pred, |h| MEAN * variances[h].sqrt());
    // `auto.arima` takes another divisor for the variance, and says 95% bounds.
    let scale = if f.is_auto() { f.sigma2 / own.sigma2 } else { 1.0 };
    let deviations: Vec<f64> = variances.iter().map(|v| (v * scale).sqrt()).collect();
    let bounds = f.lo95.as_ref().zip(f.hi95.as_ref());
    let theirs = match (&f.pred_se, bounds) {
        (Some(se), _) => se.clone(),
        (None, Some((lo, hi))) => lo.iter().zip(hi).map(|(lo, hi)| (hi - lo) / 2.0 / 1.959_963_985).collect(),
        (None, None) => panic!("{name}: no bounds"),
    };
    near(&format!("{name} deviation of step"), &deviations, &theirs, |h| SPREAD * theirs[h]);
    if !f.is_auto() {
        near(&format!("{name} variance"), &[own.sigma2], &[f.sigma2], |_| SPREAD * f.sigma2);
    }
    let criteria = [(own.aic, f.aic), (own.aicc, f.aicc)];
    for (own, theirs) in criteria.into_iter().filter_map(|(own, r)| Some((own, r?))) {
        near(&format!("{name} criterion"), &[own], &[theirs], |_| 2.0 * SAME);
    }
}

/// Fits that were compared, and those with a reason not to.
fn compare(r: &Reference) -> (usize, Vec<String>) {
    let mut others = Vec::new();
    for f in &r.fits {
        let y = r.y(&f.id);
        if let Some(why) = is_other(f) {
            others.push(format!("{}: {why}", f.name()));
            continue;
        }
        if f.method.as_deref() != Some("CSS") {
            likelihood_at_r(f, y);
        }
        same_maximum(f, &own_maximum(f, y));
    }
    (r.fits.len() - others.len(), others)
}

#[test]
fn likelihoods_coefficients_and_forecasts_are_those_of_r() {
    let (compared, others) = compare(&reference::sample());
    assert_eq!((compared, others.len()), (33, 2), "{others:#?}");
}

#[test]
fn the_whole_reference_set_is_that_of_r() {
    let Some(all) = reference::whole("the whole reference set") else { return };
    let (compared, others) = compare(&all);
    println!("{compared} fits as R has them; others: {others:#?}");
    assert_eq!((compared, others.len()), (56, 3), "{others:#?}");
    // R stopped at a moving average of -1.06 where the sum goes on falling.
    let f = all.fits.iter().find(|f| f.id == "AirPassengers" && f.method.as_deref() == Some("CSS")).unwrap();
    own_maximum(f, all.y(&f.id));
}

#[test]
fn near_a_unit_root_the_first_sample_counts() {
    let r = reference::sample();
    let f = r.fits.iter().find(|f| f.id == "sim_ar1_near_unit_n200").unwrap();
    let (y, (order, as_r)) = (r.y(&f.id), f.model());
    assert_eq!(as_r.diffuse, Diffuse::AsR);
    likelihood_at_r(f, y);
    own_maximum(f, y);
    let exact = Options { diffuse: Diffuse::Exact, ..as_r };
    let own = fit(y, order, exact).unwrap();
    let theirs = log_likelihood(y, order, exact, &f.coef).unwrap();
    println!(
        "phi {:.4}, R {:.5}: log-likelihood of all samples {:.3}, R's {theirs:.3}",
        own.coef[0], f.coef[0], own.loglik
    );
    assert!(own.coef[0] < 0.99 && own.loglik > theirs + 1.0, "{own:?}");
}

/// An AR(1) at the samples there are: each is normal given the one before it, however long ago.
fn ar1(y: &[f64], phi: f64) -> f64 {
    let mut before: Option<(usize, f64)> = None;
    let (mut squares, mut logs, mut n) = (0.0, 0.0, 0.0);
    for (t, &y) in y.iter().enumerate().filter(|(_, y)| !y.is_nan()) {
        let decay = before.map_or(0.0, |(s, _)| phi.powi((t - s) as i32));
        let error = y - decay * before.map_or(0.0, |(_, y)| y);
        let variance = (1.0 - decay * decay) / (1.0 - phi * phi);
        squares += error * error / variance;
        logs += variance.ln();
        n += 1.0;
        before = Some((t, y));
    }
    -0.5 * (n * (std::f64::consts::TAU * squares / n).ln() + n + logs)
}

#[test]
fn an_autoregression_with_gaps_has_the_likelihood_of_its_transitions() {
    const NAN: f64 = f64::NAN;
    let y = [NAN, 1.0, 1.5, NAN, NAN, 0.3, -0.8, -0.7, NAN, 0.4, 1.1, NAN];
    let none = Options { trend: Trend::None, ..Options::default() };
    for phi in [0.0, 0.5, -0.7, 0.95, 0.99999] {
        let (got, want) = (log_likelihood(&y, Order::new(1, 0, 0), none, &[phi]).unwrap(), ar1(&y, phi));
        assert!((got - want).abs() < 1e-9, "phi {phi}: {got}, want {want}");
    }
}

#[test]
fn differences_have_the_likelihood_of_the_differenced_series() {
    let mut g = common::Lcg(7);
    let mut y = vec![0.0; 96];
    for t in 1..y.len() {
        y[t] = y[t - 1] + f64::from(g.normal());
    }
    let none = Options { trend: Trend::None, ..Options::default() };
    for (order, plain, delta) in [
        (Order::new(1, 1, 1), Order::new(1, 0, 1), vec![1]),
        (Order::new(1, 2, 1), Order::new(1, 0, 1), vec![1, 1]),
        (Order::new(1, 0, 1).seasonal(0, 1, 0, 12), Order::new(1, 0, 1), vec![12]),
        (Order::new(1, 1, 1).seasonal(0, 1, 0, 7), Order::new(1, 0, 1), vec![1, 7]),
    ] {
        let z = delta.iter().fold(y.clone(), |z, &lag| (lag..z.len()).map(|t| z[t] - z[t - lag]).collect());
        let got = log_likelihood(&y, order, none, &[0.4, -0.3]).unwrap();
        let want = log_likelihood(&z, plain, none, &[0.4, -0.3]).unwrap();
        // The samples before the first are not quite unknown: a variance of 1e6.
        assert!((got - want).abs() < 1e-3, "{order:?}: {got}, want {want}");
    }
}

#[test]
fn a_forecast_crosses_gaps_and_widens() {
    let mut y = reference::sample().y("lh").to_vec();
    y[40..].fill(f64::NAN);
    let own = fit(&y, Order::new(1, 0, 0), Options::default()).unwrap();
    let [phi, mean] = own.coef[..] else { panic!("{own:?}") };
    for (h, (ahead, variance)) in own.forecast(5).into_iter().enumerate() {
        let steps = 9 + h as i32;
        let want = mean + phi.powi(steps) * (y[39] - mean);
        let wide = own.sigma2 * (1.0 - phi.powi(2 * steps)) / (1.0 - phi * phi);
        assert!((ahead - want).abs() < 1e-9 && (variance / wide - 1.0).abs() < 1e-9, "step {h}");
    }
}

#[test]
fn a_drift_is_the_mean_difference() {
    let mut g = common::Lcg(3);
    let y: Vec<f64> = (0..60).map(|t| 100.0 + 2.5 * f64::from(t) + f64::from(g.normal())).collect();
    let drift = Options { trend: Trend::Drift, ..Options::default() };
    for (order, lag) in [(Order::new(0, 1, 0), 1), (Order::new(0, 0, 0).seasonal(0, 1, 0, 6), 6)] {
        let own = fit(&y, order, drift).unwrap();
        let each: Vec<f64> = (lag..60).map(|t| y[t] - y[t - lag]).collect();
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        assert!((own.coef[0] * lag as f64 - mean).abs() < 1e-4, "lag {lag}: {own:?}, mean {mean}");
        for (h, (ahead, _)) in own.forecast(lag).into_iter().enumerate() {
            assert!((ahead - y[60 - lag + h] - mean).abs() < 1e-3, "lag {lag}, step {h}: {ahead}");
        }
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let y: Vec<f64> = (0..40).map(|t| f64::from(t % 7)).collect();
    let one = Options::default();
    let error = |y: &[f64], order, options| fit(y, order, options).unwrap_err();
    assert_eq!(error(&y[..4], Order::new(1, 0, 0), one), FitError::TooFew { present: 4, needed: 5 });
    assert_eq!(error(&y, Order::new(usize::MAX, 0, 0), one), FitError::TooHigh);
    assert_eq!(error(&y, Order::new(1, 0, 0).seasonal(1, 0, 0, usize::MAX), one), FitError::TooHigh);
    assert_eq!(error(&y, Order::new(0, 1, 1).seasonal(0, 1, 1, 288), one), FitError::TooHigh);
    assert_eq!(error(&y, Order::new(1, 0, 0).seasonal(1, 0, 0, 1), one), FitError::Period(1));
    let drift = Options { trend: Trend::Drift, ..one };
    assert_eq!(error(&y, Order::new(1, 0, 0), drift), FitError::Drift(0));
    assert_eq!(error(&[3.0; 30], Order::new(1, 0, 0), one), FitError::NoVariation);
    let infinite = [&y[..], &[f64::INFINITY]].concat();
    let sample = FitError::Sample { index: 40, value: f64::INFINITY };
    assert_eq!(error(&infinite, Order::new(1, 0, 0), one), sample);
    let gap = [&y[..], &[f64::NAN]].concat();
    let squares = Options { method: Method::ConditionalSquares, ..one };
    assert_eq!(error(&gap, Order::new(1, 0, 0), squares), FitError::Gap(40));
    let at = |coef: &[f64]| log_likelihood(&y, Order::new(1, 0, 0), one, coef).unwrap_err();
    assert_eq!(at(&[0.5]), FitError::Coefficients { got: 1, want: 2 });
    assert_eq!(at(&[1.0, 0.0]), FitError::NotStationary);
    assert_eq!(at(&[0.5, f64::NAN]), FitError::NotStationary);
    let level = log_likelihood(&[3.0; 30], Order::new(0, 0, 0), one, &[3.0]);
    assert_eq!(level, Err(FitError::NoVariation));
}

fn sample() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -10.0..10.0,
        1 => Just(f64::NAN),
        2 => Just(1.0),
        1 => prop_oneof![Just(1e99), Just(-1e-300), Just(f64::MAX), Just(f64::NEG_INFINITY)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn any_series_and_order_has_a_finite_fit_or_an_error(
        y in prop::collection::vec(sample(), 0..48),
        plain in [0usize..4, 0usize..3, 0usize..4],
        seasonal in [0usize..2, 0usize..2, 0usize..2, 0usize..6],
        (trend, squares) in (0usize..3, any::<bool>()),
    ) {
        let order = Order::new(plain[0], plain[1], plain[2])
            .seasonal(seasonal[0], seasonal[1], seasonal[2], seasonal[3]);
        let trend = [Trend::None, Trend::Mean, Trend::Drift][trend];
        let method = if squares { Method::ConditionalSquares } else { Method::Likelihood };
        let options = Options { trend, method, ..Options::default() };
        if let Ok(f) = fit(&y, order, options) {
            prop_assert!(f.sigma2 > 0.0 && f.loglik.is_finite() && f.aicc.is_finite(), "{f:?}");
            prop_assert!(f.forecast(6).iter().all(|(m, v)| m.is_finite() && *v > 0.0), "{f:?}");
        }
    }
}
