//! What is laid down about the machine room: inputs that people set, not telemetry.

use foreshade_types::Rules;

/// The site.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Site {
    /// Where VMs may run.
    pub rules: Rules,
}
