//! Decisions become actions here. [`Hypervisor`] is what a rack controller drives; [`fakes::rack`] is a simulated rack
//! behind it. [`Ledger`] is the fence: it sits at the resource, so an old appliance or a repeated frame changes nothing.

mod desk;
pub mod fakes;
pub mod fence;
mod hypervisor;
mod ledger;

pub use desk::Desk;
pub use hypervisor::{Hypervisor, Observed, ShadowSeen};
pub use ledger::{Admission, Ledger};
