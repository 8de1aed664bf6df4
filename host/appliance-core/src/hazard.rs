//! Which host fails next: what is said of hosts goes in, probabilities with reasons come out.
//!
//! The model is the shipped one of hosts that fail of themselves and are repaired by people
//! ([`foreshade_forecast::hazard`]). It knows events alone, no sensors. Nothing sends such events yet, so that a run says nothing
//! of failures; nothing acts on what is said.

use std::collections::BTreeMap;

use foreshade_forecast::hazard::{Event, Hazard, Place, Shipped, Watch};
use foreshade_types::{HostId, Readiness, Tick};
use serde::{Deserialize, Serialize};

use crate::CoreConfig;

/// Hours ahead.
const HOURS: [i64; 3] = [1, 24, 168];
/// The one that reasons are given for.
const DAY: i64 = 24;

/// How likely a host is to fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HazardReport {
    /// May this be acted on? A host watched for less than a day is cold: it has the base rate.
    pub readiness: Readiness,
    /// Of a failure within so many hours; empty while it is down.
    pub probability: BTreeMap<i64, f64>,
    /// The heaviest reasons for the next 24 h.
    pub because: Vec<String>,
}

/// All hosts; the racks of an appliance are one site.
#[derive(Debug)]
pub(crate) struct HostHazard {
    hosts: Vec<HostId>,
    cadence_s: i64,
    watch: Watch,
    /// Read with the first event.
    model: Option<Hazard>,
}

impl HostHazard {
    /// Every host runs at tick 0, as far as anyone knows.
    pub(crate) fn new(config: &CoreConfig) -> Self {
        let racks = config.racks.iter().enumerate();
        let placed: Vec<_> = racks
            .flat_map(|(rack, r)| r.hosts.iter().map(move |h| (h.id, Place { rack, site: 0 })))
            .collect();
        let mut watch = Watch::new(placed.iter().map(|p| p.1).collect());
        for host in 0..placed.len() {
            // The index is one of its own.
            let _ = watch.observe(host, Event::Up, 0);
        }
        let hosts = placed.into_iter().map(|p| p.0).collect();
        Self { hosts, cadence_s: i64::from(config.cadence_s), watch, model: None }
    }

    /// What was said of a host at a tick.
    ///
    /// # Errors
    /// What is wrong with it, in one line; then nothing has changed.
    pub(crate) fn observe(&mut self, host: HostId, event: Event, tick: Tick) -> Result<(), String> {
        let Some(i) = self.hosts.iter().position(|h| *h == host) else {
            return Err(format!(
                "{host} is not in the inventory of {} hosts; its event was not used",
                self.hosts.len()
            ));
        };
        if self.model.is_none() {
            self.model = Some(Shipped::Lanl.model().map_err(|e| e.to_string())?);
        }
        self.watch.observe(i, event, self.seconds(tick)).map(drop).map_err(|e| e.to_string())
    }

    fn seconds(&self, tick: Tick) -> i64 {
        tick.0 as i64 * self.cadence_s
    }

    /// Every host at a tick; nobody as long as nothing was said of any.
    pub(crate) fn report(&self, tick: Tick) -> BTreeMap<HostId, HazardReport> {
        let Some(model) = &self.model else { return BTreeMap::new() };
        let now_s = self.seconds(tick);
        let of = |(i, host): (usize, &HostId)| {
            let told = |hours: i64| self.watch.outlook(model, i, hours * 3600, now_s).ok().flatten();
            let day = told(DAY);
            let report = HazardReport {
                readiness: day.map_or_else(|| self.watch.readiness(i, now_s), |d| d.readiness),
                probability: HOURS.iter().filter_map(|h| Some((*h, told(*h)?.probability))).collect(),
                because: day
                    .iter()
                    .flat_map(|d| d.because.iter().flatten().map(ToString::to_string))
                    .collect(),
            };
            (*host, report)
        };
        self.hosts.iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use foreshade_types::{Mebibytes, Millicores, RackId};

    use super::*;
    use crate::{HostSpec, RackSpec};

    const DAY_TICKS: u64 = 288;

    fn hazard() -> HostHazard {
        let host = |id| HostSpec::general(HostId(id), Millicores(1000), Mebibytes(1024));
        let rack = |r: u32| RackSpec { id: RackId(r), hosts: vec![host(10 * r), host(10 * r + 1)] };
        HostHazard::new(&CoreConfig {
            epoch: 1,
            cadence_s: 300,
            racks: vec![rack(0), rack(1)],
            vms: vec![],
            resources: vec![],
            manages_memory: false,
            first_decision: Tick(0),
            last: Tick(9),
            policy: foreshade_plan::Policy::default(),
            site: foreshade_plan::Site::default(),
            backend: "cpu".into(),
            threads: 1,
            follow: None,
        })
    }

    #[test]
    fn a_host_that_failed_is_likelier_to_fail_and_says_why() {
        let mut h = hazard();
        assert!(h.report(Tick(40 * DAY_TICKS)).is_empty(), "nothing was said");
        for day in [38, 39, 40] {
            h.observe(HostId(10), Event::Down, Tick(day * DAY_TICKS)).unwrap();
            let down = &h.report(Tick(day * DAY_TICKS + 3))[&HostId(10)];
            assert!(down.probability.is_empty(), "it is down: {down:?}");
            h.observe(HostId(10), Event::Up, Tick(day * DAY_TICKS + 12)).unwrap();
        }
        let all = h.report(Tick(40 * DAY_TICKS + 60));
        assert_eq!(all.keys().map(|h| h.0).collect::<Vec<_>>(), [0, 1, 10, 11]);
        let day = |host: u32| all[&HostId(host)].probability[&24];
        assert!(day(10) > 3.0 * day(0), "{} {}", day(10), day(0));
        for report in all.values() {
            let p: Vec<f64> = report.probability.values().copied().collect();
            assert!(p.len() == 3 && p.is_sorted() && p[0] > 0.0 && p[2] < 1.0, "{report:?}");
            assert_ne!(report.readiness, Readiness::Cold);
        }
        let because = &all[&HostId(10)].because;
        assert!(because.iter().any(|b| b.contains("3 failures of this host")), "{because:?}");
    }

    #[test]
    fn a_young_host_is_cold_and_a_strange_one_is_refused() {
        let mut h = hazard();
        let e = h.observe(HostId(7), Event::Down, Tick(3)).unwrap_err();
        assert!(e.contains("host7 is not in the inventory of 4 hosts") && !e.contains('\n'), "{e}");
        assert!(h.report(Tick(3)).is_empty());
        h.observe(HostId(0), Event::Up, Tick(20)).unwrap();
        let all = h.report(Tick(100));
        assert!(all.values().all(|r| r.readiness == Readiness::Cold && r.because.is_empty()), "{all:?}");
    }
}
