//! An NVIDIA device through the CUDA driver API. Kernels come as PTX, which the driver compiles when it loads them. Three
//! streams and events: uploads and downloads, from and to pinned memory, run beside kernels.
//!
//! It compiles everywhere; it has not run on a device yet.

mod memory;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaStream, DriverError, LaunchConfig, PushKernelArg,
};
use cudarc::nvrtc::Ptx;
use foreshade_kernels::{GROUP, KernelId};
use memory::{Pinned, Region};

use crate::backend::{Backend, BackendError, BufferId, DeviceInfo, Job, Launch, Ticket, Timing};
use crate::checked;
use crate::probe::{Absent, Found, ProbeOptions, disabled, one_line};

/// The driver's name.
pub const DRIVER: &str = "cuda";

/// One NVIDIA device.
#[derive(Debug)]
pub struct CudaDevice {
    info: DeviceInfo,
    context: Arc<CudaContext>,
    streams: Streams,
    pinned: Pinned,
    built: BTreeMap<KernelId, CudaFunction>,
    buffers: BTreeMap<BufferId, Arc<Region>>,
    next_buffer: u32,
    next_ticket: u64,
    flight: VecDeque<(Ticket, Flight)>,
    /// The first error that leaves the device's state unknown; nothing is submitted after it.
    lost: Option<BackendError>,
}

/// One for each direction, and one for kernels.
#[derive(Debug)]
struct Streams {
    up: Arc<CudaStream>,
    run: Arc<CudaStream>,
    down: Arc<CudaStream>,
}

/// A job that was handed to the device, with all memory it touches.
#[derive(Debug)]
struct Flight {
    job: Job,
    start: Instant,
    /// Before the first launch and after the last.
    kernels: Option<(CudaEvent, CudaEvent)>,
    /// The last command of each stream.
    ends: Vec<Arc<CudaEvent>>,
    /// The device may work in these until then.
    regions: Vec<Arc<Region>>,
    uploads: Vec<memory::Staging>,
    downloads: Vec<memory::Staging>,
}

pub(crate) fn lost(what: &str, error: DriverError) -> BackendError {
    BackendError::Lost(one_line(&format!("{what}: {error}")))
}

/// Every device of the driver, or why there is none.
pub fn probe(_options: &ProbeOptions) -> Vec<Found> {
    if let Some(reason) = disabled("cuda") {
        return vec![Err(Absent::driver(DRIVER, reason))];
    }
    // SAFETY: it opens the library and closes it again; the driver's library has no preconditions for that. Without the
    // library every other call of the crate panics.
    if !unsafe { cudarc::driver::sys::is_culib_present() } {
        return vec![Err(Absent::driver(DRIVER, "no NVIDIA driver (libcuda.so.1)"))];
    }
    // A library that lacks a symbol makes the crate panic.
    std::panic::catch_unwind(devices).unwrap_or_else(|_| {
        vec![Err(Absent::driver(DRIVER, "the library libcuda.so.1 is not one of NVIDIA's"))]
    })
}

fn devices() -> Vec<Found> {
    match CudaContext::device_count() {
        Ok(0) => vec![Err(Absent::driver(DRIVER, "the NVIDIA driver has no device"))],
        Ok(count) => (0..count.unsigned_abs() as usize).map(open).collect(),
        Err(error) => vec![Err(Absent::driver(DRIVER, format!("the NVIDIA driver failed: {error}")))],
    }
}

fn open(ordinal: usize) -> Found {
    let failed = |e: DriverError| Absent::device(DRIVER, format!("device {ordinal}"), e.to_string());
    let device = CudaContext::new(ordinal).and_then(CudaDevice::new).map_err(failed)?;
    Ok(Box::new(device))
}

impl CudaDevice {
    fn new(context: Arc<CudaContext>) -> Result<Self, DriverError> {
        // SAFETY: every command below waits by itself for what it depends on (`memory::Region`), and memory is kept
        // until the last command that uses it (`Flight::regions`).
        unsafe { context.disable_event_tracking() };
        let (major, minor) = context.compute_capability()?;
        let info = DeviceInfo {
            driver: DRIVER,
            device: context.name()?,
            version: String::new(),
            simd: format!("compute {major}.{minor}"),
            threads: 0,
            memory_bytes: context.total_mem()? as u64,
            software: false,
        };
        let stream = || context.new_stream();
        let streams = Streams { up: stream()?, run: stream()?, down: stream()? };
        Ok(Self {
            info,
            pinned: Pinned::new(Arc::clone(&context)),
            context,
            streams,
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

    fn build(&mut self, kernel: KernelId) -> Result<(), BackendError> {
        if self.built.contains_key(&kernel) {
            return Ok(());
        }
        if !self.supports(kernel) {
            return Err(BackendError::Unsupported(kernel));
        }
        let module = self.context.load_module(Ptx::from_src(kernel.spec().ptx));
        let function = module.and_then(|module| module.load_function(kernel.name()));
        let failed = |e: DriverError| BackendError::Build { kernel, log: one_line(&e.to_string()) };
        self.built.insert(kernel, function.map_err(failed)?);
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
            kernels: None,
            ends: Vec::new(),
            regions: Vec::new(),
            uploads: Vec::new(),
            downloads: Vec::new(),
        };
        match self.enqueue_all(&mut flight) {
            Ok(()) => Ok(flight),
            Err(error) => Err(self.stop(error)),
        }
    }

    /// Waits for what still uses the memory of a job that failed.
    fn stop(&mut self, error: BackendError) -> BackendError {
        self.settle();
        self.lost = Some(error.clone());
        error
    }

    fn settle(&self) {
        for stream in [&self.streams.up, &self.streams.run, &self.streams.down] {
            // An error here changes nothing: the device is already being dropped or reported.
            let _ = stream.synchronize();
        }
    }

    fn enqueue_all(&mut self, flight: &mut Flight) -> Result<(), BackendError> {
        for i in 0..flight.job.writes.len() {
            let region = self.region(flight.job.writes[i].to)?;
            let staging = self.pinned.filled(&flight.job.writes[i].from)?;
            let end = region.upload(&self.streams.up, &staging)?;
            flight.ends.push(end);
            flight.uploads.push(staging);
            flight.regions.push(region);
        }
        let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);
        let mark = |s: &CudaStream| s.record_event(timed).map_err(|e| lost("event", e));
        let first = mark(&self.streams.run)?;
        for i in 0..flight.job.launches.len() {
            let launch = flight.job.launches[i];
            self.launch(&launch, flight)?;
        }
        flight.kernels = Some((first, mark(&self.streams.run)?));
        for i in 0..flight.job.reads.len() {
            let region = self.region(flight.job.reads[i].from)?;
            let mut staging = self.pinned.take(region.words())?;
            let end = region.download(&self.streams.down, &mut staging)?;
            flight.ends.push(end);
            flight.downloads.push(staging);
            flight.regions.push(region);
        }
        Ok(())
    }

    fn launch(&self, launch: &Launch, flight: &mut Flight) -> Result<(), BackendError> {
        let spec = launch.kernel.spec();
        let groups = u32::try_from(checked::extent(launch)?.groups).unwrap_or(u32::MAX);
        let function = self.built.get(&launch.kernel).ok_or(BackendError::Unsupported(launch.kernel))?;
        let regions: Vec<Arc<Region>> =
            launch.buffers().iter().map(|&id| self.region(id)).collect::<Result<_, _>>()?;
        for (arg, region) in spec.buffers.iter().zip(&regions) {
            region.before_kernel(&self.streams.run, arg.written)?;
        }
        let mut builder = self.streams.run.launch_builder(function);
        regions.iter().for_each(|region| {
            builder.arg(region.slice());
        });
        launch.ints().iter().for_each(|value| {
            builder.arg(value);
        });
        launch.floats().iter().for_each(|value| {
            builder.arg(value);
        });
        let size =
            LaunchConfig { grid_dim: (groups, 1, 1), block_dim: (GROUP as u32, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the arguments are those of the kernel's list in its order, with buffers as long as its extent says for
        // these scalars (`checked::check`), and they live until the job is collected.
        unsafe { builder.launch(size) }.map_err(|e| lost("launch", e))?;
        let end = Arc::new(self.streams.run.record_event(None).map_err(|e| lost("event", e))?);
        regions.iter().for_each(|region| region.used_by_kernel(&end));
        flight.ends.push(end);
        flight.regions.extend(regions);
        Ok(())
    }

    /// Waits for a job and hands its lists back.
    fn finish(&mut self, mut flight: Flight) -> Result<(Job, Timing), BackendError> {
        if let Err(error) = self.hand_over(&mut flight) {
            return Err(self.stop(error));
        }
        let total = flight.start.elapsed();
        let ms = flight.kernels.as_ref().and_then(|(first, last)| first.elapsed_ms(last).ok());
        let kernel = ms.and_then(|ms| Duration::try_from_secs_f32(ms / 1e3).ok()).unwrap_or(total);
        Ok((flight.job, Timing { kernel, total }))
    }

    fn hand_over(&mut self, flight: &mut Flight) -> Result<(), BackendError> {
        for end in &flight.ends {
            end.synchronize().map_err(|e| lost("wait", e))?;
        }
        self.context.check_err().map_err(|e| lost("wait", e))?;
        for (read, staging) in flight.job.reads.iter_mut().zip(flight.downloads.drain(..)) {
            read.into.i32_mut().copy_from_slice(staging.words()?);
            self.pinned.give_back(staging);
        }
        flight.uploads.drain(..).for_each(|staging| self.pinned.give_back(staging));
        Ok(())
    }

    fn warm_up_job(&mut self, kernel: KernelId) -> Result<(Vec<BufferId>, Job), BackendError> {
        let (ints, floats) = checked::smallest(kernel);
        let words = checked::extent(&Launch::new(kernel, &[], ints, floats))?.words;
        let words = &words[..kernel.spec().buffers.len()];
        let ids = words.iter().map(|&w| self.alloc(w)).collect::<Result<Vec<_>, _>>()?;
        let launches = vec![Launch::new(kernel, &ids, ints, floats)];
        Ok((ids, Job { launches, ..Job::default() }))
    }
}

impl Backend for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, kernel: KernelId) -> bool {
        !kernel.spec().ptx.trim().is_empty()
    }

    fn alloc(&mut self, words: usize) -> Result<BufferId, BackendError> {
        if words == 0 || words > i32::MAX as usize {
            let reason = format!("a buffer has 1 to {} words", i32::MAX);
            return Err(BackendError::Memory { words, reason });
        }
        let region = Region::zeroed(&self.streams.run, words)?;
        let id = BufferId(self.next_buffer);
        self.next_buffer += 1;
        self.buffers.insert(id, Arc::new(region));
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
        self.build(kernel)?;
        let (ids, job) = self.warm_up_job(kernel)?;
        let result = self.enqueue(job).and_then(|flight| self.finish(flight));
        ids.into_iter().for_each(|id| self.free(id));
        result.map(|_| ())
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

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // The device may be at work in memory that is freed next.
        self.settle();
    }
}
