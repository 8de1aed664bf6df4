//! The last hours on the forecaster's scale, gaps filled with what was expected.

use super::cells::{Cells, Size};
use super::lags::REACH_H;

/// The newest hours: as many as the longest lag reaches, and one.
#[derive(Debug, Clone)]
pub(crate) struct History {
    ring: Cells,
    pushed: usize,
}

impl History {
    pub(crate) fn new(size: Size) -> Self {
        let kept = match size {
            Size::Full => REACH_H + 1,
            Size::Compact => 338,
        };
        Self { ring: size.points(kept, 0.0), pushed: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.pushed.min(self.ring.len())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ring.bytes()
    }

    pub(crate) fn push(&mut self, z: f32) {
        let slot = self.pushed % self.ring.len();
        self.ring.set(slot, z);
        self.pushed += 1;
    }

    /// The hour `i` before the newest.
    pub(crate) fn back(&self, i: usize) -> Option<f32> {
        (i < self.len()).then(|| self.ring.get((self.pushed - 1 - i) % self.ring.len()))
    }

    /// Moves all but the newest `keep` hours by `by`: the shape of the past, at the level of today.
    pub(crate) fn shift(&mut self, keep: usize, by: f32) {
        for i in keep..self.len() {
            let slot = (self.pushed - 1 - i) % self.ring.len();
            self.ring.set(slot, self.ring.get(slot) + by);
        }
    }
}
