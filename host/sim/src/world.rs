//! All racks of a fleet on one trace clock.

use foreshade_enact::fakes::rack::{Rack, Totals};
use foreshade_enact::{Hypervisor, Observed};
use foreshade_types::{Decision, HostId, OutcomeKind, RackId, Tick};

use crate::fleet::Fleet;

/// The simulated machines and what they have been through.
#[derive(Debug, Clone)]
pub struct World {
    racks: Vec<(RackId, Rack)>,
    /// The newest tick whose interval has passed.
    at: Option<Tick>,
}

impl World {
    /// The fleet at its first placement, each VM allocated its size.
    pub fn new(fleet: &Fleet) -> Self {
        let racks = fleet.racks.iter().map(|spec| {
            let hosts: Vec<_> = spec.hosts.iter().map(|h| h.id).collect();
            let here = |h: &HostId| hosts.binary_search(h).is_ok();
            let ids = fleet.vms.iter().enumerate().filter(|(_, v)| here(&v.host));
            let vms: Vec<_> = ids.map(|(i, v)| (foreshade_types::VmId(i as u32), v.size, v.host)).collect();
            (spec.id, Rack::new(fleet.rack, hosts, &vms))
        });
        Self { racks: racks.collect(), at: None }
    }

    /// Lets the interval that ends at `tick` pass, once; callers ask in the order of ticks.
    pub fn advance_to(&mut self, fleet: &Fleet, tick: Tick) {
        if self.at.is_some_and(|at| at >= tick) {
            return;
        }
        let length_ms = u64::from(fleet.cadence_s) * 1000;
        // The first interval has nothing before it: its sample is taken at trace time 0.
        let from_ms = tick.0.saturating_sub(1) * length_ms;
        let scored = tick > fleet.first_decision();
        for (_, rack) in &mut self.racks {
            rack.advance(from_ms, length_ms, scored, |vm| fleet.demand(vm, tick));
        }
        self.at = Some(tick);
    }

    /// The newest tick whose interval has passed.
    pub fn tick(&self) -> Option<Tick> {
        self.at
    }

    /// One rack.
    pub fn rack(&self, id: RackId) -> Option<&Rack> {
        self.racks.iter().find(|(r, _)| *r == id).map(|(_, rack)| rack)
    }

    /// One rack, to act on.
    pub fn rack_mut(&mut self, id: RackId) -> Option<&mut Rack> {
        self.racks.iter_mut().find(|(r, _)| *r == id).map(|(_, rack)| rack)
    }

    /// What the agent of `host` measures.
    pub fn observe(&self, host: HostId) -> Vec<Observed> {
        let of = |(_, r): &(RackId, Rack)| r.hosts().contains(&host).then(|| r.observe(host));
        self.racks.iter().find_map(of).unwrap_or_default()
    }

    /// What the run has cost so far.
    pub fn totals(&self) -> Totals {
        let mut t = Totals::default();
        self.racks.iter().for_each(|(_, r)| t.add(r.totals()));
        t
    }
}

impl Hypervisor for World {
    fn enact(&mut self, now_ms: u64, d: &Decision) -> (OutcomeKind, u64) {
        self.rack_mut(d.rack).map_or((OutcomeKind::Precondition, 0), |r| r.enact(now_ms, d))
    }

    fn observe(&self, host: HostId) -> Vec<Observed> {
        Self::observe(self, host)
    }
}
