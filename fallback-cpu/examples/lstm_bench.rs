//! Speed of the LSTM step against the machine's own multiply-add peak: one JSON object on stdout.
//!
//! `lstm_bench [SECONDS_PER_FIGURE] [LEVEL]`; step and peak are measured in turns, so that both see the same machine.
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::time::Instant;

use foreshade_fallback_cpu::{Exec, levels, lstm_step, peak};
use foreshade_kernels::lstm_step::STEP;
use foreshade_kernels::lstm_step::cases::{Case, Shape, case};

const LANES: usize = 16_384;
const HEADLESS: Shape = Shape { input: 8, hidden: 32, layers: 1, stats: 0, width: 0 };
const SHIPPED: Shape = Shape { input: 6, hidden: 32, layers: 1, stats: 48, width: 64 };
const TWO_LAYERS: Shape = Shape { input: 8, hidden: 32, layers: 2, stats: 0, width: 0 };
/// Ticks that a stateless server runs again at every tick.
const WINDOWS: [usize; 2] = [24, 48];
const PEAK_ROUNDS: u64 = 20_000;

/// A batch whose state goes to and fro between two buffers, as it does in service.
struct Bench {
    case: Case,
    state: [Vec<f32>; 2],
    out: Vec<f32>,
}

impl Bench {
    fn new(shape: Shape) -> Self {
        let mut case = case(1, LANES, shape).unwrap();
        case.mode.fill(STEP);
        case.x.iter_mut().for_each(|v| *v = if v.is_finite() { *v } else { 0.1 });
        case.stats.iter_mut().for_each(|v| *v = if v.is_finite() { *v } else { 0.1 });
        let (state, out) = (case.state_in.clone(), vec![f32::NAN; case.out_words()]);
        Self { case, state: [state.clone(), state], out }
    }

    fn tick(&mut self, exec: &Exec) {
        let c = &self.case;
        let [from, to] = &mut self.state;
        lstm_step::step(exec, &c.ints, &c.mode, &c.x, &c.stats, &c.packed, from, to, &mut self.out);
        self.state.swap(0, 1);
    }

    /// Operations of the products in a tick; activations are not counted.
    fn flop(&self) -> f64 {
        let quads = self.case.packed.len() / 4;
        let biases = self.case.weights.layers().len() * self.case.weights.dims().hidden
            + self.case.weights.head().map_or(0, |h| h.width.div_ceil(4) + 5);
        (2 * 4 * (quads - biases) * LANES) as f64
    }
}

/// Best seconds of a tick and best FLOP/s of the peak loop, measured in turns for about `seconds`.
fn measure(exec: &Exec, seconds: f64, mut tick: impl FnMut(&Exec)) -> (f64, f64) {
    let (mut best, mut top) = (f64::INFINITY, 0.0f64);
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds {
        for _ in 0..8 {
            let t = Instant::now();
            tick(exec);
            best = best.min(t.elapsed().as_secs_f64());
        }
        let t = Instant::now();
        let peak = std::hint::black_box(peak::run(exec, PEAK_ROUNDS));
        top = top.max(peak.flop / t.elapsed().as_secs_f64());
    }
    (best, top)
}

/// CPU seconds of this process so far, user time of all threads; 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after.split_whitespace().nth(11).and_then(|v| v.parse().ok()).unwrap_or(0.0);
    ticks / 100.0
}

fn line(name: &str, exec: &Exec, shape: Shape, seconds: f64) -> String {
    let mut bench = Bench::new(shape);
    bench.tick(exec);
    let (best, peak) = measure(exec, seconds, |exec| bench.tick(exec));
    let cpu = cpu_seconds();
    let (mut ticks, start) = (0, Instant::now());
    while start.elapsed().as_secs_f64() < seconds / 2.0 {
        bench.tick(exec);
        ticks += 1;
    }
    let cpu_ms = (cpu_seconds() - cpu) * 1e3 / f64::from(ticks) / exec.threads() as f64;
    assert!(bench.state[0].iter().all(|v| v.is_finite()), "the state stays finite");
    let rate = bench.flop() / best;
    format!(
        "{{\"case\": \"{name}\", \"simd\": \"{}\", \"threads\": {}, \"best_ms\": {:.4}, \"cpu_ms_per_thread\": {cpu_ms:.4}, \
         \"mac_gflops\": {:.1}, \"fma_peak_gflops\": {:.1}, \"share_of_peak\": {:.3}}}",
        exec.simd(),
        exec.threads(),
        best * 1e3,
        rate / 1e9,
        peak / 1e9,
        rate / peak,
    )
}

/// A stateless window: so many ticks from zero for one answer.
fn window(exec: &Exec, seconds: f64, ticks: usize) -> String {
    let mut bench = Bench::new(HEADLESS);
    let (best, _) = measure(exec, seconds, |exec| {
        bench.state[0].fill(0.0);
        (0..ticks).for_each(|_| bench.tick(exec));
    });
    format!(
        "{{\"case\": \"window of {ticks}\", \"simd\": \"{}\", \"threads\": {}, \"best_ms\": {:.4}}}",
        exec.simd(),
        exec.threads(),
        best * 1e3
    )
}

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds: f64 = args.next().and_then(|v| v.parse().ok()).unwrap_or(2.0);
    let only = args.next();
    let mut lines = Vec::new();
    for (level, _) in levels() {
        if only.as_deref().is_some_and(|only| only != level) {
            continue;
        }
        for threads in [1, 2] {
            let exec = Exec::new(Some(level), threads).unwrap();
            lines.push(line("8->32", &exec, HEADLESS, seconds));
        }
    }
    for threads in [1, 2] {
        let exec = Exec::new(only.as_deref(), threads).unwrap();
        lines.push(line("8->32->32", &exec, TWO_LAYERS, seconds));
        lines.push(line("6->32, head 80->64->20", &exec, SHIPPED, seconds));
        lines.extend(WINDOWS.map(|ticks| window(&exec, seconds, ticks)));
    }
    println!("{{\"lanes\": {LANES}, \"results\": [\n  {}\n]}}", lines.join(",\n  "));
}
