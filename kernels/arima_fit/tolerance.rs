//! How far an f32 device may be from the f64 reference. README.md derives it: an error of an autocovariance is bounded from
//! the samples, what it does to a coefficient or a criterion is found by moving each autocovariance by that much, and what
//! follows from the coefficients is compared with the reference that has the device's own coefficients.

use super::reference::{
    Candidate, Scaled, autocovariances, candidates, difference_aicc, fit, judged, order_aicc, residuals,
    scaled, words,
};
use super::{
    AICC, D, FIT_WORDS, LAST, LEVELS, MEAN, N, P, P_MAX, PHI, Q, QUANTILES, RESIDUAL, STATUS, TAIL, THETA,
    VARIANCE,
};
use crate::spec::blocked;

/// Half a unit in the last place of 1 in f32.
const U: f64 = 1.0 / (1u64 << 24) as f64;
/// Roundings of a sum in parts of 16 of at most 288 terms, with the products and the division.
const SUM: f64 = 40.0;
/// Relative error of a device's logarithm, and of the exponent's share of it.
const LN: f64 = 16.0 * U;
/// Below this a result may be flushed to zero.
const FLUSHED: f64 = f32::MIN_POSITIVE as f64;

/// A value, and how far a device's may be from it.
#[derive(Clone, Copy)]
struct Bound {
    value: f64,
    err: f64,
}

/// A candidate of the reference with what a device may see of it.
struct Judged {
    candidate: Candidate,
    aicc: f64,
    aicc_err: f64,
    margin_err: f64,
    phi_err: [f64; P_MAX],
    theta_err: f64,
    /// Criterion that chooses the difference.
    final_aicc: Bound,
}

/// Compares a device's fit of one lane, in the layout of SPEC, with the reference: `y` [samples][lanes].
///
/// # Errors
/// The first word that is off, with both values and the bound.
pub fn check(y: &[f32], samples: usize, fit_words: &[f32], lane: usize) -> Result<(), String> {
    let lanes = y.len() / samples;
    let series: Vec<f32> = (0..samples).map(|t| y[t * lanes + lane]).collect();
    let got: [f64; FIT_WORDS] = std::array::from_fn(|i| f64::from(fit_words[blocked(lane, i, FIT_WORDS)]));
    let result = match scaled(&series) {
        None => check_last_value(&got, &fit(&series).words),
        Some(s) => check_fit(&s, &got, &fit(&series).words),
    };
    result.map_err(|e| format!("lane {lane}: {e}"))
}

fn same(what: &str, got: f64, want: f64) -> Result<(), String> {
    within(what, got, want, 0.0)
}

fn within(what: &str, got: f64, want: f64, bound: f64) -> Result<(), String> {
    // Not "greater than": NaN must fail.
    if (got - want).abs() <= bound {
        return Ok(());
    }
    Err(format!("{what} is {got:e}, the reference has {want:e}, bound {bound:e}"))
}

fn check_last_value(got: &[f64; FIT_WORDS], want: &[f64; FIT_WORDS]) -> Result<(), String> {
    for i in 0..FIT_WORDS {
        let bound = match i {
            // Two sums of at most 288 terms in parts of 16; a deviation from the mean keeps the error of the mean.
            VARIANCE => 4.0 * SUM * U * want[i] + FLUSHED,
            i if i >= QUANTILES => 4.0 * SUM * U * want[i].abs() + FLUSHED,
            _ => 0.0,
        };
        within(&format!("word {i}"), got[i], want[i], bound)?;
    }
    Ok(())
}

/// Bounds of the errors of r_0 .. r_7.
fn moment_errors(s: &Scaled, d: usize, r: &[f64; P_MAX + 2]) -> [f64; P_MAX + 2] {
    let (z, n) = (&s.z[d], s.n[d] as f64);
    let size = |v: &[f64]| (v.iter().map(|v| v * v).sum::<f64>() / n).sqrt();
    // Each scaled value is rounded when the centre and the mean are taken off; a difference once.
    let rounding = if d == 0 { U * (2.0 * size(&s.u) + s.mean.abs() + size(z)) } else { U * size(z) };
    let shift = if d == 0 { mean_error(s) } else { 0.0 };
    // Levinson's recursion has the error of a perturbed matrix, with a factor of the reflections (Cybenko 1980).
    let all = candidates(r);
    let reflections: f64 = (1..=P_MAX).map(|p| 1.0 + all[p].phi[p - 1].abs()).product();
    std::array::from_fn(|k| {
        let there = |t: usize| if s.there[d][t] { 1.0 } else { 0.0 };
        let lone: f64 = (k..z.len()).map(|t| z[t] * there(t - k) + there(t) * z[t - k]).sum();
        let sums = SUM * U * r[0] + 2.0 * rounding * r[0].sqrt();
        sums + shift * (lone / n).abs() + shift * shift + P_MAX as f64 * reflections * U * r[0]
    })
}

/// Of the mean of the scaled samples.
fn mean_error(s: &Scaled) -> f64 {
    let size = s.u.iter().map(|u| u.abs()).sum::<f64>() / s.n[0] as f64;
    SUM * U * (size + s.mean.abs())
}

/// The candidates of a difference, each with its sensitivity to the errors of the autocovariances.
fn judge(s: &Scaled, d: usize) -> Vec<Judged> {
    let r = autocovariances(&s.z[d], s.n[d]);
    let errors = moment_errors(s, d, &r);
    let centre = candidates(&r);
    let mut moved: Vec<Vec<Candidate>> = Vec::new();
    for k in 0..r.len() {
        let mut other = r;
        // r_0 divides the others, so moving it moves them all.
        other[k] += errors[k];
        moved.push(candidates(&other));
    }
    let criterion = |c: &Candidate| {
        let e = residuals(s, d, &c.phi, c.theta);
        difference_aicc(s, d, c, &e).1
    };
    let judged = |i: usize| {
        let c = centre[i];
        let sum = |f: &dyn Fn(&Candidate) -> f64| moved.iter().map(|m| (f(&m[i]) - f(&c)).abs()).sum::<f64>();
        let aicc = order_aicc(s, d, &c);
        let final_aicc = criterion(&c);
        let log_err = |aicc: f64, n: usize| LN * (aicc.abs() + n as f64);
        Judged {
            candidate: c,
            aicc,
            aicc_err: sum(&|m| order_aicc(s, d, m)) + log_err(aicc, s.n[d]),
            margin_err: sum(&|m| m.margin) + 8.0 * U,
            phi_err: std::array::from_fn(|j| sum(&|m| m.phi[j]) + 8.0 * U * (1.0 + c.phi[j].abs())),
            theta_err: sum(&|m| m.theta) + 8.0 * U * (1.0 + c.theta.abs()),
            final_aicc: Bound { value: final_aicc, err: sum(&criterion) + log_err(final_aicc, s.judged) },
        }
    };
    (0..centre.len()).map(judged).collect()
}

/// May a device choose this one among the orders of its difference?
fn may_choose(all: &[Judged], c: &Judged) -> bool {
    let surely = all.iter().filter(|j| j.candidate.margin > j.margin_err);
    let best = surely.map(|j| j.aicc + j.aicc_err).fold(f64::INFINITY, f64::min);
    c.candidate.margin >= -c.margin_err && c.aicc - c.aicc_err <= best
}

fn check_fit(s: &Scaled, got: &[f64; FIT_WORDS], want: &[f64; FIT_WORDS]) -> Result<(), String> {
    same("status", got[STATUS], 0.0)?;
    same("last", got[LAST], want[LAST])?;
    let d = usize::from(got[D] == 1.0);
    same("d", got[D], d as f64)?;
    same("n", got[N], s.n[d] as f64)?;
    let orders = judge(s, d);
    let Some(own) = orders.iter().find(|j| j.candidate.p as f64 == got[P] && j.candidate.q as f64 == got[Q])
    else {
        return Err(format!("there is no order ({}, {d}, {})", got[P], got[Q]));
    };
    let c = own.candidate;
    if !may_choose(&orders, own) {
        let best =
            orders.iter().filter(|j| j.candidate.margin >= 0.0).map(|j| j.aicc).fold(f64::INFINITY, f64::min);
        return Err(format!(
            "order ({}, {d}, {}) has the criterion {} +- {:e}, margin {}, the best {best}",
            c.p, c.q, own.aicc, own.aicc_err, c.margin
        ));
    }
    let others = judge(s, 1 - d);
    let worst = others.iter().filter(|j| may_choose(&others, j));
    let worst = worst.map(|j| j.final_aicc.value + j.final_aicc.err).fold(f64::NEG_INFINITY, f64::max);
    if own.final_aicc.value - own.final_aicc.err > worst {
        return Err(format!(
            "d = {d} has the criterion {}, the other one at most {worst}",
            own.final_aicc.value
        ));
    }
    for j in 0..P_MAX {
        let bound = if j < c.p { own.phi_err[j] } else { 0.0 };
        within(&format!("phi {}", j + 1), got[PHI + j], c.phi[j], bound)?;
    }
    within("theta", got[THETA], c.theta, if c.q == 1 { own.theta_err } else { 0.0 })?;
    check_residuals(s, d, &c, got, want[LAST])
}

/// What follows from the device's own coefficients.
fn check_residuals(
    s: &Scaled,
    d: usize,
    order: &Candidate,
    got: &[f64; FIT_WORDS],
    last: f64,
) -> Result<(), String> {
    let mut c = *order;
    c.phi.copy_from_slice(&got[PHI..PHI + P_MAX]);
    c.theta = got[THETA];
    let e = residuals(s, d, &c.phi, c.theta);
    let want = words(s, d, &e, last);
    let reach = |v: &[f64]| v.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    let z_max = reach(&s.z[d]);
    let z_err = match d {
        0 => mean_error(s) + U * (2.0 * reach(&s.u) + s.mean.abs() + z_max),
        _ => 2.0 * U * z_max,
    };
    let weights = 1.0 + c.phi.iter().map(|v| v.abs()).sum::<f64>();
    let own = (P_MAX + 3) as f64 * U * (weights * z_max + c.theta.abs() * reach(&e));
    let e_err = (z_err * weights + own) / (1.0 - c.theta.abs());
    let kept = judged(s, &e);
    let (variance, aicc) = difference_aicc(s, d, &c, &e);
    let mean_abs = kept.iter().map(|e| e.abs()).sum::<f64>() / kept.len() as f64;
    let variance_err = 2.0 * e_err * mean_abs + e_err * e_err + SUM * U * variance;
    let unit = s.scale;
    let mean_bound = if d == 0 { unit * mean_error(s) + 2.0 * U * want[MEAN].abs() } else { 0.0 };
    within("mean", got[MEAN], want[MEAN], mean_bound)?;
    within("variance", got[VARIANCE], variance * unit * unit, variance_err * unit * unit + FLUSHED)?;
    let in_unit = 2.0 * s.judged as f64 * unit.ln();
    let aicc_err =
        s.judged as f64 * variance_err / variance + LN * (aicc.abs() + in_unit.abs() + s.judged as f64);
    within("aicc", got[AICC], aicc + in_unit, aicc_err)?;
    for j in 0..P_MAX {
        within("tail", got[TAIL + j], want[TAIL + j], z_err * unit)?;
    }
    within("residual", got[RESIDUAL], want[RESIDUAL], e_err * unit)?;
    // The place of a quantile is rounded too: n U of the gap between two order statistics.
    let place = kept.len() as f64 * 4.0 * U * 2.0 * reach(&e);
    for i in 0..LEVELS.len() {
        within("quantile", got[QUANTILES + i], want[QUANTILES + i], (e_err + place) * unit)?;
    }
    Ok(())
}
