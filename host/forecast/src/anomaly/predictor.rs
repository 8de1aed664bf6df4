//! What the next sample should be, when nobody forecasts it: a level, the profile of a day, and how much of the last
//! deviation stays (an autoregression of order one); a series that mostly has one value is predicted to have it. Everything is an exponential mean, and no sample pulls further
//! than a few scales.

use super::detector::{ROUNDING, beyond};

/// Parts of a day that the profile knows, at most.
const PROFILE_BINS_MAX: u32 = 288;
/// Days that the profile remembers.
const PROFILE_DAYS: f32 = 7.0;
/// A deviation this many scales away counts as this many.
const CLIP: f32 = 4.0;
/// The part of any deviation that counts.
const PULL_MIN: f32 = 0.02;
/// Errors from which a scale can be told.
const SCALE_MIN: f32 = 32.0;
/// Samples that the autoregression and the errors of both ways remember.
const MEMORY: f32 = 512.0;
/// Lead of the usual value at most; half of it makes it the prediction.
const LEAD_MAX: u32 = 32;
/// A longer gap tells nothing about the next sample.
const GAP_MAX: u32 = 3;

/// A level and what stays of a deviation from it.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    mean: f32,
    seen: f32,
    last: f32,
    cross: f32,
    square: f32,
    size: f32,
    error: f32,
}

impl Level {
    fn phi(&self) -> f32 {
        if self.square > 0.0 { (self.cross / self.square).clamp(-0.9, 0.995) } else { 0.0 }
    }

    fn predict(&self, gap: u32) -> f32 {
        self.mean + self.last * self.phi().powi(gap as i32 + 1)
    }

    /// `scale`: mean absolute error of the series, 0 = not known.
    fn learn(&mut self, x: f32, gap: u32, memory: f32, scale: f32) {
        if self.seen == 0.0 {
            (self.mean, self.seen) = (x, 1.0);
            return;
        }
        let slow = 1.0 / self.seen.min(MEMORY);
        let away = x - self.mean;
        let known = self.seen > 16.0;
        let (pull, last) = (clip(away, self.size, known), clip(self.last, self.size, known));
        if gap == 0 {
            self.cross += slow * (pull * last - self.cross);
            self.square += slow * (last * last - self.square);
        }
        let error = clip(x - self.predict(gap), 2.0 * scale, known);
        self.error += slow * (error.abs() - self.error);
        self.size += slow * (pull.abs() - self.size);
        self.mean += pull / (self.seen + 1.0).min(memory);
        self.seen = (self.seen + 1.0).min(1e6);
        self.last = x - self.mean;
    }
}

/// Keeps a deviation from pulling further than a few scales, yet lets a series that never moved learn that it moves.
fn clip(away: f32, scale: f32, scale_is_known: bool) -> f32 {
    if !scale_is_known {
        return away;
    }
    let limit = (CLIP * scale).max(PULL_MIN * away.abs());
    away.clamp(-limit, limit)
}

/// A value that more than half of the samples have (Boyer and Moore, "MJRTY: a fast majority vote algorithm", 1991), with
/// a bounded lead, so that it follows.
#[derive(Debug, Clone, Copy, Default)]
struct Usual {
    value: f32,
    lead: u32,
}

impl Usual {
    fn get(self) -> Option<f32> {
        (self.lead >= LEAD_MAX / 2).then_some(self.value)
    }

    fn learn(&mut self, x: f32) {
        if x == self.value {
            self.lead = (self.lead + 1).min(LEAD_MAX);
        } else if self.lead == 0 {
            (self.value, self.lead) = (x, 1);
        } else {
            self.lead -= 1;
        }
    }
}

/// The predictor of one series.
#[derive(Debug, Clone)]
pub(super) struct Predictor {
    plain: Level,
    seasonal: Level,
    usual: Usual,
    profile: Box<[f32]>,
    per_day: u32,
    phase: u32,
    days: f32,
    gap: u32,
    memory: f32,
    scale: f32,
    scale_seen: f32,
    use_profile: bool,
}

/// The next sample as predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    pub(super) value: f32,
    /// Mean absolute error of such predictions, in the unit of the series.
    pub(super) scale: f32,
}

impl Predictor {
    /// `per_day`: samples in a day, at least 1.
    pub(super) fn new(per_day: u32) -> Self {
        Self {
            plain: Level::default(),
            seasonal: Level::default(),
            usual: Usual::default(),
            profile: vec![0.0; per_day.min(PROFILE_BINS_MAX) as usize].into_boxed_slice(),
            per_day,
            phase: 0,
            days: 0.0,
            gap: 0,
            memory: (per_day as f32).clamp(256.0, 4096.0),
            scale: 0.0,
            scale_seen: 0.0,
            use_profile: false,
        }
    }

    /// Bytes beside the struct itself.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.profile)
    }

    fn bin(&self) -> usize {
        (u64::from(self.phase) * self.profile.len() as u64 / u64::from(self.per_day)) as usize
    }

    /// Are its errors known well enough to judge by? Scores from a scale of three errors would be the largest for weeks.
    pub(super) fn knows_scale(&self) -> bool {
        self.scale_seen >= SCALE_MIN
    }

    /// The next sample; `None` where too little is known.
    pub(super) fn expect(&self) -> Option<Expected> {
        if self.plain.seen == 0.0 || self.gap > GAP_MAX {
            return None;
        }
        let value = if let Some(usual) = self.usual.get() {
            usual
        } else if self.use_profile {
            self.seasonal.predict(self.gap) + self.profile[self.bin()]
        } else {
            self.plain.predict(self.gap)
        };
        Some(Expected { value, scale: self.scale * ((self.gap + 1) as f32).sqrt() })
    }

    /// How far a sample is from the level (of this time of the day), in the usual distance; `None` = not known yet.
    pub(super) fn distance(&self, x: f32, least: f32) -> Option<f32> {
        let (level, x) =
            if self.use_profile { (&self.seasonal, x - self.profile[self.bin()]) } else { (&self.plain, x) };
        let center = self.usual.get().filter(|_| !self.use_profile).unwrap_or(level.mean);
        let least = least.max(1e-3 * self.scale + ROUNDING * x.abs());
        let away = beyond(x - center, least);
        (self.knows_scale() && level.seen > SCALE_MIN)
            .then(|| if away == 0.0 { 0.0 } else { away / level.size.max(least).max(f32::MIN_POSITIVE) })
    }

    /// Takes the sample and how far it was from what was expected of it.
    pub(super) fn learn(&mut self, x: f32, residual: Option<f32>) {
        if let Some(r) = residual.filter(|_| self.gap == 0) {
            let rate = 1.0 / (self.scale_seen + 1.0).min((self.per_day as f32).clamp(256.0, 2048.0));
            self.scale += rate * (clip(r, self.scale, self.scale_seen > 16.0).abs() - self.scale);
            self.scale_seen += 1.0;
        }
        let gap = self.gap.min(GAP_MAX);
        self.usual.learn(x);
        self.plain.learn(x, gap, self.memory, self.scale);
        let bin = self.bin();
        let away = clip(x - self.seasonal.mean - self.profile[bin], self.seasonal.size, self.days >= 2.0);
        self.seasonal.learn(x - self.profile[bin], gap, self.memory, self.scale);
        let rate =
            self.profile.len() as f32 / self.per_day as f32 / (self.days.floor() + 1.0).min(PROFILE_DAYS);
        self.profile[bin] += rate * away;
        let (with, without) = (self.seasonal.error, self.plain.error);
        // Two hundredths: ways that are equally good must not take turns.
        self.use_profile = self.days >= 2.0 && with < if self.use_profile { 1.02 } else { 0.98 } * without;
        self.gap = 0;
        self.advance();
    }

    /// A sample is missing.
    pub(super) fn miss(&mut self) {
        self.gap = self.gap.saturating_add(1);
        self.advance();
    }

    /// The level changed: what comes next tells the new one.
    pub(super) fn restart_level(&mut self) {
        self.plain.seen = self.plain.seen.min(8.0);
        self.seasonal.seen = self.seasonal.seen.min(8.0);
    }

    /// Errors changed their size.
    pub(super) fn restart_scale(&mut self) {
        self.scale_seen = self.scale_seen.min(8.0);
    }

    fn advance(&mut self) {
        self.phase = (self.phase + 1) % self.per_day;
        self.days = (self.days + 1.0 / self.per_day as f32).min(100.0);
    }
}
