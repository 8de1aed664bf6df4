//! tanh, sigmoid, exp and softplus as straight-line vector arithmetic: the C library's differ between versions and
//! processors, these do not. Where the instruction set has a fused multiply-add it is used, so results may differ between
//! levels in the last bits.

use fearless_simd::prelude::*;

/// Where [`tanh`] is held: the quotient is 1 there within its error.
const TANH_LIMIT: f32 = 7.9;
/// Numerator of [`tanh`] over x, in powers of x^2, highest first. With the denominator a quotient of an odd and an even
/// polynomial of degrees 7 and 8 on [-7.9, 7.9], fitted for the least largest error (1.2e-7 before rounding). All
/// coefficients are positive, so nothing cancels.
const TANH_P: [f32; 4] = [1.141_460_2e-5, 2.948_504_2e-3, 1.292_267_9e-1, 9.999_994e-1];
/// Denominator of [`tanh`], in powers of x^2, highest first.
const TANH_Q: [f32; 5] = [2.457_217_6e-7, 2.383_943_8e-4, 2.380_348e-2, 4.625_58e-1, 1.0];

/// The coefficients for x / 2, in powers of x^2, times `by`. Powers of two change no rounding.
const fn halved<const N: usize>(from: [f32; N], by: f32) -> [f32; N] {
    let mut to = from;
    let mut i = 0;
    while i < N {
        to[i] = from[i] * by / (1u64 << (2 * (N - 1 - i))) as f32;
        i += 1;
    }
    to
}

/// Numerators and denominators.
type Quotient<V, const U: usize> = ([V; U], [V; U]);

/// x p(x^2) and q(x^2) with x held within the limit. Step by step over all vectors, so that there is always one whose
/// last result is ready: a chain alone would wait for the latency of each multiply-add.
#[inline(always)]
fn rational<S: Simd, const U: usize>(
    simd: S,
    x: [S::f32s; U],
    limit: f32,
    p: &[f32; 4],
    q: &[f32; 5],
) -> Quotient<S::f32s, U> {
    let mut x = x;
    let mut x2 = x;
    for u in 0..U {
        x[u] = x[u].max(-limit).min(limit);
        x2[u] = x[u] * x[u];
    }
    let mut top = [splat(simd, p[0]); U];
    let mut bottom = [splat(simd, q[0]); U];
    for (i, q) in q.iter().enumerate().skip(1) {
        for u in 0..U {
            bottom[u] = bottom[u].mul_add(x2[u], splat(simd, *q));
            if let Some(p) = p.get(i) {
                top[u] = top[u].mul_add(x2[u], splat(simd, *p));
            }
        }
    }
    for u in 0..U {
        top[u] *= x[u];
    }
    (top, bottom)
}

/// tanh as a quotient, absolute error below 5e-7. The denominator lies in [1, 185].
#[inline(always)]
fn tanh<S: Simd, const U: usize>(simd: S, x: [S::f32s; U]) -> Quotient<S::f32s, U> {
    rational(simd, x, TANH_LIMIT, &TANH_P, &TANH_Q)
}

/// 1 / (1 + e^-x) as a quotient, absolute error below 3e-7: it is (1 + tanh(x / 2)) / 2, with the halves in the
/// coefficients. The denominator lies in [1, 185].
#[inline(always)]
fn sigmoid<S: Simd, const U: usize>(simd: S, x: [S::f32s; U]) -> Quotient<S::f32s, U> {
    const P: [f32; 4] = halved(TANH_P, 0.25);
    const Q: [f32; 5] = halved(TANH_Q, 1.0);
    let (mut top, bottom) = rational(simd, x, 2.0 * TANH_LIMIT, &P, &Q);
    for (top, bottom) in top.iter_mut().zip(bottom) {
        *top = bottom.mul_add(splat(simd, 0.5), *top);
    }
    (top, bottom)
}

/// sigmoid(f) c + sigmoid(i) tanh(g) over one common denominator: a division costs a vector unit as much as ten
/// multiply-adds. The denominator stays below 185^3.
#[inline(always)]
pub fn next_cell<S: Simd, const U: usize>(
    simd: S,
    [i, f, g]: [[S::f32s; U]; 3],
    c: [S::f32s; U],
) -> [S::f32s; U] {
    let ((si, qi), (sf, qf), (tg, qg)) = (sigmoid(simd, i), sigmoid(simd, f), tanh(simd, g));
    let mut new = c;
    for u in 0..U {
        let added = qi[u] * qg[u];
        let kept = sf[u] * c[u];
        new[u] = kept.mul_add(added, si[u] * tg[u] * qf[u]) / (added * qf[u]);
    }
    new
}

/// sigmoid(o) tanh(c) with one division.
#[inline(always)]
pub fn gated<S: Simd, const U: usize>(simd: S, o: [S::f32s; U], c: [S::f32s; U]) -> [S::f32s; U] {
    let ((so, qo), (tc, qc)) = (sigmoid(simd, o), tanh(simd, c));
    let mut h = c;
    for u in 0..U {
        h[u] = so[u] * tc[u] / (qo[u] * qc[u]);
    }
    h
}

/// e^x for x in [-87, 0], relative error below 3e-7; smaller x give the value at -87 (1.6e-38).
#[inline(always)]
pub fn exp_neg<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let x = x.max(-87.0).min(0.0);
    // Truncation rounds towards 0, so -0.5 makes it round to nearest for x <= 0.
    let k: S::i32s = x.mul_add(std::f32::consts::LOG2_E, -0.5).to_int();
    let kf: S::f32s = k.to_float();
    let r = kf.mul_add(-LN2_LO, kf.mul_add(-LN2_HI, x));
    let p = splat(simd, 1.987_569_1e-4);
    let p = p.mul_add(r, splat(simd, 1.398_2e-3));
    let p = p.mul_add(r, splat(simd, 8.333_452e-3));
    let p = p.mul_add(r, splat(simd, 4.166_579_6e-2));
    let p = p.mul_add(r, splat(simd, 1.666_666_5e-1));
    let p = p.mul_add(r, splat(simd, 5.0e-1));
    let e = p.mul_add(r * r, r) + 1.0;
    e * ((k + 127) << 23).bitcast::<S::f32s>()
}

/// ln(1 + e^x), absolute error below 3e-7 beside one rounding of the result.
///
/// With e = e^-|x| in (0, 1] and t = e / (2 + e) <= 1/3: ln(1 + e) = 2 atanh t, whose series to t^13 leaves < 3e-8.
#[inline(always)]
pub fn softplus<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let e = exp_neg(simd, -x.abs());
    let t = e / (e + 2.0);
    let t2 = t * t;
    let p = splat(simd, 1.0 / 13.0);
    let p = p.mul_add(t2, splat(simd, 1.0 / 11.0));
    let p = p.mul_add(t2, splat(simd, 1.0 / 9.0));
    let p = p.mul_add(t2, splat(simd, 1.0 / 7.0));
    let p = p.mul_add(t2, splat(simd, 1.0 / 5.0));
    let p = p.mul_add(t2, splat(simd, 1.0 / 3.0));
    let p = p.mul_add(t2, splat(simd, 1.0));
    (t + t).mul_add(p, x.max(0.0))
}

#[inline(always)]
fn splat<S: Simd>(simd: S, v: f32) -> S::f32s {
    S::f32s::splat(simd, v)
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;

    /// Largest error of `f` over a grid of [-20, 20], in f64, at every level of this machine.
    macro_rules! worst {
        ($f:ident, $want:expr) => {{
            let want: fn(f64) -> f64 = $want;
            let mut worst = 0.0f64;
            for (_, level) in crate::levels() {
                let all = dispatch!(level, simd => grid(simd, |simd, x| $f(simd, x)));
                for (x, y) in all {
                    let right = want(f64::from(x));
                    let off = (f64::from(y) - right).abs() - right.abs() / f64::from(1u32 << 24);
                    worst = worst.max(off);
                }
            }
            println!("{} {worst:e}", stringify!($f));
            worst
        }};
    }

    #[inline(always)]
    fn tanh_1<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        let (top, bottom) = tanh(simd, [x]);
        top[0] / bottom[0]
    }

    #[inline(always)]
    fn sigmoid_1<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        let (top, bottom) = sigmoid(simd, [x]);
        top[0] / bottom[0]
    }

    #[inline(always)]
    fn grid<S: Simd>(simd: S, f: impl Fn(S, S::f32s) -> S::f32s) -> Vec<(f32, f32)> {
        const POINTS: usize = 1 << 16;
        let xs: Vec<f32> = (0..POINTS).map(|i| (i as f32 / (POINTS / 2) as f32 - 1.0) * 20.0).collect();
        let n = S::f32s::LEN;
        let mut all = Vec::with_capacity(POINTS);
        for x in xs.chunks_exact(n) {
            let y = f(simd, S::f32s::from_slice(simd, x));
            all.extend(x.iter().copied().zip(y.as_slice().iter().copied()));
        }
        assert_eq!(all.len(), POINTS);
        all
    }

    #[test]
    fn errors_are_as_stated_at_every_level() {
        assert!(worst!(tanh_1, f64::tanh) < 5e-7);
        assert!(worst!(sigmoid_1, |x| 1.0 / (1.0 + (-x).exp())) < 3e-7);
        assert!(worst!(softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()) < 3e-7);
    }

    #[test]
    fn extremes_stay_finite_at_every_level() {
        for (_, level) in crate::levels() {
            for x in [f32::MAX, f32::MIN, 1e-30, -1e-30, 0.0, -0.0] {
                let [t, s, p] = dispatch!(level, simd => {
                    let v = splat(simd, x);
                    [tanh_1(simd, v).as_slice()[0], sigmoid_1(simd, v).as_slice()[0], softplus(simd, v).as_slice()[0]]
                });
                assert!(t.abs() <= 1.000_001 && (-1e-6..=1.000_001).contains(&s), "{x}: {t} {s}");
                assert!(p.is_finite() && p >= 0.0, "{x}: {p}");
            }
        }
    }
}
