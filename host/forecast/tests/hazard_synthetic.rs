//! Hosts whose hazard is known: does the model find it, and nothing where there is nothing?
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_forecast::hazard::fit::{Candidate, head};
use foreshade_forecast::hazard::replay::{Meta, Part, Record, Rows, Thin, TimeSplit, rows};
use foreshade_forecast::hazard::score::{Score, score};
use foreshade_forecast::hazard::study::judged;
use foreshade_forecast::hazard::{DAY_S, HOUR_S, Hazard, HazardError, Layout, Place};

mod common;
use common::Lcg;

const HOSTS: usize = 160;
const RACK_HOSTS: usize = 16;
const DAYS: usize = 240;

/// Hour by hour: a host that is up fails with p = 1 - exp(-rate), where the rate is that of a Weibull renewal process
/// (shape 0.7, by the hours since its last failure, times what its hardware is worth) plus what each failure of the last
/// hours in its rack adds (Hawkes, half-life 6 h). It is up again in the next hour. So p is exactly the probability of
/// a failure within the hour.
fn fleet(seed: u64) -> (Vec<Record>, Vec<Vec<f64>>) {
    let mut g = Lcg(seed);
    let mut unit = move || f64::from(g.unit());
    let worth: Vec<f64> = (0..HOSTS).map(|_| (1.2 * (unit() + unit() + unit() - 1.5)).exp()).collect();
    let mut since = vec![200.0f64; HOSTS];
    let mut excited = [0.0f64; HOSTS / RACK_HOSTS];
    let mut truth = vec![Vec::new(); HOSTS];
    let mut outages = vec![Vec::new(); HOSTS];
    for hour in 0..DAYS * 24 {
        let mut failed = [0.0; HOSTS / RACK_HOSTS];
        for host in 0..HOSTS {
            let renewal = 0.0022 * worth[host] * (since[host] / 50.0).powf(-0.3);
            let p = 1.0 - (-(renewal + 0.004 * excited[host / RACK_HOSTS])).exp();
            truth[host].push(p);
            since[host] += 1.0;
            if unit() < p {
                let start_s = hour as i64 * HOUR_S + 60;
                outages[host].push((start_s, start_s + 600));
                failed[host / RACK_HOSTS] += 1.0;
                since[host] = 1.0;
            }
        }
        excited.iter_mut().zip(failed).for_each(|(e, f)| *e = *e * 0.5f64.powf(1.0 / 6.0) + f);
    }
    let record = |host: usize, outages_s| Record {
        name: host.to_string(),
        place: Place { rack: host / RACK_HOSTS, site: 0 },
        watched_s: (0, DAYS as i64 * DAY_S),
        outages_s,
        aside: host.is_multiple_of(5),
    };
    (outages.into_iter().enumerate().map(|(h, o)| record(h, o)).collect(), truth)
}

fn split() -> TimeSplit {
    TimeSplit::new(120 * DAY_S, 170 * DAY_S, DAYS as i64 * DAY_S).unwrap()
}

fn all_rows(records: &[Record]) -> Rows {
    rows(records, &split(), HOUR_S, &Thin { keep_one_of: [1, 8, 8, 8], seed: 1 }).unwrap()
}

fn model(rows: &Rows, horizons_s: &[i64]) -> Result<Hazard, HazardError> {
    let candidates = [Candidate { l2: 10.0, leave_out: |_| false }];
    let heads = horizons_s.iter().map(|h| head(rows, Layout::Recurrence, *h, &candidates).map(|h| h.0));
    Hazard::new(Layout::Recurrence, heads.collect::<Result<_, _>>()?)
}

fn tested(rows: &Rows, model: &Hazard, head: usize, of: impl Fn(&Meta) -> bool) -> Score {
    score(judged(rows, Part::Test, &model.heads()[head], of)).unwrap()
}

#[test]
fn known_probabilities_are_recovered_on_hosts_seen_and_unseen() {
    let (records, truth) = fleet(7);
    let rows = all_rows(&records);
    let model = model(&rows, &[HOUR_S, DAY_S]).unwrap();
    let p = |m: &Meta| truth[m.host as usize][(m.at_s / HOUR_S) as usize];
    for aside in [false, true] {
        let ours = tested(&rows, &model, 0, |m| m.aside == aside);
        let test = || rows.iter().filter(|(m, _)| m.is_for(Part::Test) && m.aside == aside);
        let known = test().filter_map(|(m, _)| Some((p(m), m.fails_within(HOUR_S)?, f64::from(m.weight))));
        let oracle = score(known.collect()).unwrap();
        println!(
            "aside {aside}: AUC {:.4} of {:.4}, ECE {:.5} of {:.5}",
            ours.auc, oracle.auc, ours.ece, oracle.ece
        );
        // Chance alone gives the oracle an AUC away from 0.5; ours may fall 0.025 behind.
        assert!(oracle.auc > 0.65 && ours.auc > oracle.auc - 0.025, "{} of {}", ours.auc, oracle.auc);
        assert!((0.9..1.1).contains(&ours.said_over_seen), "{}", ours.said_over_seen);
        // Chance gives the truth itself some error; ours may be a tenth of the base rate worse.
        let allowed = oracle.ece + 0.1 * ours.base_rate;
        assert!(ours.ece < allowed, "{} at base rate {}, allowed {allowed}", ours.ece, ours.base_rate);
        // Against the truth itself: the mean relative error of the probability.
        let head = &model.heads()[0];
        let (mut error, mut total) = (0.0, 0.0);
        for (m, x) in test() {
            let said = foreshade_forecast::hazard::fit::probability(head, x);
            error += f64::from(m.weight) * (said - p(m)).abs();
            total += f64::from(m.weight) * p(m);
        }
        println!("mean error / mean truth {:.4}", error / total);
        assert!(error / total < 0.30, "{}", error / total);
    }
    let day = tested(&rows, &model, 1, |_| true);
    println!(
        "a day ahead: AUC {:.4}, ECE {:.5} at {:.4}, skill {:.4}",
        day.auc, day.ece, day.base_rate, day.skill
    );
    assert!(day.ece < 0.12 * day.base_rate && day.skill > 0.02, "{day:?}");
}

#[test]
fn shuffled_outcomes_teach_nothing() {
    let (records, _) = fleet(7);
    let all = all_rows(&records);
    let mut total = 0.0;
    for seed in 0..3 {
        let rows = all.shuffled(seed);
        let s = match model(&rows, &[HOUR_S]) {
            // A score that points the wrong way on the calibration part is refused: that, too, is chance.
            Err(e) => {
                assert!(e.to_string().contains("a higher score means fewer failures"), "{e}");
                continue;
            }
            Ok(model) => tested(&rows, &model, 0, |_| true),
        };
        // Standard error of an AUC of chance (Hanley and McNeil, 1982).
        let (yes, no) = (s.failures as f64, (s.rows - s.failures) as f64);
        let error = ((yes + no + 1.0) / (12.0 * yes * no)).sqrt();
        println!("seed {seed}: AUC {:.4}, standard error {error:.4}", s.auc);
        assert!((s.auc - 0.5).abs() < 4.0 * error, "AUC {} of shuffled outcomes", s.auc);
        total += 1.0;
    }
    assert!(total >= 1.0, "no shuffle could be fitted");
}

#[test]
fn no_outcome_reaches_beyond_its_part_and_no_host_set_aside_is_fitted() {
    let (records, _) = fleet(3);
    let rows = all_rows(&records);
    let ends = [(Part::Fit, 120), (Part::Calibrate, 170), (Part::Test, DAYS as i64)];
    for (part, end) in ends {
        let mut n = 0;
        for (m, _) in rows.iter().filter(|(m, _)| m.is_for(part)) {
            n += 1;
            for horizon_s in [HOUR_S, DAY_S, 7 * DAY_S] {
                let inside = m.at_s + horizon_s <= end * DAY_S;
                assert_eq!(m.fails_within(horizon_s).is_some(), inside, "{m:?} {horizon_s}");
            }
            assert!(!m.aside || part == Part::Test, "{m:?}");
        }
        assert!(n > 1000, "{part:?}: {n} rows");
    }
    assert!(TimeSplit::new(5, 5, 9).is_err() && TimeSplit::new(5, 9, 2).is_err());
}

#[test]
fn the_past_of_a_row_does_not_know_its_future() {
    // The same fleet, cut at day 100: rows before are the same, bit for bit.
    let (records, _) = fleet(5);
    let cut_s = 100 * DAY_S;
    let cut: Vec<Record> = records
        .iter()
        .map(|r| Record {
            outages_s: r.outages_s.iter().copied().filter(|o| o.0 < cut_s).collect(),
            ..r.clone()
        })
        .collect();
    let before = |records: &[Record]| {
        let all = rows(records, &split(), 6 * HOUR_S, &Thin::NONE).unwrap();
        let early = all.iter().filter(|(m, _)| m.at_s < cut_s);
        early.map(|(m, x)| (m.host, m.at_s, x.to_vec())).collect::<Vec<_>>()
    };
    let whole = before(&records);
    assert!(whole.len() > 40_000, "{}", whole.len());
    assert_eq!(whole, before(&cut));
}
