//! The engine's promise: whatever a device does, the caller gets the right result in the same call.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/engine.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foreshade_accel::faulty::{Fault, Faulty, SELF_TEST_JOBS};
use foreshade_accel::lstm_step::{RESET, STEP};
use foreshade_accel::{AccelError, Care, Engine, FaultKind, KernelId, Opener, Slab, StateId};
use support::{care, cpu, weights};

const SERIES: usize = 100;
const TICKS: u64 = 20;

fn cpu_opener() -> (String, Opener) {
    ("cpu".into(), Arc::new(|| Ok(cpu() as _)))
}

/// A device that fails `ill` jobs after `well` good ones the first time it is opened, and is sound ever after.
fn ill_once(fault: Fault, well: u64, ill: u64) -> (String, Opener) {
    let opened = AtomicU64::new(0);
    let open = move || {
        let ill = if opened.fetch_add(1, Ordering::SeqCst) == 0 { ill } else { 0 };
        Ok(Box::new(Faulty::new(cpu(), fault, SELF_TEST_JOBS + well, ill)) as _)
    };
    ("faulty".into(), Arc::new(open))
}

/// Engine with a state; the care's probes come late unless a test wants them.
fn engine(devices: Vec<(String, Opener)>, care: Care) -> (Engine, StateId) {
    let mut engine = Engine::with(devices, care).unwrap();
    let model = engine.load_lstm(&weights()).unwrap();
    let state = engine.new_state(model, SERIES).unwrap();
    (engine, state)
}

/// Tick `t`'s inputs: some lanes rest, one begins anew.
fn fill(engine: &mut Engine, state: StateId, t: u64) -> foreshade_accel::Inputs {
    let mut inputs = engine.inputs(state).unwrap();
    let mode = Arc::make_mut(&mut inputs.mode).i32_mut();
    for (lane, mode) in mode.iter_mut().enumerate().take(SERIES) {
        *mode = if (lane as u64 + t).is_multiple_of(5) { 0 } else { STEP };
    }
    mode[(t * 7) as usize % SERIES] = STEP | RESET;
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

/// What a sound CPU says, tick by tick.
fn sound() -> Vec<Slab> {
    let (mut engine, state) = engine(vec![cpu_opener()], care());
    (0..TICKS).map(|t| tick(&mut engine, state, t).unwrap()).collect()
}

fn with_fault(fault: Fault, well: u64, care: Care) -> (Engine, StateId, Vec<Slab>) {
    let (mut engine, state) = engine(vec![ill_once(fault, well, u64::MAX), cpu_opener()], care);
    let out = (0..TICKS).map(|t| tick(&mut engine, state, t).unwrap()).collect();
    (engine, state, out)
}

#[test]
fn a_device_that_dies_is_replaced_in_the_same_tick() {
    let want = sound();
    let late = Fault::Late(Duration::from_millis(900));
    let cases = [
        (Fault::Lost, FaultKind::Lost),
        (Fault::Crash, FaultKind::Lost),
        (Fault::Nan, FaultKind::NotFinite),
        (Fault::Hang, FaultKind::Late),
        (late, FaultKind::Late),
    ];
    for (fault, kind) in cases {
        for well in [0, 1, 5, 11] {
            let start = Instant::now();
            let (engine, _, out) = with_fault(fault, well, care());
            assert_eq!(out, want, "{fault:?} after {well}");
            let m = engine.metrics();
            assert_eq!(
                (m.ejections, m.redone, m.faults_of(kind)),
                (1, 1, 1),
                "{fault:?} after {well}: {m:?}"
            );
            // From the last verified state: at most the steps between two checks, and those of the first part.
            assert!(m.replayed <= 4, "{fault:?} after {well}: {m:?}");
            let standing = engine.standing();
            assert!(standing[0].out.is_some() && standing[1].active, "{standing:?}");
            assert!(start.elapsed() < Duration::from_secs(3), "{fault:?}: a dead device was waited for");
        }
    }
}

#[test]
fn a_device_that_computes_wrong_is_found_out_and_its_tick_redone() {
    let want = sound();
    let care = Care { check_every: 1, ..care() };
    // Lanes 0 to 63 and 64 to 127 are checked by turns: what is wrong everywhere is seen at once.
    for well in [0, 3, 9] {
        let (engine, _, out) = with_fault(Fault::Ulps(4096), well, care.clone());
        assert_eq!(out, want);
        assert_eq!(engine.metrics().faults_of(FaultKind::Wrong), 1);
        let why = engine.standing()[0].out.clone().unwrap();
        assert!(why.starts_with("lane ") && why.contains("allowed"), "{why}");
    }
}

#[test]
fn an_error_within_the_tolerance_is_no_fault() {
    let (engine, _, out) = with_fault(Fault::Ulps(1), 0, Care { check_every: 1, ..care() });
    let m = engine.metrics();
    assert_eq!((m.ejections, m.checks), (0, TICKS));
    assert!(m.worst_check > 0.0 && m.worst_check < 1.0, "{m:?}");
    assert_ne!(out, sound(), "the fault did strike");
}

#[test]
fn what_is_wrong_in_few_places_is_found_within_two_rounds_of_checks() {
    let (engine, _, _) = with_fault(Fault::Some(50), 0, Care { check_every: 2, ..care() });
    assert_eq!(engine.metrics().faults_of(FaultKind::Wrong), 1, "{:?}", engine.metrics());
}

#[test]
fn a_device_that_is_well_again_is_taken_back_with_the_state() {
    let want: Vec<Slab> = {
        let (mut engine, state) = engine(vec![cpu_opener()], care());
        (0..400).map(|t| tick(&mut engine, state, t).unwrap()).collect()
    };
    let care = Care { probe_every: 2, clean_probes: 3, ..care() };
    let (mut engine, state) = engine(vec![ill_once(Fault::Lost, 6, 1), cpu_opener()], care);
    let mut back_at = None;
    for t in 0..400 {
        assert_eq!(tick(&mut engine, state, t).unwrap(), want[t as usize], "tick {t}");
        // Probes run beside the ticks; give them time.
        if engine.metrics().readmissions == 0 {
            std::thread::sleep(Duration::from_millis(5));
        } else {
            back_at.get_or_insert(t);
        }
    }
    let m = engine.metrics();
    assert_eq!((m.ejections, m.readmissions), (1, 1), "{m:?}");
    assert!(m.probes[1] >= 3, "{m:?}");
    assert!(engine.standing()[0].active && back_at.is_some_and(|t| t > 8));
}

#[test]
fn a_device_that_fails_again_and_again_is_left_out_longer_each_time() {
    let open: Opener =
        Arc::new(|| Ok(Box::new(Faulty::new(cpu(), Fault::Lost, SELF_TEST_JOBS, u64::MAX)) as _));
    let care = Care { probe_every: 1, clean_probes: 1, ..care() };
    let (mut engine, state) = engine(vec![("faulty".into(), open), cpu_opener()], care);
    for t in 0..200 {
        tick(&mut engine, state, t).unwrap();
        std::thread::sleep(Duration::from_millis(4));
    }
    // Out for at least 1, 2, 4, .. steps: the eighth time would be after step 127.
    let ejections = engine.metrics().ejections;
    assert!((3..=8).contains(&ejections), "{:?}", engine.metrics());
}

#[test]
fn two_steps_on_their_way_survive_a_fault_in_the_first() {
    let want = sound();
    let (mut engine, state) = engine(vec![ill_once(Fault::Lost, 4, u64::MAX), cpu_opener()], care());
    for t in (0..TICKS).step_by(2) {
        for t in [t, t + 1] {
            let inputs = fill(&mut engine, state, t);
            engine.submit(state, inputs).unwrap();
        }
        assert_eq!(*engine.collect(state).unwrap(), want[t as usize + 1], "tick {t}");
    }
    assert_eq!(engine.metrics().ejections, 1);
}

#[test]
fn with_no_device_left_the_error_says_which_failed_and_why() {
    let devices = vec![ill_once(Fault::Lost, 2, u64::MAX), ill_once(Fault::Lost, 2, u64::MAX)];
    let (mut engine, state) = engine(devices, care());
    let error = (0..TICKS).find_map(|t| tick(&mut engine, state, t).err()).unwrap().to_string();
    assert!(error.starts_with("device faulty failed (device lost") && !error.contains('\n'), "{error}");
}

#[test]
fn a_device_that_fails_its_self_test_is_never_used() {
    let wrong: Opener = Arc::new(|| Ok(Box::new(Faulty::new(cpu(), Fault::Ulps(1 << 14), 0, 99))));
    let devices = vec![("faulty".to_owned(), wrong), cpu_opener()];
    let (engine, _) = engine(devices, care());
    assert_eq!(engine.info().driver, "cpu");
    let why = engine.standing()[0].out.clone().unwrap();
    assert!(why.starts_with("self-test: lstm_step: "), "{why}");
}

#[test]
fn bad_input_is_refused_before_any_device_sees_it() {
    let (mut engine, state) = engine(vec![cpu_opener()], care());
    tick(&mut engine, state, 0).unwrap();
    let before = engine.snapshot(state).unwrap();
    let good = fill(&mut engine, state, 1);
    let with = |change: &dyn Fn(&mut foreshade_accel::Inputs)| {
        let mut inputs = good.clone();
        change(&mut inputs);
        inputs
    };
    let short = with(&|i| i.x = Arc::new(Slab::zeroed(64)));
    let nan = with(&|i| Arc::make_mut(&mut i.stats).f32_mut()[1] = f32::NAN);
    let resting_nan = with(&|i| Arc::make_mut(&mut i.stats).f32_mut()[4] = f32::NAN);
    let beyond = with(&|i| Arc::make_mut(&mut i.mode).i32_mut()[SERIES] = STEP);
    let unknown = with(&|i| Arc::make_mut(&mut i.mode).i32_mut()[0] = 4);
    let jobs = engine.metrics().jobs;
    let mut refuse = |inputs| engine.step(state, inputs).unwrap_err().to_string();
    assert!(refuse(short).starts_with("lstm_step: x has 64 words, needs 256 (lanes 128, input 2"));
    assert_eq!(refuse(nan), "lstm_step: stats[1] is not finite");
    assert!(refuse(beyond).contains("lane 100"));
    assert!(refuse(unknown).contains("lane 0"));
    assert_eq!(engine.metrics().jobs, jobs);
    assert_eq!(engine.snapshot(state).unwrap(), before);
    engine.step(state, resting_nan).unwrap();
}

/// A forecast call: the fitted models of 130 series, 12 steps.
fn forecast_call(engine: &mut Engine) -> Result<Vec<Slab>, AccelError> {
    let fit = foreshade_kernels::arima_fit::cases::fitted(3, 192, 48);
    engine.call(KernelId::ArimaForecast, &[192, 12], &[], &[Arc::new(Slab::from_f32(&fit))])
}

#[test]
fn a_call_of_any_kernel_is_done_again_elsewhere() {
    let want = forecast_call(&mut Engine::with(vec![cpu_opener()], care()).unwrap()).unwrap();
    for fault in [Fault::Lost, Fault::Crash, Fault::Nan, Fault::Hang, Fault::Ulps(1 << 16)] {
        let care = Care { check_every: 1, ..care() };
        let mut engine = Engine::with(vec![ill_once(fault, 2, u64::MAX), cpu_opener()], care).unwrap();
        for _ in 0..5 {
            assert_eq!(forecast_call(&mut engine).unwrap(), want, "{fault:?}");
        }
        let m = engine.metrics();
        assert_eq!((m.ejections, m.redone, m.jobs), (1, 1, 5), "{fault:?}: {m:?}");
    }
}

#[test]
fn the_self_test_is_as_long_as_it_says() {
    // The first job after it is the first that may strike.
    let opened = |well| {
        Engine::with(
            vec![("f".into(), Arc::new(move || Ok(Box::new(Faulty::new(cpu(), Fault::Lost, well, 1)) as _)))],
            care(),
        )
    };
    assert!(opened(SELF_TEST_JOBS - 1).is_err());
    assert!(opened(SELF_TEST_JOBS).is_ok());
}

#[test]
fn a_call_with_wrong_arguments_names_them() {
    let (mut engine, _) = engine(vec![cpu_opener()], care());
    let slab = |n| Arc::new(Slab::zeroed(n));
    let k = KernelId::ArimaForecast;
    let mut error =
        |ints: &[i32], inputs: &[Arc<Slab>]| engine.call(k, ints, &[], inputs).unwrap_err().to_string();
    assert_eq!(error(&[64], &[slab(1)]), "arima_forecast: 1 i32 scalars given, needs 2");
    assert_eq!(error(&[64, 12], &[]), "arima_forecast: 0 input buffers given, needs 1");
    assert_eq!(
        error(&[63, 12], &[slab(1)]),
        "arima_forecast: lanes is 63, must be a multiple of 64, at most 16777216"
    );
    assert_eq!(
        error(&[64, 12], &[slab(1)]),
        "arima_forecast: fit has 1 words, needs 1792 (lanes 64, steps 12)"
    );
}

#[test]
fn a_state_can_be_copied_resized_reset_and_dropped() {
    let (mut engine, state) = engine(vec![cpu_opener()], care());
    let first = tick(&mut engine, state, 0).unwrap();
    let copy = engine.snapshot(state).unwrap();
    let second = tick(&mut engine, state, 1).unwrap();
    assert_ne!(first, second);
    engine.restore(state, &copy).unwrap();
    assert_eq!(tick(&mut engine, state, 1).unwrap(), second);

    let all: Vec<u32> = (0..SERIES as u32).collect();
    engine.reset(state, &all).unwrap();
    assert_eq!(tick(&mut engine, state, 0).unwrap(), first);
    assert!(engine.reset(state, &[SERIES as u32]).is_err());

    engine.resize(state, 10).unwrap();
    engine.resize(state, SERIES).unwrap();
    let resized = engine.snapshot(state).unwrap();
    assert_eq!(resized.h(9), { engine.snapshot(state).unwrap().h(9) });
    assert!(resized.h(10).iter().all(|v| *v == 0.0), "a lane that comes back is fresh");

    engine.drop_state(state).unwrap();
    assert!(matches!(engine.snapshot(state), Err(AccelError::UnknownHandle("state", _))));
}

#[test]
fn no_series_is_no_work() {
    let mut engine = Engine::with(vec![cpu_opener()], care()).unwrap();
    let model = engine.load_lstm(&weights()).unwrap();
    let state = engine.new_state(model, 0).unwrap();
    let inputs = engine.inputs(state).unwrap();
    assert!(engine.step(state, inputs).unwrap().is_empty());
}
