//! The demo over real QUIC: the same bytes whatever the network does, and no way around the network.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use foreshade::demo::{Demo, Hooks, Peer};
use foreshade_appliance_core::MemoryJournal;
use foreshade_link::Limits;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::backtest;
use foreshade_types::{Decision, HostId, OutcomeKind, RackId, Tick};

mod support;

use support::proxy::{Mode as Path, Proxy};
use support::{FIRST_DECISION, HOSTS, core, demo_args, finished, run, until};

/// Decision ticks of most runs.
const TICKS: &str = "14";

/// The run that the others must equal.
fn reference() -> &'static (String, Vec<Decision>) {
    static REFERENCE: OnceLock<(String, Vec<Decision>)> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let got = finished(&demo_args(&["--ticks", TICKS, "--threads", "1"]), Hooks::default());
        // Comparing runs that decide nothing would show nothing.
        assert!(got.1.len() > 20, "{} decisions", got.1.len());
        assert!(got.1.iter().any(|d| d.rack == RackId(0)) && got.1.iter().any(|d| d.rack == RackId(1)));
        got
    })
}

fn check_same(more: &[&str], hooks: Hooks) {
    let args = [&["--ticks", TICKS][..], more].concat();
    let (report, decisions) = finished(&demo_args(&args), hooks);
    let (want_report, want_decisions) = reference();
    assert_eq!(&decisions, want_decisions);
    assert_eq!(&report, want_report);
}

/// A proxy before each peer that `which` names, kept as long as the value lives.
#[derive(Clone, Default)]
struct Proxies(Arc<Mutex<Vec<(Peer, Proxy)>>>);

impl Proxies {
    fn hooks(&self, mode: Path, which: fn(Peer) -> bool) -> Hooks {
        let all = Arc::clone(&self.0);
        let dial = move |server, peer| {
            if !which(peer) {
                return server;
            }
            let mut all = all.lock().expect("proxies");
            let proxy = Proxy::start(server, 100 * (all.len() as u64 + 1), mode);
            let addr = proxy.addr();
            all.push((peer, proxy));
            addr
        };
        Hooks { dial: Arc::new(dial), ..Hooks::default() }
    }

    fn sum(&self, of: fn(&Proxy) -> &AtomicU64) -> u64 {
        self.0.lock().expect("proxies").iter().map(|(_, p)| of(p).load(Ordering::SeqCst)).sum()
    }
}

/// Gives up early: for runs that are meant to fail.
fn impatient(hooks: Hooks) -> Hooks {
    let limits = Limits { idle_timeout_ms: 1_000, keep_alive_ms: 200, ..Limits::default() };
    Hooks { wait_max_ms: 2_000, give_up_after_ms: 1_000, limits, ..hooks }
}

#[test]
fn a_second_run_and_two_threads_give_the_same_bytes() {
    check_same(&["--threads", "1"], Hooks::default());
    check_same(&["--threads", "2"], Hooks::default());
}

#[test]
fn random_delays_on_every_connection_change_nothing() {
    let proxies = Proxies::default();
    check_same(&[], proxies.hooks(Path::Delay { max_ms: 3 }, |_| true));
    assert_eq!(proxies.0.lock().expect("proxies").len(), HOSTS as usize + 2);
    assert!(proxies.sum(|p| &p.counters().passed) > 1_000);
}

#[test]
fn peers_that_reconnect_change_nothing() {
    let dropped = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let count = Arc::clone(&dropped);
    let drop_at = move |tick: Tick, peer: Peer| {
        let (kind, drops) = match peer {
            Peer::Agent(host) => (0, tick.0 % 11 == u64::from(host.0)),
            Peer::Controller(rack) => (1, tick.0 % 7 == u64::from(rack.0)),
        };
        count[kind].fetch_add(u64::from(drops), Ordering::SeqCst);
        drops
    };
    check_same(&[], Hooks { drop_at: Arc::new(drop_at), ..Hooks::default() });
    let [agents, controllers] = [0, 1].map(|i| dropped[i].load(Ordering::SeqCst));
    assert!(agents > 50 && controllers > 20, "{agents} agents, {controllers} controllers");
}

#[test]
fn flipped_bits_never_reach_anybody_and_change_nothing() {
    let proxies = Proxies::default();
    check_same(&[], proxies.hooks(Path::FlipBits { percent: 4 }, |_| true));
    assert!(proxies.sum(|p| &p.counters().flipped) > 30);
}

#[test]
fn two_seeds_differ_in_more_than_the_seed() {
    let of = |seed: &str| {
        let (report, decisions) = finished(&demo_args(&["--ticks", "6", "--seed", seed]), Hooks::default());
        assert!(report.contains(&format!("\"seed\": {seed},")), "{report}");
        (report.replace(&format!("\"seed\": {seed},"), "\"seed\": N,"), decisions)
    };
    let (one, two) = (of("1"), of("2"));
    assert_ne!(one.0, two.0);
    assert_ne!(one.1, two.1);
}

/// The same fleet in process.
fn in_process(policy: &Policy) -> (backtest::Outcome, Vec<Decision>) {
    let demo = Demo::new(&demo_args(&["--ticks", TICKS])).expect("demo");
    let config = backtest::core_config(&demo.fleet, policy, "cpu", 2);
    let mut journal = MemoryJournal::default();
    let mut planned = vec![];
    let watch = |_: &_, s: &foreshade_appliance_core::Summary| planned.extend(s.decisions.clone());
    let outcome = backtest::foreshade(&demo.fleet, core(&config), &mut journal, watch).expect("backtest");
    let committed: Vec<_> = journal.records.into_iter().flat_map(|r| r.decisions).collect();
    assert_eq!(committed, planned);
    (outcome, committed)
}

#[test]
fn the_network_adds_and_loses_nothing_against_a_backtest() {
    let policy = Policy { mode: Mode::Auto, ..Policy::default() };
    let (outcome, decisions) = in_process(&policy);
    let (report, over_quic) = reference();
    assert_eq!(&decisions, over_quic);
    let report: serde_json::Value = serde_json::from_str(report).expect("json");
    let json = |v: &dyn Fn() -> serde_json::Result<serde_json::Value>| v().expect("json");
    assert_eq!(report["policies"]["foreshade"], json(&|| serde_json::to_value(&outcome.policy)));
    assert_eq!(report["forecast"], json(&|| serde_json::to_value(&outcome.forecast)));
    assert_eq!(report["outlook"], json(&|| serde_json::to_value(&outcome.outlook)));
    assert_eq!(report["anomalies"], json(&|| serde_json::to_value(&outcome.anomalies)));
    let racks = report["outlook"]["racks"].as_object().expect("racks");
    assert!(
        racks.len() == 2 && racks.values().all(|r| r["peak_30min"]["q95"].as_u64() > Some(1000)),
        "{racks:?}"
    );
    assert!(report["forecast"]["cpu"]["n"].as_u64() > Some(50), "{report}");
}

#[test]
fn forecast_quality_does_not_depend_on_what_is_decided() {
    let of = |mode| in_process(&Policy { mode, ..Policy::default() });
    let (auto, decisions) = of(Mode::Auto);
    assert!(!decisions.is_empty());
    for mode in [Mode::Advise, Mode::Off] {
        let (idle, decisions) = of(mode);
        assert_eq!(decisions, vec![], "{mode:?} decides nothing");
        assert_eq!(idle.forecast, auto.forecast, "{mode:?}");
        assert_ne!(idle.policy, auto.policy, "{mode:?}");
    }
}

/// What controllers did to the simulated racks.
type Enacted = Arc<Mutex<Vec<(Decision, OutcomeKind)>>>;

fn recording(hooks: Hooks) -> (Hooks, Enacted) {
    let enacted = Enacted::default();
    let into = Arc::clone(&enacted);
    let record = move |d: &Decision, kind| into.lock().expect("enacted").push((d.clone(), kind));
    (Hooks { enacted: Arc::new(record), ..hooks }, enacted)
}

#[test]
fn decisions_reach_the_racks_only_as_planned() {
    let (hooks, enacted) = recording(Hooks::default());
    check_same(&[], hooks);
    let mut done: Vec<_> = enacted.lock().expect("enacted").iter().map(|(d, _)| d.clone()).collect();
    done.sort_by_key(|d| (d.caused_by, d.rack, d.seq));
    assert_eq!(done, reference().1);
}

#[test]
fn without_udp_nothing_is_decided_and_a_peer_is_named() {
    let proxies = Proxies::default();
    let (hooks, enacted) = recording(impatient(proxies.hooks(Path::DropAll, |_| true)));
    let (report, seen) = run(&demo_args(&["--ticks", "3"]), hooks);
    let failure = report.expect_err("no network");
    assert_eq!(failure.exit_code(), 1);
    let text = failure.to_string();
    assert!(text.contains("waited 2000 ms for the agent of host0"), "{text}");
    assert!(text.contains("UDP") && !text.contains('\n'), "{text}");
    assert!(seen.planned.is_empty());
    assert_eq!(*enacted.lock().expect("enacted"), vec![]);
    assert!(proxies.sum(|p| &p.counters().dropped) > 0);
}

#[test]
fn without_one_agent_the_whole_tick_waits_and_that_agent_is_named() {
    let proxies = Proxies::default();
    let hooks = proxies.hooks(Path::DropFromServer, |p| p == Peer::Agent(HostId(4)));
    let (hooks, enacted) = recording(impatient(hooks));
    let (report, seen) = run(&demo_args(&["--ticks", "3"]), hooks);
    let text = report.expect_err("no agent").to_string();
    assert!(text.contains("the agent of host4; "), "{text}");
    assert!(seen.planned.is_empty() && enacted.lock().expect("enacted").is_empty());
}

/// From `tick` on, `mode` lies on the way of rack 1's decisions. The run must fail, and the rack be left as it is.
fn broken_decision_stream(mode: Path) {
    let tick = Tick(FIRST_DECISION + 3);
    let proxies = Proxies::default();
    let (hooks, enacted) =
        recording(impatient(proxies.hooks(Path::Pass, |p| p == Peer::Controller(RackId(1)))));
    let all = Arc::clone(&proxies.0);
    let drop_at = move |t, peer| {
        if t == tick && peer == Peer::Controller(RackId(1)) {
            // A pause of half a second follows the answer: it arrives, and the next decisions do not.
            let all = Arc::clone(&all);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(150));
                all.lock().expect("proxies").iter().for_each(|(_, p)| p.set(mode));
            });
        }
        false
    };
    let hooks = Hooks { drop_at: Arc::new(drop_at), ..hooks };
    let (report, seen) = run(&demo_args(&["--ticks", TICKS, "--speed", "600"]), hooks);
    let text = report.expect_err("the rack is cut off").to_string();
    assert!(text.contains("the controller of rack1"), "{text}");
    let planned = seen.decisions();
    assert!(planned.iter().any(|d| d.rack == RackId(1) && d.caused_by > tick), "a decision to be lost");
    let of_rack = |d: &Decision| d.rack == RackId(1);
    let want: Vec<_> = until(&planned, tick).into_iter().filter(of_rack).collect();
    let enacted = enacted.lock().expect("enacted");
    let got: Vec<_> = enacted.iter().map(|(d, _)| d.clone()).filter(of_rack).collect();
    assert_eq!(got, want);
}

#[test]
fn a_decision_stream_with_flipped_bits_leaves_the_rack_unacted_on() {
    broken_decision_stream(Path::FlipBits { percent: 100 });
}

#[test]
fn a_decision_stream_that_is_cut_leaves_the_rack_unacted_on() {
    broken_decision_stream(Path::DropFromServer);
}

#[test]
fn a_decision_stream_cut_after_some_packets_fails_the_run() {
    let proxies = Proxies::default();
    let cut = Path::DropFromServerAfter { packets: 80 };
    let hooks = proxies.hooks(cut, |p| p == Peer::Controller(RackId(0)));
    let (hooks, enacted) = recording(impatient(hooks));
    let (report, seen) = run(&demo_args(&["--ticks", TICKS]), hooks);
    let text = report.expect_err("the rack is cut off").to_string();
    assert!(text.contains("the controller of rack0"), "{text}");
    let last = seen.planned.last().expect("some ticks").tick;
    assert!(last > Tick(0) && last < Tick(FIRST_DECISION + 14), "{last}");
    assert!(enacted.lock().expect("enacted").iter().all(|(d, _)| d.rack != RackId(0) || d.caused_by < last));
}
