//! One tick of a stateful LSTM with a quantile head, over many series. README.md beside this file has the maths.

mod abi;
pub mod cases;
mod pack;
pub mod reference;
mod spec;
mod tolerance;

pub use abi::{
    Cell, Dims, GATES, Head, LEVELS, MAX_HEAD, MAX_HIDDEN, MAX_INPUT, MAX_LAYERS, MAX_STATS, MAX_WEIGHT,
    TARGETS, Weights, WeightsError,
};
pub use pack::{ints, pack};
pub use spec::{RESET, SPEC, STEP, packed_words};
pub use tolerance::{ACTIVATION_ABS_ERR, SOFTPLUS_ABS_ERR, Tolerance, tolerance};
