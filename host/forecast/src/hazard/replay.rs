//! Recorded outages as rows to learn and to be judged by.
//!
//! Every host is looked at on a grid of instants. Its inputs come from [`Watch`], fed with the events up to that instant
//! and nothing else; its outcome is the time to its next failure. A row belongs to the part of time its instant lies
//! in, and its outcome counts only if the whole horizon lies there too: what is fitted cannot know what is tested. Hosts
//! that are set aside are in no part but the test.

use super::model::HazardError;
use super::state::Event;
use super::watch::{COLD_S, Place, Watch};
use super::{DAY_S, HOUR_S, WEEK_S};

/// What a row may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Coefficients.
    Fit,
    /// Calibration.
    Calibrate,
    /// Figures.
    Test,
}

/// Three parts of time, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSplit {
    fit_until_s: i64,
    calibrate_until_s: i64,
    until_s: i64,
}

impl TimeSplit {
    /// # Errors
    /// If the parts are not in this order.
    pub fn new(fit_until_s: i64, calibrate_until_s: i64, until_s: i64) -> Result<Self, HazardError> {
        if fit_until_s < calibrate_until_s && calibrate_until_s < until_s {
            return Ok(Self { fit_until_s, calibrate_until_s, until_s });
        }
        let why = format!("split {fit_until_s} < {calibrate_until_s} < {until_s} is not in order of time");
        Err(HazardError::Fit(why + "; give three later and later instants"))
    }

    /// The part of an instant and where that part ends; `None` after the end.
    pub fn part(&self, now_s: i64) -> Option<(Part, i64)> {
        match now_s {
            t if t < self.fit_until_s => Some((Part::Fit, self.fit_until_s)),
            t if t < self.calibrate_until_s => Some((Part::Calibrate, self.calibrate_until_s)),
            t if t < self.until_s => Some((Part::Test, self.until_s)),
            _ => None,
        }
    }
}

/// What was recorded of one host.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its name in the source.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// First and last instant of which something is known.
    pub watched_s: (i64, i64),
    /// Start and end of each outage, in order of time.
    pub outages_s: Vec<(i64, i64)>,
    /// Kept for the test alone?
    pub aside: bool,
}

/// Which rows to keep: all, or a share by outcome, each then standing for 1 / share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thin {
    /// Of rows that fail within an hour, a day, a week, and later.
    pub keep_one_of: [u32; 4],
    /// Seed of the choice.
    pub seed: u64,
}

impl Thin {
    /// Every row.
    pub const NONE: Self = Self { keep_one_of: [1; 4], seed: 0 };

    fn one_of(&self, fails_in_s: i64) -> u32 {
        let class = [HOUR_S, DAY_S, WEEK_S].into_iter().position(|h| fails_in_s <= h).unwrap_or(3);
        self.keep_one_of[class]
    }
}

/// One row, without its inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meta {
    /// Index of the host.
    pub host: u32,
    /// What it may be used for.
    pub part: Part,
    /// Is the host kept for the test alone?
    pub aside: bool,
    /// The instant.
    pub at_s: i64,
    /// Seconds to the next failure; `i64::MAX` if none is recorded.
    pub fails_in_s: i64,
    /// Seconds from the instant of which the outcome may be known.
    pub known_s: i64,
    /// How many rows it stands for.
    pub weight: f32,
}

impl Meta {
    /// Does it fail within the horizon? `None` if that may not be known.
    pub fn fails_within(&self, horizon_s: i64) -> Option<bool> {
        (horizon_s <= self.known_s).then_some(self.fails_in_s <= horizon_s)
    }

    /// May it be used for that?
    pub fn is_for(&self, part: Part) -> bool {
        self.part == part && (part == Part::Test || !self.aside)
    }
}

/// Rows and their inputs.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    inputs: usize,
    x: Vec<f32>,
    meta: Vec<Meta>,
}

impl Rows {
    /// No row yet.
    pub fn new(inputs: usize) -> Self {
        Self { inputs, ..Self::default() }
    }

    /// One more row; rows that nothing may use are left out.
    pub fn push(&mut self, meta: Meta, x: &[f64]) {
        if meta.aside && meta.part != Part::Test {
            return;
        }
        debug_assert_eq!(x.len(), self.inputs);
        self.meta.push(meta);
        self.x.extend(x.iter().map(|v| *v as f32));
    }

    /// All rows with their inputs.
    pub fn iter(&self) -> impl Iterator<Item = (&Meta, &[f32])> + Clone {
        self.meta.iter().zip(self.x.chunks_exact(self.inputs.max(1)))
    }

    /// The cases of a part whose outcome at that horizon is known.
    pub fn cases(&self, part: Part, horizon_s: i64) -> impl Iterator<Item = (&[f32], bool, f64)> + Clone {
        let rows = self.iter().filter(move |(m, _)| m.is_for(part));
        rows.filter_map(move |(m, x)| Some((x, m.fails_within(horizon_s)?, f64::from(m.weight))))
    }

    /// The same rows with outcomes of other rows of their part: whatever is learnt from them is chance.
    #[must_use]
    pub fn shuffled(&self, seed: u64) -> Self {
        let mut rows = self.clone();
        for part in [Part::Fit, Part::Calibrate, Part::Test] {
            let at: Vec<usize> = (0..self.meta.len()).filter(|i| self.meta[*i].part == part).collect();
            let mut order = at.clone();
            order.sort_by_key(|i| mix(seed, *i as u64));
            for (to, from) in at.into_iter().zip(order) {
                let of = &self.meta[from];
                let row = &mut rows.meta[to];
                (row.fails_in_s, row.known_s, row.weight) = (of.fails_in_s, of.known_s, of.weight);
            }
        }
        rows
    }
}

/// A hash of two numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(b).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Plays recorded hosts in order of time and shows every instant of the grid to `visit`: the row, and what is known of
/// its host then. Cold hosts and hosts that are down have no row.
///
/// # Errors
/// None for records of [`super::read`]; an outage that ends before it starts is one.
pub fn play(
    records: &[Record],
    split: &TimeSplit,
    grid_s: i64,
    thin: &Thin,
    mut visit: impl FnMut(&Meta, &Watch),
) -> Result<(), HazardError> {
    let mut events = events(records)?;
    // Stable: what happens to a host in one second keeps its order.
    events.sort_by_key(|e| (e.0, e.1));
    let mut watch = Watch::new(records.iter().map(|r| r.place).collect());
    let mut next_outage = vec![0; records.len()];
    let Some(first_s) = events.first().map(|e| e.0) else { return Ok(()) };
    let mut events = events.into_iter().peekable();
    let mut now_s = first_s;
    while let Some((part, part_end_s)) = split.part(now_s) {
        while let Some((at_s, host, event)) = events.next_if(|e| e.0 <= now_s) {
            watch.observe(host, event, at_s)?;
        }
        for (host, record) in records.iter().enumerate() {
            let outages = &record.outages_s;
            let next = &mut next_outage[host];
            *next += outages[*next..].iter().take_while(|o| o.0 <= now_s).count();
            let up = *next == 0 || outages[*next - 1].1 <= now_s;
            if !up || now_s.saturating_sub(record.watched_s.0) < COLD_S || now_s >= record.watched_s.1 {
                continue;
            }
            let fails_in_s = outages.get(*next).map_or(i64::MAX, |o| o.0 - now_s);
            let one_of = thin.one_of(fails_in_s);
            let lot = mix(thin.seed, mix(host as u64, now_s as u64));
            if !lot.is_multiple_of(u64::from(one_of.max(1))) {
                continue;
            }
            let known_s = part_end_s.min(record.watched_s.1) - now_s;
            let meta = Meta {
                host: host as u32,
                part,
                aside: record.aside,
                at_s: now_s,
                fails_in_s,
                known_s,
                weight: one_of as f32,
            };
            visit(&meta, &watch);
        }
        now_s += grid_s.max(1);
    }
    Ok(())
}

/// Every change of every host: (when, host, event), each host's in order of time.
fn events(records: &[Record]) -> Result<Vec<(i64, usize, Event)>, HazardError> {
    let mut all = Vec::new();
    for (host, record) in records.iter().enumerate() {
        all.push((record.watched_s.0, host, Event::Up));
        let mut last_s = i64::MIN;
        for &(start_s, end_s) in &record.outages_s {
            if end_s < start_s || start_s < last_s {
                let why = format!("{}: outage {start_s}..{end_s} is not in order of time", record.name);
                return Err(HazardError::Fit(why + "; sort the outages and join those that overlap"));
            }
            last_s = end_s;
            all.extend([(start_s, host, Event::Down), (end_s, host, Event::Up)]);
        }
    }
    Ok(all)
}

/// The rows of recorded hosts with the inputs of the recurrence model.
///
/// # Errors
/// As [`play`].
pub fn rows(records: &[Record], split: &TimeSplit, grid_s: i64, thin: &Thin) -> Result<Rows, HazardError> {
    let mut rows = Rows::new(super::features::N);
    play(records, split, grid_s, thin, |meta, watch| {
        if let Some(x) = watch.features(meta.host as usize, meta.at_s) {
            rows.push(*meta, &x);
        }
    })?;
    Ok(rows)
}
