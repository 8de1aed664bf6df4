//! The CPU back end: batched f32 kernels in safe Rust, on explicit vectors chosen at run time.
//!
//! Every series is computed in one fixed order of operations, whatever else is in the batch: a result depends neither
//! on the batch's size and order nor on the number of threads.

#![forbid(unsafe_code)]

pub mod arima;
pub mod conformal;
mod exec;
pub mod lstm_step;
pub mod peak;
pub mod placement;
pub mod simd_math;

pub use exec::{Exec, ExecError, levels};
