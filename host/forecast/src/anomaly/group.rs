//! Several metrics of one machine: one budget, and which of them is at fault.
//!
//! Metrics move together, so nothing here assumes that they do not. Sudden evidence of a metric is divided by their number
//! (Bonferroni). Lasting evidence is averaged: a mean of e-values is one under any dependence (Vovk and Wang, "E-values:
//! calibration, combination and applications", 2021, section 3), and so is a mean of Shiryaev-Roberts statistics. What
//! the metrics say together is the sum of their surprises, whose own conformal p-value takes their correlation from data.

use foreshade_types::Quantiles;

use super::detector::{Detector, JUDGED_MIN, RENEW};
use super::evidence::{Wealth, decades};
use super::hours::Hours;
use super::ranks::Ranks;
use super::{Anomaly, AnomalyError, Blame, Config, Uniform};

/// What shares the budget of a group, and how: the tests of a family, and its part (Genovese, Roeder and Wasserman, "False
/// discovery control with p-value weighting", 2006, section 1, for Bonferroni). What the metrics say together finds most of
/// what there is; the parts were chosen on the entities that the peers' script calls `dev`.
const FAMILIES: [Family; 4] = [
    // One metric: spike, dip, high, low, run up, run down, stuck.
    Family { tests: 7.0, part: 0.1 },
    // A lasting change of metrics.
    Family { tests: 1.0, part: 0.05 },
    // All together, one sample.
    Family { tests: 1.0, part: 0.8 },
    // All together, lasting.
    Family { tests: 1.0, part: 0.05 },
];

struct Family {
    tests: f64,
    part: f64,
}

/// No metric says more than this to the sum, decades.
const SAY_MAX: f64 = 8.0;
/// What is left of a metric's evidence one sample later, for the blame.
const HEAT_KEPT: f64 = 0.9;

/// The surprises of all metrics, added up.
#[derive(Debug, Clone)]
struct Together {
    sums: Ranks,
    wealth: Wealth,
}

impl Together {
    /// The decades of one more sum: sudden, lasting.
    fn judge(&mut self, sum: f64, silent: bool) -> (f64, f64) {
        let sum = sum as f32;
        let (mut sudden, mut lasting) = (0.0, 0.0);
        if self.sums.len() >= JUDGED_MIN {
            sudden = decades(self.sums.p_tail(sum, 0.0));
            if !silent {
                let p = self.sums.p_above(sum);
                self.wealth.push(p, p, 1.0);
                lasting = self.wealth.mean().max(1.0).log10();
            }
        }
        self.sums.push(sum);
        (sudden, lasting)
    }
}

/// Watches the metrics of one machine.
#[derive(Debug, Clone)]
pub struct Group {
    threshold: f64,
    /// The mean statistic at which lasting evidence begins anew.
    enough: f64,
    hold: u32,
    silent: u32,
    metrics: Vec<Detector>,
    heat: Vec<f64>,
    together: Together,
    /// Earlier hours of each family: sudden and lasting evidence of metrics, and of all together.
    hours: [Hours; 4],
    score: f64,
}

impl Group {
    /// A group that knows nothing yet.
    ///
    /// # Errors
    /// No metric, no such cadence or rate.
    pub fn new(config: Config, metrics: usize) -> Result<Self, AnomalyError> {
        if metrics == 0 {
            return Err(AnomalyError::Empty);
        }
        let threshold = config.threshold(1.0)?;
        let mut seeds = Uniform(config.seed);
        let mut seed = || (seeds.next() * (1u64 << 53) as f64) as u64;
        let detectors = (0..metrics).map(|_| Detector::of_group(Config { seed: seed(), ..config }));
        Ok(Self {
            threshold,
            enough: 10f64.powf(threshold + RENEW),
            hold: config.hold(),
            silent: 0,
            metrics: detectors.collect::<Result<_, _>>()?,
            heat: vec![0.0; metrics],
            together: Together { sums: Ranks::upper(config.scores_max()), wealth: Wealth::default() },
            hours: FAMILIES.map(|f| Hours::new(config.per_hour(), f.tests)),
            score: 0.0,
        })
    }

    /// Takes the next sample of every metric (not finite = missing, and so is one that is not given) and their
    /// forecasts, as [`Detector::observe`] does.
    pub fn observe(&mut self, values: &[f32], forecasts: Option<&[Quantiles]>) -> Option<Anomaly> {
        self.silent = self.silent.saturating_sub(1);
        let (families, judged) = self.weigh(values, forecasts);
        let paid =
            |(hours, (d, f)): (&mut Hours, (f64, Family))| hours.temper(d) - (f.tests / f.part).log10();
        let tempered = self.hours.iter_mut().zip(families.into_iter().zip(FAMILIES)).map(paid);
        self.score = tempered.fold(0.0, f64::max);
        if !judged || self.silent > 0 || self.score < self.threshold {
            self.renew();
            return None;
        }
        let anomaly = self.anomaly();
        self.restart();
        Some(anomaly)
    }

    /// The evidence of each family, and whether there was anything to judge.
    fn weigh(&mut self, values: &[f32], forecasts: Option<&[Quantiles]>) -> ([f64; 4], bool) {
        let (mut sudden, mut wealth, mut sum, mut judged) = (0.0f64, 0.0, 0.0, 0.0);
        for (i, (metric, heat)) in self.metrics.iter_mut().zip(&mut self.heat).enumerate() {
            metric.weigh(values.get(i).copied().unwrap_or(f32::NAN), forecasts.and_then(|f| f.get(i)));
            let e = metric.evidence();
            sudden = sudden.max(e.sudden().0);
            wealth += metric.wealth();
            *heat *= HEAT_KEPT;
            if let Some(say) = metric.surprise() {
                *heat = heat.max(say);
                sum += say.min(SAY_MAX);
                judged += 1.0;
            }
        }
        let count = self.metrics.len() as f64;
        let together =
            if judged > 0.0 { self.together.judge(sum / judged, self.silent > 0) } else { (0.0, 0.0) };
        let lasting = (wealth / count).max(1.0).log10();
        ([(sudden - count.log10()).max(0.0), lasting, together.0, together.1], judged > 0.0)
    }

    /// Where no alarm is raised, evidence that is more than enough begins anew.
    fn renew(&mut self) {
        let count = self.metrics.len() as f64;
        self.metrics.iter_mut().for_each(|m| m.renew(count * self.enough));
        if self.together.wealth.mean() >= self.enough {
            self.together.wealth.clear();
        }
    }

    /// Evidence against the newest samples together, decades: see [`Detector::score`]. Families of tests have paid for
    /// their parts of the budget.
    pub fn score(&self) -> f64 {
        self.score
    }

    /// The evidence at which it alarms.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Bytes that it takes; they never change.
    pub fn bytes(&self) -> usize {
        size_of_val(self)
            + self.metrics.iter().map(Detector::bytes).sum::<usize>()
            + size_of_val(&*self.heat)
            + self.together.sums.bytes()
            + self.hours.iter().map(Hours::bytes).sum::<usize>()
    }

    /// Each metric's surprise of the last samples, from prediction and level, decades.
    pub fn heat(&self) -> &[f64] {
        &self.heat
    }

    fn anomaly(&self) -> Anomaly {
        let blame = |(metric, &heat): (usize, &f64)| Blame { metric, decades: heat as f32 };
        let mut metrics: Vec<Blame> = self.heat.iter().enumerate().map(blame).collect();
        metrics.sort_by(|a, b| b.decades.total_cmp(&a.decades));
        let first = &self.metrics[metrics[0].metric];
        let kind = first.kind();
        Anomaly {
            kind,
            p_value: 10f64.powf(-self.score).min(1.0),
            score: self.score,
            since: first.since(kind),
            metrics,
        }
    }

    fn restart(&mut self) {
        self.silent = self.hold;
        self.metrics.iter_mut().for_each(Detector::restart);
        self.together.wealth.clear();
    }
}
