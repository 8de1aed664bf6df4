//! Compares the policies on a trace: `cargo run --release -p foreshade-sim --example policies -- TRACE [SEED] [key=value...]`.
use std::path::Path;

use foreshade_appliance_core::{Core, MemoryJournal};
use foreshade_enact::fakes::rack::Totals;
use foreshade_forecast::Fleet as Forecaster;
use foreshade_forecast::lstm::LstmModel;
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
    let mut hostmem = None;
    for a in args.iter().skip(2) {
        let (k, v) = a.split_once('=').expect("key=value");
        match k {
            "hosts" => hosts = Some(v.parse().expect("hosts")),
            "hostmem" => hostmem = Some(v.parse::<u64>().expect("GiB")),
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
    let mut fleet = Fleet::new(&trace, &options).expect("fleet");
    if let Some(gib) = hostmem {
        fleet.rack.host_memory = Mebibytes(gib * 1024);
        fleet.racks.iter_mut().flat_map(|r| &mut r.hosts).for_each(|h| h.memory = fleet.rack.host_memory);
    }
    println!("{} VMs, {} hosts, {} ticks", fleet.vms.len(), fleet.hosts().count(), fleet.ticks());
    let line = |name: &str, p: &PolicyReport, t: &Totals| {
        let pct = 100.0 * p.contention_vm_minutes / p.vm_minutes;
        println!(
            "{name:10} cpu {:.0} mem {:.0} contention {:9.1} ({pct:.3} %) over {:8.1} migrations {:4} shadow h {:6.1} energy {:.1} {:?}",
            t.cpu_contention_ms as f64 / 6e4,
            t.memory_contention_ms as f64 / 6e4,
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
        let (p, t) = backtest::baseline(&fleet, kind, &policy);
        line(name, &p, &t);
    }
    let config = backtest::core_config(&fleet, &policy, "cpu", 2);
    let forecaster = Forecaster::new(
        Core::fleet_config(&config),
        Some(std::sync::Arc::new(LstmModel::shipped().expect("model"))),
        foreshade_accel::open("cpu", &foreshade_accel::OpenOptions::default()).expect("device"),
    )
    .expect("forecaster");
    let t = std::time::Instant::now();
    let o =
        backtest::foreshade(&fleet, Core::new(config, forecaster), &mut MemoryJournal::default(), |_, _| {})
            .expect("run");
    line("foreshade", &o.policy, &o.totals);
    println!("{:.1} s; {:#?}", t.elapsed().as_secs_f64(), o.forecast);
}
