//! exp, tanh, sigmoid and softplus as straight-line f32 arithmetic, so that a loop over them becomes vector code and
//! the same bytes come out on every machine (the C library's differ between versions and processors).

/// Where [`tanh`] is held: the quotient is 1 there within its error.
pub const TANH_LIMIT: f32 = 7.9;
/// Numerator of [`tanh`] over x, in powers of x^2, highest first.
pub const TANH_P: [f32; 4] = [1.141_460_2e-5, 2.948_504_2e-3, 1.292_267_9e-1, 9.999_994e-1];
/// Denominator of [`tanh`], in powers of x^2, highest first.
pub const TANH_Q: [f32; 5] = [2.457_217_6e-7, 2.383_943_8e-4, 2.380_348e-2, 4.625_58e-1, 1.0];

/// tanh, absolute error below 5e-7.
///
/// A quotient of an odd and an even polynomial of degrees 7 and 8 on [-7.9, 7.9], fitted for the least largest error
/// (1.2e-7 before rounding; `kernels/lstm_step/gen.py --tanh` does the fit). All coefficients are positive, so nothing
/// cancels.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let x = x.clamp(-TANH_LIMIT, TANH_LIMIT);
    let x2 = x * x;
    let mut p = TANH_P[0];
    for k in &TANH_P[1..] {
        p = p * x2 + k;
    }
    let mut q = TANH_Q[0];
    for k in &TANH_Q[1..] {
        q = q * x2 + k;
    }
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
