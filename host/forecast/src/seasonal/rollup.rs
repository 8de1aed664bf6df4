//! Hourly and daily rollups of samples of any cadence.
//!
//! A rollup belongs to the hour (or day) of UTC it began in. Samples may skip hours; those between are rolled up as
//! unknown, never as 0. The clock may jump: see [`Rollups::observe`].

use super::sketch::Sketch;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// Hours kept: 4 weeks.
pub const HOURS_KEPT: usize = 672;

/// Days kept: 8 weeks.
pub const DAYS_KEPT: usize = 56;

/// Samples in a row that must agree on a new clock before it is believed.
const WITNESSES: u32 = 3;

/// What is kept of an hour or a day, in the unit of the samples. Without a known sample the values are NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollup {
    /// Mean of the known samples.
    pub mean: f32,
    /// Largest known sample.
    pub max: f32,
    /// 95 %: of the samples for an hour (P² sketch), of the hours' means for a day.
    pub p95: f32,
    /// Known samples.
    pub known: u32,
}

impl Rollup {
    /// Nothing known.
    pub const UNKNOWN: Self = Self { mean: f32::NAN, max: f32::NAN, p95: f32::NAN, known: 0 };
}

/// Sums of the hour or day in progress.
#[derive(Debug, Clone, Copy)]
struct Open {
    sum: f64,
    max: f32,
    known: u32,
}

impl Open {
    const NEW: Self = Self { sum: 0.0, max: f32::NEG_INFINITY, known: 0 };

    /// `known` samples of this mean and maximum.
    fn push(&mut self, mean: f32, max: f32, known: u32) {
        self.sum += f64::from(mean) * f64::from(known);
        self.max = self.max.max(max);
        self.known = self.known.saturating_add(known);
    }

    fn close(&mut self, sketch: Option<&mut Sketch>) -> Rollup {
        let done = std::mem::replace(self, Self::NEW);
        let p95 = sketch.map_or(f32::NAN, |s| std::mem::replace(s, Sketch::new(0.95)).value());
        if done.known == 0 {
            return Rollup::UNKNOWN;
        }
        let mean = (done.sum / f64::from(done.known)) as f32;
        Rollup { mean, max: done.max, p95, known: done.known }
    }
}

/// What only people who look at the past need.
#[derive(Debug)]
struct Past {
    hours: Ring,
    days: Ring,
    day: Open,
    /// Of the hour and of the day in progress.
    sketches: [Sketch; 2],
}

impl Past {
    fn new() -> Self {
        let sketches = [Sketch::new(0.95); 2];
        Self { hours: Ring::new(HOURS_KEPT), days: Ring::new(DAYS_KEPT), day: Open::NEW, sketches }
    }

    /// The hour of the epoch `h` has ended.
    fn push(&mut self, h: i64, done: Rollup) {
        if done.known > 0 {
            self.day.push(done.mean, done.max, done.known);
            self.sketches[1].push(done.mean);
        }
        self.hours.push(done);
        if h.rem_euclid(24) == 23 {
            let day = self.day.close(Some(&mut self.sketches[1]));
            self.days.push(day);
        }
    }
}

/// The newest entries of something, oldest overwritten.
#[derive(Debug)]
struct Ring {
    entries: Box<[Rollup]>,
    pushed: usize,
}

impl Ring {
    fn new(kept: usize) -> Self {
        Self { entries: vec![Rollup::UNKNOWN; kept].into_boxed_slice(), pushed: 0 }
    }

    fn push(&mut self, r: Rollup) {
        let slot = self.pushed % self.entries.len();
        self.entries[slot] = r;
        self.pushed += 1;
    }

    /// Oldest first.
    fn iter(&self) -> impl Iterator<Item = &Rollup> {
        let (n, kept) = (self.pushed, self.entries.len());
        (n.saturating_sub(kept)..n).map(move |i| &self.entries[i % kept])
    }
}

/// What a sample did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It went into the hour in progress, or was no use.
    None,
    /// It closed this many hours; the newest are in [`Rollups::hours`].
    Hours(usize),
    /// The clock had jumped: all that was known of hours of the day is void.
    Restart,
}

/// The rollups of one series. Memory is bounded: [`Rollups::BYTES`].
#[derive(Debug)]
pub struct Rollups {
    hour: Open,
    /// The hour that ended last with a sample that closed it.
    ended: Rollup,
    past: Option<Box<Past>>,
    /// Hour of the epoch in progress; `None` before the first sample.
    now_h: Option<i64>,
    /// Hour of the epoch that a clock which jumped claims, and how many samples in a row agreed.
    claim: Option<(i64, u32)>,
    refused: u64,
}

impl Default for Rollups {
    fn default() -> Self {
        Self::new()
    }
}

impl Rollups {
    /// Upper bound of the memory of one series, in bytes.
    pub const BYTES: usize =
        size_of::<Self>() + size_of::<Past>() + (HOURS_KEPT + DAYS_KEPT) * size_of::<Rollup>();

    /// Nothing seen.
    pub fn new() -> Self {
        Self { past: Some(Box::new(Past::new())), ..Self::without_past() }
    }

    /// Nothing seen, and nothing kept but the hour in progress: no p95, no [`Self::hours`], no [`Self::days`].
    pub(crate) fn without_past() -> Self {
        Self { hour: Open::NEW, ended: Rollup::UNKNOWN, past: None, now_h: None, claim: None, refused: 0 }
    }

    /// Bytes beside the struct itself.
    pub(crate) fn bytes(&self) -> usize {
        if self.past.is_some() { Self::BYTES - size_of::<Self>() } else { 0 }
    }

    /// Closed hours, oldest first, at most [`HOURS_KEPT`].
    pub fn hours(&self) -> impl Iterator<Item = &Rollup> {
        self.past.iter().flat_map(|p| p.hours.iter())
    }

    /// Closed days (of UTC), oldest first, at most [`DAYS_KEPT`].
    pub fn days(&self) -> impl Iterator<Item = &Rollup> {
        self.past.iter().flat_map(|p| p.days.iter())
    }

    /// Of the hours that [`Closed::Hours`] counts the first: those after it had no sample.
    pub(crate) fn ended(&self) -> Rollup {
        self.ended
    }

    /// Hour of the epoch in progress.
    pub fn now_h(&self) -> Option<i64> {
        self.now_h
    }

    /// Samples refused because they were older than the hour in progress or from a clock not yet believed.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes a sample: milliseconds of UTC, value (NaN or infinite = missing, but time went on).
    ///
    /// A sample before the hour in progress, or more than [`HOURS_KEPT`] ahead of it, is refused: one wrong clock must
    /// not wipe four weeks. When three in a row agree that time is there, it is: everything starts again.
    pub fn observe(&mut self, time_ms: i64, value: f32) -> Closed {
        let hour = time_ms.div_euclid(HOUR_MS);
        let Some(now) = self.now_h else {
            self.now_h = Some(hour);
            self.take(value);
            return Closed::None;
        };
        if hour < now || hour - now > HOURS_KEPT as i64 {
            return self.doubt(hour, value);
        }
        self.claim = None;
        if hour > now {
            self.ended = self.close_hour(now);
            for h in now + 1..hour {
                self.close_hour(h);
            }
        }
        self.now_h = Some(hour);
        self.take(value);
        if hour == now { Closed::None } else { Closed::Hours((hour - now) as usize) }
    }

    fn take(&mut self, value: f32) {
        if value.is_finite() {
            self.hour.push(value, value, 1);
            if let Some(p) = &mut self.past {
                p.sketches[0].push(value);
            }
        }
    }

    fn close_hour(&mut self, h: i64) -> Rollup {
        let done = self.hour.close(self.past.as_mut().map(|p| &mut p.sketches[0]));
        if let Some(p) = &mut self.past {
            p.push(h, done);
        }
        done
    }

    fn doubt(&mut self, hour: i64, value: f32) -> Closed {
        let agreed = match self.claim {
            Some((h, n)) if (h..=h + 1).contains(&hour) => n + 1,
            _ => 1,
        };
        self.claim = Some((hour, agreed));
        self.refused += 1;
        if agreed < WITNESSES {
            return Closed::None;
        }
        let new = if self.past.is_some() { Self::new() } else { Self::without_past() };
        *self = Self { refused: self.refused, now_h: Some(hour), ..new };
        self.take(value);
        Closed::Restart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN_MS: i64 = 60_000;

    fn fed(samples: impl Iterator<Item = (i64, f32)>) -> Rollups {
        let mut r = Rollups::new();
        samples.for_each(|(t, x)| {
            r.observe(t, x);
        });
        r
    }

    #[test]
    fn an_hour_of_any_cadence_is_the_same_hour() {
        for cadence_min in [1, 5, 10] {
            let r =
                fed((0..=120 / cadence_min)
                    .map(|i| (i * cadence_min * MIN_MS, (i * cadence_min % 60) as f32)));
            let hours: Vec<Rollup> = r.hours().copied().collect();
            let n = (60 / cadence_min) as u32;
            let want_mean = (60 - cadence_min) as f32 / 2.0;
            assert_eq!(hours.len(), 2);
            for h in hours {
                assert_eq!((h.mean, h.max, h.known), (want_mean, (60 - cadence_min) as f32, n));
                assert!((h.p95 - 56.0).abs() <= 6.0 && h.p95 <= h.max, "{h:?}");
            }
        }
    }

    #[test]
    fn skipped_hours_are_unknown_and_a_missing_sample_counts_for_nothing() {
        let r = fed([(0, 4.0), (30 * MIN_MS, f32::NAN), (3 * HOUR_MS, 8.0), (4 * HOUR_MS, 8.0)].into_iter());
        let known: Vec<u32> = r.hours().map(|h| h.known).collect();
        assert_eq!(known, [1, 0, 0, 1]);
        let means: Vec<f32> = r.hours().map(|h| h.mean).collect();
        assert!(means[0] == 4.0 && means[1].is_nan() && means[2].is_nan() && means[3] == 8.0, "{means:?}");
    }

    #[test]
    fn days_end_at_midnight_and_weigh_hours_by_their_samples() {
        // Starts at 22:00: the first day is its last two hours, one of them with a single sample.
        let mut samples: Vec<(i64, f32)> = (0..60).map(|m| (22 * HOUR_MS + m * MIN_MS, 10.0)).collect();
        samples.push((23 * HOUR_MS, 71.0));
        samples.extend((24..=48).map(|h| (h * HOUR_MS, (h - 24) as f32)));
        let days: Vec<Rollup> = fed(samples.into_iter()).days().copied().collect();
        assert_eq!(days.len(), 2);
        assert_eq!((days[0].mean, days[0].max, days[0].known), (11.0, 71.0, 61));
        assert_eq!((days[1].mean, days[1].max, days[1].known), (11.5, 23.0, 24));
        assert_eq!(days[1].p95, 22.0);
    }

    #[test]
    fn one_wrong_clock_changes_nothing_and_three_that_agree_start_again() {
        let mut r = fed((0..50).map(|h| (h * HOUR_MS, h as f32)));
        assert_eq!(r.observe(9_000_000 * HOUR_MS, 1.0), Closed::None);
        assert_eq!(r.observe(3 * HOUR_MS, 1.0), Closed::None);
        assert_eq!(r.observe(50 * HOUR_MS, 50.0), Closed::Hours(1));
        assert_eq!((r.hours().count(), r.refused()), (50, 2));
        let back = [10, 10, 11].map(|h| r.observe(h * HOUR_MS, 7.0));
        assert_eq!(back, [Closed::None, Closed::None, Closed::Restart]);
        assert_eq!((r.hours().count(), r.now_h()), (0, Some(11)));
    }

    #[test]
    fn without_a_past_hours_end_all_the_same() {
        let (mut a, mut b) = (Rollups::new(), Rollups::without_past());
        for (t, x) in [(0, 4.0), (30, f32::NAN), (59, 8.0), (60, 1.0), (200, 3.0)] {
            assert_eq!(a.observe(t * MIN_MS, x), b.observe(t * MIN_MS, x));
            let of =
                |r: &Rollups| (r.ended().mean.to_bits(), r.ended().max.to_bits(), r.ended().known, r.now_h());
            assert_eq!(of(&a), of(&b));
        }
        assert_eq!((b.ended().mean, b.hours().count(), b.bytes()), (1.0, 0, 0));
    }

    #[test]
    fn memory_does_not_grow() {
        let r = fed((0..3000).map(|h| (h * HOUR_MS, 1.0)));
        assert_eq!((r.hours().count(), r.days().count()), (HOURS_KEPT, DAYS_KEPT));
    }
}
