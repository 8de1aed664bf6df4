//! One run of the demo, from certificates to report.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use foreshade_appliance::{ApplianceError, Control, End, Observer, Options, RedbJournal, Said};
use foreshade_appliance_core::{Core, CoreConfig, Exclusion, Header};
use foreshade_forecast::lstm::DEFAULT_MODEL;
use foreshade_link::Limits;
use foreshade_link::server::Server;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::fleet::Fleet;
use foreshade_sim::report::{PolicyReport, Report};
use foreshade_sim::{WARM_UP_TICKS, backtest};
use foreshade_train::card::fnv1a64;
use foreshade_types::{Decision, OutcomeKind, Tick, VmId};
use tokio::runtime;
use tokio::sync::{mpsc, watch};

pub use super::parts::Peer;
use super::parts::{Certificates, SharedWorld, agents, controllers};
use crate::cli::DemoArgs;
use crate::exclude::Exclusions;
use crate::hops::HopTimer;
use crate::offline::{baselines, forecaster, open};
use crate::{Failure, Traces};

/// What a demo will run.
#[derive(Debug)]
pub struct Demo {
    /// The fleet.
    pub fleet: Arc<Fleet>,
    /// Its settings; mode auto, on simulated racks.
    pub policy: Policy,
    seed: u64,
    backend: String,
    threads: u16,
    speed: Option<f64>,
    follow: Option<VmId>,
    exclusions: Exclusions,
    excluded: Vec<Exclusion>,
    /// Where the journal stays; without it, it goes with the run.
    journal: Option<PathBuf>,
}

/// Hears of a decision and what became of it.
pub type Enacted = dyn Fn(&Decision, OutcomeKind) + Send + Sync;

/// Where a test may reach in. The default is what people run.
#[derive(Clone)]
pub struct Hooks {
    /// The address a peer dials, given the appliance's: a proxy can stand between.
    pub dial: Arc<dyn Fn(SocketAddr, Peer) -> SocketAddr + Send + Sync>,
    /// Cut this peer's connection after this tick?
    pub drop_at: Arc<dyn Fn(Tick, Peer) -> bool + Send + Sync>,
    /// Hears of each decision that a controller has carried out on the simulated rack.
    pub enacted: Arc<Enacted>,
    /// Timeouts of the connections.
    pub limits: Limits,
    /// How long the lockstep waits for a peer.
    pub wait_max_ms: u64,
    /// How long a peer tries to connect.
    pub give_up_after_ms: u64,
    /// Stop cleanly on Ctrl-C.
    pub interrupt: bool,
    /// Stops the run cleanly when it turns true.
    pub stop: Arc<watch::Sender<bool>>,
    /// Times the hops.
    pub hops: HopTimer,
    /// Where operators' orders come from; the first run takes it.
    pub orders: Arc<Mutex<Option<mpsc::Receiver<Said>>>>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hooks {{ wait_max_ms: {} }}", self.wait_max_ms)
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            dial: Arc::new(|addr, _| addr),
            drop_at: Arc::new(|_, _| false),
            enacted: Arc::new(|_, _| ()),
            limits: Limits::default(),
            wait_max_ms: 10_000,
            give_up_after_ms: 10_000,
            interrupt: false,
            stop: Arc::new(watch::channel(false).0),
            hops: HopTimer::default(),
            orders: Arc::default(),
        }
    }
}

impl Demo {
    /// Loads the trace and settles the fleet.
    pub fn new(args: &DemoArgs) -> Result<Self, Failure> {
        // A wrong name is said before anything is shown.
        drop(open(&args.fleet.backend, args.fleet.threads)?);
        let exclusions = Exclusions::read(args.fleet.exclude.as_deref())?;
        let traces = Traces::load(&args.trace)?;
        let fleet = traces.fleet(&args.fleet)?;
        let excluded = exclusions.of_fleet(&traces.trace, &fleet);
        let follow = args.follow.as_deref().map(|name| find_vm(&fleet, name)).transpose()?;
        Ok(Self {
            fleet: Arc::new(fleet),
            policy: Policy { mode: Mode::Auto, ..Policy::default() },
            seed: args.fleet.seed,
            backend: args.fleet.backend.clone(),
            threads: args.fleet.threads,
            speed: args.speed,
            follow,
            exclusions,
            excluded,
            journal: args.journal.clone(),
        })
    }

    fn core_config(&self, backend: &str) -> CoreConfig {
        let config = backtest::core_config(&self.fleet, &self.policy, backend, usize::from(self.threads));
        CoreConfig { follow: self.follow, ..config }
    }

    /// What the journal's numbers stand for.
    fn header(&self, core: &Core) -> Header {
        let config = core.config();
        Header {
            version: env!("CARGO_PKG_VERSION").into(),
            model: format!("{:016x}", fnv1a64(DEFAULT_MODEL)),
            cadence_s: config.cadence_s,
            first_decision: config.first_decision,
            // Numbers and words always become JSON.
            policy: serde_json::to_string(&self.policy).unwrap_or_default(),
            vms: config.vms.iter().map(|v| v.name.clone()).collect(),
        }
    }
}

fn find_vm(fleet: &Fleet, name: &str) -> Result<VmId, Failure> {
    let by_name = fleet.vms.iter().position(|v| v.name == name);
    let by_id = || name.strip_prefix("vm")?.parse().ok().filter(|i| *i < fleet.vms.len());
    let vm = by_name.or_else(by_id).map(|i| VmId(i as u32));
    let known = || fleet.vms.iter().take(3).map(|v| v.name.as_str()).collect::<Vec<_>>().join(", ");
    vm.ok_or_else(|| Failure::Usage(format!("--follow: no VM is called {name}; there are {}, ...", known())))
}

/// Runs the demo over QUIC on loopback, then the baselines in process.
pub fn run(demo: &Demo, hooks: Hooks, observer: &mut dyn Observer) -> Result<Report, Failure> {
    let timer = hooks.hops.clone();
    timer.install();
    let device = open(&demo.backend, demo.threads)?;
    let (name, simd) = (device.info().driver.to_owned(), device.info().simd.to_string());
    let mut report = Report::new(&demo.fleet, demo.seed, &name, &simd, env!("CARGO_PKG_VERSION"));
    let config = demo.core_config(&name);
    let core = Core::new(config.clone(), forecaster(&config, device)?).excluding(demo.excluded.clone());
    let shared = SharedWorld::new(Arc::clone(&demo.fleet));
    let (core, end) = serve(demo, hooks, core, &shared, observer)?;
    demo.exclusions.tell(core.left_out());
    let mut fleet = Fleet::clone(&demo.fleet);
    if let End::Stopped(done) = end {
        // What was cut short is compared over what there is.
        fleet.last = done.unwrap_or(Tick(0));
        report.ticks = fleet.ticks();
    }
    let counts = core.decision_counts().iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
    report.policies = baselines(&fleet, &demo.policy, None);
    report.policies.insert("foreshade".into(), PolicyReport::new(&shared.totals_at(fleet.last), counts));
    report.forecast = core.scores();
    report.coverage = core.coverage();
    report.outlook = Some(core.outlook());
    report.anomalies = Some(core.anomalies());
    report.changed_by_forecast = Some(core.changed());
    report.hops = Some(timer.report());
    Ok(report)
}

/// The networked part: returns the core and how it ended.
fn serve(
    demo: &Demo,
    hooks: Hooks,
    mut core: Core,
    shared: &SharedWorld,
    observer: &mut dyn Observer,
) -> Result<(Core, End), Failure> {
    let failed = |e: &dyn std::error::Error| Failure::failed(e);
    let certs = Certificates::new().map_err(|e| failed(&e))?;
    let dir = tempfile::Builder::new().prefix("foreshade-demo-").tempdir().map_err(|e| failed(&e))?;
    let path = demo.journal.clone().unwrap_or_else(|| dir.path().join("journal.redb"));
    let mut journal = RedbJournal::create(&path, &demo.header(&core)).map_err(|e| failed(&e))?;
    // The hooks keep the sender to the end: a closed channel would read as "stop".
    let stopped = hooks.stop.subscribe();
    let mut control = Control::from(stopped);
    if let Some(orders) = hooks.orders.lock().ok().and_then(|mut o| o.take()) {
        control.orders = orders;
    }
    if hooks.interrupt {
        let stop = Arc::clone(&hooks.stop);
        let _ = ctrlc::set_handler(move || {
            stop.send_replace(true);
        });
    }
    let rt = runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(&e))?;
    let options = Options { wait_max_ms: hooks.wait_max_ms, speed: demo.speed };
    let (ended, agents, controllers) = rt.block_on(async {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let epoch = core.config().epoch;
        let appliance = certs.appliance().map_err(|e| failed(&e))?;
        let (server, mut events) =
            Server::bind(addr, &appliance, &certs.trust(), epoch, hooks.limits.clone())
                .map_err(|e| failed(&e))?;
        let hosts = demo.fleet.racks.iter().flat_map(|r| r.hosts.iter().map(|h| (h.id, r.id)));
        server.restrict_hosts(hosts.collect());
        let addr = server.local_addr();
        let agents = agents(&certs, addr, shared, &hooks).map_err(Failure::Failed)?;
        let controllers = controllers(&certs, addr, shared, &hooks).map_err(Failure::Failed)?;
        let ended =
            foreshade_appliance::run(&mut core, &mut events, &mut journal, observer, control, options).await;
        server.close("the run is over", 2_000).await;
        Ok::<_, Failure>((ended, agents, controllers))
    })?;
    let peers =
        [agents, controllers].map(|t| t.join().unwrap_or_else(|_| Err("a peer's thread panicked".into())));
    match ended {
        Ok(end) => Ok((core, end)),
        Err(e) => Err(explain(&e, &peers)),
    }
}

/// The appliance's error, and the first peer's own view of it.
fn explain(e: &ApplianceError, peers: &[Result<(), String>]) -> Failure {
    match (e, peers.iter().find_map(|p| p.as_ref().err())) {
        (ApplianceError::Waited { .. }, Some(peer)) => Failure::Failed(format!("{e} ({peer})")),
        _ => Failure::failed(e),
    }
}

/// Ticks from the start of the trace that a decision tick is.
pub(crate) fn decision_tick(tick: Tick) -> u64 {
    (tick.0 + 2).saturating_sub(WARM_UP_TICKS)
}
