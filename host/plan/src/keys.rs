//! Every number and switch of the policy, once: its name, range, what it is for, and what the presets make of it. The reader
//! of policy files, the checks, the printed defaults, the JSON Schema and docs/policy.md all come from this table.

use std::fmt;

use crate::Policy;

/// A setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Number(u64),
    /// true or false.
    Switch(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Switch(b) => b.fmt(f),
        }
    }
}

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// From the first to the second, both included.
    Between(u64, u64),
    /// One of these.
    OneOf(&'static [u64]),
    /// true or false.
    Switch,
}

impl Range {
    /// Is the value in it?
    pub fn has(&self, v: Value) -> bool {
        match (self, v) {
            (Self::Between(a, b), Value::Number(n)) => (*a..=*b).contains(&n),
            (Self::OneOf(all), Value::Number(n)) => all.contains(&n),
            (Self::Switch, Value::Switch(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(a, b) => write!(f, "{a} to {b}"),
            Self::OneOf(all) => {
                let words: Vec<_> = all.iter().map(u64::to_string).collect();
                let (last, rest) =
                    words.split_last().map_or((String::new(), &[][..]), |(l, r)| (l.clone(), r));
                write!(f, "{} or {last}", rest.join(", "))
            }
            Self::Switch => write!(f, "true or false"),
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in files.
    pub name: &'static str,
    /// What it may be.
    pub range: Range,
    /// What it is for, in a sentence without its full stop.
    pub doc: &'static str,
    /// What preset `safe` makes of it.
    pub safe: Option<u64>,
    /// What preset `dense` makes of it.
    pub dense: Option<u64>,
    /// Reads it.
    pub get: fn(&Policy) -> Value,
    /// Sets it; a value outside its range is clipped or left.
    pub set: fn(&mut Policy, Value),
}

/// A type that settings have.
trait Setting: Copy {
    fn value(self) -> Value;
    fn put(&mut self, v: Value);
}

impl Setting for bool {
    fn value(self) -> Value {
        Value::Switch(self)
    }

    fn put(&mut self, v: Value) {
        if let Value::Switch(b) = v {
            *self = b;
        }
    }
}

macro_rules! numbers {
    ($($t:ty),*) => {$(
        impl Setting for $t {
            fn value(self) -> Value {
                Value::Number(u64::from(self))
            }

            fn put(&mut self, v: Value) {
                if let Value::Number(n) = v {
                    *self = n.try_into().unwrap_or(<$t>::MAX);
                }
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64);

macro_rules! row {
    ($key:ident, $range:expr, $doc:literal) => {
        row!(@ $key, $range, $doc, None, None)
    };
    ($key:ident, $range:expr, $doc:literal, safe $safe:literal, dense $dense:literal) => {
        row!(@ $key, $range, $doc, Some($safe), Some($dense))
    };
    (@ $key:ident, $range:expr, $doc:literal, $safe:expr, $dense:expr) => {
        Key {
            name: stringify!($key),
            range: $range,
            doc: $doc,
            safe: $safe,
            dense: $dense,
            get: |p| p.$key.value(),
            set: |p, v| p.$key.put(v),
        }
    };
}

/// The quantiles that forecasts have.
const QUANTILES: Range = Range::OneOf(&[500, 900, 950, 990]);

/// All settings but `mode` and `[modes]`, in the order they are shown.
pub const KEYS: &[Key] = {
    use Range::{Between, Switch};
    &[
        row!(contention_price_millicores, Between(0, 1_000_000), "What a VM that runs short is worth, in millicores: the higher, the further the next sample's demand is covered", safe 12_000, dense 2_500),
        row!(memory_quantile_permille, QUANTILES, "Quantile of the 30-min peak that a memory allocation must cover, thousandths: memory cannot be throttled", safe 990, dense 950),
        row!(margin_percent, Between(0, 1_000), "Added on top, percent", safe 5, dense 0),
        row!(
            grow_band_percent,
            Between(0, 1_000),
            "Growth smaller than this share of the allocation is not worth a decision, percent"
        ),
        row!(give_back_band_percent, Between(0, 100), "A surplus smaller than this share of the allocation is kept, percent", safe 8, dense 2),
        row!(floor_millicores, Between(0, 1_000_000), "The least a VM is given"),
        row!(floor_mib, Between(0, 1_000_000), "The least memory a VM is given, MiB"),
        row!(working_set_margin_percent, Between(0, 1_000), "Memory is never taken below the measured working set plus this, percent", safe 15, dense 2),
        row!(host_limit_percent, Between(1, 100), "A host is relieved when its forecast peak exceeds this share of its CPU, percent", safe 90, dense 99),
        row!(host_quantile_permille, QUANTILES, "Quantile of the host's 30-min peak that is compared with the limit, thousandths", safe 990, dense 900),
        row!(target_limit_percent, Between(1, 100), "A target must stay under this share of its CPU after a move, percent", safe 80, dense 96),
        row!(
            shadow_creation_threshold_permille,
            QUANTILES,
            "A shadow is made when this quantile of the host's peak exceeds the limit, thousandths"
        ),
        row!(shift_percent, Between(1, 90), "Share of the load that a shift moves, percent"),
        row!(shift_back_percent, Between(1, 100), "Traffic comes back when the host's peak with it stays under this share of its CPU, percent", safe 80, dense 92),
        row!(
            shift_band_percent,
            Between(0, 100),
            "At least this far below the limit at which it was shifted, percent of the host's CPU: the band of the hysteresis"
        ),
        row!(
            shift_dwell_ticks,
            Between(0, 1_000_000),
            "And only after its host could have carried it for this many ticks in a row"
        ),
        row!(
            shadow_idle_ticks,
            Between(0, 1_000_000),
            "A shadow that was not needed for this many ticks is suspended: it keeps its memory and holds no CPU"
        ),
        row!(
            shadow_suspend_ticks,
            Between(0, 1_000_000),
            "A shadow that was suspended for this many ticks is terminated; 0 = it is terminated instead of suspended"
        ),
        row!(
            max_shadow_age_ticks,
            Between(0, 1_000_000),
            "A shadow older than this is terminated when it is idle, ticks"
        ),
        row!(
            synchronization_interval_s,
            Between(1, 86_400),
            "A copy that is older than this lags, seconds; one that is not heard of for three of these counts as lagging"
        ),
        row!(
            warmup_interval_s,
            Between(0, 604_800),
            "Between two runs of a ready shadow's warm-up task, seconds; 0 = it runs once"
        ),
        row!(
            shadow_provision_limit_s,
            Between(1, 86_400),
            "A shadow that does not boot, or is not cleared, within this has failed, seconds"
        ),
        row!(
            shadow_sync_limit_s,
            Between(1, 86_400),
            "A shadow whose copy has not caught up within this has failed, seconds"
        ),
        row!(
            shadow_warm_up_limit_s,
            Between(1, 86_400),
            "A warm-up task that runs longer than this has failed, seconds"
        ),
        row!(
            shadow_drain_limit_s,
            Between(1, 86_400),
            "Requests that a shadow still serves after this are cut, seconds"
        ),
        row!(shadows_per_rack, Between(0, 1_000_000), "Shadows a rack may hold"),
        row!(
            shadow_idle_budget_percent,
            Between(1, 100),
            "Idle shadows of a rack hold at most this share of its CPU, percent"
        ),
        row!(
            shadow_cost_cap_millicores,
            Between(0, 1_000_000),
            "A shadow that would hold more than this is not made, millicores"
        ),
        row!(shadow_with_primary, Switch, "Every VM has a shadow, made with it"),
        row!(
            shadow_failover,
            Switch,
            "Shadows are fail-over targets: sized to the forecast's upper bound instead of the idle footprint"
        ),
        row!(
            max_downtime_s,
            Between(0, 604_800),
            "How long a VM may be away, seconds; a VM that may be away for a cold start gets no shadow of its own"
        ),
        row!(cold_start_s, Between(0, 1_000_000), "How long a cold start takes, seconds"),
        row!(
            shadow_growth_percent_per_move,
            Between(0, 1_000),
            "A shadow's footprint grows by this for each recent migration of its VM, percent"
        ),
        row!(migration_window_ticks, Between(0, 1_000_000), "How far back a migration is recent, ticks"),
        row!(
            shadow_cpu_divisor,
            Between(1, 1_000_000),
            "Idle footprint of a shadow: 1/n of the VM's CPU, at least one core"
        ),
        row!(
            shadow_memory_divisor,
            Between(1, 1_000_000),
            "Idle footprint of a shadow: 1/n of the VM's memory"
        ),
        row!(
            migration_mib_s,
            Between(1, 1_000_000),
            "Bandwidth of migrations until some were measured, MiB/s"
        ),
        row!(
            migration_standstill_ms,
            Between(0, 1_000_000),
            "How long a VM may stand still in a migration, ms"
        ),
        row!(
            migration_cpu_millicores,
            Between(0, 1_000_000),
            "CPU that a migration takes on each of its hosts, millicores"
        ),
        row!(migrations_per_tick, Between(0, 10_000), "Migrations a rack may start per tick"),
        row!(cool_down_ticks, Between(0, 1_000_000), "A VM rests this many ticks after a move; twice as many after each further one", safe 12, dense 3),
        row!(cool_down_cap_ticks, Between(0, 1_000_000), "It never rests longer than this, ticks"),
        row!(
            cool_down_window_ticks,
            Between(0, 1_000_000),
            "Moves that are longer ago than this do not lengthen the rest, ticks"
        ),
        row!(
            cycle_window_ticks,
            Between(0, 1_000_000),
            "A VM is not moved back to a host that it left within this, ticks; 0 = it may be"
        ),
        row!(migrations_per_rack, Between(0, 10_000), "Migrations that may be under way in a rack"),
        row!(migrations_per_host, Between(0, 10_000), "Migrations that may be under way from or to a host"),
        row!(max_stale_ticks, Between(0, 1_000_000), "Telemetry older than this many ticks is not acted on"),
        row!(max_candidates, Between(0, 1_000_000), "Moves scored per rack and tick"),
    ]
};

/// The setting of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.name == name)
}
