//! A device through wgpu and Vulkan. One queue, which runs jobs in the order they were submitted; uploads are staged by
//! wgpu, downloads by a ring of buffers that the host can map.

mod adapter;
mod program;

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use adapter::{DRIVER, SOFTWARE, probe};
use foreshade_kernels::KernelId;
use program::{Builder, Built};
use wgpu::{BufferUsages, CommandEncoder, MapMode, PollType, SubmissionIndex};

use crate::Slab;
use crate::backend::{Backend, BackendError, BufferId, DeviceInfo, Job, Launch, Ticket, Timing};
use crate::checked;
use crate::probe::one_line;

/// Download buffers that are kept for the next job.
const RING: usize = 16;
/// Longest a job may take. A device thread gives up on a job long before; this ends the thread's wait as well.
const JOB_LIMIT: Duration = Duration::from_secs(120);

/// One adapter.
#[derive(Debug)]
pub struct WgpuDevice {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    builder: Builder,
    words_max: usize,
    groups_per_row: u32,
    /// What the device complained of outside of a call of ours.
    fault: Fault,
    built: BTreeMap<KernelId, Built>,
    buffers: BTreeMap<BufferId, wgpu::Buffer>,
    ring: Vec<wgpu::Buffer>,
    next_buffer: u32,
    next_ticket: u64,
    flight: VecDeque<(Ticket, Flight)>,
}

/// The first error that no call returned.
#[derive(Debug, Clone, Default)]
struct Fault(Arc<Mutex<Option<String>>>);

/// A job that was handed to the device.
#[derive(Debug)]
struct Flight {
    job: Job,
    start: Instant,
    submission: SubmissionIndex,
    /// One for each read, in order, with the answer to its mapping.
    downloads: Vec<(wgpu::Buffer, Receiver<Result<(), wgpu::BufferAsyncError>>)>,
}

impl Fault {
    fn set(&self, text: &str) {
        let mut fault = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fault.get_or_insert_with(|| one_line(text));
    }

    fn check(&self) -> Result<(), BackendError> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(text) => Err(BackendError::Lost(text.clone())),
            None => Ok(()),
        }
    }
}

fn bytes(words: usize) -> u64 {
    words as u64 * 4
}

/// The words as little-endian bytes, which is what this driver is built for.
fn as_bytes(slab: &Slab) -> &[u8] {
    bytemuck::cast_slice(slab.i32())
}

impl WgpuDevice {
    fn new(info: DeviceInfo, device: wgpu::Device, queue: wgpu::Queue, builder: Builder) -> Self {
        let fault = Fault::default();
        let (uncaptured, gone) = (fault.clone(), fault.clone());
        // Without this, wgpu ends the process.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| uncaptured.set(&error.to_string())));
        device.set_device_lost_callback(move |_, text| gone.set(&text));
        let limits = device.limits();
        let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size) / 4;
        Self {
            info,
            builder,
            // A kernel counts words with i32.
            words_max: usize::try_from(most).unwrap_or(usize::MAX).min(i32::MAX as usize),
            groups_per_row: limits.max_compute_workgroups_per_dimension,
            device,
            queue,
            fault,
            built: BTreeMap::new(),
            buffers: BTreeMap::new(),
            ring: Vec::new(),
            next_buffer: 1,
            next_ticket: 1,
            flight: VecDeque::new(),
        }
    }

    fn buffer(&self, id: BufferId) -> Result<&wgpu::Buffer, BackendError> {
        let missing = || BackendError::Lost(format!("buffer {} was checked and is gone", id.0));
        self.buffers.get(&id).ok_or_else(missing)
    }

    fn create(&self, words: usize, usage: BufferUsages) -> wgpu::Buffer {
        let size = bytes(words);
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    fn build(&mut self, kernel: KernelId) -> Result<(), BackendError> {
        if !self.built.contains_key(&kernel) {
            let built = self.builder.build(&self.device, kernel)?;
            self.built.insert(kernel, built);
        }
        Ok(())
    }

    fn enqueue(&mut self, job: Job) -> Result<Flight, BackendError> {
        for launch in &job.launches {
            self.build(launch.kernel)?;
        }
        let start = Instant::now();
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for launch in &job.launches {
            self.launch(launch, &mut encoder)?;
        }
        let mut staged = Vec::new();
        for read in &job.reads {
            let staging = self.staging(read.into.len());
            let from = self.buffer(read.from)?;
            encoder.copy_buffer_to_buffer(from, 0, &staging, 0, bytes(read.into.len()));
            staged.push(staging);
        }
        for write in &job.writes {
            // Done before the commands that are submitted next, and after those submitted before.
            self.queue.write_buffer(self.buffer(write.to)?, 0, as_bytes(&write.from));
        }
        let submission = self.queue.submit([encoder.finish()]);
        let downloads = staged.into_iter().map(map).collect();
        Ok(Flight { job, start, submission, downloads })
    }

    /// A buffer of the ring, or a new one.
    fn staging(&mut self, words: usize) -> wgpu::Buffer {
        match self.ring.iter().position(|b| b.size() == bytes(words)) {
            Some(at) => self.ring.swap_remove(at),
            None => self.create(words, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
        }
    }

    fn launch(&self, launch: &Launch, encoder: &mut CommandEncoder) -> Result<(), BackendError> {
        let groups = u32::try_from(checked::extent(launch)?.groups).unwrap_or(u32::MAX);
        let built = self.built.get(&launch.kernel).ok_or(BackendError::Unsupported(launch.kernel))?;
        let buffers: Vec<&wgpu::Buffer> =
            launch.buffers().iter().map(|&id| self.buffer(id)).collect::<Result<_, _>>()?;
        let bind = built.bind(&self.device, launch, &buffers);
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(built.pipeline());
        pass.set_bind_group(0, &bind, &[]);
        let columns = groups.min(self.groups_per_row).max(1);
        pass.dispatch_workgroups(columns, groups.div_ceil(columns), 1);
        Ok(())
    }

    /// Waits for a job and hands its lists back.
    fn finish(&mut self, flight: Flight) -> Result<(Job, Timing), BackendError> {
        let Flight { mut job, start, submission, downloads } = flight;
        let wait = PollType::Wait { submission_index: Some(submission), timeout: Some(JOB_LIMIT) };
        if let Err(error) = self.device.poll(wait) {
            self.fault.set(&format!("wait: {error}"));
        }
        self.fault.check()?;
        for (read, (staging, answer)) in job.reads.iter_mut().zip(downloads) {
            match answer.try_recv() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fault.set(&format!("download: {error}")),
                Err(error) => self.fault.set(&format!("download not ready: {error}")),
            }
            self.fault.check()?;
            let view = staging.slice(..).get_mapped_range();
            let view = view.map_err(|e| BackendError::Lost(one_line(&format!("download: {e}"))))?;
            bytemuck::cast_slice_mut(read.into.i32_mut()).copy_from_slice(&view);
            drop(view);
            staging.unmap();
            if self.ring.len() < RING {
                self.ring.push(staging);
            }
        }
        let total = start.elapsed();
        Ok((job, Timing { kernel: total, total }))
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

/// Asks for a download buffer to be mapped once what was submitted is done.
fn map(staging: wgpu::Buffer) -> (wgpu::Buffer, Receiver<Result<(), wgpu::BufferAsyncError>>) {
    let (send, answer) = mpsc::channel();
    staging.slice(..).map_async(MapMode::Read, move |result| {
        // Nobody waits any more when the device was dropped.
        let _ = send.send(result);
    });
    (staging, answer)
}

impl Backend for WgpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, kernel: KernelId) -> bool {
        self.builder.has(kernel)
    }

    fn alloc(&mut self, words: usize) -> Result<BufferId, BackendError> {
        if words == 0 || words > self.words_max {
            let reason = format!("a buffer has 1 to {} words", self.words_max);
            return Err(BackendError::Memory { words, reason });
        }
        self.fault.check()?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffer = self.create(words, usage);
        if let Some(error) = adapter::block_on(scope.pop()) {
            return Err(BackendError::Memory { words, reason: one_line(&error.to_string()) });
        }
        let id = BufferId(self.next_buffer);
        self.next_buffer += 1;
        self.buffers.insert(id, buffer);
        Ok(id)
    }

    fn free(&mut self, buffer: BufferId) {
        // wgpu keeps it until the commands that use it are done.
        self.buffers.remove(&buffer);
    }

    fn warm_up(&mut self, kernel: KernelId) -> Result<(), BackendError> {
        self.fault.check()?;
        if !self.supports(kernel) {
            return Err(BackendError::Unsupported(kernel));
        }
        let (ids, job) = self.warm_up_job(kernel)?;
        let result = self.enqueue(job).and_then(|flight| self.finish(flight));
        ids.into_iter().for_each(|id| self.free(id));
        result?;
        if let Some(built) = self.built.get_mut(&kernel) {
            self.builder.save(kernel, built);
        }
        Ok(())
    }

    fn submit(&mut self, job: Job) -> Result<Ticket, BackendError> {
        self.fault.check()?;
        let words = |id| self.buffers.get(&id).map(|b| (b.size() / 4) as usize);
        checked::check(&job, words)?;
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
