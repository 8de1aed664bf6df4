//! The steps of a live migration, as the planner, the racks and reports name them.

use serde::{Deserialize, Serialize};

/// How far a live migration is. The order is the usual way of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum MovePhase {
    /// The target reserves room.
    Preparing = 1,
    /// All memory is copied while the VM runs.
    Snapshotting = 2,
    /// What was written meanwhile is copied, round after round.
    Transferring = 3,
    /// The VM stands still: the last of its memory goes over, and its network address with it.
    Redirecting = 4,
    /// It runs at the target and is being checked.
    Verifying = 5,
    /// The source becomes a stopped copy that can be gone back to.
    Finalising = 6,
    /// It runs at the target; the source can be gone back to.
    Kept = 7,
    /// It runs at the target; nothing is left at the source.
    Done = 8,
    /// It runs at the source; nothing is left at the target.
    RolledBack = 9,
    /// Its host was lost with it.
    Failed = 10,
}

impl MovePhase {
    /// All phases.
    pub const ALL: [Self; 10] = [
        Self::Preparing,
        Self::Snapshotting,
        Self::Transferring,
        Self::Redirecting,
        Self::Verifying,
        Self::Finalising,
        Self::Kept,
        Self::Done,
        Self::RolledBack,
        Self::Failed,
    ];

    /// The name in feeds and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Snapshotting => "snapshotting",
            Self::Transferring => "transferring",
            Self::Redirecting => "redirecting",
            Self::Verifying => "verifying",
            Self::Finalising => "finalising",
            Self::Kept => "kept",
            Self::Done => "done",
            Self::RolledBack => "rolled back",
            Self::Failed => "failed",
        }
    }

    /// Nothing follows.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::RolledBack | Self::Failed)
    }

    /// Does the VM run at the target?
    pub fn is_at_target(self) -> bool {
        matches!(self, Self::Verifying | Self::Finalising | Self::Kept | Self::Done)
    }
}
