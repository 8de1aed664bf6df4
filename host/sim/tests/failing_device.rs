//! Whatever happens to the device in the middle of a run, the run leaves the same bytes behind.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::sync::Arc;
use std::time::Duration;

use foreshade_accel::faulty::{Fault, Faulty, SELF_TEST_JOBS};
use foreshade_accel::probe::ProbeOptions;
use foreshade_accel::{Care, Engine, Metrics, Opener, device_cpu};
use foreshade_appliance_core::{Core, MemoryJournal};
use foreshade_forecast::Fleet as Forecaster;
use foreshade_forecast::lstm::LstmModel;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::backtest;

fn cpu() -> Result<Box<dyn foreshade_accel::backend::Backend>, String> {
    let found = device_cpu::probe(&ProbeOptions::default()).into_iter().next();
    found.map_or_else(|| Err("none".into()), |f| f.map_err(|a| a.reason))
}

/// Report, decisions and counters of a whole run on `devices`.
fn run(devices: Vec<(String, Opener)>) -> (String, Metrics) {
    let fleet = synthetic::fleet(1);
    let policy = Policy { mode: Mode::Auto, ..Policy::default() };
    let config = backtest::core_config(&fleet, &policy, "cpu", 1);
    let care = Care { deadline: Duration::from_millis(500), check_every: 1, ..Care::default() };
    let engine = Engine::with(devices, care).unwrap();
    let model = Some(Arc::new(LstmModel::shipped().unwrap()));
    let forecaster = Forecaster::new(Core::fleet_config(&config), model, engine).unwrap();
    let mut journal = MemoryJournal::default();
    let mut metrics = Metrics::default();
    let core = Core::new(config, forecaster);
    let o = backtest::foreshade(&fleet, core, &mut journal, |core, _| {
        if let Some(engine) = core.engine() {
            metrics = engine.metrics().clone();
        }
    })
    .unwrap();
    let report = serde_json::to_string(&(&o.policy, &o.forecast)).unwrap();
    (format!("{report} {:?} {:?}", o.totals, journal.records), metrics)
}

#[test]
fn no_fault_of_a_device_changes_a_forecast_or_a_decision() {
    let sound: Opener = Arc::new(cpu);
    let (want, clean) = run(vec![("cpu".into(), Arc::clone(&sound))]);
    assert!(clean.jobs > 20, "the LSTM did not run: {clean:?}");
    for fault in [Fault::Lost, Fault::Hang, Fault::Nan, Fault::Ulps(1 << 13), Fault::Crash] {
        let ill: Opener =
            Arc::new(move || Ok(Box::new(Faulty::new(cpu()?, fault, SELF_TEST_JOBS + 13, u64::MAX))));
        let (got, metrics) = run(vec![("faulty".into(), ill), ("cpu".into(), Arc::clone(&sound))]);
        assert!(got == want, "{fault:?} changed the run");
        assert!(metrics.ejections >= 1, "{fault:?}: {metrics:?}");
        assert_eq!(metrics.jobs, clean.jobs, "{fault:?}: {metrics:?}");
    }
}
