//! The global LSTM: weights from safetensors, and one tick for many series through a back end.
//!
//! File: two weight sets, `cpu` and `other`, each a `torch.nn.LSTM` state dict under `<set>.lstm.` and a head under
//! `<set>.head.`; metadata `format` = [`FORMAT`], `features` = [`features::VERSION`]. A set may bring feed-forward networks
//! of the same form under `<set>.mlp0.`, `<set>.mlp1.` and so on, one for any series and one per behaviour, and with them
//! `<set>.behaviours.centre` [kinds][traits] and `.unit` [traits]; see [`Mlps`].

use std::sync::Arc;

use foreshade_accel::{AccelError, Engine, KernelId, Slab, StateId, StateSnapshot, lstm_step, quantiles_of};
use foreshade_types::{Horizon, Quantiles, Resource};
use lstm_step::{Cell, GATES, Head, LEVELS, MAX_HIDDEN, STEP, TARGETS, Weights, WeightsError};
use safetensors::{Dtype, SafeTensors};

use crate::behaviour::{Behaviours, TRAITS};
use crate::features::{self, Features, INPUT, STATS};

/// Value of the metadata key `format`.
pub const FORMAT: &str = "foreshade-lstm/1";

/// What the model forecasts, in the order of its outputs.
pub const MODEL_HORIZONS: [Horizon; TARGETS] =
    [Horizon::Peak(6), Horizon::Step(1), Horizon::Step(6), Horizon::Step(12)];

/// The cadence the shipped model was trained on, seconds. It knows no other.
pub(crate) const CADENCE_S: u32 = 300;

/// Quantiles for [`MODEL_HORIZONS`], in points.
pub type TargetQuantiles = [Quantiles; TARGETS];

/// Largest file that is read; two sets at the largest sizes need 7 MiB.
const MAX_FILE_BYTES: usize = 16 << 20;

/// The model this version ships: `models/default`.
pub const DEFAULT_MODEL: &[u8] = include_bytes!("../../../models/default/model.safetensors");

/// Which of the two weight sets a series uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// CPU.
    Cpu,
    /// Memory, disk and network.
    Other,
}

impl Profile {
    /// Both, in the order of the file.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Other];

    /// The profile of a resource.
    pub fn of(resource: Resource) -> Self {
        match resource {
            Resource::Cpu => Self::Cpu,
            _ => Self::Other,
        }
    }

    /// Its prefix in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Other => "other",
        }
    }
}

/// Why a model file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Too large.
    #[error("model file has {got} bytes, at most {MAX_FILE_BYTES} are read")]
    TooLarge {
        /// Its size.
        got: usize,
    },
    /// Not safetensors.
    #[error("model file is not valid safetensors ({0}); train one with `foreshade train`")]
    Container(String),
    /// A metadata key is absent or has another value.
    #[error("model file says {key} = {got}, this version reads {want}; train the model again")]
    Metadata {
        /// The key.
        key: &'static str,
        /// Its value, or "nothing".
        got: String,
        /// What it must be.
        want: &'static str,
    },
    /// A tensor is absent.
    #[error("model file has no tensor {0}")]
    Missing(String),
    /// A tensor has another type or number of dimensions.
    #[error("tensor {name} is {got}, needs {want}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What it is.
        got: String,
        /// What it must be.
        want: String,
    },
    /// More than one layer or direction, or a projection.
    #[error("tensor {0} belongs to an LSTM with more layers or directions than the one this version runs")]
    Layers(String),
    /// Sizes or values out of bounds.
    #[error("weights of {set}: {source}")]
    Weights {
        /// The weight set.
        set: String,
        /// What is wrong.
        #[source]
        source: WeightsError,
    },
}

/// Kinds of behaviour that a model may tell apart.
pub const KINDS_MAX: usize = 16;

/// Feed-forward networks beside an LSTM, in its own form: cells that start from zero at every tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlps {
    /// The kinds of series there are.
    pub behaviours: Behaviours,
    /// The first is for any series, the others for one kind each.
    pub nets: Vec<Weights>,
}

/// Both weight sets.
#[derive(Debug, Clone, PartialEq)]
pub struct LstmModel {
    sets: [Weights; 2],
    mlps: [Option<Mlps>; 2],
}

impl LstmModel {
    /// Reads a model. Any bytes may come in; a model that comes out has finite weights of the right shapes.
    ///
    /// # Errors
    /// The first thing wrong with the file.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, ModelError> {
        check_metadata(bytes)?;
        let file = container(bytes)?;
        let set = |profile: Profile| read_set(&file, profile.name());
        let mlps = |profile: Profile| read_mlps(&file, profile.name());
        Ok(Self {
            sets: [set(Profile::Cpu)?, set(Profile::Other)?],
            mlps: [mlps(Profile::Cpu)?, mlps(Profile::Other)?],
        })
    }

    /// The shipped model.
    ///
    /// # Errors
    /// Never for the file that this version was built with; a test reads it.
    pub fn shipped() -> Result<Self, ModelError> {
        Self::from_safetensors(DEFAULT_MODEL)
    }

    /// The weights of a profile.
    pub fn weights(&self, profile: Profile) -> &Weights {
        match profile {
            Profile::Cpu => &self.sets[0],
            Profile::Other => &self.sets[1],
        }
    }

    /// The feed-forward networks of a profile, if the model has any.
    pub fn mlps(&self, profile: Profile) -> Option<&Mlps> {
        match profile {
            Profile::Cpu => self.mlps[0].as_ref(),
            Profile::Other => self.mlps[1].as_ref(),
        }
    }
}

/// Reads a plain `torch.nn.LSTM` state dict (one layer, one direction, with biases) whose keys begin with `prefix`.
///
/// # Errors
/// The first thing wrong with the file.
pub fn torch_lstm(bytes: &[u8], prefix: &str) -> Result<Weights, ModelError> {
    let file = container(bytes)?;
    let cell = read_cell(&file, prefix)?;
    weights(prefix, cell, None)
}

/// The LSTM over the series of one profile: a lane of resident state per series.
#[derive(Debug)]
pub struct LstmFleet {
    state: StateId,
}

impl LstmFleet {
    /// Loads the weights of a profile into an engine and makes zero state for `series` series.
    ///
    /// # Errors
    /// No device has room or runs the kernel.
    pub fn new(
        model: &LstmModel,
        profile: Profile,
        engine: &mut Engine,
        series: usize,
    ) -> Result<Self, AccelError> {
        Self::of(model.weights(profile), engine, series)
    }

    /// The same of any weights.
    pub(crate) fn of(weights: &Weights, engine: &mut Engine, series: usize) -> Result<Self, AccelError> {
        let weights = engine.load_lstm(weights)?;
        Ok(Self { state: engine.new_state(weights, series)? })
    }

    /// Adds zero series, or drops the last ones.
    ///
    /// # Errors
    /// No device has room.
    pub fn resize(&mut self, engine: &mut Engine, series: usize) -> Result<(), AccelError> {
        engine.resize(self.state, series)
    }

    /// Puts a lane back before its first tick, for a new series.
    ///
    /// # Errors
    /// No such lane.
    pub fn reset(&mut self, engine: &mut Engine, lane: u32) -> Result<(), AccelError> {
        engine.reset(self.state, &[lane])
    }

    /// Starts one tick for the series that have features: `features(lane)` is asked once per lane, in order. The work
    /// goes on while the caller does something else; [`Self::collect`] waits for it.
    ///
    /// # Errors
    /// Features that are not finite; no device is left that works. No state has changed.
    pub fn submit<'a>(
        &mut self,
        engine: &mut Engine,
        features: impl Fn(usize) -> Option<&'a Features>,
    ) -> Result<(), AccelError> {
        let (series, lanes) = (engine.series(self.state)?, engine.lanes(self.state)?);
        let mut inputs = engine.inputs(self.state)?;
        let mode = Arc::make_mut(&mut inputs.mode).i32_mut();
        let x = Arc::make_mut(&mut inputs.x).f32_mut();
        let stats = Arc::make_mut(&mut inputs.stats).f32_mut();
        for lane in 0..series {
            let Some(f) = features(lane) else { continue };
            mode[lane] = STEP;
            f.input.iter().enumerate().for_each(|(i, v)| x[i * lanes + lane] = *v);
            f.stats.iter().enumerate().for_each(|(i, v)| stats[i * lanes + lane] = *v);
        }
        engine.submit(self.state, inputs)
    }

    /// Starts one tick whose inputs `fill(mode, x, stats, lanes)` writes, in the layout of
    /// [`foreshade_accel::lstm_step`].
    pub(crate) fn submit_rows(
        &mut self,
        engine: &mut Engine,
        fill: impl FnOnce(&mut [i32], &mut [f32], &mut [f32], usize),
    ) -> Result<(), AccelError> {
        let lanes = engine.lanes(self.state)?;
        let mut inputs = engine.inputs(self.state)?;
        fill(
            Arc::make_mut(&mut inputs.mode).i32_mut(),
            Arc::make_mut(&mut inputs.x).f32_mut(),
            Arc::make_mut(&mut inputs.stats).f32_mut(),
            lanes,
        );
        engine.submit(self.state, inputs)
    }

    /// Waits for that tick: [lanes/64][targets x levels][64].
    pub(crate) fn collect_rows<'e>(&mut self, engine: &'e mut Engine) -> Result<&'e Slab, AccelError> {
        engine.collect(self.state)
    }

    /// Waits for the tick; `hear(lane, quantiles)` is called for each lane that has features, in order, with quantiles
    /// in points, ascending and not below 0. A series' result does not depend on the others.
    ///
    /// # Errors
    /// No device is left that works.
    pub fn collect<'a>(
        &mut self,
        engine: &mut Engine,
        features: impl Fn(usize) -> Option<&'a Features>,
        mut hear: impl FnMut(usize, &TargetQuantiles),
    ) -> Result<(), AccelError> {
        let series = engine.series(self.state)?;
        let out = engine.collect(self.state)?;
        for lane in 0..series {
            if let Some(f) = features(lane) {
                let q = quantiles_of(out, lane);
                let points =
                    |target: usize, level: usize| to_points(q[target * LEVELS + level], f.last, f.scale);
                hear(lane, &std::array::from_fn(|t| Quantiles(std::array::from_fn(|l| points(t, l)))));
            }
        }
        Ok(())
    }

    /// One tick: both, with the features by lane.
    ///
    /// # Errors
    /// As both; a number of features that is not the number of series.
    pub fn step(
        &mut self,
        engine: &mut Engine,
        features: &[Option<Features>],
        out: &mut Vec<Option<TargetQuantiles>>,
    ) -> Result<(), AccelError> {
        let (got, want) = (features.len(), engine.series(self.state)?);
        if got != want {
            let kernel = KernelId::LstmStep;
            return Err(AccelError::Count { kernel, what: "sets of features", got, want });
        }
        self.submit(engine, |lane| features[lane].as_ref())?;
        out.clear();
        out.resize(want, None);
        self.collect(engine, |lane| features[lane].as_ref(), |lane, q| out[lane] = Some(*q))
    }

    /// A copy of the state, for a restart.
    ///
    /// # Errors
    /// No device is left that works.
    pub fn snapshot(&self, engine: &mut Engine) -> Result<StateSnapshot, AccelError> {
        engine.snapshot(self.state)
    }

    /// Goes on from a copy, which also sets the number of series.
    ///
    /// # Errors
    /// A copy of another shape; no device is left that works.
    pub fn restore(&mut self, engine: &mut Engine, snapshot: &StateSnapshot) -> Result<(), AccelError> {
        engine.restore(self.state, snapshot)
    }
}

/// Kernel output -> points: last value + scale * q, usage is never below 0.
#[inline(always)]
fn to_points(q: f32, last: f32, scale: f32) -> f32 {
    (last + scale * q).max(0.0)
}

fn container(bytes: &[u8]) -> Result<SafeTensors<'_>, ModelError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ModelError::TooLarge { got: bytes.len() });
    }
    SafeTensors::deserialize(bytes).map_err(|e| ModelError::Container(e.to_string()))
}

fn check_metadata(bytes: &[u8]) -> Result<(), ModelError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ModelError::TooLarge { got: bytes.len() });
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| ModelError::Container(e.to_string()))?;
    let values = header.metadata().as_ref();
    for (key, want) in [("format", FORMAT), ("features", features::VERSION)] {
        let got = values.and_then(|m| m.get(key)).map(String::as_str);
        if got != Some(want) {
            let got = got.unwrap_or("nothing").escape_default().take(64).collect();
            return Err(ModelError::Metadata { key, got, want });
        }
    }
    Ok(())
}

fn weights(set: &str, cell: Cell, head: Option<Head>) -> Result<Weights, ModelError> {
    Weights::new(vec![cell], head).map_err(|source| ModelError::Weights { set: set.to_owned(), source })
}

/// A cell and a head for our features, under `<name>.lstm.` and `<name>.head.`.
fn read_set(file: &SafeTensors<'_>, name: &str) -> Result<Weights, ModelError> {
    let cell = read_cell(file, &format!("{name}.lstm."))?;
    let head = read_head(file, &format!("{name}.head."), cell.hidden)?;
    if cell.input != INPUT || head.stats != STATS {
        return Err(ModelError::Tensor {
            name: format!("{name}.*"),
            got: format!("made for {} inputs and {} statistics", cell.input, head.stats),
            want: format!("{INPUT} and {STATS}"),
        });
    }
    weights(name, cell, Some(head))
}

/// The feed-forward networks of a set; `None` where the file has none.
fn read_mlps(file: &SafeTensors<'_>, set: &str) -> Result<Option<Mlps>, ModelError> {
    let prefix = format!("{set}.mlp");
    if !file.names().iter().any(|n| n.starts_with(&prefix)) {
        return Ok(None);
    }
    let name = |what: &str| format!("{set}.behaviours.{what}");
    let (kinds, traits, centre) = matrix(file, &name("centre"))?;
    let unit = vector(file, &name("unit"))?;
    let wrong = |what: &str, got: String, want: String| ModelError::Tensor { name: name(what), got, want };
    if traits != TRAITS || !(1..=KINDS_MAX).contains(&kinds) || !centre.iter().all(|v| v.is_finite()) {
        let want = format!("1 to {KINDS_MAX} rows of {TRAITS} finite values");
        return Err(wrong("centre", format!("[{kinds}, {traits}] or not finite"), want));
    }
    let unit: [f32; TRAITS] = unit
        .try_into()
        .ok()
        .filter(|u: &[f32; TRAITS]| u.iter().all(|v| v.is_finite() && *v > 0.0))
        .ok_or_else(|| wrong("unit", "something else".into(), format!("{TRAITS} values above 0")))?;
    let nets = (0..=kinds).map(|k| read_set(file, &format!("{prefix}{k}"))).collect::<Result<_, _>>()?;
    Ok(Some(Mlps { behaviours: Behaviours { centres: centre.as_chunks().0.to_vec(), unit }, nets }))
}

fn read_cell(file: &SafeTensors<'_>, prefix: &str) -> Result<Cell, ModelError> {
    let other = |name: &&str| {
        name.strip_prefix(prefix).is_some_and(|n| !n.ends_with("_l0") || n.starts_with("weight_hr"))
    };
    if let Some(name) = file.names().iter().map(|s| &**s).filter(other).min() {
        return Err(ModelError::Layers(name.to_owned()));
    }
    let (rows, input, w_ih) = matrix(file, &format!("{prefix}weight_ih_l0"))?;
    let hidden = rows / GATES;
    let wrong = |name: &str, got: String, want: String| ModelError::Tensor {
        name: format!("{prefix}{name}"),
        got,
        want,
    };
    if rows != hidden * GATES || hidden == 0 || hidden > MAX_HIDDEN {
        let want = format!("4 x hidden rows, hidden 1 to {MAX_HIDDEN}");
        return Err(wrong("weight_ih_l0", format!("{rows} rows"), want));
    }
    let (rows_hh, columns, w_hh) = matrix(file, &format!("{prefix}weight_hh_l0"))?;
    if (rows_hh, columns) != (rows, hidden) {
        return Err(wrong("weight_hh_l0", format!("[{rows_hh}, {columns}]"), format!("[{rows}, {hidden}]")));
    }
    let b_ih = vector(file, &format!("{prefix}bias_ih_l0"))?;
    let b_hh = vector(file, &format!("{prefix}bias_hh_l0"))?;
    Ok(Cell { input, hidden, w_ih, w_hh, b_ih, b_hh })
}

fn read_head(file: &SafeTensors<'_>, prefix: &str, hidden: usize) -> Result<Head, ModelError> {
    let (width, inputs, w1) = matrix(file, &format!("{prefix}0.weight"))?;
    let b1 = vector(file, &format!("{prefix}0.bias"))?;
    let (outputs, columns, w2) = matrix(file, &format!("{prefix}2.weight"))?;
    let b2 = vector(file, &format!("{prefix}2.bias"))?;
    if (outputs, columns) != (TARGETS * LEVELS, width) || inputs <= hidden {
        return Err(ModelError::Tensor {
            name: format!("{prefix}2.weight"),
            got: format!("[{outputs}, {columns}] after [{width}, {inputs}]"),
            want: format!("[{}, width] after [width, hidden + statistics]", TARGETS * LEVELS),
        });
    }
    Ok(Head { stats: inputs - hidden, width, w1, b1, w2, b2 })
}

fn matrix(file: &SafeTensors<'_>, name: &str) -> Result<(usize, usize, Vec<f32>), ModelError> {
    let (shape, values) = tensor(file, name, 2)?;
    Ok((shape[0], shape[1], values))
}

fn vector(file: &SafeTensors<'_>, name: &str) -> Result<Vec<f32>, ModelError> {
    Ok(tensor(file, name, 1)?.1)
}

fn tensor(file: &SafeTensors<'_>, name: &str, dims: usize) -> Result<(Vec<usize>, Vec<f32>), ModelError> {
    let view = file.tensor(name).map_err(|_| ModelError::Missing(name.to_owned()))?;
    if view.dtype() != Dtype::F32 || view.shape().len() != dims {
        return Err(ModelError::Tensor {
            name: name.to_owned(),
            got: format!("{:?} {:?}", view.dtype(), view.shape()),
            want: format!("F32 with {dims} dimensions"),
        });
    }
    let (words, _) = view.data().as_chunks::<4>();
    Ok((view.shape().to_vec(), words.iter().map(|w| f32::from_le_bytes(*w)).collect()))
}
