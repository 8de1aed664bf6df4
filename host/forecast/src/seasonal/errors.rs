//! What earlier forecasts missed by, weighed by how hard their hour of the day is.
//!
//! Split conformal prediction on the series' own past (Vovk et al., "Algorithmic Learning in a Random World", 2005; the
//! scaled residuals are Lei et al., "Distribution-free predictive inference for regression", JASA 2018, section 5.2): the
//! quantile of n errors is the one of rank (n + 1) times the level. The ring forgets, so the spread follows the series.

use super::cells::{Cells, Size};

/// Errors kept per horizon, at most: 2 weeks of hours.
pub(crate) const KEPT: usize = 336;

/// Errors below which nothing is said.
const ENOUGH: usize = 24;

/// Errors of some horizons, the newest of each.
#[derive(Debug, Clone)]
pub(crate) struct Errors {
    cells: Cells,
    rings: Box<[Ring]>,
}

#[derive(Debug, Clone, Copy)]
struct Ring {
    first: u16,
    kept: u16,
    pushed: u32,
}

impl Errors {
    /// `kept` errors of each horizon, at most [`KEPT`].
    pub(crate) fn new(size: Size, kept: &[usize]) -> Self {
        let first = |i: usize| kept[..i].iter().sum::<usize>() as u16;
        let ring = |(i, n): (usize, &usize)| Ring { first: first(i), kept: *n as u16, pushed: 0 };
        let rings = kept.iter().enumerate().map(ring).collect();
        Self { cells: size.differences(kept.iter().sum(), 0.0), rings }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.cells.bytes() + size_of_val(&*self.rings)
    }

    pub(crate) fn push(&mut self, horizon: usize, e: f32) {
        let r = &mut self.rings[horizon];
        self.cells.set(usize::from(r.first) + r.pushed as usize % usize::from(r.kept), e);
        r.pushed += 1;
    }

    /// The errors of a horizon, ascending, and how many.
    pub(crate) fn sorted(&self, horizon: usize) -> ([f32; KEPT], usize) {
        let (r, mut all) = (self.rings[horizon], [0.0; KEPT]);
        let n = (r.pushed as usize).min(usize::from(r.kept)).min(KEPT);
        all[..n].iter_mut().enumerate().for_each(|(i, e)| *e = self.cells.get(usize::from(r.first) + i));
        all[..n].sort_unstable_by(f32::total_cmp);
        (all, n)
    }
}

/// The errors of a horizon between two that are checked.
#[derive(Debug)]
pub(crate) struct Spread {
    low: ([f32; KEPT], usize),
    high: ([f32; KEPT], usize),
    part: f32,
}

impl Spread {
    /// `part` of the way from horizon `i` to the next; `None` = too few outcomes.
    pub(crate) fn new(errors: &Errors, i: usize, part: f32) -> Option<Self> {
        let high = if part > 0.0 { i + 1 } else { i };
        let (low, high) = (errors.sorted(i), errors.sorted(high));
        (low.1.min(high.1) >= ENOUGH).then_some(Self { low, high, part })
    }

    fn sides(&self) -> (&[f32], &[f32]) {
        (&self.low.0[..self.low.1], &self.high.0[..self.high.1])
    }

    pub(crate) fn quantile(&self, level: f32) -> f32 {
        let (low, high) = self.sides();
        let low = quantile(low, level);
        low + self.part * (quantile(high, level) - low)
    }

    /// Mean over the errors of what each becomes (Duan's smearing estimate, JASA 78, 1983: the mean of a logarithm is not
    /// the logarithm of the mean).
    pub(crate) fn mean(&self, unit: impl Fn(f32) -> f32) -> f32 {
        let (low, high) = self.sides();
        let mean = |e: &[f32]| (e.iter().map(|&e| f64::from(unit(e))).sum::<f64>() / e.len() as f64) as f32;
        let low = mean(low);
        low + self.part * (mean(high) - low)
    }
}

/// The error of rank (n + 1) x level, between the neighbours where that is not whole; 0 of none.
fn quantile(sorted: &[f32], level: f32) -> f32 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let rank = ((last + 2) as f32 * level - 1.0).clamp(0.0, last as f32);
    let (i, part) = (rank as usize, rank.fract());
    let next = sorted[(i + 1).min(last)];
    sorted[i] + part * (next - sorted[i])
}

/// Mean absolute day-ahead error by hour of the day.
#[derive(Debug, Clone)]
pub(crate) struct HourScale {
    hour: [f32; 24],
    visits: [u16; 24],
    all: f32,
    seen: u32,
}

/// Visits that the mean of all hours is worth beside an hour's own.
const SHRINK: f32 = 14.0;
/// Forgetting: an hour of the day remembers about as many visits.
const VISITS: f32 = 14.0;
/// An error teaches at most this many scales: a burst widens the next weeks, but not without bound.
const CLIP: f32 = 8.0;
/// Points below which an error is none.
const SCALE_MIN: f32 = 1e-3;

impl HourScale {
    pub(crate) fn new() -> Self {
        Self { hour: [0.0; 24], visits: [0; 24], all: 0.0, seen: 0 }
    }

    pub(crate) fn push(&mut self, hour: i64, error: f32) {
        let k = hour.rem_euclid(24) as usize;
        let size = if self.seen < 24 { error.abs() } else { error.abs().min(CLIP * self.at(hour)) };
        self.visits[k] = self.visits[k].saturating_add(1);
        self.seen = self.seen.saturating_add(1);
        self.hour[k] += (size - self.hour[k]) / f32::from(self.visits[k]).min(VISITS);
        self.all += (size - self.all) / (self.seen as f32).min(24.0 * VISITS);
    }

    /// Scale of an hour of the epoch over that of all hours. Errors are kept in this unit: it says which hours are hard,
    /// and does not follow the series' own learning, which would make old errors look smaller than they were.
    pub(crate) fn shape(&self, hour: i64) -> f32 {
        self.at(hour) / self.all.max(SCALE_MIN)
    }

    /// The scale of an hour of the epoch, above 0.
    pub(crate) fn at(&self, hour: i64) -> f32 {
        let k = hour.rem_euclid(24) as usize;
        let n = f32::from(self.visits[k]).min(VISITS);
        ((n * self.hour[k] + SHRINK * self.all) / (n + SHRINK)).max(SCALE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_of_n_plus_one() {
        let sorted: Vec<f32> = (1..=19).map(|i| i as f32).collect();
        assert_eq!(quantile(&sorted, 0.95), 19.0);
        assert_eq!(quantile(&sorted, 0.05), 1.0);
        assert_eq!(quantile(&sorted, 0.50), 10.0);
        assert_eq!(quantile(&sorted[..4], 0.5), 2.5);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_quiet_hour_has_a_small_scale() {
        let mut s = HourScale::new();
        (0..24 * 14).for_each(|h| s.push(h, if h % 24 < 8 { 0.1 } else { 5.0 }));
        assert!(s.shape(3) < 0.6 && s.shape(12) > 1.2, "{} {}", s.shape(3), s.shape(12));
    }
}
