//! Inputs are mirrored, not carried out: a replay leaves no trace outside itself. Alone in its program, so that nothing
//! else moves the counters of the process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use foreshade_forecast::replay::generate::{CADENCE_S, Truth, generate};
use foreshade_forecast::replay::{Replay, ReplayConfig};
use foreshade_types::{Horizon, Resource};

/// What of the process an effect would show in: bytes and calls written, open files and sockets, threads, children.
fn outside() -> Vec<String> {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let written = io.lines().filter(|l| l.starts_with("wchar") || l.starts_with("syscw")).map(str::to_owned);
    let count = |folder: &str| format!("{folder}: {}", fs::read_dir(folder).unwrap().count());
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    written.chain([count("/proc/self/fd"), count("/proc/self/task"), children]).collect()
}

#[test]
fn a_replay_has_no_outside_effect_and_yields_an_estimate() {
    let ticks = generate(&Truth::default(), 1, 500);
    let mut replay = Replay::new(&ReplayConfig::new(CADENCE_S, &[Horizon::Step(1)]), None);
    let before = outside();
    for tick in &ticks {
        replay.observe(tick.trace.end_ms, &tick.trace, &tick.usage).unwrap();
    }
    let learned = replay.clone();
    let first = replay.estimate(&ticks[499].trace);
    let lead = replay.lead(Resource::Cpu, 0);
    let after = outside();
    assert_eq!(before, after);
    assert!(first[Resource::Cpu as usize].mean > 100.0 && lead.is_some());
    // An estimate does not even change the replay.
    assert_eq!(first, replay.estimate(&ticks[499].trace));
    assert_eq!(format!("{learned:?}"), format!("{replay:?}"));
    assert!(sees_a_write(), "the counters must notice a single byte");
}

fn sees_a_write() -> bool {
    let before = outside();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("replay_effects");
    fs::write(&path, "x").unwrap();
    before != outside()
}
