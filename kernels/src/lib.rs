//! One folder per kernel: the maths, the layout every device obeys, and a slow f64 reference that defines the result.

use std::fmt;

#[path = "../lstm_step/mod.rs"]
pub mod lstm_step;

/// A computation that a device can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelId {
    /// One tick of the stateful LSTM and its quantile head: [`lstm_step`].
    LstmStep,
}

impl KernelId {
    /// Every kernel, in the order devices list them.
    pub const ALL: [Self; 1] = [Self::LstmStep];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::LstmStep => "lstm_step",
        }
    }
}

impl fmt::Display for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
