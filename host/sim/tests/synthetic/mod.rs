//! A small fleet made of whole numbers.

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

/// The rack of [`trace`] for 20 ticks.
pub fn fleet(seed: u64) -> Fleet {
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
