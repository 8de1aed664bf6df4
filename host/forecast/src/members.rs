//! The members that speak from a series' own window, without a model: last value and rise, and recent values.
//!
//! While the window has no gap both are read off its orders; with one, the outcomes that are known are sorted.

use foreshade_types::Horizon;

use crate::WINDOW;
use crate::history::{History, Place};
use crate::order::Level;
use crate::quantile::{at_levels, peak};

/// Members of the ensemble.
pub(crate) const COUNT: usize = 4;
/// The last value plus what the outcome was above it before.
pub(crate) const LAST: usize = 0;
/// What the outcome was before.
pub(crate) const RECENT: usize = 1;
/// The closed-form ARIMA.
pub(crate) const ARIMA: usize = 2;
/// The LSTM.
pub(crate) const LSTM: usize = 3;

/// Outcomes a member must have seen in the window before it speaks.
pub(crate) const OUTCOMES_MIN: usize = 6;

/// What both say of a horizon; `None` = too few outcomes.
#[inline(always)]
pub(crate) fn speak(history: &History, horizon: Horizon, place: Place) -> [Option<[f32; 5]>; 2] {
    if !history.whole() {
        return with_gaps(history, horizon);
    }
    let last = history.last();
    let said = |(n, q): (usize, [f32; 5])| (n >= OUTCOMES_MIN).then_some(q);
    let mut rise = history.rises(horizon, place, Level::FORECAST);
    rise.1.iter_mut().for_each(|r| *r += last);
    [said(rise), said(history.outcomes(horizon, place, Level::FORECAST))]
}

/// The same from the outcomes that are known.
#[cold]
fn with_gaps(history: &History, horizon: Horizon) -> [Option<[f32; 5]>; 2] {
    let n = history.len();
    let mut window = [0.0; WINDOW];
    let filled = history.copy_to(&mut window);
    let raw: Vec<f32> = (0..n).rev().map(|back| history.raw(back)).collect();
    let delay = horizon.delay_steps() as usize;
    let of = |w: &[f32]| peak(w).unwrap_or(f32::NAN);
    // What a forecast at each sample had to meet, while its outcome is over.
    let outcomes: Vec<f32> = match horizon {
        Horizon::Step(_) => raw.iter().skip(delay).copied().collect(),
        Horizon::Peak(_) => raw.get(1..).unwrap_or_default().windows(delay).map(of).collect(),
    };
    let quantiles = |values: &mut Vec<f32>| (values.len() >= OUTCOMES_MIN).then(|| at_levels(values));
    let known = |v: &f32| !v.is_nan();
    let mut rises: Vec<f32> =
        outcomes.iter().zip(filled).map(|(y, x)| y - x).filter(|r| !r.is_nan()).collect();
    let mut recent: Vec<f32> = match horizon {
        Horizon::Step(_) => raw.iter().copied().filter(known).collect(),
        Horizon::Peak(_) => raw.windows(delay).map(of).filter(known).collect(),
    };
    [quantiles(&mut rises).map(|q| q.map(|r| history.last() + r)), quantiles(&mut recent)]
}
