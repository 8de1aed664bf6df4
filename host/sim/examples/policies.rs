//! Compares the policies on a trace: `cargo run --release -p foreshade-sim --example policies -- TRACE [SEED] [key=value...]`.
use std::path::Path;

use foreshade_appliance_core::{Core, MemoryJournal};
use foreshade_forecast::Fleet as Forecaster;
use foreshade_plan::baseline::Baseline;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::fleet::{Fleet, FleetOptions};
use foreshade_sim::{backtest, report::PolicyReport};
use foreshade_telemetry::trace::Trace;
use foreshade_types::{Mebibytes, Millicores, VmSize};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let trace = Trace::read(Path::new(&args[0])).expect("trace");
    let seed = args.get(1).map_or(1, |s| s.parse().expect("seed"));
    let mut policy = serde_json::to_value(Policy { mode: Mode::Auto, ..Policy::default() }).expect("policy");
    let mut hosts = None;
    let mut ticks = None;
    for a in args.iter().skip(2) {
        let (k, v) = a.split_once('=').expect("key=value");
        match k {
            "hosts" => hosts = Some(v.parse().expect("hosts")),
            "ticks" => ticks = Some(v.parse().expect("ticks")),
            _ => policy[k] = v.parse::<u64>().expect("number").into(),
        }
    }
    let policy: Policy = serde_json::from_value(policy).expect("policy");
    let options = FleetOptions {
        name: args[0].clone(),
        seed,
        hosts,
        vm_size: VmSize { cpu: Millicores(4000), memory: Mebibytes(16 * 1024) },
        memory_consumed: args[0].contains("gcd"),
        ticks,
    };
    let fleet = Fleet::new(&trace, &options).expect("fleet");
    println!("{} VMs, {} hosts, {} ticks", fleet.vms.len(), fleet.hosts().count(), fleet.ticks());
    let line = |name: &str, p: &PolicyReport| {
        let pct = 100.0 * p.contention_vm_minutes / p.vm_minutes;
        println!(
            "{name:10} contention {:9.1} ({pct:.3} %) over {:8.1} migrations {:4} shadow h {:6.1} energy {:.1} {:?}",
            p.contention_vm_minutes,
            p.over_reservation_core_hours,
            p.migrations,
            p.shadow_vm_hours,
            p.energy_kwh,
            p.decisions
        );
    };
    for (name, kind) in [("none", Baseline::None), ("reactive", Baseline::Reactive), ("peak", Baseline::Peak)]
    {
        line(name, &backtest::baseline(&fleet, kind, &policy));
    }
    let config = backtest::core_config(&fleet, &policy, "cpu", 2);
    let forecaster = Forecaster::new(Core::fleet_config(&config)).expect("forecaster");
    let t = std::time::Instant::now();
    let o =
        backtest::foreshade(&fleet, Core::new(config, forecaster), &mut MemoryJournal::default(), |_, _| {})
            .expect("run");
    line("foreshade", &o.policy);
    println!("{:.1} s; {:#?}", t.elapsed().as_secs_f64(), o.forecast);
}
