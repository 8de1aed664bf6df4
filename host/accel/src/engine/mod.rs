//! One door to the devices. The engine checks shapes and values once, keeps what a redo needs, watches the device in use,
//! and when it fails does the job again on the next one within the same call: the caller sees a result, never the fault.

mod calls;
mod checks;
mod lstm;
mod metrics;
mod options;
mod recovery;
mod selftest;
mod ward;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foreshade_kernels::KernelId;
use foreshade_kernels::lstm_step::Weights;

use self::calls::CallBuffers;
use self::checks::Case;
pub use self::checks::SELF_TEST_JOBS;
pub use self::lstm::{Inputs, StateSnapshot, quantiles_of};
use self::lstm::{LOG_MAX, Model, OnDevice, Resident};
pub use self::metrics::Metrics;
pub use self::options::Care;
use self::ward::Slot;
pub use self::ward::{FaultKind, Opener, Standing};
use crate::backend::{BufferId, DeviceInfo, Job};
use crate::port::Port;
use crate::{AccelError, Slab};

/// A weight set that was loaded into an engine. Valid only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightsId(u32);

/// Recurrent state that lives in an engine. Valid only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(u32);

/// The device in use and what lies on it.
#[derive(Debug)]
struct Active {
    slot: usize,
    port: Port,
    weights: BTreeMap<u32, BufferId>,
    states: BTreeMap<u32, OnDevice>,
    calls: CallBuffers,
}

/// A step that was submitted and not yet collected.
#[derive(Debug, Clone, Copy)]
struct Pending {
    state: u32,
    at: u64,
    reads_state: bool,
}

/// Devices in order of preference behind one door. One thread uses it at a time.
#[derive(Debug)]
pub struct Engine {
    slots: Vec<Slot>,
    active: Active,
    care: Care,
    models: BTreeMap<u32, Model>,
    states: BTreeMap<u32, Resident>,
    pending: VecDeque<Pending>,
    /// Why no device can go on any more; said to every later step and call.
    lost: Option<AccelError>,
    /// Checks of each kernel without state, so that its samples wander over the whole batch.
    call_checks: [u64; KernelId::ALL.len()],
    spare_jobs: Vec<Job>,
    next_id: u32,
    /// Steps and calls so far; probes and checks go by it.
    now: u64,
    metrics: Metrics,
}

impl Engine {
    /// An engine over these devices, best first. The first that opens and passes its self-test is used.
    ///
    /// # Errors
    /// None of them does; the reason of the first is given.
    pub fn with(devices: Vec<(String, Opener)>, care: Care) -> Result<Self, AccelError> {
        let slots: Vec<Slot> = devices.into_iter().map(|(name, open)| Slot::new(name, open)).collect();
        let mut metrics = Metrics::default();
        let (slots, active) = recovery::first_that_starts(slots, &care, &mut metrics)?;
        Ok(Self {
            slots,
            active,
            care,
            models: BTreeMap::new(),
            states: BTreeMap::new(),
            pending: VecDeque::new(),
            lost: None,
            call_checks: [0; KernelId::ALL.len()],
            spare_jobs: Vec::new(),
            next_id: 0,
            now: 0,
            metrics,
        })
    }

    /// The device in use.
    pub fn info(&self) -> &DeviceInfo {
        self.active.port.info()
    }

    /// What has been seen so far.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Every device of the list: in use, waiting, or out with its reason.
    pub fn standing(&self) -> Vec<Standing> {
        let stand = |(i, s): (usize, &Slot)| Standing {
            name: s.name.clone(),
            active: i == self.active.slot,
            out: s.why_out().map(str::to_owned),
            info: (i == self.active.slot).then(|| self.info().clone()),
        };
        self.slots.iter().enumerate().map(stand).collect()
    }

    /// Loads a weight set.
    ///
    /// # Errors
    /// No device has room for it.
    pub fn load_lstm(&mut self, weights: &Weights) -> Result<WeightsId, AccelError> {
        self.drain()?;
        let id = self.fresh_id();
        self.models.insert(id, Model::new(weights));
        self.settle(|engine| engine.place_model(id))?;
        Ok(WeightsId(id))
    }

    /// Makes zero state for `series` series.
    ///
    /// # Errors
    /// Unknown weights; no device has room.
    pub fn new_state(&mut self, weights: WeightsId, series: usize) -> Result<StateId, AccelError> {
        let model = self.models.get(&weights.0).ok_or(AccelError::UnknownHandle("weights", weights.0))?;
        let resident = Resident::new(weights.0, model, series);
        self.drain()?;
        let id = self.fresh_id();
        self.states.insert(id, resident);
        self.settle(|engine| engine.place_state(id))?;
        Ok(StateId(id))
    }

    /// Series of a state.
    ///
    /// # Errors
    /// Unknown state.
    pub fn series(&self, state: StateId) -> Result<usize, AccelError> {
        Ok(self.resident(state)?.series)
    }

    /// Lanes of a state: its series rounded up to whole groups of 64.
    ///
    /// # Errors
    /// Unknown state.
    pub fn lanes(&self, state: StateId) -> Result<usize, AccelError> {
        Ok(self.resident(state)?.lanes())
    }

    /// Puts series back before their first step, with their next step.
    ///
    /// # Errors
    /// Unknown state or series; then nothing was reset.
    pub fn reset(&mut self, state: StateId, series: &[u32]) -> Result<(), AccelError> {
        let resident = self.resident_mut(state)?;
        if let Some(&lane) = series.iter().find(|&&s| s as usize >= resident.series) {
            return Err(AccelError::Lane { lane, problem: "out of range", lanes: resident.series });
        }
        resident.reset.extend_from_slice(series);
        Ok(())
    }

    /// Inputs to fill for a step: every mode 0, the rest as an earlier step left it.
    ///
    /// # Errors
    /// Unknown state.
    pub fn inputs(&mut self, state: StateId) -> Result<Inputs, AccelError> {
        Ok(self.resident_mut(state)?.fresh_inputs())
    }

    /// Starts one step and returns at once; two may be on their way.
    ///
    /// # Errors
    /// Unknown state, wrong lengths, a mode or a value that is not allowed: the state is as before.
    pub fn submit(&mut self, state: StateId, inputs: Inputs) -> Result<(), AccelError> {
        self.alive()?;
        let inputs = self.resident_mut(state)?.admit(inputs)?;
        if self.lanes(state)? == 0 {
            return Ok(());
        }
        while self.pending.len() >= 2 {
            self.collect_oldest()?;
        }
        self.now += 1;
        self.visit_ward()?;
        let keep = self.has_successor();
        let every = self.care.check_every.clamp(1, LOG_MAX as u64 / 2);
        let resident = self.resident_mut(state)?;
        resident.at += 1;
        let at = resident.at;
        resident.log.push_back(inputs);
        // The state is read before and after the step that is checked.
        let reads_state = keep && (at % every == 0 || (at + 1) % every == 0);
        self.pending.push_back(Pending { state: state.0, at, reads_state });
        if let Err(fault) = self.send_step(state.0, at, reads_state) {
            self.fail_over(&fault)?;
        }
        Ok(())
    }

    /// Waits for the state's newest step; its output is [lanes/64][20][64], see [`quantiles_of`].
    ///
    /// # Errors
    /// Unknown state; no device is left that works.
    pub fn collect(&mut self, state: StateId) -> Result<&Slab, AccelError> {
        while self.pending.iter().any(|p| p.state == state.0) {
            self.collect_oldest()?;
        }
        Ok(&self.resident(state)?.out)
    }

    /// One step: submit and collect.
    ///
    /// # Errors
    /// As both. Unless a device is left that may be asked again, every later step says the same.
    pub fn step(&mut self, state: StateId, inputs: Inputs) -> Result<&Slab, AccelError> {
        self.submit(state, inputs)?;
        self.collect(state)
    }

    /// One call of a kernel without resident state: inputs in argument order, outputs in argument order.
    ///
    /// # Errors
    /// Wrong scalars, lengths or values, with the argument and both lengths; no device is left that works.
    pub fn call(
        &mut self,
        kernel: KernelId,
        ints: &[i32],
        floats: &[f32],
        inputs: &[Arc<Slab>],
    ) -> Result<Vec<Slab>, AccelError> {
        let case = Case { kernel, ints: ints.to_vec(), floats: floats.to_vec(), inputs: inputs.to_vec() };
        calls::check_case(&case)?;
        self.alive()?;
        self.drain()?;
        self.now += 1;
        self.visit_ward()?;
        let span = tracing::info_span!("accel::run", device = self.info().driver, kernel = kernel.name());
        let _entered = span.entered();
        let mut redone = false;
        loop {
            match self.try_call(&case) {
                Ok(outputs) => {
                    self.metrics.redone += u64::from(redone);
                    return Ok(outputs);
                }
                Err(fault) => self.fail_over(&fault)?,
            }
            redone = true;
        }
    }

    /// A copy of a state.
    ///
    /// # Errors
    /// Unknown state; no device is left that works.
    pub fn snapshot(&mut self, state: StateId) -> Result<StateSnapshot, AccelError> {
        self.bring_home(state.0)?;
        let resident = self.resident(state)?;
        let model =
            self.models.get(&resident.model).ok_or(AccelError::UnknownHandle("weights", resident.model))?;
        Ok(StateSnapshot {
            series: resident.series,
            dims: model.weights.dims(),
            words: Slab::clone(&resident.base),
        })
    }

    /// Replaces a state by a copy, which also sets the number of series.
    ///
    /// # Errors
    /// Unknown state; a copy of another shape or with a value that is not finite; no device has room.
    pub fn restore(&mut self, state: StateId, copy: &StateSnapshot) -> Result<(), AccelError> {
        let old = self.resident(state)?;
        let id = old.model;
        let model = self.models.get(&id).ok_or(AccelError::UnknownHandle("weights", id))?;
        let mut new = Resident::new(id, model, copy.series);
        let want = new.base.len();
        if copy.dims != model.weights.dims() || copy.words.len() != want {
            let shape = format!("{:?} for a model of {:?}", copy.dims, model.weights.dims());
            let kernel = KernelId::LstmStep;
            return Err(AccelError::Length { kernel, what: "state", got: copy.words.len(), want, shape });
        }
        calls::finite(KernelId::LstmStep, "state", copy.words.f32())?;
        new.base = Arc::new(copy.words.clone());
        self.drain()?;
        self.drop_state(state)?;
        self.states.insert(state.0, new);
        self.settle(|engine| engine.place_state(state.0))
    }

    /// Adds zero series at the end, or drops the last ones.
    ///
    /// # Errors
    /// Unknown state; no device has room.
    pub fn resize(&mut self, state: StateId, series: usize) -> Result<(), AccelError> {
        let copy = self.snapshot(state)?.resized(series);
        self.restore(state, &copy)
    }

    /// Frees a state.
    ///
    /// # Errors
    /// Unknown state.
    pub fn drop_state(&mut self, state: StateId) -> Result<(), AccelError> {
        self.collect(state)?;
        self.states.remove(&state.0);
        if let Some(on_device) = self.active.states.remove(&state.0) {
            on_device.free(&mut self.active.port);
        }
        Ok(())
    }

    /// Waits for every step that is on its way.
    fn drain(&mut self) -> Result<(), AccelError> {
        while !self.pending.is_empty() {
            self.collect_oldest()?;
        }
        Ok(())
    }

    fn alive(&self) -> Result<(), AccelError> {
        self.lost.as_ref().map_or(Ok(()), |why| Err(why.clone()))
    }

    fn fresh_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    fn resident(&self, state: StateId) -> Result<&Resident, AccelError> {
        self.states.get(&state.0).ok_or(AccelError::UnknownHandle("state", state.0))
    }

    fn resident_mut(&mut self, state: StateId) -> Result<&mut Resident, AccelError> {
        self.states.get_mut(&state.0).ok_or(AccelError::UnknownHandle("state", state.0))
    }

    /// Longest to wait for a job: a device without a successor gets all the time it needs, since giving up on it would
    /// leave nothing.
    fn patience(&self) -> Duration {
        if self.has_successor() { self.care.deadline } else { Duration::from_secs(3600) }
    }
}
