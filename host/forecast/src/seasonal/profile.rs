//! Level, damped trend, hour-of-day and hour-of-week profile, and what is left of the last residual.
//!
//! Double seasonal exponential smoothing with a first-order adjustment (Taylor, "Short-term electricity demand
//! forecasting using double seasonal exponential smoothing", JORS 54, 2003, section 3) with Gardner and McKenzie's damped
//! trend (1985), additive on the scale of the [`super::Config`]: on the log scale the seasons are factors. Rates are
//! fixed, and slots that were seen rarely learn faster, as a mean would; the coefficient of the adjustment is the lag-1
//! autocorrelation of the residual, learnt as it goes.

use super::cells::{Cells, Size};

/// How fast each part learns, per hour (level, trend) or per visit of its slot (day, week); 0 = the part is absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) level: f32,
    pub(crate) trend: f32,
    pub(crate) day: f32,
    pub(crate) week: f32,
}

const DAY: usize = 24;
const WEEK: usize = 168;

/// Share of the trend that is left after an hour.
const DAMPING: f32 = 0.98;
/// A slot takes at most this share of a residual: one odd hour is not the rule.
const SLOT_SHARE: f32 = 0.9;
/// Hours after which residuals are trusted to tell their autocorrelation.
const SETTLED_H: u32 = 72;
/// Forgetting of the autocorrelation, per hour.
const MEMORY: f32 = 0.995;
/// Above this a residual would not fade within two days.
const RHO_MAX: f32 = 0.98;
/// Hours over which the mean residual is kept, for a restart of the level.
const BIAS_H: f32 = 6.0;
/// Rate of the level after a restart, fading over as many hours as its inverse squared.
const RESTART_RATE: f32 = 0.15;

/// One series, as one set of rates sees it.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    rates: &'static Rates,
    /// The 24 slots of the day, the 168 of the week, each where it is learnt.
    slots: Cells,
    level: f32,
    trend: f32,
    residual: f32,
    bias: f32,
    covariance: f32,
    variance: f32,
    seen_h: u32,
    boost: f32,
}

impl Profile {
    pub(crate) fn new(rates: &'static Rates, size: Size) -> Self {
        let (day, week) = (if rates.day > 0.0 { DAY } else { 0 }, if rates.week > 0.0 { WEEK } else { 0 });
        Self {
            rates,
            slots: size.points(day + week, 0.0),
            level: 0.0,
            trend: 0.0,
            residual: 0.0,
            bias: 0.0,
            covariance: 0.0,
            variance: 1e-9,
            seen_h: 0,
            boost: 0.0,
        }
    }

    fn rho(&self) -> f32 {
        (self.covariance / self.variance).clamp(0.0, RHO_MAX)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// Slots of an hour of the epoch. What has a week has a day.
    fn day(&self, hour: i64) -> Option<usize> {
        (self.rates.day > 0.0).then(|| hour.rem_euclid(DAY as i64) as usize)
    }

    fn week(&self, hour: i64) -> Option<usize> {
        (self.rates.week > 0.0).then(|| DAY + hour.rem_euclid(WEEK as i64) as usize)
    }

    /// Profile of an hour of the epoch.
    fn season(&self, hour: i64) -> f32 {
        let value = |slot: Option<usize>| slot.map_or(0.0, |i| self.slots.get(i));
        value(self.day(hour)) + value(self.week(hour))
    }

    /// Takes the hour after the last; `None` = unknown. `teach` = false: the seasons learn nothing from it.
    pub(crate) fn push(&mut self, hour: i64, z: Option<f32>, teach: bool) {
        self.trend *= DAMPING;
        self.level += self.trend;
        let Some(z) = z else {
            self.residual *= self.rho();
            return;
        };
        if self.seen_h == 0 {
            self.level = z;
        }
        let e = z - self.level - self.season(hour);
        if teach {
            self.learn_season(hour, e);
        }
        let seen = self.seen_h as f32;
        let rate = if self.seen_h < 24 { 1.0 / (seen + 1.0) } else { self.rates.level.max(self.boost) };
        self.boost *= 0.95;
        self.level += rate * e;
        if self.seen_h >= 48 {
            self.trend += self.rates.trend * rate * e;
        }
        if self.seen_h >= SETTLED_H {
            self.covariance = MEMORY * self.covariance + (1.0 - MEMORY) * e * self.residual;
            self.variance = MEMORY * self.variance + (1.0 - MEMORY) * self.residual * self.residual + 1e-12;
        }
        self.bias += (e - self.bias) / BIAS_H;
        self.residual = e;
        self.seen_h = self.seen_h.saturating_add(1);
    }

    fn learn_season(&mut self, hour: i64, e: f32) {
        let (days, weeks) = ((self.seen_h / 24) as f32, (self.seen_h / 168) as f32);
        if let Some(i) = self.day(hour) {
            let step = SLOT_SHARE * self.rates.day.max(1.0 / (days + 1.0)) * e;
            self.slots.set(i, self.slots.get(i) + step);
        }
        if let Some(i) = self.week(hour).filter(|_| self.seen_h >= 168) {
            let step = SLOT_SHARE * self.rates.week.max(1.0 / (weeks + 1.0)) * e;
            self.slots.set(i, self.slots.get(i) + step);
        }
    }

    /// The level has changed: go to where the last hours lie, and follow them closely for a while.
    pub(crate) fn restart(&mut self) {
        self.level += self.bias;
        self.residual -= self.bias;
        self.bias = 0.0;
        self.trend = 0.0;
        self.boost = RESTART_RATE;
    }

    /// The hours after `last_hour`, as many as `out` is long.
    pub(crate) fn path(&self, last_hour: i64, out: &mut [f32]) {
        let rho = self.rho();
        let (mut trend, mut climb, mut left) = (self.trend, 0.0, self.residual);
        for (i, o) in out.iter_mut().enumerate() {
            trend *= DAMPING;
            climb += trend;
            left *= rho;
            *o = self.level + climb + self.season(last_hour + 1 + i as i64) + left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_goes_on_and_fades() {
        let mut p = Profile::new(&Rates { level: 0.05, trend: 0.05, day: 0.0, week: 0.0 }, Size::Full);
        (0..400).for_each(|h| p.push(h, Some(10.0 + 0.5 * h as f32), true));
        let mut path = [0.0; 48];
        p.path(399, &mut path);
        assert!((path[0] - 210.0).abs() < 2.0, "{path:?}");
        assert!(path[47] > path[0] + 4.0 && path[47] < 234.0, "{path:?}");
    }

    #[test]
    fn a_daily_shape_is_learnt_in_days_and_a_weekly_one_in_weeks() {
        let shape = |h: i64| if h % 168 < 24 { 0.0 } else { 10.0 } + (h % 24) as f32;
        for size in [Size::Full, Size::Compact] {
            let mut p = Profile::new(&Rates { level: 0.01, trend: 0.0, day: 0.3, week: 0.3 }, size);
            (0..168 * 5).for_each(|h| p.push(h, Some(shape(h)), true));
            let mut path = [0.0; 48];
            p.path(168 * 5 - 1, &mut path);
            for (i, z) in path.iter().enumerate() {
                assert!((z - shape(i as i64)).abs() < 3.0, "hour {i}: {z} against {}", shape(i as i64));
            }
        }
    }
}
