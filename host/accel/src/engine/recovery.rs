//! What happens when a device fails: eject it, bring the next one to the present from the last verified state and the
//! inputs since, do the job again; and later take the device back when its probes go well.

use std::collections::BTreeMap;
use std::sync::Arc;

use foreshade_kernels::{KernelId, Word};

use super::calls::{self, CallBuffers};
use super::checks::{self, Case};
use super::lstm::{OnDevice, Resident};
use super::ward::{Fault, FaultKind, Probed, Slot};
use super::{Active, Care, Engine, Metrics, Pending};
use crate::backend::{Job, Read, Timing, Write};
use crate::port::Port;
use crate::{AccelError, Slab};

impl Active {
    pub(super) fn new(slot: usize, port: Port) -> Self {
        Self {
            slot,
            port,
            weights: Default::default(),
            states: Default::default(),
            calls: CallBuffers::default(),
        }
    }
}

/// Starts the first device that passes its self-test; those before it are out.
pub(super) fn first_that_starts(
    mut slots: Vec<Slot>,
    care: &Care,
    metrics: &mut Metrics,
) -> Result<(Vec<Slot>, Active), AccelError> {
    let mut first = None;
    for i in 0..slots.len() {
        match slots[i].start(care) {
            Ok(port) => return Ok((slots, Active::new(i, port))),
            Err(fault) => {
                metrics.faults[fault.kind as usize] += 1;
                slots[i].eject(fault.what.clone(), 0, care);
                first.get_or_insert((slots[i].name.clone(), fault.what));
            }
        }
    }
    let (name, reason) = first.unwrap_or(("auto".into(), "no device was given".into()));
    Err(AccelError::Unavailable { name, reason })
}

impl Engine {
    pub(super) fn has_successor(&self) -> bool {
        self.slots.iter().enumerate().any(|(i, s)| i != self.active.slot && s.usable())
    }

    /// Does `place` on the device in use, or brings everything, `place`'s object included, to the next one.
    pub(super) fn settle(
        &mut self,
        place: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), AccelError> {
        match place(self) {
            Ok(()) => Ok(()),
            Err(fault) => self.fail_over(&fault),
        }
    }

    pub(super) fn place_model(&mut self, id: u32) -> Result<(), Fault> {
        let (patience, Some(model)) = (self.patience(), self.models.get(&id)) else { return Ok(()) };
        let port = &mut self.active.port;
        if !port.supports(KernelId::LstmStep) {
            let what = format!("it has no kernel {}", KernelId::LstmStep);
            return Err(Fault { kind: FaultKind::Lost, what });
        }
        let to = port.alloc(model.packed.len(), patience)?;
        let writes = vec![Write { to, from: Arc::clone(&model.packed) }];
        port.run(Job { writes, ..Job::default() }, patience)?;
        self.active.weights.insert(id, to);
        Ok(())
    }

    pub(super) fn place_state(&mut self, id: u32) -> Result<(), Fault> {
        let (patience, Some(resident)) = (self.patience(), self.states.get(&id)) else { return Ok(()) };
        let Some(&weights) = self.active.weights.get(&resident.model).filter(|_| resident.lanes() > 0) else {
            return Ok(());
        };
        let there = OnDevice::new(&mut self.active.port, weights, resident, patience)?;
        self.active.states.insert(id, there);
        Ok(())
    }

    /// Sends one step of a state to the device in use.
    pub(super) fn send_step(&mut self, id: u32, at: u64, reads_state: bool) -> Result<(), Fault> {
        // Not to send it would be to wait for an answer that cannot come.
        let gone = |what: &str| Fault { kind: FaultKind::Lost, what: what.into() };
        let (Some(resident), Some(there)) = (self.states.get_mut(&id), self.active.states.get(&id)) else {
            return Err(gone("it does not hold the state"));
        };
        let inputs = resident.log.get((at - resident.base_at - 1) as usize);
        let inputs = inputs.ok_or_else(|| gone("the inputs of the step are gone"))?;
        let words = (KernelId::LstmStep.spec().extent)(&resident.ints).map(|e| e.words).unwrap_or_default();
        let out = resident.spare_out.pop().unwrap_or_else(|| Slab::zeroed(words[6]));
        let state = reads_state.then(|| Slab::zeroed(words[5]));
        let mut job = self.spare_jobs.pop().unwrap_or_default();
        there.step(&mut job, &resident.ints, at, inputs, Some(out), state);
        Ok(self.active.port.submit(job)?)
    }

    /// Waits for the oldest step, on whichever device brings it to an end.
    pub(super) fn collect_oldest(&mut self) -> Result<(), AccelError> {
        let mut redone = 0;
        while let Some(&step) = self.pending.front() {
            let patience = self.patience();
            let done = self.active.port.collect(patience).map_err(Fault::from);
            match done.and_then(|(job, timing)| self.accept(step, job, timing)) {
                Ok(()) => {
                    self.pending.pop_front();
                    self.metrics.redone += redone;
                    return Ok(());
                }
                Err(fault) => self.fail_over(&fault)?,
            }
            redone = 1;
        }
        Ok(())
    }

    /// Takes a step's results if they can be right.
    fn accept(&mut self, step: Pending, mut job: Job, timing: Timing) -> Result<(), Fault> {
        let keep = self.has_successor();
        let Some(resident) = self.states.get_mut(&step.state) else { return Ok(()) };
        let mut reads = job.reads.drain(..).map(|r| r.into);
        let (Some(out), state) = (reads.next(), reads.next()) else {
            return Err(Fault { kind: FaultKind::Lost, what: "it gave back another job's answer".into() });
        };
        drop(reads);
        finite(KernelId::LstmStep, "out", &out)?;
        if let Some(state) = state {
            finite(KernelId::LstmStep, "state_out", &state)?;
            let from = match &resident.before_check {
                _ if resident.base_at + 1 == step.at => Some(Arc::clone(&resident.base)),
                Some((at, _)) if at + 1 == step.at => {
                    resident.before_check.take().map(|(_, slab)| Arc::new(slab))
                }
                _ => None,
            };
            let inputs = resident.log.get((step.at - resident.base_at - 1) as usize);
            match (from, inputs, self.models.get(&resident.model)) {
                (Some(from), Some(inputs), Some(model)) => {
                    let inputs =
                        [&inputs.mode, &inputs.x, &inputs.stats, &model.packed, &from].map(Arc::clone);
                    let ints = resident.ints.to_vec();
                    let case =
                        Case { kernel: KernelId::LstmStep, ints, floats: vec![], inputs: inputs.to_vec() };
                    let group = checks::sample(resident.checks, resident.lanes());
                    resident.checks += 1;
                    check(
                        &mut self.metrics,
                        checks::lstm_group(&case, &model.weights, [&state, &out], group),
                    )?;
                    resident.forget_until(step.at, Arc::new(state));
                }
                _ => resident.before_check = Some((step.at, state)),
            }
        }
        if !keep {
            // Nobody could take over: there is nothing to keep inputs for. `bring_home` reads the state when needed.
            let done = step.at;
            let base = Arc::clone(&resident.base);
            resident.forget_until(done, base);
        }
        let old = std::mem::replace(&mut resident.out, out);
        if old.len() == resident.out.len() {
            resident.spare_out.push(old);
        }
        resident.done = step.at;
        job.writes.clear();
        job.launches.clear();
        self.spare_jobs.push(job);
        self.metrics.jobs += 1;
        self.metrics.kernel_time += timing.kernel;
        Ok(())
    }

    pub(super) fn try_call(&mut self, case: &Case) -> Result<Vec<Slab>, Fault> {
        let patience = self.patience();
        let checked = self.has_successor() && self.now.is_multiple_of(self.care.check_every.max(1));
        if !self.active.port.supports(case.kernel) {
            let what = format!("it has no kernel {}", case.kernel);
            return Err(Fault { kind: FaultKind::Lost, what });
        }
        let (outputs, timing) = self.active.calls.run(&mut self.active.port, case, patience)?;
        let written = case.kernel.spec().buffers.iter().filter(|a| a.written);
        for (arg, slab) in written.zip(&outputs).filter(|(a, _)| a.word == Word::F32) {
            finite(case.kernel, arg.name, slab)?;
        }
        if checked {
            let turn = &mut self.call_checks[case.kernel as usize];
            let verdict = checks::call_sample(case, &outputs, *turn);
            *turn += 1;
            check(&mut self.metrics, verdict)?;
        }
        self.metrics.jobs += 1;
        self.metrics.kernel_time += timing.kernel;
        Ok(outputs)
    }

    /// Ejects the device in use and goes on with the next that works; everything that was on its way is sent again.
    pub(super) fn fail_over(&mut self, fault: &Fault) -> Result<(), AccelError> {
        let mut fault = fault.clone();
        loop {
            let failed = self.active.slot;
            let device = self.slots[failed].name.clone();
            self.metrics.faults[fault.kind as usize] += 1;
            if !self.has_successor() {
                return Err(self.no_device(device, fault.what));
            }
            tracing::error!(%device, reason = %fault, "device ejected; its work goes on elsewhere");
            self.metrics.ejections += 1;
            self.slots[failed].eject(fault.what, self.now, &self.care);
            self.active.port.abandon();
            let Some((next, port)) = self.next_that_starts() else {
                return Err(self.no_device(device, "no other device starts".into()));
            };
            match self.move_to(next, port) {
                Ok(()) => return Ok(()),
                Err(again) => fault = again,
            }
        }
    }

    /// Takes back the steps that were on their way, so that no state has changed. A device that is still there and holds
    /// the last good state may be asked again; otherwise this is the end.
    fn no_device(&mut self, device: String, reason: String) -> AccelError {
        let error = AccelError::NoDevice { device, reason };
        let mut steps: BTreeMap<u32, usize> = BTreeMap::new();
        self.pending.iter().for_each(|p| *steps.entry(p.state).or_default() += 1);
        // The second of two steps in flight writes where the last good state was.
        let kept = steps.values().all(|&n| n == 1);
        let answers = self.pending.len().saturating_sub(1);
        self.pending.clear();
        self.states.values_mut().for_each(Resident::roll_back);
        let patience = self.patience();
        // Answers to what was sent after the step that failed.
        (0..answers).for_each(|_| _ = self.active.port.collect(patience));
        if !kept || !self.active.port.is_alive() {
            self.lost = Some(error.clone());
        }
        error
    }

    fn next_that_starts(&mut self) -> Option<(usize, Port)> {
        for i in 0..self.slots.len() {
            if !self.slots[i].usable() {
                continue;
            }
            match self.slots[i].start(&self.care) {
                Ok(port) => return Some((i, port)),
                Err(fault) => {
                    self.metrics.faults[fault.kind as usize] += 1;
                    self.slots[i].eject(fault.what, self.now, &self.care);
                }
            }
        }
        None
    }

    /// Puts every model and state on a device, replays what was collected, and sends again what was not.
    fn move_to(&mut self, slot: usize, port: Port) -> Result<(), Fault> {
        self.active = Active::new(slot, port);
        for id in self.models.keys().copied().collect::<Vec<_>>() {
            self.place_model(id)?;
        }
        for id in self.states.keys().copied().collect::<Vec<_>>() {
            self.place_state(id)?;
            self.replay(id)?;
        }
        for step in self.pending.clone() {
            self.send_step(step.state, step.at, step.reads_state)?;
        }
        Ok(())
    }

    fn replay(&mut self, id: u32) -> Result<(), Fault> {
        let patience = self.patience();
        let (Some(resident), Some(there)) = (self.states.get_mut(&id), self.active.states.get(&id)) else {
            return Ok(());
        };
        resident.before_check = None;
        for (inputs, at) in resident.log.iter().zip(resident.base_at + 1..=resident.done) {
            let mut job = Job::default();
            there.step(&mut job, &resident.ints, at, inputs, None, None);
            self.active.port.run(job, patience)?;
            self.metrics.replayed += 1;
        }
        Ok(())
    }

    /// Reads a state back, so that the host has the present one.
    pub(super) fn bring_home(&mut self, id: u32) -> Result<(), AccelError> {
        self.drain()?;
        loop {
            match self.try_bring_home(id) {
                Ok(()) => return Ok(()),
                Err(fault) => self.fail_over(&fault)?,
            }
        }
    }

    fn try_bring_home(&mut self, id: u32) -> Result<(), Fault> {
        let patience = self.patience();
        let (Some(resident), Some(there)) = (self.states.get_mut(&id), self.active.states.get(&id)) else {
            return Ok(());
        };
        let from = there.state_after(resident.done);
        let read = Read { from, into: Slab::zeroed(resident.base.len()), take: false };
        let (job, _) = self.active.port.run(Job { reads: vec![read], ..Job::default() }, patience)?;
        for read in job.reads {
            finite(KernelId::LstmStep, "state", &read.into)?;
            resident.before_check = None;
            resident.forget_until(resident.done, Arc::new(read.into));
        }
        Ok(())
    }

    /// Looks after the devices that are out; one that is well again and better than the one in use takes over.
    pub(super) fn visit_ward(&mut self) -> Result<(), AccelError> {
        for i in 0..self.slots.len() {
            match self.slots[i].probe(self.now, &self.care) {
                Probed::Nothing => {}
                Probed::Failed => self.metrics.probes[0] += 1,
                Probed::Clean => self.count_clean_probe(),
                Probed::Recovered(port) => {
                    self.count_clean_probe();
                    self.metrics.readmissions += 1;
                    tracing::warn!(device = %self.slots[i].name, "device is well again and taken back");
                    if i < self.active.slot {
                        self.hand_over(i, *port)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn count_clean_probe(&mut self) {
        self.metrics.probes[0] += 1;
        self.metrics.probes[1] += 1;
    }

    fn hand_over(&mut self, slot: usize, port: Port) -> Result<(), AccelError> {
        for id in self.states.keys().copied().collect::<Vec<_>>() {
            self.bring_home(id)?;
        }
        match self.move_to(slot, port) {
            Ok(()) => Ok(()),
            Err(fault) => self.fail_over(&fault),
        }
    }
}

fn finite(kernel: KernelId, what: &'static str, slab: &Slab) -> Result<(), Fault> {
    let report = |e: AccelError| Fault { kind: FaultKind::NotFinite, what: e.to_string() };
    calls::finite(kernel, what, slab.f32()).map_err(report)
}

/// Books a comparison: its error in units of the tolerance, or what differs.
fn check(metrics: &mut Metrics, verdict: Result<f64, String>) -> Result<(), Fault> {
    metrics.checks += 1;
    match verdict {
        Ok(ratio) => {
            metrics.worst_check = metrics.worst_check.max(ratio);
            Ok(())
        }
        Err(what) => Err(Fault { kind: FaultKind::Wrong, what }),
    }
}
