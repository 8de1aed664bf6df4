//! What an f32 device may answer. README.md derives it.

use super::reference::{self, Inputs, Lane, MEDIAN};
use super::{LEVELS, SPEC};

/// Half a unit in the last place of 1 in f32.
const U: f64 = 1.0 / (1u64 << 24) as f64;

/// Smallest normal f32: a device may put 0 for anything below.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// Is this an answer that an f32 device may give? `shift` [lanes/64][5][64], `out` [lanes/64][2][5][64].
///
/// Each stage is compared with the reference of the device's own stage before, so that a bound within rounding of the
/// outcome (held by one device, missed by another) is accepted either way and the rest is still checked.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(inputs: &Inputs, shift: &[f32], out: &[f32]) -> Result<(), String> {
    let words = (SPEC.extent)(&inputs.ints).map_err(|e| e.to_string())?.words;
    if [shift.len(), out.len()] != words[5..7] {
        return Err(format!("{} shifts and {} quantiles", shift.len(), out.len()));
    }
    for id in 0..inputs.lanes() {
        let lane = inputs.lane(id);
        let shifts = reference::five(shift, id);
        let [raw, ordered] = reference::outputs(out, id);
        check_shifts(&lane, inputs.tuning(), &shifts)
            .and_then(|()| check_raw(&lane, &shifts, &raw))
            .map_err(|e| format!("lane {id}: {e}"))?;
        // Choosing among values rounds nothing.
        let want = reference::in_order(&raw, inputs.tuning()[3]);
        if ordered != want {
            return Err(format!("lane {id}: {raw:?} in order is {want:?}, not {ordered:?}"));
        }
    }
    Ok(())
}

fn check_shifts(lane: &Lane, tuning: [f64; 4], got: &[f64; LEVELS.len()]) -> Result<(), String> {
    let [gamma, tie, reach, _] = tuning;
    let sure = reference::learn(lane, tuning);
    for k in 0..LEVELS.len() {
        let slack = U * (4.0 * gamma + lane.shift[k].abs()) + TINY;
        let mut accepted = vec![sure[k]];
        if let Some(y) = lane.y.filter(|_| k != MEDIAN) {
            let (above, edge) = (y - lane.issued[k], tie * lane.scale);
            if (above.abs() - edge).abs() <= 2.0 * U * (above.abs() + edge) + TINY && above != 0.0 {
                let moved = reference::learned(lane.shift[k], LEVELS[k], above > 0.0, gamma, reach);
                accepted.extend([lane.shift[k], moved]);
            }
        }
        if !accepted.iter().any(|want| (got[k] - want).abs() <= slack) {
            return Err(format!("shift {k}: {} is not within {slack:e} of {accepted:?}", got[k]));
        }
    }
    Ok(())
}

fn check_raw(lane: &Lane, shift: &[f64; LEVELS.len()], got: &[f64; LEVELS.len()]) -> Result<(), String> {
    let want = reference::raw(lane, shift);
    for k in 0..LEVELS.len() {
        let slack = U * ((shift[k] * lane.scale).abs() + want[k].abs()) * (1.0 + 2.0 * U) + TINY;
        if got[k].is_nan() || (got[k] - want[k]).abs() > slack {
            return Err(format!("quantile {k}: {} is not within {slack:e} of {}", got[k], want[k]));
        }
    }
    Ok(())
}
