//! Aligned tables for the end of a run.

use std::collections::BTreeSet;
use std::fmt::Write;

use foreshade_appliance_core::{LoadMc, OutlookReport};
use foreshade_sim::report::Report;

/// The order of policies: what operators have, then ours.
const ORDER: [&str; 4] = ["none", "reactive", "peak", "foreshade"];

const RANGE: &str = "median  5 % .. 95 %";

/// Costs by policy.
pub fn policies(r: &Report, note: Option<&str>) -> String {
    let mut out = format!(
        "\n{:<10} {:>18} {:>10} {:>17} {:>10} {:>12} {:>11}\n",
        "policy", "contention", "share", "over-reservation", "migrations", "shadows", "energy"
    );
    let _ = writeln!(
        out,
        "{:<10} {:>18} {:>10} {:>17} {:>10} {:>12} {:>11}",
        "", "VM-minutes", "%", "core-hours", "", "VM-hours", "kWh"
    );
    for name in ORDER {
        let Some(p) = r.policies.get(name) else { continue };
        let share = 100.0 * p.contention_vm_minutes / p.vm_minutes.max(1e-9);
        let _ = writeln!(
            out,
            "{name:<10} {:>18.1} {share:>10.3} {:>17.1} {:>10} {:>12.1} {:>11.2}",
            p.contention_vm_minutes,
            p.over_reservation_core_hours,
            p.migrations,
            p.shadow_vm_hours,
            p.energy_kwh
        );
    }
    if let Some(note) = note {
        let _ = writeln!(out, "{note}; energy is reported, not saved: no host is powered off");
    }
    if let Some(f) = r.policies.get("foreshade") {
        let counts: Vec<_> = f.decisions.iter().map(|(k, v)| format!("{v} {k}")).collect();
        let _ = writeln!(out, "foreshade decided: {}", counts.join(", "));
    }
    out
}

/// Forecast quality by resource.
pub fn forecast(r: &Report) -> String {
    let mut out = format!(
        "\n{:<12} {:>9} {:>9} {:>11} {:>16} {:>16}\n",
        "forecast", "n", "pinball", "coverage 90", "peak above q95", "q95 above peak"
    );
    for (name, s) in &r.forecast {
        let _ = writeln!(
            out,
            "{name:<12} {:>9} {:>9.3} {:>10.1}% {:>15.1}% {:>9.2} points",
            s.n,
            s.pinball,
            100.0 * s.coverage90,
            100.0 * s.peak_violations95,
            s.peak_over_reservation
        );
    }
    out
}

/// What racks will need, and how good that was so far.
pub fn outlook(r: &Report) -> String {
    let Some(o) = &r.outlook else { return String::new() };
    let mut out = format!(
        "\n{:<10} {:>9} {:>9} {:>24} {:>24} {:>24}\n",
        "rack total", "has", "now", "peak of 30 min", "mean, 24 h ahead", "peak of 24 h"
    );
    let _ =
        writeln!(out, "{:<10} {:>9} {:>9} {:>24} {:>24} {:>24}", "", "cores", "cores", RANGE, RANGE, RANGE);
    let cores = |mc: u64| mc as f64 / 1000.0;
    let range = |q: Option<LoadMc>| match q {
        Some(q) => format!("{:.1}  {:.1} .. {:.1}", cores(q.q50), cores(q.q05), cores(q.q95)),
        None => "-".into(),
    };
    for (name, rack) in &o.racks {
        let day = rack.hours.get(&24);
        let _ = writeln!(
            out,
            "{name:<10} {:>9.1} {:>9.1} {:>24} {:>24} {:>24}",
            cores(rack.capacity_mc),
            cores(rack.now_mc),
            range(rack.peak_30min),
            range(day.map(|d| d.mean)),
            range(day.map(|d| d.peak))
        );
    }
    let states: BTreeSet<&str> = o.racks.values().map(|r| r.state.as_str()).collect();
    let _ = writeln!(out, "days and weeks: {}", states.into_iter().collect::<Vec<_>>().join("; "));
    for (name, s) in &o.scores {
        let _ = writeln!(
            out,
            "  {name:<16} {:>8} forecasts, pinball {:.3} %, {:.1}% inside 5..95 %, {:.1}% above 95 %",
            s.n,
            s.pinball,
            100.0 * s.coverage90,
            100.0 * s.above95
        );
    }
    out + &guard_bands(o)
}

/// How far the bounds of hosts are stretched, from the least to the most.
fn guard_bands(o: &OutlookReport) -> String {
    let all: Vec<_> = o.hosts.values().filter_map(|h| h.guard_band).collect();
    let of: u64 = all.iter().map(|g| g.bounds.of).sum();
    let held: u64 = all.iter().map(|g| g.bounds.held).sum();
    let factors = || all.iter().map(|g| f64::from(g.factor_permille) / 1000.0);
    let (least, most) = (factors().fold(f64::INFINITY, f64::min), factors().fold(0.0, f64::max));
    if of == 0 {
        return String::new();
    }
    let share = 100.0 * held as f64 / of as f64;
    format!(
        "guard bands of {} hosts: x{least:.2} to x{most:.2}; their 95 % bounds held {share:.1} % of {of} half hours\n",
        all.len()
    )
}

/// Anomalies by resource and kind, the most frequent first.
pub fn anomalies(r: &Report) -> String {
    let Some(a) = &r.anomalies else { return String::new() };
    if a.vm_days == 0.0 {
        return "\nanomalies: none can be told, no VM was watched for more than a day\n".into();
    }
    let mut out = format!(
        "\nanomalies: {} alerts in {:.0} VM-days, {:.3} a VM-day; {:.3} false ones a VM-day are allowed; nothing acts on them\n",
        a.alerts,
        a.vm_days,
        a.alerts as f64 / a.vm_days.max(1e-9),
        a.stated_per_vm_day
    );
    let mut kinds: Vec<_> = a.by_kind.iter().collect();
    kinds.sort_by_key(|(name, k)| (std::cmp::Reverse(k.alerts), name.as_str()));
    for (name, k) in kinds {
        let _ = writeln!(out, "  {:>5} {name}; latest: {}", k.alerts, k.latest);
    }
    out
}

/// What the forecasts were good for.
pub fn changed(r: &Report) -> String {
    let Some(c) = &r.changed_by_forecast else { return String::new() };
    let share = |n: u64| 100.0 * n as f64 / c.vm_ticks.max(1) as f64;
    format!(
        "\nforecasts: of {} VM-ticks {} ({:.2} %) would have been planned otherwise with the last sample alone, {} ({:.2} %) the same with another size\n",
        c.vm_ticks,
        c.other_action,
        share(c.other_action),
        c.other_size,
        share(c.other_size)
    )
}

/// Latency of the ten hops, in their order.
pub fn hops(r: &Report) -> String {
    let Some(hops) = &r.hops else { return String::new() };
    let mut out = format!("\n{:<20} {:>12} {:>12}\n", "hop", "p50 us", "p99 us");
    for name in foreshade_appliance_core::HOPS {
        if let Some(h) = hops.get(name) {
            let _ = writeln!(out, "{name:<20} {:>12.1} {:>12.1}", h.p50_us, h.p99_us);
        }
    }
    out
}
