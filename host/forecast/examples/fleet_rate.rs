//! Updates per second of one thread, end to end: `cargo run --release -p foreshade-forecast --example fleet_rate -- [SERIES]`.
//!
//! An update is one sample of one series: features, all members, LSTM, ensemble and calibration, for the peak of 30 min and
//! for 5, 30 and 60 min. Series are waves with jobs and noise, so that no member is trivially right.

use std::time::Instant;

use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::lstm::LstmModel;
use foreshade_forecast::{Fleet, FleetConfig, SeriesProfile};
use foreshade_types::{Horizon, Resource};

const WARM_UP: usize = 160;
const TICKS: usize = 36;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n: usize = std::env::args().nth(1).map_or(Ok(4096), |v| v.parse())?;
    let config = FleetConfig {
        series: (0..n as u64).map(|key| SeriesProfile { key, ..Resource::Cpu.into() }).collect(),
        horizons: vec![Horizon::Peak(6), Horizon::Step(1), Horizon::Step(6), Horizon::Step(12)],
        cadence_s: 300,
        threads: 1,
    };
    let engine = open("cpu", &OpenOptions::default())?;
    let mut fleet = Fleet::new(config, Some(LstmModel::shipped()?.into()), engine)?;
    let (mut noise, mut points) = (1u32, vec![0f32; n]);
    let (mut best, mut all) = (f64::INFINITY, 0.0);
    for tick in 0..WARM_UP + TICKS {
        for (i, p) in points.iter_mut().enumerate() {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let job = if (tick + i) % (20 + i % 7) < 4 { 40.0 } else { 0.0 };
            let wave = ((tick + 3 * i) % 96).abs_diff(48) as f32;
            *p = 5.0 + wave / 2.0 + job + (noise >> 8) as f32 * (10.0 / (1 << 24) as f32);
        }
        let start = Instant::now();
        fleet.step(&points)?;
        let took = start.elapsed().as_secs_f64();
        if tick >= WARM_UP {
            best = best.min(took);
            all += took;
        }
    }
    let rate = |s: f64| n as f64 / s;
    println!(
        "{n} series, one thread: {:.0} updates/s in the mean, {:.0} in the best tick, {:.2} us each",
        rate(all / TICKS as f64),
        rate(best),
        best * 1e6 / n as f64
    );
    Ok(())
}
