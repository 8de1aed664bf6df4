//! What an operator may set. Every default is the safe side of what was measured.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::VmView;
use crate::failover::Failover;
use crate::keys::{KEYS, Key};
use crate::lifecycle::Limits;
use crate::modes::{Mode, Modes};

/// The planner's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// off, advise or auto.
    pub mode: Mode,
    /// Kinds of action with a mode of their own.
    pub modes: Modes,
    /// What a VM that runs short is worth, in millicores: the higher, the further the next sample's demand is covered.
    pub contention_price_millicores: u64,
    /// Quantile of the 30-min peak that a memory allocation must cover, thousandths: memory cannot be throttled.
    pub memory_quantile_permille: u16,
    /// Added on top, percent.
    pub margin_percent: u64,
    /// Growth smaller than this share of the allocation is not worth a decision, percent.
    pub grow_band_percent: u64,
    /// A surplus smaller than this share of the allocation is kept, percent.
    pub give_back_band_percent: u64,
    /// The least a VM is given.
    pub floor_millicores: u64,
    /// The least memory a VM is given, MiB.
    pub floor_mib: u64,
    /// Memory is never taken below the measured working set plus this, percent.
    pub working_set_margin_percent: u64,
    /// A host is relieved when its forecast peak exceeds this share of its CPU, percent.
    pub host_limit_percent: u64,
    /// Quantile of the host's 30-min peak that is compared with the limit, thousandths.
    pub host_quantile_permille: u16,
    /// A target must stay under this share of its CPU after a move, percent.
    pub target_limit_percent: u64,
    /// A shadow is made when this quantile of the host's peak exceeds the limit, thousandths.
    pub shadow_creation_threshold_permille: u16,
    /// Share of the load that a shift moves, percent.
    pub shift_percent: u8,
    /// Traffic comes back when the host's peak with it stays under this share of its CPU, percent.
    pub shift_back_percent: u64,
    /// At least this far below the limit at which it was shifted, percent of the host's CPU: the band of the hysteresis.
    pub shift_band_percent: u64,
    /// And only after its host could have carried it for this many ticks in a row.
    pub shift_dwell_ticks: u64,
    /// A shadow that was not needed for this many ticks is suspended: it keeps its memory and holds no CPU.
    pub shadow_idle_ticks: u64,
    /// A shadow that was suspended for this many ticks is terminated; 0 = it is terminated instead of suspended.
    pub shadow_suspend_ticks: u64,
    /// A shadow older than this is terminated when it is idle, ticks.
    pub max_shadow_age_ticks: u64,
    /// A copy that is older than this lags, seconds; one that is not heard of for three of these counts as lagging.
    pub synchronization_interval_s: u64,
    /// Between two runs of a ready shadow's warm-up task, seconds; 0 = it runs once.
    pub warmup_interval_s: u64,
    /// A shadow that does not boot, or is not cleared, within this has failed, seconds.
    pub shadow_provision_limit_s: u64,
    /// A shadow whose copy has not caught up within this has failed, seconds.
    pub shadow_sync_limit_s: u64,
    /// A warm-up task that runs longer than this has failed, seconds.
    pub shadow_warm_up_limit_s: u64,
    /// Requests that a shadow still serves after this are cut, seconds.
    pub shadow_drain_limit_s: u64,
    /// Shadows a rack may hold.
    pub shadows_per_rack: u32,
    /// Idle shadows of a rack hold at most this share of its CPU, percent.
    pub shadow_idle_budget_percent: u64,
    /// A shadow that would hold more than this is not made, millicores.
    pub shadow_cost_cap_millicores: u64,
    /// Every VM has a shadow, made with it.
    pub shadow_with_primary: bool,
    /// Shadows are fail-over targets: sized to the forecast's upper bound instead of the idle footprint.
    pub shadow_failover: bool,
    /// How long a VM may be away, seconds; a VM that may be away for a cold start gets no shadow of its own.
    pub max_downtime_s: u64,
    /// How long a cold start takes, seconds.
    pub cold_start_s: u64,
    /// A shadow's footprint grows by this for each recent migration of its VM, percent.
    pub shadow_growth_percent_per_move: u64,
    /// How far back a migration is recent, ticks.
    pub migration_window_ticks: u64,
    /// Idle footprint of a shadow: 1/n of the VM's CPU, at least one core.
    pub shadow_cpu_divisor: u64,
    /// Idle footprint of a shadow: 1/n of the VM's memory.
    pub shadow_memory_divisor: u64,
    /// Bandwidth of migrations until some were measured, MiB/s.
    pub migration_mib_s: u64,
    /// How long a VM may stand still in a migration, ms.
    pub migration_standstill_ms: u64,
    /// CPU that a migration takes on each of its hosts, millicores.
    pub migration_cpu_millicores: u64,
    /// Migrations a rack may start per tick.
    pub migrations_per_tick: u32,
    /// A VM rests this many ticks after a move; twice as many after each further one.
    pub cool_down_ticks: u64,
    /// It never rests longer than this, ticks.
    pub cool_down_cap_ticks: u64,
    /// Moves that are longer ago than this do not lengthen the rest, ticks.
    pub cool_down_window_ticks: u64,
    /// A VM is not moved back to a host that it left within this, ticks; 0 = it may be.
    pub cycle_window_ticks: u64,
    /// Migrations that may be under way in a rack.
    pub migrations_per_rack: u32,
    /// Migrations that may be under way from or to a host.
    pub migrations_per_host: u32,
    /// Telemetry older than this many ticks is not acted on.
    pub max_stale_ticks: u64,
    /// Moves scored per rack and tick.
    pub max_candidates: u32,
    /// When and how VMs fail over.
    pub failover: Failover,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Advise,
            modes: Modes::default(),
            contention_price_millicores: 6_000,
            memory_quantile_permille: 990,
            margin_percent: 1,
            grow_band_percent: 2,
            give_back_band_percent: 4,
            floor_millicores: 20,
            floor_mib: 64,
            working_set_margin_percent: 5,
            host_limit_percent: 97,
            host_quantile_permille: 950,
            target_limit_percent: 92,
            shadow_creation_threshold_permille: 990,
            shift_percent: 50,
            shift_back_percent: 88,
            shift_band_percent: 5,
            shift_dwell_ticks: 2,
            shadow_idle_ticks: 3,
            shadow_suspend_ticks: 12,
            max_shadow_age_ticks: 72,
            synchronization_interval_s: 60,
            warmup_interval_s: 3_600,
            shadow_provision_limit_s: 600,
            shadow_sync_limit_s: 1_800,
            shadow_warm_up_limit_s: 600,
            shadow_drain_limit_s: 300,
            shadows_per_rack: 4,
            shadow_idle_budget_percent: 10,
            shadow_cost_cap_millicores: 8_000,
            shadow_with_primary: false,
            shadow_failover: false,
            max_downtime_s: 0,
            cold_start_s: 90,
            shadow_growth_percent_per_move: 25,
            migration_window_ticks: 288,
            shadow_cpu_divisor: 16,
            shadow_memory_divisor: 32,
            migration_mib_s: 500,
            migration_standstill_ms: 300,
            migration_cpu_millicores: 500,
            migrations_per_tick: 2,
            cool_down_ticks: 6,
            cool_down_cap_ticks: 384,
            cool_down_window_ticks: 2_016,
            cycle_window_ticks: 864,
            migrations_per_rack: 2,
            migrations_per_host: 2,
            max_stale_ticks: 3,
            max_candidates: 200,
            failover: Failover::default(),
        }
    }
}

/// A policy that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("policy: {key} = {value} is out of range; set it to {range}")]
pub struct PolicyError {
    key: String,
    value: String,
    range: String,
}

impl Policy {
    /// How long a shadow's phases may last where a tick is `tick_ms` long. What is seen once a tick cannot be late by less
    /// than a tick.
    pub fn shadow_limits(&self, tick_ms: u64) -> Limits {
        let ms = |s: u64| s * 1000;
        let silence_ms = 3 * ms(self.synchronization_interval_s).max(tick_ms);
        Limits {
            request_ms: ms(self.shadow_provision_limit_s),
            provision_ms: ms(self.shadow_provision_limit_s),
            sync_ms: ms(self.shadow_sync_limit_s),
            warm_up_ms: ms(self.shadow_warm_up_limit_s),
            drain_ms: ms(self.shadow_drain_limit_s),
            suspend_ms: self.shadow_suspend_ticks * tick_ms,
            clean_ms: ms(self.shadow_provision_limit_s),
            silence_ms,
            warm_up_every_ms: ms(self.warmup_interval_s),
            idle_ms: self.shadow_idle_ticks * tick_ms,
            age_ms: self.max_shadow_age_ticks * tick_ms,
        }
    }

    /// Does this VM keep a shadow? Not where it may be away for as long as a cold start takes. One whose owner pays for a
    /// shorter time has one whatever the others have.
    pub fn keeps_shadow(&self, v: &VmView) -> bool {
        match v.standing.max_downtime_s {
            Some(own) => own < self.cold_start_s,
            None => self.shadow_with_primary && self.max_downtime_s < self.cold_start_s,
        }
    }

    /// Is its shadow sized to take all of its load?
    pub fn is_failover_target(&self, v: &VmView) -> bool {
        self.shadow_failover || v.standing.max_downtime_s.is_some_and(|own| own < self.cold_start_s)
    }

    /// Checks every setting against its range in [`crate::keys`]; call it once after reading a file.
    ///
    /// # Errors
    /// The first that is outside.
    pub fn check(&self) -> Result<(), PolicyError> {
        if let Some(name) = self.modes.unknown() {
            let names = foreshade_types::Action::NAMES.join(", ");
            return wrong("modes", name, &format!("the name of an action: {names}"));
        }
        let is = |k: &Key| (k.get)(self);
        match KEYS.iter().find(|k| !k.range.has(is(k))) {
            Some(k) => wrong(k.name, &is(k).to_string(), &k.range.to_string()),
            None => self.failover.check().or_else(|(key, value, range)| wrong(key, &value, range)),
        }
    }
}

fn wrong(key: &str, value: &str, range: &str) -> Result<(), PolicyError> {
    Err(PolicyError { key: key.into(), value: value.into(), range: range.into() })
}
