//! Figures of a finished model, run as in service, beside a rule that anyone can compute.

use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::WINDOW;
use foreshade_forecast::features::{FeatureWindow, Features};
use foreshade_forecast::lstm::{LstmFleet, LstmModel};
use foreshade_types::LEVELS;
use serde::Serialize;

use crate::TrainError;
use crate::data::{AHEAD, DataSet, PEAK, STEPS, Series, TARGETS};

/// Samples from one origin to the next: an hour.
const EVERY: usize = 12;
/// Series that are run side by side, so that a lane's features stay in the caches.
const LANES: usize = 64;

/// Errors over the origins of a data set, points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Mean pinball loss of the 50, 90, 95 and 99 % quantiles of the steps.
    pub pinball: f64,
    /// Mean pinball loss of the peak's 95 % quantile.
    pub peak_pinball95: f64,
    /// Share of outcomes between the 5 and the 95 % quantile of the steps.
    pub coverage90: f64,
    /// Share of peaks above their 95 % quantile.
    pub peak_violations95: f64,
    /// Mean distance from the peak up to its 95 % quantile.
    pub peak_over_reservation: f64,
}

/// Both, over the same origins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// How many origins.
    pub origins: usize,
    /// The model's.
    pub model: Figures,
    /// Of the last value plus the quantiles of the window's changes; of its rises to a peak for the peak.
    pub last_value_and_rise: Figures,
}

type Forecast = [[f32; 5]; TARGETS];

/// Sums that become [`Figures`].
#[derive(Default)]
struct Sums {
    pinball: f64,
    peak_pinball: f64,
    inside: f64,
    violations: f64,
    over: f64,
}

impl Sums {
    fn add(&mut self, y: &[f32; TARGETS], q: &Forecast) {
        let loss = |y: f32, q: f32, level: f32| {
            let (e, level) = (f64::from(y) - f64::from(q), f64::from(level));
            (level * e).max((level - 1.0) * e)
        };
        let flag = |b: bool| f64::from(u8::from(b));
        for (y, q) in y.iter().zip(q).skip(1) {
            let levels = q.iter().zip(LEVELS).skip(1);
            self.pinball += levels.map(|(q, level)| loss(*y, *q, level)).sum::<f64>();
            self.inside += flag(*y >= q[0] && *y <= q[3]);
        }
        self.peak_pinball += loss(y[0], q[0][3], LEVELS[3]);
        self.violations += flag(y[0] > q[0][3]);
        self.over += f64::from(q[0][3]) - f64::from(y[0]);
    }

    fn figures(&self, n: usize) -> Figures {
        let mean = |sum: f64, per: usize| {
            let rounded = sum / (n * per).max(1) as f64 * 1e4;
            rounded.round() / 1e4
        };
        let steps = TARGETS - 1;
        Figures {
            pinball: mean(self.pinball, steps * (LEVELS.len() - 1)),
            peak_pinball95: mean(self.peak_pinball, 1),
            coverage90: mean(self.inside, steps),
            peak_violations95: mean(self.violations, 1),
            peak_over_reservation: mean(self.over, 1),
        }
    }
}

/// Streams every series of a set from its first sample, and looks at a forecast every hour once the window is full.
///
/// # Errors
/// No device runs the model.
pub fn evaluate(model: &LstmModel, set: &DataSet, threads: usize) -> Result<Comparison, TrainError> {
    let mut engine = open("cpu", &OpenOptions { threads, ..OpenOptions::default() })?;
    let (mut n, mut ours, mut rule) = (0, Sums::default(), Sums::default());
    for lanes in set.series.chunks(LANES) {
        let mut fleet = LstmFleet::new(model, set.profile, &mut engine, lanes.len())?;
        let mut windows = vec![FeatureWindow::new(); lanes.len()];
        let longest = lanes.iter().map(|s| s.x.len()).max().unwrap_or(0);
        let mut out = vec![];
        for tick in 0..longest {
            let push = |(s, w): (&Series, &mut FeatureWindow)| {
                s.x.get(tick).and_then(|x| {
                    w.push(*x);
                    w.features()
                })
            };
            let features: Vec<Option<Features>> = lanes.iter().zip(&mut windows).map(push).collect();
            fleet.step(&mut engine, &features, &mut out)?;
            if tick + 1 < WINDOW || (tick + 1) % EVERY != 0 {
                continue;
            }
            for (s, q) in lanes.iter().zip(&out) {
                if let Some(q) = q.as_ref().filter(|_| s.known(tick)) {
                    let y = s.targets(tick);
                    ours.add(&y, &q.map(|q| q.0));
                    rule.add(&y, &last_value_and_rise(&s.x[tick + 1 - WINDOW..=tick]));
                    n += 1;
                }
            }
        }
    }
    Ok(Comparison { origins: n, model: ours.figures(n), last_value_and_rise: rule.figures(n) })
}

/// The last value plus quantiles of the window's changes over each horizon; of its rises to a peak for the peak.
fn last_value_and_rise(w: &[f32]) -> Forecast {
    const { assert!(AHEAD < WINDOW) };
    let last = w[w.len() - 1];
    let above = |changes: Vec<f32>| quantiles(changes).map(|q| (last + q).max(0.0));
    let peak = |i: usize| w[i + 1..=i + PEAK].iter().copied().fold(f32::MIN, f32::max) - w[i];
    let [a, b, c] = STEPS.map(|h| above(w.windows(h + 1).map(|v| v[h] - v[0]).collect()));
    [above((0..w.len() - PEAK).map(peak).collect()), a, b, c]
}

/// At [`LEVELS`], with linear interpolation; `values` holds one at least.
fn quantiles(mut values: Vec<f32>) -> [f32; 5] {
    values.sort_by(f32::total_cmp);
    LEVELS.map(|level| {
        let at = f64::from(level) * (values.len() - 1) as f64;
        let low = at as usize;
        let high = (low + 1).min(values.len() - 1);
        values[low] + (at - low as f64) as f32 * (values[high] - values[low])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_moves_by_what_the_window_moved() {
        let ramp: Vec<f32> = (0..WINDOW).map(|i| i as f32).collect();
        let q = last_value_and_rise(&ramp);
        let last = WINDOW as f32 - 1.0;
        assert_eq!(q, [[last + 6.0; 5], [last + 1.0; 5], [last + 6.0; 5], [last + 12.0; 5]]);
        assert_eq!(quantiles((0..=100).map(|i| i as f32).collect()), [5.0, 50.0, 90.0, 95.0, 99.0]);
    }

    #[test]
    fn figures_of_a_forecast_worked_out_by_hand() {
        let mut s = Sums::default();
        s.add(
            &[10.0, 2.0, 2.0, 30.0],
            &[[0.0, 5.0, 8.0, 9.0, 20.0], [1.0, 2.0, 3.0, 4.0, 5.0], [0.0; 5], [30.0; 5]],
        );
        let f = s.figures(1);
        // Step 1: 0, 0.1, 0.1, 0.03; step 6: 1, 1.8, 1.9, 1.98; step 12: none.
        assert_eq!(
            f.pinball,
            ((0.0 + 0.1 + 0.1 + 0.03 + 1.0 + 1.8 + 1.9 + 1.98) / 12.0 * 1e4f64).round() / 1e4
        );
        assert_eq!((f.peak_pinball95, f.peak_violations95, f.peak_over_reservation), (0.95, 1.0, -1.0));
        assert_eq!(f.coverage90, (2.0 / 3.0 * 1e4f64).round() / 1e4, "of three steps one is outside");
    }
}
