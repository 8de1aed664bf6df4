//! The last hours on the forecaster's scale, gaps filled with what was expected.

use super::lags::REACH_H;

/// The newest [`REACH_H`] + 1 hours.
#[derive(Debug, Clone)]
pub(crate) struct History {
    ring: Box<[f32]>,
    pushed: usize,
}

impl History {
    pub(crate) const KEPT: usize = REACH_H + 1;

    pub(crate) fn new() -> Self {
        Self { ring: vec![0.0; Self::KEPT].into_boxed_slice(), pushed: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.pushed.min(Self::KEPT)
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.ring)
    }

    pub(crate) fn push(&mut self, z: f32) {
        let slot = self.pushed % Self::KEPT;
        self.ring[slot] = z;
        self.pushed += 1;
    }

    /// The hour `i` before the newest.
    pub(crate) fn back(&self, i: usize) -> Option<f32> {
        (i < self.len()).then(|| self.ring[(self.pushed - 1 - i) % Self::KEPT])
    }

    /// Moves all but the newest `keep` hours by `by`: the shape of the past, at the level of today.
    pub(crate) fn shift(&mut self, keep: usize, by: f32) {
        for i in keep..self.len() {
            let slot = (self.pushed - 1 - i) % Self::KEPT;
            self.ring[slot] += by;
        }
    }
}
