//! The last samples of a series, as one slice, with its gaps.

use crate::WINDOW;

/// No sample counts for more points: sums of squares stay finite, and so does every forecast.
const POINTS_MAX: f32 = 10_000.0;

/// A ring whose content is always contiguous: every sample is stored twice, one window apart.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    raw: Box<[f32]>,
    filled: Box<[f32]>,
    /// Where the next sample goes, below WINDOW.
    next: usize,
    len: usize,
    observed: usize,
    /// Samples since the first observed one, gaps included.
    age: u64,
}

impl Window {
    pub(crate) fn new() -> Self {
        let ring = || vec![0.0; 2 * WINDOW].into_boxed_slice();
        Self { raw: ring(), filled: ring(), next: 0, len: 0, observed: 0, age: 0 }
    }

    /// Takes the next sample, NaN = missing, held to 0..=10,000 points. Gaps before the first sample are not kept.
    pub(crate) fn push(&mut self, x: f32) {
        let x = x.clamp(0.0, POINTS_MAX);
        if self.len == 0 && x.is_nan() {
            return;
        }
        let filled = if x.is_nan() { self.last() } else { x };
        if self.len == WINDOW && !self.raw[self.next].is_nan() {
            self.observed -= 1;
        }
        for at in [self.next, self.next + WINDOW] {
            self.raw[at] = x;
            self.filled[at] = filled;
        }
        self.next = (self.next + 1) % WINDOW;
        self.len = (self.len + 1).min(WINDOW);
        self.observed += usize::from(!x.is_nan());
        self.age += 1;
    }

    fn slice<'a>(&self, ring: &'a [f32]) -> &'a [f32] {
        let end = self.next + WINDOW;
        &ring[end - self.len..end]
    }

    /// Oldest first, NaN = missing.
    pub(crate) fn raw(&self) -> &[f32] {
        self.slice(&self.raw)
    }

    /// Oldest first, gaps hold the value before them.
    pub(crate) fn filled(&self) -> &[f32] {
        self.slice(&self.filled)
    }

    /// The newest known value; 0 while there is none.
    pub(crate) fn last(&self) -> f32 {
        self.filled().last().copied().unwrap_or(0.0)
    }

    pub(crate) fn observed(&self) -> usize {
        self.observed
    }

    pub(crate) fn age(&self) -> u64 {
        self.age
    }

    /// Standard deviation of the filled window plus half a point: the unit of conformal shifts. The half point keeps
    /// an idle series from having no unit at all.
    pub(crate) fn scale(&self) -> f32 {
        let x = self.filled();
        if x.is_empty() {
            return 0.5;
        }
        let n = x.len() as f64;
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        var.sqrt() as f32 + 0.5
    }

    /// The largest of the last `n` samples, if at least half of them are known.
    pub(crate) fn recent_peak(&self, n: usize) -> Option<f32> {
        let x = self.raw();
        (x.len() >= n).then(|| peak(&x[x.len() - n..])).flatten()
    }
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
    fn keeps_the_last_window_and_its_gaps() {
        let mut w = Window::new();
        w.push(f32::NAN);
        assert_eq!((w.raw().len(), w.age()), (0, 0));
        for i in 0..200 {
            w.push(if i % 10 == 3 { f32::NAN } else { i as f32 });
        }
        assert_eq!(w.raw().len(), WINDOW);
        assert_eq!(w.filled()[0], 56.0);
        assert_eq!(w.last(), 199.0);
        assert!(w.raw()[63 - 56].is_nan());
        assert_eq!(w.filled()[63 - 56], 62.0);
        assert_eq!(w.observed(), w.raw().iter().filter(|v| !v.is_nan()).count());
        assert_eq!(w.recent_peak(4), Some(199.0));
    }

    #[test]
    fn a_peak_needs_half_of_its_samples() {
        let n = f32::NAN;
        assert_eq!(peak(&[1.0, n, 3.0, n]), Some(3.0));
        assert_eq!(peak(&[1.0, n, n, n]), None);
    }
}
