//! Buffers of an OpenCL device, and which commands must wait for which.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opencl3::command_queue::{
    CommandQueue, enqueue_map_buffer, enqueue_read_buffer, enqueue_unmap_mem_object, enqueue_write_buffer,
};
use opencl3::context::Context;
use opencl3::device::Device;
use opencl3::error_codes::ClError;
use opencl3::event::Event;
use opencl3::memory::{Buffer, CL_MAP_READ, CL_MEM_READ_ONLY, CL_MEM_READ_WRITE, CL_MEM_USE_HOST_PTR, ClMem};
use opencl3::types::{CL_NON_BLOCKING, cl_event, cl_mem, cl_mem_flags, cl_uint};

use super::{lost, raw};
use crate::Slab;
use crate::backend::BackendError;

/// Words that are zeroed with one write.
const ZERO_WORDS: usize = 1 << 20;

/// Where buffers come from.
#[derive(Debug)]
pub struct Memory {
    context: Context,
    zero_copy: bool,
    words_max: usize,
}

/// Memory of one buffer, until the last command that uses it is done.
#[derive(Debug)]
pub struct Region {
    // Released before the host memory below it is freed.
    mem: Buffer<u32>,
    host: Host,
    words: usize,
    last: Mutex<Last>,
}

/// Host memory that the device works in.
#[derive(Debug)]
enum Host {
    /// None: the device has its own.
    None,
    /// Only the device's.
    Own(Slab),
    /// The host may read it at any time, so the device only reads it.
    Shared {
        /// Keeps the memory.
        _slab: Arc<Slab>,
    },
}

/// The last command of each queue that used a region. Queues are in order, so the ones before are done when it is.
#[derive(Debug, Default)]
struct Last {
    upload: Option<Arc<Event>>,
    kernel: Option<Arc<Event>>,
    download: Option<Arc<Event>>,
}

impl Memory {
    /// Memory of the context's one device.
    pub fn new(context: Context, device: &Device) -> Self {
        let most = device.max_mem_alloc_size().unwrap_or(u64::MAX) / 4;
        Self {
            context,
            zero_copy: device.host_unified_memory().unwrap_or(false),
            // A kernel counts words with i32.
            words_max: usize::try_from(most).unwrap_or(usize::MAX).min(i32::MAX as usize),
        }
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Does the device work in the host's memory?
    pub fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// A buffer of zeros.
    ///
    /// # Errors
    /// No room.
    pub fn zeroed(&self, queue: &CommandQueue, words: usize) -> Result<Region, BackendError> {
        if words == 0 || words > self.words_max {
            let reason = format!("a buffer has 1 to {} words", self.words_max);
            return Err(BackendError::Memory { words, reason });
        }
        if self.zero_copy {
            return self.own(Slab::zeroed(words));
        }
        let none = |e: ClError| BackendError::Memory { words, reason: format!("{e} ({})", e.0) };
        // SAFETY: no host pointer is passed, and the size was checked.
        let mem = unsafe { Buffer::create(&self.context, CL_MEM_READ_WRITE, words, ptr::null_mut()) };
        let region = Region::new(mem.map_err(none)?, Host::None, words);
        let zeros = Slab::zeroed(words.min(ZERO_WORDS));
        for at in (0..words).step_by(ZERO_WORDS) {
            let piece = ZERO_WORDS.min(words - at);
            let event = region.write_at(queue, at, &zeros, piece, &[])?;
            event.wait().map_err(none)?;
        }
        Ok(region)
    }

    /// A buffer in this memory, which becomes the device's.
    ///
    /// # Errors
    /// The device refuses it.
    pub fn own(&self, slab: Slab) -> Result<Region, BackendError> {
        let mem = self.over(&slab, CL_MEM_READ_WRITE)?;
        let words = slab.len();
        Ok(Region::new(mem, Host::Own(slab), words))
    }

    /// A buffer in this memory, which the device only reads.
    ///
    /// # Errors
    /// The device refuses it.
    pub fn shared(&self, slab: Arc<Slab>) -> Result<Region, BackendError> {
        let mem = self.over(&slab, CL_MEM_READ_ONLY)?;
        let words = slab.len();
        Ok(Region::new(mem, Host::Shared { _slab: slab }, words))
    }

    fn over(&self, slab: &Slab, access: cl_mem_flags) -> Result<Buffer<u32>, BackendError> {
        let (words, at) = (slab.len(), slab.as_ptr().as_ptr().cast::<c_void>());
        // SAFETY: the slab is page-aligned and as long as said, and the region that is made of both keeps it alive until
        // the buffer is released. It is written by the device only where no reference to its words can exist (`own`).
        let mem = unsafe { Buffer::create(&self.context, access | CL_MEM_USE_HOST_PTR, words, at) };
        mem.map_err(|e| BackendError::Memory { words, reason: format!("{e} ({})", e.0) })
    }
}

impl Region {
    fn new(mem: Buffer<u32>, host: Host, words: usize) -> Self {
        Self { mem, host, words, last: Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle, for a kernel's argument.
    pub fn mem(&self) -> cl_mem {
        self.mem.get()
    }

    /// Length.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Is it host memory that only the device uses?
    pub fn is_own(&self) -> bool {
        matches!(self.host, Host::Own(_))
    }

    /// Is it memory that the device may not write?
    pub fn host_may_read(&self) -> bool {
        matches!(self.host, Host::Shared { .. })
    }

    /// What a kernel must wait for that reads or writes it.
    pub fn before_kernel(&self, written: bool) -> Vec<Arc<Event>> {
        let last = self.last();
        let download = if written { last.download.clone() } else { None };
        last.upload.iter().cloned().chain(download).collect()
    }

    /// A kernel that uses it was enqueued.
    pub fn used_by_kernel(&self, event: &Arc<Event>) {
        self.last().kernel = Some(Arc::clone(event));
    }

    /// Enqueues an upload; the caller keeps `from` until the event.
    pub fn write(&self, queue: &CommandQueue, from: &Slab) -> Result<Arc<Event>, BackendError> {
        let waits: Vec<_> = {
            let last = self.last();
            last.kernel.iter().chain(&last.download).cloned().collect()
        };
        let event = Arc::new(self.write_at(queue, 0, from, self.words, &raw(&waits))?);
        self.last().upload = Some(Arc::clone(&event));
        Ok(event)
    }

    fn write_at(
        &self,
        queue: &CommandQueue,
        at: usize,
        from: &Slab,
        words: usize,
        waits: &[cl_event],
    ) -> Result<Event, BackendError> {
        debug_assert!(words <= from.len() && at + words <= self.words);
        let source = from.as_ptr().as_ptr().cast::<c_void>();
        let (count, list) = wait_list(waits);
        // SAFETY: `words` of both are there, and the caller keeps the slab, unchanged, until the event.
        let event = unsafe {
            enqueue_write_buffer(
                queue.get(),
                self.mem(),
                CL_NON_BLOCKING,
                at * 4,
                words * 4,
                source,
                count,
                list,
            )
        };
        event.map(Event::new).map_err(|e| lost("upload", ClError(e)))
    }

    /// Enqueues a download; the caller keeps `into`, untouched, until the event.
    pub fn read(&self, queue: &CommandQueue, into: &mut Slab) -> Result<Arc<Event>, BackendError> {
        debug_assert!(into.len() == self.words);
        let waits = self.before_download();
        let waits = raw(&waits);
        let (count, list) = wait_list(&waits);
        let target = into.as_ptr().as_ptr().cast::<c_void>();
        // SAFETY: both are `words` long, and the caller keeps the slab until the event.
        let event = unsafe {
            enqueue_read_buffer(
                queue.get(),
                self.mem(),
                CL_NON_BLOCKING,
                0,
                self.words * 4,
                target,
                count,
                list,
            )
        };
        self.downloaded(event.map_err(|e| lost("download", ClError(e)))?)
    }

    /// Enqueues making the host memory below current.
    pub fn map(&self, queue: &CommandQueue) -> Result<Arc<Event>, BackendError> {
        let waits = self.before_download();
        let waits = raw(&waits);
        let (count, list) = wait_list(&waits);
        let mut at: cl_mem = ptr::null_mut();
        // SAFETY: the whole buffer is mapped for reading; with CL_MEM_USE_HOST_PTR it lands in our own slab.
        let event = unsafe {
            enqueue_map_buffer(
                queue.get(),
                self.mem(),
                CL_NON_BLOCKING,
                CL_MAP_READ,
                0,
                self.words * 4,
                &mut at,
                count,
                list,
            )
        };
        let event = event.map_err(|e| lost("map", ClError(e)))?;
        self.downloaded(event)
    }

    /// Ends the mapping and waits for that.
    pub fn unmap(&self, queue: &CommandQueue) -> Result<(), BackendError> {
        let Host::Own(slab) = &self.host else { return Ok(()) };
        let at = slab.as_ptr().as_ptr().cast::<c_void>();
        // SAFETY: with CL_MEM_USE_HOST_PTR a mapping is at that very memory, and `map` made it.
        let event = unsafe { enqueue_unmap_mem_object(queue.get(), self.mem(), at, 0, ptr::null()) };
        let event = Event::new(event.map_err(|e| lost("unmap", ClError(e)))?);
        event.wait().map_err(|e| lost("unmap", e))
    }

    fn before_download(&self) -> Vec<Arc<Event>> {
        let last = self.last();
        last.upload.iter().chain(&last.kernel).cloned().collect()
    }

    fn downloaded(&self, event: cl_event) -> Result<Arc<Event>, BackendError> {
        let event = Arc::new(Event::new(event));
        self.last().download = Some(Arc::clone(&event));
        Ok(event)
    }

    /// The host memory below, once no command uses it any more.
    pub fn into_slab(self) -> Option<Slab> {
        let Self { mem, host, .. } = self;
        drop(mem);
        match host {
            Host::Own(slab) => Some(slab),
            Host::None | Host::Shared { .. } => None,
        }
    }
}

fn wait_list(waits: &[cl_event]) -> (cl_uint, *const cl_event) {
    let list = if waits.is_empty() { ptr::null() } else { waits.as_ptr() };
    (waits.len() as cl_uint, list)
}
