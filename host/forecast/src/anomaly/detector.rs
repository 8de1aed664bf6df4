//! One series.

use foreshade_types::Quantiles;

use super::evidence::{Drift, RUN, Run, Wealth, decades};
use super::hours::Hours;
use super::predictor::{Expected, Predictor};
use super::ranks::Ranks;
use super::{Anomaly, AnomalyError, Blame, Config, Kind, TESTS, Uniform};

/// Judged samples before anything can alarm.
pub(super) const JUDGED_MIN: u64 = 100;
/// Equal samples below which a series is not stuck.
const FLAT_MIN: u32 = 12;
/// Completed stretches of equal samples before one can be too long.
const STRETCHES_MIN: u64 = 30;
/// Lengths of stretches have a heavy tail until it is known: P falls no faster than length^-2.
const FLAT_INDEX_MIN: f64 = 0.5;
/// One bin of a stretch of length 1 among the scores.
const FLAT_UNIT: f32 = 1.0 / 64.0;
/// No value counts for more.
const VALUE_MAX: f32 = 1e15;
/// Decades beyond the threshold at which lasting evidence begins anew without an alarm.
pub(super) const RENEW: f64 = 2.0;
/// A change this certain is learnt (the statistic on alarm).
const RELEARN: f64 = 100.0;
/// Noise added to every residual, mean absolute errors from end to end: where samples come in steps, residuals come in
/// lumps, and as the prediction drifts a lump's rank would drift with it.
const DITHER: f32 = 1.0;
/// Relative size of a residual that is rounding.
pub(super) const ROUNDING: f32 = 2e-6;
/// Median to 5 % and to 95 % of a normal distribution, in mean absolute deviations.
const TAIL_WIDTH: f32 = 1.645 * 1.2533;
/// A forecast's width counts for at least this part of the usual error: a forecaster may be too sure.
const WIDTH_MIN: f32 = 0.1;

/// What the tests say of one sample, decades.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    pub(super) spike: f64,
    pub(super) dip: f64,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) run_up: f64,
    pub(super) run_down: f64,
    pub(super) flat: f64,
    /// Shiryaev-Roberts statistic itself, not its logarithm: groups take its mean.
    pub(super) wealth: f64,
}

impl Evidence {
    /// The strongest test but the lasting change, and its kind.
    pub(super) fn sudden(&self) -> (f64, Kind) {
        let tests = [
            (self.spike, Kind::Spike),
            (self.dip, Kind::Dip),
            (self.high, if self.spike > 0.5 * self.high { Kind::Spike } else { Kind::Rise }),
            (self.low, if self.dip > 0.5 * self.low { Kind::Dip } else { Kind::Fall }),
            (self.run_up, Kind::Rise),
            (self.run_down, Kind::Fall),
            (self.flat, Kind::Flat),
        ];
        tests.into_iter().fold((0.0, Kind::Spike), |best, t| if t.0 > best.0 { t } else { best })
    }

    pub(super) fn lasting(&self) -> f64 {
        self.wealth.max(1.0).log10()
    }
}

/// A stretch of equal samples, and how long earlier ones were.
#[derive(Debug, Clone)]
struct Stretch {
    value: f32,
    len: u32,
    completed: Ranks,
}

impl Stretch {
    fn push(&mut self, x: f32) -> f64 {
        if x == self.value {
            self.len = self.len.saturating_add(1);
        } else {
            // The first one may have begun before the series did.
            if self.len > 0 {
                self.completed.push(self.len as f32 * FLAT_UNIT);
            }
            (self.value, self.len) = (x, 1);
        }
        if self.len < FLAT_MIN || self.completed.len() < STRETCHES_MIN {
            return 0.0;
        }
        decades(self.completed.p_tail(self.len as f32 * FLAT_UNIT, FLAT_INDEX_MIN))
    }
}

/// Watches one series.
#[derive(Debug, Clone)]
pub struct Detector {
    threshold: f64,
    /// The statistic at which lasting evidence begins anew.
    enough: f64,
    hold: u32,
    least: f32,
    predictor: Predictor,
    residuals: Ranks,
    /// Distances from the level, in the usual distance: what stays strange after its first sample.
    levels: Ranks,
    stretch: Stretch,
    up: Run,
    down: Run,
    wealth: Wealth,
    uniform: Uniform,
    evidence: Evidence,
    /// Earlier hours of sudden and of lasting evidence; none in a group, which has its own.
    hours: Option<Box<[Hours; 2]>>,
    /// What is left of the evidence after earlier hours.
    score: f64,
    /// Samples taken, gaps included.
    age: u64,
    /// Samples to keep silent.
    silent: u32,
}

impl Detector {
    /// A detector that knows nothing yet.
    ///
    /// # Errors
    /// No such cadence or rate.
    pub fn new(config: Config) -> Result<Self, AnomalyError> {
        let hours = [TESTS / 2.0; 2].map(|tests| Hours::new(config.per_hour(), tests));
        Ok(Self { hours: Some(Box::new(hours)), ..Self::of_group(config)? })
    }

    /// One that does not decide by itself.
    pub(super) fn of_group(config: Config) -> Result<Self, AnomalyError> {
        let completed = Ranks::upper(config.scores_max());
        let threshold = config.threshold(TESTS)?;
        Ok(Self {
            threshold,
            enough: 10f64.powf(threshold + RENEW),
            hold: config.hold(),
            least: config.least,
            predictor: Predictor::new(config.per_day()),
            residuals: Ranks::new(config.scores_max()),
            levels: Ranks::new(config.scores_max()),
            stretch: Stretch { value: f32::NAN, len: 0, completed },
            up: Run::default(),
            down: Run::default(),
            wealth: Wealth::default(),
            uniform: Uniform(config.seed),
            evidence: Evidence::default(),
            hours: None,
            score: 0.0,
            age: 0,
            silent: 0,
        })
    }

    /// Takes the next sample (not finite = missing) and, where there is one, the forecast that was made of it one step
    /// before. A missing sample is never an anomaly: silence is for the health checks.
    ///
    /// After an alarm a detector keeps silent for an hour or six samples, whichever is longer.
    pub fn observe(&mut self, value: f32, forecast: Option<&Quantiles>) -> Option<Anomaly> {
        self.weigh(value, forecast);
        let (sudden, lasting) = (self.evidence.sudden().0, self.evidence.lasting());
        self.score = match self.hours.as_deref_mut() {
            Some([of_sudden, of_lasting]) => of_sudden.temper(sudden).max(of_lasting.temper(lasting)),
            None => sudden.max(lasting),
        };
        let score = self.score;
        if self.silent > 0 || score < self.threshold {
            self.renew(self.enough);
            return None;
        }
        let kind = self.kind();
        let anomaly = Anomaly {
            kind,
            p_value: (TESTS * 10f64.powf(-score)).min(1.0),
            score,
            since: self.since(kind),
            metrics: vec![Blame { metric: 0, decades: score as f32 }],
        };
        self.restart();
        Some(anomaly)
    }

    /// Evidence against the newest sample, decades: samples as normal as those before reach d in one test at most once
    /// in 10^d samples. 0 = none, or not judged.
    pub fn score(&self) -> f64 {
        self.score
    }

    /// The evidence at which it alarms.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Bytes that it takes; they never change.
    pub fn bytes(&self) -> usize {
        let ranks = [&self.residuals, &self.levels, &self.stretch.completed];
        let hours =
            self.hours.as_deref().map_or(0, |h| size_of_val(h) + h.iter().map(Hours::bytes).sum::<usize>());
        size_of_val(self) + ranks.iter().map(|r| r.bytes()).sum::<usize>() + self.predictor.bytes() + hours
    }

    /// Takes a sample without deciding anything.
    pub(super) fn weigh(&mut self, value: f32, forecast: Option<&Quantiles>) {
        self.age += 1;
        self.silent = self.silent.saturating_sub(1);
        self.evidence = Evidence::default();
        if !value.is_finite() {
            self.predictor.miss();
            return;
        }
        // Squares of larger values are not finite.
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        let expected = self.predictor.expect();
        let flat = self.stretch.push(value);
        if let Some(z) =
            surprise(value, expected, forecast, self.least).filter(|_| self.predictor.knows_scale())
        {
            self.judge(z, flat);
        }
        // What was forecast is not strange, however far from the level.
        if let (None, Some(d)) = (forecast, self.predictor.distance(value, self.least)) {
            self.place(d);
        }
        self.predictor.learn(value, expected.map(|e| value - e.value));
    }

    fn judge(&mut self, z: f32, flat: f64) {
        let z = if z == 0.0 { z } else { z + DITHER * (self.uniform.next() as f32 - 0.5) };
        if self.residuals.len() >= JUDGED_MIN {
            let e = &mut self.evidence;
            let side = if z > 0.0 { &mut e.spike } else { &mut e.dip };
            *side = decades(self.residuals.p_tail(z, 0.0));
            if self.silent == 0 {
                let up = self.residuals.p_above(z);
                (e.run_up, e.run_down) = (self.up.push(up.1), self.down.push(1.0 - up.0));
                self.wealth.push(up, self.residuals.p_beyond(z), 1.0 - self.residuals.zeros());
                (e.wealth, e.flat) = (self.wealth.mean(), flat);
            }
        }
        self.residuals.push(z);
    }

    /// Judges a distance from the level.
    fn place(&mut self, d: f32) {
        let d = if d == 0.0 { d } else { d + DITHER * (self.uniform.next() as f32 - 0.5) };
        if self.levels.len() >= JUDGED_MIN {
            let side = if d > 0.0 { &mut self.evidence.high } else { &mut self.evidence.low };
            *side = decades(self.levels.p_tail(d, 0.0));
        }
        self.levels.push(d);
    }

    pub(super) fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The Shiryaev-Roberts statistic as it stands, judged or not.
    pub(super) fn wealth(&self) -> f64 {
        self.wealth.mean()
    }

    /// How far out the newest sample is, from its prediction and from the level, decades; `None` = not judged.
    pub(super) fn surprise(&self) -> Option<f64> {
        let e = &self.evidence;
        let far = e.spike.max(e.dip) + e.high.max(e.low);
        (far > 0.0).then_some(far)
    }

    /// What the evidence of the newest sample looks like.
    pub(super) fn kind(&self) -> Kind {
        let (sudden, kind) = self.evidence.sudden();
        if sudden >= self.evidence.lasting() {
            return kind;
        }
        match self.wealth.drift() {
            Drift::Up => Kind::Rise,
            Drift::Down => Kind::Fall,
            Drift::Wide => Kind::Unrest,
            Drift::Calm if self.stretch.len >= FLAT_MIN => Kind::Flat,
            Drift::Calm => Kind::Calm,
        }
    }

    /// The sample since which this kind lasts.
    pub(super) fn since(&self, kind: Kind) -> u64 {
        let (sudden, of) = self.evidence.sudden();
        let lasts = match kind {
            Kind::Spike | Kind::Dip => 0,
            Kind::Flat => u64::from(self.stretch.len.saturating_sub(1)),
            Kind::Rise | Kind::Fall if kind == of && sudden >= self.evidence.lasting() => RUN as u64 - 1,
            Kind::Rise | Kind::Fall | Kind::Unrest | Kind::Calm => self.wealth.age(),
        };
        (self.age - 1).saturating_sub(lasts)
    }

    /// After an alarm: evidence begins anew, and what changed for good is learnt anew.
    pub(super) fn restart(&mut self) {
        self.renew(RELEARN);
        self.silent = self.hold;
        self.up.clear();
        self.down.clear();
        self.wealth.clear();
    }

    /// Learns a change anew of which there is this much evidence, alarm or not: where hours like this one are usual,
    /// evidence would only pile up.
    pub(super) fn renew(&mut self, enough: f64) {
        if self.wealth.mean() >= enough {
            match self.wealth.drift() {
                Drift::Up | Drift::Down => self.predictor.restart_level(),
                Drift::Wide | Drift::Calm => self.predictor.restart_scale(),
            }
            self.wealth.clear();
        }
    }
}

/// How far a sample is from what was expected of it, in mean absolute errors; the forecast's own width, each side by
/// itself, where there is a forecast. `None` = nothing was expected.
fn surprise(value: f32, expected: Option<Expected>, forecast: Option<&Quantiles>, least: f32) -> Option<f32> {
    let forecast = forecast.filter(|q| q.0.iter().all(|v| v.is_finite()));
    let (center, scale) = match (forecast, expected) {
        (Some(q), own) => {
            let width = if value > q.q50() { q.q95() - q.q50() } else { q.q50() - q.q05() };
            (q.q50(), (width / TAIL_WIDTH).max(own.map_or(0.0, |e| WIDTH_MIN * e.scale)))
        }
        (None, own) => own.map(|e| (e.value, e.scale))?,
    };
    let rounding = ROUNDING * value.abs().max(center.abs());
    let residual = beyond(value - center, least.max(rounding));
    Some(if residual == 0.0 { 0.0 } else { residual / scale.max(least).max(rounding).max(f32::MIN_POSITIVE) })
}

/// How much further from zero than `least`.
pub(super) fn beyond(x: f32, least: f32) -> f32 {
    (x.abs() - least).max(0.0).copysign(x)
}
