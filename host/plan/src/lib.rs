//! The planner: pure, synchronous, explained. Between its steps others work out the numbers:
//!
//! ```text
//! wanted(input, policy) -> [Wanted]            which VMs might leave which hosts (bounded by the policy's budget)
//!        ... kernel placement_score on the device: each of them on every host of the rack, over all sample paths ...
//! candidates(input + shortlist, policy) -> [MoveQuery]   the best few hosts of each
//!        ... forecast::paths: peak of source and target after the move, from the same paths ...
//! plan(input, scores, policy) -> (Plan, PlanReport)      what to do, and why, also for every VM left alone
//! ```
//!
//! Precedence within a tick: what has failed ([`failover`]), relief of a host that is forecast to run over ([`relief`]), then the end of earlier relief
//! ([`traffic`], [`shadow`]), shadows that come with their VMs ([`auto`]), then each VM's allocation ([`allocate`]), bounded by the fair share where nothing else helped
//! ([`fairshare`]). The rules draw nothing at random: the same input gives the same plan.

mod allocate;
mod auto;
pub mod baseline;
mod budget;
mod counterfactual;
mod create;
pub mod describe;
pub mod failover;
mod fairshare;
mod file;
mod footprint;
mod hand;
mod input;
pub mod keys;
pub mod lifecycle;
pub mod migrate;
pub mod migration;
mod modes;
mod moves;
mod policy;
mod preset;
mod relief;
mod report;
mod rules;
mod shadow;
mod site;
mod traffic;
mod worth;

pub use budget::{Budget, CoolDown, Rest, Trail};
pub use counterfactual::{Changed, changed};
pub use file::FileError;
pub use hand::{Approval, Hand};
pub use input::{Bound, HostView, MoveQuery, MoveScore, Named, PlanInput, VmForecast, VmView, Wanted};
pub use modes::{Mode, Modes};
pub use policy::{Policy, PolicyError};
pub use preset::Preset;
pub use relief::{candidates, wanted};
pub use report::{Plan, PlanReport, Planned, Verdict};
pub use shadow::needed_shadows;
pub use site::Site;

/// Decides for one rack and one tick. `scores[i]` answers the i-th query of [`candidates`] on the same input; a missing
/// score counts as "no room".
pub fn plan(input: &PlanInput<'_>, scores: &[MoveScore], policy: &Policy) -> (Plan, PlanReport) {
    let mut draft = report::Draft::new(input);
    let scored: Vec<_> = candidates(input, policy).into_iter().zip(scores.iter().copied()).collect();
    let left = failover::decide(input, policy, &mut draft);
    relief::relieve(input, &scored, policy, &mut draft);
    shadow::wind_down(input, &scored, policy, &mut draft);
    auto::with_primaries(input, policy, &mut draft);
    allocate::allocate(input, policy, &mut draft);
    left.into_iter().for_each(|(vm, why)| draft.hold(vm, why));
    draft.finish(policy)
}
