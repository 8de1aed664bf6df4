//! Rules about where VMs may run, asked of the rack as it is when a decision is carried out: since the decision was taken,
//! others have been carried out, and people move VMs, too.

use foreshade_types::{Action, Decision, HostId, Part, VmId, Whereabouts};

use super::rack::Rack;

impl Whereabouts for Rack {
    fn places(&self, vm: VmId) -> Vec<HostId> {
        let Some(v) = self.vm(vm) else { return vec![] };
        let under_way = v.migration.as_ref().map(|m| m.to);
        let shadow = v.shadow.as_ref().map(|s| s.host);
        [Some(v.host), under_way, shadow].into_iter().flatten().collect()
    }

    fn home(&self, vm: VmId) -> Option<HostId> {
        let v = self.vm(vm)?;
        Some(v.migration.as_ref().map_or(v.host, |m| m.to))
    }

    fn domain(&self, host: HostId) -> u32 {
        self.domains.get(&host).copied().unwrap_or(host.0)
    }
}

impl Rack {
    /// Would the decision break a rule now?
    pub(super) fn breaks_rule(&self, d: &Decision) -> bool {
        match d.action {
            Action::Migrate { to } | Action::FailOver { host: to, .. } | Action::Restart { host: to, .. } => {
                self.rules.check(d.vm, Part::Primary, to, self).is_err()
            }
            Action::CreateShadow { host, .. } => self.rules.check(d.vm, Part::Shadow, host, self).is_err(),
            Action::PreAllocate { .. } | Action::GiveBack { .. } => self.rules.is_opted_out(d.vm),
            _ => false,
        }
    }
}
