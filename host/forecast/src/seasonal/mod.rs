//! Days and weeks: hours of a series with a daily or weekly season, a trend and changes of level, 1 h to 48 h ahead.
//!
//! ```text
//! samples -> hour closes (rollup) -> outcomes of earlier forecasts: losses, errors, change of level?
//!                                 -> experts learn -> common path of 48 h -> kept until its outcomes are known
//! ```
//!
//! Everything is online, and its memory is bounded by [`Size::bytes_max`]: 37 kB, or 6 kB for a VM. Hours are hours of UTC. All
//! members work on points of a [`Transform`]; on the log scale seasons are factors and a heavy tail is a spread.

mod bank;
mod cells;
mod change;
mod errors;
mod history;
mod lags;
mod pending;
mod profile;
pub mod rollup;
mod sketch;

use foreshade_types::{LEVELS, Quantiles, Transform};

use bank::{ANCHORS_H, Bank, DAY, between};
pub use cells::Size;
use change::{Change, Found};
use errors::{Errors, HourScale, Spread};
use pending::Pending;
use rollup::{Closed, Rollup, Rollups};

/// The farthest hour.
pub const HOURS_MAX: usize = 48;

/// Horizons whose peak is checked against what came, in hours.
const PEAKS_H: [usize; 3] = [1, 6, 24];

/// The median's index in LEVELS: the experts' common path, which is steadier than the median of past errors.
const MEDIAN: usize = 1;

/// Hours whose largest sample is kept: as many as the longest of [`PEAKS_H`].
const TOPS: usize = 24;

/// Hours seen (known ones) before a daily season can be told.
pub const DAILY_H: u32 = 48;

/// Hours seen before a weekly season can be told.
pub const WEEKLY_H: u32 = 336;

/// A sample of more is none that a machine makes; its square must stay finite.
const POINTS_MAX: f32 = 1e15;

/// The same of a forecast, in the unit of the samples.
const UNIT_MAX: f32 = 1e30;

/// Length of a season.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Season {
    /// None.
    None,
    /// 24 h.
    Daily,
    /// 168 h, with the day in it.
    Weekly,
}

/// How much is known of a series, and why not more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeasonalState {
    /// Less than two days: no daily season can be told.
    Cold {
        /// Known hours that are missing.
        missing_h: u32,
    },
    /// Two days, but less than two weeks: a weekly season cannot be told.
    Daily {
        /// Known hours that are missing.
        missing_h: u32,
    },
    /// All experts run.
    Ready,
}

impl std::fmt::Display for SeasonalState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cold { missing_h } => {
                write!(f, "cold: {missing_h} more known hours until two days are seen")
            }
            Self::Daily { missing_h } => {
                write!(f, "daily season only: {missing_h} more known hours until two weeks are seen")
            }
            Self::Ready => f.write_str("ready"),
        }
    }
}

/// The forecast of one horizon, in the unit of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeasonalForecast {
    /// Hours ahead of the newest closed hour.
    pub horizon_h: usize,
    /// Expected mean of that hour.
    pub mean: f32,
    /// Quantiles of the mean of that hour.
    pub quantiles: Quantiles,
    /// Quantiles of the largest sample from now to the end of that hour.
    pub peak: Quantiles,
}

/// One series.
#[derive(Debug)]
pub struct Seasonal {
    transform: Transform,
    size: Size,
    rollups: Rollups,
    bank: Bank,
    path: [f32; HOURS_MAX],
    scale: HourScale,
    errors: Errors,
    peak_errors: Errors,
    pending: Pending,
    /// Largest sample of the newest hours, by hour of the epoch, in the unit of the samples; NaN = unknown.
    tops: [f32; TOPS],
    change: Change,
    changes: u32,
    known_h: u32,
    range: Range,
    /// Mean of the newest closed hour.
    newest: Option<f32>,
}

/// What was seen so far, in points: what bounds a series that nothing else is known of. Zero of nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Range {
    /// Smallest, newest and largest mean of an hour.
    low: f32,
    last: f32,
    high: f32,
    /// Largest sample.
    top: f32,
}

impl Range {
    fn push(&mut self, mean: f32, max: f32, first: bool) {
        let (low, high, top) = if first { (mean, mean, max) } else { (self.low, self.high, self.top) };
        *self = Self { low: low.min(mean), last: mean, high: high.max(mean), top: top.max(max) };
    }
}

impl Seasonal {
    /// A series without history, forecast on this scale.
    pub fn new(transform: Transform) -> Self {
        Self::with_size(transform, Size::Full)
    }

    /// The same that remembers as much as `size` says.
    pub fn with_size(transform: Transform, size: Size) -> Self {
        let rollups = match size {
            Size::Full => Rollups::new(),
            Size::Compact => Rollups::without_past(),
        };
        Self::with_rollups(transform, size, rollups)
    }

    fn with_rollups(transform: Transform, size: Size, rollups: Rollups) -> Self {
        let kept = |h: usize| match size {
            Size::Full => errors::KEPT,
            Size::Compact if h < 24 => 144,
            Size::Compact => 112,
        };
        Self {
            transform,
            size,
            rollups,
            bank: Bank::new(size),
            path: [0.0; HOURS_MAX],
            scale: HourScale::new(),
            errors: Errors::new(size, &ANCHORS_H.map(kept)),
            peak_errors: Errors::new(size, &PEAKS_H.map(kept)),
            pending: Pending::new(size),
            tops: [f32::NAN; TOPS],
            change: Change::default(),
            changes: 0,
            known_h: 0,
            range: Range::default(),
            newest: None,
        }
    }

    /// Bytes that it takes; they never change.
    pub fn bytes(&self) -> usize {
        size_of_val(self)
            + self.rollups.bytes()
            + self.bank.bytes()
            + self.errors.bytes()
            + self.peak_errors.bytes()
            + self.pending.bytes()
    }

    /// What is kept of the past.
    pub fn rollups(&self) -> &Rollups {
        &self.rollups
    }

    /// How much is known.
    pub fn state(&self) -> SeasonalState {
        match self.known_h {
            n if n < DAILY_H => SeasonalState::Cold { missing_h: DAILY_H - n },
            n if n < WEEKLY_H => SeasonalState::Daily { missing_h: WEEKLY_H - n },
            _ => SeasonalState::Ready,
        }
    }

    /// The season that forecasts a day ahead best; `None` as long as too few forecasts met their outcome.
    pub fn season(&self) -> Option<Season> {
        self.bank.season()
    }

    /// Mean of the newest closed hour, on the forecaster's scale; `None` = unknown.
    pub(crate) fn newest_mean(&self) -> Option<f32> {
        self.newest
    }

    /// Changes of level found so far.
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// Takes a sample: milliseconds of UTC, value in its unit (NaN or infinite = missing). Samples are in order of time;
    /// [`Rollups::observe`] says what becomes of others.
    pub fn observe(&mut self, time_ms: i64, value: f32) {
        match self.rollups.observe(time_ms, value) {
            Closed::None => {}
            Closed::Hours(n) => {
                let now = self.rollups.now_h().unwrap_or(0);
                let first = now - n as i64;
                self.close(first, self.rollups.ended());
                (first + 1..now).for_each(|hour| self.close(hour, Rollup::UNKNOWN));
            }
            Closed::Restart => {
                let rollups = std::mem::take(&mut self.rollups);
                *self = Self::with_rollups(self.transform, self.size, rollups);
            }
        }
    }

    fn points(&self, x: f32) -> f32 {
        self.transform.to_points(x).min(POINTS_MAX)
    }

    fn unit(&self, points: f32) -> f32 {
        self.transform.from_points(points).min(UNIT_MAX)
    }

    /// An hour has ended.
    fn close(&mut self, hour: i64, r: Rollup) {
        let z = (r.known > 0).then(|| self.points(r.mean));
        self.newest = z;
        if let Some(z) = z {
            self.judge(hour, z);
            self.range.push(z, self.points(r.max), self.known_h == 0);
            self.known_h = self.known_h.saturating_add(1);
        }
        self.tops[hour.rem_euclid(TOPS as i64) as usize] = r.max;
        self.judge_peaks(hour);
        self.bank.push(hour, z, self.path[0], !self.change.suspected());
        if self.known_h == 0 {
            return;
        }
        let (path, voices) = self.bank.speak();
        self.path = path;
        for (a, voices) in voices.iter().enumerate() {
            self.pending.put(a, hour, path[ANCHORS_H[a] - 1], voices);
        }
        for (p, n) in PEAKS_H.iter().enumerate() {
            self.pending.put_peak(p, hour, highest(&path[..*n]));
        }
    }

    /// The outcome of every forecast made for this hour.
    fn judge(&mut self, hour: i64, z: f32) {
        let mut found = None;
        for (a, h) in ANCHORS_H.iter().enumerate() {
            let made = hour - *h as i64;
            let (centre, voices) = self.pending.get(a, made);
            if let Some(voices) = &voices {
                self.bank.judge(a, voices, z);
            }
            let error = z - centre;
            if error.is_nan() {
                continue;
            }
            if a == DAY {
                found = self.change.push(error, self.scale.at(hour)).filter(|_| self.known_h >= DAILY_H);
            }
            if voices.is_some() {
                self.errors.push(a, error / self.scale.shape(hour));
            }
            if a == DAY {
                self.scale.push(hour, error);
            }
        }
        if let Some(f) = found {
            self.restart(f);
        }
    }

    /// What was forecast before a change and is due after it says nothing of what comes. Errors that were made stay: levels
    /// change again.
    fn restart(&mut self, found: Found) {
        self.bank.restart(found.hours, found.by);
        self.pending.clear();
        self.changes += 1;
    }

    fn judge_peaks(&mut self, hour: i64) {
        for (p, &n) in PEAKS_H.iter().enumerate() {
            let due = self.pending.take_peak(p, hour - n as i64);
            let top = |back: usize| self.tops[(hour - back as i64).rem_euclid(TOPS as i64) as usize];
            let came = (0..n).map(top).try_fold(f32::NEG_INFINITY, |m, x| (!x.is_nan()).then(|| m.max(x)));
            if let (Some(came), false) = (came, due.is_nan()) {
                let error = self.points(came) - due;
                self.peak_errors.push(p, error / self.mean_shape(hour, n));
            }
        }
    }

    /// Mean shape of the `n` hours up to `last`.
    fn mean_shape(&self, last: i64, n: usize) -> f32 {
        (0..n as i64).map(|i| self.scale.shape(last - i)).sum::<f32>() / n as f32
    }

    /// Forecasts of these horizons, in hours of 1 to [`HOURS_MAX`] (others are moved there). Horizons of which too few
    /// forecasts have met their outcome are left out; while the state is cold, all of them.
    pub fn forecast(&self, horizons_h: &[usize]) -> Vec<SeasonalForecast> {
        horizons_h.iter().filter_map(|&h| self.at(h.clamp(1, HOURS_MAX))).collect()
    }

    /// The forecast of one horizon (as [`Self::forecast`] takes it), or, as long as there is none, what was seen so far: the
    /// newest hour between the lowest and the highest, and the largest sample as the highest quantile. Always finite; of
    /// nothing known, 0.
    pub fn bound(&self, h: usize) -> SeasonalForecast {
        let horizon_h = h.clamp(1, HOURS_MAX);
        self.at(horizon_h).unwrap_or_else(|| {
            let [low, last, high, top] =
                [self.range.low, self.range.last, self.range.high, self.range.top].map(|z| self.unit(z));
            let quantiles = Quantiles([low, last, high, high, top.max(high)]);
            let peak = Quantiles([last, high, top, top, top].map(|q| q.max(last))).sorted();
            SeasonalForecast { horizon_h, mean: last, quantiles, peak }
        })
    }

    fn at(&self, h: usize) -> Option<SeasonalForecast> {
        if self.known_h < DAILY_H {
            return None;
        }
        let last_h = self.rollups.now_h()? - 1;
        let (a, part) = between(h);
        let spread = Spread::new(&self.errors, a, part)?;
        let (centre, shape) = (self.path[h - 1], self.scale.shape(last_h + h as i64));
        let unit = |e: f32| self.unit(centre + shape * e);
        let mut q = LEVELS.map(|level| unit(spread.quantile(level)));
        q[MEDIAN] = unit(0.0).clamp(q[0], q[MEDIAN + 1]);
        let (mean, peak) = (spread.mean(unit), self.peak(last_h, h)?);
        Some(SeasonalForecast { horizon_h: h, mean, quantiles: Quantiles(q), peak })
    }

    /// The largest sample of the next `h` hours. Beyond the last checked horizon its errors stand for it.
    fn peak(&self, last_h: i64, h: usize) -> Option<Quantiles> {
        let (centre, shape) = (highest(&self.path[..h]), self.mean_shape(last_h + h as i64, h));
        let p = PEAKS_H.iter().rposition(|&n| n <= h)?;
        let part =
            PEAKS_H.get(p + 1).map_or(0.0, |next| (h - PEAKS_H[p]) as f32 / (next - PEAKS_H[p]) as f32);
        let spread = Spread::new(&self.peak_errors, p, part)?;
        Some(Quantiles(LEVELS.map(|l| self.unit(centre + shape * spread.quantile(l)))))
    }
}

fn highest(path: &[f32]) -> f32 {
    path.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_stays_within_the_bytes_of_its_size() {
        for size in [Size::Full, Size::Compact] {
            let mut s = Seasonal::with_size(Transform::Points, size);
            let before = s.bytes();
            (0..900).for_each(|h| s.observe(h * rollup::HOUR_MS, (h % 24) as f32));
            assert_eq!(s.bytes(), before);
            assert!(before <= size.bytes_max(), "{size:?}: {before}");
            assert!(before > size.bytes_max() * 9 / 10, "{size:?}: {before}, the bound is too wide");
        }
    }
}
