//! What the appliance knows of a VM's health, and of its fail-overs.

use std::collections::BTreeSet;

use foreshade_plan::failover::{Health, Standing, Watch};
use foreshade_plan::{CoolDown, Rest};
use foreshade_types::{HostId, Rule, Tick};

use crate::fleet_state::{FleetState, VmState};
use crate::{Care, CoreConfig};

/// What a probe of a VM found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// It answered.
    pub heartbeat: bool,
    /// Requests that it answered with an error since the last probe, percent; `None` = not counted.
    pub error_percent: Option<u64>,
}

/// One VM's health.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guarded {
    heartbeat: Option<Tick>,
    error_percent: Option<u64>,
    watch: Watch,
    failing: Option<Rule>,
    rest: CoolDown,
    generation: u32,
    /// It is on its way to another host after a failure.
    pub(crate) taking_over: bool,
    pub(crate) recovers_until: Tick,
}

impl Guarded {
    /// Takes what a probe at `tick` found.
    pub(crate) fn probed(&mut self, tick: Tick, p: &Probe) {
        if p.heartbeat {
            self.heartbeat = Some(tick);
        }
        self.error_percent = p.error_percent;
    }

    /// It was failed over, and rests (`Some`), or was started anew. The new primary is watched from the start.
    pub(crate) fn moved(&mut self, tick: Tick, from: HostId, generation: u32, rest: Option<Rest>) {
        if let Some(rest) = rest {
            self.rest.moved(tick, from, &rest);
        }
        (self.generation, self.taking_over) = (generation, true);
        (self.watch, self.failing, self.error_percent) = (Watch::default(), None, None);
        self.heartbeat = self.heartbeat.map(|_| tick);
    }

    /// What the planner is told.
    pub(crate) fn standing(&self, tick: Tick, down: bool, care: Option<&Care>) -> Standing {
        Standing {
            failing: self.failing,
            down,
            resting: self.rest.rests(tick),
            recovering: tick < self.recovers_until,
            generation: self.generation,
            priority: care.map_or(0, |c| c.failover_priority),
            max_downtime_s: care.and_then(|c| c.max_downtime_s),
        }
    }
}

fn health(s: &VmState, tick: Tick, config: &CoreConfig) -> Health {
    let fresh = s.last_sample == Some(tick);
    let percent = |x: u64, of: u64| (fresh && of > 0).then(|| x * 100 / of);
    let age_s = |t: Tick| tick.since(t) * u64::from(config.cadence_s);
    Health {
        cpu_percent: percent(s.cpu_demand.0, s.size.cpu.0),
        memory_percent: percent(s.memory_demand.0, s.size.memory.0),
        error_rate_percent: s.guarded.error_percent,
        heartbeat_age_s: s.guarded.heartbeat.map(age_s),
        host_up: true,
    }
}

/// Looks at every VM, once a tick. One that is on its way, or whose host is lost, is not looked at: it has no sample.
pub(crate) fn watch(fleet: &mut FleetState, tick: Tick, down: &BTreeSet<HostId>, config: &CoreConfig) {
    for s in &mut fleet.0 {
        let away = s.guarded.taking_over || down.contains(&s.host);
        let h = health(s, tick, config);
        let now_ms = config.time_ms(tick);
        s.guarded.failing =
            if away { None } else { s.guarded.watch.see(&h, now_ms, &config.policy.failover) };
    }
}

/// A host is lost. A VM that was to take over there is down with it.
pub(crate) fn host_lost(fleet: &mut FleetState, host: HostId) {
    for s in fleet.0.iter_mut().filter(|s| s.moving_to == Some(host) || s.host == host) {
        if s.guarded.taking_over && s.moving_to == Some(host) {
            (s.host, s.shadow) = (host, None);
        }
        if s.host == host || s.moving_to == Some(host) {
            (s.moving_to, s.guarded.taking_over) = (None, false);
            s.flags = foreshade_wire::Flags::default();
        }
    }
}
