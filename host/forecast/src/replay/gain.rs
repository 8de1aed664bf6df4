//! What traces add: the fleet's forecast alone, the replay's, and both together, on the same ticks.

use std::collections::VecDeque;
use std::sync::Arc;

use foreshade_accel::Engine;
use foreshade_types::{Horizon, LEVELS, Resource, SeriesForecast, Transform};

use super::blend::{Blend, Say};
use super::generate::{Dice, Tick};
use super::{Estimate, Replay, ReplayConfig};
use crate::fleet::{Fleet, FleetConfig, ForecastError, SeriesProfile};
use crate::lstm::LstmModel;
use crate::quantile::pinball;

/// The sides of a comparison.
pub const SIDES: [&str; 3] = ["metrics", "replay", "both"];

/// What is compared. VMs are of one length; `ticks[vm][t]`.
#[derive(Debug, Clone)]
pub struct Study<'a> {
    /// Events and use.
    pub ticks: &'a [Vec<Tick>],
    /// Native units per unit of the transform, per VM: the size in millicores / 100, or 1.
    pub unit: &'a [f64],
    /// What is forecast.
    pub resource: Resource,
    /// Seconds per tick.
    pub cadence_s: u32,
    /// How far.
    pub horizons: &'a [Horizon],
    /// The first origin that is scored.
    pub from: usize,
    /// The LSTM of the fleet, where its cadence is this one.
    pub model: Option<Arc<LstmModel>>,
}

/// Losses of one VM at one horizon, by side, in points.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Loss {
    /// Outcomes.
    pub n: u64,
    /// Summed pinball.
    pub pinball: [f64; 3],
    /// Summed absolute error of the median.
    pub absolute: [f64; 3],
    /// Outcomes within the 5 % and 95 % quantiles.
    pub inside: [u64; 3],
}

/// A ratio of losses with its bootstrap interval over the VMs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Sum of the losses of a side over those of the metrics alone.
    pub ratio: f64,
    /// 2.5 % and 97.5 %.
    pub interval: [f64; 2],
}

type Open = VecDeque<[Say; 3]>;

/// Runs all sides over all ticks; `[vm][horizon]`.
///
/// # Errors
/// Horizons that a fleet cannot serve, a tick with an infinity.
///
/// # Panics
/// If the VMs differ in length or there is not one unit for each.
pub fn study(s: &Study<'_>, engine: Engine) -> Result<Vec<Vec<Loss>>, ForecastError> {
    let n = s.ticks.len();
    let transform = if s.resource == Resource::Cpu { Transform::Points } else { s.resource.transform() };
    let config = FleetConfig {
        series: vec![SeriesProfile { resource: Some(s.resource), transform, key: 0 }; n],
        horizons: s.horizons.to_vec(),
        cadence_s: s.cadence_s,
        threads: 1,
    };
    let mut fleet = Fleet::new(config, s.model.clone(), engine)?;
    let replay = ReplayConfig::new(s.cadence_s, s.horizons);
    let mut vms: Vec<(Replay, Blend)> =
        (0..n).map(|_| (Replay::new(&replay, None), Blend::new(s.horizons))).collect();
    let mut open = vec![vec![Open::new(); s.horizons.len()]; n];
    let mut recent = vec![VecDeque::<f32>::new(); n];
    let mut losses = vec![vec![Loss::default(); s.horizons.len()]; n];
    let mut points = vec![f32::NAN; n];
    for t in 0..s.ticks.first().map_or(0, Vec::len) {
        for (i, p) in points.iter_mut().enumerate() {
            *p = to_points(transform, s.unit[i], s.ticks[i][t].usage.of(s.resource));
        }
        let forecasts = fleet.step(&points)?;
        for (i, metrics) in forecasts.iter().enumerate() {
            let tick = &s.ticks[i][t];
            let (replay, blend) = &mut vms[i];
            // The ticks of a study are in order.
            let _ = replay.observe(tick.trace.end_ms, &tick.trace, &tick.usage);
            remember(&mut recent[i], points[i]);
            settle(s.horizons, &mut open[i], &recent[i], &mut losses[i]);
            let say = |h: usize| replay.lead(s.resource, h).map(|e| said(&e, transform, s.unit[i]));
            let sides = sides(s.horizons, metrics, say, blend, points[i]);
            for (open, side) in open[i].iter_mut().zip(sides) {
                open.push_back(side);
                if t < s.from {
                    // Kept for its place in the queue, not scored.
                    open.iter_mut().for_each(|o| o[0].mean = f32::NAN);
                }
            }
        }
    }
    Ok(losses)
}

fn to_points(transform: Transform, unit: f64, value: f64) -> f32 {
    transform.to_points((value / unit) as f32)
}

fn said(e: &Estimate, transform: Transform, unit: f64) -> Say {
    Say {
        mean: to_points(transform, unit, e.mean),
        q: std::array::from_fn(|i| to_points(transform, unit, e.quantiles[i])),
    }
}

fn remember(recent: &mut VecDeque<f32>, y: f32) {
    recent.push_back(y);
    if recent.len() > crate::STEPS_MAX as usize {
        recent.pop_front();
    }
}

/// What each side says at each horizon; a silent replay says what the metrics say.
fn sides(
    horizons: &[Horizon],
    metrics: &SeriesForecast,
    say: impl Fn(usize) -> Option<Say>,
    blend: &mut Blend,
    y: f32,
) -> Vec<[Say; 3]> {
    let replay: Vec<Option<Say>> = (0..horizons.len()).map(say).collect();
    let mut both = metrics.clone();
    blend.step(y, &replay, &mut both);
    let of = |f: &SeriesForecast, h: usize| Say { mean: f.mean[h], q: f.quantiles[h].0 };
    (0..horizons.len())
        .map(|h| {
            let alone = of(metrics, h);
            [alone, replay[h].unwrap_or(alone), of(&both, h)]
        })
        .collect()
}

/// Scores the forecasts that fall due.
fn settle(horizons: &[Horizon], open: &mut [Open], recent: &VecDeque<f32>, losses: &mut [Loss]) {
    for ((horizon, open), loss) in horizons.iter().zip(open).zip(losses) {
        let delay = horizon.delay_steps() as usize;
        if open.len() < delay {
            continue;
        }
        let Some(sides) = open.pop_front() else { continue };
        let due: Vec<f32> = recent.iter().skip(recent.len() - delay).copied().collect();
        let y = match horizon {
            Horizon::Step(_) => due.last().copied().filter(|y| !y.is_nan()),
            Horizon::Peak(_) => crate::quantile::peak(&due),
        };
        let (Some(y), false) = (y, sides[0].mean.is_nan()) else { continue };
        loss.n += 1;
        for (i, say) in sides.iter().enumerate() {
            loss.pinball[i] += f64::from(pinball(&say.q, y));
            loss.absolute[i] += f64::from((y - say.q[1]).abs());
            loss.inside[i] += u64::from(say.q[0] <= y && y <= say.q[LEVELS.len() - 2]);
        }
    }
}

/// Loss of a side against the metrics alone at one horizon, over all VMs; `pick` takes the loss wanted. The interval is
/// the percentile bootstrap over VMs (Efron, "Bootstrap methods", 1979), 2,000 draws, seeded.
pub fn ratio(losses: &[Vec<Loss>], horizon: usize, side: usize, pick: fn(&Loss) -> [f64; 3]) -> Ratio {
    let each: Vec<[f64; 3]> = losses.iter().map(|vm| pick(&vm[horizon])).collect();
    let of = |chosen: &mut dyn Iterator<Item = usize>| {
        let (mut top, mut bottom) = (0.0, 0.0);
        for i in chosen {
            top += each[i][side];
            bottom += each[i][0];
        }
        if bottom > 0.0 { top / bottom } else { 1.0 }
    };
    let mut dice = Dice(7);
    let mut draws: Vec<f64> = (0..2000)
        .map(|_| of(&mut (0..each.len()).map(|_| (dice.unit() * each.len() as f64) as usize)))
        .collect();
    draws.sort_unstable_by(f64::total_cmp);
    Ratio { ratio: of(&mut (0..each.len())), interval: [draws[49], draws[1949]] }
}
