//! The replay's forecast beside the one from metrics alone: calibrated, then weighted per horizon by how well each has
//! done.
//!
//! The metrics' forecast comes calibrated; the replay's quantiles are shifted as the crate's conformal step does. The
//! weights are a power of the decayed pinball loss, as in the crate's ensemble. Traces that say nothing lose their say;
//! they cannot take the metrics' away.

use foreshade_types::{Horizon, LEVELS, Quantiles, SeriesForecast};

use crate::quantile::{in_order, pinball};

/// Weight of a loss one tick later, against the newest.
const DECAY: f32 = 0.99;

/// A side's weight falls with this power of its mean loss.
const POWER: i32 = 16;

/// Outcomes that the common mean loss counts for.
const SHRINK: f32 = 6.0;

/// What the replay has to show before it is heard: outcomes.
const HEARD_FROM: f32 = 20.0;

/// Step of a shift per outcome, in units of the replay's mean absolute error.
const GAMMA: f32 = 0.03;

/// The median's index: it is not shifted.
const MEDIAN: usize = 1;

/// What one side says: mean and quantiles at [`LEVELS`], in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Say {
    /// Mean.
    pub mean: f32,
    /// Quantiles.
    pub q: [f32; 5],
}

/// A forecast whose outcome is open.
#[derive(Debug, Clone, Copy)]
struct Open {
    metrics: Say,
    /// Shifted.
    replay: Option<Say>,
}

#[derive(Debug, Clone)]
struct Track {
    pending: Box<[Option<Open>]>,
    loss: [f32; 2],
    count: [f32; 2],
    shift: [f32; 5],
    /// Decayed mean absolute error of the replay's median.
    unit: f32,
}

/// Both sides of one series.
#[derive(Debug, Clone)]
pub struct Blend {
    horizons: Vec<Horizon>,
    tracks: Vec<Track>,
    recent: Box<[f32]>,
    age: u64,
}

impl Blend {
    /// The horizons of both sides.
    pub fn new(horizons: &[Horizon]) -> Self {
        let delay = |h: &Horizon| h.delay_steps().max(1) as usize;
        let track = |h: &Horizon| Track {
            pending: vec![None; delay(h)].into_boxed_slice(),
            loss: [0.0; 2],
            count: [0.0; 2],
            shift: [0.0; 5],
            unit: 0.0,
        };
        Self {
            horizons: horizons.to_vec(),
            tracks: horizons.iter().map(track).collect(),
            recent: vec![f32::NAN; horizons.iter().map(delay).max().unwrap_or(1)].into_boxed_slice(),
            age: 0,
        }
    }

    /// Takes the newest sample (points, NaN = missing) and what both sides say from it on; writes the blend over
    /// `metrics`. `replay[i]` belongs to horizon i.
    pub fn step(&mut self, y: f32, replay: &[Option<Say>], forecast: &mut SeriesForecast) {
        self.age += 1;
        self.recent.copy_within(1.., 0);
        let newest = self.recent.len() - 1;
        self.recent[newest] = y;
        for (i, (horizon, track)) in self.horizons.iter().zip(&mut self.tracks).enumerate() {
            let delay = track.pending.len();
            let slot = (self.age % delay as u64) as usize;
            let outcome = outcome(&self.recent[self.recent.len() - delay..], *horizon);
            if let (Some(open), Some(y)) = (track.pending[slot].take(), outcome) {
                track.learn(&open, y);
            }
            let metrics = Say { mean: forecast.mean[i], q: forecast.quantiles[i].0 };
            let replay = replay.get(i).copied().flatten().map(|say| track.calibrate(say));
            track.pending[slot] = Some(Open { metrics, replay });
            let Some(replay) = replay else { continue };
            let said = track.combine(&metrics, &replay);
            forecast.mean[i] = said.mean;
            forecast.quantiles[i] = Quantiles(in_order(said.q));
        }
    }

    /// The replay's weight at a horizon, 0..=1, if it speaks there.
    pub fn weight(&self, horizon: usize) -> f32 {
        self.tracks[horizon].share()
    }
}

/// `None` = unknown.
fn outcome(due: &[f32], horizon: Horizon) -> Option<f32> {
    match horizon {
        Horizon::Step(_) => due.last().copied().filter(|y| !y.is_nan()),
        Horizon::Peak(_) => crate::quantile::peak(due),
    }
}

impl Track {
    fn learn(&mut self, open: &Open, y: f32) {
        // Both are judged by the same outcomes only.
        let Some(replay) = &open.replay else { return };
        for (m, q) in [&open.metrics.q, &in_order(replay.q)].into_iter().enumerate() {
            self.loss[m] = DECAY * self.loss[m] + pinball(q, y);
            self.count[m] = DECAY * self.count[m] + 1.0;
        }
        let error = (y - replay.q[MEDIAN]).abs();
        self.unit = if self.unit > 0.0 { DECAY * self.unit + (1.0 - DECAY) * error } else { error };
        for i in (0..LEVELS.len()).filter(|&i| i != MEDIAN) {
            let step = f32::from(u8::from(y > replay.q[i])) - (1.0 - LEVELS[i]);
            self.shift[i] = (self.shift[i] + GAMMA * step).clamp(-10.0, 10.0);
        }
    }

    /// The replay's quantiles, shifted to where each was missed as often as its level says.
    fn calibrate(&self, mut say: Say) -> Say {
        say.q.iter_mut().zip(self.shift).for_each(|(q, s)| *q += s * self.unit);
        say
    }

    fn share(&self) -> f32 {
        let n = self.count[0];
        if n < HEARD_FROM {
            return 0.0;
        }
        let common = (self.loss[0] + self.loss[1]) / 2.0 / n;
        let mean = |m: usize| (self.loss[m] + SHRINK * common) / (n + SHRINK);
        let (metrics, replay) = (mean(0), mean(1));
        if metrics <= 0.0 {
            return 0.0;
        }
        1.0 / (1.0 + (replay / metrics).min(100.0).powi(POWER))
    }

    fn combine(&self, metrics: &Say, replay: &Say) -> Say {
        let w = self.share();
        let mix = |a: f32, b: f32| (1.0 - w) * a + w * b;
        Say {
            mean: mix(metrics.mean, replay.mean),
            q: std::array::from_fn(|i| mix(metrics.q[i], replay.q[i])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshade_types::Readiness;

    fn forecast(x: f32) -> SeriesForecast {
        SeriesForecast { readiness: Readiness::Ready, mean: vec![x], quantiles: vec![Quantiles([x; 5])] }
    }

    fn after(truth: f32, metrics: f32, replay: f32) -> f32 {
        let mut blend = Blend::new(&[Horizon::Step(1)]);
        let mut said = forecast(metrics);
        for i in 0..300 {
            said = forecast(metrics);
            blend.step(truth + (i % 2) as f32, &[Some(Say { mean: replay, q: [replay; 5] })], &mut said);
        }
        said.mean[0]
    }

    #[test]
    fn whoever_is_right_is_heard() {
        assert!((after(50.0, 20.0, 50.0) - 50.0).abs() < 0.01);
        assert!((after(50.0, 50.0, 80.0) - 50.0).abs() < 0.01);
    }

    #[test]
    fn without_a_replay_the_metrics_stand() {
        let mut blend = Blend::new(&[Horizon::Step(1)]);
        let mut said = forecast(30.0);
        blend.step(30.0, &[None], &mut said);
        assert_eq!(said, forecast(30.0));
    }
}
