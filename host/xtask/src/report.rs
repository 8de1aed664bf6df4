//! What must hold of the reports that `demo` and `backtest` write. Pure: text in, findings out.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// The ten hops of a sample; the report times each.
const HOPS: [&str; 10] = [
    "link::ingress",
    "wire::decode",
    "telemetry::push",
    "telemetry::seal",
    "forecast::step",
    "accel::run",
    "forecast::calibrate",
    "plan::plan",
    "journal::commit",
    "link::egress",
];

/// Below this share of VM-minutes in contention under *reactive* a trace is too easy to prove anything.
const REACTIVE_CONTENTION_MIN: f64 = 0.005;

/// One policy's row.
#[derive(Debug, Clone, Deserialize)]
pub struct Policy {
    contention_vm_minutes: f64,
    vm_minutes: f64,
    over_reservation_core_hours: f64,
    migrations: u64,
    #[serde(rename = "shadow_vm_hours")]
    _shadow_vm_hours: f64,
    #[serde(rename = "energy_kwh")]
    _energy_kwh: f64,
    decisions: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Forecast {
    n: u64,
    pinball: f64,
    coverage90: f64,
    peak_violations95: f64,
    peak_over_reservation: f64,
}

/// A report, its required keys read.
#[derive(Debug, Clone)]
pub struct Report {
    foreshade: Policy,
    reactive: Policy,
    peak: Policy,
    /// Names of the timed hops; empty in a backtest.
    hops: Vec<String>,
}

impl Report {
    /// Reads a report and refuses one that lacks a key of the command-line contract.
    pub fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("the report is not JSON")?;
        for key in ["version", "trace", "backend", "simd", "seed", "ticks", "vms", "hosts"] {
            ensure!(!value[key].is_null(), "the report has no `{key}`");
        }
        let policy = |name: &str| -> Result<Policy> {
            Policy::deserialize(&value["policies"][name]).with_context(|| format!("policies.{name}"))
        };
        policy("none")?;
        let forecast: BTreeMap<String, Forecast> =
            Deserialize::deserialize(&value["forecast"]).context("forecast")?;
        ensure!(!forecast.is_empty(), "the report's `forecast` names no resource");
        for (name, f) in &forecast {
            ensure!(f.n > 0, "forecast.{name}: nothing was scored");
            let figures = [f.pinball, f.coverage90, f.peak_violations95, f.peak_over_reservation];
            ensure!(figures.iter().all(|x| x.is_finite()), "forecast.{name}: a figure is not finite");
        }
        let hops = value["hops"].as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
        Ok(Self {
            foreshade: policy("foreshade")?,
            reactive: policy("reactive")?,
            peak: policy("peak")?,
            hops,
        })
    }

    /// Every one of the ten hops is timed.
    pub fn has_all_hops(&self) -> Result<String> {
        let missing: Vec<_> = HOPS.iter().filter(|h| !self.hops.iter().any(|k| k == *h)).collect();
        ensure!(missing.is_empty(), "`hops` lacks {missing:?}");
        Ok(format!("{} hops", HOPS.len()))
    }

    /// The reactive policy must have something to lose on this trace.
    pub fn is_hard_enough(&self) -> Result<String> {
        let share = self.reactive.contention_vm_minutes / self.reactive.vm_minutes;
        ensure!(
            share >= REACTIVE_CONTENTION_MIN,
            "reactive is in contention for {:.3} % of VM-minutes, below {} %: the trace is too easy",
            100.0 * share,
            100.0 * REACTIVE_CONTENTION_MIN
        );
        Ok(format!("reactive in contention {:.2} % of VM-minutes", 100.0 * share))
    }

    /// Less contention than the threshold rule, for no more moves and no more reserve.
    pub fn beats_reactive(&self) -> Result<String> {
        let (f, r) = (&self.foreshade, &self.reactive);
        let text = format!(
            "contention {:.1} against {:.1} VM-min, migrations {} against {}, over-reservation {:.1} against {:.1} core-h",
            f.contention_vm_minutes,
            r.contention_vm_minutes,
            f.migrations,
            r.migrations,
            f.over_reservation_core_hours,
            r.over_reservation_core_hours
        );
        let wins = f.contention_vm_minutes < r.contention_vm_minutes
            && f.migrations <= r.migrations
            && f.over_reservation_core_hours <= r.over_reservation_core_hours;
        if wins { Ok(text) } else { bail!("{text}") }
    }

    /// Less reserve than the moving peak, for no more contention.
    pub fn beats_peak(&self) -> Result<String> {
        let (f, p) = (&self.foreshade, &self.peak);
        let text = format!(
            "over-reservation {:.1} against {:.1} core-h, contention {:.1} against {:.1} VM-min",
            f.over_reservation_core_hours,
            p.over_reservation_core_hours,
            f.contention_vm_minutes,
            p.contention_vm_minutes
        );
        let wins = f.over_reservation_core_hours < p.over_reservation_core_hours
            && f.contention_vm_minutes <= p.contention_vm_minutes;
        if wins { Ok(text) } else { bail!("{text}") }
    }

    /// The run shows every kind of act that the demo promises.
    pub fn acts(&self) -> Result<String> {
        let d = &self.foreshade.decisions;
        let kinds = ["pre-allocate", "give-back", "migrate", "create-shadow"];
        let missing: Vec<_> = kinds.iter().filter(|k| d.get(**k).is_none_or(|n| *n == 0)).collect();
        ensure!(missing.is_empty(), "foreshade made no {missing:?} in {d:?}");
        Ok(kinds.map(|k| format!("{} {k}", d[k])).join(", "))
    }
}

/// The report's text with the value of its one `hops` key, which holds wall time, cut out.
pub fn without_hops(text: &str) -> Result<String> {
    let key = "\"hops\"";
    ensure!(text.matches(key).count() == 1, "the report is to have exactly one `hops` key");
    let (head, tail) = text.split_once(key).context("no hops")?;
    let open = tail.find('{').context("`hops` is not an object")?;
    let mut depth = 0usize;
    for (i, c) in tail.char_indices().skip_while(|(i, _)| *i < open) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(format!("{head}{key}{}", &tail[i + 1..]));
        }
    }
    bail!("`hops` does not end")
}

/// The seconds in the line `first forecast after X s`.
pub fn first_forecast_s(output: &str) -> Result<f64> {
    let (_, rest) =
        output.split_once("first forecast after ").context("no line `first forecast after X s`")?;
    let word = rest.split_whitespace().next().unwrap_or_default();
    word.parse().with_context(|| format!("`first forecast after {word}` is not a number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::{HOPS, Report, first_forecast_s, without_hops};
    use serde_json::{Value, json};

    fn policy(contention: f64, over: f64, migrations: u64) -> Value {
        json!({"contention_vm_minutes": contention, "vm_minutes": 10000.0, "over_reservation_core_hours": over,
               "migrations": migrations, "shadow_vm_hours": 1.0, "energy_kwh": 2.0,
               "decisions": {"pre-allocate": 3, "give-back": 2, "migrate": 1, "create-shadow": 1, "hold": 90}})
    }

    /// A report that holds in every respect, after `change`.
    fn report(change: impl Fn(&mut Value)) -> anyhow::Result<Report> {
        let hops: serde_json::Map<String, Value> =
            HOPS.iter().map(|h| (h.to_string(), json!({"p50_us": 1, "p99_us": 2}))).collect();
        let mut value = json!({
            "version": "0.1.0", "trace": "t", "backend": "cpu", "simd": "avx2", "seed": 1, "ticks": 2, "vms": 3, "hosts": 4,
            "policies": {"foreshade": policy(50.0, 90.0, 5), "none": policy(900.0, 500.0, 0),
                         "reactive": policy(60.0, 90.0, 5), "peak": policy(50.0, 91.0, 9)},
            "forecast": {"cpu": {"n": 5, "pinball": 0.1, "coverage90": 0.9, "peak_violations95": 0.05,
                                 "peak_over_reservation": 3.0}},
            "hops": hops});
        change(&mut value);
        Report::parse(&value.to_string())
    }

    fn changed(policy: &str, key: &str, to: f64) -> Report {
        report(|v| {
            v["policies"][policy][key] = if key == "migrations" { json!(to as u64) } else { json!(to) }
        })
        .unwrap()
    }

    #[test]
    fn a_good_report_passes_every_check() {
        let r = report(|_| {}).unwrap();
        for outcome in [r.has_all_hops(), r.is_hard_enough(), r.beats_reactive(), r.beats_peak(), r.acts()] {
            outcome.unwrap();
        }
    }

    #[test]
    fn each_condition_of_the_win_can_fail() {
        assert!(changed("foreshade", "contention_vm_minutes", 60.0).beats_reactive().is_err());
        assert!(changed("foreshade", "migrations", 6.0).beats_reactive().is_err());
        assert!(changed("foreshade", "over_reservation_core_hours", 90.1).beats_reactive().is_err());
        assert!(changed("peak", "over_reservation_core_hours", 90.0).beats_peak().is_err());
        assert!(changed("peak", "contention_vm_minutes", 49.9).beats_peak().is_err());
        assert!(changed("reactive", "contention_vm_minutes", 49.0).is_hard_enough().is_err());
    }

    #[test]
    fn a_run_without_one_kind_of_act_fails() {
        for kind in ["pre-allocate", "give-back", "migrate", "create-shadow"] {
            let r = report(|v| v["policies"]["foreshade"]["decisions"][kind] = json!(0)).unwrap();
            assert!(r.acts().unwrap_err().to_string().contains(kind));
        }
    }

    #[test]
    fn missing_keys_are_named() {
        let e = report(|v| v["simd"] = Value::Null).unwrap_err();
        assert!(e.to_string().contains("simd"), "{e}");
        let e = report(|v| v["policies"]["none"] = Value::Null).unwrap_err();
        assert!(format!("{e:#}").contains("none"), "{e:#}");
        assert!(report(|v| v["forecast"] = json!({})).is_err());
        assert!(report(|v| v["forecast"]["cpu"]["n"] = json!(0)).is_err());
        assert!(report(|v| v["hops"]["plan::plan"] = Value::Null).is_ok());
        let r = report(|v| drop(v["hops"].as_object_mut().unwrap().remove("plan::plan"))).unwrap();
        assert!(r.has_all_hops().unwrap_err().to_string().contains("plan::plan"));
    }

    #[test]
    fn only_hops_are_cut() {
        let cut = without_hops(r#"{"a": 1, "hops": {"x": {"p50_us": 1}}, "b": {"c": 2}}"#).unwrap();
        assert_eq!(cut, r#"{"a": 1, "hops", "b": {"c": 2}}"#);
        assert!(without_hops(r#"{"a": 1}"#).is_err());
        assert!(without_hops(r#"{"hops": {"x": 1"#).is_err());
    }

    #[test]
    fn reads_the_time_of_the_first_forecast() {
        assert_eq!(first_forecast_s("x\nfirst forecast after 1.25 s\n").unwrap(), 1.25);
        assert!(first_forecast_s("first forecast after soon").is_err());
        assert!(first_forecast_s("nothing").is_err());
    }
}
