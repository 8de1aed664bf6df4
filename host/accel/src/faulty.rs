//! A device that fails on purpose, around one that works: late, wrong by some units in the last place, NaN, lost, hung.
//! It stands behind the same trait and proves that nobody notices.

use std::thread;
use std::time::Duration;

use foreshade_kernels::{KernelId, Word};

use crate::Slab;
use crate::backend::{Backend, BackendError, BufferId, DeviceInfo, Job, Ticket, Timing};

pub use crate::engine::SELF_TEST_JOBS;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer comes this late.
    Late(Duration),
    /// Every f32 that comes back is this many units in the last place too large.
    Ulps(u32),
    /// Every f32 that comes back is NaN.
    Nan,
    /// One word in this many comes back 1.5 times too large.
    Some(usize),
    /// The driver reports a lost device, now and ever after.
    Lost,
    /// The driver never returns.
    Hang,
    /// The driver panics.
    Crash,
}

/// The device and its fault.
#[derive(Debug)]
pub struct Faulty {
    inner: Box<dyn Backend>,
    info: DeviceInfo,
    fault: Fault,
    /// Jobs that still go well.
    well: u64,
    /// Jobs that go wrong after those; then the device has recovered.
    ill: u64,
}

impl Faulty {
    /// `inner` with a fault in `ill` jobs after the first `well`.
    pub fn new(inner: Box<dyn Backend>, fault: Fault, well: u64, ill: u64) -> Self {
        let mut info = inner.info().clone();
        info.driver = "faulty";
        info.device = format!("{} that fails ({fault:?})", info.device);
        Self { inner, info, fault, well, ill }
    }

    /// Does this job go wrong? Counts it.
    fn strikes(&mut self) -> bool {
        if self.well > 0 {
            self.well -= 1;
            return false;
        }
        let ill = self.ill > 0;
        self.ill = self.ill.saturating_sub(1);
        ill
    }
}

impl Backend for Faulty {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, kernel: KernelId) -> bool {
        self.inner.supports(kernel)
    }

    fn alloc(&mut self, words: usize) -> Result<BufferId, BackendError> {
        self.inner.alloc(words)
    }

    fn free(&mut self, buffer: BufferId) {
        self.inner.free(buffer);
    }

    fn warm_up(&mut self, kernel: KernelId) -> Result<(), BackendError> {
        self.inner.warm_up(kernel)
    }

    fn submit(&mut self, job: Job) -> Result<Ticket, BackendError> {
        self.inner.submit(job)
    }

    fn collect(&mut self, ticket: Ticket) -> Result<(Job, Timing), BackendError> {
        let (mut job, timing) = self.inner.collect(ticket)?;
        // Uploads alone do not count: a fault is in a computation.
        if job.launches.is_empty() || !self.strikes() {
            return Ok((job, timing));
        }
        match self.fault {
            Fault::Late(by) => thread::sleep(by),
            Fault::Hang => loop {
                thread::park();
            },
            Fault::Crash => std::panic::resume_unwind(Box::new("a fault on purpose")),
            Fault::Lost => {
                self.ill = u64::MAX;
                return Err(BackendError::Lost("a fault on purpose".into()));
            }
            Fault::Nan => spoil(&mut job, |_, v| *v = f32::NAN),
            Fault::Ulps(n) => spoil(&mut job, |_, v| *v = f32::from_bits(v.to_bits() + n)),
            Fault::Some(every) => spoil(&mut job, |i, v| {
                if i % every == 0 {
                    *v *= 1.5;
                }
            }),
        }
        Ok((job, timing))
    }
}

/// Changes every f32 that a kernel wrote and that is not 0.
fn spoil(job: &mut Job, change: impl Fn(usize, &mut f32)) {
    let written = |from: BufferId| {
        job.launches.iter().any(|l| {
            let args = l.kernel.spec().buffers.iter().zip(l.buffers());
            args.into_iter().any(|(arg, &id)| id == from && arg.written && arg.word == Word::F32)
        })
    };
    for read in job.reads.iter_mut().filter(|r| written(r.from)) {
        let slab: &mut Slab = &mut read.into;
        slab.f32_mut().iter_mut().enumerate().filter(|(_, v)| **v != 0.0).for_each(|(i, v)| change(i, v));
    }
}
