//! Files: safetensors whose bytes follow from their content, and writing that leaves a whole file or the old one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use foreshade_accel::lstm_step::{Head, LEVELS, TARGETS};
use foreshade_forecast::behaviour::{Behaviours, TRAITS};
use foreshade_forecast::features::{self, INPUT, STATS};
use foreshade_forecast::lstm::{FORMAT, LstmModel, ModelError, Profile, torch_lstm};
use rand_pcg::Pcg64;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;

use crate::TrainError;
use crate::net::Shape;
use crate::task::{Net, Task};

/// A tensor to write.
pub struct Tensor<'a> {
    /// Rows and columns, or the length alone.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: &'a [f32],
}

/// A tensor's entry in the header; fields in the order of their names.
#[derive(Serialize)]
struct Entry {
    data_offsets: [usize; 2],
    dtype: &'static str,
    shape: Vec<usize>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Tensor(Entry),
    Metadata(BTreeMap<String, String>),
}

/// Safetensors with names, and keys of the metadata, in alphabetical order: equal content is equal bytes.
pub fn safetensors(tensors: &BTreeMap<String, Tensor<'_>>, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let (mut header, mut data) = (BTreeMap::new(), vec![]);
    header.insert("__metadata__".to_owned(), Line::Metadata(metadata.clone()));
    for (name, t) in tensors {
        let start = data.len();
        t.values.iter().for_each(|v| data.extend(v.to_le_bytes()));
        let entry = Entry { data_offsets: [start, data.len()], dtype: "F32", shape: t.shape.clone() };
        header.insert(name.clone(), Line::Tensor(entry));
    }
    // Strings and numbers always become JSON.
    let mut header = serde_json::to_vec(&header).unwrap_or_default();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// A model file of networks, and of the behaviours that the feed-forward ones are for.
pub fn model(
    nets: &BTreeMap<Task, (Shape, Vec<f32>)>,
    behaviours: &BTreeMap<Profile, Behaviours>,
) -> Vec<u8> {
    let mut tensors = BTreeMap::new();
    let flat: Vec<(String, Vec<f32>, &Behaviours)> =
        behaviours.iter().map(|(p, b)| (p.name().to_owned(), b.centres.concat(), b)).collect();
    for (name, centres, b) in &flat {
        let shape = vec![b.centres.len(), TRAITS];
        tensors.insert(format!("{name}.behaviours.centre"), Tensor { shape, values: centres });
        tensors.insert(format!("{name}.behaviours.unit"), Tensor { shape: vec![TRAITS], values: &b.unit });
    }
    for (task, (shape, params)) in nets {
        for ((name, rows, columns), values) in shape.tensors().into_iter().zip(shape.cut(params)) {
            let shape = if columns == 0 { vec![rows] } else { vec![rows, columns] };
            tensors.insert(format!("{}.{name}", task.name()), Tensor { shape, values });
        }
    }
    let metadata = [("features", features::VERSION), ("format", FORMAT)];
    let metadata = metadata.map(|(k, v)| (k.to_owned(), v.to_owned()));
    safetensors(&tensors, &metadata.into_iter().collect())
}

/// Writes a file whole, or leaves the old one: beside it, to the disk, then renamed.
///
/// # Errors
/// The system's word; what was half written is removed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let done = File::create(&beside)
        .and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // That a leftover cannot be removed is not worth a second error.
        let _ = fs::remove_file(&beside);
    }
    done.map_err(|source| TrainError::Write { path: path.to_owned(), source })
}

/// Weights to start from.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// A model of ours: each weight set from its own.
    Model(Box<LstmModel>),
    /// A `torch.nn.LSTM`, and the head where the file has one, for every weight set.
    Torch {
        /// Sizes; of the head as in the file, or as asked for.
        shape: Shape,
        /// The LSTM's values.
        lstm: Vec<f32>,
        /// The head's, if the file has one.
        head: Option<Vec<f32>>,
    },
}

impl Init {
    /// Reads a model file, or a PyTorch state dict: keys as of a `torch.nn.LSTM`, or under `lstm.` beside a `head.`. A head
    /// that is not there will have `width` units.
    ///
    /// # Errors
    /// The first thing wrong with the file.
    pub fn read(bytes: &[u8], width: usize) -> Result<Self, ModelError> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| ModelError::Container(e.to_string()))?;
        let names = file.names();
        let has = |prefix: &str| names.iter().any(|n| n.starts_with(&format!("{prefix}weight_ih_l0")));
        let Some(prefix) = ["lstm.", ""].into_iter().find(|p| has(p)) else {
            return LstmModel::from_safetensors(bytes).map(|m| Self::Model(Box::new(m)));
        };
        let weights = torch_lstm(bytes, prefix)?;
        let cell = &weights.layers()[0];
        if cell.input != INPUT {
            return Err(ModelError::Tensor {
                name: format!("{prefix}weight_ih_l0"),
                got: format!("made for {} inputs", cell.input),
                want: format!("{INPUT}"),
            });
        }
        let lstm = [&cell.w_ih, &cell.w_hh, &cell.b_ih, &cell.b_hh].into_iter().flatten().copied().collect();
        let head =
            if names.iter().any(|n| n.starts_with("head.")) { Some(head(&file, cell.hidden)?) } else { None };
        let width = head.as_ref().map_or(width, |h| h.width);
        let shape = Shape { input: INPUT, hidden: cell.hidden, stats: STATS, width };
        let head = head.map(|h| [h.w1, h.b1, h.w2, h.b2].concat());
        Ok(Self::Torch { shape, lstm, head })
    }

    /// Sizes and weights to begin a network with; a head that the file lacks is drawn. `None` = the file says nothing of it.
    pub fn start(&self, task: Task, rng: &mut Pcg64) -> Option<(Shape, Vec<f32>)> {
        match (self, task.net) {
            (Self::Model(model), Net::Lstm) => Shape::of(model.weights(task.profile)),
            // Those of a model belong to its own behaviours.
            (_, Net::Mlp(_)) => None,
            (Self::Torch { shape, lstm, head }, Net::Lstm) => {
                let mut params = shape.draw(rng);
                params[..lstm.len()].copy_from_slice(lstm);
                if let Some(head) = head {
                    params[lstm.len()..].copy_from_slice(head);
                }
                Some((*shape, params))
            }
        }
    }
}

/// Reads `head.0` and `head.2`.
fn head(file: &SafeTensors<'_>, hidden: usize) -> Result<Head, ModelError> {
    let tensor = |name: &str, want: Vec<usize>| {
        let view = file.tensor(name).map_err(|_| ModelError::Missing(name.to_owned()))?;
        if view.dtype() != Dtype::F32 || view.shape() != want {
            return Err(ModelError::Tensor {
                name: name.to_owned(),
                got: format!("{:?} {:?}", view.dtype(), view.shape()),
                want: format!("F32 {want:?}"),
            });
        }
        let (words, _) = view.data().as_chunks::<4>();
        Ok(words.iter().map(|w| f32::from_le_bytes(*w)).collect())
    };
    let width = file.tensor("head.0.bias").ok().and_then(|v| v.shape().first().copied()).unwrap_or(0);
    Ok(Head {
        stats: STATS,
        width,
        w1: tensor("head.0.weight", vec![width, hidden + STATS])?,
        b1: tensor("head.0.bias", vec![width])?,
        w2: tensor("head.2.weight", vec![TARGETS * LEVELS, width])?,
        b2: tensor("head.2.bias", vec![TARGETS * LEVELS])?,
    })
}
