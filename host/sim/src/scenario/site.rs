//! What a script says about where its VMs may run.

use std::collections::{BTreeMap, BTreeSet};

use foreshade_plan::Site;
use foreshade_types::{HostId, Rules, Scope, VmId};

use super::Script;

/// What a VM's owner and operator have laid down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VmRules {
    /// Groups whose VMs stay apart.
    pub apart: Vec<(String, Scope)>,
    /// Groups whose VMs stay together.
    pub together: Vec<String>,
    /// The hosts it may run on; empty = any.
    pub pin: BTreeSet<HostId>,
    /// It is left alone.
    pub opted_out: bool,
    /// Somebody moves it by hand, to this host, after the samples of this tick and before its decisions are carried out.
    pub carried: Vec<(HostId, u64)>,
}

impl Script {
    /// The site that the script describes.
    pub fn site(&self) -> Site {
        let (mut apart, mut together) = (BTreeMap::new(), BTreeMap::new());
        let mut rules = Rules::default();
        for (i, v) in self.vms.iter().enumerate() {
            let vm = VmId(i as u32);
            for (group, scope) in &v.rules.apart {
                // The wider scope of those that its members name.
                let (widest, vms) = apart.entry(group).or_insert((Scope::Host, vec![]));
                *widest = if *scope == Scope::Domain { Scope::Domain } else { *widest };
                vms.push(vm);
            }
            v.rules.together.iter().for_each(|g| together.entry(g).or_insert_with(Vec::new).push(vm));
            if !v.rules.pin.is_empty() {
                rules = rules.pin(vm, v.rules.pin.clone());
            }
            if v.rules.opted_out {
                rules = rules.opt_out(vm);
            }
        }
        rules = apart.into_values().fold(rules, |r, (scope, vms)| r.keep_apart(scope, vms));
        rules = together.into_values().fold(rules, Rules::keep_together);
        Site { rules }
    }

    /// What fails together, where a host is not alone.
    pub fn domains(&self) -> BTreeMap<HostId, u32> {
        self.kinds.iter().map(|(h, k)| (HostId(*h), k.domain)).collect()
    }
}
