//! The LSTM as a member of the fleet: which series it speaks for, and what it says of which horizon.

use std::sync::Arc;

use foreshade_accel::{AccelError, Engine};
use foreshade_types::Horizon;

use crate::SeriesProfile;
use crate::features::Features;
use crate::lstm::{LstmFleet, LstmModel, MODEL_HORIZONS, Profile, TargetQuantiles};
use crate::members::{LSTM, Voice};
use crate::series::Series;

/// The cadence the model was trained on, seconds. It knows no other.
pub(crate) const CADENCE_S: u32 = 300;

/// Samples before it speaks: it was trained on no series shorter than two hours.
pub(crate) const SAMPLES_MIN: usize = 24;

/// Both weight sets over their series.
#[derive(Debug)]
pub(crate) struct Learned {
    engine: Engine,
    sets: Vec<Set>,
    /// (horizon of the fleet, target of the model).
    targets: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Set {
    fleet: LstmFleet,
    /// Series by lane.
    members: Vec<usize>,
    /// By lane, of this tick.
    features: Vec<Option<Features>>,
}

impl Learned {
    /// `None` if it has nothing to say: another cadence, or none of its horizons.
    pub(crate) fn new(
        model: &Arc<LstmModel>,
        mut engine: Engine,
        series: &[SeriesProfile],
        horizons: &[Horizon],
        cadence_s: u32,
    ) -> Result<Option<Self>, AccelError> {
        let find = |h: &Horizon| MODEL_HORIZONS.iter().position(|m| m == h);
        let targets: Vec<_> = horizons.iter().enumerate().filter_map(|(i, h)| Some((i, find(h)?))).collect();
        if cadence_s != CADENCE_S || targets.is_empty() {
            return Ok(None);
        }
        let mut sets = Vec::new();
        for profile in Profile::ALL {
            let of = |p: &SeriesProfile| p.resource.map_or(Profile::Other, Profile::of) == profile;
            let members: Vec<usize> = (0..series.len()).filter(|&i| of(&series[i])).collect();
            if !members.is_empty() {
                let fleet = LstmFleet::new(model, profile, &mut engine, members.len())?;
                sets.push(Set { fleet, members, features: vec![] });
            }
        }
        Ok(Some(Self { engine, sets, targets }))
    }

    /// What the engine has seen of its devices.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// One tick: reads the features that the series have just made, and adds its voice to theirs.
    pub(crate) fn step(&mut self, series: &mut [Series]) -> Result<(), AccelError> {
        let engine = &mut self.engine;
        let device = engine.info().driver;
        let _span = tracing::info_span!("accel::run", device, series = series.len() as u64).entered();
        // Both are sent before either is waited for.
        for set in &mut self.sets {
            set.features.clear();
            set.features.extend(set.members.iter().map(|&i| series[i].features().copied()));
            set.fleet.submit(engine, |lane| set.features[lane].as_ref())?;
        }
        for set in &mut self.sets {
            let (members, targets) = (&set.members, &self.targets);
            let hear = |lane: usize, q: &TargetQuantiles| {
                let series = &mut series[members[lane]];
                for &(horizon, target) in targets {
                    series.hear(horizon, LSTM, Voice { mean: mean(&q[target].0), q: q[target].0 });
                }
            };
            set.fleet.collect(engine, |lane| set.features[lane].as_ref(), hear)?;
        }
        Ok(())
    }
}

/// The mean of a distribution known by five quantiles: each stands for the probability nearer to it than to the others.
fn mean(q: &[f32; 5]) -> f32 {
    0.275 * q[0] + 0.425 * q[1] + 0.225 * q[2] + 0.045 * q[3] + 0.03 * q[4]
}
