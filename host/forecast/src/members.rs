//! The members that speak from a series' own window, without a model: last value and rise, and recent values.
//!
//! While the window has no gap both are read off its orders; with one, the outcomes that are known are sorted.

use fearless_simd::{Simd, SimdMask, mask32x16};
use foreshade_types::Horizon;

use crate::SAMPLES_MIN;
use crate::ensemble::Voices;
use crate::history::{History, Place};
use crate::lanes::{LANES, ZERO, all, put};
use crate::order::Level;
use crate::quantile::{at_levels, peak};

/// Members of the ensemble.
pub(crate) const COUNT: usize = 5;
/// The last value plus what the outcome was above it before.
pub(crate) const LAST: usize = 0;
/// What the outcome was before.
pub(crate) const RECENT: usize = 1;
/// The closed-form ARIMA.
pub(crate) const ARIMA: usize = 2;
/// The LSTM.
pub(crate) const LSTM: usize = 3;
/// The feed-forward network of its behaviour.
pub(crate) const MLP: usize = 4;

/// Outcomes a member must have seen in the window before it speaks.
pub(crate) const OUTCOMES_MIN: usize = 6;

/// Both say what they have to say of a horizon.
#[inline(always)]
pub(crate) fn speak<S: Simd>(
    simd: S,
    history: &History,
    horizon: Horizon,
    place: Place,
    voices: &mut Voices,
) {
    let [told, enough] = history.told(simd, SAMPLES_MIN);
    [LAST, RECENT].into_iter().for_each(|m| voices.speaks[m] = ZERO);
    let last = history.filled(simd, 0);
    for (n, lanes) in history.lengths() {
        let lanes = told & mask32x16::from_bitmask(simd, lanes);
        let (rises, mut rise) = history.rises(simd, n, horizon, place, Level::FORECAST);
        rise.iter_mut().for_each(|r| *r += last);
        let (outcomes, recent) = history.outcomes(simd, n, horizon, place, Level::FORECAST);
        for (member, n, q) in [(LAST, rises, rise), (RECENT, outcomes, recent)] {
            if n >= OUTCOMES_MIN {
                put(lanes, all(simd, 1.0), &mut voices.speaks[member]);
                voices.q[member].iter_mut().zip(q).for_each(|(row, q)| put(lanes, q, row));
            }
        }
    }
    let gaps = (enough & !told).to_bitmask();
    for lane in (0..LANES).filter(|l| gaps >> l & 1 == 1) {
        let [last, recent] = with_gaps(history, lane, horizon);
        voices.say(LAST, lane, last);
        voices.say(RECENT, lane, recent);
    }
}

/// The same of a lane from the outcomes that are known; `None` = too few.
#[cold]
fn with_gaps(history: &History, lane: usize, horizon: Horizon) -> [Option<[f32; 5]>; 2] {
    let n = history.len(lane);
    let filled = history.window(lane);
    let raw: Vec<f32> = (0..n).rev().map(|back| history.raw(lane, back)).collect();
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
    let last = history.last()[lane];
    [quantiles(&mut rises).map(|q| q.map(|r| last + r)), quantiles(&mut recent)]
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;
    use crate::history::places;
    use crate::lanes::each;

    const HORIZONS: [Horizon; 4] = [Horizon::Peak(6), Horizon::Step(1), Horizon::Step(6), Horizon::Step(12)];

    /// The lane looked at.
    const LANE: usize = 11;

    fn push(history: &mut History, x: f32) {
        let points = each(|l| if l == LANE { x } else { f32::NAN });
        dispatch!(fearless_simd::Level::new(), simd => history.push(simd, &points));
    }

    /// What both say after the last sample; not even a silent member's numbers may be anything but finite.
    fn said(history: &History, horizon: Horizon, place: Place) -> [Option<[f32; 5]>; 2] {
        let mut voices = Voices::SILENT;
        dispatch!(fearless_simd::Level::new(), simd => speak(simd, history, horizon, place, &mut voices));
        assert!(voices.q.as_flattened().as_flattened().iter().all(|q| q.is_finite()));
        [LAST, RECENT].map(|m| (voices.speaks[m][LANE] > 0.0).then(|| voices.q[m].map(|row| row[LANE])))
    }

    fn speak_of(x: &[f32], horizons: &[Horizon]) -> Vec<[Option<[f32; 5]>; 2]> {
        let mut history = History::new(horizons);
        x.iter().for_each(|&v| push(&mut history, v));
        horizons.iter().zip(places(horizons)).map(|(h, p)| said(&history, *h, p)).collect()
    }

    #[test]
    fn a_constant_series_is_forecast_exactly_by_all() {
        for voices in speak_of(&[7.0; 144], &HORIZONS) {
            assert_eq!(voices, [Some([7.0; 5]); 2]);
        }
    }

    #[test]
    fn last_value_adds_the_rise_that_was() {
        // A ramp of 0.5 a sample rises by 3 over 6 samples, always; its largest value of the next 6 is the last of them.
        let ramp: Vec<f32> = (0..100).map(|i| 0.5 * i as f32).collect();
        let v = speak_of(&ramp, &HORIZONS);
        assert_eq!(v[0][LAST], Some([52.5; 5]));
        assert_eq!(v[2][LAST], Some([52.5; 5]));
        assert_eq!(v[1][LAST], Some([50.0; 5]));
    }

    #[test]
    fn recent_peak_is_the_quantile_of_rolling_maxima() {
        // One sample in 12 is 10: of the maxima over 6 samples half are 10, of the samples one in 12.
        let x: Vec<f32> = (0..144).map(|i| if i % 12 == 11 { 10.0 } else { 0.0 }).collect();
        let v = speak_of(&x, &HORIZONS);
        assert_eq!(v[0][RECENT].unwrap()[2], 10.0);
        assert_eq!(v[1][RECENT].unwrap()[2], 0.0);
        assert_eq!(v[1][RECENT].unwrap()[3], 10.0);
    }

    #[test]
    fn members_wait_for_outcomes() {
        let v = speak_of(&[1.0; 12], &HORIZONS);
        assert_eq!(v[3][LAST], None);
        assert!(v[3][RECENT].is_some());
        assert!(v[1][LAST].is_some());
    }

    #[test]
    fn gaps_are_no_outcomes() {
        // 100 stands before each gap: were the gap filled and counted, the one-step difference would show a 0 there.
        let mut x: Vec<f32> = (0..144).map(|i| if i % 3 == 0 { 100.0 } else { 0.0 }).collect();
        (0..144).filter(|i| i % 3 == 1).for_each(|i| x[i] = f32::NAN);
        let v = speak_of(&x, &[Horizon::Step(1)]);
        let q = v[0][LAST].unwrap();
        // Known one-step differences: 100 -> (gap) -> 0 counts as -100, 0 -> 100 as +100; none is 0.
        assert!(q.iter().all(|d| d.abs() >= 99.0 || (-1.0..1.0).contains(d)), "{q:?}");
        assert_eq!(v[0][RECENT].unwrap()[0], 0.0);
    }

    #[test]
    fn the_orders_say_what_sorting_says() {
        // Every horizon, also those that the features do not know, while the window fills and after it is full.
        let horizons = [&HORIZONS[..], &[Horizon::Peak(30), Horizon::Step(72), Horizon::Peak(1)]].concat();
        let places = places(&horizons);
        let mut history = History::new(&horizons);
        let mut state = 7u32;
        for t in 0..500 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Whole numbers: many are equal.
            push(&mut history, (state >> 28) as f32 + if t % 50 < 5 { 40.0 } else { 0.0 });
            for (h, place) in horizons.iter().zip(&places) {
                let slow = match history.observed(LANE) >= SAMPLES_MIN {
                    true => with_gaps(&history, LANE, *h),
                    false => [None, None],
                };
                let quick = said(&history, *h, *place);
                for (a, b) in quick.iter().zip(slow) {
                    assert_eq!(a.is_some(), b.is_some(), "{h:?} after {t}");
                    let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
                    assert!(
                        a.iter().flatten().zip(b.iter().flatten()).all(close),
                        "{h:?} after {t}: {a:?} {b:?}"
                    );
                }
            }
        }
    }
}
