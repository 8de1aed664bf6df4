//! Days and weeks: hours of a series with a daily or weekly season, a trend and changes of level, 1 h to 48 h ahead.
//!
//! ```text
//! samples -> hour closes (rollup) -> outcomes of earlier forecasts: losses, errors, change of level?
//!                                 -> experts learn -> common path of 48 h -> kept until its outcomes are known
//! ```
//!
//! Everything is online, and its memory is bounded by [`Seasonal::BYTES`] (38 kB). Hours are hours of UTC. All members work on
//! points of a [`Transform`]; on the log scale seasons are factors and a heavy tail is a spread.

mod bank;
mod change;
mod errors;
mod history;
mod lags;
mod profile;
pub mod rollup;
mod sketch;

use foreshade_types::{LEVELS, Quantiles, Transform};

use bank::{ANCHORS_H, Bank, DAY, Voices, between};
use change::{Change, Found};
use errors::{Errors, HourScale, Spread};
use rollup::{Closed, Rollup, Rollups};

/// The farthest hour.
pub const HOURS_MAX: usize = 48;

/// Horizons whose peak is checked against what came, in hours.
const PEAKS_H: [usize; 3] = [1, 6, 24];

/// The median's index in LEVELS: the experts' common path, which is steadier than the median of past errors.
const MEDIAN: usize = 1;

/// Sum of [`ANCHORS_H`] and of [`PEAKS_H`]: forecasts whose outcome is not known yet.
const PENDING: usize = 130;
const PENDING_PEAKS: usize = 31;

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

/// A forecast of an hour whose outcome is not known yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    voices: Voices,
    /// NaN = none.
    centre: f32,
}

const NOTHING: Pending = Pending { voices: [f32::NAN; bank::EXPERTS], centre: f32::NAN };

/// One series.
#[derive(Debug)]
pub struct Seasonal {
    transform: Transform,
    rollups: Rollups,
    bank: Bank,
    path: [f32; HOURS_MAX],
    scale: HourScale,
    errors: [Errors; ANCHORS_H.len()],
    peak_errors: [Errors; PEAKS_H.len()],
    pending: Box<[Pending]>,
    /// Largest hour of the path.
    pending_peaks: Box<[f32]>,
    change: Change,
    changes: u32,
    known_h: u32,
}

impl Seasonal {
    /// Upper bound of the memory of one series, in bytes.
    pub const BYTES: usize = size_of::<Self>() - size_of::<Rollups>()
        + Rollups::BYTES
        + size_of::<f32>()
            * (history::History::KEPT + errors::KEPT * (ANCHORS_H.len() + PEAKS_H.len()) + PENDING_PEAKS)
        + PENDING * size_of::<Pending>();

    /// A series without history, forecast on this scale.
    pub fn new(transform: Transform) -> Self {
        Self {
            transform,
            rollups: Rollups::new(),
            bank: Bank::new(),
            path: [0.0; HOURS_MAX],
            scale: HourScale::new(),
            errors: std::array::from_fn(|_| Errors::new()),
            peak_errors: std::array::from_fn(|_| Errors::new()),
            pending: vec![NOTHING; PENDING].into_boxed_slice(),
            pending_peaks: vec![f32::NAN; PENDING_PEAKS].into_boxed_slice(),
            change: Change::default(),
            changes: 0,
            known_h: 0,
        }
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
                for back in (0..n).rev() {
                    let r = self.rollups.hour_back(back).copied().unwrap_or(Rollup::UNKNOWN);
                    self.close(now - 1 - back as i64, r);
                }
            }
            Closed::Restart => {
                let rollups = std::mem::take(&mut self.rollups);
                *self = Self { rollups, ..Self::new(self.transform) };
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
        if let Some(z) = z {
            self.judge(hour, z);
            self.known_h = self.known_h.saturating_add(1);
        }
        self.judge_peaks(hour);
        self.bank.push(hour, z, self.path[0], !self.change.suspected());
        if self.known_h == 0 {
            return;
        }
        let (path, voices) = self.bank.speak();
        self.path = path;
        for (a, voices) in voices.into_iter().enumerate() {
            self.pending[slot(&ANCHORS_H, a, hour)] = Pending { voices, centre: path[ANCHORS_H[a] - 1] };
        }
        for (p, n) in PEAKS_H.iter().enumerate() {
            self.pending_peaks[slot(&PEAKS_H, p, hour)] = highest(&path[..*n]);
        }
    }

    /// The outcome of every forecast made for this hour.
    fn judge(&mut self, hour: i64, z: f32) {
        let mut found = None;
        for a in 0..ANCHORS_H.len() {
            // The slot of an hour is that of the hour its anchor ago.
            let due = self.pending[slot(&ANCHORS_H, a, hour)];
            self.bank.judge(a, &due.voices, z);
            let error = z - due.centre;
            if error.is_nan() {
                continue;
            }
            if a == DAY {
                found = self.change.push(error, self.scale.at(hour)).filter(|_| self.known_h >= DAILY_H);
            }
            self.errors[a].push(error / self.scale.shape(hour));
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
        self.pending.fill(NOTHING);
        self.pending_peaks.fill(f32::NAN);
        self.changes += 1;
    }

    fn judge_peaks(&mut self, hour: i64) {
        for (p, &n) in PEAKS_H.iter().enumerate() {
            let slot = slot(&PEAKS_H, p, hour);
            let due = std::mem::replace(&mut self.pending_peaks[slot], f32::NAN);
            let came = (0..n).try_fold(f32::NEG_INFINITY, |m, back| {
                self.rollups.hour_back(back).filter(|r| r.known > 0).map(|r| m.max(r.max))
            });
            if let (Some(came), false) = (came, due.is_nan()) {
                let error = self.points(came) - due;
                self.peak_errors[p].push(error / self.mean_shape(hour, n));
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

/// Where the forecast that an hour makes (or meets) for horizon `i` of `horizons` is kept.
fn slot(horizons: &[usize], i: usize, hour: i64) -> usize {
    horizons[..i].iter().sum::<usize>() + hour.rem_euclid(horizons[i] as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_counts_every_allocation_and_stays_under_40_kb() {
        let s = Seasonal::new(Transform::Points);
        let boxes = s.bank.history.bytes()
            + s.errors.iter().chain(&s.peak_errors).map(Errors::bytes).sum::<usize>()
            + size_of_val(&*s.pending)
            + size_of_val(&*s.pending_peaks)
            + (Rollups::BYTES - size_of::<Rollups>());
        assert_eq!(Seasonal::BYTES, size_of_val(&s) + boxes);
        const { assert!(Seasonal::BYTES < 40_000) };
    }
}
