//! What the parity and contract suites share.
#![allow(dead_code, reason = "each suite uses its own part")]

pub mod cases;
pub mod cc;
pub mod devices;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foreshade_accel::Slab;
use foreshade_accel::backend::{Backend, BackendError, BufferId, Job, Launch, Read, Write};
use foreshade_kernels::KernelId;

/// What stands in every output before a kernel runs: as f32 a NaN, as i32 no index. A word that the kernel leaves is seen.
pub const POISON: i32 = 0x7fc0_beef;

pub fn poisoned(words: usize) -> Slab {
    let mut slab = Slab::zeroed(words);
    slab.i32_mut().fill(POISON);
    slab
}

/// A launch with everything it needs.
pub struct Work {
    pub kernel: KernelId,
    pub ints: Vec<i32>,
    pub floats: Vec<f32>,
    /// What the kernel reads, in argument order.
    pub inputs: Vec<Arc<Slab>>,
}

/// Buffers of a launch on a device.
pub struct Placed {
    pub ids: Vec<BufferId>,
    pub launch: Launch,
}

impl Work {
    pub fn words(&self) -> Vec<usize> {
        let extent = (self.kernel.spec().extent)(&self.ints).unwrap();
        extent.words[..self.kernel.spec().buffers.len()].to_vec()
    }

    /// Allocates the buffers.
    pub fn place(&self, device: &mut dyn Backend) -> Result<Placed, BackendError> {
        let ids = self.words().into_iter().map(|w| device.alloc(w)).collect::<Result<Vec<_>, _>>()?;
        let launch = Launch::new(self.kernel, &ids, &self.ints, &self.floats);
        Ok(Placed { ids, launch })
    }

    /// Uploads of the inputs and of poison, the launch, downloads into poison.
    pub fn job(&self, placed: &Placed, take: bool) -> Job {
        let mut job = Job { launches: vec![placed.launch], ..Job::default() };
        let mut inputs = self.inputs.iter();
        for ((arg, &id), words) in self.kernel.spec().buffers.iter().zip(&placed.ids).zip(self.words()) {
            if arg.written {
                job.writes.push(Write { to: id, from: poisoned(words).into() });
                job.reads.push(Read { from: id, into: poisoned(words), take });
            } else {
                job.writes.push(Write { to: id, from: inputs.next().unwrap().clone() });
            }
        }
        job
    }

    /// Runs it on its own and frees everything.
    pub fn run(&self, device: &mut dyn Backend) -> Result<Vec<Slab>, BackendError> {
        let placed = self.place(device)?;
        let ticket = device.submit(self.job(&placed, false));
        let result = ticket.and_then(|t| device.collect(t));
        placed.ids.iter().for_each(|&id| device.free(id));
        Ok(result?.0.reads.into_iter().map(|r| r.into).collect())
    }
}

/// One test of a process at a time: PoCL 3.1 does not bear two threads that build programs or drop them (it fails an
/// assertion on the count of its loaded programs). A device has one thread, and a machine that uses PoCL one such device.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Is this in the comma list REQUIRE?
pub fn required(what: &str) -> bool {
    std::env::var("REQUIRE").unwrap_or_default().split(',').any(|w| w.trim() == what)
}
