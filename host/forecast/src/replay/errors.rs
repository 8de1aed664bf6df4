//! The last errors of a forecast, from which its interval is taken.

use foreshade_types::Transform;

use crate::quantile::at_levels;

/// Errors that are kept.
const KEPT: usize = 144;

/// Errors below which there is no interval.
pub(super) const LEAST: usize = 12;

/// A ring of errors, on the scale that the resource is forecast on: rates miss by factors, CPU by amounts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Errors {
    scale: Transform,
    kept: Box<[f32]>,
    next: usize,
    len: usize,
}

impl Errors {
    pub(super) fn new(scale: Transform) -> Self {
        Self { scale, kept: vec![0.0; KEPT].into_boxed_slice(), next: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes an outcome; one that is not known changes nothing.
    pub(super) fn push(&mut self, said: f64, outcome: f64) {
        let error = match self.scale {
            Transform::Points => (outcome - said) as f32,
            Transform::Log => self.scale.to_points(outcome as f32) - self.scale.to_points(said as f32),
        };
        if !error.is_finite() {
            return;
        }
        self.kept[self.next] = error;
        self.next = (self.next + 1) % KEPT;
        self.len = (self.len + 1).min(KEPT);
    }

    /// The quantiles around what is said now; `None` while there are too few outcomes.
    pub(super) fn around(&self, said: f64) -> Option<[f64; 5]> {
        if self.len < LEAST {
            return None;
        }
        let mut sorted = [0.0; KEPT];
        sorted[..self.len].copy_from_slice(&self.kept[..self.len]);
        let center = self.scale.to_points(said as f32);
        Some(at_levels(&mut sorted[..self.len]).map(|e| match self.scale {
            Transform::Points => said + f64::from(e),
            Transform::Log => f64::from(self.scale.from_points(center + e)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_miss_by_factors_and_cpu_by_amounts() {
        let (mut cpu, mut rate) = (Errors::new(Transform::Points), Errors::new(Transform::Log));
        assert_eq!(cpu.around(1.0), None);
        for _ in 0..LEAST {
            cpu.push(1000.0, 1500.0);
            cpu.push(1000.0, f64::NAN);
            rate.push(999.0, 1999.0);
        }
        assert_eq!(cpu.around(100.0), Some([600.0; 5]));
        let q = rate.around(99.0).map(|q| q[1]).unwrap_or_default();
        assert!((q - 199.0).abs() < 0.1, "{q}");
    }
}
