//! Newtypes for everything that is counted or named by a number.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl $name {
            /// The id as an index into a dense table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// A virtual machine: its index in the fleet's inventory.
    VmId(u32), "vm"
);
id!(
    /// A physical machine.
    HostId(u32), "host"
);
id!(
    /// A rack: hosts that one controller acts on.
    RackId(u32), "rack"
);
id!(
    /// A rack controller.
    ControllerId(u32), "controller"
);
id!(
    /// The index of a sample: tick `t` is the sample at `t` cadences after the start of the series.
    Tick(u64), "t"
);

impl Tick {
    /// The tick after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Ticks since `earlier`; 0 when `earlier` lies ahead.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
