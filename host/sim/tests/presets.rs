//! The presets differ in what they promise: on the shipped Google trace `safe` reserves more than `balanced`, and `dense` less.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;

use foreshade_appliance_core::{Core, MemoryJournal};
use foreshade_forecast::Fleet as Forecaster;
use foreshade_forecast::lstm::LstmModel;
use foreshade_plan::{Mode, Policy, Preset};
use foreshade_sim::backtest;
use foreshade_sim::fleet::{Fleet, FleetOptions};
use foreshade_telemetry::trace::Trace;
use foreshade_types::{Mebibytes, Millicores, VmSize};

/// What a preset reserves and does not use in the day of the trace, core-hours.
fn over_reserved(fleet: &Fleet, preset: Preset) -> f64 {
    let policy = Policy { mode: Mode::Auto, ..preset.policy() };
    let config = backtest::core_config(fleet, &policy, "cpu", 2);
    let device = foreshade_accel::open("cpu", &foreshade_accel::OpenOptions::default()).unwrap();
    let model = Some(Arc::new(LstmModel::shipped().unwrap()));
    let forecaster = Forecaster::new(Core::fleet_config(&config), model, device).unwrap();
    let core = Core::new(config, forecaster);
    let done = backtest::foreshade(fleet, core, &mut MemoryJournal::default(), |_, _| {}).unwrap();
    done.policy.over_reservation_core_hours
}

#[test]
fn safe_reserves_more_than_balanced_and_dense_less() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../traces/gcd_400/vms400.parquet");
    let options = FleetOptions {
        name: "gcd_400".into(),
        seed: 1,
        hosts: None,
        vm_size: VmSize { cpu: Millicores(4000), memory: Mebibytes(16 * 1024) },
        memory_consumed: true,
        ticks: None,
    };
    let fleet = Fleet::new(&Trace::read(&file).unwrap(), &options).unwrap();
    let [safe, balanced, dense] = Preset::ALL.map(|p| over_reserved(&fleet, p));
    assert!(safe > 1.2 * balanced && balanced > 1.2 * dense, "{safe} {balanced} {dense}");
}
