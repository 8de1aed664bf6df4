//! Mean and variance of the next steps, and the bounds around them.

use fearless_simd::{Select, Simd, SimdBase, SimdFloat, dispatch};
use foreshade_kernels::GROUP;
use foreshade_kernels::arima_fit::{
    D, FIT_WORDS, LAST, LEVELS, MEAN, P_MAX, PHI, QUANTILES, RESIDUAL, STATUS, TAIL, THETA, VARIANCE,
};
use foreshade_kernels::arima_forecast::reference::VARIANCE_MAX;
use rayon::prelude::*;

use crate::Exec;

/// `arima_forecast`: `ints` and arrays as its SPEC says.
///
/// The caller has checked lengths; a wrong one is a bug of the caller and panics.
pub fn forecast(exec: &Exec, ints: &[i32], fit: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    let steps = ints[1] as usize;
    let fits = fit.par_chunks_exact(FIT_WORDS * GROUP);
    let means = mean.par_chunks_exact_mut(steps * GROUP);
    let variances = variance.par_chunks_exact_mut(steps * GROUP);
    exec.install(|| {
        fits.zip(means).zip(variances).for_each(|((fit, mean), variance)| {
            dispatch!(exec.level(), simd => {
                for first in (0..GROUP).step_by(lanes_of(simd)) {
                    ahead(simd, fit, first, mean, variance);
                }
            });
        });
    });
}

#[inline(always)]
fn lanes_of<S: Simd>(_: S) -> usize {
    S::f32s::LEN
}

/// One vector of lanes of a group.
#[inline(always)]
fn ahead<S: Simd>(simd: S, fit: &[f32], first: usize, mean: &mut [f32], variance: &mut [f32]) {
    let n = S::f32s::LEN;
    let splat = |v| S::f32s::splat(simd, v);
    let zero = splat(0.0);
    let word = |i: usize| S::f32s::from_slice(simd, &fit[i * GROUP + first..][..n]);
    let phi: [S::f32s; P_MAX] = std::array::from_fn(|j| word(PHI + j));
    let mut f: [S::f32s; P_MAX] = std::array::from_fn(|j| word(TAIL + j));
    let mut psi = [zero; P_MAX];
    let sums = word(D).simd_gt(zero) | word(STATUS).simd_gt(zero);
    let once = word(D).simd_gt(zero);
    let innovation = word(VARIANCE);
    let mut level = sums.select(word(LAST), word(MEAN));
    let (mut weight, mut squares) = (zero, zero);
    // theta meets the newest residual in the first step, and the first new shock in the second.
    let (mut shock, mut impulses) = (word(THETA) * word(RESIDUAL), [splat(1.0), word(THETA)]);
    for (mean, variance) in mean.chunks_exact_mut(GROUP).zip(variance.chunks_exact_mut(GROUP)) {
        let mut next = shock;
        let mut response = impulses[0];
        for j in 0..P_MAX {
            next = phi[j].mul_add(f[j], next);
            response = phi[j].mul_add(psi[j], response);
        }
        f = shifted(f, next);
        psi = shifted(psi, response);
        impulses = [impulses[1], zero];
        shock = zero;
        let value = level + next;
        level = once.select(value, level);
        weight = once.select(weight + response, response);
        squares = weight.mul_add(weight, squares);
        value.store_slice(&mut mean[first..first + n]);
        (innovation * squares).min(splat(VARIANCE_MAX)).store_slice(&mut variance[first..first + n]);
    }
}

/// The newest value goes in front, the oldest one out.
#[inline(always)]
fn shifted<V: Copy>(old: [V; P_MAX], newest: V) -> [V; P_MAX] {
    std::array::from_fn(|j| if j == 0 { newest } else { old[j - 1] })
}

/// Quantiles of the steps, [lanes/64][steps][levels][64]: mean + sqrt(variance / variance of the first step) times the
/// quantile of the residuals. `mean` and `variance` as `forecast` leaves them, `fit` as it was for it.
///
/// The caller has checked lengths; a wrong one is a bug of the caller and panics.
pub fn bounds(exec: &Exec, steps: usize, mean: &[f32], variance: &[f32], fit: &[f32], out: &mut [f32]) {
    let fits = fit.par_chunks_exact(FIT_WORDS * GROUP);
    let means = mean.par_chunks_exact(steps * GROUP);
    let variances = variance.par_chunks_exact(steps * GROUP);
    let outs = out.par_chunks_exact_mut(steps * LEVELS.len() * GROUP);
    exec.install(|| {
        fits.zip(means).zip(variances).zip(outs).for_each(|(((fit, mean), variance), out)| {
            dispatch!(exec.level(), simd => {
                for first in (0..GROUP).step_by(lanes_of(simd)) {
                    around(simd, fit, first, mean, variance, out);
                }
            });
        });
    });
}

/// Bounds of one vector of lanes of a group.
#[inline(always)]
fn around<S: Simd>(simd: S, fit: &[f32], first: usize, mean: &[f32], variance: &[f32], out: &mut [f32]) {
    let n = S::f32s::LEN;
    let zero = S::f32s::splat(simd, 0.0);
    let load = |words: &[f32]| S::f32s::from_slice(simd, &words[first..first + n]);
    let quantiles: [S::f32s; LEVELS.len()] = std::array::from_fn(|i| load(&fit[(QUANTILES + i) * GROUP..]));
    let one_step = load(variance);
    let inverse = one_step.simd_gt(zero).select(S::f32s::splat(simd, 1.0) / one_step, zero);
    let (steps, _) = out.as_chunks_mut::<{ LEVELS.len() * GROUP }>();
    let moments = mean.chunks_exact(GROUP).zip(variance.chunks_exact(GROUP));
    for (out, (mean, variance)) in steps.iter_mut().zip(moments) {
        let (mean, width) = (load(mean), (load(variance) * inverse).sqrt());
        for (level, q) in quantiles.iter().enumerate() {
            width.mul_add(*q, mean).store_slice(&mut out[level * GROUP + first..][..n]);
        }
    }
}
