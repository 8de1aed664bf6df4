//! How good the forecasts were: the figures of the report's `forecast` section.

use std::collections::{BTreeMap, VecDeque};

use foreshade_types::{Horizon, LEVELS, Quantiles, Resource, SeriesForecast, VmClass};
use serde::{Deserialize, Serialize};

/// Figures of one resource, in points.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ResourceScore {
    /// Forecasts scored: origins whose every outcome was observed.
    pub n: u64,
    /// Pinball loss, mean of q50, q90, q95, q99 and of the step horizons.
    pub pinball: f64,
    /// Share of outcomes inside [q05, q95], mean over the step horizons; nominal 0.90.
    pub coverage90: f64,
    /// Share of peaks above q95; nominal 0.05.
    pub peak_violations95: f64,
    /// Mean of q95 minus the peak that came.
    pub peak_over_reservation: f64,
}

/// How often the bounds of one horizon held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Held {
    /// Outcomes.
    pub n: u64,
    /// Inside [q05, q95]; nominal 90 %.
    pub in_90: u64,
    /// Above q95; nominal 5 %.
    pub above_95: u64,
}

impl Held {
    fn count(&mut self, q: &Quantiles, y: f32) {
        self.n += 1;
        self.in_90 += u64::from(y >= q.q05() && y <= q.q95());
        self.above_95 += u64::from(y > q.q95());
    }
}

/// Sums of one resource.
#[derive(Debug, Clone, Default)]
struct Sums {
    origins: u64,
    pinball: f64,
    covered: u64,
    violations: u64,
    over: f64,
    held: ByReach,
    by_class: BTreeMap<VmClass, ByReach>,
}

/// By steps ahead, 0 = the peak.
type ByReach = BTreeMap<usize, Held>;

impl Sums {
    fn count(&mut self, class: Option<VmClass>, reach: usize, q: &Quantiles, y: f32) {
        self.held.entry(reach).or_default().count(q, y);
        if let Some(class) = class {
            self.by_class.entry(class).or_default().entry(reach).or_default().count(q, y);
        }
    }
}

/// Scores the forecasts of a fleet as their outcomes come in. An origin counts when all samples up to the farthest
/// horizon were observed, as in the bench. Sums are taken tick by tick in the order of the series.
#[derive(Debug)]
pub struct Scorer {
    resources: Vec<Resource>,
    /// Of the VM of each series; empty = not told.
    classes: Vec<VmClass>,
    /// Index into a forecast, and steps, of the step horizons; then of the peak.
    steps: Vec<(usize, usize)>,
    peak: Option<(usize, usize)>,
    reach: usize,
    /// Quantiles [series][horizon] by origin, oldest first; `None` = not to be scored.
    pending: VecDeque<Option<Vec<Vec<Quantiles>>>>,
    /// The newest `reach` ticks.
    recent: VecDeque<Vec<f32>>,
    sums: BTreeMap<Resource, Sums>,
}

impl Scorer {
    /// A scorer for a fleet: the resource of each series, and the fleet's horizons. Of the step horizons those in
    /// `score_steps` count (300, 1,800 and 3,600 s: 1, 6 and 12), of the peaks the first.
    pub fn new(resources: Vec<Resource>, horizons: &[Horizon], score_steps: &[u32]) -> Self {
        let mut steps = Vec::new();
        let mut peak = None;
        for (i, h) in horizons.iter().enumerate() {
            match h {
                Horizon::Step(n) if score_steps.contains(n) => steps.push((i, *n as usize)),
                Horizon::Peak(n) if peak.is_none() => peak = Some((i, *n as usize)),
                _ => {}
            }
        }
        let reach = steps.iter().chain(&peak).map(|(_, n)| *n).max().unwrap_or(0);
        let sums = resources.iter().map(|&r| (r, Sums::default())).collect();
        let classes = Vec::new();
        Self {
            resources,
            classes,
            steps,
            peak,
            reach,
            pending: VecDeque::new(),
            recent: VecDeque::new(),
            sums,
        }
    }

    /// Tells the class of the VM of each series, so that [`Self::held`] is also by class.
    pub fn by_class(mut self, classes: Vec<VmClass>) -> Self {
        self.classes = classes;
        self
    }

    /// Takes one tick: the samples, and the forecasts made after them if they are to be scored. Slices shorter than
    /// the fleet leave the rest unscored.
    pub fn tick(&mut self, points: &[f32], forecasts: Option<&[SeriesForecast]>) {
        self.recent.push_back(points.to_vec());
        if self.recent.len() > self.reach {
            self.recent.pop_front();
        }
        let due = if self.pending.len() == self.reach { self.pending.pop_front().flatten() } else { None };
        if let Some(origin) = due {
            self.score(&origin);
        }
        let keep = |f: &[SeriesForecast]| f.iter().map(|f| f.quantiles.clone()).collect();
        self.pending.push_back(forecasts.map(keep));
    }

    fn score(&mut self, origin: &[Vec<Quantiles>]) {
        for (s, (q, resource)) in origin.iter().zip(&self.resources).enumerate() {
            let value =
                |step: usize| self.recent.get(step - 1).and_then(|t| t.get(s)).copied().unwrap_or(f32::NAN);
            if (1..=self.reach).any(|k| value(k).is_nan()) {
                continue;
            }
            let class = self.classes.get(s).copied();
            let Some(sum) = self.sums.get_mut(resource) else { continue };
            sum.origins += 1;
            for &(i, step) in &self.steps {
                let y = f64::from(value(step));
                sum.pinball +=
                    (1..5).map(|l| pinball(y, f64::from(q[i].0[l]), f64::from(LEVELS[l]))).sum::<f64>();
                sum.count(class, step, &q[i], value(step));
                sum.covered += u64::from(y >= f64::from(q[i].q05()) && y <= f64::from(q[i].q95()));
            }
            if let Some((i, n)) = self.peak {
                let y = (1..=n).map(value).fold(f32::NEG_INFINITY, f32::max);
                sum.count(class, 0, &q[i], y);
                sum.violations += u64::from(y > q[i].q95());
                sum.over += f64::from(q[i].q95()) - f64::from(y);
            }
        }
    }

    /// How often bounds held so far, by the resource's name and the steps ahead (0 = the peak); `cpu/small` is the part of
    /// `cpu` that is small VMs.
    pub fn held(&self) -> BTreeMap<String, BTreeMap<usize, Held>> {
        let of = |(r, s): (&Resource, &Sums)| {
            let class = |(c, h): (&VmClass, &ByReach)| (format!("{}/{}", r.name(), c.name()), h.clone());
            let mut all: Vec<_> = s.by_class.iter().map(class).collect();
            all.push((r.name().to_owned(), s.held.clone()));
            all
        };
        self.sums.iter().flat_map(of).collect()
    }

    /// The figures so far, by the resource's name; resources without a scored forecast have n = 0.
    pub fn report(&self) -> BTreeMap<String, ResourceScore> {
        let steps = self.steps.len().max(1) as f64;
        let figures = |s: &Sums| {
            let n = s.origins.max(1) as f64;
            ResourceScore {
                n: s.origins,
                pinball: s.pinball / (4.0 * steps * n),
                coverage90: s.covered as f64 / (steps * n),
                peak_violations95: s.violations as f64 / n,
                peak_over_reservation: s.over / n,
            }
        };
        self.sums.iter().map(|(r, s)| (r.name().to_owned(), figures(s))).collect()
    }
}

fn pinball(y: f64, q: f64, level: f64) -> f64 {
    (level * (y - q)).max((level - 1.0) * (y - q))
}
