//! Members on cases that can be worked out by hand.

use super::*;

fn window(x: &[f32]) -> Window {
    let mut w = Window::new();
    x.iter().for_each(|&v| w.push(v));
    w
}

fn speak_of(x: &[f32], horizons: &[Horizon]) -> Vec<[Option<Voice>; COUNT]> {
    let mut voices = vec![[None; COUNT]; horizons.len()];
    speak(&window(x), horizons, &mut Scratch::default(), &mut voices);
    voices
}

#[test]
fn a_constant_series_is_forecast_exactly_by_all() {
    for voices in speak_of(&[7.0; 144], &[Horizon::Peak(6), Horizon::Step(1), Horizon::Step(12)]) {
        for voice in &voices[..LSTM] {
            assert_eq!(*voice, Some(Voice { mean: 7.0, q: [7.0; 5] }));
        }
    }
}

#[test]
fn last_value_adds_the_rise_that_was() {
    // A ramp of 0.5 a sample rises by 3 over 6 samples, always; its largest value of the next 6 is the last of them.
    let ramp: Vec<f32> = (0..100).map(|i| 0.5 * i as f32).collect();
    let v = speak_of(&ramp, &[Horizon::Peak(6), Horizon::Step(6), Horizon::Step(1)]);
    assert_eq!(v[0][0].unwrap().q, [52.5; 5]);
    assert_eq!(v[1][0].unwrap().q, [52.5; 5]);
    assert_eq!(v[2][0].unwrap().q, [50.0; 5]);
}

#[test]
fn recent_peak_is_the_quantile_of_rolling_maxima() {
    // One sample in 12 is 10: of the maxima over 6 samples half are 10, of the samples one in 12.
    let x: Vec<f32> = (0..144).map(|i| if i % 12 == 11 { 10.0 } else { 0.0 }).collect();
    let v = speak_of(&x, &[Horizon::Peak(6), Horizon::Step(1)]);
    assert_eq!(v[0][1].unwrap().q90(), 10.0);
    assert_eq!(v[1][1].unwrap().q90(), 0.0);
    assert_eq!(v[1][1].unwrap().q95(), 10.0);
}

#[test]
fn autoregression_forecasts_a_damped_wave() {
    // Noise-free AR(2) driven by rare shocks: the fitted one-step error is small against the series.
    let mut x = vec![0f32; 144];
    for i in 2..144 {
        let shock = if i % 24 == 2 { 5.0 } else { 0.0 };
        x[i] = 1.5 * x[i - 1] - 0.8 * x[i - 2] + shock;
    }
    let lifted: Vec<f32> = x.iter().map(|v| v + 50.0).collect();
    let v = speak_of(&lifted, &[Horizon::Step(1)]);
    let next = 50.0 + 1.5 * x[143] - 0.8 * x[142];
    let got = v[0][2].unwrap().q[1];
    assert!((got - next).abs() < 0.5, "{got} {next}");
}

#[test]
fn members_wait_for_outcomes() {
    let v = speak_of(&[1.0; 12], &[Horizon::Step(12), Horizon::Step(1)]);
    assert_eq!(v[0][0], None);
    assert!(v[0][1].is_some());
    assert!(v[1][0].is_some());
    assert_eq!(v[1][2], None);
}

#[test]
fn gaps_are_no_outcomes() {
    // 100 stands before each gap: were the gap filled and counted, the one-step difference would show a 0 there.
    let mut x: Vec<f32> = (0..144).map(|i| if i % 3 == 0 { 100.0 } else { 0.0 }).collect();
    (0..144).filter(|i| i % 3 == 1).for_each(|i| x[i] = f32::NAN);
    let v = speak_of(&x, &[Horizon::Step(1)]);
    let q = v[0][0].unwrap().q;
    // Known one-step differences: 100 -> (gap) -> 0 counts as -100, 0 -> 100 as +100; none is 0.
    assert!(q.iter().all(|d| d.abs() >= 99.0 || (-1.0..1.0).contains(d)), "{q:?}");
    assert_eq!(v[0][1].unwrap().q[0], 0.0);
}

impl Voice {
    fn q90(&self) -> f32 {
        self.q[2]
    }
    fn q95(&self) -> f32 {
        self.q[3]
    }
}
