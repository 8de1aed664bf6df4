//! Values of a ring in ascending order, kept by their slots.
//!
//! A slot is one byte, so six orders of a window take less memory than one copy of it, and a sample that comes and one that
//! goes cost a binary search and a short move each. Equal values stand in the order of their age: the oldest of them, which
//! is the first to leave, is where the search for its value ends.

use crate::WINDOW;

/// Slots of a ring: more than a window, so that what has just left can still be read, and a byte is always a slot.
pub(crate) const SLOTS: usize = 256;

/// Slots in ascending order of a value, at most [`WINDOW`] of them.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    slots: [u8; WINDOW],
    len: u8,
}

impl Order {
    pub(crate) const fn new() -> Self {
        Self { slots: [0; WINDOW], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Slots in ascending order of their value.
    pub(crate) fn slots(&self) -> &[u8] {
        &self.slots[..self.len().min(WINDOW)]
    }

    /// Takes the slot out that came first of all there are, and the newest in; `value` is finite and the same for a slot as
    /// long as it is in the order.
    #[inline(always)]
    pub(crate) fn turn(&mut self, out: Option<u8>, new: Option<u8>, value: impl Fn(u8) -> f32) {
        match (out, new) {
            (Some(out), Some(new)) => {
                let from = self.rank(|s| value(s) < value(out));
                let to = self.rank(|s| value(s) <= value(new));
                // What lies between the two moves by one place; the slot that leaves does not count any more.
                if from < to {
                    self.slots.copy_within(from + 1..to, from);
                    self.slots[to - 1] = new;
                } else {
                    self.slots.copy_within(to..from, to + 1);
                    self.slots[to] = new;
                }
            }
            (None, Some(new)) => {
                let (to, end) = (self.rank(|s| value(s) <= value(new)), self.len());
                self.slots.copy_within(to..end, to + 1);
                self.slots[to] = new;
                self.len += 1;
            }
            (Some(_), None) | (None, None) => {}
        }
    }

    /// How many slots, from the smallest value on, are `before`.
    #[inline(always)]
    fn rank(&self, before: impl Fn(u8) -> bool) -> usize {
        let mut size = self.len();
        let mut base = 0;
        // No branch on the data: the processor cannot guess them.
        while size > 1 {
            let half = size / 2;
            base += if before(self.slots[base + half - 1]) { half } else { 0 };
            size -= half;
        }
        base + usize::from(size == 1 && before(self.slots[base]))
    }

    /// Quantiles with linear interpolation, as `numpy.quantile`; 0 when empty.
    #[inline(always)]
    pub(crate) fn quantiles<const N: usize>(&self, levels: [f32; N], value: impl Fn(u8) -> f32) -> [f32; N] {
        let Some(top) = self.len().checked_sub(1) else { return [0.0; N] };
        levels.map(|level| {
            let at = f64::from(level) * top as f64;
            let low = (at as usize).min(top);
            let high = (low + 1).min(top);
            let (a, b) = (value(self.slots[low]), value(self.slots[high]));
            a + (at - low as f64) as f32 * (b - a)
        })
    }
}
