//! Yule-Walker equations by Levinson's recursion: Durbin, "The fitting of time-series models" (1960). Closed form, no
//! iteration, 2 p^2 operations.

/// The highest order that is tried.
pub const ORDER_MAX: usize = 6;

/// An autoregression x_t = c_1 x_{t-1} + .. + c_p x_{t-p} + e_t of a series without mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ar {
    /// c_1 ..; zero beyond the order.
    pub coef: [f64; ORDER_MAX],
    /// p.
    pub order: usize,
    /// Variance of e_t: r_0 (1 - k_1^2) .. (1 - k_p^2).
    pub variance: f64,
}

/// Autocovariances at lags 0..=ORDER_MAX, divided by n: with that divisor the fitted process is stationary.
pub fn autocovariance(x: &[f32]) -> [f64; ORDER_MAX + 1] {
    let mut r = [0.0; ORDER_MAX + 1];
    for (lag, r) in r.iter_mut().enumerate().take(x.len()) {
        *r = f64::from(dot(&x[lag..], &x[..x.len() - lag])) / x.len() as f64;
    }
    r
}

/// Sum of products in 16 fixed partial sums: vectorises, and gives the same bits everywhere.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sum = [0f32; 16];
    let (a16, b16) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a16.remainder().iter().zip(b16.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a16.zip(b16) {
        for i in 0..16 {
            sum[i] += a[i] * b[i];
        }
    }
    sum.iter().sum::<f32>() + rest
}

/// The AR of a given order from autocovariances.
///
/// # Panics
/// If `order` exceeds [`ORDER_MAX`].
pub fn fit(r: &[f64; ORDER_MAX + 1], order: usize) -> Ar {
    let mut best = None;
    recurse(r, order, |ar| best = Some(ar));
    best.unwrap_or(Ar { coef: [0.0; ORDER_MAX], order: 0, variance: r[0] })
}

/// The AR of order 0..=ORDER_MAX with the least AICc for `n` samples.
pub fn select(r: &[f64; ORDER_MAX + 1], n: usize) -> Ar {
    let mut best = (f64::INFINITY, Ar { coef: [0.0; ORDER_MAX], order: 0, variance: r[0] });
    recurse(r, ORDER_MAX, |ar| {
        let c = aicc(&ar, n);
        if c < best.0 {
            best = (c, ar);
        }
    });
    best.1
}

/// n ln(variance) + 2 k n / (n - k - 1) with k = order + 1 parameters; infinite where n is too small.
fn aicc(ar: &Ar, n: usize) -> f64 {
    let (n, k) = (n as f64, (ar.order + 1) as f64);
    if n - k - 1.0 <= 0.0 {
        return f64::INFINITY;
    }
    // The floor makes a constant series prefer order 0 instead of the logarithm of nothing.
    n * ar.variance.max(1e-9).ln() + 2.0 * k * n / (n - k - 1.0)
}

/// Calls `visit` with the AR of each order from 0.
fn recurse(r: &[f64; ORDER_MAX + 1], order: usize, mut visit: impl FnMut(Ar)) {
    let mut ar = Ar { coef: [0.0; ORDER_MAX], order: 0, variance: r[0] };
    visit(ar);
    for k in 0..order {
        if ar.variance <= 1e-9 {
            return;
        }
        let past: f64 = (0..k).map(|j| ar.coef[j] * r[k - j]).sum();
        let reflection = (r[k + 1] - past) / ar.variance;
        let old = ar.coef;
        ar.coef[k] = reflection;
        for j in 0..k {
            ar.coef[j] = old[j] - reflection * old[k - 1 - j];
        }
        ar.variance *= 1.0 - reflection * reflection;
        ar.order = k + 1;
        visit(ar);
    }
}
