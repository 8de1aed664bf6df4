//! exp, tanh, sigmoid and softplus as straight-line f32 arithmetic, so that a loop over them becomes vector code and
//! the same bytes come out on every machine (the C library's differ between versions and processors).

/// tanh, absolute error below 5e-7 (a quotient of odd and even polynomials of degree 13 and 6 on [-7.9, 7.9], where
/// f32 tanh reaches 1; coefficients as in Eigen's `ptanh_float`).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    const LIMIT: f32 = 7.905_311;
    let x = x.clamp(-LIMIT, LIMIT);
    let x2 = x * x;
    let mut p = -2.760_768_5e-16;
    p = p * x2 + 2.000_188e-13;
    p = p * x2 - 8.604_672e-11;
    p = p * x2 + 5.122_297e-8;
    p = p * x2 + 1.485_722_4e-5;
    p = p * x2 + 6.372_619_3e-4;
    p = p * x2 + 4.893_524_6e-3;
    let mut q = 1.198_258_4e-6;
    q = q * x2 + 1.185_347_1e-4;
    q = q * x2 + 2.268_434_6e-3;
    q = q * x2 + 4.893_525e-3;
    (p * x) / q
}

/// 1 / (1 + e^-x), absolute error below 3e-7: it is (1 + tanh(x / 2)) / 2.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    0.5 + 0.5 * tanh(0.5 * x)
}

/// e^x for x in [-87, 0], relative error below 3e-7; smaller x give the value at -87 (1.6e-38).
#[inline(always)]
pub fn exp_neg(x: f32) -> f32 {
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 0.0);
    // Truncation rounds towards 0, so -0.5 makes it round to nearest for x <= 0.
    let k = (x * std::f32::consts::LOG2_E - 0.5) as i32;
    let kf = k as f32;
    let r = (x - kf * LN2_HI) - kf * LN2_LO;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.0e-1;
    let e = p * (r * r) + r + 1.0;
    e * f32::from_bits(((k + 127) << 23) as u32)
}

/// ln(1 + e^x), absolute error below 3e-7 beside one rounding of the result.
///
/// With e = e^-|x| in (0, 1] and t = e / (2 + e) <= 1/3: ln(1 + e) = 2 atanh t, whose series to t^13 leaves < 3e-8.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let e = exp_neg(-x.abs());
    let t = e / (2.0 + e);
    let t2 = t * t;
    let mut p = 1.0 / 13.0;
    p = p * t2 + 1.0 / 11.0;
    p = p * t2 + 1.0 / 9.0;
    p = p * t2 + 1.0 / 7.0;
    p = p * t2 + 1.0 / 5.0;
    p = p * t2 + 1.0 / 3.0;
    p = p * t2 + 1.0;
    x.max(0.0) + 2.0 * t * p
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest |f - g| over a fine grid of [from, to].
    fn worst(from: f64, to: f64, err: impl Fn(f32) -> f64) -> f64 {
        const POINTS: u32 = 400_000;
        (0..=POINTS)
            .map(|i| err((from + (to - from) * f64::from(i) / f64::from(POINTS)) as f32))
            .fold(0.0, f64::max)
    }

    #[test]
    fn errors_are_as_stated() {
        let tanh_err = worst(-20.0, 20.0, |x| (f64::from(tanh(x)) - f64::from(x).tanh()).abs());
        let sigmoid_err =
            worst(-40.0, 40.0, |x| (f64::from(sigmoid(x)) - 1.0 / (1.0 + (-f64::from(x)).exp())).abs());
        let exp_err = worst(-87.0, 0.0, |x| (f64::from(exp_neg(x)) / f64::from(x).exp() - 1.0).abs());
        let softplus_err = worst(-60.0, 60.0, |x| {
            let want = f64::from(x).max(0.0) + (-f64::from(x).abs()).exp().ln_1p();
            (f64::from(softplus(x)) - want).abs() - want / f64::from(1u32 << 24)
        });
        println!("tanh {tanh_err:e} sigmoid {sigmoid_err:e} exp {exp_err:e} softplus {softplus_err:e}");
        assert!(tanh_err < 5e-7 && sigmoid_err < 3e-7 && exp_err < 3e-7 && softplus_err < 3e-7);
    }

    #[test]
    fn extremes_stay_finite() {
        for x in [f32::MAX, f32::MIN, 1e-30, -1e-30, 0.0] {
            assert!(tanh(x).abs() <= 1.000_001 && (-1e-6..=1.000_001).contains(&sigmoid(x)));
            assert!(softplus(x).is_finite() && softplus(x) >= 0.0);
        }
    }
}
