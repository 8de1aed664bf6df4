//! Three policies to begin with: `balanced` is the default; `safe` reserves more and moves less; `dense` the opposite.

use crate::Policy;
use crate::keys::{KEYS, Value};

/// A policy to begin with; a file's own settings come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// Wider margins, lower limits, longer rests.
    Safe,
    /// The defaults.
    #[default]
    Balanced,
    /// Narrower margins, higher limits, shorter rests.
    Dense,
}

impl Preset {
    /// All, from the one that reserves most.
    pub const ALL: [Self; 3] = [Self::Safe, Self::Balanced, Self::Dense];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Balanced => "balanced",
            Self::Dense => "dense",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// The policy.
    pub fn policy(self) -> Policy {
        let mut policy = Policy::default();
        for k in KEYS {
            let own = match self {
                Self::Safe => k.safe,
                Self::Balanced => None,
                Self::Dense => k.dense,
            };
            if let Some(n) = own {
                (k.set)(&mut policy, Value::Number(n));
            }
        }
        policy
    }
}
