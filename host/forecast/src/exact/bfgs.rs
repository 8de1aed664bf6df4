//! Minimum of a smooth function of a few variables: BFGS (J. Nocedal & S. Wright, Numerical Optimization, 2nd edition,
//! algorithm 6.1) with central differences for the gradient and halving steps under Armijo's condition (section 3.1).
//!
//! A function may return infinity where it is not defined; the search then stays on the side it came from.

/// Iterations at most. No fit of R's reference set takes more than 36.
const ITERATIONS_MAX: usize = 300;
/// Half the distance of a central difference. Differenced series start from variances of 1e6, whose rounding (1e-10) a
/// smaller one would magnify.
const DIFFERENCE: f64 = 1e-4;
/// Relative gain below which an iteration counts as none.
const GAIN_MIN: f64 = 1e-12;

/// Minimises `f` from `start`; returns the place and the value there.
pub fn minimise(f: impl Fn(&[f64]) -> f64, start: Vec<f64>) -> (Vec<f64>, f64) {
    let n = start.len();
    let (mut x, mut value) = (start.clone(), f(&start));
    let mut inverse = identity(n);
    let mut slopes = gradient(&f, &x);
    let mut is_fresh = true;
    for _ in 0..ITERATIONS_MAX {
        let was_fresh = is_fresh;
        let step = direction(&inverse, &slopes);
        let next = along(&f, &x, value, &step, &slopes);
        let gain = next.as_ref().map_or(0.0, |(_, v)| value - v);
        if let Some((place, v)) = next {
            let new = gradient(&f, &place);
            let moved: Vec<f64> = place.iter().zip(&x).map(|(a, b)| a - b).collect();
            let bent: Vec<f64> = new.iter().zip(&slopes).map(|(a, b)| a - b).collect();
            (x, value, slopes) = (place, v, new);
            is_fresh &= !update(&mut inverse, &moved, &bent);
        }
        if gain <= GAIN_MIN * (value.abs() + GAIN_MIN) {
            // Once more down the gradient, in case the curvature was wrong.
            if was_fresh {
                break;
            }
            inverse = identity(n);
            is_fresh = true;
        }
    }
    (x, value)
}

fn identity(n: usize) -> Vec<Vec<f64>> {
    (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn gradient(f: &impl Fn(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    let at = |i: usize, move_by: f64| {
        let mut x = x.to_vec();
        x[i] += move_by;
        f(&x)
    };
    (0..x.len()).map(|i| (at(i, DIFFERENCE) - at(i, -DIFFERENCE)) / (2.0 * DIFFERENCE)).collect()
}

/// -H g, at most 1 long: a step beyond leaves the region where tanh still bends.
fn direction(inverse: &[Vec<f64>], slopes: &[f64]) -> Vec<f64> {
    let step: Vec<f64> = inverse.iter().map(|row| -dot(row, slopes)).collect();
    let scale = 1.0 / dot(&step, &step).sqrt().max(1.0);
    step.iter().map(|s| s * scale).collect()
}

/// The first place along the step that is low enough.
fn along(
    f: &impl Fn(&[f64]) -> f64,
    x: &[f64],
    value: f64,
    step: &[f64],
    slopes: &[f64],
) -> Option<(Vec<f64>, f64)> {
    let slope = dot(step, slopes);
    // Also false for NaN.
    let descends = slope < 0.0;
    let halvings = if descends { 40 } else { 0 };
    (0..halvings).find_map(|k| {
        let share = 0.5f64.powi(k);
        let place: Vec<f64> = x.iter().zip(step).map(|(x, s)| x + share * s).collect();
        let v = f(&place);
        (v <= value + 1e-4 * share * slope).then_some((place, v))
    })
}

/// The BFGS update of the inverse Hessian; false, and nothing done, where the function does not bend upwards.
fn update(inverse: &mut [Vec<f64>], moved: &[f64], bent: &[f64]) -> bool {
    let curvature = dot(moved, bent);
    let enough = 1e-12 * dot(moved, moved).sqrt() * dot(bent, bent).sqrt();
    if curvature.is_nan() || curvature <= enough {
        return false;
    }
    let hy: Vec<f64> = inverse.iter().map(|row| dot(row, bent)).collect();
    let factor = (1.0 + dot(bent, &hy) / curvature) / curvature;
    for (i, row) in inverse.iter_mut().enumerate() {
        for (j, h) in row.iter_mut().enumerate() {
            *h += factor * moved[i] * moved[j] - (hy[i] * moved[j] + moved[i] * hy[j]) / curvature;
        }
    }
    true
}

/// Inverse of a square matrix by elimination with pivots; `None` if it has none.
pub fn inverse(matrix: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let n = matrix.len();
    let mut left = matrix.to_vec();
    let mut right = identity(n);
    for k in 0..n {
        let pivot = (k..n).max_by(|&a, &b| left[a][k].abs().total_cmp(&left[b][k].abs()))?;
        left.swap(k, pivot);
        right.swap(k, pivot);
        let scale = left[k][k];
        if !scale.is_finite() || scale.abs() < f64::MIN_POSITIVE {
            return None;
        }
        left[k].iter_mut().chain(&mut right[k]).for_each(|v| *v /= scale);
        let (pivot_left, pivot_right) = (left[k].clone(), right[k].clone());
        for i in (0..n).filter(|&i| i != k) {
            let factor = left[i][k];
            left[i].iter_mut().zip(&pivot_left).for_each(|(v, p)| *v -= factor * p);
            right[i].iter_mut().zip(&pivot_right).for_each(|(v, p)| *v -= factor * p);
        }
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_floor_of_a_bent_valley() {
        // Rosenbrock's function.
        let f = |x: &[f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let (x, value) = minimise(f, vec![-1.2, 1.0]);
        assert!(value < 1e-10, "{value}");
        assert!((x[0] - 1.0).abs() < 1e-4 && (x[1] - 1.0).abs() < 1e-4, "{x:?}");
    }

    #[test]
    fn stays_where_the_function_is_defined() {
        let f = |x: &[f64]| if x[0] > 0.0 { x[0] - x[0].ln() } else { f64::INFINITY };
        let (x, _) = minimise(f, vec![8.0]);
        assert!((x[0] - 1.0).abs() < 1e-4, "{x:?}");
        assert_eq!(minimise(|_| f64::NAN, vec![1.0]).0, [1.0]);
        assert_eq!(minimise(|_| 2.0, vec![]), (vec![], 2.0));
    }

    #[test]
    fn an_inverse_undoes_its_matrix() {
        let m = [vec![0.0, 2.0, 1.0], vec![1.0, 0.0, 3.0], vec![4.0, 1.0, 0.0]];
        let i = inverse(&m).unwrap();
        let product = |a: usize, b: usize| (0..3).map(|k| m[a][k] * i[k][b]).sum::<f64>();
        for (a, b) in (0..9).map(|k| (k / 3, k % 3)) {
            assert!((product(a, b) - f64::from(u8::from(a == b))).abs() < 1e-12);
        }
        assert_eq!(inverse(&[vec![1.0, 2.0], vec![2.0, 4.0]]), None);
    }
}
