//! The trait of a device: memory and launches. It knows kernels by their argument lists, and neither VMs nor models.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foreshade_kernels::spec::{MAX_BUFFERS, MAX_FLOATS, MAX_INTS};
use foreshade_kernels::{KernelId, ShapeError};

use crate::Slab;

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceInfo {
    /// The driver's name in `DRIVERS`.
    pub driver: &'static str,
    /// The device as its maker calls it.
    pub device: String,
    /// Driver or platform version; empty for the CPU.
    pub version: String,
    /// Instruction set, compute capability or kernel form that does the work.
    pub simd: String,
    /// Host threads a job may use; 0 where the device has its own.
    pub threads: usize,
    /// Device memory; 0 = the host's.
    pub memory_bytes: u64,
    /// Does it run on the host's processor (PoCL, lavapipe, the CPU back end)?
    pub software: bool,
}

/// A buffer of one device. Never used again after it was freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// A submitted job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One kernel launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Launch {
    /// The kernel.
    pub kernel: KernelId,
    /// In argument order; only as many as the kernel has.
    pub buffers: [BufferId; MAX_BUFFERS],
    /// Only as many as the kernel has.
    pub ints: [i32; MAX_INTS],
    /// Only as many as the kernel has.
    pub floats: [f32; MAX_FLOATS],
}

/// Host memory that goes into a buffer, from its first word.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where to.
    pub to: BufferId,
    /// As long as the buffer.
    pub from: Arc<Slab>,
}

/// A buffer that comes back after the last launch.
#[derive(Debug)]
pub struct Read {
    /// Where from.
    pub from: BufferId,
    /// As long as the buffer.
    pub into: Slab,
    /// The buffer's content is not needed on the device any more: a device in host memory may swap instead of copy.
    pub take: bool,
}

/// Uploads, then launches, then downloads. The lists come back with the result, to be used again.
#[derive(Debug, Default)]
pub struct Job {
    /// First.
    pub writes: Vec<Write>,
    /// Then, in order.
    pub launches: Vec<Launch>,
    /// Last.
    pub reads: Vec<Read>,
}

/// How long a job took on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// Kernels alone, where the device can tell; otherwise the whole job.
    pub kernel: Duration,
    /// From submit to the last byte.
    pub total: Duration,
}

/// What a caller cannot foresee. Everything else is checked before a device is called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The device is gone, or says that it failed.
    #[error("device lost: {0}")]
    Lost(String),
    /// No room.
    #[error("no room for {words} words: {reason}")]
    Memory {
        /// Asked for.
        words: usize,
        /// The device's words.
        reason: String,
    },
    /// The kernel does not build there.
    #[error("kernel {kernel} does not build: {log}")]
    Build {
        /// The kernel.
        kernel: KernelId,
        /// First lines of the compiler's log, in one line.
        log: String,
    },
    /// The device does not run this kernel.
    #[error("it has no kernel {0}")]
    Unsupported(KernelId),
    /// A buffer that does not exist there, or is too short: a fault of the caller, found before the device is called.
    #[error("{kernel}: buffer {arg} has {got} words, needs {want}")]
    Length {
        /// The kernel, or "write", "read".
        kernel: &'static str,
        /// The argument.
        arg: &'static str,
        /// Its words; 0 = no such buffer.
        got: usize,
        /// Words it must have.
        want: usize,
    },
    /// A scalar out of its limits.
    #[error("{kernel}: {source}")]
    Shape {
        /// The kernel.
        kernel: KernelId,
        /// Which and how.
        #[source]
        source: ShapeError,
    },
    /// Not a job in flight.
    #[error("job {0:?} is not in flight")]
    Ticket(Ticket),
}

/// A device. One thread drives it; jobs run in the order they were submitted, and at least two may be in flight, so that
/// the upload of one may overlap the kernels of the one before.
pub trait Backend: Send + fmt::Debug {
    /// What it is.
    fn info(&self) -> &DeviceInfo;

    /// Can it run this kernel?
    fn supports(&self, kernel: KernelId) -> bool;

    /// A zeroed buffer of `words` > 0 words.
    ///
    /// # Errors
    /// No room, lost device.
    fn alloc(&mut self, words: usize) -> Result<BufferId, BackendError>;

    /// Frees a buffer; one that does not exist is ignored.
    fn free(&mut self, buffer: BufferId);

    /// Builds a kernel and runs it once, so that the first real launch is as fast as the others.
    ///
    /// # Errors
    /// It does not build, lost device.
    fn warm_up(&mut self, kernel: KernelId) -> Result<(), BackendError>;

    /// Puts a job behind those in flight.
    ///
    /// # Errors
    /// Wrong lengths (nothing was done), lost device.
    fn submit(&mut self, job: Job) -> Result<Ticket, BackendError>;

    /// Waits for a job. Jobs are collected in the order they were submitted.
    ///
    /// # Errors
    /// Not in flight, lost device.
    fn collect(&mut self, ticket: Ticket) -> Result<(Job, Timing), BackendError>;
}

impl Launch {
    /// A launch with these arguments.
    ///
    /// # Panics
    /// More arguments than any kernel has.
    pub fn new(kernel: KernelId, buffers: &[BufferId], ints: &[i32], floats: &[f32]) -> Self {
        let mut launch = Self {
            kernel,
            buffers: [BufferId(0); MAX_BUFFERS],
            ints: [0; MAX_INTS],
            floats: [0.0; MAX_FLOATS],
        };
        launch.buffers[..buffers.len()].copy_from_slice(buffers);
        launch.ints[..ints.len()].copy_from_slice(ints);
        launch.floats[..floats.len()].copy_from_slice(floats);
        launch
    }

    /// The kernel's buffers.
    pub fn buffers(&self) -> &[BufferId] {
        &self.buffers[..self.kernel.spec().buffers.len()]
    }

    /// The kernel's i32 scalars.
    pub fn ints(&self) -> &[i32] {
        &self.ints[..self.kernel.spec().ints.len()]
    }

    /// The kernel's f32 scalars.
    pub fn floats(&self) -> &[f32] {
        &self.floats[..self.kernel.spec().floats.len()]
    }
}

impl Job {
    /// Checks every length against `words` (the length of a buffer, `None` = no such buffer) and returns the groups of
    /// each launch by index. A back end calls it first of all in `submit`.
    ///
    /// # Errors
    /// The first wrong length or scalar.
    pub fn check(&self, words: impl Fn(BufferId) -> Option<usize>) -> Result<(), BackendError> {
        let same = |kernel, arg, id, want| match words(id).unwrap_or(0) {
            got if got == want && want > 0 => Ok(()),
            got => Err(BackendError::Length { kernel, arg, got, want }),
        };
        for w in &self.writes {
            same("write", "to", w.to, w.from.len())?;
        }
        for r in &self.reads {
            same("read", "from", r.from, r.into.len())?;
        }
        for launch in &self.launches {
            let spec = launch.kernel.spec();
            let extent = (spec.extent)(launch.ints())
                .map_err(|source| BackendError::Shape { kernel: launch.kernel, source })?;
            for ((arg, &id), &want) in spec.buffers.iter().zip(launch.buffers()).zip(&extent.words) {
                same(spec.id.name(), arg.name, id, want)?;
            }
        }
        Ok(())
    }
}
