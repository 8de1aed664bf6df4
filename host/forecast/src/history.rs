//! The last samples of a series, with its gaps, and the order statistics that features and members read.

use foreshade_types::Horizon;

use crate::WINDOW;
use crate::order::{Level, Order, SLOTS};

/// No sample counts for more points: sums of squares stay finite, and so does every forecast. Log-scaled rates stay below
/// 400, percentages of a small VM may go over 100.
pub(crate) const POINTS_MAX: f32 = 10_000.0;
/// Steps of the peak that the features look at: 30 min at 5 min.
pub(crate) const PEAK: usize = 6;
/// The features' short window and far horizon: one hour.
pub(crate) const HOUR: usize = 12;
/// The features' window of recent percentiles: three hours.
const RECENT: usize = 36;

/// Samples that must lie beyond all before them to be a new level: 90 min at 5 min.
pub(crate) const CHANGE: usize = 18;
/// Samples before it that a change is measured against.
const CHANGE_OLD: usize = 54;
/// A new level is this many spreads away: a ramp across the window, whose end lies beyond its beginning too, is not.
const CHANGE_SPREADS: f32 = 4.0;

/// A ring of [`SLOTS`], whose first ones stand behind the last once more: what is newest lies in a row, wherever it ends.
#[derive(Debug, Clone)]
pub(crate) struct Ring([f32; SLOTS + WINDOW - 1]);

impl Ring {
    const EMPTY: Self = Self([0.0; SLOTS + WINDOW - 1]);

    #[inline(always)]
    fn at(&self, slot: u8) -> f32 {
        self.0[usize::from(slot)]
    }

    #[inline(always)]
    fn put(&mut self, slot: u8, value: f32) {
        let slot = usize::from(slot);
        self.0[slot] = value;
        if slot < WINDOW - 1 {
            self.0[SLOTS + slot] = value;
        }
    }

    /// The newest `n`, at most [`WINDOW`], oldest first.
    #[inline(always)]
    fn newest(&self, newest: u8, n: usize) -> &[f32] {
        let end = usize::from(newest) + 1;
        let end = if end < n { end + SLOTS } else { end };
        &self.0[end - n..end]
    }
}

/// The last [`WINDOW`] samples of a series. Slots count up and wrap; the newest is `newest`.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Samples, gaps filled with the value before them.
    x: Ring,
    /// Largest of [`PEAK`] samples up to here.
    peak: Ring,
    /// A bit per slot: was there a sample?
    known: [u64; SLOTS / 64],
    newest: u8,
    len: u8,
    observed: u8,
    /// Samples since the first observed one, gaps included.
    age: u64,
    pub(crate) orders: Orders,
    /// What the members need beyond the features: one per horizon that is none of theirs.
    extra: Box<[Extra]>,
}

/// The orders behind the features, by what they order. Each is named by the slot of its newest sample.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) values: Order,
    pub(crate) recent: Order,
    /// Maxima of [`PEAK`] samples in a row.
    pub(crate) peaks: Order,
    /// |x[t] - x[t-1]|.
    pub(crate) moves: Order,
    /// max(x[t+1..=t+PEAK]) - x[t]: how far a peak rose above the sample before it.
    pub(crate) rises: Order,
    /// x[t] - x[t-HOUR].
    pub(crate) drifts: Order,
}

impl Orders {
    fn new() -> Self {
        Self {
            values: Order::new(),
            recent: Order::new(),
            peaks: Order::new(),
            moves: Order::new(),
            rises: Order::new(),
            drifts: Order::new(),
        }
    }
}

/// Outcomes of a horizon that the features do not know.
#[derive(Debug, Clone)]
enum Extra {
    Step { n: u8, rises: Order },
    Peak { n: u8, peak: Box<Ring>, peaks: Order, rises: Order },
}

/// Where the outcomes of a horizon are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// With the features.
    Features,
    /// In `extra`.
    Extra(usize),
}

/// Where the outcomes of each horizon of a fleet are ordered.
pub(crate) fn places(horizons: &[Horizon]) -> Vec<Place> {
    let mut extra = 0;
    let place = |h: &Horizon| match *h {
        Horizon::Peak(n) if n as usize == PEAK => Place::Features,
        Horizon::Step(n) if n as usize == HOUR => Place::Features,
        _ => {
            extra += 1;
            Place::Extra(extra - 1)
        }
    };
    horizons.iter().map(place).collect()
}

impl History {
    /// A series without a sample, for a fleet of these horizons.
    pub(crate) fn new(horizons: &[Horizon]) -> Self {
        let extra = |(h, place): (&Horizon, Place)| match (*h, place) {
            (_, Place::Features) => None,
            (Horizon::Step(n), _) => Some(Extra::Step { n: n as u8, rises: Order::new() }),
            (Horizon::Peak(n), _) => Some(Extra::Peak {
                n: n as u8,
                peak: Box::new(Ring::EMPTY),
                peaks: Order::new(),
                rises: Order::new(),
            }),
        };
        Self {
            x: Ring::EMPTY,
            peak: Ring::EMPTY,
            known: [0; SLOTS / 64],
            newest: u8::MAX,
            len: 0,
            observed: 0,
            age: 0,
            orders: Orders::new(),
            extra: horizons.iter().zip(places(horizons)).filter_map(extra).collect(),
        }
    }

    /// Samples in the window, gaps included, at most [`WINDOW`].
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Samples of the window that were there.
    pub(crate) fn observed(&self) -> usize {
        usize::from(self.observed)
    }

    /// Samples since the first observed one, gaps included.
    pub(crate) fn age(&self) -> u64 {
        self.age
    }

    /// The newest known value; 0 while there is none.
    pub(crate) fn last(&self) -> f32 {
        self.x.at(self.newest)
    }

    /// Was the sample of `back` ticks ago there?
    pub(crate) fn known(&self, back: usize) -> bool {
        back < self.len() && self.bit(self.newest.wrapping_sub(back as u8))
    }

    fn bit(&self, slot: u8) -> bool {
        self.known[usize::from(slot >> 6)] >> (slot & 63) & 1 == 1
    }

    /// The window, oldest first, gaps filled.
    #[inline(always)]
    pub(crate) fn window(&self) -> &[f32] {
        self.x.newest(self.newest, self.len())
    }

    /// The sample of `back` ticks ago, NaN = missing or before the first.
    pub(crate) fn raw(&self, back: usize) -> f32 {
        match self.known(back) {
            true => self.x.at(self.newest.wrapping_sub(back as u8)),
            false => f32::NAN,
        }
    }

    /// Takes the next sample (not finite = missing), held to 0..=10,000 points. Gaps before the first are not kept.
    #[inline(always)]
    pub(crate) fn push(&mut self, points: f32) {
        let known = points.is_finite();
        if self.len == 0 && !known {
            return;
        }
        // + 0.0: no negative zero, which would sort as equal but print otherwise.
        let x = if known { points.clamp(0.0, POINTS_MAX) + 0.0 } else { self.last() };
        let full = self.len() == WINDOW;
        if full {
            let oldest = self.newest.wrapping_sub(WINDOW as u8 - 1);
            self.observed -= u8::from(self.bit(oldest));
        } else {
            self.len += 1;
        }
        self.newest = self.newest.wrapping_add(1);
        let slot = usize::from(self.newest);
        self.x.put(self.newest, x);
        let peak = largest(self.x.newest(self.newest, PEAK.min(self.len())));
        self.peak.put(self.newest, peak);
        let bit = 1 << (slot & 63);
        self.known[slot >> 6] = self.known[slot >> 6] & !bit | if known { bit } else { 0 };
        self.observed += u8::from(known);
        self.age += 1;
        self.order(full);
    }

    /// Brings every order up to date; `full`: a sample has left.
    #[inline(always)]
    fn order(&mut self, full: bool) {
        let (new, n) = (self.newest, self.len());
        let (w, p) = (self.x.newest(new, n), self.peak.newest(new, n));
        let now = Now { newest: new, n, full };
        let o = &mut self.orders;
        now.turn(&mut o.values, 0, rank(w, 0));
        let recent = rank(w, n.saturating_sub(RECENT));
        o.recent.turn((n > RECENT).then(|| new.wrapping_sub(RECENT as u8)), Some((new, recent)));
        now.turn(&mut o.peaks, PEAK - 1, rank(p, PEAK - 1));
        now.turn(&mut o.moves, 1, rank_of_moves(w));
        now.turn(&mut o.rises, PEAK, rank_of_changes(p, w, PEAK));
        now.turn(&mut o.drifts, HOUR, rank_of_changes(w, w, HOUR));
        for extra in &mut self.extra {
            match extra {
                Extra::Step { n, rises } => {
                    let span = usize::from(*n);
                    now.turn(rises, span, rank_of_changes(w, w, span));
                }
                Extra::Peak { n: span, peak, peaks, rises } => {
                    let span = usize::from(*span);
                    peak.put(new, largest(self.x.newest(new, span.min(n))));
                    let p = peak.newest(new, n);
                    now.turn(peaks, span - 1, rank(p, span - 1));
                    now.turn(rises, span, rank_of_changes(p, w, span));
                }
            }
        }
    }

    /// Has the level changed [`CHANGE`] samples ago, for good? All samples since lie above, or all below, every one before
    /// (a run of ranks, which noise gives once in (n over k) windows), and further away than the spread of both explains.
    #[inline(always)]
    pub(crate) fn has_changed(&self) -> bool {
        if self.len() < CHANGE + CHANGE_OLD {
            return false;
        }
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for back in 0..CHANGE {
            let x = self.x.at(self.newest.wrapping_sub(back as u8));
            (low, high) = (low.min(x), high.max(x));
        }
        let above = self.largest(CHANGE).is_some_and(|old| low > old);
        let below = self.smallest(CHANGE).is_some_and(|old| high < old);
        (above || below) && self.is_apart()
    }

    #[cold]
    fn is_apart(&self) -> bool {
        let (old, new) = self.window().split_at(self.len() - CHANGE);
        let about = |w: &[f32]| {
            let mean = w.iter().sum::<f32>() / w.len() as f32;
            let variance = w.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / w.len() as f32;
            (mean, variance.sqrt())
        };
        let ((before, wide), (after, narrow)) = (about(old), about(new));
        (after - before).abs() > CHANGE_SPREADS * (wide + narrow) + 1.0
    }

    /// Forgets all but the newest `keep` samples, as if the series had begun with them.
    pub(crate) fn forget(&mut self, keep: usize) {
        let keep = keep.min(self.len());
        let raw: Vec<f32> = (0..keep).rev().map(|back| self.raw(back)).collect();
        let filled = self.x.clone();
        let (newest, age) = (self.newest, self.age);
        self.len = 0;
        self.observed = 0;
        self.orders = Orders::new();
        for extra in &mut self.extra {
            match extra {
                Extra::Step { rises, .. } => *rises = Order::new(),
                Extra::Peak { peaks, rises, .. } => (*peaks, *rises) = (Order::new(), Order::new()),
            }
        }
        for (i, x) in raw.iter().enumerate() {
            // A gap at the new beginning has a value before it, so it is kept as one.
            let slot = newest.wrapping_sub((keep - 1 - i) as u8);
            match (self.len, x.is_nan()) {
                (0, true) => self.push(filled.at(slot)),
                _ => self.push(*x),
            }
        }
        self.age = age;
    }

    /// The outcome of a horizon that ends now; `None` = unknown. A peak needs half of its samples.
    #[inline(always)]
    pub(crate) fn outcome(&self, horizon: Horizon) -> Option<f32> {
        match horizon {
            Horizon::Step(_) => self.known(0).then(|| self.last()),
            Horizon::Peak(n) => {
                let n = n as usize;
                if n > self.len() {
                    return None;
                }
                if self.observed == self.len {
                    return Some(if n == PEAK {
                        self.peak.at(self.newest)
                    } else {
                        largest(self.x.newest(self.newest, n))
                    });
                }
                let there = (0..n).filter(|&b| self.known(b)).count();
                let most = (0..n).map(|b| self.raw(b)).fold(f32::NEG_INFINITY, f32::max);
                (2 * there >= n).then_some(most)
            }
        }
    }

    /// Has the window no gap?
    pub(crate) fn whole(&self) -> bool {
        self.observed == self.len
    }

    /// Quantiles of what the outcomes of a horizon were above the sample before them, and how many there were. Gaps
    /// count as filled: ask only a whole window.
    #[inline(always)]
    pub(crate) fn rises<const N: usize>(
        &self,
        horizon: Horizon,
        place: Place,
        levels: [Level; N],
    ) -> (usize, [f32; N]) {
        let (x, peak) = (&self.x, &self.peak);
        match (horizon, place) {
            (Horizon::Peak(_), Place::Features) => {
                let o = &self.orders.rises;
                (o.len(), o.quantiles(levels, |s| rise(x, peak, s, PEAK)))
            }
            (Horizon::Step(_), Place::Features) => {
                let o = &self.orders.drifts;
                (o.len(), o.quantiles(levels, |s| drift(x, s, HOUR)))
            }
            (_, Place::Extra(i)) => match &self.extra[i] {
                Extra::Step { n, rises } => {
                    let n = usize::from(*n);
                    (rises.len(), rises.quantiles(levels, |s| drift(x, s, n)))
                }
                Extra::Peak { n, peak, rises, .. } => {
                    let n = usize::from(*n);
                    (rises.len(), rises.quantiles(levels, |s| rise(x, peak, s, n)))
                }
            },
        }
    }

    /// Quantiles of the outcomes of a horizon themselves, and how many there were: of the samples for a step, of the
    /// maxima for a peak. As for [`Self::rises`], of a whole window.
    #[inline(always)]
    pub(crate) fn outcomes<const N: usize>(
        &self,
        horizon: Horizon,
        place: Place,
        levels: [Level; N],
    ) -> (usize, [f32; N]) {
        match (horizon, place) {
            (Horizon::Step(_), _) => self.values(levels),
            (Horizon::Peak(_), Place::Features) => {
                let o = &self.orders.peaks;
                (o.len(), o.quantiles(levels, |s| self.peak.at(s)))
            }
            (Horizon::Peak(_), Place::Extra(i)) => match &self.extra[i] {
                Extra::Peak { peak, peaks, .. } => (peaks.len(), peaks.quantiles(levels, |s| peak.at(s))),
                Extra::Step { .. } => (0, [0.0; N]),
            },
        }
    }

    /// Quantiles of the samples.
    #[inline(always)]
    pub(crate) fn values<const N: usize>(&self, levels: [Level; N]) -> (usize, [f32; N]) {
        let o = &self.orders.values;
        (o.len(), o.quantiles(levels, |s| self.x.at(s)))
    }

    /// Quantiles of the last three hours.
    #[inline(always)]
    pub(crate) fn recent<const N: usize>(&self, levels: [Level; N]) -> [f32; N] {
        self.orders.recent.quantiles(levels, |s| self.x.at(s))
    }

    /// Quantiles of |x[t] - x[t-1]|.
    #[inline(always)]
    pub(crate) fn moves<const N: usize>(&self, levels: [Level; N]) -> [f32; N] {
        self.orders.moves.quantiles(levels, |s| one_move(&self.x, s))
    }

    /// The `rank`-th largest sample, 0 = the largest; `None` beyond the window.
    pub(crate) fn largest(&self, rank: usize) -> Option<f32> {
        let slots = self.orders.values.slots();
        slots.len().checked_sub(rank + 1).map(|i| self.x.at(slots[i]))
    }

    /// The `rank`-th smallest sample, 0 = the smallest; `None` beyond the window.
    pub(crate) fn smallest(&self, rank: usize) -> Option<f32> {
        self.orders.values.slots().get(rank).map(|&s| self.x.at(s))
    }
}

/// A window that has just taken a sample in.
struct Now {
    newest: u8,
    n: usize,
    /// Has a sample left?
    full: bool,
}

impl Now {
    /// Brings an order up to date whose entries reach back over `span` samples and are named by the newest of them.
    #[inline(always)]
    fn turn(&self, order: &mut Order, span: usize, rank: usize) {
        let leaves = self.full.then(|| self.newest.wrapping_sub((WINDOW - span) as u8));
        order.turn(leaves, (self.n > span).then_some((self.newest, rank)));
    }
}

/// How many of the values from the `first` on, but the last, are no larger than the last.
#[inline(always)]
fn rank(values: &[f32], first: usize) -> usize {
    let Some((new, before)) = values.split_last() else { return 0 };
    count(before.get(first..).unwrap_or_default().iter().copied(), *new)
}

/// The same of the moves from one sample to the next.
#[inline(always)]
fn rank_of_moves(w: &[f32]) -> usize {
    let [.., b, a] = w else { return 0 };
    let n = w.len();
    count(w[1..n - 1].iter().zip(&w[..n - 2]).map(|(a, b)| (a - b).abs()), (a - b).abs())
}

/// The same of the changes from `from` to `span` samples later in `to`.
#[inline(always)]
fn rank_of_changes(to: &[f32], from: &[f32], span: usize) -> usize {
    let n = to.len();
    if n <= span {
        return 0;
    }
    let changes = to[span..n - 1].iter().zip(&from[..n - 1 - span]).map(|(a, b)| a - b);
    count(changes, to[n - 1] - from[n - 1 - span])
}

#[inline(always)]
fn count(values: impl Iterator<Item = f32>, limit: f32) -> usize {
    values.map(|v| u32::from(v <= limit)).sum::<u32>() as usize
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[inline(always)]
fn one_move(x: &Ring, s: u8) -> f32 {
    (x.at(s) - x.at(s.wrapping_sub(1))).abs()
}

#[inline(always)]
fn drift(x: &Ring, s: u8, n: usize) -> f32 {
    x.at(s) - x.at(s.wrapping_sub(n as u8))
}

#[inline(always)]
fn rise(x: &Ring, peak: &Ring, s: u8, n: usize) -> f32 {
    peak.at(s) - x.at(s.wrapping_sub(n as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_window_and_its_gaps() {
        let mut h = History::new(&[Horizon::Step(3)]);
        h.push(f32::NAN);
        assert_eq!((h.len(), h.age()), (0, 0));
        for i in 0..500 {
            h.push(if i % 10 == 3 { f32::NAN } else { i as f32 });
        }
        assert_eq!(h.window()[0], 356.0);
        assert_eq!((h.last(), h.age()), (499.0, 500));
        assert!(h.raw(499 - 363).is_nan());
        assert_eq!(h.window()[363 - 356], 362.0);
        assert_eq!(h.observed(), (0..WINDOW).filter(|&b| !h.raw(b).is_nan()).count());
        assert_eq!(h.outcome(Horizon::Peak(4)), Some(499.0));
        h.push(f32::NAN);
        assert_eq!(h.outcome(Horizon::Step(3)), None, "a gap is no outcome");
        assert_eq!(h.outcome(Horizon::Peak(2)), Some(499.0), "half of a peak is enough");
    }

    #[test]
    fn a_new_level_is_told_from_noise_and_from_a_ramp() {
        let mut state = 1u32;
        let mut noise = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut changes = |level: &dyn Fn(usize) -> f32| {
            let mut h = History::new(&[]);
            let mut at = Vec::new();
            for t in 0..2000 {
                h.push(level(t) + 4.0 * noise());
                if h.has_changed() {
                    at.push(t);
                    h.forget(CHANGE);
                }
            }
            at
        };
        assert_eq!(changes(&|_| 30.0), Vec::<usize>::new());
        assert_eq!(changes(&|t| 30.0 + 0.03 * t as f32), Vec::<usize>::new());
        assert_eq!(changes(&|t| 50.0 + 30.0 * (t as f32 / 40.0).sin()), Vec::<usize>::new(), "a wave");
        assert_eq!(changes(&|t| if t < 1000 { 30.0 } else { 60.0 }), [1000 + CHANGE - 1]);
        assert_eq!(changes(&|t| if t < 1000 { 60.0 } else { 30.0 }), [1000 + CHANGE - 1]);
    }

    #[test]
    fn what_is_forgotten_leaves_no_trace() {
        let horizons = [Horizon::Peak(6), Horizon::Step(2)];
        let x: Vec<f32> = (0..300).map(|i| (i * 37 % 101) as f32).collect();
        let (mut h, mut young) = (History::new(&horizons), History::new(&horizons));
        x.iter().for_each(|&v| h.push(v));
        h.forget(20);
        x[280..].iter().for_each(|&v| young.push(v));
        for more in [5.0, 7.0, f32::NAN, 1.0] {
            h.push(more);
            young.push(more);
            assert_eq!(h.window(), young.window());
            assert_eq!(h.observed(), young.observed());
            for (horizon, place) in horizons.iter().zip(places(&horizons)) {
                assert_eq!(
                    h.rises(*horizon, place, Level::FORECAST),
                    young.rises(*horizon, place, Level::FORECAST)
                );
            }
        }
    }
}
