//! A backtest is repeatable to the last bit, on any number of threads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use foreshade_appliance_core::{Core, MemoryJournal, Record};
use foreshade_forecast::Fleet as Forecaster;
use foreshade_plan::baseline::Baseline;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::backtest;
use foreshade_sim::fleet::{Fleet, FleetOptions};
use foreshade_telemetry::trace::{Column, Trace, TraceVm};
use foreshade_types::{Mebibytes, Millicores, VmSize};

/// 80 VMs (more than one thread's share of series) of 170 samples: daily waves, jobs and a wander, all from whole numbers.
fn trace() -> Trace {
    let wander = |vm: u64, t: u64| {
        let x = (vm * 7919 + t).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((x >> 40) % 1000) as f32 / 100.0
    };
    let vm = |i: u64| {
        let job = |t: u64| if (t + i) % (20 + i % 7) < 4 { 40.0 } else { 0.0 };
        let wave = |t: u64| ((t + 3 * i) % 48).abs_diff(24) as f32;
        let cpu = (0..170).map(|t| (10.0 + wave(t) + job(t) + wander(i, t)).min(100.0)).collect();
        let memory = (0..170).map(|t| 30.0 + wave(t) / 2.0 + wander(i + 99, t)).collect();
        let size = VmSize { cpu: Millicores(2000 + 1000 * (i % 3)), memory: Mebibytes(8192) };
        TraceVm { name: i.to_string(), start_ms: 0, size: Some(size), values: vec![cpu, memory] }
    };
    Trace {
        cadence_s: 300,
        columns: ["cpu_pct", "mem_pct"].map(Column::named).to_vec(),
        vms: (0..80).map(vm).collect(),
    }
}

fn fleet(seed: u64) -> Fleet {
    let options = FleetOptions {
        name: "synthetic".into(),
        seed,
        hosts: None,
        vm_size: VmSize { cpu: Millicores(4000), memory: Mebibytes(8192) },
        memory_consumed: true,
        ticks: Some(20),
    };
    Fleet::new(&trace(), &options).unwrap()
}

/// Everything a run leaves behind, as text, and its decisions.
fn run(fleet: &Fleet, threads: usize) -> (String, Vec<Record>) {
    let policy = Policy { mode: Mode::Auto, ..Policy::default() };
    let config = backtest::core_config(fleet, &policy, "cpu", threads);
    let device = foreshade_accel::open("cpu", &foreshade_accel::OpenOptions::default()).unwrap();
    let forecaster = Forecaster::new(Core::fleet_config(&config), None, device).unwrap();
    let mut journal = MemoryJournal::default();
    let o = backtest::foreshade(fleet, Core::new(config, forecaster), &mut journal, |_, _| {}).unwrap();
    let report = serde_json::to_string(&(&o.policy, &o.forecast)).unwrap();
    (format!("{report} {:?}", o.totals), journal.records)
}

#[test]
fn the_same_backtest_gives_the_same_bytes_on_one_and_two_threads() {
    let fleet = fleet(1);
    let one = run(&fleet, 1);
    assert!(one.1.iter().map(|r| r.decisions.len()).sum::<usize>() > 100, "it decides");
    assert_eq!(one, run(&fleet, 1));
    assert_eq!(one, run(&fleet, 2));
}

#[test]
fn another_seed_is_another_run() {
    assert_ne!(run(&fleet(1), 1).0, run(&fleet(2), 1).0);
}

#[test]
fn the_forecast_does_not_depend_on_what_is_done() {
    let fleet = fleet(1);
    let scores = |mode| {
        let policy = Policy { mode, ..Policy::default() };
        let config = backtest::core_config(&fleet, &policy, "cpu", 1);
        let device = foreshade_accel::open("cpu", &foreshade_accel::OpenOptions::default()).unwrap();
        let forecaster = Forecaster::new(Core::fleet_config(&config), None, device).unwrap();
        let core = Core::new(config, forecaster);
        let o = backtest::foreshade(&fleet, core, &mut MemoryJournal::default(), |_, _| {}).unwrap();
        serde_json::to_string(&o.forecast).unwrap()
    };
    assert_eq!(scores(Mode::Auto), scores(Mode::Advise));
}

#[test]
fn baselines_repeat_and_none_does_nothing() {
    let fleet = fleet(1);
    let policy = Policy::default();
    for kind in [Baseline::None, Baseline::Reactive, Baseline::Peak] {
        let (report, totals) = backtest::baseline(&fleet, kind, &policy);
        assert_eq!((report.clone(), totals), backtest::baseline(&fleet, kind, &policy));
        let acted: u64 = report.decisions.iter().filter(|d| d.0 != "hold").map(|d| *d.1).sum();
        assert_eq!(acted == 0, kind == Baseline::None, "{kind:?}: {:?}", report.decisions);
    }
}
