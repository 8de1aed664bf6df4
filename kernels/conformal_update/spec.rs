//! Argument list of the quantile tracker. A lane is one series and horizon.

use crate::KernelId;
use crate::spec::{Arg, Extent, GROUP, KernelSpec, ShapeError, lanes};

/// Quantile levels, ascending; the second is the median and is never shifted.
pub const LEVELS: [f32; 5] = [0.05, 0.5, 0.9, 0.95, 0.99];

/// Buffers: y [lanes], the outcome, NaN = not known, nothing is learned; issued [lanes/64][5][64], the bounds that were
/// given for it, as `out` gave them before they were put in order; scale [lanes], the unit of the shifts, > 0; base
/// [lanes/64][5][64], the next quantiles of the model; shift [lanes/64][5][64] before and after; out
/// [lanes/64][2][5][64]: the shifted next quantiles as they come, then in order and not below `floor`.
/// Scalars: gamma = step per outcome, tie = a bound this close to the outcome (in scales) is neither held nor missed,
/// reach = largest shift, floor = least value of an ordered bound.
pub const SPEC: KernelSpec = KernelSpec {
    id: KernelId::ConformalUpdate,
    buffers: &[
        Arg::input("y"),
        Arg::input("issued"),
        Arg::input("scale"),
        Arg::input("base"),
        Arg::input("shift_in"),
        Arg::output("shift_out"),
        Arg::output("out"),
    ],
    ints: &["lanes"],
    floats: &["gamma", "tie", "reach", "floor"],
    extent,
    gpu: include_str!("gpu.cc"),
    cpu_cl: include_str!("cpu.cl"),
    wgsl: include_str!("web.wgsl"),
    ptx: include_str!("../ptx/conformal_update.ptx"),
};

fn extent(ints: &[i32]) -> Result<Extent, ShapeError> {
    let n = lanes(ints[0])?;
    let five = LEVELS.len() * n;
    Ok(Extent { words: [n, five, n, five, five, five, 2 * five, 0], groups: n / GROUP })
}
