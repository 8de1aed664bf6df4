//! What every back end owes the Engine, on each kind of device that is here: lengths are checked before anything happens,
//! jobs come back in order, memory belongs to one side at a time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use foreshade_accel::Slab;
use foreshade_accel::backend::{Backend, BackendError, BufferId, Job, Launch, Read, Ticket, Write};
use foreshade_kernels::KernelId;
use foreshade_kernels::arima_fit::cases;
use support::devices::{self, Entry};
use support::{Work, poisoned};

/// The kernel that the suite launches: two outputs, no state.
const KERNEL: KernelId = KernelId::ArimaForecast;
const STEPS: usize = 3;

/// Runs a test on every kind of device of this machine; there is at least the CPU.
fn each(test: impl Fn(&mut dyn Backend)) {
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let mut all = devices::cpu();
    all.drain(..all.len() - 1);
    all.extend(devices::opencl(dir.path()));
    all.extend(devices::wgpu());
    all.extend(devices::cuda());
    let mut ran = 0;
    for Entry { name, device, .. } in all {
        if let Ok(mut device) = device {
            println!("on {name}");
            test(device.as_mut());
            ran += 1;
        }
    }
    assert!(ran > 0, "nothing ran");
}

fn work(seed: u64, lanes: usize) -> Work {
    let words = cases::fitted(seed, lanes, 24);
    Work {
        kernel: KERNEL,
        ints: vec![lanes as i32, STEPS as i32],
        floats: Vec::new(),
        inputs: vec![Slab::from_f32(&words).into()],
    }
}

fn filled(words: usize, value: i32) -> Arc<Slab> {
    let mut slab = Slab::zeroed(words);
    slab.i32_mut().fill(value);
    slab.into()
}

fn write(device: &mut dyn Backend, to: BufferId, from: &Arc<Slab>) {
    let job = Job { writes: vec![Write { to, from: Arc::clone(from) }], ..Job::default() };
    let ticket = device.submit(job).unwrap();
    device.collect(ticket).unwrap();
}

fn read(device: &mut dyn Backend, from: BufferId, words: usize, take: bool) -> Slab {
    let job = Job { reads: vec![Read { from, into: poisoned(words), take }], ..Job::default() };
    let ticket = device.submit(job).unwrap();
    device.collect(ticket).unwrap().0.reads.remove(0).into
}

#[test]
fn a_new_buffer_is_zero_and_keeps_what_is_written() {
    each(|device| {
        for words in [1, 63, 64, 1025] {
            let id = device.alloc(words).unwrap();
            assert_eq!(read(device, id, words, false), Slab::zeroed(words));
            let value = filled(words, 7);
            write(device, id, &value);
            assert_eq!(read(device, id, words, false), *value);
            device.free(id);
        }
    });
}

#[test]
fn a_copy_leaves_the_buffer_and_a_take_need_not() {
    each(|device| {
        let id = device.alloc(70).unwrap();
        for _ in 0..2 {
            assert_eq!(read(device, id, 70, false), Slab::zeroed(70), "the device's own memory, copied");
        }
        let value = filled(70, 9);
        write(device, id, &value);
        assert_eq!(read(device, id, 70, false), *value, "copied");
        assert_eq!(read(device, id, 70, false), *value, "still there");
        assert_eq!(read(device, id, 70, true), *value, "taken");
        write(device, id, &value);
        assert_eq!(read(device, id, 70, false), *value, "a taken buffer can be used again");
    });
}

#[test]
fn nothing_happens_when_one_length_is_wrong() {
    each(|device| {
        let (id, other) = (device.alloc(64).unwrap(), device.alloc(65).unwrap());
        write(device, id, &filled(64, 5));
        let good = Write { to: id, from: filled(64, 6) };
        let launch = Launch::new(KERNEL, &[id, id, id], &[64, STEPS as i32], &[]);
        let bad = [
            Job { writes: vec![good.clone(), Write { to: other, from: filled(64, 6) }], ..Job::default() },
            Job {
                writes: vec![good.clone()],
                reads: vec![Read { from: id, into: Slab::zeroed(63), take: true }],
                ..Job::default()
            },
            Job { writes: vec![good.clone()], launches: vec![launch], ..Job::default() },
            Job {
                writes: vec![good.clone(), Write { to: BufferId(999), from: filled(64, 6) }],
                ..Job::default()
            },
        ];
        for job in bad {
            assert!(matches!(device.submit(job), Err(BackendError::Length { .. })));
            assert_eq!(read(device, id, 64, false), *filled(64, 5), "nothing was written");
        }
    });
}

#[test]
fn sizes_that_no_kernel_has_are_refused() {
    each(|device| {
        assert!(matches!(device.alloc(0), Err(BackendError::Memory { words: 0, .. })));
        assert!(matches!(device.alloc(usize::MAX / 8), Err(BackendError::Memory { .. })));
        let id = device.alloc(64).unwrap();
        let submit = |device: &mut dyn Backend, ids: &[BufferId], ints: &[i32]| {
            let launches = vec![Launch::new(KERNEL, ids, ints, &[])];
            device.submit(Job { launches, ..Job::default() })
        };
        for ints in [[-64, 3], [65, 3], [64, 0], [64, 100_000]] {
            let got = submit(device, &[id, id, id], &ints);
            assert!(matches!(got, Err(BackendError::Shape { .. })), "{ints:?}");
        }
        // No lanes: every buffer would be empty, and there are no empty buffers.
        let got = submit(device, &[id, id, id], &[0, 3]);
        assert!(matches!(got, Err(BackendError::Length { .. })));
    });
}

#[test]
fn an_output_that_is_an_input_is_refused() {
    each(|device| {
        let work = work(1, 64);
        let placed = work.place(device).unwrap();
        let [fit, mean, _] = [placed.ids[0], placed.ids[1], placed.ids[2]];
        let launches = vec![Launch::new(KERNEL, &[fit, mean, mean], &work.ints, &[])];
        let got = device.submit(Job { launches, ..Job::default() });
        assert!(matches!(got, Err(BackendError::Shape { .. })), "{got:?}");
        assert!(work.run(device).is_ok(), "the device goes on");
    });
}

#[test]
fn a_freed_buffer_is_gone_and_its_name_is_not_used_again() {
    each(|device| {
        let first = device.alloc(64).unwrap();
        device.free(first);
        device.free(first);
        let second = device.alloc(64).unwrap();
        assert_ne!(first, second);
        let job = Job { writes: vec![Write { to: first, from: filled(64, 1) }], ..Job::default() };
        assert!(matches!(device.submit(job), Err(BackendError::Length { got: 0, .. })));
    });
}

/// The upload of the second must not reach the kernel of the first, nor its kernel the download of the first.
#[test]
fn two_jobs_in_flight_on_the_same_buffers_do_not_mix() {
    each(|device| {
        let (a, b) = (work(1, 1024), work(2, 1024));
        let (want_a, want_b) = (a.run(device).unwrap(), b.run(device).unwrap());
        assert_ne!(want_a, want_b);
        let placed = a.place(device).unwrap();
        for round in 0..6 {
            let take = round % 2 == 1;
            let first = device.submit(a.job(&placed, take)).unwrap();
            let second = device.submit(b.job(&placed, take)).unwrap();
            let outputs = |device: &mut dyn Backend, ticket| -> Vec<Slab> {
                let reads = device.collect(ticket).unwrap().0.reads;
                reads.into_iter().map(|r| r.into).collect()
            };
            assert!(outputs(device, first) == want_a, "first of round {round}");
            assert!(outputs(device, second) == want_b, "second of round {round}");
        }
    });
}

#[test]
fn jobs_are_collected_in_order_and_once() {
    each(|device| {
        let id = device.alloc(64).unwrap();
        let job = |value| Job {
            writes: vec![Write { to: id, from: filled(64, value) }],
            reads: vec![Read { from: id, into: poisoned(64), take: false }],
            ..Job::default()
        };
        let (first, second) = (device.submit(job(1)).unwrap(), device.submit(job(2)).unwrap());
        assert_eq!(device.collect(second).unwrap_err(), BackendError::Ticket(second));
        for (ticket, value) in [(first, 1), (second, 2)] {
            let (job, timing) = device.collect(ticket).unwrap();
            assert_eq!(job.reads[0].into, *filled(64, value));
            assert!(timing.kernel <= timing.total);
            assert_eq!(job.writes.len(), 1, "the lists come back");
        }
        assert_eq!(device.collect(second).unwrap_err(), BackendError::Ticket(second));
        assert_eq!(device.collect(Ticket(999)).unwrap_err(), BackendError::Ticket(Ticket(999)));
    });
}

/// A device that works in the host's memory must not write where the host may be reading.
#[test]
fn memory_that_the_host_still_holds_is_not_written() {
    each(|device| {
        let work = work(3, 128);
        let placed = work.place(device).unwrap();
        let poison: Arc<Slab> = poisoned(work.words()[1]).into();
        write(device, placed.ids[1], &poison);
        write(device, placed.ids[0], &work.inputs[0]);
        let ticket = device.submit(Job { launches: vec![placed.launch], ..Job::default() }).unwrap();
        device.collect(ticket).unwrap();
        assert_eq!(*poison, poisoned(work.words()[1]), "the host's copy");
        let mean = read(device, placed.ids[1], work.words()[1], true);
        assert_eq!(mean, work.run(device).unwrap()[0], "the kernel's answer");
    });
}

/// Fail-over redoes a tick from the old state, so a job that fails must leave it.
#[test]
fn the_old_content_is_there_after_a_refused_job() {
    each(|device| {
        let work = work(4, 64);
        let placed = work.place(device).unwrap();
        write(device, placed.ids[0], &work.inputs[0]);
        let mut job = work.job(&placed, false);
        job.writes[0].from = filled(1, 0);
        assert!(device.submit(job).is_err());
        let fit = read(device, placed.ids[0], work.words()[0], false);
        assert_eq!(fit, *work.inputs[0]);
    });
}

#[test]
fn a_kernel_that_was_warmed_up_gives_the_same_answer() {
    each(|device| {
        let before = work(5, 64).run(device).unwrap();
        device.warm_up(KERNEL).unwrap();
        assert_eq!(work(5, 64).run(device).unwrap(), before);
    });
}
