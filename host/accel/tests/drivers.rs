//! The trait's contract, for every driver that opens: a line per driver, and what a bad job does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_accel::lstm_step::{Cell, Head, Weights};
use foreshade_accel::{
    AccelError, Backend, DRIVERS, Job, KernelId, LstmStepJob, OpenOptions, StateId, StateSnapshot, open,
    probe,
};

const INPUT: usize = 2;
const HIDDEN: usize = 3;
const STATS: usize = 2;
const OUT: usize = 20;

fn weights() -> Weights {
    let v = |n: usize| (0..n).map(|i| (i as f32 * 1.7 + n as f32).sin()).collect::<Vec<_>>();
    let cell = Cell {
        input: INPUT,
        hidden: HIDDEN,
        w_ih: v(4 * HIDDEN * INPUT),
        w_hh: v(4 * HIDDEN * HIDDEN),
        b_ih: v(4 * HIDDEN),
        b_hh: v(4 * HIDDEN),
    };
    let head =
        Head { stats: STATS, width: 4, w1: v(4 * (HIDDEN + STATS)), b1: v(4), w2: v(OUT * 4), b2: v(OUT) };
    Weights::new(vec![cell], Some(head)).unwrap()
}

fn run(b: &mut dyn Backend, state: StateId, lanes: &[u32], v: f32) -> Result<Vec<f32>, AccelError> {
    let (x, stats) = (vec![v; lanes.len() * INPUT], vec![v; lanes.len() * STATS]);
    let mut out = vec![0.0; lanes.len() * OUT];
    b.run(Job::LstmStep(LstmStepJob { state, lanes, x: &x, stats: &stats, out: &mut out })).map(|()| out)
}

/// Every driver that opens here, with a state of four lanes.
fn each(check: impl Fn(&mut dyn Backend, StateId)) {
    let mut opened = 0;
    for driver in DRIVERS {
        match open(driver.name) {
            Ok(mut device) => {
                let w = device.load_lstm(&weights()).unwrap();
                let state = device.new_state(w, 4).unwrap();
                check(device.as_mut(), state);
                println!("OK {} ({})", driver.name, device.info().simd);
                opened += 1;
            }
            Err(why) => println!("SKIPPED {}: {why}", driver.name),
        }
    }
    assert!(opened > 0, "the CPU always opens");
}

#[test]
fn unknown_and_unbuilt_names_say_so_in_one_line() {
    let unknown = open("tpu\n").unwrap_err().to_string();
    assert_eq!(
        unknown,
        "no back end is called 'tpu\\n'; there are auto, opencl-fpga, cuda, opencl-gpu, wgpu, cpu"
    );
    let cuda = open("cuda").unwrap_err().to_string();
    assert_eq!(cuda, "back end 'cuda' cannot be used: not built yet; use --backend cpu");
    assert!(open("").is_err() && open("CPU").is_err());
}

#[test]
fn auto_takes_the_first_that_works_and_probe_gives_the_reasons() {
    assert_eq!(open("auto").unwrap().info().name, "cpu");
    let rows = probe(&OpenOptions::default());
    assert_eq!(rows.len(), DRIVERS.len());
    for row in rows {
        match row.device {
            Ok(info) => assert_eq!(info.name, "cpu"),
            Err(reason) => assert_eq!(reason, "not built yet", "{}", row.name),
        }
    }
}

#[test]
fn state_stays_on_the_device_until_it_is_reset() {
    each(|b, state| {
        assert!(b.supports(KernelId::LstmStep));
        let first = run(b, state, &[2], 0.7).unwrap();
        let second = run(b, state, &[2], 0.7).unwrap();
        assert_ne!(first, second, "the second tick must see the first");
        assert_eq!(run(b, state, &[0], 0.7).unwrap(), first, "another lane is fresh");
        b.reset_lanes(state, &[2]).unwrap();
        assert_eq!(run(b, state, &[2], 0.7).unwrap(), first);
    });
}

#[test]
fn a_snapshot_goes_on_elsewhere() {
    each(|b, state| {
        run(b, state, &[0, 1, 2, 3], 0.4).unwrap();
        let copy = b.snapshot(state).unwrap();
        assert_eq!(copy.h.len(), 4 * HIDDEN);
        let want = run(b, state, &[3, 1], -0.2).unwrap();
        let mut other = open(b.info().name).unwrap();
        let w = other.load_lstm(&weights()).unwrap();
        let there = other.new_state(w, 0).unwrap();
        other.restore(there, &copy).unwrap();
        assert_eq!(other.lanes(there), Ok(4));
        assert_eq!(run(other.as_mut(), there, &[3, 1], -0.2).unwrap(), want);
        b.restore(state, &copy).unwrap();
        assert_eq!(run(b, state, &[3, 1], -0.2).unwrap(), want);
    });
}

#[test]
fn lanes_can_be_added_and_dropped() {
    each(|b, state| {
        let fresh = run(b, state, &[3], 0.1).unwrap();
        b.resize_state(state, 3).unwrap();
        assert!(matches!(run(b, state, &[3], 0.1), Err(AccelError::Lane { lane: 3, .. })));
        b.resize_state(state, 6).unwrap();
        assert_eq!(run(b, state, &[3], 0.1).unwrap(), fresh, "a lane that comes back is fresh");
        b.drop_state(state).unwrap();
        assert!(matches!(run(b, state, &[0], 0.1), Err(AccelError::UnknownHandle { .. })));
        assert!(b.drop_state(state).is_err());
    });
}

#[test]
fn a_bad_job_is_refused_and_changes_nothing() {
    each(|b, state| {
        run(b, state, &[0, 1, 2, 3], 0.5).unwrap();
        let before = b.snapshot(state).unwrap();
        assert!(matches!(run(b, state, &[1, 4], 0.5), Err(AccelError::Lane { lane: 4, .. })));
        assert!(matches!(run(b, state, &[1, 2, 1], 0.5), Err(AccelError::Lane { lane: 1, .. })));
        assert!(matches!(run(b, state, &[1], f32::NAN), Err(AccelError::NotFinite { .. })));
        let (x, stats, mut out) = ([0.0; INPUT], [0.0; STATS], [0.0; OUT]);
        for (nx, ns, no) in [(1, 2, 20), (2, 1, 20), (2, 2, 19)] {
            let job =
                LstmStepJob { state, lanes: &[0], x: &x[..nx], stats: &stats[..ns], out: &mut out[..no] };
            assert!(matches!(b.run(Job::LstmStep(job)), Err(AccelError::Length { .. })));
        }
        assert!(b.reset_lanes(state, &[0, 9]).is_err());
        for bad in [vec![0.0; HIDDEN + 1], vec![f32::INFINITY; HIDDEN]] {
            assert!(b.restore(state, &StateSnapshot { h: bad.clone(), c: bad }).is_err());
        }
        let uneven = StateSnapshot { h: vec![0.0; HIDDEN], c: vec![0.0; 2 * HIDDEN] };
        assert!(b.restore(state, &uneven).is_err());
        assert_eq!(b.snapshot(state).unwrap(), before);
    });
}

#[test]
fn an_empty_job_is_fine() {
    each(|b, state| assert!(run(b, state, &[], 0.0).unwrap().is_empty()));
}
