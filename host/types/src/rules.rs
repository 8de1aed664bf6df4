//! What owners and operators have laid down about where VMs may run: groups that stay apart or together, pins, and VMs
//! that are left alone. One check for the planner, which asks about the plan it is making, and for the controller, which
//! asks about its machines as they are when it acts: a rule that was kept by a picture of minutes ago may be broken now.

use std::collections::{BTreeMap, BTreeSet};

use crate::{HoldReason, HostId, VmId};

/// What two VMs of a group must not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// A host.
    #[default]
    Host,
    /// What fails together: a chassis or power feed.
    Domain,
}

/// What is to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The VM itself.
    Primary,
    /// Its shadow: it may become the VM, so it stays apart and pinned as the VM does.
    Shadow,
}

/// The rule that a placement would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The VM is left alone.
    OptedOut,
    /// The host is not one of those it is pinned to.
    Pinned,
    /// This VM must stay apart, and is there, on its way there, or has its shadow there.
    Apart(VmId),
    /// This VM must be on the same host, and is elsewhere.
    Together(VmId),
}

impl From<Broken> for HoldReason {
    fn from(b: Broken) -> Self {
        match b {
            Broken::OptedOut => Self::OptedOut,
            Broken::Pinned => Self::Pinned,
            Broken::Apart(_) => Self::Apart,
            Broken::Together(_) => Self::Together,
        }
    }
}

/// Where VMs are, as far as the one who asks knows.
pub trait Whereabouts {
    /// Every host that holds the VM or its shadow or is about to; empty = not known here.
    fn places(&self, vm: VmId) -> Vec<HostId>;
    /// The host the VM runs on, once what is under way is done.
    fn home(&self, vm: VmId) -> Option<HostId>;
    /// What fails together with the host.
    fn domain(&self, host: HostId) -> u32;
}

/// The rules of a fleet. Empty = anything goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    apart: Vec<(Scope, Vec<VmId>)>,
    together: Vec<Vec<VmId>>,
    /// By VM, the groups of the two lists that it is in.
    groups: BTreeMap<VmId, (Vec<usize>, Vec<usize>)>,
    pins: BTreeMap<VmId, BTreeSet<HostId>>,
    opted_out: BTreeSet<VmId>,
}

impl Rules {
    /// No two of these on one host, or in one domain; their shadows included.
    #[must_use]
    pub fn keep_apart(mut self, scope: Scope, vms: Vec<VmId>) -> Self {
        vms.iter().for_each(|v| self.groups.entry(*v).or_default().0.push(self.apart.len()));
        self.apart.push((scope, vms));
        self
    }

    /// All of these on the same host. Shadows are free: they wait elsewhere.
    #[must_use]
    pub fn keep_together(mut self, vms: Vec<VmId>) -> Self {
        vms.iter().for_each(|v| self.groups.entry(*v).or_default().1.push(self.together.len()));
        self.together.push(vms);
        self
    }

    /// The VM and its shadow run on these hosts only.
    #[must_use]
    pub fn pin(mut self, vm: VmId, hosts: BTreeSet<HostId>) -> Self {
        self.pins.insert(vm, hosts);
        self
    }

    /// The VM is never moved, resized or given a shadow.
    #[must_use]
    pub fn opt_out(mut self, vm: VmId) -> Self {
        self.opted_out.insert(vm);
        self
    }

    /// Is the VM left alone?
    pub fn is_opted_out(&self, vm: VmId) -> bool {
        self.opted_out.contains(&vm)
    }

    /// Groups of VMs that stay apart.
    pub fn apart(&self) -> impl Iterator<Item = (Scope, &[VmId])> {
        self.apart.iter().map(|(s, vms)| (*s, vms.as_slice()))
    }

    /// The VMs that must be where this one is.
    pub fn company(&self, vm: VmId) -> impl Iterator<Item = VmId> + '_ {
        let groups = self.groups.get(&vm).map_or(&[][..], |g| &g.1);
        groups.iter().flat_map(|g| &self.together[*g]).copied().filter(move |v| *v != vm)
    }

    /// May `part` of the VM come to `to`?
    ///
    /// # Errors
    /// The first rule that it would break, in the order of [`Broken`]: the last can be mended by moving the others, too.
    pub fn check(&self, vm: VmId, part: Part, to: HostId, at: &impl Whereabouts) -> Result<(), Broken> {
        if self.opted_out.contains(&vm) {
            return Err(Broken::OptedOut);
        }
        if self.pins.get(&vm).is_some_and(|hosts| !hosts.contains(&to)) {
            return Err(Broken::Pinned);
        }
        let Some((apart, _)) = self.groups.get(&vm) else { return Ok(()) };
        for (scope, vms) in apart.iter().map(|g| &self.apart[*g]) {
            let meets = |p: HostId| p == to || (*scope == Scope::Domain && at.domain(p) == at.domain(to));
            let there = |other: &&VmId| **other != vm && at.places(**other).into_iter().any(meets);
            if let Some(other) = vms.iter().find(there) {
                return Err(Broken::Apart(*other));
            }
        }
        let elsewhere = |other: &VmId| at.home(*other).is_some_and(|home| home != to);
        match self.company(vm).find(elsewhere) {
            Some(other) if part == Part::Primary => Err(Broken::Together(other)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// VM n is on host n, host n is in domain n / 2.
    struct Own;

    impl Whereabouts for Own {
        fn places(&self, vm: VmId) -> Vec<HostId> {
            vec![HostId(vm.0)]
        }
        fn home(&self, vm: VmId) -> Option<HostId> {
            Some(HostId(vm.0))
        }
        fn domain(&self, host: HostId) -> u32 {
            host.0 / 2
        }
    }

    fn check(rules: &Rules, vm: u32, to: u32) -> Result<(), Broken> {
        rules.check(VmId(vm), Part::Primary, HostId(to), &Own)
    }

    #[test]
    fn groups_stay_apart_by_host_or_by_domain() {
        let rules = Rules::default().keep_apart(Scope::Host, vec![VmId(0), VmId(2)]);
        assert_eq!(check(&rules, 0, 2), Err(Broken::Apart(VmId(2))));
        assert_eq!([check(&rules, 0, 3), check(&rules, 0, 0), check(&rules, 1, 2)], [Ok(()); 3]);
        let rules = Rules::default().keep_apart(Scope::Domain, vec![VmId(0), VmId(2)]);
        assert_eq!(check(&rules, 0, 3), Err(Broken::Apart(VmId(2))));
        assert_eq!([check(&rules, 0, 1), check(&rules, 0, 4)], [Ok(()); 2]);
        let shadow = rules.check(VmId(0), Part::Shadow, HostId(3), &Own);
        assert_eq!(shadow, Err(Broken::Apart(VmId(2))));
    }

    #[test]
    fn company_is_kept_by_the_vm_and_not_by_its_shadow() {
        let rules = Rules::default().keep_together(vec![VmId(1), VmId(5)]);
        assert_eq!(check(&rules, 1, 4), Err(Broken::Together(VmId(5))));
        assert_eq!(check(&rules, 1, 5), Ok(()));
        assert_eq!(rules.check(VmId(1), Part::Shadow, HostId(4), &Own), Ok(()));
    }

    #[test]
    fn pins_and_opt_outs_hold() {
        let rules = Rules::default().pin(VmId(1), [HostId(1), HostId(2)].into()).opt_out(VmId(3));
        assert_eq!([check(&rules, 1, 2), check(&rules, 1, 3)], [Ok(()), Err(Broken::Pinned)]);
        assert_eq!([check(&rules, 3, 2), check(&rules, 2, 3)], [Err(Broken::OptedOut), Ok(())]);
    }
}
