//! Empirical quantiles of a handful of numbers.

use foreshade_types::LEVELS;

/// Sorts `v` and returns the quantiles at [`LEVELS`], linear between order statistics (R's type 7). `v` must not be
/// empty nor hold NaN.
pub(crate) fn at_levels(v: &mut [f32]) -> [f32; 5] {
    v.sort_unstable_by(f32::total_cmp);
    LEVELS.map(|p| sorted(v, p))
}

/// A quantile of ascending numbers.
pub(crate) fn sorted(v: &[f32], p: f32) -> f32 {
    let at = f64::from(p) * (v.len() - 1) as f64;
    let (i, part) = (at as usize, (at - at.floor()) as f32);
    match v.get(i + 1) {
        Some(next) => v[i] + part * (next - v[i]),
        None => v[v.len() - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_7_by_hand() {
        assert_eq!(at_levels(&mut [7.0]), [7.0; 5]);
        let mut v: Vec<f32> = (0..=100).rev().map(|i| i as f32).collect();
        let q = at_levels(&mut v);
        for (q, want) in q.iter().zip([5.0, 50.0, 90.0, 95.0, 99.0]) {
            assert!((q - want).abs() < 1e-4, "{q} {want}");
        }
        assert_eq!(sorted(&[1.0, 2.0], 0.25), 1.25);
    }
}
