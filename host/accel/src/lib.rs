//! Devices behind one door. [`Engine`] is the door: it checks a job once, runs it on the best device, watches that device
//! and, when it fails, does the job again on the next one. [`backend::Backend`] is what a device must do: memory and
//! kernel launches; it knows neither VMs nor models.
//!
//! Recurrent state lives on the device: a tick sends one vector per series and gets quantiles back, never the state.

pub mod backend;
#[cfg_attr(
    not(all(feature = "opencl", feature = "cuda", feature = "wgpu")),
    allow(dead_code, reason = "each device driver uses its part")
)]
mod checked;
#[cfg(any(feature = "opencl", feature = "wgpu"))]
mod container;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device_cpu;
mod drivers;
mod engine;
mod error;
pub mod faulty;
#[cfg(feature = "opencl")]
pub mod opencl;
mod port;
pub mod probe;
#[cfg(feature = "wgpu")]
pub mod wgpu;

pub use drivers::{AUTO, DRIVERS, Driver, OpenOptions, Probe, Seen, open, probe as probe_all, test_device};
pub use engine::{
    Care, Engine, FaultKind, Inputs, Metrics, Opener, Standing, StateId, StateSnapshot, WeightsId,
    quantiles_of,
};
pub use error::AccelError;
pub use foreshade_kernels::{KernelId, PAGE_BYTES, Slab, lstm_step, spec};
