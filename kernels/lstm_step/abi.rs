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
    /// Units of the cell.
    pub hidden: usize,
}

/// `torch.nn.LSTM` with one layer, one direction, both biases; row-major, PyTorch's gate order.
#[derive(Clone, PartialEq)]
pub struct Cell {
    /// Sizes.
    pub dims: Dims,
    /// `weight_ih_l0`, [4 hidden][input].
    pub w_ih: Vec<f32>,
    /// `weight_hh_l0`, [4 hidden][hidden].
    pub w_hh: Vec<f32>,
    /// `bias_ih_l0`, [4 hidden].
    pub b_ih: Vec<f32>,
    /// `bias_hh_l0`, [4 hidden].
    pub b_hh: Vec<f32>,
}

/// Two linear layers with a ReLU between, on [h, statistics]; 20 outputs.
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
        write!(f, "Cell {{ input: {}, hidden: {} }}", self.dims.input, self.dims.hidden)
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
            Self::Length { what, got, want } => write!(f, "{what} has {got} values, needs {want}"),
            Self::Value { what, at } => write!(f, "{what}[{at}] is not finite or larger than {MAX_WEIGHT}"),
        }
    }
}

impl std::error::Error for WeightsError {}

/// A checked weight set: lengths follow from the sizes, every value is finite and at most [`MAX_WEIGHT`].
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    cell: Cell,
    head: Option<Head>,
}

impl Weights {
    /// Checks a cell and, where there is one, its head.
    ///
    /// # Errors
    /// The first size, length or value that is out of bounds.
    pub fn new(cell: Cell, head: Option<Head>) -> Result<Self, WeightsError> {
        let Dims { input, hidden } = cell.dims;
        size("input", input, MAX_INPUT)?;
        size("hidden", hidden, MAX_HIDDEN)?;
        let rows = GATES * hidden;
        tensor("weight_ih_l0", &cell.w_ih, rows * input)?;
        tensor("weight_hh_l0", &cell.w_hh, rows * hidden)?;
        tensor("bias_ih_l0", &cell.b_ih, rows)?;
        tensor("bias_hh_l0", &cell.b_hh, rows)?;
        if let Some(head) = &head {
            size("stats", head.stats, MAX_STATS)?;
            size("head width", head.width, MAX_HEAD)?;
            let outputs = TARGETS * LEVELS;
            tensor("head.0.weight", &head.w1, head.width * (hidden + head.stats))?;
            tensor("head.0.bias", &head.b1, head.width)?;
            tensor("head.2.weight", &head.w2, outputs * head.width)?;
            tensor("head.2.bias", &head.b2, outputs)?;
        }
        Ok(Self { cell, head })
    }

    /// The recurrent cell.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// The head; a plain LSTM has none.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Sizes of the cell.
    pub fn dims(&self) -> Dims {
        self.cell.dims
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
