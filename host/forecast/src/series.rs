//! The state machine of one series.

use foreshade_types::{Horizon, Quantiles, Readiness, SeriesForecast};

use crate::conformal::{self, Shifts};
use crate::ensemble::{self, Ensemble};
use crate::features::{FeatureWindow, Features};
use crate::grid;
use crate::learned;
use crate::members::{self, COUNT, Scratch, Voice};
use crate::window::Window;
use crate::{SAMPLES_MIN, WINDOW};

/// Constants of the state machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tuning {
    pub(crate) ensemble: ensemble::Tuning,
    pub(crate) conformal: conformal::Tuning,
}

/// A forecast whose outcome is not known yet.
#[derive(Debug, Clone)]
struct Pending {
    voices: [Option<Voice>; COUNT],
    shifted: [f32; 5],
    scale: f32,
}

/// What one horizon has learnt.
#[derive(Debug)]
struct Track {
    /// Ring: the forecast made `delay` samples ago is where this one's goes.
    pending: Box<[Option<Pending>]>,
    ensemble: Ensemble,
    shifts: Shifts,
}

/// One series.
#[derive(Debug)]
pub(crate) struct Series {
    window: Window,
    tracks: Vec<Track>,
    voices: Vec<[Option<Voice>; COUNT]>,
    /// What the LSTM sees; `None` where there is none.
    learned: Option<(FeatureWindow, Option<Features>)>,
}

impl Series {
    /// `learned`: keep what the LSTM needs.
    pub(crate) fn new(horizons: &[Horizon], learned: bool) -> Self {
        let track = |h: &Horizon| Track {
            pending: vec![None; h.delay_steps() as usize].into_boxed_slice(),
            ensemble: Ensemble::default(),
            shifts: Shifts::default(),
        };
        Self {
            window: Window::new(),
            tracks: horizons.iter().map(track).collect(),
            voices: vec![[None; COUNT]; horizons.len()],
            learned: learned.then(|| (FeatureWindow::new(), None)),
        }
    }

    /// What the LSTM is to see of the newest sample; `None` before the first.
    pub(crate) fn features(&self) -> Option<&Features> {
        self.learned.as_ref().and_then(|(_, f)| f.as_ref())
    }

    /// Takes what a member outside the series says. A series that is too young does not listen.
    pub(crate) fn hear(&mut self, horizon: usize, member: usize, voice: Voice) {
        if self.window.observed() >= learned::SAMPLES_MIN {
            self.voices[horizon][member] = Some(voice);
        }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        match (self.window.observed(), self.window.age()) {
            (n, _) if n < SAMPLES_MIN => Readiness::Cold,
            // A window that is mostly gaps says as little as a short one.
            (n, age) if age < WINDOW as u64 || n < WINDOW / 2 => Readiness::Fallback,
            _ => Readiness::Ready,
        }
    }

    /// Takes the next sample (NaN = missing) and lets the members speak.
    pub(crate) fn observe(&mut self, x: f32, horizons: &[Horizon], scratch: &mut Scratch) {
        self.window.push(x);
        if let Some((window, features)) = &mut self.learned {
            window.push(x);
            *features = window.features();
        }
        if self.window.observed() < SAMPLES_MIN {
            self.voices.fill([None; COUNT]);
            return;
        }
        members::speak(&self.window, horizons, scratch, &mut self.voices);
    }

    /// Learns from the forecasts whose outcome the newest sample completes, then writes the forecast of now.
    pub(crate) fn conclude(&mut self, horizons: &[Horizon], t: &Tuning, out: &mut SeriesForecast) {
        out.readiness = self.readiness();
        let scale = self.window.scale();
        let age = self.window.age();
        for (i, (track, horizon)) in self.tracks.iter_mut().zip(horizons).enumerate() {
            let slot = (age % u64::from(horizon.delay_steps())) as usize;
            if let (Some(p), Some(y)) = (track.pending[slot].take(), outcome(&self.window, *horizon)) {
                track.ensemble.learn(&t.ensemble, &p.voices, y, p.scale);
                track.shifts.learn(&t.conformal, &p.shifted, y, p.scale);
            }
            let Some(voice) = track.ensemble.combine(&t.ensemble, &self.voices[i]) else {
                (out.mean[i], out.quantiles[i]) = cold(&self.window);
                continue;
            };
            let shifted = track.shifts.apply(&voice.q, scale).map(grid::near);
            track.pending[slot] = Some(Pending { voices: self.voices[i], shifted, scale });
            out.mean[i] = grid::near(voice.mean.max(0.0));
            out.quantiles[i] = Quantiles(conformal::in_order(shifted));
        }
    }
}

/// What the forecast made `delay` samples ago had to meet; `None` = unknown.
fn outcome(window: &Window, horizon: Horizon) -> Option<f32> {
    match horizon {
        Horizon::Step(_) => window.raw().last().copied().filter(|y| !y.is_nan()),
        Horizon::Peak(n) => window.recent_peak(n as usize),
    }
}

/// Before any member speaks: the range seen so far. Finite, and marked as cold.
fn cold(window: &Window) -> (f32, Quantiles) {
    let x = window.filled();
    let low = x.iter().copied().fold(f32::INFINITY, f32::min).min(window.last());
    let high = x.iter().copied().fold(0.0, f32::max);
    (window.last(), Quantiles([low, window.last(), high, high, high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_outcome_moves_nothing() {
        let horizons = [Horizon::Step(1)];
        let (mut series, mut scratch) = (Series::new(&horizons, false), Scratch::default());
        let mut out = SeriesForecast {
            readiness: Readiness::Cold,
            mean: vec![0.0],
            quantiles: vec![Quantiles::default()],
        };
        let mut tick = |series: &mut Series, x: f32| {
            series.observe(x, &horizons, &mut scratch);
            series.conclude(&horizons, &Tuning::default(), &mut out);
            (series.tracks[0].shifts, format!("{:?}", series.tracks[0].ensemble))
        };
        let mut learnt = tick(&mut series, 0.0);
        for i in 0..50 {
            learnt = tick(&mut series, (i * 7 % 11) as f32);
        }
        assert_eq!(tick(&mut series, f32::NAN), learnt);
        assert_ne!(tick(&mut series, 30.0), learnt);
    }
}
