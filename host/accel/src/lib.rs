//! Devices behind one object-safe trait. A back end knows kernels and lanes, not VMs.
//!
//! Recurrent state lives in the back end behind a handle: a tick sends one vector per series and gets quantiles back,
//! never the state. A snapshot of the state is what lets another device redo a tick.

pub mod backend;
mod checked;
#[cfg(any(feature = "opencl", feature = "wgpu"))]
mod container;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device_cpu;
mod drivers;
mod error;
#[cfg(feature = "opencl")]
pub mod opencl;
pub mod probe;
mod slab;
#[cfg(feature = "wgpu")]
pub mod wgpu;

use std::fmt;

pub use cpu::Cpu;
pub use drivers::{AUTO, DRIVERS, Driver, OpenOptions, Probe, open, open_with, probe};
pub use error::AccelError;
use foreshade_kernels::lstm_step::Weights;
pub use foreshade_kernels::{KernelId, lstm_step};
pub use slab::{PAGE_BYTES, Slab};

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The driver's name in [`DRIVERS`].
    pub name: &'static str,
    /// Instruction set or device model that does the work, as compiled or as the driver reports it.
    pub simd: String,
    /// Threads a job may use.
    pub threads: usize,
}

/// A weight set that was loaded into a back end. Valid only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightsId(pub(crate) u32);

/// Recurrent state that lives in a back end. Valid only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(pub(crate) u32);

/// A copy of recurrent state, the same on every device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StateSnapshot {
    /// [lane][hidden].
    pub h: Vec<f32>,
    /// [lane][hidden].
    pub c: Vec<f32>,
}

/// One tick of the LSTM for some lanes of a state.
pub struct LstmStepJob<'a> {
    /// The state, which also names the weights it was made for.
    pub state: StateId,
    /// Lanes to step, each at most once, in any order; row i of the arrays below is `lanes[i]`.
    pub lanes: &'a [u32],
    /// [rows][input], finite.
    pub x: &'a [f32],
    /// [rows][stats], finite; empty without a head.
    pub stats: &'a [f32],
    /// [rows][targets][levels], relative to the last value, in units of the window's scale; empty without a head.
    pub out: &'a mut [f32],
}

impl fmt::Debug for LstmStepJob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LstmStepJob {{ state: {:?}, rows: {} }}", self.state, self.lanes.len())
    }
}

/// A job for one kernel.
#[derive(Debug)]
pub enum Job<'a> {
    /// [`KernelId::LstmStep`].
    LstmStep(LstmStepJob<'a>),
}

impl Job<'_> {
    /// The kernel it asks for.
    pub fn kernel(&self) -> KernelId {
        match self {
            Self::LstmStep(_) => KernelId::LstmStep,
        }
    }

    /// Series in it.
    pub fn rows(&self) -> usize {
        match self {
            Self::LstmStep(job) => job.lanes.len(),
        }
    }
}

/// A device. One thread drives it at a time; it may use more inside. After an error the state of the lanes in the job
/// is as it was before it.
pub trait Backend: Send + fmt::Debug {
    /// What it is.
    fn info(&self) -> &DeviceInfo;

    /// Can it run this kernel?
    fn supports(&self, kernel: KernelId) -> bool;

    /// Loads a weight set.
    ///
    /// # Errors
    /// The device has no room or does not run the kernel.
    fn load_lstm(&mut self, weights: &Weights) -> Result<WeightsId, AccelError>;

    /// Makes zero state for `lanes` series.
    ///
    /// # Errors
    /// Unknown weights, no room.
    fn new_state(&mut self, weights: WeightsId, lanes: usize) -> Result<StateId, AccelError>;

    /// Lanes of a state.
    ///
    /// # Errors
    /// Unknown state.
    fn lanes(&self, state: StateId) -> Result<usize, AccelError>;

    /// Adds zero lanes, or drops the last ones.
    ///
    /// # Errors
    /// Unknown state, no room.
    fn resize_state(&mut self, state: StateId, lanes: usize) -> Result<(), AccelError>;

    /// Puts lanes back before their first tick.
    ///
    /// # Errors
    /// Unknown state or lane; then nothing was reset.
    fn reset_lanes(&mut self, state: StateId, lanes: &[u32]) -> Result<(), AccelError>;

    /// A copy of the state.
    ///
    /// # Errors
    /// Unknown state, lost device.
    fn snapshot(&self, state: StateId) -> Result<StateSnapshot, AccelError>;

    /// Replaces the state by a copy, which also sets the number of lanes.
    ///
    /// # Errors
    /// Unknown state; a snapshot of another shape or with a value that is not finite.
    fn restore(&mut self, state: StateId, snapshot: &StateSnapshot) -> Result<(), AccelError>;

    /// Frees a state.
    ///
    /// # Errors
    /// Unknown state.
    fn drop_state(&mut self, state: StateId) -> Result<(), AccelError>;

    /// Runs a job and waits for it.
    ///
    /// # Errors
    /// Unknown handles, wrong lengths, lanes out of range or twice, values that are not finite, lost device.
    fn run(&mut self, job: Job<'_>) -> Result<(), AccelError>;
}
