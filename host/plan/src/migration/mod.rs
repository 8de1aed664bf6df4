//! The life of a live migration: an explicit, pure state machine.
//!
//! ```text
//! preparing -prepared-> snapshotting -taken-> transferring -converged-> redirecting -switched-> verifying -passed-> finalising
//!     |                      |                     |                         |                     |                    |
//!     +----------------------+---- any fault ------+-------------------------+---------------------+                    |
//!     v                                                                                                       finalised v
//! rolled back <--------------------------------------------- go back, target lost ------------------------------------ kept
//!                                                                                                          window over  |
//! failed: the VM's host was lost with it                                                                        done <--+
//! ```
//!
//! [`step`] is total. At most one copy runs; both may stand still while the VM is switched, and where its host is lost none
//! is left. While the source is kept, what the target writes goes to it, so that going back loses nothing. The
//! [`Effect`]s are desired state, in the order in which they must be carried out: the copy that runs is stopped before the
//! other is started. `tests/migration.rs` walks every state that can be reached.

mod step;

use foreshade_types::{HostId, MovePhase};
use thiserror::Error;

pub use step::step;

/// What there is of the VM on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Copy {
    /// Nothing, and nothing is held.
    Absent,
    /// Room, and what was copied so far.
    Reserved,
    /// All of it; its CPUs stand still.
    Stopped,
    /// All of it, running.
    Running,
}

/// One migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Migration {
    /// How far it is.
    pub phase: MovePhase,
    /// Where it came from.
    pub from: HostId,
    /// Where it goes.
    pub to: HostId,
    /// What is at the source.
    pub source: Copy,
    /// What is at the target.
    pub target: Copy,
    /// When it came into its phase, ms.
    pub entered_ms: u64,
}

impl Migration {
    /// Begins one: the target is to reserve room. `None` where source and target are one host.
    pub fn begin(from: HostId, to: HostId, now_ms: u64) -> Option<(Self, Vec<Effect>)> {
        let new = Self {
            phase: MovePhase::Preparing,
            from,
            to,
            source: Copy::Running,
            target: Copy::Reserved,
            entered_ms: now_ms,
        };
        (from != to).then_some((new, vec![Effect::ReserveTarget]))
    }

    /// Where the VM runs; `None` while it stands still, or is lost.
    pub fn runs_on(&self) -> Option<HostId> {
        match (self.source, self.target) {
            (Copy::Running, _) => Some(self.from),
            (_, Copy::Running) => Some(self.to),
            _ => None,
        }
    }

    /// The hosts on which it holds memory.
    pub fn holds(&self) -> impl Iterator<Item = HostId> {
        let held = |(copy, host): (Copy, HostId)| (copy != Copy::Absent).then_some(host);
        [(self.source, self.from), (self.target, self.to)].into_iter().filter_map(held)
    }
}

/// How long the phases may last, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the target has room.
    pub prepare_ms: u64,
    /// Until all memory was sent once.
    pub snapshot_ms: u64,
    /// Until what is left is small.
    pub transfer_ms: u64,
    /// In which the VM stands still.
    pub redirect_ms: u64,
    /// Until it is known to work.
    pub verify_ms: u64,
    /// Until the source is a copy to go back to.
    pub finalise_ms: u64,
    /// How long the source is kept; going back works this long.
    pub window_ms: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The target has room for it.
    Prepared,
    /// The step that is under way failed.
    StepFailed,
    /// All memory was sent once.
    SnapshotTaken,
    /// What is left can be sent within the allowed standstill.
    Converged,
    /// The target runs it.
    Switched,
    /// It works there.
    Verified,
    /// The source is kept.
    Finalised,
    /// An operator, or a rule, wants it back.
    GoBack,
    /// The source's host is gone.
    SourceLost,
    /// The target's host is gone.
    TargetLost,
    /// The controller has lost what it was doing.
    ControllerRestarted,
    /// Its phase lasted longer than its limit.
    TimedOut,
}

/// What is to be done. Desired state: doing it again changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Reserve room at the target.
    ReserveTarget,
    /// Send all memory while the VM runs.
    Snapshot,
    /// Send what was written since.
    SendRest,
    /// Stop the CPUs at the source.
    StopSource,
    /// Send the last of it, then start the CPUs at the target and announce its address there.
    StartTarget,
    /// Check that it works.
    Verify,
    /// Keep the source stopped and up to date.
    KeepSource,
    /// Stop the CPUs at the target.
    StopTarget,
    /// Start the CPUs at the source and announce its address there.
    StartSource,
    /// Nothing is left at the source.
    FreeSource,
    /// Nothing is left at the target.
    FreeTarget,
    /// Tell people that the VM has to be started anew.
    AlertLost,
}

/// Why an event changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is over.
    #[error("migration is over; begin a new one")]
    Final,
    /// The event has no meaning in this phase.
    #[error("migration is {}; {event:?} does not apply to it", .phase.name())]
    NotNow {
        /// Its phase.
        phase: MovePhase,
        /// The event.
        event: Event,
    },
    /// A limit that has not been reached.
    #[error("migration has {left_ms} ms left; wait for them to pass")]
    TooEarly {
        /// How long it has.
        left_ms: u64,
    },
}
