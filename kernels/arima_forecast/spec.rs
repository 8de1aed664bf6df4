//! Argument list of the forecast from fitted state.

use crate::KernelId;
use crate::arima_fit::FIT_WORDS;
use crate::spec::{Arg, Extent, GROUP, KernelSpec, ShapeError, lanes, limit};

/// Most steps ahead.
pub const STEPS_MAX: usize = 288;

/// Buffers: fit, as `arima_fit` leaves it; mean and variance [lanes/64][steps][64].
pub const SPEC: KernelSpec = KernelSpec {
    id: KernelId::ArimaForecast,
    buffers: &[Arg::input("fit"), Arg::output("mean"), Arg::output("variance")],
    ints: &["lanes", "steps"],
    floats: &[],
    extent,
    gpu: include_str!("gpu.cc"),
    cpu_cl: include_str!("cpu.cl"),
    wgsl: include_str!("web.wgsl"),
    ptx: include_str!("../ptx/arima_forecast.ptx"),
};

fn extent(ints: &[i32]) -> Result<Extent, ShapeError> {
    let lanes = lanes(ints[0])?;
    let steps = limit("steps", ints[1], 1..=STEPS_MAX, "1 to 288")?;
    let words = [FIT_WORDS * lanes, steps * lanes, steps * lanes, 0, 0, 0, 0, 0];
    Ok(Extent { words, groups: lanes / GROUP })
}
