//! From autocovariances to an order and its coefficients, for a vector of series.

use fearless_simd::{Select, Simd, SimdBase, SimdFloat};
use foreshade_kernels::arima_fit::P_MAX;
use foreshade_kernels::arima_fit::reference::{GAIN_MIN, MARGIN, NOISE, SHARE_MIN};

/// An order with its coefficients and its criterion.
#[derive(Clone, Copy)]
pub(super) struct Choice<V> {
    pub aicc: V,
    pub p: V,
    pub q: V,
    pub phi: [V; P_MAX],
    pub theta: V,
}

/// ln x for normal x > 0, within 3 units in the last place of |ln x| + 1e-7: x = 2^k m with m in [0.707, 1.414),
/// ln m = 2 atanh((m - 1) / (m + 1)), its series to the 11th power.
#[inline(always)]
pub(super) fn ln<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const HALF_SQRT: u32 = 0x3f35_04f3;
    let splat = |v| S::f32s::splat(simd, v);
    let bits = x.to_bits() + (0x3f80_0000 - HALF_SQRT);
    // 2^23 + (k + 127), made of bits: no conversion is needed.
    let k = S::f32s::from_bits((bits >> 23) + 0x4b00_0000) - (8_388_608.0 + 127.0);
    let m = S::f32s::from_bits((bits & 0x007f_ffff) + HALF_SQRT);
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut series = splat(1.0 / 11.0);
    for c in [1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0] {
        series = series.mul_add(s2, splat(c));
    }
    let twice = s + s;
    k.mul_add(splat(std::f32::consts::LN_2), (twice * s2).mul_add(series, twice))
}

/// 2 k + 2 k (k + 1) / (n - k - 1), `k` a whole number.
#[inline(always)]
pub(super) fn penalty<S: Simd>(n: S::f32s, k: S::f32s) -> S::f32s {
    let twice = k + k;
    twice.mul_add((k + 1.0) / (n - k - 1.0), twice)
}

/// Takes a candidate where it is better, and where `may` allows it.
#[inline(always)]
fn consider<S: Simd>(best: &mut Choice<S::f32s>, may: S::mask32s, c: Choice<S::f32s>) {
    let better = c.aicc.simd_lt(best.aicc) & may;
    best.aicc = better.select(c.aicc, best.aicc);
    best.p = better.select(c.p, best.p);
    best.q = better.select(c.q, best.q);
    for (b, c) in best.phi.iter_mut().zip(c.phi) {
        *b = better.select(c, *b);
    }
    best.theta = better.select(c.theta, best.theta);
}

/// The order with the least criterion for autocovariances r_0 .. r_7 of `n` values; `fixed` parameters beside the
/// coefficients.
#[inline(always)]
pub(super) fn choose<S: Simd>(simd: S, r: &[S::f32s; P_MAX + 2], n: S::f32s, fixed: f32) -> Choice<S::f32s> {
    let splat = |v| S::f32s::splat(simd, v);
    let zero = splat(0.0);
    let least = splat(SHARE_MIN as f32);
    let all = zero.simd_eq(zero);
    let scale = r[0].simd_gt(zero).select(splat(1.0) / r[0], zero);
    let mut rho = r.map(|v| v * scale);
    rho[0] = splat(1.0 + NOISE as f32);
    let aicc = |share: S::f32s, coefficients: usize| {
        let k = splat(coefficients as f32 + fixed);
        n.mul_add(ln(simd, share.max(least)), penalty::<S>(n, k))
    };
    let mut phi = [zero; P_MAX];
    let mut v = rho[0];
    let mut shares = [v; 3];
    let mut best = Choice { aicc: aicc(v, 0), p: zero, q: zero, phi, theta: zero };
    for k in 0..P_MAX {
        let mut sum = rho[k + 1];
        for j in 0..k {
            sum -= phi[j] * rho[k - j];
        }
        let reflection = sum / v;
        let old = phi;
        for j in 0..k {
            phi[j] = old[j] - reflection * old[k - 1 - j];
        }
        phi[k] = reflection;
        v *= splat(1.0) - reflection * reflection;
        if k + 1 < shares.len() {
            shares[k + 1] = v;
        }
        let p = splat((k + 1) as f32);
        consider::<S>(&mut best, all, Choice { aicc: aicc(v, k + 1), p, q: zero, phi, theta: zero });
    }
    let mut g = rho[1];
    for j in 0..P_MAX {
        g -= phi[j] * rho[j + 2];
    }
    for p in 0..3 {
        let (may, phi, theta, share) = arma(simd, p, &rho, v, g, shares[p.saturating_sub(1)]);
        let c = Choice { aicc: aicc(share, p + 1), p: splat(p as f32), q: splat(1.0), phi, theta };
        consider::<S>(&mut best, may, c);
    }
    best
}

/// ARMA(p, 1) by the regression on the long autoregression's residuals, in moments: may it be taken, phi, theta, share
/// of r_0. `v`, `g` as in reference.rs, `before` = share of AR(p - 1).
#[inline(always)]
fn arma<S: Simd>(
    simd: S,
    p: usize,
    rho: &[S::f32s; P_MAX + 2],
    v: S::f32s,
    g: S::f32s,
    before: S::f32s,
) -> (S::mask32s, [S::f32s; P_MAX], S::f32s, S::f32s) {
    let splat = |v| S::f32s::splat(simd, v);
    let zero = splat(0.0);
    let margin = splat(MARGIN as f32);
    let mut phi = [zero; P_MAX];
    let gap = rho[0] - v;
    let rest = rho[1] - g;
    if p == 1 {
        phi[0] = rest / gap.max(splat(SHARE_MIN as f32));
    }
    if p == 2 {
        let det = (gap * rho[0] - rho[1] * rho[1]).max(splat((SHARE_MIN * SHARE_MIN) as f32));
        phi[0] = (rest * rho[0] - rho[1] * rho[2]) / det;
        phi[1] = (gap * rho[2] - rest * rho[1]) / det;
    }
    let theta = g / v - phi[0];
    let root = (phi[0].abs() + phi[1]).max(phi[1].abs());
    let mut may = root.simd_le(margin) & theta.abs().simd_le(margin);
    if p > 0 {
        may &= (before - v).simd_ge(before * GAIN_MIN as f32);
    }
    let share = rho[0] - phi[0] * rho[1] - phi[1] * rho[2] - theta * g;
    (may, phi, theta, share)
}
