//! Forecasts of a sum of VMs from their aligned histories.
//!
//! The sum itself is the series: what it would have risen to from each past sample is added to what it is now. VMs
//! that peak together make a high sum, VMs that take turns do not; adding up bounds of VMs knows no difference.

use foreshade_types::Quantiles;

use crate::quantile::at_levels;

/// The summed history of some VMs, oldest first, in the unit of the histories (millicores).
///
/// Sums are f64: of whole numbers they are exact, so that taking a VM out again leaves no trace of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SumPath {
    sum: Vec<f64>,
}

impl SumPath {
    /// No VM yet, `len` samples of history.
    pub fn new(len: usize) -> Self {
        Self { sum: vec![0.0; len] }
    }

    /// The sum of several VMs; as long as the longest.
    pub fn of(histories: &[&[f32]]) -> Self {
        let mut path = Self::new(histories.iter().map(|h| h.len()).max().unwrap_or(0));
        histories.iter().for_each(|h| path.add(h));
        path
    }

    /// Adds a VM.
    pub fn add(&mut self, history: &[f32]) {
        self.change(history, 1.0);
    }

    /// Takes a VM out that was added with the same history.
    pub fn remove(&mut self, history: &[f32]) {
        self.change(history, -1.0);
    }

    /// Adds `percent` of a VM's load; negative takes it out.
    pub fn add_percent(&mut self, history: &[f32], percent: i64) {
        self.change(history, percent as f64 / 100.0);
    }

    /// The newest samples are aligned. A missing sample counts as the one before it, and samples before a shorter
    /// history as its first: a VM that is new does not look like a rise.
    fn change(&mut self, history: &[f32], sign: f64) {
        let skip = history.len().saturating_sub(self.sum.len());
        let lead = self.sum.len().saturating_sub(history.len());
        let known = |x: &&f32| x.is_finite();
        let mut last = f64::from(history.iter().find(known).copied().unwrap_or(0.0));
        let (before, rest) = self.sum.split_at_mut(lead);
        before.iter_mut().for_each(|s| *s += sign * last);
        for (i, &x) in history.iter().enumerate() {
            if x.is_finite() {
                last = f64::from(x);
            }
            if i >= skip {
                rest[i - skip] += sign * last;
            }
        }
    }

    /// The sum now; 0 without history.
    pub fn now(&self) -> f64 {
        self.sum.last().copied().unwrap_or(0.0)
    }

    /// Quantiles of the largest sum of the next `n` samples.
    pub fn peak(&self, n: usize) -> Quantiles {
        self.rise(n, |w| w[1..].iter().copied().fold(f64::NEG_INFINITY, f64::max) - w[0])
    }

    /// Quantiles of the sum in `n` samples.
    pub fn step(&self, n: usize) -> Quantiles {
        self.rise(n, |w| w[n] - w[0])
    }

    /// Quantiles of now plus `of(window of n + 1 samples)`; the value of now while the history is too short.
    fn rise(&self, n: usize, of: impl Fn(&[f64]) -> f64) -> Quantiles {
        let now = self.now();
        let mut rise: Vec<f32> = self.sum.windows(n + 1).map(|w| of(w) as f32).collect();
        if n == 0 || rise.is_empty() {
            return Quantiles([now as f32; 5]);
        }
        Quantiles(at_levels(&mut rise).map(|r| (now + f64::from(r)).max(0.0) as f32))
    }

    /// [`Self::peak`] as if `out` were gone and `add` were there.
    pub fn peak_if(&self, out: Option<&[f32]>, add: Option<&[f32]>, n: usize) -> Quantiles {
        let mut path = self.clone();
        if let Some(h) = out {
            path.remove(h);
        }
        if let Some(h) = add {
            path.add(h);
        }
        path.peak(n)
    }
}

/// Quantiles of the largest sum of the next `n` samples, from aligned histories, oldest first.
pub fn sum_peak(histories: &[&[f32]], n: usize) -> Quantiles {
    SumPath::of(histories).peak(n)
}

/// Quantiles of the sum in `n` samples.
pub fn sum_step(histories: &[&[f32]], n: usize) -> Quantiles {
    SumPath::of(histories).step(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alternating(phase: usize) -> Vec<f32> {
        (0..144).map(|i| if i % 12 == phase { 4000.0 } else { 1000.0 }).collect()
    }

    #[test]
    fn vms_that_peak_together_need_more_than_vms_that_take_turns() {
        let (a, b, c) = (alternating(0), alternating(0), alternating(6));
        assert_eq!(sum_peak(&[&a, &b], 12).q95(), 8000.0);
        assert_eq!(sum_peak(&[&a, &c], 12).q95(), 5000.0);
    }

    #[test]
    fn what_if_equals_from_scratch() {
        let (a, b, c) = (alternating(0), alternating(3), alternating(6));
        let host = SumPath::of(&[&a, &b]);
        assert_eq!(host.peak_if(Some(&b), Some(&c), 6), sum_peak(&[&a, &c], 6));
        let mut back = host.clone();
        back.remove(&a);
        back.add(&a);
        assert_eq!(back, host);
    }

    #[test]
    fn a_steady_rise_goes_on() {
        let up: Vec<f32> = (0..144).map(|i| 10.0 * i as f32).collect();
        assert_eq!(sum_step(&[&up], 12), Quantiles([1550.0; 5]));
        assert_eq!(sum_peak(&[&up], 6), Quantiles([1490.0; 5]));
    }

    #[test]
    fn gaps_and_short_histories_hold_their_value() {
        let mut a = vec![5.0f32; 144];
        a[3] = f32::NAN;
        assert_eq!(sum_peak(&[&a, &[7.0, 7.0]], 6), Quantiles([12.0; 5]));
        assert_eq!(sum_peak(&[], 6), Quantiles([0.0; 5]));
        assert_eq!(sum_peak(&[&[3.0]], 6), Quantiles([3.0; 5]));
    }
}
