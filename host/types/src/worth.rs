//! What a shadow or a move is worth and takes, as its reason tells it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a shadow or a move is expected to save and to cost while the peak of the next 30 min lasts, in hundredths of a core
/// held as long; the most that is told is 655.35 cores. Default: not weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Worth {
    /// What the shortage it prevents is worth.
    pub saves_centicores: u16,
    /// What it holds, or what moving takes.
    pub costs_centicores: u16,
    /// How long a move is expected to take, seconds; 0 = nothing is moved.
    #[serde(default)]
    pub move_s: u16,
    /// Of that, how long the VM stands still, milliseconds.
    #[serde(default)]
    pub standstill_ms: u16,
}

impl Worth {
    /// From millicores, rounded to the nearest hundredth of a core.
    pub fn from_millicores(saves: u64, costs: u64) -> Self {
        let told = |mc: u64| u16::try_from((mc + 5) / 10).unwrap_or(u16::MAX);
        Self { saves_centicores: told(saves), costs_centicores: told(costs), ..Self::default() }
    }

    /// Was it weighed?
    pub fn is_told(&self) -> bool {
        *self != Self::default()
    }

    /// Does it save more than it costs?
    pub fn pays(&self) -> bool {
        self.saves_centicores > self.costs_centicores
    }
}

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = |c: u16| f64::from(c) / 100.0;
        let (saves, costs) = (cores(self.saves_centicores), cores(self.costs_centicores));
        write!(f, "worth {saves:.2} cores for {costs:.2}")?;
        if self.move_s > 0 {
            let still = f64::from(self.standstill_ms) / 1000.0;
            write!(f, "; moves in {} s, stands still for {still:.1} s", self.move_s)?;
        }
        Ok(())
    }
}
