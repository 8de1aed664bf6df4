//! The model card: what a model was made from, how, and how good it is. The same run gives the same card.

use std::collections::{BTreeMap, BTreeSet};

use foreshade_forecast::features;
use foreshade_types::LEVELS;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::evaluate::Comparison;
use crate::fit::{Fit, Recipe};

/// A hash of text or bytes that a test can compute in five lines of any language.
pub fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The card, as written.
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    /// Of the model file.
    pub model_sha256: String,
    /// Of the model file.
    pub model_fnv1a64: String,
    /// The command line.
    pub command: String,
    /// What made it.
    pub maker: String,
    /// The seed.
    pub seed: u64,
    /// Version of the meaning of the inputs.
    pub features: &'static str,
    /// Outputs.
    pub targets: [&'static str; 4],
    /// Quantile levels.
    pub levels: [f32; 5],
    /// By network.
    pub groups: BTreeMap<String, Group>,
    /// What must not be shown as unseen.
    pub trained_on: TrainedOn,
}

/// One weight set's part.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Group {
    /// Trained in this run.
    Trained(Box<Trained>),
    /// Taken from elsewhere.
    Kept {
        /// From where.
        kept_from: String,
    },
}

/// How a weight set was trained.
#[derive(Debug, Clone, Serialize)]
pub struct Trained {
    /// Units of the LSTM.
    pub hidden: usize,
    /// Units of the head.
    pub width: usize,
    /// Series by data set.
    pub series: BTreeMap<String, usize>,
    /// Loss of the last epoch on what it was trained on, mean over data sets in units of each one's typical distance from
    /// the last value.
    pub loss: f64,
    /// The epoch whose weights were kept, counted from 1.
    pub best_epoch: usize,
    /// Its loss on what it was judged by.
    pub best_loss: f64,
    /// (training, judged) loss by epoch.
    pub curve: Vec<[f64; 2]>,
    /// What it was judged by.
    pub judged_by: &'static str,
    /// Figures on that, of an LSTM.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub calib: BTreeMap<String, Comparison>,
}

/// Hashes of the things trained on.
#[derive(Debug, Clone, Serialize)]
pub struct TrainedOn {
    /// What is hashed.
    pub what: &'static str,
    /// Of the sorted ids, one a line.
    pub ids_sha256: String,
    /// FNV-1a 64 of each id, sorted.
    pub hashes: Vec<String>,
}

fn rounded(x: f64) -> f64 {
    (x * 1e5).round() / 1e5
}

impl Trained {
    /// From a finished fit.
    pub fn new(
        fit: &Fit,
        series: BTreeMap<String, usize>,
        judged_by: &'static str,
        calib: BTreeMap<String, Comparison>,
    ) -> Self {
        let (best_epoch, best_loss) = fit.best().unwrap_or_default();
        Self {
            hidden: fit.shape.hidden,
            width: fit.shape.width,
            series,
            loss: rounded(fit.curve.last().map_or(0.0, |[trained, _]| *trained)),
            best_epoch,
            best_loss: rounded(best_loss),
            curve: fit.curve.iter().map(|e| e.map(rounded)).collect(),
            judged_by,
            calib,
        }
    }
}

impl Card {
    /// For a model file.
    pub fn new(
        model: &[u8],
        recipe: &Recipe,
        command: &str,
        version: &str,
        groups: BTreeMap<String, Group>,
        ids: &BTreeSet<String>,
    ) -> Self {
        let mut hashes: Vec<String> =
            ids.iter().map(|id| format!("{:016x}", fnv1a64(id.as_bytes()))).collect();
        hashes.sort_unstable();
        let all: Vec<&str> = ids.iter().map(String::as_str).collect();
        Self {
            model_sha256: sha256(model),
            model_fnv1a64: format!("{:016x}", fnv1a64(model)),
            command: command.to_owned(),
            maker: format!("foreshade {version}"),
            seed: recipe.seed,
            features: features::VERSION,
            targets: ["peak of the next 6 steps", "step 1", "step 6", "step 12"],
            levels: LEVELS,
            groups,
            trained_on: TrainedOn {
                what: "FNV-1a 64 of '<trace>:<id>', id = VM, gcd job or PlanetLab machine; a network with kept_from has learnt from what the card of that model lists, too",
                ids_sha256: sha256(all.join("\n").as_bytes()),
                hashes,
            },
        }
    }
}
