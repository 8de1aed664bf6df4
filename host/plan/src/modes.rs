//! How far the appliance may go by itself, by kind of action.
//!
//! What undoes a risk (`give-back`, `shift-back`, `release-shadow`, `suspend-shadow`) follows its own mode like everything
//! else: an operator who lets the appliance make a thing and not take it away will find it there. It is sensible to let
//! `shift-back` go as far as `shift-traffic`, and `release-shadow` as far as `create-shadow`.

use std::collections::BTreeMap;

use foreshade_types::Action;
use serde::{Deserialize, Serialize};

use crate::Policy;

/// How far the appliance may go by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Does not even say what it would do.
    Off,
    /// Says what it would do.
    #[default]
    Advise,
    /// Does it.
    Auto,
}

/// Modes of kinds of action that are not the policy's `mode`, by [`Action::name`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Modes(pub BTreeMap<String, Mode>);

impl Modes {
    /// The first name that no action has.
    pub fn unknown(&self) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|k| !Action::NAMES.contains(k))
    }
}

impl Policy {
    /// The mode of a kind of action, by its name.
    pub fn mode_of(&self, action: &str) -> Mode {
        debug_assert!(Action::NAMES.contains(&action), "{action} is no action");
        self.modes.0.get(action).copied().unwrap_or(self.mode)
    }

    /// Is a kind of action off although others are not? Then another one is looked for in its place. With everything off
    /// the plan is made as ever, so that its holds tell what is off.
    pub(crate) fn rules_out(&self, action: &str) -> bool {
        self.mode_of(action) == Mode::Off && self.mode != Mode::Off
    }
}
