//! Lag polynomials: products, stationarity, invertibility.

/// Coefficients of B^0, B^1 ..
type Poly = Vec<f64>;

/// 1 + sign (c_1 B^m + c_2 B^2m ..) with m = `lag`.
pub fn lagged(coef: &[f64], sign: f64, lag: usize) -> Poly {
    let mut poly = vec![0.0; coef.len() * lag + 1];
    poly[0] = 1.0;
    for (i, c) in coef.iter().enumerate() {
        poly[(i + 1) * lag] = sign * c;
    }
    poly
}

pub fn product(a: &[f64], b: &[f64]) -> Poly {
    let mut out = vec![0.0; a.len() + b.len() - 1];
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            out[i + j] += a * b;
        }
    }
    out
}

/// delta of 1 - sum delta_j B^j = (1 - B)^d (1 - B^m)^D.
pub fn differences(d: usize, seasonal_d: usize, period: usize) -> Vec<f64> {
    let lags = std::iter::repeat_n(1, d).chain(std::iter::repeat_n(period, seasonal_d));
    let poly = lags.fold(vec![1.0], |poly, lag| product(&poly, &lagged(&[1.0], -1.0, lag)));
    poly[1..].iter().map(|c| -c).collect()
}

/// phi of 1 - sum phi_i B^i from partial autocorrelations: any of them within (-1, 1) give a stationary process (R. Jones,
/// Maximum likelihood fitting of ARMA models to time series with missing observations, 1980, section 3).
pub fn from_partial(partial: &[f64]) -> Vec<f64> {
    let mut phi = partial.to_vec();
    for k in 1..phi.len() {
        let old = phi.clone();
        for j in 0..k {
            phi[j] = old[j] - partial[k] * old[k - 1 - j];
        }
    }
    phi
}

/// Partial autocorrelations of phi; `None` if the process is not stationary.
pub fn to_partial(phi: &[f64]) -> Option<Vec<f64>> {
    let mut partial = phi.to_vec();
    for k in (0..phi.len()).rev() {
        let last = partial[k];
        // Not a number is not stationary either.
        if last.is_nan() || last.abs() >= 1.0 {
            return None;
        }
        let old = partial.clone();
        for j in 0..k {
            partial[j] = (old[j] + last * old[k - 1 - j]) / (1.0 - last * last);
        }
    }
    Some(partial)
}

/// theta of 1 + sum theta_i B^i with its roots within the unit circle turned out of it: the same autocorrelations, and
/// invertible, as R's `arima` gives it. Unchanged if it is invertible.
pub fn invertible(theta: &[f64]) -> Vec<f64> {
    let negative: Vec<f64> = theta.iter().map(|c| -c).collect();
    if to_partial(&negative).is_some() || !theta.iter().all(|c| c.is_finite()) {
        return theta.to_vec();
    }
    // 1 + sum theta_i B^i = prod (1 - z B): an inverse root z beyond the circle becomes 1 / z.
    let mut poly = vec![(1.0, 0.0)];
    for z in inverse_roots(theta) {
        let norm = z.0 * z.0 + z.1 * z.1;
        let z = if norm > 1.0 { (z.0 / norm, -z.1 / norm) } else { z };
        poly.push((0.0, 0.0));
        for i in (1..poly.len()).rev() {
            let turned = times(poly[i - 1], z);
            poly[i] = (poly[i].0 - turned.0, poly[i].1 - turned.1);
        }
    }
    poly[1..].iter().map(|c| c.0).collect()
}

type Complex = (f64, f64);

fn times(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

/// Roots of z^q + theta_1 z^(q-1) + .. + theta_q, all at once (E. Durand 1960, I. Kerner 1966).
fn inverse_roots(theta: &[f64]) -> Vec<Complex> {
    let radius = 1.0 + theta.iter().fold(0.0, |m: f64, c| m.max(c.abs()));
    let angle = |k: usize| 0.4 + std::f64::consts::TAU * k as f64 / theta.len() as f64;
    let mut roots: Vec<Complex> =
        (0..theta.len()).map(|k| (radius * angle(k).cos(), radius * angle(k).sin())).collect();
    for _ in 0..200 {
        for k in 0..roots.len() {
            let z = roots[k];
            let value = theta.iter().fold((1.0, 0.0), |v, c| {
                let v = times(v, z);
                (v.0 + c, v.1)
            });
            let others = roots.iter().enumerate().filter(|(j, _)| *j != k);
            let slope = others.fold((1.0, 0.0), |s, (_, o)| times(s, (z.0 - o.0, z.1 - o.1)));
            let norm = slope.0 * slope.0 + slope.1 * slope.1;
            if norm > 0.0 {
                let step = times(value, (slope.0 / norm, -slope.1 / norm));
                roots[k] = (z.0 - step.0, z.1 - step.1);
            }
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9), "{a:?}, want {b:?}");
    }

    #[test]
    fn differences_multiply() {
        assert_eq!(differences(0, 0, 1), Vec::<f64>::new());
        assert_eq!(differences(2, 0, 1), [2.0, -1.0]);
        assert_eq!(differences(1, 1, 4), [1.0, 0.0, 0.0, 1.0, -1.0]);
    }

    #[test]
    fn partial_autocorrelations_go_both_ways() {
        // Roots 0.9 and 0.5: 1 - 1.4 B + 0.45 B^2; its second partial autocorrelation is -0.45, the first 1.4 / 1.45.
        near(&to_partial(&[1.4, -0.45]).unwrap(), &[1.4 / 1.45, -0.45]);
        let partial = [0.3, -0.8, 0.5, 0.99];
        near(&to_partial(&from_partial(&partial)).unwrap(), &partial);
        assert_eq!(to_partial(&[1.0]), None);
        assert_eq!(to_partial(&[f64::NAN]), None);
        // A root of 1.1 and one of 0.2.
        assert_eq!(to_partial(&[1.3, -0.22]), None);
    }

    #[test]
    fn roots_within_the_circle_are_turned_out() {
        near(&invertible(&[2.0]), &[0.5]);
        near(&invertible(&[0.4]), &[0.4]);
        // (1 - 2 B)(1 - 0.5 B) -> (1 - 0.5 B)^2
        near(&invertible(&[-2.5, 1.0]), &[-1.0, 0.25]);
        // 1 + 4 B^2 -> 1 + B^2 / 4
        near(&invertible(&[0.0, 4.0]), &[0.0, 0.25]);
        // (1 - 3 B)(1 + 0.25 B^2)
        near(&invertible(&[-3.0, 0.25, -0.75]), &[-1.0 / 3.0, 0.25, -0.25 / 3.0]);
    }
}
