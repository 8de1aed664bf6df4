//! Times the placement score and the peak of its inner loop on this machine, and prints JSON.
//!
//!     cargo run --release -p foreshade-fallback-cpu --example placement_bench [--simd LEVEL] [--dump FOLDER]
//!
//! `--dump` writes the first request and its answer as raw words, for benches/peers/placement_numpy.py.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use fearless_simd::{Simd, SimdBase, SimdFloat, dispatch};
use foreshade_fallback_cpu::{Exec, placement};
use foreshade_kernels::placement_score::SCORE_WORDS;
use foreshade_kernels::placement_score::cases::{Shape, case};
use foreshade_kernels::placement_score::reference::Inputs;

const TICK: Shape = Shape { vms: 200, hosts: 500, paths: 32, steps: 6, resources: 4, top: 4 };
const WHAT_IF: Shape = Shape { vms: 2000, ..TICK };

/// Running sums or minima in the peak loop: enough to hide the latency of a multiply-add and a minimum on two pipes.
const CHAINS: usize = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option =
        |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).map(String::as_str);
    let mut rows = Vec::new();
    for threads in [1, 2] {
        let exec = Exec::new(option("--simd"), threads)?;
        let [fma, fma_min] = dispatch!(exec.level(), simd => peak(simd));
        for (name, shape) in [("tick", TICK), ("what-if", WHAT_IF)] {
            let inputs = case(1, shape);
            let mut answer = answer(&inputs);
            let time = best_of(if shape.vms > 1000 { 8 } else { 30 }, || run(&exec, &inputs, &mut answer));
            if let (Some(folder), 1, "tick") = (option("--dump"), threads, name) {
                dump(Path::new(folder), &inputs, &answer)?;
            }
            let cells = (shape.vms * shape.hosts * shape.paths * shape.steps * shape.resources) as f64;
            let rate = cells / time.cpu.as_secs_f64();
            rows.push(format!(
                r#"{{"case":"{name}","vms":{},"threads":{threads},"simd":"{}","wall_ms":{:.3},"cpu_ms":{:.3},"gcells_per_cpu_s":{:.2},"share_of_fma_peak":{:.3},"share_of_fma_min_peak":{:.3}}}"#,
                shape.vms, exec.simd(), ms(time.wall), ms(time.cpu), rate / 1e9, rate / fma, rate / fma_min,
            ));
        }
        rows.push(format!(
            r#"{{"case":"peak","simd":"{}","fma_g_per_s":{:.2},"fma_min_g_per_s":{:.2}}}"#,
            exec.simd(),
            fma / 1e9,
            fma_min / 1e9
        ));
    }
    println!("[{}]", rows.join(",\n "));
    Ok(())
}

struct Times {
    wall: Duration,
    cpu: Duration,
}

/// Least wall time and least processor time of all threads over `n` runs, after one that is not timed.
fn best_of(n: usize, mut work: impl FnMut()) -> Times {
    work();
    let mut best = Times { wall: Duration::MAX, cpu: Duration::MAX };
    for _ in 0..n {
        let (cpu, wall) = (cpu_time(), Instant::now());
        work();
        best.wall = best.wall.min(wall.elapsed());
        best.cpu = best.cpu.min(cpu_time().saturating_sub(cpu));
    }
    best
}

/// Of all threads of this process, as Linux counts it.
fn cpu_time() -> Duration {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let of = |task: fs::DirEntry| -> Option<u64> {
        fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(of).sum())
}

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

type Answer = (Vec<i32>, Vec<f32>);

fn answer(x: &Inputs) -> Answer {
    let slots = x.vms() * x.top();
    (vec![0; slots], vec![0.0; slots * SCORE_WORDS])
}

fn run(exec: &Exec, x: &Inputs, (best, score): &mut Answer) {
    placement::score(exec, &x.ints, &x.floats, &x.demand, &x.room, &x.host, &x.vm, &x.allow, best, score);
}

fn dump(folder: &Path, x: &Inputs, (best, score): &Answer) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let floats =
        [("demand", &x.demand), ("room", &x.room), ("host", &x.host), ("vm", &x.vm), ("score", score)];
    for (name, v) in floats {
        let bytes: Vec<u8> = v.iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(folder.join(name), bytes)?;
    }
    for (name, v) in [("allow", &x.allow), ("best", best), ("ints", &x.ints.to_vec())] {
        let bytes: Vec<u8> = v.iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(folder.join(name), bytes)?;
    }
    let bytes: Vec<u8> = x.floats.iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(folder.join("floats"), bytes)?;
    Ok(())
}

/// Most multiply-adds per second of one thread, alone and each followed by a minimum, all in registers.
#[inline(always)]
fn peak<S: Simd>(simd: S) -> [f64; 2] {
    [chains::<S, false>(simd), chains::<S, true>(simd)]
}

#[inline(always)]
fn chains<S: Simd, const MIN: bool>(simd: S) -> f64 {
    const ROUNDS: usize = 1_000_000;
    let time = best_of(20, || {
        simd.vectorize(
            #[inline(always)]
            || {
                let splat = |v: f32| S::f32s::splat(simd, black_box(v));
                let (a, b, c) = (splat(0.999), splat(1.0e-3), splat(0.5));
                let mut x = [c; CHAINS];
                for _ in 0..ROUNDS {
                    for x in &mut x {
                        let next = x.mul_add(a, b);
                        *x = if MIN { next.min(c) } else { next };
                    }
                }
                black_box(x.map(|x| x.as_slice()[0]));
            },
        );
    });
    (ROUNDS * CHAINS * S::f32s::LEN) as f64 / time.wall.as_secs_f64()
}
