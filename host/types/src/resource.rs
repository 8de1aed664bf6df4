//! The resources a VM is measured in, and the scale that forecasts work on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One measured resource of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// CPU, in points (percent) of the VM's size.
    Cpu,
    /// Memory, in points of the VM's size.
    Memory,
    /// Disk reads, KB/s.
    DiskRead,
    /// Disk writes, KB/s.
    DiskWrite,
    /// Bytes received, KB/s.
    NetRx,
    /// Bytes sent, KB/s.
    NetTx,
}

/// All resources, in the order of their columns.
pub const RESOURCES: [Resource; 6] = [
    Resource::Cpu,
    Resource::Memory,
    Resource::DiskRead,
    Resource::DiskWrite,
    Resource::NetRx,
    Resource::NetTx,
];

impl Resource {
    /// The name in reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::DiskRead => "disk_read",
            Self::DiskWrite => "disk_write",
            Self::NetRx => "net_rx",
            Self::NetTx => "net_tx",
        }
    }

    /// The scale its series is forecast on.
    pub fn transform(self) -> Transform {
        match self {
            Self::Cpu | Self::Memory => Transform::Points,
            _ => Transform::Log,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Maps a unit to the forecaster's scale and back. Both are monotone, so quantiles survive the round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// Percent stays percent ("points" of 100).
    Points,
    /// `20 log10(1 + x)`: heavy-tailed rates span five decades.
    Log,
}

impl Transform {
    /// Unit -> points. NaN stays NaN, negative counts as 0.
    pub fn to_points(self, x: f32) -> f32 {
        if x.is_nan() {
            return f32::NAN;
        }
        match self {
            Self::Points => x.max(0.0),
            Self::Log => (20.0 * (1.0 + f64::from(x.max(0.0))).log10()) as f32,
        }
    }

    /// Points -> unit; the inverse of [`Self::to_points`] on non-negative values.
    pub fn from_points(self, p: f32) -> f32 {
        match self {
            Self::Points => p.max(0.0),
            Self::Log => (10f64.powf(f64::from(p.max(0.0)) / 20.0) - 1.0) as f32,
        }
    }
}
