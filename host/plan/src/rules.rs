//! Rules about where VMs may run, checked against the picture that the plan draws: what is planned already counts as done,
//! and what it leaves behind as still there, for both are true at some time in the tick.

use foreshade_types::{Action, Broken, HoldReason, HostId, Part, VmId, Whereabouts};

use crate::report::{Draft, Planned};
use crate::{HostView, PlanInput, VmView};

/// The rack with what is planned so far.
struct Picture<'a> {
    input: &'a PlanInput<'a>,
    planned: &'a [Planned],
}

impl Picture<'_> {
    fn goes_to(&self, vm: VmId) -> Option<HostId> {
        let to = |p: &Planned| match p.action {
            Action::Migrate { to } | Action::FailOver { host: to, .. } | Action::Restart { host: to, .. }
                if p.vm == vm =>
            {
                Some(to)
            }
            _ => None,
        };
        self.planned.iter().find_map(to)
    }

    fn gets_shadow(&self, vm: VmId) -> Option<HostId> {
        let on = |p: &Planned| match p.action {
            Action::CreateShadow { host, .. } if p.vm == vm => Some(host),
            _ => None,
        };
        self.planned.iter().find_map(on)
    }
}

impl Whereabouts for Picture<'_> {
    fn places(&self, vm: VmId) -> Vec<HostId> {
        let v = self.input.vm(vm);
        let is = v.map(|v| v.host).into_iter().chain(v.and_then(|v| v.moving_to));
        let shadow = v.and_then(|v| v.shadow).map(|s| s.place.host);
        is.chain(shadow).chain(self.goes_to(vm)).chain(self.gets_shadow(vm)).collect()
    }

    fn home(&self, vm: VmId) -> Option<HostId> {
        let v = self.input.vm(vm)?;
        Some(self.goes_to(vm).or(v.moving_to).unwrap_or(v.host))
    }

    fn domain(&self, host: HostId) -> u32 {
        self.input.host(host).map_or(host.0, |h| h.domain)
    }
}

impl PlanInput<'_> {
    /// May `part` of the VM come to `to`, as things stand?
    pub(crate) fn ruled(&self, vm: VmId, part: Part, to: HostId) -> Result<(), Broken> {
        self.site.rules.check(vm, part, to, &Picture { input: self, planned: &[] })
    }

    /// The rule that keeps the VM from every host that would do otherwise; `None` = rules do not stop it.
    pub(crate) fn held_by_rule(&self, v: &VmView) -> Option<HoldReason> {
        if self.site.rules.is_opted_out(v.id) {
            return Some(HoldReason::OptedOut);
        }
        let mut why = None;
        for h in self.hosts.iter().filter(|h| self.takes(v, h)) {
            match self.ruled(v.id, Part::Primary, h.id) {
                Ok(()) => return None,
                Err(broken) => why = why.or(Some(broken.into())),
            }
        }
        why
    }

    /// May `h` carry `v` itself, as far as rules are left aside?
    pub(crate) fn takes(&self, v: &VmView, h: &HostView) -> bool {
        h.up && h.id != v.host && h.pool.takes_vm(v.customer)
    }
}

/// The same, with what is planned so far.
pub(crate) fn keeps_rules(input: &PlanInput<'_>, draft: &Draft, vm: VmId, part: Part, to: HostId) -> bool {
    let picture = Picture { input, planned: &draft.plan.actions };
    input.site.rules.check(vm, part, to, &picture).is_ok()
}
