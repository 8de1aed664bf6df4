//! What a rate or a residual does on its own: an autoregression of its last samples, refitted in rotation.

use crate::levinson::{self, Ar, ORDER_MAX};

/// Samples that are kept.
const KEPT: usize = 128;

/// Samples from one fit to the next.
const FIT_EVERY: u64 = 8;

/// Samples below which nothing is fitted, and the last value stands.
const FIT_MIN: usize = 24;

/// The last samples, each stored twice so that they are one slice, and the autoregression of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Echo {
    kept: Box<[f64]>,
    next: usize,
    len: usize,
    age: u64,
    mean: f64,
    ar: Option<Ar>,
}

impl Echo {
    /// `phase` spreads the fits of many echoes over the ticks.
    pub(super) fn new(phase: usize) -> Self {
        let kept = vec![0.0; 2 * KEPT].into_boxed_slice();
        Self { kept, next: 0, len: 0, age: phase as u64 % FIT_EVERY, mean: 0.0, ar: None }
    }

    fn samples(&self) -> &[f64] {
        &self.kept[self.next + KEPT - self.len..self.next + KEPT]
    }

    /// The newest sample; 0 before the first.
    pub(super) fn last(&self) -> f64 {
        self.samples().last().copied().unwrap_or(0.0)
    }

    /// Takes the next sample; a gap repeats the one before it.
    pub(super) fn push(&mut self, x: f64) {
        let x = if x.is_finite() { x } else { self.last() };
        (self.kept[self.next], self.kept[self.next + KEPT]) = (x, x);
        self.next = (self.next + 1) % KEPT;
        self.len = (self.len + 1).min(KEPT);
        self.age += 1;
        if self.len >= FIT_MIN && self.age.is_multiple_of(FIT_EVERY) {
            self.fit();
        }
    }

    /// Yule-Walker on the standardised samples: single precision is then enough whatever the unit.
    fn fit(&mut self) {
        let x = self.samples();
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let sd = (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let mut z = [0f32; KEPT];
        let len = x.len();
        if sd > 1e-9 * mean.abs() && sd.is_normal() {
            z.iter_mut().zip(x).for_each(|(z, v)| *z = ((v - mean) / sd) as f32);
        }
        self.mean = mean;
        self.ar = Some(levinson::select(&levinson::autocovariance(&z[..len]), len));
    }

    /// Fills `out[j]` with the forecast j + 1 samples ahead.
    pub(super) fn forecast(&self, out: &mut [f64]) {
        let Some(ar) = &self.ar else { return out.fill(self.last()) };
        let x = self.samples();
        let mut recent: [f64; ORDER_MAX] = std::array::from_fn(|i| x[x.len() - 1 - i] - self.mean);
        for o in out {
            let z: f64 = recent.iter().zip(ar.coef).map(|(x, c)| c * x).sum();
            recent.copy_within(..ORDER_MAX - 1, 1);
            recent[0] = z;
            *o = self.mean + z;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternating_series_goes_on_alternating() {
        let mut echo = Echo::new(0);
        (0..200).for_each(|i| echo.push(if i % 2 == 0 { 10.0 } else { 20.0 }));
        echo.push(f64::NAN);
        echo.push(20.0);
        let mut out = [0.0; 3];
        echo.forecast(&mut out);
        for (o, want) in out.iter().zip([10.0, 20.0, 10.0]) {
            assert!((o - want).abs() < 1.5, "{out:?}");
        }
    }

    #[test]
    fn before_a_fit_and_for_a_constant_the_last_value_stands() {
        let (mut echo, mut out) = (Echo::new(3), [1.0; 4]);
        echo.forecast(&mut out);
        assert_eq!(out, [0.0; 4]);
        (0..300).for_each(|_| echo.push(7e9));
        echo.forecast(&mut out);
        assert!(out.iter().all(|o| (o - 7e9).abs() < 1.0), "{out:?}");
    }
}
