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

/// Quantiles in order, none negative; the median stays where it is.
pub(crate) fn in_order(shifted: [f32; 5]) -> [f32; 5] {
    let mid = shifted[1].max(0.0);
    let mut q = shifted.map(|v| v.max(0.0));
    q[0] = q[0].min(mid);
    q[2..].iter_mut().for_each(|v| *v = v.max(mid));
    q[2..].sort_unstable_by(f32::total_cmp);
    q[1] = mid;
    q
}

/// Mean pinball loss over the levels.
pub(crate) fn pinball(q: &[f32; 5], y: f32) -> f32 {
    let each = |(q, level): (&f32, f32)| (level * (y - q)).max((level - 1.0) * (y - q));
    q.iter().zip(LEVELS).map(each).sum::<f32>() / LEVELS.len() as f32
}

/// The largest known value of a stretch, if at least half of it is known.
pub(crate) fn peak(x: &[f32]) -> Option<f32> {
    let known = x.iter().filter(|v| !v.is_nan()).count();
    (2 * known >= x.len()).then(|| x.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_needs_half_of_its_samples() {
        let n = f32::NAN;
        assert_eq!(peak(&[1.0, n, 3.0, n]), Some(3.0));
        assert_eq!(peak(&[1.0, n, n, n]), None);
    }

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
