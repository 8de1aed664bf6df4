//! The shipped models: what each was fitted, calibrated and judged on. Example `hazard_fit` makes them from here, and a
//! test finds the figures of their cards again.

use super::drive::{self, DriveState};
use super::fit::{self, Candidate};
use super::model::{Hazard, HazardError, Head, Layout};
use super::read::DriveDay;
use super::replay::{self, Meta, Part, Record, Rows, Thin, TimeSplit, mix};
use super::score::{self, Score, WarningLog, Warnings};
use super::{DAY_S, HOUR_S, WEEK_S};

/// An hour, a day, a week.
pub const HORIZONS_S: [i64; 3] = [HOUR_S, DAY_S, WEEK_S];
/// Share of host-hours that warnings of the cards may take.
pub const WARNED: f64 = 0.01;
/// Every instant of this grid is a row, before thinning.
pub const GRID_S: i64 = HOUR_S;
/// Seed of everything that is chosen.
pub const SEED: u64 = 20_261_121;
/// What is tried; the calibration part chooses. Rows of one host overlap, the more the longer the horizon, so that the
/// penalty that a week needs is orders above that of an hour. How long a host has been watched is never an input: it
/// grows for ever, and what comes after the training part is beyond all it has seen.
const HOST_CANDIDATES: [Candidate; 10] = {
    const fn of(l2: f64, leave_out: fn(&str) -> bool) -> Candidate {
        Candidate { l2, leave_out }
    }
    [
        of(1e1, age),
        of(1e3, age),
        of(1e4, age),
        of(1e5, age),
        of(1e6, age),
        of(1e1, age_and_months),
        of(1e3, age_and_months),
        of(1e4, age_and_months),
        of(1e5, age_and_months),
        of(1e6, age_and_months),
    ]
};
const DRIVE_CANDIDATES: [Candidate; 4] = {
    const fn of(l2: f64) -> Candidate {
        Candidate { l2, leave_out: |_| false }
    }
    [of(1.0), of(10.0), of(100.0), of(1000.0)]
};

fn age(name: &str) -> bool {
    name == "age"
}

fn age_and_months(name: &str) -> bool {
    age(name) || name.ends_with("_30d") || name.ends_with("_180d")
}

/// Days of the drive set: fitted before 2026-03-18, calibrated from then on.
const DRIVE_SPLIT_S: i64 = 1_773_792_000;

/// A set of recorded outages.
#[derive(Debug, Clone, Copy)]
pub struct Study {
    /// Name of the model file.
    pub name: &'static str,
    /// Parts of time.
    pub split: TimeSplit,
    /// Hosts whose name begins with one of these are set aside, with every fifth other host.
    aside: &'static [&'static str],
    thin: [u32; 4],
}

/// LANL: fitted to the end of August 2004, calibrated to the end of the year, judged on 2005. Systems 11 and 20 are set
/// aside.
///
/// # Errors
/// None: the instants are in order.
pub fn lanl() -> Result<Study, HazardError> {
    let split = TimeSplit::new(1_093_996_800, 1_104_537_600, 1_136_073_600)?;
    Ok(Study { name: "lanl", split, aside: &["11/", "20/"], thin: [1, 4, 16, 128] })
}

/// Grid'5000: fitted to the end of May 2006, calibrated on June and July, judged from August on. The clusters that
/// came in July are set aside.
///
/// # Errors
/// None: the instants are in order.
pub fn grid5000() -> Result<Study, HazardError> {
    let split = TimeSplit::new(1_149_120_000, 1_154_390_400, 1_164_000_000)?;
    Ok(Study { name: "grid5000", split, aside: &["G1/site5/", "G1/site6/"], thin: [2, 16, 16, 16] })
}

/// FNV-1a, 64 bits.
pub fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

impl Study {
    /// Marks the hosts that are set aside.
    pub fn set_aside(&self, records: &mut [Record]) {
        for r in records {
            let lot = mix(SEED, hash(&r.name)).is_multiple_of(5);
            r.aside = lot || self.aside.iter().any(|a| r.name.starts_with(a));
        }
    }

    /// The rows of marked records.
    ///
    /// # Errors
    /// If outages are out of order.
    pub fn rows(&self, records: &[Record]) -> Result<Rows, HazardError> {
        replay::rows(records, &self.split, GRID_S, &Thin { keep_one_of: self.thin, seed: SEED })
    }

    /// Warnings of the model's day-ahead probability over the test part, hour by hour, at the threshold that a hundredth
    /// of the host-hours of the calibration part reached.
    ///
    /// # Errors
    /// If outages are out of order.
    pub fn warnings(&self, records: &[Record], rows: &Rows, head: &Head) -> Result<Warnings, HazardError> {
        let judged = judged(rows, Part::Calibrate, head, |_| true);
        let mut log = WarningLog::new(records.len(), score::threshold(judged, WARNED), GRID_S);
        replay::play(records, &self.split, GRID_S, &Thin::NONE, |meta, watch| {
            if meta.part != Part::Test || meta.known_s < GRID_S {
                return;
            }
            let host = meta.host as usize;
            if let Some(x) = watch.features(host, meta.at_s) {
                log.see(host, meta.at_s, head.probability(&x), meta.fails_in_s);
            }
        })?;
        Ok(log.result())
    }
}

/// Fits and calibrates all horizons; with the model, which candidate each horizon took.
///
/// # Errors
/// With too few failures.
pub fn model(
    rows: &Rows,
    layout: Layout,
    horizons_s: &[i64],
) -> Result<(Hazard, Vec<Candidate>), HazardError> {
    let candidates: &[Candidate] = match layout {
        Layout::Recurrence => &HOST_CANDIDATES,
        Layout::Drive => &DRIVE_CANDIDATES,
    };
    let heads: Result<Vec<_>, _> =
        horizons_s.iter().map(|h| fit::head(rows, layout, *h, candidates)).collect();
    let (heads, chosen): (Vec<Head>, Vec<usize>) = heads?.into_iter().unzip();
    Ok((Hazard::new(layout, heads)?, chosen.into_iter().map(|i| candidates[i]).collect()))
}

/// The answers of a head for the rows of a part that `of` takes.
pub fn judged(rows: &Rows, part: Part, head: &Head, of: impl Fn(&Meta) -> bool) -> Vec<score::Judged> {
    let rows = rows.iter().filter(|(m, _)| m.is_for(part) && of(m));
    let known = rows.filter_map(|(m, x)| Some((m, x, m.fails_within(head.horizon_s)?)));
    known.map(|(m, x, y)| (fit::probability(head, x), y, f64::from(m.weight))).collect()
}

/// Figures on the test part: hosts whose earlier days were fitted, and hosts that were set aside.
pub fn figures(rows: &Rows, head: &Head) -> [Option<Score>; 2] {
    [false, true].map(|aside| score::score(judged(rows, Part::Test, head, |m| m.aside == aside)))
}

/// Rows of drives. Half of the drives are for the test alone; of the others, earlier days are fitted and later ones
/// calibrate. 14 days hold no split by time at a horizon of 7, so that this one is by drive: outcomes of fitted rows may
/// lie in days that are judged, of other drives than those that are judged.
pub fn drive_rows(days: &[DriveDay]) -> Rows {
    drive_rows_without(days, |drive| mix(SEED, drive).is_multiple_of(2))
}

/// The same with drives set aside by number.
fn drive_rows_without(days: &[DriveDay], set_aside: impl Fn(u64) -> bool) -> Rows {
    let mut rows = Rows::new(drive::N);
    for of_drive in days.chunk_by(|a, b| a.drive == b.drive) {
        let mut state = DriveState::default();
        let aside = of_drive.first().is_some_and(|d| set_aside(u64::from(d.drive)));
        for day in of_drive {
            state.observe(&day.sample, day.at_s);
            let part = match (aside, day.at_s < DRIVE_SPLIT_S) {
                (true, _) => Part::Test,
                (false, true) => Part::Fit,
                (false, false) => Part::Calibrate,
            };
            let meta = Meta {
                host: day.drive,
                part,
                aside: part == Part::Test,
                at_s: day.at_s,
                fails_in_s: day.fails_in_s.unwrap_or(i64::MAX),
                known_s: WEEK_S,
                weight: 1.0,
            };
            rows.push(meta, &state.features());
        }
    }
    rows
}

/// Folds of [`drive_folds`].
const FOLDS: u64 = 5;

/// Every drive judged by a model that was fitted and calibrated on four fifths of the drives without it: few drives fail,
/// and one split by drive leaves most of the answer to chance.
///
/// # Errors
/// With too few failures in a fold.
pub fn drive_folds(days: &[DriveDay]) -> Result<Option<Score>, HazardError> {
    let mut all = Vec::new();
    for fold in 0..FOLDS {
        let rows = drive_rows_without(days, |drive| mix(SEED + 1, drive) % FOLDS == fold);
        let (model, _) = model(&rows, Layout::Drive, &[WEEK_S])?;
        model.heads().iter().for_each(|head| all.extend(judged(&rows, Part::Test, head, |_| true)));
    }
    Ok(score::score(all))
}
