//! Buffers of a CUDA device with what must be waited for, and the pinned host memory that is copied from and to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{
    CudaContext, CudaEvent, CudaSlice, CudaStream, DevicePtr, DriverError, PinnedHostSlice, result,
};

use super::lost;
use crate::Slab;
use crate::backend::BackendError;

/// Pieces of pinned memory that are kept for the next job.
const KEPT: usize = 32;

/// Device memory of one buffer, until the last command that uses it is done.
#[derive(Debug)]
pub struct Region {
    slice: CudaSlice<i32>,
    last: Mutex<Last>,
}

/// The last command of each stream that used a region. Streams are in order, so the ones before are done when it is.
#[derive(Debug, Default)]
struct Last {
    upload: Option<Arc<CudaEvent>>,
    kernel: Option<Arc<CudaEvent>>,
    download: Option<Arc<CudaEvent>>,
}

/// Pinned memory for one copy.
#[derive(Debug)]
pub struct Staging(PinnedHostSlice<i32>);

/// Pinned memory of a device.
#[derive(Debug)]
pub struct Pinned {
    context: Arc<CudaContext>,
    free: Vec<Staging>,
}

impl Pinned {
    /// None yet.
    pub fn new(context: Arc<CudaContext>) -> Self {
        Self { context, free: Vec::new() }
    }

    /// A piece of this length with any content.
    ///
    /// # Errors
    /// No room.
    pub fn take(&mut self, words: usize) -> Result<Staging, BackendError> {
        if let Some(at) = self.free.iter().position(|s| s.0.len() == words) {
            return Ok(self.free.swap_remove(at));
        }
        let none = |e: DriverError| BackendError::Memory { words, reason: e.to_string() };
        // SAFETY: whoever takes a piece fills it before anything reads it: `filled`, or a download.
        let mut piece = unsafe { self.context.alloc_pinned_with_flags(words, 0) }.map_err(none)?;
        piece.as_mut_slice().map_err(none)?.fill(0);
        Ok(Staging(piece))
    }

    /// A piece with these words.
    ///
    /// # Errors
    /// No room.
    pub fn filled(&mut self, from: &Slab) -> Result<Staging, BackendError> {
        let mut staging = self.take(from.len())?;
        let words = staging.0.as_mut_slice().map_err(|e| lost("upload", e))?;
        words.copy_from_slice(from.i32());
        Ok(staging)
    }

    /// Keeps a piece that no command uses any more.
    pub fn give_back(&mut self, staging: Staging) {
        if self.free.len() < KEPT {
            self.free.push(staging);
        }
    }
}

impl Staging {
    /// Its words, once no command writes it.
    ///
    /// # Errors
    /// Lost device.
    pub fn words(&self) -> Result<&[i32], BackendError> {
        self.0.as_slice().map_err(|e| lost("download", e))
    }
}

impl Region {
    /// A buffer of zeros, ready for every stream.
    ///
    /// # Errors
    /// No room.
    pub fn zeroed(run: &Arc<CudaStream>, words: usize) -> Result<Self, BackendError> {
        let none = |e: DriverError| BackendError::Memory { words, reason: e.to_string() };
        let slice = run.alloc_zeros(words).map_err(none)?;
        run.synchronize().map_err(none)?;
        Ok(Self { slice, last: Mutex::default() })
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Length.
    pub fn words(&self) -> usize {
        self.slice.len()
    }

    /// For a kernel's argument.
    pub fn slice(&self) -> &CudaSlice<i32> {
        &self.slice
    }

    /// Makes the kernels' stream wait for what comes before a kernel that reads or writes it.
    pub fn before_kernel(&self, run: &CudaStream, written: bool) -> Result<(), BackendError> {
        let last = self.last();
        let download = if written { last.download.as_ref() } else { None };
        wait(run, last.upload.as_ref().into_iter().chain(download))
    }

    /// A kernel that uses it was enqueued.
    pub fn used_by_kernel(&self, end: &Arc<CudaEvent>) {
        self.last().kernel = Some(Arc::clone(end));
    }

    /// Enqueues an upload; the caller keeps `from` until the event.
    pub fn upload(&self, up: &CudaStream, from: &Staging) -> Result<Arc<CudaEvent>, BackendError> {
        let mut last = self.last();
        wait(up, last.kernel.iter().chain(&last.download))?;
        let words = from.words()?;
        debug_assert!(words.len() == self.words());
        let (to, _none) = self.slice.device_ptr(up);
        // SAFETY: both are `words` long, and the caller keeps the pinned piece, unchanged, until the event.
        unsafe { result::memcpy_htod_async(to, words, up.cu_stream()) }.map_err(|e| lost("upload", e))?;
        let end = Arc::new(up.record_event(None).map_err(|e| lost("event", e))?);
        last.upload = Some(Arc::clone(&end));
        Ok(end)
    }

    /// Enqueues a download; the caller keeps `into`, untouched, until the event.
    pub fn download(&self, down: &CudaStream, into: &mut Staging) -> Result<Arc<CudaEvent>, BackendError> {
        let mut last = self.last();
        wait(down, last.upload.iter().chain(&last.kernel))?;
        let words = into.0.as_mut_slice().map_err(|e| lost("download", e))?;
        debug_assert!(words.len() == self.words());
        let (from, _none) = self.slice.device_ptr(down);
        // SAFETY: both are `words` long, and the caller keeps the pinned piece until the event.
        unsafe { result::memcpy_dtoh_async(words, from, down.cu_stream()) }
            .map_err(|e| lost("download", e))?;
        let end = Arc::new(down.record_event(None).map_err(|e| lost("event", e))?);
        last.download = Some(Arc::clone(&end));
        Ok(end)
    }
}

fn wait<'a>(
    stream: &CudaStream,
    events: impl Iterator<Item = &'a Arc<CudaEvent>>,
) -> Result<(), BackendError> {
    for event in events {
        stream.wait(event).map_err(|e| lost("wait", e))?;
    }
    Ok(())
}
