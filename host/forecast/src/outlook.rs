//! Many series hours ahead: a bank of [`Seasonal`]s that is fed tick by tick and asked once an hour.
//!
//! Hours are counted from tick 0 and end with the last sample in them; what is forecast is the mean of the hour that ends
//! 1 h, 6 h or 24 h later, and the largest sample on the way. A bank may end the hours of its series at different ticks,
//! so that 100,000 VMs do not all learn at the same one. Each series depends on its own samples alone.

use foreshade_types::{LEVELS, Quantiles, Transform};

use crate::seasonal::rollup::HOUR_MS;
use crate::seasonal::{Seasonal, SeasonalForecast, SeasonalState, Size};

/// Hours ahead.
pub const HOURS: [usize; 3] = [1, 6, 24];

/// How good the forecasts of one of [`HOURS`] were, in points; cold ones do not count.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OutlookScore {
    /// Forecasts that met their outcome.
    pub n: u64,
    /// Sum of their pinball losses, mean over the levels.
    pub pinball: f64,
    /// How many outcomes lay within [q05, q95].
    pub inside: u64,
    /// How many lay above q95.
    pub above: u64,
}

impl OutlookScore {
    /// Counts a forecast and what came.
    pub fn add(&mut self, q: &Quantiles, came: f32) {
        let loss = |(l, q): (&f32, f32)| f64::from((l * (came - q)).max((l - 1.0) * (came - q)));
        self.n += 1;
        self.pinball += LEVELS.iter().zip(q.0).map(loss).sum::<f64>() / LEVELS.len() as f64;
        self.inside += u64::from((q.q05()..=q.q95()).contains(&came));
        self.above += u64::from(came > q.q95());
    }

    /// Both together.
    pub fn plus(self, o: Self) -> Self {
        Self {
            n: self.n + o.n,
            pinball: self.pinball + o.pinball,
            inside: self.inside + o.inside,
            above: self.above + o.above,
        }
    }
}

/// Forecasts of one series that wait for their outcome, by the hour they were made at.
type Waiting = [Vec<Option<Quantiles>>; HOURS.len()];

/// The bank.
#[derive(Debug)]
pub struct Outlook {
    cadence_ms: i64,
    series: Vec<Seasonal>,
    /// Series end their hours at different ticks.
    staggered: bool,
    /// Of banks that are scored.
    waiting: Vec<Waiting>,
    scores: Vec<[OutlookScore; HOURS.len()]>,
}

impl Outlook {
    /// A bank whose series end their hours together, and whose forecasts are scored; samples in percent of what each has.
    pub fn new(cadence_s: u32, series: usize) -> Self {
        let waiting = || HOURS.map(|h| vec![None; h]);
        Self {
            waiting: (0..series).map(|_| waiting()).collect(),
            scores: vec![Default::default(); series],
            ..Self::bare(cadence_s, series, Size::Full, false)
        }
    }

    /// A bank of many series: compact, not scored, and each tick ends the hour of a part of them.
    pub fn compact(cadence_s: u32, series: usize) -> Self {
        Self::bare(cadence_s, series, Size::Compact, true)
    }

    fn bare(cadence_s: u32, series: usize, size: Size, staggered: bool) -> Self {
        Self {
            cadence_ms: i64::from(cadence_s.max(1)) * 1000,
            series: (0..series).map(|_| Seasonal::with_size(Transform::Points, size)).collect(),
            staggered,
            waiting: vec![],
            scores: vec![],
        }
    }

    /// Takes the samples of tick `tick`, in the order of the series; NaN = missing. True: hours have ended with it.
    pub fn tick(&mut self, tick: u64, points: impl IntoIterator<Item = f32>) -> bool {
        let mut ended = false;
        for (i, x) in points.into_iter().enumerate().take(self.series.len()) {
            let at = tick as i64 * self.cadence_ms + self.offset_ms(i);
            self.series[i].observe(at, x);
            let next = at + self.cadence_ms;
            if next.div_euclid(HOUR_MS) > at.div_euclid(HOUR_MS) {
                // A sample without a value ends the hour now, and not when the next one comes.
                self.series[i].observe(next, f32::NAN);
                self.score(i, at.div_euclid(HOUR_MS));
                ended = true;
            }
        }
        ended
    }

    fn offset_ms(&self, i: usize) -> i64 {
        let per_hour = (HOUR_MS / self.cadence_ms).max(1);
        if self.staggered { i as i64 % per_hour * self.cadence_ms } else { 0 }
    }

    /// An hour of series `i` has ended.
    fn score(&mut self, i: usize, hour: i64) {
        let (Some(waiting), Some(scores)) = (self.waiting.get_mut(i), self.scores.get_mut(i)) else { return };
        let came = self.series[i].newest_mean();
        let told = self.series[i].forecast(&HOURS);
        for ((h, waiting), score) in HOURS.iter().zip(waiting).zip(scores) {
            let slot = &mut waiting[hour.rem_euclid(*h as i64) as usize];
            if let (Some(q), Some(came)) = (slot.take(), came) {
                score.add(&q, came);
            }
            *slot = told.iter().find(|f| f.horizon_h == *h).map(|f| f.quantiles);
        }
    }

    /// Hours ahead of the newest that ended, in points; bounded by what was seen while the state is cold. `None` = no
    /// such series.
    pub fn tell(&self, series: usize) -> Option<[SeasonalForecast; HOURS.len()]> {
        self.series.get(series).map(|s| HOURS.map(|h| s.bound(h)))
    }

    /// How much is known of a series.
    pub fn state(&self, series: usize) -> Option<SeasonalState> {
        self.series.get(series).map(Seasonal::state)
    }

    /// How good the forecasts of each of [`HOURS`] were, all of these series together.
    pub fn scores(&self, series: std::ops::Range<usize>) -> [OutlookScore; HOURS.len()] {
        let all = self.scores.get(series).unwrap_or_default();
        std::array::from_fn(|h| all.iter().fold(OutlookScore::default(), |sum, s| sum.plus(s[h])))
    }

    /// Series.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// No series?
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day of points at 300 s, a little different each time.
    fn sample(t: u64, series: usize) -> f32 {
        let day = (t as f32 / 288.0 * std::f32::consts::TAU).sin();
        let mixed = (t * 2 + series as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        50.0 + 20.0 * day + ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1u64 << 20) as f32
    }

    #[test]
    fn an_hour_ends_with_its_last_sample_and_forecasts_are_held_to_what_came() {
        let mut bank = Outlook::new(300, 2);
        let ended: Vec<u64> =
            (0..14 * 288).filter(|&t| bank.tick(t, (0..2).map(|s| sample(t, s)))).take(50).collect();
        assert_eq!(ended[..3], [11, 23, 35]);
        let mut bank = Outlook::new(300, 2);
        let (mut young, days) = (None, 42);
        for t in 0..days * 288 {
            bank.tick(t, (0..2).map(|s| sample(t, s)));
            young = young.or((t == 21 * 288 - 1).then(|| bank.scores(0..2)));
        }
        for ((score, young), h) in bank.scores(0..2).iter().zip(young.unwrap()).zip(HOURS) {
            // Two days and the forecast's own hours are not scored. Errors of the first days are remembered for two weeks.
            assert_eq!(young.n, 2 * (21 * 24 - 47 - h as u64), "{h} h");
            let n = (score.n - young.n) as f64;
            let share = |of: fn(&OutlookScore) -> u64| (of(score) - of(&young)) as f64 / n;
            let (inside, above) = (share(|s| s.inside), share(|s| s.above));
            assert!(
                (0.85..=0.95).contains(&inside) && (0.02..=0.08).contains(&above),
                "{h} h: {inside} {above}"
            );
            assert!((score.pinball - young.pinball) / n < 0.6, "{score:?}");
        }
        let told = bank.tell(0).unwrap();
        for f in told {
            let then = days * 288 + f.horizon_h as u64 * 12 - 12;
            let truth = (then..then + 12).map(|t| sample(t, 0)).sum::<f32>() / 12.0;
            assert!((f.quantiles.q50() - truth).abs() < 2.0, "{f:?}, {truth}");
            assert!(f.peak.q95() >= f.quantiles.q50());
        }
        assert!(bank.tell(2).is_none() && bank.state(2).is_none());
    }

    #[test]
    fn a_compact_bank_spreads_its_hours_and_a_series_is_the_same_in_any() {
        let mut many = Outlook::compact(300, 24);
        let mut per_tick = vec![];
        for t in 0..600 {
            let hours = |b: &Outlook| b.series.iter().map(|s| s.rollups().now_h().unwrap_or(0)).sum::<i64>();
            let before = hours(&many);
            many.tick(t, (0..24).map(|s| sample(t, s)));
            per_tick.push(hours(&many) - before);
        }
        assert!(per_tick[20..].iter().all(|n| *n == 2), "{per_tick:?}");
        let mut alone = Outlook::compact(300, 13);
        // Twelve others are missing: series 12 ends its hours where it would.
        for t in 0..600 {
            alone.tick(t, (0..13).map(|s| if s == 12 { sample(t, s) } else { f32::NAN }));
        }
        assert_eq!(many.tell(12), alone.tell(12));
        assert_eq!(alone.tell(0).unwrap()[2].mean, 0.0);
    }
}
