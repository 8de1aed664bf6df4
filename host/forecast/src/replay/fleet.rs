//! What events cost on the VMs of a fleet: where a new VM starts.
//!
//! Empirical Bayes (Efron and Morris, "Stein's estimation rule and its competitors", 1973): the median over the VMs is
//! the prior's mean and their spread its variance, so that costs on which the VMs agree hold a new VM's firmly, and
//! costs on which they differ hardly.

use foreshade_types::{RESOURCES, Resource};

use super::costs::{LAGS, PARTS};
use super::model::Replay;
use super::rls::Prior;

/// VMs below which the fleet says nothing of a cost.
const VMS_MIN: usize = 3;

/// Priors per resource, learned from the replays of a fleet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FleetCosts {
    priors: [Option<[Prior; PARTS]>; RESOURCES.len()],
    lags: [Option<usize>; RESOURCES.len()],
}

impl FleetCosts {
    /// Learns from every resource that is ready. The order of the VMs does not matter.
    pub fn of(replays: &[Replay]) -> Self {
        let mut fleet = Self::default();
        for resource in RESOURCES {
            let ready: Vec<&Replay> = replays.iter().filter(|r| r.is_ready(resource)).collect();
            if ready.len() < VMS_MIN {
                continue;
            }
            let mut noise: Vec<f64> = ready.iter().map(|r| r.costs_of(resource).variance()).collect();
            let noise = median(&mut noise).max(f64::MIN_POSITIVE);
            let prior = |k: usize| {
                let seen = ready.iter().map(|r| r.costs_of(resource).chosen()).filter(|c| c.is_seen(k));
                prior_of(seen.map(|c| c.costs()[k]).collect(), noise)
            };
            fleet.priors[resource as usize] = Some(std::array::from_fn(prior));
            let mut votes = [0; LAGS];
            ready.iter().for_each(|r| votes[r.costs_of(resource).lag()] += 1);
            fleet.lags[resource as usize] = (0..LAGS).rev().max_by_key(|&lag| votes[lag]);
        }
        fleet
    }

    /// Priors of one resource; `None` = too few VMs know.
    pub fn prior(&self, resource: Resource) -> Option<[Prior; PARTS]> {
        self.priors[resource as usize]
    }

    /// The lag that most VMs found.
    pub fn lag(&self, resource: Resource) -> Option<usize> {
        self.lags[resource as usize]
    }
}

fn prior_of(mut costs: Vec<f64>, noise: f64) -> Prior {
    if costs.len() < VMS_MIN {
        return Prior { mean: 0.0, spread: None };
    }
    let mean = median(&mut costs);
    let mut away: Vec<f64> = costs.iter().map(|c| (c - mean).abs()).collect();
    // 1.4826: from the median deviation to the standard deviation of a normal.
    let sd = 1.4826 * median(&mut away);
    Prior { mean, spread: Some(sd * sd / noise) }
}

/// Of an empty list 0.
fn median(v: &mut [f64]) -> f64 {
    v.sort_unstable_by(f64::total_cmp);
    match v.len() {
        0 => 0.0,
        n => (v[(n - 1) / 2] + v[n / 2]) / 2.0,
    }
}
