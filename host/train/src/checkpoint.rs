//! Where a run stands after an epoch, as safetensors: enough to end in the same bytes as a run that was never stopped.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::file::{Tensor, safetensors};
use crate::fit::Fit;
use crate::net::Shape;
use crate::optim::Adam;
use crate::task::Task;

/// Its name in the model's folder.
pub const FILE: &str = "checkpoint.safetensors";
const FORMAT: &str = "foreshade-train/1";

/// What a checkpoint says beside its tensors.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    hidden: usize,
    width: usize,
    input: usize,
    stats: usize,
    steps: u64,
    curve: Vec<[f64; 2]>,
}

/// The bytes of a checkpoint. `job` identifies data and recipe.
pub fn to_bytes(job: &str, fits: &BTreeMap<Task, Fit>) -> Vec<u8> {
    let mut metadata =
        BTreeMap::from([("format".to_owned(), FORMAT.to_owned()), ("job".to_owned(), job.to_owned())]);
    let mut tensors = BTreeMap::new();
    for (task, fit) in fits {
        let name = task.name();
        let Shape { input, hidden, stats, width } = fit.shape;
        let said = Said { hidden, width, input, stats, steps: fit.adam.steps, curve: fit.curve.clone() };
        // Numbers always become JSON.
        metadata.insert(name.clone(), serde_json::to_string(&said).unwrap_or_default());
        let parts = [
            ("adam_mean", &fit.adam.mean),
            ("adam_square", &fit.adam.square),
            ("best", &fit.best),
            ("weights", &fit.params),
        ];
        for (part, values) in parts {
            tensors.insert(format!("{name}.{part}"), Tensor { shape: vec![values.len()], values });
        }
    }
    safetensors(&tensors, &metadata)
}

/// Reads a checkpoint of this job, which trains these networks.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn from_bytes(bytes: &[u8], job: &str, tasks: &[Task]) -> Result<BTreeMap<Task, Fit>, String> {
    let damaged = |e: safetensors::SafeTensorError| format!("is damaged ({e})");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.get("format").map(String::as_str) != Some(FORMAT) {
        return Err("is no checkpoint of this version".into());
    }
    if metadata.get("job").map(String::as_str) != Some(job) {
        return Err("belongs to other inputs or options; give the same, or begin anew with --force".into());
    }
    let mut fits = BTreeMap::new();
    for &task in tasks {
        let name = task.name();
        let Some(said) = metadata.get(&name) else { continue };
        let said: Said = serde_json::from_str(said).map_err(|e| format!("is damaged ({e})"))?;
        let shape = Shape { input: said.input, hidden: said.hidden, stats: said.stats, width: said.width };
        let values = |part: &str| {
            let view = file.tensor(&format!("{name}.{part}")).map_err(damaged)?;
            let (words, _) = view.data().as_chunks::<4>();
            Ok::<Vec<f32>, String>(words.iter().map(|w| f32::from_le_bytes(*w)).collect())
        };
        let adam = Adam { steps: said.steps, mean: values("adam_mean")?, square: values("adam_square")? };
        let (params, best) = (values("weights")?, values("best")?);
        let whole = [&adam.mean, &adam.square, &params, &best].iter().all(|v| v.len() == shape.values());
        if !whole {
            return Err("is damaged (its parts do not fit)".into());
        }
        fits.insert(task, Fit { shape, params, adam, best, curve: said.curve });
    }
    Ok(fits)
}
