//! The report of a demo or backtest: one schema, stable names.

use std::collections::BTreeMap;

use foreshade_appliance_core::{AnomalyReport, OutlookReport};
use foreshade_enact::fakes::rack::Totals;
use foreshade_forecast::{Held, ResourceScore};
use foreshade_plan::Changed;
use serde::{Deserialize, Serialize};

use crate::fleet::Fleet;

/// Costs of one policy on one trace, scored ticks only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// VM-minutes with less than 99 % of the demand granted.
    pub contention_vm_minutes: f64,
    /// VM-minutes in all.
    pub vm_minutes: f64,
    /// Allocated (shadows included) and not granted.
    pub over_reservation_core_hours: f64,
    /// Live migrations started.
    pub migrations: u64,
    /// Hours of shadows.
    pub shadow_vm_hours: f64,
    /// Energy of all hosts; reported, never claimed: no host is powered off.
    pub energy_kwh: f64,
    /// Decisions by action; `hold` counts VM-ticks left alone.
    pub decisions: BTreeMap<String, u64>,
}

impl PolicyReport {
    /// From a rack's sums.
    pub fn new(t: &Totals, decisions: BTreeMap<String, u64>) -> Self {
        Self {
            contention_vm_minutes: t.contention_ms as f64 / 60_000.0,
            vm_minutes: t.vm_ms as f64 / 60_000.0,
            over_reservation_core_hours: t.over_reserved_mc_ms as f64 / 3.6e9,
            migrations: t.migrations,
            shadow_vm_hours: t.shadow_ms as f64 / 3.6e6,
            energy_kwh: t.energy_mw_ms as f64 / 3.6e12,
            decisions,
        }
    }
}

/// Latency of one hop, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HopReport {
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
}

/// The whole report. `hops` is absent from a backtest; everything else is the same bytes for the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the program.
    pub version: String,
    /// Name of the trace.
    pub trace: String,
    /// Device that forecasts ran on.
    pub backend: String,
    /// Its instruction set.
    pub simd: String,
    /// Seed of the placement.
    pub seed: u64,
    /// Decision ticks.
    pub ticks: u64,
    /// VMs.
    pub vms: u64,
    /// Hosts.
    pub hosts: u64,
    /// Costs by policy.
    pub policies: BTreeMap<String, PolicyReport>,
    /// Forecast quality by resource, in points (percent of the VM's size; 20 log10(1 + KB/s) for disk and network).
    pub forecast: BTreeMap<String, ResourceScore>,
    /// How often bounds held, by resource and horizon in seconds (0 = the peak of 30 min); `cpu/small` is the part of `cpu`
    /// that VMs of that class have in it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub coverage: BTreeMap<String, BTreeMap<u64, Held>>,
    /// What racks and hosts will need, as it stood at the end, and how good earlier forecasts of it were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outlook: Option<OutlookReport>,
    /// VMs that behaved as they never did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub anomalies: Option<AnomalyReport>,
    /// How often forecasts changed what was planned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changed_by_forecast: Option<Changed>,
    /// Latency by hop.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hops: Option<BTreeMap<String, HopReport>>,
}

impl Report {
    /// A report without results.
    pub fn new(fleet: &Fleet, seed: u64, backend: &str, simd: &str, version: &str) -> Self {
        Self {
            version: version.into(),
            trace: fleet.name.clone(),
            backend: backend.into(),
            simd: simd.into(),
            seed,
            ticks: fleet.ticks(),
            vms: fleet.vms.len() as u64,
            hosts: fleet.hosts().count() as u64,
            policies: BTreeMap::new(),
            forecast: BTreeMap::new(),
            coverage: BTreeMap::new(),
            outlook: None,
            anomalies: None,
            changed_by_forecast: None,
            hops: None,
        }
    }
}
