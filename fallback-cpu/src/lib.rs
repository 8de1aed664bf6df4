//! The CPU back end: batched f32 kernels in safe Rust, on explicit vectors chosen at run time.
//!
//! Every series is computed in one fixed order of operations, whatever else is in the batch: a result depends neither
//! on the batch's size and order nor on the number of threads.

#![forbid(unsafe_code)]

pub mod arima;
pub mod conformal;
mod exec;
pub mod lstm;
pub mod lstm_step;
pub mod math;
pub mod peak;
pub mod placement;
pub mod simd_math;

pub use exec::{Exec, ExecError, levels};

/// The instruction set the kernels were compiled for. There is no dispatch at run time yet, so this is what runs.
pub fn simd() -> &'static str {
    if cfg!(target_feature = "avx512f") {
        "avx512f (compiled in)"
    } else if cfg!(target_feature = "avx2") {
        "avx2 (compiled in)"
    } else if cfg!(target_arch = "x86_64") {
        "sse2 (baseline x86-64)"
    } else if cfg!(target_arch = "aarch64") {
        "neon (baseline aarch64)"
    } else {
        "none (portable)"
    }
}
