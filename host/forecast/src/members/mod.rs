//! The always-on members: each turns a window into quantiles per horizon.
//!
//! All of them take their spread from what would have happened inside the window: the forecast they would have made at
//! each past sample against what came, per horizon. A peak is compared with peaks, never with a step.

mod ar;
mod level;

use foreshade_types::Horizon;

use crate::quantile::at_levels;
use crate::window::{Window, peak};

/// Members, the LSTM included.
pub(crate) const COUNT: usize = 5;

/// Index of the LSTM, whose rows the fleet fills in.
pub(crate) const LSTM: usize = 4;

/// Outcomes a member must have seen in the window before it speaks.
const OUTCOMES_MIN: usize = 6;

/// What a member says of one horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Voice {
    pub(crate) mean: f32,
    pub(crate) q: [f32; 5],
}

/// Room for one series' forecasts; reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Outcome for origin k of the window, NaN = unknown.
    target: Vec<f32>,
    /// Errors to be sorted.
    errors: Vec<f32>,
    ar: ar::Scratch,
    level: Vec<f32>,
}

/// Fills `voices[horizon][member]` from the window, LSTM excepted.
pub(crate) fn speak(
    window: &Window,
    horizons: &[Horizon],
    scratch: &mut Scratch,
    voices: &mut [[Option<Voice>; COUNT]],
) {
    let (raw, filled) = (window.raw(), window.filled());
    let steps = horizons.iter().map(|h| h.delay_steps()).max().unwrap_or(1) as usize;
    let fits = ar::fit(filled, steps, &mut scratch.ar);
    level::track(filled, &mut scratch.level);
    let mut all_steps = None;
    for (horizon, voice) in horizons.iter().zip(voices) {
        *voice = [None; COUNT];
        let delay = horizon.delay_steps() as usize;
        if raw.len() <= delay {
            if let Horizon::Step(_) = horizon {
                voice[1] = *all_steps.get_or_insert_with(|| recent(raw, &mut scratch.errors));
            }
            continue;
        }
        targets(raw, *horizon, &mut scratch.target);
        let target = &scratch.target;
        let errors = &mut scratch.errors;
        voice[0] = spread(target, filled, window.last(), errors);
        voice[1] = match horizon {
            Horizon::Peak(_) => recent(target, errors),
            Horizon::Step(_) => *all_steps.get_or_insert_with(|| recent(raw, errors)),
        };
        voice[2] = fits.then(|| ar::voice(&mut scratch.ar, *horizon, target, errors)).flatten();
        voice[3] = spread(target, &scratch.level, scratch.level[scratch.level.len() - 1], errors);
    }
}

/// `out[k]` = what a forecast at sample k of the window had to meet, for every k whose outcome is over.
fn targets(raw: &[f32], horizon: Horizon, out: &mut Vec<f32>) {
    let n = horizon.delay_steps() as usize;
    out.clear();
    match horizon {
        Horizon::Step(_) => out.extend_from_slice(&raw[n..]),
        Horizon::Peak(_) => out.extend(raw[1..].windows(n).map(|w| peak(w).unwrap_or(f32::NAN))),
    }
}

/// Forecast `now` plus the quantiles of `target - base`.
fn spread(target: &[f32], base: &[f32], now: f32, errors: &mut Vec<f32>) -> Option<Voice> {
    errors.clear();
    errors.extend(target.iter().zip(base).map(|(t, b)| t - b).filter(|e| !e.is_nan()));
    voice_of(now, errors)
}

/// The quantiles of the known values themselves.
fn recent(values: &[f32], errors: &mut Vec<f32>) -> Option<Voice> {
    errors.clear();
    errors.extend(values.iter().filter(|v| !v.is_nan()));
    voice_of(0.0, errors)
}

fn voice_of(now: f32, errors: &mut [f32]) -> Option<Voice> {
    if errors.len() < OUTCOMES_MIN {
        return None;
    }
    let mean = now + errors.iter().sum::<f32>() / errors.len() as f32;
    Some(Voice { mean, q: at_levels(errors).map(|e| now + e) })
}

#[cfg(test)]
mod tests;
