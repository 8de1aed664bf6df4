//! Units of what a host has and a VM is given.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Serialize};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl Add for $name {
            type Output = Self;
            fn add(self, o: Self) -> Self {
                Self(self.0 + o.0)
            }
        }

        /// Saturates at zero: what is left of a capacity is never negative.
        impl Sub for $name {
            type Output = Self;
            fn sub(self, o: Self) -> Self {
                Self(self.0.saturating_sub(o.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, o: Self) {
                *self = *self + o;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, o: Self) {
                *self = *self - o;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self(0), Add::add)
            }
        }

        impl $name {
            /// `self * num / den`, rounded up. `den` must not be 0.
            pub fn scale_up(self, num: u64, den: u64) -> Self {
                Self((self.0 * num).div_ceil(den))
            }

            /// The share of this quantity that `points` (of 100) stand for, rounded up; NaN and negative give 0.
            pub fn points_up(self, points: f32) -> Self {
                Self((self.0 as f64 * f64::from(points.max(0.0)) / 100.0).ceil() as u64)
            }

            /// `part` as points (of 100) of this quantity; 0 when this quantity is 0.
            pub fn points_of(self, part: Self) -> f32 {
                if self.0 == 0 { 0.0 } else { (part.0 as f64 * 100.0 / self.0 as f64) as f32 }
            }
        }
    };
}

unit!(
    /// A thousandth of a core.
    Millicores
);
unit!(
    /// 2^20 bytes of memory.
    Mebibytes
);

impl fmt::Display for Millicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} cores", self.0 as f64 / 1000.0)
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} GiB", self.0 as f64 / 1024.0)
    }
}

/// What a VM was sold: the most it may ever be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VmSize {
    /// Cores.
    pub cpu: Millicores,
    /// Memory.
    pub memory: Mebibytes,
}

/// VMs by the cores they were sold: figures that hold on the mean of a fleet may fail the few that are large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VmClass {
    /// Up to 2 cores.
    Small,
    /// Up to 8 cores.
    Medium,
    /// More.
    Large,
}

impl VmClass {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

impl From<VmSize> for VmClass {
    fn from(s: VmSize) -> Self {
        match s.cpu.0 {
            0..=2_000 => Self::Small,
            2_001..=8_000 => Self::Medium,
            _ => Self::Large,
        }
    }
}

/// What a VM is given now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Allocation {
    /// CPU quota.
    pub cpu: Millicores,
    /// Memory.
    pub memory: Mebibytes,
}

impl From<VmSize> for Allocation {
    fn from(s: VmSize) -> Self {
        Self { cpu: s.cpu, memory: s.memory }
    }
}
