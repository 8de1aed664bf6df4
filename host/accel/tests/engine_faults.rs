//! What a reviewer broke: steps in flight, many states, teardown that hangs, checks that looked at half of the lanes, and
//! what is left when nothing is left.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/engine.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foreshade_accel::backend::{Backend, BackendError, BufferId, DeviceInfo, Job, Ticket, Timing};
use foreshade_accel::faulty::{Fault, Faulty, SELF_TEST_JOBS};
use foreshade_accel::lstm_step::STEP;
use foreshade_accel::{AccelError, Care, Engine, Inputs, KernelId, Opener, Slab, StateId, WeightsId};
use support::{care, cpu, weights};

const SERIES: usize = 100;

fn opener(make: impl Fn() -> Box<dyn Backend> + Send + Sync + 'static) -> (String, Opener) {
    ("device".into(), Arc::new(move || Ok(make())))
}

fn engine(devices: Vec<(String, Opener)>, care: Care) -> (Engine, WeightsId) {
    let mut engine = Engine::with(devices, care).unwrap();
    let model = engine.load_lstm(&weights()).unwrap();
    (engine, model)
}

fn fill(engine: &mut Engine, state: StateId, t: u64) -> Inputs {
    let series = engine.series(state).unwrap();
    let mut inputs = engine.inputs(state).unwrap();
    Arc::make_mut(&mut inputs.mode).i32_mut()[..series].fill(STEP);
    for (n, slab) in [&mut inputs.x, &mut inputs.stats].into_iter().enumerate() {
        let values = Arc::make_mut(slab).f32_mut().iter_mut();
        values.enumerate().for_each(|(i, v)| *v = ((i + n) as f32 * 0.37 + t as f32).sin());
    }
    inputs
}

fn tick(engine: &mut Engine, state: StateId, t: u64) -> Result<Slab, AccelError> {
    let inputs = fill(engine, state, t);
    engine.step(state, inputs).cloned()
}

/// A device that does as another, but for what a test makes of its jobs.
struct Odd<S, C> {
    inner: Box<dyn Backend>,
    on_submit: S,
    on_collect: C,
    teardown: Duration,
}

impl<S, C> std::fmt::Debug for Odd<S, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Odd")
    }
}

impl<S, C> Drop for Odd<S, C> {
    fn drop(&mut self) {
        std::thread::sleep(self.teardown);
    }
}

impl<S, C> Backend for Odd<S, C>
where
    S: FnMut(&Job) -> Result<(), BackendError> + Send,
    C: FnMut(&mut Job) + Send,
{
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }
    fn supports(&self, kernel: KernelId) -> bool {
        self.inner.supports(kernel)
    }
    fn alloc(&mut self, words: usize) -> Result<BufferId, BackendError> {
        self.inner.alloc(words)
    }
    fn free(&mut self, buffer: BufferId) {
        self.inner.free(buffer);
    }
    fn warm_up(&mut self, kernel: KernelId) -> Result<(), BackendError> {
        self.inner.warm_up(kernel)
    }
    fn submit(&mut self, job: Job) -> Result<Ticket, BackendError> {
        (self.on_submit)(&job)?;
        self.inner.submit(job)
    }
    fn collect(&mut self, ticket: Ticket) -> Result<(Job, Timing), BackendError> {
        let (mut job, timing) = self.inner.collect(ticket)?;
        (self.on_collect)(&mut job);
        Ok((job, timing))
    }
}

fn as_usual(_: &Job) -> Result<(), BackendError> {
    Ok(())
}

#[test]
fn a_step_on_its_way_survives_whatever_else_is_placed() {
    let run = |between: fn(&mut Engine, WeightsId, StateId)| {
        let (mut e, model) = engine(vec![opener(|| cpu())], care());
        let (state, other) = (e.new_state(model, SERIES).unwrap(), e.new_state(model, SERIES).unwrap());
        let inputs = fill(&mut e, state, 0);
        e.submit(state, inputs).unwrap();
        between(&mut e, model, other);
        let first = e.collect(state).unwrap().clone();
        (first, tick(&mut e, state, 1).unwrap())
    };
    let want = run(|_, _, _| {});
    assert!(want.0.f32().iter().any(|v| *v != 0.0));
    assert_eq!(run(|e, _, _| _ = e.load_lstm(&weights()).unwrap()), want);
    assert_eq!(run(|e, model, _| _ = e.new_state(model, 70).unwrap()), want);
    let restore = |e: &mut Engine, _: WeightsId, other: StateId| {
        let copy = e.snapshot(other).unwrap();
        e.restore(other, &copy).unwrap();
    };
    assert_eq!(run(restore), want);
}

#[test]
fn any_number_of_states_can_be_dropped() {
    let (mut e, model) = engine(vec![opener(|| cpu())], care());
    let keep = e.new_state(model, SERIES).unwrap();
    let states: Vec<_> = (0..200).map(|_| e.new_state(model, SERIES).unwrap()).collect();
    states.into_iter().for_each(|s| e.drop_state(s).unwrap());
    tick(&mut e, keep, 0).unwrap();
    assert_eq!(e.metrics().faults, [0; 5]);
}

#[test]
fn a_teardown_that_hangs_holds_up_no_step() {
    let opened = AtomicU64::new(0);
    let slow = opener(move || {
        let ill = u64::from(opened.fetch_add(1, Ordering::SeqCst) == 0);
        let inner = Box::new(Faulty::new(cpu(), Fault::Lost, SELF_TEST_JOBS, ill));
        Box::new(Odd {
            inner,
            on_submit: as_usual,
            on_collect: |_: &mut Job| {},
            teardown: Duration::from_secs(20),
        })
    });
    let care = Care { probe_every: 1, clean_probes: 2, ..care() };
    let (mut e, model) = engine(vec![slow, opener(|| cpu())], care);
    let state = e.new_state(model, SERIES).unwrap();
    let mut worst = Duration::ZERO;
    for t in 0..2000 {
        let start = Instant::now();
        tick(&mut e, state, t).unwrap();
        worst = worst.max(start.elapsed());
        if e.metrics().readmissions > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((e.metrics().ejections, e.metrics().readmissions), (1, 1));
    assert!(worst < Duration::from_secs(10), "{worst:?}");
}

#[test]
fn every_group_is_looked_at_whatever_else_is_checked() {
    // Lanes 64 to 127 of the state of 256 get twice what they should.
    let half_wrong = opener(|| {
        let on_collect = |job: &mut Job| {
            let step =
                |l: &foreshade_accel::backend::Launch| l.kernel == KernelId::LstmStep && l.ints()[0] == 256;
            if job.launches.iter().any(step) {
                job.reads[0].into.f32_mut()[64 * 20..128 * 20].iter_mut().for_each(|v| *v *= 2.0);
            }
        };
        Box::new(Odd { inner: cpu(), on_submit: as_usual, on_collect, teardown: Duration::ZERO })
    });
    let (mut e, model) = engine(vec![half_wrong, opener(|| cpu())], Care { check_every: 2, ..care() });
    let (wrong, sound) = (e.new_state(model, 256).unwrap(), e.new_state(model, 128).unwrap());
    let ticks = (0..40).take_while(|&t| {
        tick(&mut e, wrong, t).unwrap();
        tick(&mut e, sound, t).unwrap();
        e.metrics().ejections == 0
    });
    // Four groups, one looked at every two steps.
    assert!(ticks.count() <= 8);
    assert_eq!(e.metrics().faults_of(foreshade_accel::FaultKind::Wrong), 1);
}

/// Fails the launch of one step.
fn fails_once(
    after: u64,
    error: impl Fn() -> BackendError + Send + Sync + Clone + 'static,
) -> (String, Opener) {
    opener(move || {
        let (mut left, error) = (Some(after), error.clone());
        let on_submit = move |job: &Job| match left {
            Some(0) if !job.launches.is_empty() => {
                left = None;
                Err(error())
            }
            Some(n) if !job.launches.is_empty() => {
                left = Some(n - 1);
                Ok(())
            }
            _ => Ok(()),
        };
        Box::new(Odd { inner: cpu(), on_submit, on_collect: |_: &mut Job| {}, teardown: Duration::ZERO })
    })
}

#[test]
fn a_step_that_nobody_could_do_has_changed_nothing() {
    let run = |device: (String, Opener), ticks: &[u64]| {
        let (mut e, model) = engine(vec![device], care());
        let state = e.new_state(model, SERIES).unwrap();
        let failed: Vec<u64> = ticks.iter().copied().filter(|&t| tick(&mut e, state, t).is_err()).collect();
        (failed, e.snapshot(state).unwrap())
    };
    let lost = || BackendError::Lost("a cosmic ray".into());
    let (failed, state) = run(fails_once(SELF_TEST_JOBS + 3, lost), &[0, 1, 2, 3, 4, 5]);
    assert_eq!(failed, [3]);
    assert_eq!(state, run(opener(|| cpu()), &[0, 1, 2, 4, 5]).1);
}

#[test]
fn two_steps_that_nobody_could_do_are_the_end_and_every_later_one_says_so() {
    let lost = || BackendError::Lost("a cosmic ray".into());
    let (mut e, model) = engine(vec![fails_once(SELF_TEST_JOBS + 2, lost)], care());
    let state = e.new_state(model, SERIES).unwrap();
    (0..2).for_each(|t| _ = tick(&mut e, state, t).unwrap());
    for t in 2..4 {
        let inputs = fill(&mut e, state, t);
        e.submit(state, inputs).unwrap();
    }
    let first = e.collect(state).unwrap_err();
    assert!(first.to_string().contains("a cosmic ray"), "{first}");
    assert_eq!(tick(&mut e, state, 4).unwrap_err(), first);
}

#[test]
fn a_device_that_stays_gone_is_asked_less_and_less_often() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let gone: Opener = Arc::new(move || match count.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(Box::new(Faulty::new(cpu(), Fault::Lost, SELF_TEST_JOBS, u64::MAX))),
        _ => Err("gone".into()),
    });
    let (mut e, model) =
        engine(vec![("gone".into(), gone), opener(|| cpu())], Care { probe_every: 1, ..care() });
    let state = e.new_state(model, SERIES).unwrap();
    for t in 0..400 {
        tick(&mut e, state, t).unwrap();
        // Time for the probe's thread.
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!((3..=14).contains(&asked.load(Ordering::SeqCst)), "{asked:?}");
}
