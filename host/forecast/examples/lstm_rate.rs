//! Microseconds per series and tick of features and LSTM: `cargo run --release -p foreshade-forecast --example lstm_rate`.

use std::time::Instant;

use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::features::{FeatureWindow, Features};
use foreshade_forecast::lstm::{LstmFleet, LstmModel, Profile};

const SERIES: usize = 4096;
const TICKS: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut device = open("cpu", &OpenOptions::default())?;
    let model = LstmModel::shipped()?;
    let mut fleet = LstmFleet::new(&model, Profile::Cpu, &mut device, SERIES)?;
    let mut windows = vec![FeatureWindow::new(); SERIES];
    let mut noise = 1u32;
    let (mut features, mut out) = (Vec::<Option<Features>>::new(), Vec::new());
    let (mut feature_s, mut step_s) = (0.0, 0.0);
    for tick in 0..144 + TICKS {
        let start = Instant::now();
        features.clear();
        for window in &mut windows {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            window.push((noise >> 8) as f32 * (100.0 / (1 << 24) as f32));
            features.push(window.features());
        }
        let middle = Instant::now();
        fleet.step(&mut device, &features, &mut out)?;
        if tick >= 144 {
            feature_s += (middle - start).as_secs_f64();
            step_s += middle.elapsed().as_secs_f64();
        }
    }
    let us = |s: f64| s * 1e6 / (SERIES * TICKS) as f64;
    println!(
        "{}: features {:.2} us, LSTM step {:.2} us per series",
        device.info().simd,
        us(feature_s),
        us(step_s)
    );
    Ok(())
}
