//! This machine's processor. Buffers are slabs: an upload and a download that takes are a change of owner.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foreshade_fallback_cpu::{Exec, arima, conformal, lstm_step, placement};
use foreshade_kernels::KernelId;
use foreshade_kernels::spec::MAX_BUFFERS;

use crate::Slab;
use crate::backend::{Backend, BackendError, BufferId, DeviceInfo, Job, Launch, Ticket, Timing};
use crate::checked;
use crate::probe::{Absent, Found, ProbeOptions, one_line};

/// The driver's name.
pub const DRIVER: &str = "cpu";

/// The CPU as a device. A job runs to its end in `submit`; `collect` hands it back.
#[derive(Debug)]
pub struct CpuDevice {
    info: DeviceInfo,
    exec: Exec,
    /// Shared with the host after an upload; such a slab is never written.
    buffers: BTreeMap<BufferId, Arc<Slab>>,
    next_buffer: u32,
    next_ticket: u64,
    done: VecDeque<(Ticket, Outcome)>,
}

type Outcome = Result<(Job, Timing), BackendError>;

/// The one CPU, always there unless an instruction set was named that it lacks.
pub fn probe(options: &ProbeOptions) -> Vec<Found> {
    vec![match Exec::new(options.simd.as_deref(), options.threads) {
        Ok(exec) => Ok(Box::new(CpuDevice::new(exec))),
        Err(error) => Err(Absent::driver(DRIVER, error.to_string())),
    }]
}

impl CpuDevice {
    /// The CPU with this instruction set and these threads.
    pub fn new(exec: Exec) -> Self {
        let info = DeviceInfo {
            driver: DRIVER,
            device: std::env::consts::ARCH.into(),
            simd: exec.simd().into(),
            threads: exec.threads(),
            software: true,
            ..DeviceInfo::default()
        };
        Self { info, exec, buffers: BTreeMap::new(), next_buffer: 1, next_ticket: 1, done: VecDeque::new() }
    }

    fn run(&mut self, job: &mut Job) -> Result<Duration, BackendError> {
        for write in &job.writes {
            self.buffers.insert(write.to, Arc::clone(&write.from));
        }
        let start = Instant::now();
        for launch in &job.launches {
            self.launch(launch)?;
        }
        let kernel = start.elapsed();
        for read in &mut job.reads {
            let Some(buffer) = self.buffers.get_mut(&read.from) else { continue };
            match Arc::get_mut(buffer) {
                Some(own) if read.take => std::mem::swap(own, &mut read.into),
                _ => read.into.i32_mut().copy_from_slice(buffer.i32()),
            }
        }
        Ok(kernel)
    }

    /// Outputs leave the map for the call, so that they are the only ones that can be written.
    fn launch(&mut self, launch: &Launch) -> Result<(), BackendError> {
        let spec = launch.kernel.spec();
        let mut outputs: [Option<Slab>; MAX_BUFFERS] = Default::default();
        for (i, id) in launch.buffers().iter().enumerate().filter(|(i, _)| spec.buffers[*i].written) {
            if let Some(slab) = self.buffers.remove(id) {
                let words = slab.len();
                // A slab that the host still holds is its own; the kernel writes all of the new one.
                outputs[i] = Some(Arc::try_unwrap(slab).unwrap_or_else(|_| Slab::zeroed(words)));
            }
        }
        let call = AssertUnwindSafe(|| self.call(launch, &mut outputs));
        let result = catch_unwind(call).unwrap_or_else(|panic| Err(BackendError::Lost(said(&*panic))));
        for (id, output) in launch.buffers().iter().zip(outputs) {
            if let Some(slab) = output {
                self.buffers.insert(*id, Arc::new(slab));
            }
        }
        result
    }

    fn call(&self, launch: &Launch, outputs: &mut [Option<Slab>; MAX_BUFFERS]) -> Result<(), BackendError> {
        let (exec, ints, floats) = (&self.exec, launch.ints(), launch.floats());
        let input = |index| self.input(launch, index);
        match (launch.kernel, outputs) {
            (KernelId::LstmStep, [_, _, _, _, _, Some(state_out), Some(out), _]) => lstm_step::step(
                exec,
                ints,
                input(0).i32(),
                input(1).f32(),
                input(2).f32(),
                input(3).f32(),
                input(4).f32(),
                state_out.f32_mut(),
                out.f32_mut(),
            ),
            (KernelId::ArimaFit, [_, Some(fit), Some(scratch), ..]) => {
                arima::fit(exec, ints, input(0).f32(), fit.f32_mut(), scratch.f32_mut());
            }
            (KernelId::ArimaForecast, [_, Some(mean), Some(variance), ..]) => {
                arima::forecast(exec, ints, input(0).f32(), mean.f32_mut(), variance.f32_mut());
            }
            (KernelId::PlacementScore, [_, _, _, _, _, Some(best), Some(score), _]) => placement::score(
                exec,
                ints,
                floats,
                input(0).f32(),
                input(1).f32(),
                input(2).f32(),
                input(3).f32(),
                input(4).i32(),
                best.i32_mut(),
                score.f32_mut(),
            ),
            (KernelId::ConformalUpdate, [_, _, _, _, _, Some(shift_out), Some(out), _]) => conformal::update(
                exec,
                ints,
                floats,
                input(0).f32(),
                input(1).f32(),
                input(2).f32(),
                input(3).f32(),
                input(4).f32(),
                shift_out.f32_mut(),
                out.f32_mut(),
            ),
            (kernel, _) => return Err(BackendError::Unsupported(kernel)),
        }
        Ok(())
    }

    /// The words of an input.
    fn input(&self, launch: &Launch, index: usize) -> &Slab {
        match self.buffers.get(&launch.buffers[index]) {
            Some(slab) => slab,
            None => panic!("{}: argument {index} was checked and is gone", launch.kernel),
        }
    }
}

impl Backend for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, _kernel: KernelId) -> bool {
        true
    }

    fn alloc(&mut self, words: usize) -> Result<BufferId, BackendError> {
        if words == 0 || words > i32::MAX as usize {
            let reason = format!("a buffer has 1 to {} words", i32::MAX);
            return Err(BackendError::Memory { words, reason });
        }
        let id = BufferId(self.next_buffer);
        self.next_buffer += 1;
        self.buffers.insert(id, Arc::new(Slab::zeroed(words)));
        Ok(id)
    }

    fn free(&mut self, buffer: BufferId) {
        self.buffers.remove(&buffer);
    }

    fn warm_up(&mut self, _kernel: KernelId) -> Result<(), BackendError> {
        Ok(())
    }

    fn submit(&mut self, mut job: Job) -> Result<Ticket, BackendError> {
        checked::check(&job, |id| self.buffers.get(&id).map(|b| b.len()))?;
        let start = Instant::now();
        let result = self.run(&mut job);
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let result = result.map(|kernel| (job, Timing { kernel, total: start.elapsed() }));
        self.done.push_back((ticket, result));
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket) -> Result<(Job, Timing), BackendError> {
        match self.done.front() {
            Some((first, _)) if *first == ticket => {}
            _ => return Err(BackendError::Ticket(ticket)),
        }
        match self.done.pop_front() {
            Some((_, result)) => result,
            None => Err(BackendError::Ticket(ticket)),
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a kernel stopped: {}", one_line(text.unwrap_or("no reason given")))
}
