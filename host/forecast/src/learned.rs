//! The LSTM as a member of the fleet: which series it speaks for, and what it says of which horizon.

use std::sync::Arc;

use foreshade_accel::{AccelError, Backend};
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
    backend: Box<dyn Backend>,
    sets: Vec<Set>,
    /// (horizon of the fleet, target of the model).
    targets: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Set {
    fleet: LstmFleet,
    /// Series by lane.
    members: Vec<usize>,
    lanes: Vec<u32>,
    features: Vec<Features>,
    out: Vec<TargetQuantiles>,
}

impl Learned {
    /// `None` if it has nothing to say: another cadence, or none of its horizons.
    pub(crate) fn new(
        model: &Arc<LstmModel>,
        mut backend: Box<dyn Backend>,
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
                let fleet = LstmFleet::new(model, profile, backend.as_mut(), members.len())?;
                sets.push(Set { fleet, members, lanes: vec![], features: vec![], out: vec![] });
            }
        }
        Ok(Some(Self { backend, sets, targets }))
    }

    /// One tick: reads the features that the series have just made, and adds its voice to theirs.
    pub(crate) fn step(&mut self, series: &mut [Series]) -> Result<(), AccelError> {
        for set in &mut self.sets {
            set.lanes.clear();
            set.features.clear();
            for (lane, &i) in set.members.iter().enumerate() {
                if let Some(features) = series[i].features() {
                    set.lanes.push(lane as u32);
                    set.features.push(*features);
                }
            }
            if set.lanes.is_empty() {
                continue;
            }
            set.fleet.step(self.backend.as_mut(), &set.lanes, &set.features, &mut set.out)?;
            for (&lane, q) in set.lanes.iter().zip(&set.out) {
                let series = &mut series[set.members[lane as usize]];
                for &(horizon, target) in &self.targets {
                    series.hear(horizon, LSTM, Voice { mean: mean(&q[target].0), q: q[target].0 });
                }
            }
        }
        Ok(())
    }
}

/// The mean of a distribution known by five quantiles: each stands for the probability nearer to it than to the others.
fn mean(q: &[f32; 5]) -> f32 {
    0.275 * q[0] + 0.425 * q[1] + 0.225 * q[2] + 0.045 * q[3] + 0.03 * q[4]
}
