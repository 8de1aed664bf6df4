//! Argument list, and the layout of a fitted model.

use crate::KernelId;
use crate::spec::{Arg, Extent, GROUP, KernelSpec, ShapeError, lanes, limit};

/// Most samples a fit reads.
pub const SAMPLES_MAX: usize = 288;
/// Fewest samples a fit takes.
pub const SAMPLES_MIN: usize = 24;
/// Highest autoregressive order.
pub const P_MAX: usize = 6;
/// A sample of larger magnitude (2^50) counts as missing, like NaN: a petabyte is in reach, and no square leaves f32.
pub const REACH_MAX: f32 = 1_125_899_906_842_624.0;
/// A series with half a range below this (2^-50) has no variation.
pub const SCALE_MIN: f32 = 1.0 / 1_125_899_906_842_624.0;
/// Residual quantiles, ascending.
pub const LEVELS: [f32; 5] = [0.05, 0.5, 0.9, 0.95, 0.99];

/// Words of a fitted model and their places; blocked, [lanes/64][FIT_WORDS][64].
pub const FIT_WORDS: usize = 28;
/// 0 = fitted; 1 = too few samples or no variation: the last value stands for a model, all coefficients are 0,
/// the variance is that of what is there, and the quantiles are the normal ones of that variance.
pub const STATUS: usize = 0;
/// Differences taken, 0 or 1.
pub const D: usize = 1;
/// Autoregressive order.
pub const P: usize = 2;
/// Moving-average order, 0 or 1.
pub const Q: usize = 3;
/// Values of the (differenced) series that were there.
pub const N: usize = 4;
/// Their mean for d = 0; differences have none taken off, so that no chance drift is carried into the future: 0.
pub const MEAN: usize = 5;
/// Innovation variance: mean square of the residuals that judge.
pub const VARIANCE: usize = 6;
/// Corrected Akaike criterion of the choice over the residuals that judge, without its constant n (1 + ln 2 pi).
pub const AICC: usize = 7;
/// phi_1 ..; zero beyond p.
pub const PHI: usize = 8;
/// theta_1; zero where q = 0.
pub const THETA: usize = 14;
/// The last P_MAX values of the (differenced) series less its mean, newest first; 0 where missing.
pub const TAIL: usize = 15;
/// The newest residual; 0 where missing.
pub const RESIDUAL: usize = 21;
/// The newest sample; the one before it where missing, and so on.
pub const LAST: usize = 22;
/// Quantiles of the residuals at [`LEVELS`].
pub const QUANTILES: usize = 23;

/// Buffers: y [samples][lanes], oldest first, NaN = missing; fit [lanes/64][FIT_WORDS][64]; scratch, which is the device's
/// own and holds nothing between launches, [lanes/64][2 samples][64].
pub const SPEC: KernelSpec = KernelSpec {
    id: KernelId::ArimaFit,
    buffers: &[Arg::input("y"), Arg::output("fit"), Arg::output("scratch")],
    ints: &["lanes", "samples"],
    floats: &[],
    extent,
    gpu: include_str!("gpu.cc"),
    cpu_cl: include_str!("cpu.cl"),
    wgsl: include_str!("web.wgsl"),
    ptx: include_str!("../ptx/arima_fit.ptx"),
};

fn extent(ints: &[i32]) -> Result<Extent, ShapeError> {
    let lanes = lanes(ints[0])?;
    let samples = limit("samples", ints[1], SAMPLES_MIN..=SAMPLES_MAX, "24 to 288")?;
    let words = [samples * lanes, FIT_WORDS * lanes, 2 * samples * lanes, 0, 0, 0, 0, 0];
    Ok(Extent { words, groups: lanes / GROUP })
}
