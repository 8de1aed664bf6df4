//! The life of a shadow: an explicit, pure state machine.
//!
//! ```text
//! requested -accepted-> provisioning -booted-> syncing -caught up-> warm -warm-up passed-> ready <-----+
//!     |                                          ^  ^                  |                   |  |  |     |
//!  refused                                needed |  +-- fell behind, or corrupt: copy again --+  |     |
//!     v                                          |                                            |  |     |
//! terminated <--- timed out, aged --- suspended -+<------------------- idle ------------------+  |     |
//!     ^                                                                          traffic shifted |     |
//!     |                                                                                          v     |
//!     +-cleaned, timed out- failed <- timed out, host lost, warm-up failed                    active   | drained
//!     |                                                                          shifted back |       |
//!     +---------- from every state: its primary is suspended, gone or beside it               v       |
//!                                                                                         draining ---+
//! ```
//!
//! [`step`] is total: every event in every state gives the next state and what is to be done, or a [`Refusal`] that says
//! why not. Whoever owns a shadow (the planner's input, a rack controller's reconciliation) keeps the [`Shadow`] value and
//! carries the [`Effect`]s out; they are desired state, so that carrying one out twice does no harm. `tests/lifecycle.rs`
//! walks every state that can be reached and holds the invariants in each.

mod clock;
mod report;
mod step;

use foreshade_types::{Allocation, HostId, Mebibytes, Millicores, ShadowPhase};
use thiserror::Error;

pub use clock::{Limits, due};
pub use foreshade_types::SyncState as Sync;
pub use report::{Report, believe};
pub use step::step;

/// A host and what fails together with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The host.
    pub host: HostId,
    /// Its failure domain (a chassis, a power feed); hosts that share nothing have different ones.
    pub domain: u32,
}

impl Place {
    /// Would one fault take both?
    pub fn shares_fate(&self, other: &Self) -> bool {
        self.host == other.host || self.domain == other.domain
    }
}

/// What became of the warm-up task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WarmUp {
    /// Not run yet, or not since the copy was last out of date.
    NotRun,
    /// Under way.
    Running,
    /// Exit status 0.
    Passed,
    /// Another exit status.
    Failed,
}

/// Why a shadow failed or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The host would not have it.
    Refused,
    /// Its primary is suspended or gone.
    PrimaryGone,
    /// Its primary moved to where one fault would take both.
    SharedFate,
    /// Nothing needed it for long enough.
    Idle,
    /// Older than `max_shadow_age`.
    Aged,
    /// The footprint budget has no room for it.
    OverBudget,
    /// What it is expected to save is less than what it costs.
    NotWorth,
    /// Its host is lost.
    HostLost,
    /// The warm-up task failed twice.
    WarmUpFailed,
    /// A state lasted longer than its limit.
    TimedOut(ShadowPhase),
}

/// One shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shadow {
    /// How far it is.
    pub phase: ShadowPhase,
    /// Where its primary is.
    pub primary: Place,
    /// Where it is itself.
    pub place: Place,
    /// What it is given while it runs; see [`Shadow::held`].
    pub size: Allocation,
    /// Share of the load it serves, percent.
    pub share_percent: u8,
    /// Its copy.
    pub sync: Sync,
    /// Its warm-up task.
    pub warm_up: WarmUp,
    /// When the last warm-up ended, ms.
    pub warmed_ms: u64,
    /// When it was requested, ms.
    pub created_ms: u64,
    /// When it came into its phase, ms.
    pub entered_ms: u64,
    /// When a forecast or its primary's traffic last needed it, ms.
    pub needed_ms: u64,
    /// When its copy was last reported on, ms.
    pub synced_ms: u64,
    /// Why it failed or ended.
    pub end: Option<End>,
}

impl Shadow {
    /// Asks for a shadow at `place`. The second value is what to do first.
    ///
    /// # Errors
    /// [`Refusal::SharesFate`] where one fault would take it with its primary.
    pub fn request(
        primary: Place,
        place: Place,
        size: Allocation,
        now_ms: u64,
    ) -> Result<(Self, Vec<Effect>), Refusal> {
        if primary.shares_fate(&place) {
            return Err(Refusal::SharesFate);
        }
        let new = Self {
            phase: ShadowPhase::Requested,
            primary,
            place,
            size,
            share_percent: 0,
            sync: Sync::Never,
            warm_up: WarmUp::NotRun,
            warmed_ms: now_ms,
            created_ms: now_ms,
            entered_ms: now_ms,
            needed_ms: now_ms,
            synced_ms: now_ms,
            end: None,
        };
        Ok((new, vec![Effect::Provision]))
    }

    /// What it takes of its host. A suspended one keeps its memory alone; one that has failed keeps all until it is
    /// cleared; a terminated one has nothing.
    pub fn held(&self) -> Allocation {
        match self.phase {
            ShadowPhase::Terminated => Allocation { cpu: Millicores(0), memory: Mebibytes(0) },
            ShadowPhase::Suspended => Allocation { cpu: Millicores(0), memory: self.size.memory },
            _ => self.size,
        }
    }

    /// May traffic be shifted to it now?
    pub fn takes_traffic(&self) -> bool {
        matches!(self.phase, ShadowPhase::Ready | ShadowPhase::Active) && self.sync == Sync::CaughtUp
    }

    /// Share of the load that is away from the primary, percent.
    pub fn away_percent(&self) -> u64 {
        u64::from(self.share_percent)
    }
}

/// What happened to a shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its host takes it.
    Accepted,
    /// Its host does not.
    Refused,
    /// Its guest runs.
    Booted,
    /// Its copy is within one interval of its primary.
    SyncCaughtUp,
    /// Its copy lags.
    SyncBehind,
    /// Its copy differs from its primary.
    SyncCorrupt,
    /// A new copy has begun.
    ResyncStarted,
    /// It is time for the warm-up task.
    WarmUpDue,
    /// The warm-up task ended with status 0.
    WarmUpPassed,
    /// The warm-up task ended otherwise.
    WarmUpFailed,
    /// A forecast, or its primary's policy, needs it.
    Needed,
    /// Traffic goes to it: how much, and what it was grown to.
    TrafficShifted { share_percent: u8, size: Allocation },
    /// All traffic goes to the primary again; it shrinks to this.
    TrafficShiftedBack { size: Allocation },
    /// Its last request has ended.
    Drained,
    /// Its host has stopped its CPUs.
    Suspended,
    /// Its primary is suspended.
    PrimarySuspended,
    /// Its primary is gone.
    PrimaryTerminated,
    /// Its primary runs elsewhere now.
    PrimaryMoved { to: Place },
    /// Nothing needs it.
    Idle,
    /// It is older than `max_shadow_age`.
    Aged,
    /// The footprint budget has no room for it.
    OverBudget,
    /// It is not worth its cost.
    NotWorth,
    /// The rack controller has lost what it was doing.
    ControllerRestarted,
    /// Its host is gone.
    HostLost,
    /// Nothing is left of it on its host.
    Cleaned,
    /// Its phase lasted longer than its limit.
    TimedOut,
}

/// What is to be done. Desired state: doing it again changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Boot it at its place from its primary's template.
    Provision,
    /// Copy from where the last copy ended.
    Sync,
    /// Copy all of it anew.
    Resync,
    /// Run the warm-up task.
    RunWarmUp,
    /// Give all traffic to the primary, now.
    ShiftBack,
    /// Wait for its requests to end.
    Drain,
    /// Stop its CPUs, keep its memory.
    Suspend,
    /// Start its CPUs.
    Resume,
    /// Terminate it and free what it holds.
    Free,
    /// Tell people.
    Alert(Alert),
}

/// What people are told. Falling behind and being wrong are different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alert {
    /// Its copy lags.
    SyncBehind,
    /// Its copy differs from its primary.
    SyncCorrupt,
    /// It failed.
    Failed,
}

impl Alert {
    /// The alert in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::SyncBehind => "its copy has fallen behind",
            Self::SyncCorrupt => "its copy differs from its VM",
            Self::Failed => "it has failed",
        }
    }
}

/// Why an event changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Terminated shadows stay so.
    #[error("shadow is terminated; request a new one")]
    Final,
    /// The event has no meaning in this phase.
    #[error("shadow is {}; {event:?} does not apply to it", .phase.name())]
    NotNow {
        /// Its phase.
        phase: ShadowPhase,
        /// The event.
        event: Event,
    },
    /// Its copy is not one to serve from.
    #[error("shadow's copy is {sync:?}; synchronise it first")]
    NotSynced {
        /// Its copy.
        sync: Sync,
    },
    /// It serves traffic that is still needed there.
    #[error("shadow serves traffic; shift it back first")]
    InUse,
    /// A limit that has not been reached.
    #[error("shadow has {left_ms} ms left; wait for them to pass")]
    TooEarly {
        /// How long it has.
        left_ms: u64,
    },
    /// One fault would take both.
    #[error("shadow would share its primary's host or failure domain; choose another host")]
    SharesFate,
    /// A share that cannot be served.
    #[error("share {share_percent} % cannot be shifted; give 1 to 90")]
    Share {
        /// What was asked for.
        share_percent: u8,
    },
}
