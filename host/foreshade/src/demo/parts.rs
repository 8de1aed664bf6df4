//! The threads beside the appliance: agents and controllers with a runtime each.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use foreshade_agent::Source;
use foreshade_client::{AgentConfig, ControllerConfig};
use foreshade_enact::fakes::rack::Totals;
use foreshade_enact::{Hypervisor, Observed};
use foreshade_link::{Ca, Credentials, Identity, LinkError, Trust, Validity};
use foreshade_sim::fleet::Fleet;
use foreshade_sim::rows;
use foreshade_sim::world::World;
use foreshade_types::{ControllerId, Decision, HostId, OutcomeKind, RackId, Tick};
use foreshade_wire::TelemetryBatch;
use tokio::runtime;

use super::run::{Enacted, Hooks};

/// The trust domain of the demo's certificates.
const DOMAIN: &str = "demo.foreshade";

/// Certificates of one run: made at start, in memory, good for a day.
pub(super) struct Certificates {
    ca: Ca,
    validity: Validity,
}

impl Certificates {
    pub(super) fn new() -> Result<Self, LinkError> {
        let validity = Validity::around(SystemTime::now(), Duration::from_secs(24 * 3600));
        Ok(Self { ca: Ca::new(DOMAIN, validity)?, validity })
    }

    pub(super) fn trust(&self) -> Trust {
        self.ca.trust()
    }

    fn issue(&self, identity: &Identity) -> Result<Credentials, LinkError> {
        self.ca.issue(identity, self.validity)
    }

    pub(super) fn appliance(&self) -> Result<Credentials, LinkError> {
        self.issue(&Identity::appliance(DOMAIN, "demo"))
    }
}

/// The simulated machines, seen by agents and acted on by controllers.
#[derive(Debug, Clone)]
pub(super) struct SharedWorld {
    pub(super) fleet: Arc<Fleet>,
    clock: Arc<Mutex<Clock>>,
}

#[derive(Debug)]
struct Clock {
    world: World,
    /// What the run had cost when the newest interval was over, and the one before: a run that is stopped ends with either.
    costs: [Option<(Tick, Totals)>; 2],
}

impl SharedWorld {
    pub(super) fn new(fleet: Arc<Fleet>) -> Self {
        let clock = Clock { world: World::new(&fleet), costs: [None; 2] };
        Self { fleet, clock: Arc::new(Mutex::new(clock)) }
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `host` shows at `tick`; lets the interval pass first if nobody has asked for it yet.
    fn sample(&self, host: HostId, tick: Tick) -> Vec<Observed> {
        let clock = &mut *self.lock();
        if clock.world.tick() < Some(tick) {
            clock.world.advance_to(&self.fleet, tick);
            clock.costs = [clock.costs[1], Some((tick, clock.world.totals()))];
        }
        clock.world.observe(host)
    }

    /// What the run had cost at `tick`, the newest or the one before; nothing at any other.
    pub(super) fn totals_at(&self, tick: Tick) -> Totals {
        let costs = self.lock().costs;
        costs.into_iter().flatten().find(|(t, _)| *t == tick).map(|(_, t)| t).unwrap_or_default()
    }
}

/// The machines as a controller drives them.
struct Machines {
    shared: SharedWorld,
    enacted: Arc<Enacted>,
}

impl Hypervisor for Machines {
    fn enact(&mut self, now_ms: u64, decision: &Decision) -> (OutcomeKind, u64) {
        let done = self.shared.lock().world.enact(now_ms, decision);
        (self.enacted)(decision, done.0);
        done
    }

    fn observe(&self, host: HostId) -> Vec<Observed> {
        self.shared.lock().world.observe(host)
    }
}

/// Replays one host: lets the interval pass if no other agent has, then measures.
struct Replay {
    shared: SharedWorld,
    host: HostId,
}

impl Source for Replay {
    fn sample(&mut self, tick: Tick) -> Result<TelemetryBatch, String> {
        rows::batch(&self.shared.sample(self.host, tick)).map_err(|e| e.to_string())
    }
}

/// A thread of peers; its first error, if any.
pub(super) type Peers = JoinHandle<Result<(), String>>;

fn spawn<F>(name: &str, tasks: Vec<F>) -> std::io::Result<Peers>
where
    F: Future<Output = Result<String, String>> + Send + 'static,
{
    let rt = runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.into()).spawn(move || {
        rt.block_on(async {
            let all: Vec<_> = tasks.into_iter().map(|t| tokio::spawn(t)).collect();
            let mut first = Ok(());
            for t in all {
                if let (Ok(Err(e)), Ok(())) = (t.await, &first) {
                    first = Err(e);
                }
            }
            first
        })
    })
}

/// One agent per host.
pub(super) fn agents(
    certs: &Certificates,
    addr: SocketAddr,
    shared: &SharedWorld,
    hooks: &Hooks,
) -> Result<Peers, String> {
    let mut tasks = Vec::new();
    for rack in &shared.fleet.racks {
        for h in &rack.hosts {
            let credentials =
                certs.issue(&Identity::agent(DOMAIN, rack.id, h.id)).map_err(|e| e.to_string())?;
            let config = AgentConfig {
                addr: (hooks.dial)(addr, Peer::Agent(h.id)),
                trust: certs.trust(),
                credentials,
                host: h.id,
                first_tick: Tick(0),
                limits: hooks.limits.clone(),
                give_up_after_ms: hooks.give_up_after_ms,
            };
            let source = Replay { shared: shared.clone(), host: h.id };
            let (drop_at, host) = (Arc::clone(&hooks.drop_at), h.id);
            tasks.push(async move {
                foreshade_agent::run(config, source, |t| drop_at(t, Peer::Agent(host)))
                    .await
                    .map_err(|e| e.to_string())
            });
        }
    }
    spawn("agents", tasks).map_err(|e| e.to_string())
}

/// One controller per rack.
pub(super) fn controllers(
    certs: &Certificates,
    addr: SocketAddr,
    shared: &SharedWorld,
    hooks: &Hooks,
) -> Result<Peers, String> {
    let mut tasks = Vec::new();
    for rack in &shared.fleet.racks {
        let identity = Identity::controller(DOMAIN, rack.id, &format!("controller-{}", rack.id.0));
        let config = ControllerConfig {
            addr: (hooks.dial)(addr, Peer::Controller(rack.id)),
            trust: certs.trust(),
            credentials: certs.issue(&identity).map_err(|e| e.to_string())?,
            rack: rack.id,
            controller: ControllerId(rack.id.0),
            last_seq: 0,
            epoch: 0,
            limits: hooks.limits.clone(),
            give_up_after_ms: hooks.give_up_after_ms,
        };
        let machines = Machines { shared: shared.clone(), enacted: Arc::clone(&hooks.enacted) };
        let cadence_s = shared.fleet.cadence_s;
        let (drop_at, id) = (Arc::clone(&hooks.drop_at), rack.id);
        tasks.push(async move {
            let dropped = |t| drop_at(t, Peer::Controller(id));
            foreshade_controller::run(config, machines, cadence_s, dropped).await.map_err(|e| e.to_string())
        });
    }
    spawn("controllers", tasks).map_err(|e| e.to_string())
}

/// A client of the demo's appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The agent of a host.
    Agent(HostId),
    /// The controller of a rack.
    Controller(RackId),
}
