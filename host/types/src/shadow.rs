//! The states of a shadow, as the planner, the racks and the wire name them.

use serde::{Deserialize, Serialize};

/// How far a shadow is. The order is the usual way of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ShadowPhase {
    /// Decided; the host has not answered.
    Requested = 1,
    /// The host has accepted; it boots from its primary's template.
    Provisioning = 2,
    /// It copies its primary's state and has not caught up.
    Syncing = 3,
    /// In sync; its warm-up task runs.
    Warm = 4,
    /// In sync and warmed up: it may take traffic.
    Ready = 5,
    /// It serves a share of the load.
    Active = 6,
    /// New requests go to the primary again; open ones end.
    Draining = 7,
    /// Stopped: memory is kept, no CPU is held.
    Suspended = 8,
    /// Gone for good; nothing is held.
    Terminated = 9,
    /// Something went wrong; what is left of it is being cleared.
    Failed = 10,
}

impl ShadowPhase {
    /// All phases.
    pub const ALL: [Self; 10] = [
        Self::Requested,
        Self::Provisioning,
        Self::Syncing,
        Self::Warm,
        Self::Ready,
        Self::Active,
        Self::Draining,
        Self::Suspended,
        Self::Terminated,
        Self::Failed,
    ];

    /// The name in feeds and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Provisioning => "provisioning",
            Self::Syncing => "syncing",
            Self::Warm => "warm",
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Suspended => "suspended",
            Self::Terminated => "terminated",
            Self::Failed => "failed",
        }
    }

    /// Is it on its way to being ready for the first time, or again?
    pub fn is_preparing(self) -> bool {
        matches!(self, Self::Requested | Self::Provisioning | Self::Syncing | Self::Warm)
    }
}

/// How good a shadow's copy of its primary's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// There is no copy yet.
    #[default]
    Never,
    /// A copy that lags more than one `synchronization_interval`.
    Behind,
    /// Within one `synchronization_interval` of its primary.
    CaughtUp,
    /// The copy differs from its primary. Only a new one helps; until it is begun, nothing this session reports counts.
    Corrupt,
}

/// Whom a host serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// Everybody.
    #[default]
    General,
    /// The VMs of this customer and their shadows.
    Dedicated(u32),
    /// Shadows alone.
    Shadow,
}

impl Pool {
    /// May a VM of this customer run there?
    pub fn takes_vm(self, customer: Option<u32>) -> bool {
        match self {
            Self::General => true,
            Self::Dedicated(c) => customer == Some(c),
            Self::Shadow => false,
        }
    }

    /// May a shadow of a VM of this customer run there?
    pub fn takes_shadow(self, customer: Option<u32>) -> bool {
        self == Self::Shadow || self.takes_vm(customer)
    }
}
