//! One folder per kernel: the maths, the layout every device obeys, and a slow f64 reference that defines the result.

use std::fmt;

mod slab;
pub mod spec;

#[path = "../arima_fit/mod.rs"]
pub mod arima_fit;
#[path = "../arima_forecast/mod.rs"]
pub mod arima_forecast;
#[path = "../conformal_update/mod.rs"]
pub mod conformal_update;
#[path = "../lstm_step/mod.rs"]
pub mod lstm_step;
#[path = "../placement_score/mod.rs"]
pub mod placement_score;

pub use slab::{PAGE_BYTES, Slab};
pub use spec::{Arg, Extent, GROUP, KernelSpec, ShapeError, Word};

/// What goes before a `gpu.cc` for each language it is read as.
pub mod dialect {
    /// OpenCL C 1.2.
    pub const OPENCL: &str = include_str!("../dialect/opencl.h");
    /// CUDA C.
    pub const CUDA: &str = include_str!("../dialect/cuda.h");
    /// Plain C11, for a test on the machine's own processor.
    pub const NATIVE: &str = include_str!("../dialect/native.h");
}

/// A computation that a device can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelId {
    /// One tick of the stateful LSTM and its quantile head: [`lstm_step`].
    LstmStep,
    /// ARIMA models of many series in closed form: [`arima_fit`].
    ArimaFit,
    /// Mean and variance of the next steps from fitted state: [`arima_forecast`].
    ArimaForecast,
    /// Overload probability, headroom and cost of VMs on hosts: [`placement_score`].
    PlacementScore,
    /// Online quantile tracking: [`conformal_update`].
    ConformalUpdate,
}

impl KernelId {
    /// Every kernel, in the order devices list them.
    pub const ALL: [Self; 5] =
        [Self::LstmStep, Self::ArimaFit, Self::ArimaForecast, Self::PlacementScore, Self::ConformalUpdate];

    /// The name of its folder and of its entry point.
    pub fn name(self) -> &'static str {
        match self {
            Self::LstmStep => "lstm_step",
            Self::ArimaFit => "arima_fit",
            Self::ArimaForecast => "arima_forecast",
            Self::PlacementScore => "placement_score",
            Self::ConformalUpdate => "conformal_update",
        }
    }

    /// Its argument list and sources.
    pub fn spec(self) -> &'static KernelSpec {
        match self {
            Self::LstmStep => &lstm_step::SPEC,
            Self::ArimaFit => &arima_fit::SPEC,
            Self::ArimaForecast => &arima_forecast::SPEC,
            Self::PlacementScore => &placement_score::SPEC,
            Self::ConformalUpdate => &conformal_update::SPEC,
        }
    }
}

impl fmt::Display for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
