//! A device through OpenCL, 1.2 calls only (what XRT for FPGA cards has). Three in-order queues and events: the upload of
//! one job runs beside the kernels of the one before. Where the device shares the host's memory, its buffers lie in
//! page-aligned slabs: an upload and a download that takes are a change of owner.

mod memory;
mod platform;
mod program;

use std::collections::{BTreeMap, VecDeque};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foreshade_kernels::spec::KernelSpec;
use foreshade_kernels::{GROUP, KernelId};
use memory::{Memory, Region};
use opencl3::command_queue::{CL_QUEUE_PROFILING_ENABLE, CommandQueue};
use opencl3::context::Context;
use opencl3::error_codes::ClError;
use opencl3::event::Event;
use opencl3::kernel::Kernel;
use opencl3::types::{cl_event, cl_uint};
pub use platform::{CPU, FPGA, GPU, probe};
use program::{Builder, Built};

use crate::Slab;
use crate::backend::{Backend, BackendError, BufferId, DeviceInfo, Job, Launch, Ticket, Timing};
use crate::checked;
use crate::probe::Form;

/// One OpenCL device.
#[derive(Debug)]
pub struct OpenClDevice {
    info: DeviceInfo,
    memory: Memory,
    builder: Builder,
    queues: Queues,
    built: BTreeMap<KernelId, Built>,
    buffers: BTreeMap<BufferId, Arc<Region>>,
    next_buffer: u32,
    next_ticket: u64,
    flight: VecDeque<(Ticket, Flight)>,
    /// The first error that leaves the device's state unknown; nothing is submitted after it.
    lost: Option<BackendError>,
}

/// One for each direction, and one for kernels.
#[derive(Debug)]
struct Queues {
    up: CommandQueue,
    run: CommandQueue,
    down: CommandQueue,
}

/// A job that was handed to the device, with all memory it touches.
#[derive(Debug)]
struct Flight {
    job: Job,
    start: Instant,
    /// Uploads, launches, downloads.
    events: Vec<Arc<Event>>,
    launches: std::ops::Range<usize>,
    /// The device may work in these until the last event.
    regions: Vec<Arc<Region>>,
    /// Reads that take: their index and the memory that becomes the caller's.
    taken: Vec<(usize, Arc<Region>)>,
}

pub(crate) fn lost(what: &str, error: ClError) -> BackendError {
    BackendError::Lost(format!("{what}: {error} ({})", error.0))
}

impl Queues {
    fn new(context: &Context) -> Result<Self, ClError> {
        let queue = || {
            // SAFETY: the device is the context's own, and the properties are of OpenCL 1.0.
            unsafe { CommandQueue::create(context, context.default_device(), CL_QUEUE_PROFILING_ENABLE) }
        };
        Ok(Self { up: queue()?, run: queue()?, down: queue()? })
    }

    fn all(&self) -> [&CommandQueue; 3] {
        [&self.up, &self.run, &self.down]
    }

    fn flush(&self) -> Result<(), BackendError> {
        self.all().iter().try_for_each(|q| q.flush()).map_err(|e| lost("flush", e))
    }

    fn finish(&self) {
        for queue in self.all() {
            // An error here changes nothing: the caller is already dropping or reporting the device.
            let _ = queue.finish();
        }
    }
}

impl OpenClDevice {
    fn new(info: DeviceInfo, memory: Memory, builder: Builder) -> Result<Self, ClError> {
        let queues = Queues::new(memory.context())?;
        Ok(Self {
            info,
            memory,
            builder,
            queues,
            built: BTreeMap::new(),
            buffers: BTreeMap::new(),
            next_buffer: 1,
            next_ticket: 1,
            flight: VecDeque::new(),
            lost: None,
        })
    }

    fn region(&self, id: BufferId) -> Result<Arc<Region>, BackendError> {
        let missing = || BackendError::Lost(format!("buffer {} was checked and is gone", id.0));
        self.buffers.get(&id).cloned().ok_or_else(missing)
    }

    /// The built kernel, which is built if need be.
    fn build(&mut self, kernel: KernelId) -> Result<(), BackendError> {
        if !self.built.contains_key(&kernel) {
            let built = self.builder.build(self.memory.context(), kernel)?;
            self.built.insert(kernel, built);
        }
        Ok(())
    }

    /// Hands a checked job to the device. After an error nothing of it runs any more.
    fn enqueue(&mut self, job: Job) -> Result<Flight, BackendError> {
        for launch in &job.launches {
            self.build(launch.kernel)?;
        }
        let mut flight = Flight {
            job,
            start: Instant::now(),
            events: Vec::new(),
            launches: 0..0,
            regions: Vec::new(),
            taken: Vec::new(),
        };
        let result = self.enqueue_all(&mut flight).and_then(|()| self.queues.flush());
        if let Err(error) = result {
            // What was enqueued still uses the job's memory.
            self.queues.finish();
            self.lost = Some(error.clone());
            return Err(error);
        }
        Ok(flight)
    }

    fn enqueue_all(&mut self, flight: &mut Flight) -> Result<(), BackendError> {
        for i in 0..flight.job.writes.len() {
            let (to, from) = (flight.job.writes[i].to, Arc::clone(&flight.job.writes[i].from));
            self.upload(to, from, flight)?;
        }
        let first = flight.events.len();
        for i in 0..flight.job.launches.len() {
            let launch = flight.job.launches[i];
            self.launch(&launch, flight)?;
        }
        flight.launches = first..flight.events.len();
        for i in 0..flight.job.reads.len() {
            self.download(i, flight)?;
        }
        Ok(())
    }

    fn upload(&mut self, to: BufferId, from: Arc<Slab>, flight: &mut Flight) -> Result<(), BackendError> {
        if self.memory.zero_copy() {
            let region = Arc::new(self.memory.shared(from)?);
            self.buffers.insert(to, region);
            return Ok(());
        }
        let region = self.region(to)?;
        let event = region.write(&self.queues.up, &from)?;
        flight.events.push(event);
        flight.regions.push(region);
        Ok(())
    }

    fn launch(&mut self, launch: &Launch, flight: &mut Flight) -> Result<(), BackendError> {
        let spec = launch.kernel.spec();
        let groups = checked::extent(launch)?.groups;
        let mut regions = Vec::with_capacity(spec.buffers.len());
        for (arg, &id) in spec.buffers.iter().zip(launch.buffers()) {
            let mut region = self.region(id)?;
            if arg.written && region.host_may_read() {
                // The host still holds that memory; the kernel writes all of the new one.
                region = Arc::new(self.memory.own(Slab::zeroed(region.words()))?);
                self.buffers.insert(id, Arc::clone(&region));
            }
            regions.push(region);
        }
        let Some(built) = self.built.get(&launch.kernel) else {
            return Err(BackendError::Unsupported(launch.kernel));
        };
        set_args(&built.kernel, launch, &regions)?;
        let waits: Vec<Arc<Event>> =
            spec.buffers.iter().zip(&regions).flat_map(|(arg, r)| r.before_kernel(arg.written)).collect();
        let event = Arc::new(nd_range(&self.queues.run, built, groups, &raw(&waits))?);
        for region in &regions {
            region.used_by_kernel(&event);
        }
        flight.events.push(event);
        flight.regions.extend(regions);
        Ok(())
    }

    fn download(&mut self, index: usize, flight: &mut Flight) -> Result<(), BackendError> {
        let read = &mut flight.job.reads[index];
        let region = self.region(read.from)?;
        if read.take && region.is_own() {
            let event = region.map(&self.queues.down)?;
            // The caller's slab becomes the buffer; what the buffer was becomes the caller's in `collect`.
            let slab = std::mem::replace(&mut read.into, Slab::zeroed(0));
            self.buffers.insert(read.from, Arc::new(self.memory.own(slab)?));
            flight.events.push(event);
            flight.taken.push((index, region));
        } else {
            let event = region.read(&self.queues.down, &mut read.into)?;
            flight.events.push(event);
            flight.regions.push(region);
        }
        Ok(())
    }

    /// Waits for a job and hands its lists back.
    fn finish(&mut self, mut flight: Flight) -> Result<(Job, Timing), BackendError> {
        let done = wait(&flight.events).and_then(|()| self.hand_over(&mut flight));
        if let Err(error) = done {
            self.queues.finish();
            self.lost = Some(error.clone());
            return Err(error);
        }
        let timing = timing(&flight);
        Ok((flight.job, timing))
    }

    fn hand_over(&self, flight: &mut Flight) -> Result<(), BackendError> {
        flight.regions.clear();
        for (index, region) in flight.taken.drain(..) {
            region.unmap(&self.queues.down)?;
            let region = Arc::try_unwrap(region)
                .map_err(|_| BackendError::Lost("a buffer that was taken is still in use".into()))?;
            if let Some(slab) = region.into_slab() {
                flight.job.reads[index].into = slab;
            }
        }
        Ok(())
    }

    fn warm_up_job(&mut self, kernel: KernelId) -> Result<(Vec<BufferId>, Job), BackendError> {
        let (ints, floats) = checked::smallest(kernel);
        let probe = Launch::new(kernel, &[], ints, floats);
        let words = checked::extent(&probe)?.words;
        let mut ids = Vec::new();
        for &words in &words[..kernel.spec().buffers.len()] {
            match self.alloc(words) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    ids.into_iter().for_each(|id| self.free(id));
                    return Err(error);
                }
            }
        }
        let launches = vec![Launch::new(kernel, &ids, ints, floats)];
        Ok((ids, Job { launches, ..Job::default() }))
    }
}

impl Backend for OpenClDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, kernel: KernelId) -> bool {
        self.builder.has(kernel)
    }

    fn alloc(&mut self, words: usize) -> Result<BufferId, BackendError> {
        let region = Arc::new(self.memory.zeroed(&self.queues.up, words)?);
        let id = BufferId(self.next_buffer);
        self.next_buffer += 1;
        self.buffers.insert(id, region);
        Ok(id)
    }

    fn free(&mut self, buffer: BufferId) {
        // A job in flight holds its own count.
        self.buffers.remove(&buffer);
    }

    fn warm_up(&mut self, kernel: KernelId) -> Result<(), BackendError> {
        if let Some(error) = &self.lost {
            return Err(error.clone());
        }
        if !self.supports(kernel) {
            return Err(BackendError::Unsupported(kernel));
        }
        let (ids, job) = self.warm_up_job(kernel)?;
        let result = self.enqueue(job).and_then(|flight| self.finish(flight));
        ids.into_iter().for_each(|id| self.free(id));
        result?;
        // Only now is the native code of the launch's size in it.
        if let Some(built) = self.built.get_mut(&kernel) {
            self.builder.save(kernel, built);
        }
        Ok(())
    }

    fn submit(&mut self, job: Job) -> Result<Ticket, BackendError> {
        if let Some(error) = &self.lost {
            return Err(error.clone());
        }
        checked::check(&job, |id| self.buffers.get(&id).map(|b| b.words()))?;
        let flight = self.enqueue(job)?;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.flight.push_back((ticket, flight));
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket) -> Result<(Job, Timing), BackendError> {
        match self.flight.pop_front() {
            Some((first, flight)) if first == ticket => self.finish(flight),
            Some(other) => {
                self.flight.push_front(other);
                Err(BackendError::Ticket(ticket))
            }
            None => Err(BackendError::Ticket(ticket)),
        }
    }
}

impl Drop for OpenClDevice {
    fn drop(&mut self) {
        // The device may be at work in memory that is freed next.
        self.queues.finish();
    }
}

/// The handles of events, for a call; the events live longer than it.
pub(crate) fn raw(events: &[Arc<Event>]) -> Vec<cl_event> {
    events.iter().map(|e| e.get()).collect()
}

fn set_args(kernel: &Kernel, launch: &Launch, regions: &[Arc<Region>]) -> Result<(), BackendError> {
    let spec: &KernelSpec = launch.kernel.spec();
    let mut at: cl_uint = 0;
    let mut step = |result: Result<(), ClError>| {
        at += 1;
        result.map_err(|e| lost(&format!("argument {at} of {}", spec.id), e))
    };
    for (i, region) in regions.iter().enumerate() {
        // SAFETY: the argument is a buffer in the kernel's list, and cl_mem is what one is passed as.
        step(unsafe { kernel.set_arg(i as cl_uint, &region.mem()) })?;
    }
    let ints = regions.len();
    for (i, value) in launch.ints().iter().enumerate() {
        // SAFETY: the argument is an int in the kernel's list; i32 is cl_int.
        step(unsafe { kernel.set_arg((ints + i) as cl_uint, value) })?;
    }
    let floats = ints + launch.ints().len();
    for (i, value) in launch.floats().iter().enumerate() {
        // SAFETY: the argument is a float in the kernel's list; f32 is cl_float.
        step(unsafe { kernel.set_arg((floats + i) as cl_uint, value) })?;
    }
    Ok(())
}

fn nd_range(
    queue: &CommandQueue,
    built: &Built,
    groups: usize,
    waits: &[cl_event],
) -> Result<Event, BackendError> {
    let local = if built.form == Form::Cpu { 1 } else { GROUP };
    let global = groups * local;
    // SAFETY: one dimension, so each pointer leads to one size; the arguments were all set, with buffers as long as the
    // kernel's extent says for these scalars (`checked::check`).
    let event =
        unsafe { queue.enqueue_nd_range_kernel(built.kernel.get(), 1, ptr::null(), &global, &local, waits) };
    event.map_err(|e| lost("launch", e))
}

fn wait(events: &[Arc<Event>]) -> Result<(), BackendError> {
    for event in events {
        event.wait().map_err(|e| lost("wait", e))?;
    }
    Ok(())
}

/// By the device's own clock where it keeps one, otherwise by ours.
fn timing(flight: &Flight) -> Timing {
    let elapsed = flight.start.elapsed();
    let ran = |event: &Arc<Event>| {
        let (start, end) = (event.profiling_command_start().ok()?, event.profiling_command_end().ok()?);
        Some(Duration::from_nanos(end.saturating_sub(start)))
    };
    let kernel: Option<Duration> = flight.events[flight.launches.clone()].iter().map(ran).sum();
    Timing { kernel: kernel.unwrap_or(elapsed), total: elapsed }
}
