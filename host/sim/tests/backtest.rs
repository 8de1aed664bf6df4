//! A backtest is repeatable to the last bit, on any number of threads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod synthetic;

use foreshade_appliance_core::{Core, MemoryJournal, Record};
use foreshade_forecast::Fleet as Forecaster;
use foreshade_plan::baseline::Baseline;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::backtest;
use foreshade_sim::fleet::Fleet;
use synthetic::fleet;

/// Everything a run leaves behind, as text, and its decisions.
fn run(fleet: &Fleet, threads: usize) -> (String, Vec<Record>) {
    let policy = Policy { mode: Mode::Auto, ..Policy::default() };
    let config = backtest::core_config(fleet, &policy, "cpu", threads);
    let device = foreshade_accel::open("cpu", &foreshade_accel::OpenOptions::default()).unwrap();
    let forecaster = Forecaster::new(Core::fleet_config(&config), None, device).unwrap();
    let mut journal = MemoryJournal::default();
    let o = backtest::foreshade(fleet, Core::new(config, forecaster), &mut journal, |_, _| {}).unwrap();
    let report = serde_json::to_string(&(&o.policy, &o.forecast, &o.outlook, &o.anomalies)).unwrap();
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
