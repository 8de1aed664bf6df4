//! The last samples of sixteen series, with their gaps, and the order statistics that features and members read.

use fearless_simd::{Select, Simd, SimdBase, SimdMask, f32x16, mask32x16};
use foreshade_types::Horizon;

use crate::WINDOW;
use crate::lanes::{LANES, Lane, ZERO, all, at_least, each, load};
use crate::order::{Level, Order};

/// No sample counts for more points: sums of squares stay finite, and so does every forecast. Log-scaled rates stay below
/// 400, percentages of a small VM may go over 100.
pub(crate) const POINTS_MAX: f32 = 10_000.0;
/// Steps of the peak that the features look at: 30 min at 5 min.
pub(crate) const PEAK: usize = 6;
/// The features' short window and far horizon: one hour.
pub(crate) const HOUR: usize = 12;
/// The features' window of recent percentiles: three hours.
pub(crate) const RECENT: usize = 36;

/// Samples that must lie beyond all before them to be a new level: 90 min at 5 min.
pub(crate) const CHANGE: usize = 18;
/// Samples before it that a change is measured against.
const CHANGE_OLD: usize = 54;
/// A new level is this many spreads away: a ramp across the window, whose end lies beyond its beginning too, is not.
const CHANGE_SPREADS: f32 = 4.0;

/// Slots of a ring: more than a window, so that what has just left can still be read, and a byte is always a slot.
const SLOTS: usize = 256;

/// The newest samples, by slot and lane. A row begins on a cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Ring([Lane; SLOTS]);

impl Ring {
    fn new() -> Box<Self> {
        Box::new(Self([ZERO; SLOTS]))
    }

    #[inline(always)]
    fn at<S: Simd>(&self, simd: S, slot: u8) -> f32x16<S> {
        load(simd, &self.0[usize::from(slot)])
    }

    /// The largest of `n` samples up to a slot.
    #[inline(always)]
    fn largest<S: Simd>(&self, simd: S, slot: u8, n: usize) -> f32x16<S> {
        let mut most = self.at(simd, slot);
        for back in 1..n {
            most = most.max(self.at(simd, slot.wrapping_sub(back as u8)));
        }
        most
    }
}

/// The last [`WINDOW`] samples of each series. Slots count up and wrap; the newest of all is `newest`.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Samples, gaps filled with the value before them.
    x: Box<Ring>,
    /// Largest of [`PEAK`] samples up to here.
    peak: Box<Ring>,
    /// A bit per lane: was there a sample?
    known: [u16; SLOTS],
    newest: u8,
    len: [u8; LANES],
    observed: [u8; LANES],
    /// Samples since the first observed one, gaps included.
    age: [u64; LANES],
    orders: Orders,
    /// What the members need beyond the features: one per horizon that is none of theirs.
    extra: Box<[Extra]>,
}

/// The orders behind the features, by what they order.
#[derive(Debug, Clone)]
struct Orders {
    values: Order,
    recent: Order,
    /// Maxima of [`PEAK`] samples in a row.
    peaks: Order,
    /// |x[t] - x[t-1]|.
    moves: Order,
    /// max(x[t+1..=t+PEAK]) - x[t]: how far a peak rose above the sample before it.
    rises: Order,
    /// x[t] - x[t-HOUR].
    drifts: Order,
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
    /// Series without a sample, for a fleet of these horizons.
    pub(crate) fn new(horizons: &[Horizon]) -> Self {
        let over = |span: usize| Order::new(WINDOW - span);
        let extra = |(h, place): (&Horizon, Place)| match (*h, place) {
            (_, Place::Features) => None,
            (Horizon::Step(n), _) => Some(Extra::Step { n: n as u8, rises: over(n as usize) }),
            (Horizon::Peak(n), _) => Some(Extra::Peak {
                n: n as u8,
                peak: Ring::new(),
                peaks: over(n as usize - 1),
                rises: over(n as usize),
            }),
        };
        let orders = Orders {
            values: over(0),
            recent: Order::new(RECENT),
            peaks: over(PEAK - 1),
            moves: over(1),
            rises: over(PEAK),
            drifts: over(HOUR),
        };
        Self {
            x: Ring::new(),
            peak: Ring::new(),
            known: [0; SLOTS],
            newest: u8::MAX,
            len: [0; LANES],
            observed: [0; LANES],
            age: [0; LANES],
            orders,
            extra: horizons.iter().zip(places(horizons)).filter_map(extra).collect(),
        }
    }

    /// Samples in a lane's window, gaps included, at most [`WINDOW`].
    pub(crate) fn len(&self, lane: usize) -> usize {
        usize::from(self.len[lane])
    }

    /// Samples of a lane's window that were there.
    pub(crate) fn observed(&self, lane: usize) -> usize {
        usize::from(self.observed[lane])
    }

    /// Samples since a lane's first observed one, gaps included.
    pub(crate) fn age(&self, lane: usize) -> u64 {
        self.age[lane]
    }

    /// The newest known values; 0 while there is none.
    pub(crate) fn last(&self) -> &Lane {
        &self.x.0[usize::from(self.newest)]
    }

    /// The slot of `back` ticks ago.
    #[inline(always)]
    fn ago(&self, back: usize) -> u8 {
        self.newest.wrapping_sub(back as u8)
    }

    /// Was a lane's sample of `back` ticks ago there?
    pub(crate) fn known(&self, lane: usize, back: usize) -> bool {
        back < self.len(lane) && self.known[usize::from(self.ago(back))] >> lane & 1 == 1
    }

    /// The samples of `back` ticks ago, gaps filled.
    #[inline(always)]
    pub(crate) fn filled<S: Simd>(&self, simd: S, back: usize) -> f32x16<S> {
        self.x.at(simd, self.ago(back))
    }

    /// A lane's sample of `back` ticks ago, gaps filled.
    #[inline(always)]
    pub(crate) fn sample(&self, lane: usize, back: usize) -> f32 {
        self.x.0[usize::from(self.ago(back))][lane]
    }

    /// A lane's window, oldest first, gaps filled.
    pub(crate) fn window(&self, lane: usize) -> impl Iterator<Item = f32> {
        (0..self.len(lane)).rev().map(move |back| self.sample(lane, back))
    }

    /// A lane's sample of `back` ticks ago, NaN = missing or before the first.
    pub(crate) fn raw(&self, lane: usize, back: usize) -> f32 {
        if self.known(lane, back) { self.sample(lane, back) } else { f32::NAN }
    }

    /// Has a lane's window no gap?
    pub(crate) fn whole(&self, lane: usize) -> bool {
        self.observed[lane] == self.len[lane]
    }

    /// Lanes whose windows have no gap and enough samples, and those with enough samples.
    #[inline(always)]
    pub(crate) fn told<S: Simd>(&self, simd: S, least: usize) -> [mask32x16<S>; 2] {
        let enough = at_least(simd, &self.observed, least);
        let whole = (0..LANES).fold(0, |bits, l| bits | u64::from(self.whole(l)) << l);
        [enough & mask32x16::from_bitmask(simd, whole), enough]
    }

    /// Lengths of windows, and the lanes of each: what is computed of a window takes its length from here, so that lanes of
    /// one length, nearly always all of them, go in one. Lanes without a sample are in none.
    #[inline(always)]
    pub(crate) fn lengths(&self) -> impl Iterator<Item = (usize, u64)> {
        let of = |len: u8| (0..LANES).fold(0, |bits, l| bits | u64::from(self.len[l] == len) << l);
        let mut left = !of(0) & ((1 << LANES) - 1);
        std::iter::from_fn(move || {
            let first = left.trailing_zeros() as usize;
            let len = *self.len.get(first)?;
            let lanes = of(len);
            left &= !lanes;
            Some((usize::from(len), lanes))
        })
    }

    /// Reads a little of all that [`Self::push`] will pass over: it comes from far, and is waited for once.
    #[inline(always)]
    pub(crate) fn touch(&self) -> f32 {
        let o = &self.orders;
        let sum: f32 =
            [&o.values, &o.recent, &o.peaks, &o.moves, &o.rises, &o.drifts].map(Order::touch).iter().sum();
        self.extra.iter().fold(sum, |sum, extra| match extra {
            Extra::Step { rises, .. } => sum + rises.touch(),
            Extra::Peak { peaks, rises, .. } => sum + peaks.touch() + rises.touch(),
        })
    }

    /// Takes the next samples (not finite = missing), held to 0..=10,000 points. Gaps before the first are not kept.
    #[inline(always)]
    pub(crate) fn push<S: Simd>(&mut self, simd: S, points: &Lane) {
        let leaving = self.known[usize::from(self.ago(WINDOW - 1))];
        let (mut bits, mut full) = (0, 0);
        for (l, x) in points.iter().enumerate() {
            let there = x.is_finite();
            let was_full = usize::from(self.len[l]) == WINDOW;
            let begun = there || self.len[l] > 0;
            self.len[l] += u8::from(begun && !was_full);
            self.observed[l] += u8::from(there);
            self.observed[l] -= u8::from(was_full) & (leaving >> l & 1) as u8;
            self.age[l] += u64::from(begun);
            bits |= u16::from(there) << l;
            full |= u64::from(was_full) << l;
        }
        let (given, last) = (load(simd, points), self.filled(simd, 0));
        let there = mask32x16::from_bitmask(simd, u64::from(bits));
        // + 0.0: no negative zero, which would sort as equal but print otherwise.
        let x = there.select(given.max(0.0).min(POINTS_MAX) + 0.0, last);
        self.newest = self.newest.wrapping_add(1);
        let slot = usize::from(self.newest);
        x.store_slice(&mut self.x.0[slot]);
        self.known[slot] = bits;
        self.x.largest(simd, self.newest, PEAK).store_slice(&mut self.peak.0[slot]);
        self.order(simd, mask32x16::from_bitmask(simd, full));
    }

    /// Brings every order up to date; `full`: a sample has left.
    #[inline(always)]
    fn order<S: Simd>(&mut self, simd: S, full: mask32x16<S>) {
        let (x, peak, new) = (&*self.x, &*self.peak, self.newest);
        let now = Now { simd, newest: new, len: &self.len, full };
        let o = &mut self.orders;
        // All that leaves is looked up before anything is ordered: it is far from the cache, and waited for once.
        let values = now.change(0, |s| x.at(simd, s));
        let more = at_least(simd, &self.len, RECENT + 1);
        let oldest = more.select(x.at(simd, new.wrapping_sub(RECENT as u8)), all(simd, f32::INFINITY));
        let newest = at_least(simd, &self.len, 1).select(x.at(simd, new), all(simd, f32::INFINITY));
        let peaks = now.change(PEAK - 1, |s| peak.at(simd, s));
        let moves = now.change(1, |s| (x.at(simd, s) - x.at(simd, s.wrapping_sub(1))).abs());
        let rises = now.change(PEAK, |s| change(simd, peak, x, s, PEAK));
        let drifts = now.change(HOUR, |s| change(simd, x, x, s, HOUR));
        o.values.turn(simd, values);
        o.recent.turn(simd, [oldest, newest]);
        o.peaks.turn(simd, peaks);
        o.moves.turn(simd, moves);
        o.rises.turn(simd, rises);
        o.drifts.turn(simd, drifts);
        for extra in &mut self.extra {
            match extra {
                Extra::Step { n, rises } => {
                    let span = usize::from(*n);
                    rises.turn(simd, now.change(span, |s| change(simd, x, x, s, span)));
                }
                Extra::Peak { n, peak, peaks, rises } => {
                    let span = usize::from(*n);
                    x.largest(simd, new, span).store_slice(&mut peak.0[usize::from(new)]);
                    let peak = &**peak;
                    peaks.turn(simd, now.change(span - 1, |s| peak.at(simd, s)));
                    rises.turn(simd, now.change(span, |s| change(simd, peak, x, s, span)));
                }
            }
        }
    }

    /// Has a lane's level changed [`CHANGE`] samples ago, for good? All samples since lie above, or all below, every one
    /// before (a run of ranks, which noise gives once in (n over k) windows), and further away than the spread of both
    /// explains. A bit per lane.
    #[inline(always)]
    pub(crate) fn changed<S: Simd>(&self, simd: S) -> u64 {
        let (mut low, mut high) = (self.filled(simd, 0), self.filled(simd, 0));
        for back in 1..CHANGE {
            let x = self.filled(simd, back);
            (low, high) = (low.min(x), high.max(x));
        }
        let values = &self.orders.values;
        let old = CHANGE + CHANGE_OLD;
        let rank = |l: usize| self.len(l).max(old);
        let largest = load(simd, &each(|l| values.at(rank(l) - 1 - CHANGE, l)));
        let smallest = load(simd, &each(|l| values.at(CHANGE, l)));
        let apart = low.simd_gt(largest) | high.simd_lt(smallest);
        let may = (apart & at_least(simd, &self.len, old)).to_bitmask();
        (0..LANES).filter(|l| may >> l & 1 == 1 && self.is_apart(*l)).fold(0, |bits, l| bits | 1 << l)
    }

    #[cold]
    fn is_apart(&self, lane: usize) -> bool {
        let window: Vec<f32> = self.window(lane).collect();
        let (old, new) = window.split_at(window.len() - CHANGE);
        let about = |w: &[f32]| {
            let mean = w.iter().sum::<f32>() / w.len() as f32;
            let variance = w.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / w.len() as f32;
            (mean, variance.sqrt())
        };
        let ((before, wide), (after, narrow)) = (about(old), about(new));
        (after - before).abs() > CHANGE_SPREADS * (wide + narrow) + 1.0
    }

    /// Forgets all but a lane's newest `keep` samples, as if the series had begun with them.
    #[cold]
    pub(crate) fn forget(&mut self, lane: usize, keep: usize) {
        let keep = keep.min(self.len(lane));
        self.len[lane] = keep as u8;
        if keep > 0 {
            // A gap at the new beginning has a value before it, so it is kept as one.
            self.known[usize::from(self.ago(keep - 1))] |= 1 << lane;
        }
        self.observed[lane] = (0..keep).filter(|&back| self.known(lane, back)).count() as u8;
        let newest = self.newest;
        let at = |ring: &Ring, back: usize| ring.0[usize::from(newest.wrapping_sub(back as u8))][lane];
        let (x, peak, o) = (&*self.x, &*self.peak, &mut self.orders);
        let kept = |span: usize| 0..keep.saturating_sub(span);
        o.values.fill(lane, kept(0).map(|b| at(x, b)));
        o.recent.fill(lane, kept(0).take(RECENT).map(|b| at(x, b)));
        o.peaks.fill(lane, kept(PEAK - 1).map(|b| at(peak, b)));
        o.moves.fill(lane, kept(1).map(|b| (at(x, b) - at(x, b + 1)).abs()));
        o.rises.fill(lane, kept(PEAK).map(|b| at(peak, b) - at(x, b + PEAK)));
        o.drifts.fill(lane, kept(HOUR).map(|b| at(x, b) - at(x, b + HOUR)));
        for extra in &mut self.extra {
            match extra {
                Extra::Step { n, rises } => {
                    let n = usize::from(*n);
                    rises.fill(lane, kept(n).map(|b| at(x, b) - at(x, b + n)));
                }
                Extra::Peak { n, peak, peaks, rises } => {
                    let n = usize::from(*n);
                    peaks.fill(lane, kept(n - 1).map(|b| at(peak, b)));
                    rises.fill(lane, kept(n).map(|b| at(peak, b) - at(x, b + n)));
                }
            }
        }
    }

    /// The outcomes of a horizon that end now; NaN = unknown. A peak needs half of its samples.
    #[inline(always)]
    pub(crate) fn outcome<S: Simd>(&self, simd: S, horizon: Horizon) -> f32x16<S> {
        let unknown = all(simd, f32::NAN);
        match horizon {
            Horizon::Step(_) => {
                let known = self.known[usize::from(self.newest)];
                mask32x16::from_bitmask(simd, u64::from(known)).select(self.filled(simd, 0), unknown)
            }
            Horizon::Peak(n) => {
                let n = n as usize;
                let most = match n {
                    PEAK => self.peak.at(simd, self.newest),
                    _ => self.x.largest(simd, self.newest, n),
                };
                let mut y = at_least(simd, &self.len, n).select(most, unknown);
                for lane in (0..LANES).filter(|&l| !self.whole(l) && self.len(l) >= n) {
                    y.as_mut_slice()[lane] = self.peak_with_gaps(lane, n);
                }
                y
            }
        }
    }

    #[cold]
    fn peak_with_gaps(&self, lane: usize, n: usize) -> f32 {
        let there = (0..n).filter(|&b| self.known(lane, b)).count();
        let most = (0..n).map(|b| self.raw(lane, b)).fold(f32::NEG_INFINITY, f32::max);
        if 2 * there >= n { most } else { f32::NAN }
    }

    /// Of windows of `len` samples: quantiles of what the outcomes of a horizon were above the sample before them, and how
    /// many there were. Gaps count as filled: use only those of a whole window.
    #[inline(always)]
    pub(crate) fn rises<S: Simd, const N: usize>(
        &self,
        simd: S,
        len: usize,
        horizon: Horizon,
        place: Place,
        levels: [Level; N],
    ) -> (usize, [f32x16<S>; N]) {
        let order = match (horizon, place) {
            (Horizon::Peak(_), Place::Features) => &self.orders.rises,
            (Horizon::Step(_), Place::Features) => &self.orders.drifts,
            (_, Place::Extra(i)) => match &self.extra[i] {
                Extra::Step { rises, .. } | Extra::Peak { rises, .. } => rises,
            },
        };
        let n = len.saturating_sub(horizon.delay_steps() as usize);
        (n, order.quantiles(simd, n, levels))
    }

    /// Quantiles of the outcomes of a horizon themselves, and how many there were: of the samples for a step, of the
    /// maxima for a peak. As for [`Self::rises`], of a whole window.
    #[inline(always)]
    pub(crate) fn outcomes<S: Simd, const N: usize>(
        &self,
        simd: S,
        len: usize,
        horizon: Horizon,
        place: Place,
        levels: [Level; N],
    ) -> (usize, [f32x16<S>; N]) {
        let (span, order) = match (horizon, place) {
            (Horizon::Step(_), _) => (0, &self.orders.values),
            (Horizon::Peak(n), Place::Features) => (n as usize - 1, &self.orders.peaks),
            (Horizon::Peak(n), Place::Extra(i)) => match &self.extra[i] {
                Extra::Peak { peaks, .. } => (n as usize - 1, peaks),
                Extra::Step { .. } => (WINDOW, &self.orders.peaks),
            },
        };
        let n = len.saturating_sub(span);
        (n, order.quantiles(simd, n, levels))
    }

    /// Quantiles of the samples of windows of `len`.
    #[inline(always)]
    pub(crate) fn values<S: Simd, const N: usize>(
        &self,
        simd: S,
        len: usize,
        levels: [Level; N],
    ) -> [f32x16<S>; N] {
        self.orders.values.quantiles(simd, len, levels)
    }

    /// Quantiles of the last three hours.
    #[inline(always)]
    pub(crate) fn recent<S: Simd, const N: usize>(
        &self,
        simd: S,
        len: usize,
        levels: [Level; N],
    ) -> [f32x16<S>; N] {
        self.orders.recent.quantiles(simd, len.min(RECENT), levels)
    }

    /// Quantiles of |x[t] - x[t-1]|.
    #[inline(always)]
    pub(crate) fn moves<S: Simd, const N: usize>(
        &self,
        simd: S,
        len: usize,
        levels: [Level; N],
    ) -> [f32x16<S>; N] {
        self.orders.moves.quantiles(simd, len.saturating_sub(1), levels)
    }

    /// A lane's smallest and largest sample; `None` before the first.
    pub(crate) fn range(&self, lane: usize) -> Option<(f32, f32)> {
        let top = self.len(lane).checked_sub(1)?;
        Some((self.orders.values.at(0, lane), self.orders.values.at(top, lane)))
    }
}

/// Windows that have just taken samples in.
struct Now<'a, S: Simd> {
    simd: S,
    newest: u8,
    len: &'a [u8; LANES],
    /// Has a sample left?
    full: mask32x16<S>,
}

impl<S: Simd> Now<'_, S> {
    /// What leaves an order and what comes, whose values reach back over `span` samples and are named by the newest of them.
    #[inline(always)]
    fn change(&self, span: usize, of: impl Fn(u8) -> f32x16<S>) -> [f32x16<S>; 2] {
        let none = all(self.simd, f32::INFINITY);
        let oldest = of(self.newest.wrapping_sub((WINDOW - span) as u8));
        let new = at_least(self.simd, self.len, span + 1).select(of(self.newest), none);
        [self.full.select(oldest, none), new]
    }
}

/// The changes from `from` to `span` samples later in `to`.
#[inline(always)]
fn change<S: Simd>(simd: S, to: &Ring, from: &Ring, slot: u8, span: usize) -> f32x16<S> {
    to.at(simd, slot) - from.at(simd, slot.wrapping_sub(span as u8))
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;

    /// The lane looked at; the others stay without a sample, but for the one before it.
    const LANE: usize = 9;

    impl History {
        fn take(&mut self, x: f32) {
            let points = each(|l| {
                if l == LANE {
                    x
                } else if l + 1 == LANE {
                    7.0
                } else {
                    f32::NAN
                }
            });
            dispatch!(fearless_simd::Level::new(), simd => self.push(simd, &points));
        }

        fn has_changed(&self) -> bool {
            dispatch!(fearless_simd::Level::new(), simd => self.changed(simd)) >> LANE & 1 == 1
        }

        fn came(&self, horizon: Horizon) -> f32 {
            dispatch!(fearless_simd::Level::new(), simd => self.outcome(simd, horizon).as_slice()[LANE])
        }

        fn rise(&self, horizon: Horizon, place: Place) -> (usize, [f32; 5]) {
            dispatch!(fearless_simd::Level::new(), simd => {
                let (n, q) = self.rises(simd, self.len(LANE), horizon, place, Level::FORECAST);
                (n, q.map(|q| q.as_slice()[LANE]))
            })
        }
    }

    fn window(h: &History) -> Vec<f32> {
        h.window(LANE).collect()
    }

    #[test]
    fn keeps_the_last_window_and_its_gaps() {
        let mut h = History::new(&[Horizon::Step(3)]);
        h.take(f32::NAN);
        assert_eq!((h.len(LANE), h.age(LANE)), (0, 0));
        for i in 0..500 {
            h.take(if i % 10 == 3 { f32::NAN } else { i as f32 });
        }
        assert_eq!(window(&h)[0], 356.0);
        assert_eq!((h.last()[LANE], h.age(LANE)), (499.0, 500));
        assert!(h.raw(LANE, 499 - 363).is_nan());
        assert_eq!(window(&h)[363 - 356], 362.0);
        assert_eq!(h.observed(LANE), (0..WINDOW).filter(|&b| !h.raw(LANE, b).is_nan()).count());
        assert_eq!(h.came(Horizon::Peak(4)), 499.0);
        h.take(f32::NAN);
        assert!(h.came(Horizon::Step(3)).is_nan(), "a gap is no outcome");
        assert_eq!(h.came(Horizon::Peak(2)), 499.0, "half of a peak is enough");
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
                h.take(level(t) + 4.0 * noise());
                if h.has_changed() {
                    at.push(t);
                    h.forget(LANE, CHANGE);
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
        x.iter().for_each(|&v| h.take(v));
        h.forget(LANE, 20);
        x[280..].iter().for_each(|&v| young.take(v));
        for more in [5.0, 7.0, f32::NAN, 1.0] {
            h.take(more);
            young.take(more);
            assert_eq!(window(&h), window(&young));
            assert_eq!(h.observed(LANE), young.observed(LANE));
            for (horizon, place) in horizons.iter().zip(places(&horizons)) {
                assert_eq!(h.rise(*horizon, place), young.rise(*horizon, place));
            }
        }
    }
}
