//! What the appliance says of racks and hosts hours ahead, and in the next 30 min.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod synthetic;

use foreshade_appliance_core::{Core, Effect, Event, HostEvent, MemoryJournal};
use foreshade_forecast::Fleet as Forecaster;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::backtest::{self, Outcome};
use foreshade_types::{HostId, Resource, Tick, VmId};

fn core() -> Core {
    let policy = Policy { mode: Mode::Auto, ..Policy::default() };
    let config = backtest::core_config(&synthetic::fleet(1), &policy, "cpu", 1);
    let device = foreshade_accel::open("cpu", &foreshade_accel::OpenOptions::default()).unwrap();
    let forecaster = Forecaster::new(Core::fleet_config(&config), None, device).unwrap();
    Core::new(config, forecaster)
}

/// Runs the synthetic fleet; at every planned tick the rack's joint 95 % peak and the sum of its VMs' 95 % peaks, both in
/// millicores.
fn run() -> (Outcome, Vec<(u64, f64)>) {
    let fleet = synthetic::fleet(1);
    let mut peaks = vec![];
    let outcome = backtest::foreshade(&fleet, core(), &mut MemoryJournal::default(), |core, s| {
        if s.tick < fleet.first_decision() {
            assert!(s.racks.is_empty(), "{}", s.tick);
            return;
        }
        assert_eq!(s.racks.len(), fleet.racks.len());
        let cpu = core.forecasts(Resource::Cpu).unwrap();
        for (load, rack) in s.racks.iter().zip(&fleet.racks) {
            let here =
                |vm: &usize| rack.hosts.iter().any(|h| h.id == core.placed(VmId(*vm as u32)).unwrap().0);
            let vms: Vec<usize> = (0..fleet.vms.len()).filter(here).collect();
            let now: u64 = vms.iter().map(|vm| core.placed(VmId(*vm as u32)).unwrap().2.0).sum();
            assert_eq!((load.rack, load.now.0), (rack.id, now), "{}", s.tick);
            let p = load.peak;
            assert!(p.q05 <= p.q50 && p.q50 <= p.q90 && p.q90 <= p.q95 && p.q95 <= p.q99, "{p:?}");
            let bound = |vm: &usize| {
                f64::from(cpu[*vm].quantiles[0].q95()) * fleet.vms[*vm].size.cpu.0 as f64 / 100.0
            };
            peaks.push((p.q95, vms.iter().map(bound).sum::<f64>()));
        }
    });
    (outcome.unwrap(), peaks)
}

#[test]
fn a_racks_total_has_an_interval_of_its_own_and_not_the_sum_of_bounds() {
    let (outcome, peaks) = run();
    assert!(peaks.len() >= 20);
    for (joint, sum) in &peaks {
        assert!((*joint as f64) < 0.9 * sum, "joint {joint}, sum of bounds {sum}");
    }
    let score = outcome.outlook.scores["rack_peak_30min"];
    // Twenty ticks of a rack, six of which have no outcome yet.
    assert!(score.n >= 14 && (0.7..=1.0).contains(&score.coverage90), "{score:?}");
}

#[test]
fn the_report_names_every_rack_and_host_and_what_is_not_known_yet() {
    let (outcome, _) = run();
    let fleet = synthetic::fleet(1);
    let report = &outcome.outlook;
    assert_eq!(report.hosts.len(), fleet.hosts().count());
    assert_eq!(report.racks.len(), fleet.racks.len());
    for (name, load) in report.racks.iter().chain(&report.hosts) {
        // 163 or 164 samples are 13 whole hours.
        assert_eq!(load.state, "cold: 35 more known hours until two days are seen", "{name}");
        assert_eq!(load.hours.keys().copied().collect::<Vec<_>>(), [1, 6, 24], "{name}");
        assert!(load.hours.values().all(|h| h.mean.q05 > 0 && h.peak.q99 >= h.mean.q95), "{name}: {load:?}");
    }
    assert!(
        report.racks.values().all(|r| r.peak_30min.is_some())
            && report.hosts.values().all(|h| h.peak_30min.is_none())
    );
    let text = serde_json::to_string(report).unwrap();
    assert_eq!(serde_json::from_str::<foreshade_appliance_core::OutlookReport>(&text).unwrap(), *report);
    assert_eq!(text, serde_json::to_string(&run().0.outlook).unwrap(), "the same run, the same bytes");
}

#[test]
fn what_is_said_of_hosts_is_in_the_report_and_a_strange_host_is_refused() {
    let mut core = core();
    let host = |host, event| Event::Host { host: HostId(host), tick: Tick(2), event };
    assert!(core.outlook().hosts.values().all(|h| h.hazard.is_none()), "nothing was said");
    let refused = core.apply(host(99, HostEvent::Down)).unwrap();
    assert!(
        matches!(&refused[..], [Effect::Refused { text, .. }] if text.contains("host99 is not in the inventory")),
        "{refused:?}"
    );
    assert!(core.outlook().hosts.values().all(|h| h.hazard.is_none()));
    assert!(core.apply(host(0, HostEvent::Down)).unwrap().is_empty());
    let report = core.outlook();
    let of = |h: &str| report.hosts[h].hazard.as_ref().unwrap().probability.len();
    assert_eq!(
        (of("host0"), of("host1")),
        (0, 3),
        "it is down; the other may fail within 1 h, a day, a week"
    );
    assert!(report.racks.values().all(|r| r.hazard.is_none()));
}
