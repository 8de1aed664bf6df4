//! Values of a ring in ascending order, kept by their slots.
//!
//! A slot is one byte, so an order takes a quarter of the memory of a sorted copy, and a whole one fits three vectors:
//! the slot that leaves is found, and what lies between it and the new one moved, by looking at all of it without a branch.
//! The new one's place is the number of values that are no larger, counted over the window where it lies in a row (see
//! [`crate::history`]).

use crate::WINDOW;

/// Slots of a ring: more than a window, so that what has just left can still be read, and a byte is always a slot.
pub(crate) const SLOTS: usize = 256;

/// Slots in ascending order of a value, at most [`WINDOW`] of them.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// One more than are ever used: the value above the highest is read, and counts for nothing.
    slots: [u8; WINDOW + 1],
    len: u8,
}

impl Order {
    pub(crate) const fn new() -> Self {
        Self { slots: [0; WINDOW + 1], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Slots in ascending order of their value.
    pub(crate) fn slots(&self) -> &[u8] {
        &self.slots[..self.len().min(WINDOW)]
    }

    /// Takes the slot `out` out and puts `new` in, behind the `rank` values that stay and are no larger than its own.
    #[inline(always)]
    pub(crate) fn turn(&mut self, out: Option<u8>, new: Option<(u8, usize)>) {
        match (out, new) {
            (Some(out), Some((new, rank))) => {
                let from = self.place(out);
                // The value that leaves does not count: what lies between it and the new one moves by one place.
                self.shift(from, rank, new);
            }
            (None, Some((new, rank))) => {
                self.len += 1;
                self.shift(self.len() - 1, rank, new);
            }
            (Some(_), None) | (None, None) => {}
        }
    }

    /// Where a slot stands: it is there once. All places are looked at, which takes three vectors.
    #[inline(always)]
    fn place(&self, slot: u8) -> usize {
        let mut at = 0;
        for (i, s) in self.slots[..WINDOW].iter().enumerate() {
            at |= if *s == slot && (i as u8) < self.len { i as u8 } else { 0 };
        }
        usize::from(at)
    }

    /// Moves what stands between `from` and `to` by one place, over `from`, and puts `new` before what stood at `to`.
    #[inline(always)]
    fn shift(&mut self, from: usize, to: usize, new: u8) {
        if from < to {
            self.slots.copy_within(from + 1..=to, from);
        } else {
            self.slots.copy_within(to..from, to + 1);
        }
        self.slots[to] = new;
    }

    /// Quantiles with linear interpolation, as `numpy.quantile`; 0 when empty.
    #[inline(always)]
    pub(crate) fn quantiles<const N: usize>(
        &self,
        levels: [Level; N],
        value: impl Fn(u8) -> f32,
    ) -> [f32; N] {
        let mut out = [0.0; N];
        if self.len() == 0 {
            return out;
        }
        let at = &PLACES[self.len().min(WINDOW)];
        for (out, level) in out.iter_mut().zip(levels) {
            let (low, share) = at[level as usize];
            let (a, b) = (value(self.slots[usize::from(low)]), value(self.slots[usize::from(low) + 1]));
            *out = a + share * (b - a);
        }
        out
    }
}

/// The levels that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Q05,
    Q10,
    Q25,
    Q50,
    Q75,
    Q90,
    Q95,
    Q99,
}

impl Level {
    /// Those of a forecast, in the order of [`foreshade_types::LEVELS`].
    pub(crate) const FORECAST: [Self; 5] = [Self::Q05, Self::Q50, Self::Q90, Self::Q95, Self::Q99];
    const ALL: [f32; 8] = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
}

/// By number of values: where each level lies, as the value below it and the share of the way to the next.
static PLACES: [[(u8, f32); Level::ALL.len()]; WINDOW + 1] = places();

const fn places() -> [[(u8, f32); Level::ALL.len()]; WINDOW + 1] {
    let mut table = [[(0, 0.0); Level::ALL.len()]; WINDOW + 1];
    let mut n = 2;
    while n <= WINDOW {
        let mut i = 0;
        while i < Level::ALL.len() {
            let at = Level::ALL[i] as f64 * (n - 1) as f64;
            table[n][i] = (at as u8, (at - (at as u8) as f64) as f32);
            i += 1;
        }
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_sorted_window() {
        // Many equal values, so that the age among equals matters.
        let mut state = 1u32;
        let mut value = [0f32; SLOTS];
        let mut order = Order::new();
        for t in 0..2000usize {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let slot = t as u8;
            value[usize::from(slot)] = (state >> 29) as f32;
            let out = (t >= WINDOW).then(|| slot.wrapping_sub(WINDOW as u8));
            let others = t.saturating_sub(WINDOW - 1)..t;
            let now = value[usize::from(slot)];
            let rank = others.filter(|t| value[usize::from(*t as u8)] <= now).count();
            order.turn(out, Some((slot, rank)));
            let mut want: Vec<(f32, usize)> =
                (t.saturating_sub(WINDOW - 1)..=t).map(|t| (value[usize::from(t as u8)], t)).collect();
            want.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let want_slots: Vec<u8> = want.iter().map(|w| w.1 as u8).collect();
            assert_eq!(order.slots(), want_slots);
            let sorted: Vec<f32> = want.iter().map(|w| w.0).collect();
            let got = order.quantiles(Level::FORECAST, |s| value[usize::from(s)]);
            let want = foreshade_types::LEVELS.map(|p| crate::quantile::sorted(&sorted, p));
            got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-5, "{g} {w}"));
        }
    }
}
