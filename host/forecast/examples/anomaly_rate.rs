//! Updates of the anomaly detector per second on one core: `cargo run --release -p foreshade-forecast --example
//! anomaly_rate`.

use std::time::Instant;

use foreshade_forecast::anomaly::{AnomalyError, Config, Detector, Group};

const SERIES: usize = 2048;
const TICKS: usize = 600;
/// Metrics of a group: of a VM, of a server.
const METRICS: [usize; 2] = [6, 32];

/// Noise with a memory: the same on every machine.
fn samples() -> Vec<f32> {
    let (mut state, mut x) = (1u64, 0.0f32);
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x = 0.8 * x + (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        x
    };
    (0..SERIES * 8).map(next).collect()
}

fn main() -> Result<(), AnomalyError> {
    let samples = samples();
    let config = Config { false_alarms_per_day: 1.0 / 7.0, cadence_s: 300, least: 0.0, seed: 1 };
    let mut detectors = vec![Detector::new(config)?; SERIES];
    println!("{} bytes a detector", detectors[0].bytes());
    let of = |metrics: usize| Ok(vec![Group::new(config, metrics)?; SERIES / metrics]);
    let mut groups = METRICS.map(of).into_iter().collect::<Result<Vec<_>, AnomalyError>>()?;
    for round in 0..3 {
        let (start, mut alarms) = (Instant::now(), 0);
        for tick in 0..TICKS {
            for (i, d) in detectors.iter_mut().enumerate() {
                alarms +=
                    usize::from(d.observe(samples[(i * 7 + tick * 13) % samples.len()], None).is_some());
            }
        }
        let single = (SERIES * TICKS) as f64 / start.elapsed().as_secs_f64();
        println!("round {round}: {SERIES} series alone {:.2} M updates/s, {alarms} alarms", single / 1e6);
        for (groups, metrics) in groups.iter_mut().zip(METRICS) {
            let (start, mut alarms, mut updates) = (Instant::now(), 0, 0);
            for tick in 0..TICKS {
                for (i, g) in groups.iter_mut().enumerate() {
                    let at = (i * metrics + tick * 13) % (samples.len() - metrics);
                    alarms += usize::from(g.observe(&samples[at..at + metrics], None).is_some());
                    updates += metrics;
                }
            }
            println!(
                "  in groups of {metrics} ({} bytes each) {:.2} M updates/s, {alarms} alarms",
                groups[0].bytes(),
                updates as f64 / start.elapsed().as_secs_f64() / 1e6
            );
        }
    }
    Ok(())
}
