//! The CPU as a device: weights and state in ordinary memory, kernels of `foreshade-fallback-cpu`.

use std::collections::BTreeMap;

use foreshade_fallback_cpu::{lstm::LstmCpu, lstm::LstmCpuState, simd};
use foreshade_kernels::KernelId;
use foreshade_kernels::lstm_step::{Dims, Weights};

use crate::{
    AccelError, Backend, DeviceInfo, Job, LstmStepJob, OpenOptions, StateId, StateSnapshot, WeightsId,
};

const NAME: &str = "cpu";
const KERNEL: KernelId = KernelId::LstmStep;

/// The processor this program runs on.
#[derive(Debug)]
pub struct Cpu {
    info: DeviceInfo,
    /// Handles count up and are never used again, so a freed one is always noticed.
    next: u32,
    models: BTreeMap<u32, Model>,
    states: BTreeMap<u32, Resident>,
}

#[derive(Debug)]
struct Model {
    dims: Dims,
    stats: usize,
    outputs: usize,
    packed: LstmCpu,
}

#[derive(Debug)]
struct Resident {
    model: u32,
    lanes: LstmCpuState,
}

impl Cpu {
    /// Always there.
    pub fn new(options: &OpenOptions) -> Self {
        let threads = options.threads.max(1);
        let info = DeviceInfo { name: NAME, simd: simd().into(), threads };
        Self { info, next: 0, models: BTreeMap::new(), states: BTreeMap::new() }
    }

    fn next_id(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn resident(&self, state: StateId) -> Result<(&Model, &LstmCpuState), AccelError> {
        let resident = self.states.get(&state.0).ok_or_else(|| unknown("state", state.0))?;
        Ok((model(&self.models, resident.model)?, &resident.lanes))
    }

    fn resident_mut(&mut self, state: StateId) -> Result<(&Model, &mut LstmCpuState), AccelError> {
        let resident = self.states.get_mut(&state.0).ok_or_else(|| unknown("state", state.0))?;
        Ok((model(&self.models, resident.model)?, &mut resident.lanes))
    }

    fn lstm_step(&mut self, job: LstmStepJob<'_>) -> Result<(), AccelError> {
        let threads = self.info.threads;
        let (model, state) = self.resident_mut(job.state)?;
        let rows = job.lanes.len();
        check_length("x", job.x.len(), rows, model.dims.input)?;
        check_length("stats", job.stats.len(), rows, model.stats)?;
        check_length("out", job.out.len(), rows, model.outputs)?;
        check_lanes(job.lanes, state.lanes(), true)?;
        check_finite("x", job.x)?;
        check_finite("stats", job.stats)?;
        model.packed.step(state, job.lanes, job.x, job.stats, job.out, threads);
        Ok(())
    }
}

impl Backend for Cpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, kernel: KernelId) -> bool {
        kernel == KernelId::LstmStep
    }

    fn load_lstm(&mut self, weights: &Weights) -> Result<WeightsId, AccelError> {
        let id = self.next_id();
        let model = Model {
            dims: weights.dims(),
            stats: weights.stats(),
            outputs: weights.outputs(),
            packed: LstmCpu::new(weights),
        };
        self.models.insert(id, model);
        Ok(WeightsId(id))
    }

    fn new_state(&mut self, weights: WeightsId, lanes: usize) -> Result<StateId, AccelError> {
        let lanes = model(&self.models, weights.0)?.packed.zero_state(lanes);
        let id = self.next_id();
        self.states.insert(id, Resident { model: weights.0, lanes });
        Ok(StateId(id))
    }

    fn lanes(&self, state: StateId) -> Result<usize, AccelError> {
        Ok(self.resident(state)?.1.lanes())
    }

    fn resize_state(&mut self, state: StateId, lanes: usize) -> Result<(), AccelError> {
        self.resident_mut(state)?.1.resize(lanes);
        Ok(())
    }

    fn reset_lanes(&mut self, state: StateId, lanes: &[u32]) -> Result<(), AccelError> {
        let (_, resident) = self.resident_mut(state)?;
        check_lanes(lanes, resident.lanes(), false)?;
        for &lane in lanes {
            resident.reset(lane as usize);
        }
        Ok(())
    }

    fn snapshot(&self, state: StateId) -> Result<StateSnapshot, AccelError> {
        let (model, lanes) = self.resident(state)?;
        let (h, c) = lanes.export(&model.packed);
        Ok(StateSnapshot { h, c })
    }

    fn restore(&mut self, state: StateId, snapshot: &StateSnapshot) -> Result<(), AccelError> {
        let (model, resident) = self.resident_mut(state)?;
        let lanes = snapshot.h.len() / model.dims.hidden;
        check_length("h", snapshot.h.len(), lanes, model.dims.hidden)?;
        check_length("c", snapshot.c.len(), lanes, model.dims.hidden)?;
        check_finite("h", &snapshot.h)?;
        check_finite("c", &snapshot.c)?;
        *resident = LstmCpuState::import(&model.packed, &snapshot.h, &snapshot.c);
        Ok(())
    }

    fn drop_state(&mut self, state: StateId) -> Result<(), AccelError> {
        self.states.remove(&state.0).map(|_| ()).ok_or_else(|| unknown("state", state.0))
    }

    fn run(&mut self, job: Job<'_>) -> Result<(), AccelError> {
        let span = tracing::info_span!(
            "accel::run",
            device = NAME,
            kernel = job.kernel().name(),
            rows = job.rows() as u64
        );
        span.in_scope(|| match job {
            Job::LstmStep(job) => self.lstm_step(job),
        })
    }
}

fn model(models: &BTreeMap<u32, Model>, id: u32) -> Result<&Model, AccelError> {
    models.get(&id).ok_or_else(|| unknown("weights", id))
}

fn unknown(what: &'static str, id: u32) -> AccelError {
    AccelError::UnknownHandle { device: NAME, what, id }
}

fn check_length(what: &'static str, got: usize, rows: usize, width: usize) -> Result<(), AccelError> {
    let want = rows * width;
    if got == want {
        return Ok(());
    }
    Err(AccelError::Length { device: NAME, kernel: KERNEL, what, rows, got, want })
}

fn check_lanes(wanted: &[u32], lanes: usize, once: bool) -> Result<(), AccelError> {
    let problem = |lane, problem| AccelError::Lane { device: NAME, kernel: KERNEL, lane, problem, lanes };
    let mut seen = vec![false; lanes];
    for &lane in wanted {
        match seen.get_mut(lane as usize) {
            None => return Err(problem(lane, "out of range")),
            Some(seen) if once && *seen => return Err(problem(lane, "named twice")),
            Some(seen) => *seen = true,
        }
    }
    Ok(())
}

fn check_finite(what: &'static str, values: &[f32]) -> Result<(), AccelError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(AccelError::NotFinite { device: NAME, kernel: KERNEL, what, at }),
        None => Ok(()),
    }
}
