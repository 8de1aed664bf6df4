//! Resident state of the LSTM: on the device two copies by turns, on the host the last verified one and every input since.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foreshade_kernels::lstm_step::{self, LEVELS, RESET, STEP, TARGETS, Weights};
use foreshade_kernels::spec::{GROUP, blocked, padded};
use foreshade_kernels::{KernelId, lstm_step::Dims};

use super::calls;
use crate::backend::{BufferId, Job, Launch, Read, Write};
use crate::port::{Port, PortError};
use crate::{AccelError, Slab};

/// Most inputs kept for a redo, whatever the care says: bounds the host's memory.
pub(super) const LOG_MAX: usize = 64;

/// One tick's inputs for a state, feature-major; `lanes` = series rounded up to whole groups of 64.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// [lanes], bits [`STEP`] and [`RESET`]; 0 = the lane keeps its state and gets no output.
    pub mode: Arc<Slab>,
    /// [input][lanes]; finite where the lane takes a step.
    pub x: Arc<Slab>,
    /// [stats][lanes]; finite where the lane takes a step.
    pub stats: Arc<Slab>,
}

/// A loaded weight set.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) weights: Weights,
    pub(super) packed: Arc<Slab>,
}

impl Model {
    pub(super) fn new(weights: &Weights) -> Self {
        let packed = Arc::new(Slab::from_f32(&lstm_step::pack(weights)));
        Self { weights: weights.clone(), packed }
    }

    pub(super) fn state_words(&self, lanes: usize) -> usize {
        let Dims { hidden, layers, .. } = self.weights.dims();
        lanes * layers * 2 * hidden
    }
}

/// State of one fleet of series, as the host knows it.
#[derive(Debug)]
pub(super) struct Resident {
    pub(super) model: u32,
    pub(super) series: usize,
    pub(super) ints: [i32; 6],
    /// Verified state after step `base_at`.
    pub(super) base: Arc<Slab>,
    pub(super) base_at: u64,
    /// Read back one step before a check; the check starts from it.
    pub(super) before_check: Option<(u64, Slab)>,
    /// Inputs of the steps after `base_at`, collected or not.
    pub(super) log: VecDeque<Inputs>,
    /// Steps submitted.
    pub(super) at: u64,
    /// Lanes to reset with the next step.
    pub(super) reset: Vec<u32>,
    /// Inputs and outputs to use again.
    pub(super) spare: Vec<Inputs>,
    pub(super) spare_out: Vec<Slab>,
    /// The newest collected output.
    pub(super) out: Slab,
    /// Steps collected.
    pub(super) done: u64,
    /// Steps checked: each looks at another group of lanes.
    pub(super) checks: u64,
}

impl Resident {
    pub(super) fn new(model_id: u32, model: &Model, series: usize) -> Self {
        let lanes = padded(series);
        let base = Arc::new(Slab::zeroed(model.state_words(lanes)));
        Self {
            model: model_id,
            series,
            ints: lstm_step::ints(&model.weights, lanes),
            base,
            base_at: 0,
            before_check: None,
            log: VecDeque::new(),
            at: 0,
            reset: Vec::new(),
            spare: Vec::new(),
            spare_out: Vec::new(),
            out: Slab::zeroed(0),
            done: 0,
            checks: 0,
        }
    }

    pub(super) fn lanes(&self) -> usize {
        self.ints[0] as usize
    }

    /// Empty inputs, those of an earlier step where nobody holds them any more.
    pub(super) fn fresh_inputs(&mut self) -> Inputs {
        let free = |i: &mut Inputs| {
            [&mut i.mode, &mut i.x, &mut i.stats].into_iter().all(|a| Arc::get_mut(a).is_some())
        };
        let reused = (0..self.spare.len()).find(|&i| free(&mut self.spare[i]));
        let mut inputs = match reused {
            Some(i) => self.spare.swap_remove(i),
            None => {
                let words = words(&self.ints);
                let slab = |n: usize| Arc::new(Slab::zeroed(words[n]));
                Inputs { mode: slab(0), x: slab(1), stats: slab(2) }
            }
        };
        if let Some(mode) = Arc::get_mut(&mut inputs.mode) {
            mode.i32_mut().fill(0);
        }
        inputs
    }

    /// Checks a tick's inputs, once for every device, and puts the pending resets into them.
    pub(super) fn admit(&mut self, mut inputs: Inputs) -> Result<Inputs, AccelError> {
        let kernel = KernelId::LstmStep;
        let spec = kernel.spec();
        let lanes = self.lanes();
        let want = words(&self.ints);
        for (i, slab) in [&inputs.mode, &inputs.x, &inputs.stats].into_iter().enumerate() {
            if slab.len() != want[i] {
                let (what, shape) = (spec.buffers[i].name, calls::shape(spec.ints, &self.ints));
                return Err(AccelError::Length { kernel, what, got: slab.len(), want: want[i], shape });
            }
        }
        let known = STEP | RESET;
        let bad = |(lane, &m): (usize, &i32)| (m & !known != 0) || (lane >= self.series && m != 0);
        if let Some((lane, _)) = inputs.mode.i32().iter().enumerate().find(|&e| bad(e)) {
            let problem = "not a lane of this state, or its mode is none of 0 to 3";
            return Err(AccelError::Lane { lane: lane as u32, problem, lanes: self.series });
        }
        let mode = inputs.mode.i32();
        for (what, slab) in [("x", &inputs.x), ("stats", &inputs.stats)] {
            finite_where_stepped(what, slab.f32(), mode, lanes)?;
        }
        if !self.reset.is_empty() {
            let mode = Arc::make_mut(&mut inputs.mode).i32_mut();
            self.reset.drain(..).for_each(|lane| mode[lane as usize] |= RESET);
        }
        Ok(inputs)
    }

    /// Forgets the steps that were submitted and never came to an end; their resets come with the next step.
    pub(super) fn roll_back(&mut self) {
        for inputs in self.log.drain((self.done - self.base_at) as usize..) {
            let reset = inputs.mode.i32().iter().enumerate().filter(|(_, m)| **m & RESET != 0);
            self.reset.extend(reset.map(|(lane, _)| lane as u32));
        }
        self.at = self.done;
        self.before_check = None;
    }

    /// Keeps the inputs of collected steps up to `base_at` for other ticks to use.
    pub(super) fn forget_until(&mut self, base_at: u64, base: Arc<Slab>) {
        let gone = (base_at - self.base_at) as usize;
        self.spare.extend(self.log.drain(..gone.min(self.log.len())));
        self.spare.truncate(LOG_MAX);
        self.base = base;
        self.base_at = base_at;
    }
}

fn words(ints: &[i32]) -> [usize; 8] {
    // The scalars come from a checked weight set and a padded lane count: they are in their limits.
    (KernelId::LstmStep.spec().extent)(ints).map(|e| e.words).unwrap_or_default()
}

fn finite_where_stepped(
    what: &'static str,
    values: &[f32],
    mode: &[i32],
    lanes: usize,
) -> Result<(), AccelError> {
    let kernel = KernelId::LstmStep;
    if calls::finite(kernel, what, values).is_ok() || lanes == 0 {
        return Ok(());
    }
    let bad = |(i, v): &(usize, &f32)| !v.is_finite() && mode.get(i % lanes).is_some_and(|m| m & STEP != 0);
    match values.iter().enumerate().find(bad) {
        Some((at, _)) => Err(AccelError::NotFinite { kernel, what, at }),
        None => Ok(()),
    }
}

/// The same state on the device.
#[derive(Debug)]
pub(super) struct OnDevice {
    weights: BufferId,
    /// Step n reads state[(n - 1) % 2] and writes state[n % 2].
    state: [BufferId; 2],
    /// mode, x, stats, out: one set for even steps, one for odd, so that an upload may overlap a step.
    sets: [[BufferId; 4]; 2],
}

impl OnDevice {
    /// Puts a resident's verified state there.
    pub(super) fn new(
        port: &mut Port,
        weights: BufferId,
        resident: &Resident,
        patience: Duration,
    ) -> Result<Self, PortError> {
        let words = words(&resident.ints);
        let mut alloc = |n: usize| port.alloc(words[n], patience);
        let state = [alloc(4)?, alloc(5)?];
        let mut set =
            || -> Result<[BufferId; 4], PortError> { Ok([alloc(0)?, alloc(1)?, alloc(2)?, alloc(6)?]) };
        let sets = [set()?, set()?];
        let to = state[(resident.base_at % 2) as usize];
        let write = Write { to, from: Arc::clone(&resident.base) };
        port.run(Job { writes: vec![write], ..Job::default() }, patience)?;
        Ok(Self { weights, state, sets })
    }

    /// Fills a job with step `at`: inputs up, launch, output back, and the state too where it is wanted.
    pub(super) fn step(
        &self,
        job: &mut Job,
        ints: &[i32],
        at: u64,
        inputs: &Inputs,
        out: Option<Slab>,
        want_state: Option<Slab>,
    ) {
        let now = (at % 2) as usize;
        let [mode, x, stats, output] = self.sets[now];
        job.writes.extend([
            Write { to: mode, from: Arc::clone(&inputs.mode) },
            Write { to: x, from: Arc::clone(&inputs.x) },
            Write { to: stats, from: Arc::clone(&inputs.stats) },
        ]);
        let buffers = [mode, x, stats, self.weights, self.state[1 - now], self.state[now], output];
        job.launches.push(Launch::new(KernelId::LstmStep, &buffers, ints, &[]));
        job.reads.extend(out.map(|into| Read { from: output, into, take: true }));
        job.reads.extend(want_state.map(|into| Read { from: self.state[now], into, take: false }));
    }

    /// The buffer that holds the state after step `at`.
    pub(super) fn state_after(&self, at: u64) -> BufferId {
        self.state[(at % 2) as usize]
    }

    pub(super) fn free(self, port: &mut Port) {
        self.state.into_iter().chain(self.sets.into_iter().flatten()).for_each(|b| port.free(b));
    }
}

/// A copy of recurrent state, the same on every device: [lanes/64][layers][h, c][hidden][64].
#[derive(Debug, Clone, PartialEq)]
pub struct StateSnapshot {
    /// Series in it.
    pub series: usize,
    /// Sizes of the model it belongs to.
    pub dims: Dims,
    /// The words, padded to whole groups.
    pub words: Slab,
}

impl StateSnapshot {
    /// h of the top layer of one series, [hidden].
    pub fn h(&self, series: usize) -> Vec<f32> {
        self.part(series, 0)
    }

    /// c of the top layer of one series, [hidden].
    pub fn c(&self, series: usize) -> Vec<f32> {
        self.part(series, 1)
    }

    fn part(&self, series: usize, part: usize) -> Vec<f32> {
        let Dims { hidden, layers, .. } = self.dims;
        let first = ((layers - 1) * 2 + part) * hidden;
        let place = |u: usize| blocked(series, first + u, layers * 2 * hidden);
        (0..hidden).map(|u| self.words.f32()[place(u)]).collect()
    }

    /// The same state with other series at the end: zero ones, or fewer.
    pub(super) fn resized(&self, series: usize) -> Self {
        let features = self.dims.layers * 2 * self.dims.hidden;
        let mut words = Slab::zeroed(padded(series) * features);
        let keep = words.len().min(self.words.len());
        words.f32_mut()[..keep].copy_from_slice(&self.words.f32()[..keep]);
        // A lane that is given back and taken again begins at zero.
        for lane in series..keep / features.max(1) {
            (0..features).for_each(|f| words.f32_mut()[blocked(lane, f, features)] = 0.0);
        }
        Self { series, dims: self.dims, words }
    }
}

/// One series' quantiles [target][level] out of a step's output.
pub fn quantiles_of(out: &Slab, series: usize) -> [f32; TARGETS * LEVELS] {
    let first = series / GROUP * GROUP * TARGETS * LEVELS + series % GROUP;
    std::array::from_fn(|i| out.f32()[first + i * GROUP])
}
