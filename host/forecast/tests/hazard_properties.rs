//! Whatever is reported of hosts and drives, in whatever order: an answer in (0, 1), or none, never a panic.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_forecast::hazard::{
    DAY_S, DriveWatch, Event, HOUR_S, Hazard, HazardError, Head, Layout, Place, WEEK_S, Watch,
};
use foreshade_types::Readiness;
use proptest::prelude::*;

/// A model with weights of both signs; what they are does not matter here.
fn any_model(layout: Layout) -> Hazard {
    let n = layout.inputs().len();
    let head = |i: usize| Head {
        horizon_s: [HOUR_S, DAY_S, WEEK_S][i],
        base_rate: [0.001, 0.01, 0.05][i],
        bias: -4.0 + i as f64,
        weights: (0..n).map(|j| ((j * 7 + i) % 5) as f64 * 0.3 - 0.5).collect(),
        mean: vec![0.1; n],
        slope: 0.9,
        offset: -0.1,
    };
    Hazard::new(layout, (0..3).map(head).collect()).unwrap()
}

fn hosts() -> Watch {
    Watch::new((0..4).map(|i| Place { rack: i / 2, site: 0 }).collect())
}

fn when() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0i64..400 * DAY_S,
        2 => (0i64..50).prop_map(|h| 100 * DAY_S + h * HOUR_S),
        1 => any::<i64>(),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)],
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![Just(Event::Up), Just(Event::Down)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_events_give_a_probability_that_does_not_fall_with_the_horizon(
        events in prop::collection::vec((0usize..6, event(), when()), 0..60),
        now in when(),
    ) {
        let model = any_model(Layout::Recurrence);
        let mut watch = hosts();
        for (host, event, at) in events {
            prop_assert_eq!(watch.observe(host, event, at).is_ok(), host < 4);
        }
        for host in 0..4 {
            let mut last = 0.0;
            for horizon_s in [1, HOUR_S / 2, HOUR_S, 5 * HOUR_S, DAY_S, 3 * DAY_S, WEEK_S] {
                let Some(o) = watch.outlook(&model, host, horizon_s, now).unwrap() else {
                    prop_assert!(watch.host(host).unwrap().is_down());
                    continue;
                };
                prop_assert!(o.probability > 0.0 && o.probability < 1.0 && o.probability >= last, "{:?}", o);
                last = o.probability;
                let texts: Vec<String> = o.because.iter().flatten().map(ToString::to_string).collect();
                prop_assert!(texts.iter().all(|t| t.contains("odds x") && !t.contains("NaN")), "{:?}", texts);
            }
        }
    }

    #[test]
    fn repeated_reports_change_nothing(
        events in prop::collection::vec((0usize..4, event(), 0i64..300 * DAY_S), 1..40),
    ) {
        let mut events = events;
        events.sort_by_key(|e| e.2);
        let (mut once, mut twice) = (hosts(), hosts());
        for (host, event, at) in &events {
            once.observe(*host, *event, *at).unwrap();
            twice.observe(*host, *event, *at).unwrap();
            twice.observe(*host, *event, *at).unwrap();
        }
        let now = 301 * DAY_S;
        for host in 0..4 {
            prop_assert_eq!(once.features(host, now), twice.features(host, now));
        }
    }

    #[test]
    fn any_smart_values_give_a_probability(
        samples in prop::collection::vec((prop::array::uniform8(any::<f64>()), when()), 0..20),
    ) {
        let model = any_model(Layout::Drive);
        let mut watch = DriveWatch::new(1);
        for (sample, at) in &samples {
            watch.observe(0, sample, *at).unwrap();
            prop_assert!(watch.features(0).unwrap().iter().all(|v| v.is_finite()));
        }
        let o = watch.outlook(&model, 0, DAY_S).unwrap();
        prop_assert!(o.probability > 0.0 && o.probability < 1.0);
        prop_assert_eq!(o.readiness == Readiness::Cold, samples.is_empty());
    }

    #[test]
    fn any_bytes_are_a_sound_model_or_an_error(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = any_model(Layout::Recurrence).to_json().unwrap().into_bytes();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(model) = Hazard::from_json(&bytes) {
            let p = model.probability(&[1.0; 45], model.heads()[0].horizon_s).unwrap();
            prop_assert!(p > 0.0 && p < 1.0);
        }
    }
}

#[test]
fn a_clock_that_was_wrong_once_does_not_stop_the_decay() {
    let mut watch = hosts();
    watch.observe(0, Event::Up, 0).unwrap();
    watch.observe(0, Event::Down, 10 * DAY_S).unwrap();
    watch.observe(0, Event::Up, 10 * DAY_S + 600).unwrap();
    // A report from the far future, then the right time again.
    watch.observe(0, Event::Up, 9_000 * DAY_S).unwrap();
    watch.observe(0, Event::Up, 11 * DAY_S).unwrap();
    let own_count_1d = |day: i64| watch.features(0, day * DAY_S).unwrap()[3];
    assert!(own_count_1d(12) > own_count_1d(14), "counts no longer decay");
    assert!(watch.host(0).unwrap().age_s(12 * DAY_S) < 10_000 * DAY_S);
}

#[test]
fn a_value_that_was_not_reported_is_no_zero() {
    let mut watch = DriveWatch::new(1);
    let at = |name: &str| Layout::Drive.inputs().iter().position(|(n, _)| *n == name).unwrap();
    let mut sample = [0.0; 8];
    watch.observe(0, &sample, 0).unwrap();
    assert_eq!(watch.features(0).unwrap()[at("smart_197_missing")], 0.0);
    // Reported again after a gap: no growth over it, for nobody knows when it came.
    for (day, pending) in [(1, f64::NAN), (2, 40.0), (3, 47.0)] {
        sample[3] = pending;
        watch.observe(0, &sample, day * DAY_S).unwrap();
        let x = watch.features(0).unwrap();
        assert_eq!(x[at("smart_197_missing")], f64::from(u8::from(pending.is_nan())), "day {day}");
        let growth = if day == 3 { 7.0f64.ln_1p() } else { 0.0 };
        assert!((x[at("smart_197_growth")] - growth).abs() < 1e-12, "day {day}");
    }
}

#[test]
fn what_is_not_known_is_an_error_in_one_line() {
    let (model, drives) = (any_model(Layout::Recurrence), any_model(Layout::Drive));
    let mut watch = hosts();
    let error = |e: HazardError| e.to_string();
    assert_eq!(
        error(watch.observe(4, Event::Up, 0).unwrap_err()),
        "host 4 is not one of the 4 known; add it first"
    );
    assert_eq!(
        error(watch.outlook(&model, 0, 8 * DAY_S, 0).unwrap_err()),
        "horizon of 691200 s is not between 1 s and 604800 s; ask for a shorter one, or fit a longer one"
    );
    assert!(error(watch.outlook(&drives, 0, DAY_S, 0).unwrap_err()).contains("it is of drive/1"));
    assert!(Hazard::from_json(b"{}").is_err() && Hazard::from_json(&vec![b' '; 2 << 20]).is_err());
    let mut heads = model.heads().to_vec();
    heads[1].weights[2] = f64::NAN;
    assert!(error(Hazard::new(Layout::Recurrence, heads).unwrap_err()).contains("horizon 86400 s: NaN"));
}

#[test]
fn answers_say_why_and_whether_they_may_be_used() {
    let model = Hazard::new(
        Layout::Recurrence,
        vec![Head {
            horizon_s: DAY_S,
            base_rate: 0.01,
            bias: -4.6,
            weights: (0..45).map(|i| if i == 4 { 1.0 } else { 0.0 }).collect(),
            mean: vec![0.0; 45],
            slope: 1.0,
            offset: 0.0,
        }],
    )
    .unwrap();
    let mut watch = hosts();
    for host in 0..4 {
        watch.observe(host, Event::Up, 0).unwrap();
    }
    let at = |watch: &Watch, host, s| watch.outlook(&model, host, DAY_S, s).unwrap();
    let cold = at(&watch, 0, HOUR_S).unwrap();
    assert!((cold.probability - 0.01).abs() < 1e-12 && cold.readiness == Readiness::Cold, "{cold:?}");
    assert_eq!(at(&watch, 0, 2 * DAY_S).unwrap().readiness, Readiness::Fallback);
    for day in 40..43 {
        watch.observe(1, Event::Down, day * DAY_S).unwrap();
        assert_eq!(at(&watch, 1, day * DAY_S), None, "it is down");
        watch.observe(1, Event::Up, day * DAY_S + 60).unwrap();
    }
    let quiet = at(&watch, 0, 43 * DAY_S).unwrap();
    let failing = at(&watch, 1, 43 * DAY_S).unwrap();
    assert!(failing.probability > 10.0 * quiet.probability);
    // Three failures seen at the site: too few.
    assert_eq!(failing.readiness, Readiness::Fallback);
    let text = failing.because[0].unwrap().to_string();
    assert!(text.starts_with("3 failures of this host in the last 7 days: odds x"), "{text}");
    for day in 44..52 {
        watch.observe(2, Event::Down, day * DAY_S).unwrap();
        watch.observe(2, Event::Up, day * DAY_S + 60).unwrap();
    }
    assert_eq!(at(&watch, 1, 53 * DAY_S).unwrap().readiness, Readiness::Ready);
}
