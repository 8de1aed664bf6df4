//! What the planner sees: one rack at one tick, in integers on the planning grid.

use foreshade_types::{
    Allocation, HostId, Mebibytes, Millicores, Part, Pool, Quantiles, RackId, Readiness, Tick, VmId, VmSize,
};

use crate::failover::Standing;
use crate::lifecycle::Shadow;
use crate::{Site, Trail};

/// Upper quantiles of a forecast in millicores or MiB, rounded up to [`Bound::GRID`]: devices that differ by less than
/// the grid give the same plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// Median.
    pub q50: u64,
    /// 90 %.
    pub q90: u64,
    /// 95 %.
    pub q95: u64,
    /// 99 %.
    pub q99: u64,
}

impl Bound {
    /// 10 millicores or 10 MiB.
    pub const GRID: u64 = 10;

    /// Rounds quantiles that are in the unit already.
    pub fn from_units(q: &Quantiles) -> Self {
        Self { q50: grid(q.q50()), q90: grid(q.q90()), q95: grid(q.q95()), q99: grid(q.q99()) }
    }

    /// Quantiles in points of `whole`.
    pub fn from_points(q: &Quantiles, whole: u64) -> Self {
        let scale = whole as f32 / 100.0;
        Self::from_units(&Quantiles(q.0.map(|p| p * scale)))
    }

    /// The value at `permille` thousandths: 500, 900, 950 or 990; anything above 950 is the highest.
    pub fn at(&self, permille: u16) -> u64 {
        match permille {
            0..=500 => self.q50,
            501..=900 => self.q90,
            901..=950 => self.q95,
            _ => self.q99,
        }
    }
}

impl Bound {
    /// The allocation at which one more unit is worth its price: the newsvendor's answer. Beyond q90 the tail is taken
    /// as exponential, `P(demand > a) = 0.1 exp(-(a - q90) / tau)` with `tau = (q99 - q90) / ln 10`; holding `a` costs
    /// `a`, running short costs `price`, so the best `a` leaves a risk of `tau / price`: VMs with narrow tails are
    /// covered further than those with wide ones. The risk is never above a quarter. Returns the allocation and its
    /// quantile in thousandths. (Arrow, Harris, Marschak, "Optimal inventory policy", 1951, for the critical ratio.)
    pub fn priced(&self, price: u64) -> (u64, u16) {
        if self.q99 <= self.q90 {
            return (self.q99, 999);
        }
        let tau = (self.q99 - self.q90) as f64 / std::f64::consts::LN_10;
        let risk = (tau / price.max(1) as f64).clamp(1e-4, 0.25);
        let a = self.q90 as f64 + tau * (0.1 / risk).ln();
        let a = grid(a.max(self.q50 as f64) as f32);
        (a, ((1.0 - risk) * 1000.0) as u16)
    }
}

fn grid(x: f32) -> u64 {
    // The small tolerance keeps a value that sits on the grid there whatever its last bit.
    let steps = (f64::from(x.max(0.0)) / Bound::GRID as f64 - 1e-4).ceil();
    steps.max(0.0) as u64 * Bound::GRID
}

/// The forecast of one resource of one VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VmForecast {
    /// Largest value of the next 30 min.
    pub peak: Bound,
    /// The next sample.
    pub step: Bound,
    /// One hour ahead.
    pub hour: Bound,
}

/// One VM.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct VmView {
    /// Its id.
    pub id: VmId,
    /// Where its primary is.
    pub host: HostId,
    /// What it was sold.
    pub size: VmSize,
    /// What it has.
    pub allocation: Allocation,
    /// Its last CPU demand (used + throttled).
    pub cpu_demand: Millicores,
    /// Its last memory demand.
    pub memory_demand: Mebibytes,
    /// CPU forecast.
    pub cpu: VmForecast,
    /// Memory forecast; `None` where the trace's memory is not consumed memory, and so is left alone.
    pub memory: Option<VmForecast>,
    /// May the forecasts be acted on?
    pub readiness: Readiness,
    /// Ticks since its last sample.
    pub stale_ticks: u64,
    /// Its shadow.
    pub shadow: Option<Shadow>,
    /// Its owner has suspended or terminated it.
    pub stopped: bool,
    /// Whose it is; `None` = nobody with hosts of their own.
    pub customer: Option<u32>,
    /// Migrations in the last `migration_window_ticks`.
    pub moves: u32,
    /// A migration is under way.
    pub migrating: bool,
    /// Where that migration goes, if it was asked for here.
    pub moving_to: Option<HostId>,
    /// Memory it writes, MiB/s.
    pub dirty_mib_s: u64,
    /// Hosts that it left of late.
    pub trail: Trail,
    /// May it be moved again?
    pub cool_down: bool,
    /// What its fail-over needs to know.
    pub standing: Standing,
}

impl VmView {
    /// Share of the load that the shadow serves, percent.
    pub fn away_percent(&self) -> u64 {
        self.shadow.map_or(0, |s| s.away_percent())
    }
}

/// One host. Loads are forecast on the host's own series (the aligned sum of what it carries), never as a sum of bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostView {
    /// Its id.
    pub id: HostId,
    /// CPU it has.
    pub cpu: Millicores,
    /// Memory it has.
    pub memory: Mebibytes,
    /// CPU demand of what it carries now.
    pub load: Millicores,
    /// Memory demand of what it carries now.
    pub memory_load: Mebibytes,
    /// Peak of its CPU demand over the next 30 min.
    pub peak: Bound,
    /// Its CPU demand in one hour.
    pub hour: Bound,
    /// Whom it serves.
    pub pool: Pool,
    /// What fails together with it.
    pub domain: u32,
    /// It runs, as far as anybody has said.
    pub up: bool,
}

/// One rack at one tick.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The rack.
    pub rack: RackId,
    /// The tick whose samples are the newest known.
    pub tick: Tick,
    /// Its VMs, ascending.
    pub vms: &'a [VmView],
    /// Its hosts, ascending.
    pub hosts: &'a [HostView],
    /// Seconds between samples.
    pub cadence_s: u32,
    /// Length of a tick, milliseconds.
    pub tick_ms: u64,
    /// Migrations that may still be started this tick.
    pub migrations_left: u32,
    /// What people have laid down.
    pub site: &'a Site,
    /// What migrations of this rack were copied at, MiB/s.
    pub bandwidth_mib_s: u64,
    /// How far ahead the peaks of the forecasts reach, seconds.
    pub peak_s: u32,
    /// How far ahead the farthest forecast reaches, seconds.
    pub hour_s: u32,
    /// The best hosts for what [`crate::wanted`] asked, best first, as a device scored them; where it names none for a VM, the
    /// least loaded are tried.
    pub shortlist: &'a [Named],
}

impl PlanInput<'_> {
    /// Trace time of the tick.
    pub fn now_ms(&self) -> u64 {
        self.tick.0 * self.tick_ms
    }

    /// May `h` carry a shadow of `v`: a host of its pools that no fault shares with its primary?
    pub fn may_shadow(&self, v: &VmView, h: &HostView) -> bool {
        let home = self.host(v.host).map(|p| p.domain);
        h.up && h.id != v.host
            && home != Some(h.domain)
            && h.pool.takes_shadow(v.customer)
            && self.ruled(v.id, Part::Shadow, h.id).is_ok()
    }

    /// May `h` carry `v` itself?
    pub fn may_move(&self, v: &VmView, h: &HostView) -> bool {
        self.takes(v, h) && self.ruled(v.id, Part::Primary, h.id).is_ok()
    }

    /// The VM's row.
    pub fn vm(&self, id: VmId) -> Option<&VmView> {
        self.vms.binary_search_by_key(&id, |v| v.id).ok().map(|i| &self.vms[i])
    }

    /// May `h` take what is wanted?
    pub fn may_take(&self, v: &VmView, share_percent: u8, h: &HostView) -> bool {
        if share_percent == 100 { self.may_move(v, h) } else { self.may_shadow(v, h) }
    }

    /// The host's row.
    pub fn host(&self, id: HostId) -> Option<&HostView> {
        self.hosts.binary_search_by_key(&id, |h| h.id).ok().map(|i| &self.hosts[i])
    }
}

/// A VM that might leave its host, whole (100) or by a share that a shadow would serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The VM.
    pub vm: VmId,
    /// How much of it, percent.
    pub share_percent: u8,
}

/// A host that is good for what is [`Wanted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// What.
    pub what: Wanted,
    /// Where to.
    pub to: HostId,
}

/// "What if `share_percent` of this VM's load ran on `to`?" 100 = the whole VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveQuery {
    /// The VM.
    pub vm: VmId,
    /// The host that would carry it.
    pub to: HostId,
    /// How much of it.
    pub share_percent: u8,
    /// `true`: the load comes back from the shadow's host to the primary's.
    pub back: bool,
}

/// The answer to a [`MoveQuery`]: CPU peaks over the next 30 min after the move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MoveScore {
    /// Of the host that gives the load up.
    pub source: Bound,
    /// Of the host that takes it.
    pub target: Bound,
}
