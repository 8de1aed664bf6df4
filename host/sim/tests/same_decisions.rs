//! A recorded fleet is decided on alike at every instruction set, and a device that is off is noticed.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use foreshade_accel::faulty::{Fault, Faulty, SELF_TEST_JOBS};
use foreshade_accel::probe::ProbeOptions;
use foreshade_accel::{Care, Engine, OpenOptions, Opener, device_cpu};
use foreshade_forecast::lstm::LstmModel;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::fleet::{Fleet, FleetOptions};
use foreshade_sim::same::{Comparison, TOLERANCE_POINTS, compare};
use foreshade_telemetry::trace::Trace;
use foreshade_types::{Mebibytes, Millicores, VmSize};

const TICKS: u64 = 30;

fn fleet() -> Fleet {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../traces/bitbrains_tiny");
    let options = FleetOptions {
        name: "bitbrains".into(),
        seed: 1,
        hosts: None,
        vm_size: VmSize { cpu: Millicores(4000), memory: Mebibytes(16 * 1024) },
        memory_consumed: false,
        ticks: Some(TICKS),
    };
    Fleet::new(&Trace::read(&root.join("tiny_40vms_7days.parquet")).unwrap(), &options).unwrap()
}

/// Each device against the best instruction set of this machine.
fn against_the_best(devices: Vec<(String, Engine)>) -> Vec<Comparison> {
    let best = foreshade_accel::open("cpu", &OpenOptions::default()).unwrap();
    let policy = Policy { mode: Mode::Auto, ..Policy::default() };
    let model = Arc::new(LstmModel::shipped().unwrap());
    compare(&fleet(), &policy, &model, best, devices).unwrap()
}

#[test]
fn every_instruction_set_decides_the_same() {
    let lowest = if cfg!(target_arch = "x86_64") { "cpu@sse2" } else { "cpu" };
    let device = foreshade_accel::open(lowest, &OpenOptions::default()).unwrap();
    let results = against_the_best(vec![(lowest.into(), device)]);
    let [r] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!((r.decisions, r.ejections), (40 * TICKS, 0));
    assert!(r.jobs > 2 * TICKS, "the LSTM ran: {r:?}");
    assert!(r.acted > r.decisions / 10, "it decides: {r:?}");
    // 6 resources, 4 horizons, a mean and five quantiles.
    assert_eq!(r.values, r.decisions * 6 * 4 * 6);
    assert!(r.values_off * 1000 < r.values && r.largest_points <= TOLERANCE_POINTS, "{r:?}");
    assert!(r.differences.is_empty(), "{r:?}");
}

#[test]
fn a_device_that_is_off_by_a_percent_is_noticed_and_does_not_stop_the_comparison() {
    let off: Opener = Arc::new(|| {
        let found = device_cpu::probe(&ProbeOptions::default()).into_iter().next();
        let inner = found.ok_or("none")?.map_err(|a| a.reason)?;
        Ok(Box::new(Faulty::new(inner, Fault::Ulps(1 << 17), SELF_TEST_JOBS, u64::MAX)))
    });
    // Alone, so that no other device corrects it.
    let engine = Engine::with(vec![("off".into(), off)], Care::default()).unwrap();
    let results = against_the_best(vec![("off".into(), engine)]);
    let [r] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(r.decisions, 40 * TICKS);
    assert!(r.values_off * 10 > r.values && r.largest_points > TOLERANCE_POINTS, "{r:?}");
    assert!(r.rate() > 1e-2 && r.acts_otherwise() > 0, "{} of {}", r.differences.len(), r.decisions);
    assert!(r.differences.iter().any(|d| !d.within_tolerance()));
    assert!(r.differences.iter().all(|d| d.reference != d.device));
}
