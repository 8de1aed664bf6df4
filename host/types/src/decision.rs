//! What the appliance decides, why, and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Allocation, ControllerId, HostId, RackId, Resource, Tick, VmId, Worth};

/// What a rack controller is asked to do with one VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Action {
    /// Grow the VM's allocation ahead of demand.
    PreAllocate { to: Allocation },
    /// Shrink the VM's allocation to what it is forecast to need.
    GiveBack { to: Allocation },
    /// Provision a shadow of the VM on another host.
    CreateShadow { host: HostId, size: Allocation },
    /// Terminate the VM's shadow and free what it held.
    ReleaseShadow,
    /// Serve `share_percent` of the VM's load from its shadow, grown to `size`.
    ShiftTraffic { share_percent: u8, size: Allocation },
    /// Serve all load from the primary again; the shadow shrinks to `size` and idles.
    ShiftBack { size: Allocation },
    /// Live-migrate the VM.
    Migrate { to: HostId },
    /// Stop the CPUs of the VM's shadow; it keeps its memory.
    SuspendShadow,
    /// Start the CPUs of the VM's suspended shadow and bring its copy up to date.
    ResumeShadow,
    /// Stop the failed primary, fence it, and let its shadow take over at `size` with the write token of `generation`.
    /// `hooks`: which of the policy's are run, as bits.
    FailOver { host: HostId, size: Allocation, generation: u32, hooks: u8 },
    /// Copy the primary's state to its shadow anew.
    RecoverSync,
    /// Start the VM anew on another host: its own is lost.
    Restart { host: HostId, size: Allocation, generation: u32 },
}

impl Action {
    /// The name of every kind of action, for settings by kind.
    pub const NAMES: [&'static str; 12] = [
        "pre-allocate",
        "give-back",
        "create-shadow",
        "release-shadow",
        "shift-traffic",
        "shift-back",
        "migrate",
        "suspend-shadow",
        "resume-shadow",
        "fail-over",
        "recover-sync",
        "restart",
    ];

    /// The name in feeds, reports and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PreAllocate { .. } => "pre-allocate",
            Self::GiveBack { .. } => "give-back",
            Self::CreateShadow { .. } => "create-shadow",
            Self::ReleaseShadow => "release-shadow",
            Self::ShiftTraffic { .. } => "shift-traffic",
            Self::ShiftBack { .. } => "shift-back",
            Self::Migrate { .. } => "migrate",
            Self::SuspendShadow => "suspend-shadow",
            Self::ResumeShadow => "resume-shadow",
            Self::FailOver { .. } => "fail-over",
            Self::RecoverSync => "recover-sync",
            Self::Restart { .. } => "restart",
        }
    }
}

/// The planner's rule that fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Rule {
    /// The forecast bound exceeds the allocation.
    DemandAboveAllocation = 1,
    /// The allocation exceeds the forecast bound by more than the dead band.
    AllocationAboveDemand = 2,
    /// The host is forecast to run over for a while: its VMs get the max-min fair share of it.
    FairShare = 3,
    /// The host is forecast to peak over its capacity for a short time.
    HostPeak = 4,
    /// The host is forecast to stay over its capacity.
    HostOverload = 5,
    /// The peak has passed.
    PeakPassed = 6,
    /// A shadow that is no longer expected to be used.
    ShadowIdle = 7,
    /// The policy gives every VM a shadow.
    ShadowWithPrimary = 8,
    /// A shadow older than the policy allows.
    ShadowAged = 9,
    /// The VM is suspended or gone, and its shadow with it.
    PrimaryGone = 10,
    /// Another shadow needs the place in the budget more.
    ShadowOverBudget = 11,
    /// What is left of a shadow that failed is cleared.
    ShadowFailed = 12,
    /// The VM came to run where one fault would take its shadow with it.
    SharedFate = 13,
    /// Its host is lost.
    HostLost = 20,
    /// Its heartbeats have ceased.
    HeartbeatLost = 21,
    /// It answers too many requests with errors.
    ErrorRate = 22,
    /// Its CPU has been busy for too long.
    CpuSaturated = 23,
    /// A rule of the operator's says that it has failed.
    OperatorsRule = 24,
}

impl Rule {
    /// All rules, for decoding.
    pub const ALL: [Self; 18] = [
        Self::DemandAboveAllocation,
        Self::AllocationAboveDemand,
        Self::FairShare,
        Self::HostPeak,
        Self::HostOverload,
        Self::PeakPassed,
        Self::ShadowIdle,
        Self::ShadowWithPrimary,
        Self::ShadowAged,
        Self::PrimaryGone,
        Self::ShadowOverBudget,
        Self::ShadowFailed,
        Self::SharedFate,
        Self::HostLost,
        Self::HeartbeatLost,
        Self::ErrorRate,
        Self::CpuSaturated,
        Self::OperatorsRule,
    ];

    /// The rule in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::DemandAboveAllocation => "forecast exceeds allocation",
            Self::AllocationAboveDemand => "allocation exceeds forecast",
            Self::FairShare => "fair share of a host forecast to run over",
            Self::HostPeak => "host forecast to peak over its limit",
            Self::HostOverload => "host forecast to stay over its limit",
            Self::PeakPassed => "peak has passed",
            Self::ShadowIdle => "shadow no longer needed",
            Self::ShadowWithPrimary => "every VM has a shadow",
            Self::ShadowAged => "shadow older than allowed",
            Self::PrimaryGone => "VM is stopped",
            Self::ShadowOverBudget => "shadow makes room for one needed more",
            Self::ShadowFailed => "shadow failed",
            Self::SharedFate => "shadow would fail with its VM",
            Self::HostLost => "its host is lost",
            Self::HeartbeatLost => "no heartbeat",
            Self::ErrorRate => "too many errors",
            Self::CpuSaturated => "CPU busy for too long",
            Self::OperatorsRule => "a rule of the operator holds",
        }
    }
}

/// Why nothing, or not this, was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum HoldReason {
    /// The forecast fits the allocation.
    WithinBounds = 1,
    /// Too little history.
    Cold = 2,
    /// No sample for more than the allowed ticks.
    Stale = 3,
    /// Changed a short while ago.
    CoolDown = 4,
    /// As many migrations are under way, or were started this tick, as the budget allows.
    Budget = 5,
    /// No host has room for it over the horizon.
    NoBeneficialMove = 6,
    /// A migration, resize or shadow of this VM is under way.
    InFlight = 7,
    /// The change is smaller than the dead band.
    DeadBand = 8,
    /// The peak is expected to pass before a migration pays.
    Transient = 9,
    /// The load is expected to stay: a shadow would be held for long.
    Sustained = 10,
    /// Another VM relieves the host at less cost.
    CostlierThanChosen = 11,
    /// The VM is as large as it was sold.
    AtSize = 12,
    /// The mode of this action is not auto.
    Advise = 13,
    /// The VM would run short.
    WouldRunShort = 14,
    /// Capacity would stand idle.
    WouldIdle = 15,
    /// The rack holds as many shadows as the policy allows.
    ShadowBudget = 16,
    /// A shadow of this VM costs more than the policy's cap.
    ShadowCost = 17,
    /// A shadow is expected to save less than it costs.
    NotWorth = 18,
    /// No host of its pools and outside its failure domain has room for its shadow.
    NoShadowHost = 19,
    /// The VM is suspended or terminated.
    Stopped = 20,
    /// The VM may be away for as long as a cold start takes.
    DowntimeTolerated = 21,
    /// Its owner wants it left alone.
    OptedOut = 30,
    /// It is pinned to hosts that cannot take it, or to its own.
    Pinned = 31,
    /// A VM that it must stay apart from is wherever there would be room.
    Apart = 32,
    /// It must be on one host with others, which stay.
    Together = 33,
    /// It writes its memory faster than a migration could copy it.
    WouldNotConverge = 22,
    /// A migration would end after what it is to prevent.
    TooLate = 23,
    /// A migration costs more than it is expected to save.
    MoveNotWorth = 24,
    /// The policy has turned this kind of action off.
    TurnedOff = 40,
    /// The operator has paused the appliance.
    Paused = 41,
    /// The mode of this action was auto, and it has cost more than it was worth.
    Demoted = 42,
    /// It left that host a short while ago.
    WouldReturn = 43,
    /// As many migrations leave or reach the host as the policy allows.
    HostMoves = 44,
    /// It was failed over a short while ago: a relapse is waited out.
    FailOverRest = 25,
    /// Its shadow's copy is not in sync.
    NotSynchronised = 26,
    /// No host has room for what it will need.
    NoRoom = 27,
    /// It has no shadow to fail over to.
    NoShadow = 28,
}

impl HoldReason {
    /// All reasons, for decoding.
    pub const ALL: [Self; 37] = [
        Self::WithinBounds,
        Self::Cold,
        Self::Stale,
        Self::CoolDown,
        Self::Budget,
        Self::NoBeneficialMove,
        Self::InFlight,
        Self::DeadBand,
        Self::Transient,
        Self::Sustained,
        Self::CostlierThanChosen,
        Self::AtSize,
        Self::Advise,
        Self::WouldRunShort,
        Self::WouldIdle,
        Self::ShadowBudget,
        Self::ShadowCost,
        Self::NotWorth,
        Self::NoShadowHost,
        Self::Stopped,
        Self::DowntimeTolerated,
        Self::OptedOut,
        Self::Pinned,
        Self::Apart,
        Self::Together,
        Self::WouldNotConverge,
        Self::TooLate,
        Self::MoveNotWorth,
        Self::TurnedOff,
        Self::Paused,
        Self::Demoted,
        Self::WouldReturn,
        Self::HostMoves,
        Self::FailOverRest,
        Self::NotSynchronised,
        Self::NoRoom,
        Self::NoShadow,
    ];

    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::WithinBounds => "forecast fits the allocation",
            Self::Cold => "too little history",
            Self::Stale => "telemetry is stale",
            Self::CoolDown => "in cool-down",
            Self::Budget => "migration budget used",
            Self::NoBeneficialMove => "no beneficial move",
            Self::InFlight => "an action is in flight",
            Self::DeadBand => "change within the dead band",
            Self::Transient => "peak too short for a migration",
            Self::Sustained => "load too long for a shadow",
            Self::CostlierThanChosen => "another VM relieves the host at less cost",
            Self::AtSize => "already at its size",
            Self::Advise => "mode is advise",
            Self::WouldRunShort => "would run short",
            Self::WouldIdle => "capacity would stand idle",
            Self::ShadowBudget => "shadow budget used",
            Self::ShadowCost => "shadow costs more than the cap",
            Self::NotWorth => "shadow not worth its cost",
            Self::NoShadowHost => "no host may carry its shadow",
            Self::Stopped => "VM is stopped",
            Self::DowntimeTolerated => "a cold start is soon enough",
            Self::OptedOut => "opted out",
            Self::Pinned => "pinned",
            Self::Apart => "would meet a VM it stays apart from",
            Self::Together => "would leave VMs it stays together with",
            Self::WouldNotConverge => "a migration would not converge",
            Self::TooLate => "a migration would come too late",
            Self::MoveNotWorth => "a migration costs more than it saves",
            Self::TurnedOff => "turned off by the policy",
            Self::Paused => "paused by the operator",
            Self::Demoted => "its record is too poor to act alone",
            Self::WouldReturn => "would go back where it came from",
            Self::HostMoves => "host moves as many as allowed",
            Self::FailOverRest => "failed over a short while ago",
            Self::NotSynchronised => "its shadow is not in sync",
            Self::NoRoom => "no host has room for it",
            Self::NoShadow => "it has no shadow to fail over to",
        }
    }
}

/// An alternative that was weighed and not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its name, as [`Action::name`]; "hold" for doing nothing.
    pub alternative: Alternative,
    /// Why not.
    pub why: HoldReason,
}

/// The alternatives a reason may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Alternative {
    /// Do nothing.
    Hold = 1,
    /// Grow the VM.
    PreAllocate = 2,
    /// A shadow and a traffic shift.
    Shadow = 3,
    /// A live migration.
    Migrate = 4,
    /// A fail-over.
    FailOver = 5,
}

impl Alternative {
    /// All alternatives, for decoding.
    pub const ALL: [Self; 5] = [Self::Hold, Self::PreAllocate, Self::Shadow, Self::Migrate, Self::FailOver];

    /// The name in feeds.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::PreAllocate => "pre-allocate",
            Self::Shadow => "shadow",
            Self::Migrate => "migrate",
            Self::FailOver => "fail-over",
        }
    }
}

/// Why a decision was taken: the rule and the numbers it compared. At most three rejected alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule that fired.
    pub rule: Rule,
    /// Of which resource.
    pub resource: Resource,
    /// The quantile of the forecast that was compared, in thousandths (950 = q95).
    pub quantile_permille: u16,
    /// Its horizon in seconds; 0 = the peak of the next 30 min.
    pub horizon_s: u32,
    /// The forecast: millicores or MiB.
    pub predicted: u64,
    /// What it was compared with: millicores or MiB.
    pub threshold: u64,
    /// What a shadow is worth, where one is made, kept or given up; what a move is worth and takes.
    #[serde(default)]
    pub worth: Worth,
    /// What else was weighed.
    pub rejected: Vec<Rejected>,
}

impl Reason {
    /// The forecast and what it was compared with.
    pub fn compared(&self) -> String {
        let (p, t) = (self.predicted as f64, self.threshold as f64);
        let (p, t, unit) = match self.resource {
            Resource::Memory => (p / 1024.0, t / 1024.0, "GiB"),
            _ => (p / 1000.0, t / 1000.0, "cores"),
        };
        let q = f32::from(self.quantile_permille) / 10.0;
        let over =
            if self.horizon_s == 0 { "30-min peak".into() } else { format!("in {} s", self.horizon_s) };
        format!("{} q{q} {over} {p:.2} against {t:.2} {unit}", self.resource)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.text(), self.compared())?;
        if self.worth.is_told() {
            write!(f, "; {}", self.worth)?;
        }
        for (i, r) in self.rejected.iter().enumerate() {
            let lead = if i == 0 { "; not " } else { ", not " };
            write!(f, "{lead}{} ({})", r.alternative.name(), r.why.text())?;
        }
        Ok(())
    }
}

/// Names a decision for all time: the epoch of the appliance that took it and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DecisionId(pub u128);

impl DecisionId {
    /// Derived, never drawn: the same run gives the same ids.
    pub fn new(epoch: u64, rack: RackId, seq: u64) -> Self {
        Self((u128::from(epoch) << 96) | (u128::from(rack.0) << 64) | u128::from(seq))
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0 >> 96, (self.0 >> 64) as u32, self.0 as u64)
    }
}

/// One decision for one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Fencing epoch of the appliance; a controller refuses lower ones than it has seen.
    pub epoch: u64,
    /// Dense per rack, from 1.
    pub seq: u64,
    /// The rack whose controller is to act.
    pub rack: RackId,
    /// The tick whose samples caused it.
    pub caused_by: Tick,
    /// The VM.
    pub vm: VmId,
    /// The host the appliance believes the VM is on: the controller refuses the decision if it is not.
    pub observed_host: HostId,
    /// Trace time after which it must not be applied, milliseconds.
    pub expires_at_ms: u64,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    /// Its id.
    pub fn id(&self) -> DecisionId {
        DecisionId::new(self.epoch, self.rack, self.seq)
    }
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OutcomeKind {
    /// Under way or done.
    Applied = 1,
    /// The VM is not where the decision believes it is, or has changed since.
    Precondition = 2,
    /// The target has no room.
    NoCapacity = 3,
    /// Arrived too late.
    Expired = 4,
    /// From an appliance that has been superseded.
    StaleEpoch = 5,
    /// This hypervisor cannot do it, or not in this state.
    Unsupported = 6,
}

impl OutcomeKind {
    /// All kinds, for decoding.
    pub const ALL: [Self; 6] = [
        Self::Applied,
        Self::Precondition,
        Self::NoCapacity,
        Self::Expired,
        Self::StaleEpoch,
        Self::Unsupported,
    ];

    /// The outcome in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Precondition => "refused: the VM is elsewhere, or has changed since",
            Self::NoCapacity => "refused: the target has no room",
            Self::Expired => "refused: it came too late",
            Self::StaleEpoch => "refused: another appliance has taken over",
            Self::Unsupported => "refused: this hypervisor cannot do it",
        }
    }
}

/// A controller's answer to one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Who answers.
    pub controller: ControllerId,
    /// The decision's number.
    pub seq: u64,
    /// What became of it.
    pub kind: OutcomeKind,
    /// Trace time at which it takes or took effect, milliseconds; 0 unless applied.
    pub effective_at_ms: u64,
}
