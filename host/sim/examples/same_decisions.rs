//! Do devices decide the same on recorded traces? Prints a table.
//!
//! `cargo run --release -p foreshade-sim --features opencl,wgpu --example same_decisions -- TRACE TICKS|all DEVICE...`,
//! the first device is the reference, e.g. `traces/gcd_400/vms400.parquet all cpu cpu@sse2 opencl-cpu`.
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use foreshade_accel::OpenOptions;
use foreshade_forecast::lstm::LstmModel;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::fleet::{Fleet, FleetOptions};
use foreshade_sim::same::compare;
use foreshade_telemetry::trace::Trace;
use foreshade_types::{Mebibytes, Millicores, VmSize};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, ticks, reference, devices @ ..] = args.as_slice() else {
        return Err("give a trace, ticks or all, a reference device and others".into());
    };
    let options = FleetOptions {
        name: path.clone(),
        seed: 1,
        hosts: None,
        vm_size: VmSize { cpu: Millicores(4000), memory: Mebibytes(16 * 1024) },
        memory_consumed: path.contains("gcd"),
        ticks: ticks.parse().ok(),
    };
    let fleet = Fleet::new(&Trace::read(Path::new(path))?, &options)?;
    let policy = Policy { mode: Mode::Auto, ..Policy::default() };
    let model = Arc::new(LstmModel::shipped()?);
    let open =
        |name: &str| foreshade_accel::open(name, &OpenOptions { threads: 2, ..OpenOptions::default() });
    let about = |name: &str, e: &foreshade_accel::Engine| {
        println!("{name}: {} {} {}", e.info().device, e.info().version, e.info().simd);
    };
    let first = open(reference)?;
    println!(
        "{path}: {} VMs, {} ticks, {} series each",
        fleet.vms.len(),
        fleet.ticks(),
        fleet.resources.len()
    );
    about(reference, &first);
    let mut others = Vec::new();
    for name in devices {
        let engine = open(name)?;
        about(name, &engine);
        others.push((name.clone(), engine));
    }
    let start = Instant::now();
    let results = compare(&fleet, &policy, &model, first, others)?;
    println!(
        "| device | decisions | acted on | differ | of these, another action | per decision | of these, within tolerance | forecast values | on another grid value | largest, points | LSTM steps | ejected |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for r in &results {
        println!(
            "| {} | {} | {} | {} | {} | {:.1e} | {} | {} | {} | {} | {} | {} |",
            r.name,
            r.decisions,
            r.acted,
            r.differences.len(),
            r.acts_otherwise(),
            r.rate(),
            r.differences.iter().filter(|d| d.within_tolerance()).count(),
            r.values,
            r.values_off,
            r.largest_points,
            r.jobs,
            r.ejections
        );
    }
    for r in &results {
        for d in &r.differences {
            println!(
                "{} {} {}: {:?} against {:?}; forecasts {} points apart",
                r.name, d.tick, d.vm, d.reference, d.device, d.forecast_points
            );
        }
    }
    println!("{:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
