//! How far an f32 device may be from the f64 forecast of the same fitted words. README.md derives it.

use super::reference::forecast;
use crate::arima_fit::{D, FIT_WORDS, P_MAX, PHI, RESIDUAL, TAIL, THETA};
use crate::spec::{GROUP, blocked};

/// Half a unit in the last place of 1 in f32.
const U: f64 = 1.0 / (1u64 << 24) as f64;
/// Below this a result may be flushed to zero.
const FLUSHED: f64 = f32::MIN_POSITIVE as f64;

/// Compares a device's forecast of one lane, in the layout of SPEC, with the reference from the same fitted words.
///
/// # Errors
/// The first step that is off, with both values and the bound.
pub fn check(fit: &[f32], steps: usize, mean: &[f32], variance: &[f32], lane: usize) -> Result<(), String> {
    let words: [f64; FIT_WORDS] = std::array::from_fn(|i| f64::from(fit[blocked(lane, i, FIT_WORDS)]));
    let want = forecast(&words, steps);
    let phi = &words[PHI..PHI + P_MAX];
    let past = |list: &[f64], h: usize, j: usize, before: &dyn Fn(usize) -> f64| {
        if h >= j { list[h - j].abs() } else { before(j - h - 1).abs() }
    };
    // What one step of each recursion adds by its own roundings.
    let local = |list: &[f64], h: usize, before: &dyn Fn(usize) -> f64, shock: f64| {
        let terms: f64 = (1..=P_MAX).map(|j| phi[j - 1].abs() * past(list, h, j, before)).sum();
        (P_MAX + 3) as f64 * U * (terms + shock.abs()) + FLUSHED
    };
    let tail = |j: usize| words[TAIL + j];
    let response = autoregressive(phi, steps);
    let (mut of_mean, mut of_psi) = (Vec::new(), Vec::new());
    let (mut path, mut weight, mut squares, mut squares_err) = (0.0, 0.0, 0.0, 0.0);
    for h in 0..steps {
        let shock = if h == 0 { words[THETA] * words[RESIDUAL] } else { 0.0 };
        of_mean.push(local(&want.ahead, h, &tail, shock));
        of_psi.push(if h == 0 { 0.0 } else { local(&want.psi, h, &|_| 0.0, words[THETA]) });
        // An error of step k reaches step h with the weight psi_{h-k} of the pure autoregression.
        let reach = |local: &[f64]| (0..=h).map(|k| response[h - k].abs() * local[k]).sum::<f64>();
        let (mut mean_err, mut psi_err) = (reach(&of_mean), reach(&of_psi));
        if words[D] != 0.0 {
            path += mean_err + U * want.mean[h].abs();
            weight += psi_err + U * want.psi[..=h].iter().sum::<f64>().abs();
            (mean_err, psi_err) = (path, weight);
        }
        mean_err += 2.0 * U * want.mean[h].abs() + FLUSHED;
        let cumulated = if words[D] == 0.0 { want.psi[h] } else { want.psi[..=h].iter().sum() };
        squares += cumulated * cumulated;
        squares_err += 2.0 * cumulated.abs() * psi_err + psi_err * psi_err + 2.0 * U * squares;
        let variance_err = want.variance[h] * (squares_err / squares + 2.0 * U) + FLUSHED;
        let at = lane / GROUP * steps * GROUP + h * GROUP + lane % GROUP;
        within("mean", lane, h, mean[at], want.mean[h], mean_err)?;
        within("variance", lane, h, variance[at], want.variance[h], variance_err)?;
    }
    Ok(())
}

/// Impulse response of the autoregression alone.
fn autoregressive(phi: &[f64], steps: usize) -> Vec<f64> {
    let mut psi: Vec<f64> = Vec::with_capacity(steps);
    for k in 0..steps {
        let lags: f64 = (1..=P_MAX.min(k)).map(|j| phi[j - 1] * psi[k - j]).sum();
        psi.push(lags + if k == 0 { 1.0 } else { 0.0 });
    }
    psi
}

fn within(what: &str, lane: usize, h: usize, got: f32, want: f64, bound: f64) -> Result<(), String> {
    // Not "greater than": NaN must fail.
    if (f64::from(got) - want).abs() <= bound {
        return Ok(());
    }
    Err(format!("lane {lane} step {}: {what} is {got}, the reference has {want}, bound {bound:e}", h + 1))
}
