//! Shapes, layout and limits of the weights, the same on every device.

use std::fmt;

/// Gates of a cell, in PyTorch's order: input, forget, cell, output.
pub const GATES: usize = 4;
/// Targets of the head (peak of the next steps, then three steps).
pub const TARGETS: usize = 4;
/// Quantile levels per target, ascending; the second is the median.
pub const LEVELS: usize = 5;
/// Largest input width a device must take.
pub const MAX_INPUT: usize = 64;
/// Largest hidden width a device must take.
pub const MAX_HIDDEN: usize = 128;
/// Most layers a device must take.
pub const MAX_LAYERS: usize = 2;
/// Largest number of statistics a device must take.
pub const MAX_STATS: usize = 256;
/// Largest hidden width of the head.
pub const MAX_HEAD: usize = 256;
/// Largest magnitude of a weight. With bounded inputs it keeps every sum finite in f32.
pub const MAX_WEIGHT: f32 = 1.0e4;

/// Sizes of one weight set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims {
    /// Values per series and tick that enter the cell.
    pub input: usize,
    /// Units of a layer.
    pub hidden: usize,
    /// Layers, each reading the h of the one below in the same tick.
    pub layers: usize,
}

/// One layer of a `torch.nn.LSTM` with one direction and both biases; row-major, PyTorch's gate order. Names are those
/// of the first layer.
#[derive(Clone, PartialEq)]
pub struct Cell {
    /// Values that enter it: telemetry for the first layer, the hidden width for the second.
    pub input: usize,
    /// Units.
    pub hidden: usize,
    /// `weight_ih_l0`, [4 hidden][input].
    pub w_ih: Vec<f32>,
    /// `weight_hh_l0`, [4 hidden][hidden].
    pub w_hh: Vec<f32>,
    /// `bias_ih_l0`, [4 hidden].
    pub b_ih: Vec<f32>,
    /// `bias_hh_l0`, [4 hidden].
    pub b_hh: Vec<f32>,
}

/// Two linear layers with a ReLU between, on [h of the top layer, statistics]; 20 outputs.
#[derive(Clone, PartialEq)]
pub struct Head {
    /// Statistics per series and tick.
    pub stats: usize,
    /// Width of the first layer.
    pub width: usize,
    /// `head.0.weight`, [width][hidden + stats].
    pub w1: Vec<f32>,
    /// `head.0.bias`, [width].
    pub b1: Vec<f32>,
    /// `head.2.weight`, [targets * levels][width].
    pub w2: Vec<f32>,
    /// `head.2.bias`, [targets * levels].
    pub b2: Vec<f32>,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell {{ input: {}, hidden: {} }}", self.input, self.hidden)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head {{ stats: {}, width: {} }}", self.stats, self.width)
    }
}

/// What is wrong with a weight set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsError {
    /// A size is 0 or over its limit.
    Size {
        /// Which size.
        what: &'static str,
        /// What it is.
        got: usize,
        /// The most a device takes.
        max: usize,
    },
    /// A layer does not fit the one below it.
    Layer {
        /// Which size of the second layer.
        what: &'static str,
        /// What it is.
        got: usize,
        /// What it must be: the first layer's hidden width.
        want: usize,
    },
    /// A tensor's length does not follow from the sizes.
    Length {
        /// Which tensor.
        what: &'static str,
        /// Values it has.
        got: usize,
        /// Values it must have.
        want: usize,
    },
    /// A value is NaN, infinite or larger than [`MAX_WEIGHT`].
    Value {
        /// Which tensor.
        what: &'static str,
        /// Index of the first such value.
        at: usize,
    },
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { what, got, max } => write!(f, "{what} is {got}, must be 1 to {max}"),
            Self::Layer { what, got, want } => {
                write!(f, "{what} of the second layer is {got}, must be {want} as the first layer's hidden")
            }
            Self::Length { what, got, want } => write!(f, "{what} has {got} values, needs {want}"),
            Self::Value { what, at } => write!(f, "{what}[{at}] is not finite or larger than {MAX_WEIGHT}"),
        }
    }
}

impl std::error::Error for WeightsError {}

/// A checked weight set: lengths follow from the sizes, every value is finite and at most [`MAX_WEIGHT`].
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    layers: Vec<Cell>,
    head: Option<Head>,
}

impl Weights {
    /// Checks the layers, bottom first, and the head where there is one.
    ///
    /// # Errors
    /// The first size, length or value that is out of bounds.
    pub fn new(layers: Vec<Cell>, head: Option<Head>) -> Result<Self, WeightsError> {
        size("layers", layers.len(), MAX_LAYERS)?;
        let Cell { input, hidden, .. } = layers[0];
        size("input", input, MAX_INPUT)?;
        size("hidden", hidden, MAX_HIDDEN)?;
        for (what, got) in layers[1..].iter().flat_map(|c| [("input", c.input), ("hidden", c.hidden)]) {
            if got != hidden {
                return Err(WeightsError::Layer { what, got, want: hidden });
            }
        }
        for (cell, names) in layers.iter().zip(&TENSORS) {
            let rows = GATES * hidden;
            tensor(names[0], &cell.w_ih, rows * cell.input)?;
            tensor(names[1], &cell.w_hh, rows * hidden)?;
            tensor(names[2], &cell.b_ih, rows)?;
            tensor(names[3], &cell.b_hh, rows)?;
        }
        if let Some(head) = &head {
            size("stats", head.stats, MAX_STATS)?;
            size("head width", head.width, MAX_HEAD)?;
            let outputs = TARGETS * LEVELS;
            tensor("head.0.weight", &head.w1, head.width * (hidden + head.stats))?;
            tensor("head.0.bias", &head.b1, head.width)?;
            tensor("head.2.weight", &head.w2, outputs * head.width)?;
            tensor("head.2.bias", &head.b2, outputs)?;
        }
        Ok(Self { layers, head })
    }

    /// The layers, bottom first.
    pub fn layers(&self) -> &[Cell] {
        &self.layers
    }

    /// The head; a plain LSTM has none.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Sizes of the recurrent part.
    pub fn dims(&self) -> Dims {
        let Cell { input, hidden, .. } = self.layers[0];
        Dims { input, hidden, layers: self.layers.len() }
    }

    /// Statistics per series and tick; 0 without a head.
    pub fn stats(&self) -> usize {
        self.head.as_ref().map_or(0, |h| h.stats)
    }

    /// Output values per series and tick; 0 without a head.
    pub fn outputs(&self) -> usize {
        self.head.as_ref().map_or(0, |_| TARGETS * LEVELS)
    }
}

/// Tensor names per layer, as PyTorch has them.
const TENSORS: [[&str; 4]; MAX_LAYERS] = [
    ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"],
    ["weight_ih_l1", "weight_hh_l1", "bias_ih_l1", "bias_hh_l1"],
];

fn size(what: &'static str, got: usize, max: usize) -> Result<(), WeightsError> {
    if (1..=max).contains(&got) { Ok(()) } else { Err(WeightsError::Size { what, got, max }) }
}

fn tensor(what: &'static str, values: &[f32], want: usize) -> Result<(), WeightsError> {
    if values.len() != want {
        return Err(WeightsError::Length { what, got: values.len(), want });
    }
    match values.iter().position(|v| v.is_nan() || v.abs() > MAX_WEIGHT) {
        Some(at) => Err(WeightsError::Value { what, at }),
        None => Ok(()),
    }
}
