//! What every device knows of a kernel: its buffers and scalars in the order of its argument list, how long each buffer
//! must be, and its sources. The same table drives every back end, so a new kernel is a row and a folder.
//!
//! Rules that hold for all kernels:
//! - Memory is 32-bit words, f32 or i32, little-endian. Scalars follow the buffers: first the i32, then the f32.
//! - A batch is padded to whole groups of [`GROUP`] lanes; a padding lane holds zeros and its result is not read.
//! - What a kernel reads per lane is feature-major, `[feature][lanes]`, so that a telemetry column is a row of it. What a
//!   kernel writes, and recurrent state, is blocked, `[lanes / 64][feature][64]`, so that a group's part is one piece.
//!   With one feature the two are the same.
//! - State is read from one buffer and written to another: after a failed launch the old state is still there.
//! - A lane's result does not depend on the other lanes.

use std::fmt;

use crate::KernelId;

/// Lanes of a group: work items of a work-group on a GPU, four AVX-512 vectors on a CPU.
pub const GROUP: usize = 64;
/// Most buffers of a kernel (WebGPU promises 8 storage buffers).
pub const MAX_BUFFERS: usize = 8;
/// Most i32 scalars of a kernel.
pub const MAX_INTS: usize = 12;
/// Most f32 scalars of a kernel.
pub const MAX_FLOATS: usize = 4;

/// What the words of a buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// IEEE single precision.
    F32,
    /// Two's complement.
    I32,
}

/// One buffer of a kernel's argument list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arg {
    /// Its name in every source form.
    pub name: &'static str,
    /// Type of its words.
    pub word: Word,
    /// Does the kernel write it (all of it)? Otherwise it only reads it.
    pub written: bool,
}

impl Arg {
    /// An f32 buffer that is only read.
    pub const fn input(name: &'static str) -> Self {
        Self { name, word: Word::F32, written: false }
    }

    /// An i32 buffer that is only read.
    pub const fn input_i32(name: &'static str) -> Self {
        Self { name, word: Word::I32, written: false }
    }

    /// An f32 buffer that is written as a whole.
    pub const fn output(name: &'static str) -> Self {
        Self { name, word: Word::F32, written: true }
    }

    /// An i32 buffer that is written as a whole.
    pub const fn output_i32(name: &'static str) -> Self {
        Self { name, word: Word::I32, written: true }
    }
}

/// Lengths of a kernel's buffers in words, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// In argument order; the rest is 0.
    pub words: [usize; MAX_BUFFERS],
    /// Groups of [`GROUP`] work items to launch.
    pub groups: usize,
}

/// A scalar out of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeError {
    /// The scalar.
    pub name: &'static str,
    /// Its value.
    pub got: i64,
    /// What it must be.
    pub want: &'static str,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, must be {}", self.name, self.got, self.want)
    }
}

impl std::error::Error for ShapeError {}

/// A kernel as the devices see it.
#[derive(Debug, Clone, Copy)]
pub struct KernelSpec {
    /// Which.
    pub id: KernelId,
    /// Buffers in argument order.
    pub buffers: &'static [Arg],
    /// Names of the i32 scalars, after the buffers.
    pub ints: &'static [&'static str],
    /// Names of the f32 scalars, after those.
    pub floats: &'static [&'static str],
    /// Buffer lengths and groups for these i32 scalars, or the first scalar out of its limits.
    pub extent: fn(&[i32]) -> Result<Extent, ShapeError>,
    /// The body for GPUs; needs a dialect in front.
    pub gpu: &'static str,
    /// OpenCL C for CPU devices, explicit vectors, one work item per group.
    pub cpu_cl: &'static str,
    /// WGSL.
    pub wgsl: &'static str,
    /// CUDA assembly of `gpu`, made by `tools/make_ptx.py`.
    pub ptx: &'static str,
}

/// Checks one scalar against limits.
///
/// # Errors
/// It is out of them.
pub fn limit(
    name: &'static str,
    got: i32,
    range: std::ops::RangeInclusive<usize>,
    want: &'static str,
) -> Result<usize, ShapeError> {
    match usize::try_from(got) {
        Ok(v) if range.contains(&v) => Ok(v),
        _ => Err(ShapeError { name, got: i64::from(got), want }),
    }
}

/// Checks a number of padded lanes.
///
/// # Errors
/// Not a multiple of [`GROUP`], or more than 2^24.
pub fn lanes(got: i32) -> Result<usize, ShapeError> {
    let want = "a multiple of 64, at most 16777216";
    let lanes = limit("lanes", got, 0..=1 << 24, want)?;
    if lanes.is_multiple_of(GROUP) {
        Ok(lanes)
    } else {
        Err(ShapeError { name: "lanes", got: i64::from(got), want })
    }
}

/// Lanes for `n` series: the next multiple of [`GROUP`].
pub fn padded(n: usize) -> usize {
    n.next_multiple_of(GROUP)
}

/// Place of a lane's feature in a blocked array.
pub fn blocked(lane: usize, feature: usize, features: usize) -> usize {
    (lane / GROUP * features + feature) * GROUP + lane % GROUP
}
