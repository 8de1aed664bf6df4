//! Peers that break the rules, against a running appliance: each is refused in clear words, and nobody else notices.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foreshade_appliance::{ApplianceError, End, Options};
use foreshade_appliance_core::{
    Core, CoreConfig, HostSpec, Journal, JournalError, MemoryJournal, OrderRecord, RackSpec, Record, VmSpec,
};
use foreshade_link::Ca;
use foreshade_plan::{Mode, Policy};
use foreshade_types::{
    ControllerId, Decision, HostId, Mebibytes, Millicores, Outcome, OutcomeKind, RackId, Resource, Tick,
    VmId, VmSize,
};
use foreshade_wire::{Column, Flags, Message, PROTOCOL, Row, TelemetryBatch};
use tokio::sync::watch;
use tokio::time::timeout;

#[path = "../../link/tests/support/mod.rs"]
mod link;
mod support;

use support::Recorder;

const RACK: RackId = RackId(0);
const HOSTS: u32 = 3;
const LAST: Tick = Tick(5);

/// Three hosts with two VMs each.
fn config() -> CoreConfig {
    let size = VmSize { cpu: Millicores(4_000), memory: Mebibytes(16_384) };
    let host = |h| HostSpec::general(HostId(h), Millicores(32_000), Mebibytes(131_072));
    let vm = |i| VmSpec {
        name: format!("v{i}"),
        size,
        host: HostId(i / 2),
        customer: None,
        care: Default::default(),
    };
    CoreConfig {
        epoch: 1,
        cadence_s: 300,
        racks: vec![RackSpec { id: RACK, hosts: (0..HOSTS).map(host).collect() }],
        vms: (0..2 * HOSTS).map(vm).collect(),
        resources: vec![Resource::Cpu, Resource::Memory],
        manages_memory: true,
        first_decision: Tick(0),
        last: LAST,
        policy: Policy { mode: Mode::Auto, ..Policy::default() },
        site: Default::default(),
        backend: "cpu".into(),
        threads: 1,
        follow: None,
    }
}

/// What an honest agent says of a VM.
fn used(vm: u32, tick: Tick) -> f32 {
    (1_000 + 100 * vm) as f32 + tick.0 as f32
}

fn row(vm: u32, tick: Tick) -> Row {
    Row::new(VmId(vm), Flags::default())
        .with(Column::CpuUsedMc, used(vm, tick))
        .with(Column::CpuThrottledMc, 0.0)
        .with(Column::MemUsedMib, 2_000.0)
        .with(Column::MemThrottledMib, 0.0)
        .with(Column::AllocCpuMc, 4_000.0)
        .with(Column::AllocMemMib, 16_384.0)
}

fn batch(rows: &[Row]) -> bytes::Bytes {
    let mut b = TelemetryBatch::with_capacity(rows.len());
    rows.iter().for_each(|r| b.push(r).expect("ascending"));
    b.encode().expect("encoded")
}

fn tick_of(rows: &[Row], tick: Tick) -> Vec<Message> {
    let (ipc, rows) = (batch(rows), rows.len() as u32);
    vec![Message::Telemetry { tick, ipc }, Message::EndOfTick { tick, rows }]
}

/// What an agent sends for a tick.
type Speak = fn(HostId, Tick) -> Vec<Message>;

fn honest(host: HostId, tick: Tick) -> Vec<Message> {
    tick_of(&[row(2 * host.0, tick), row(2 * host.0 + 1, tick)], tick)
}

async fn play_agent(ca: Ca2, host: HostId, speak: Speak) {
    let hello = Message::agent_hello(host, Tick(0));
    let credentials = link::agent(&ca.ca, RACK.0, host.0);
    let mut s = link::connect(ca.addr, &credentials, &ca.ca.trust(), &hello).await.expect("agent");
    while let Ok(Message::Release { tick }) = s.recv().await {
        if s.send(&speak(host, tick)).await.is_err() {
            break;
        }
    }
}

/// What a controller answers.
type Answer = fn(&[Decision]) -> Vec<Outcome>;

fn outcome(seq: u64) -> Outcome {
    Outcome { controller: ControllerId(7), seq, kind: OutcomeKind::Applied, effective_at_ms: 0 }
}

fn obey(decisions: &[Decision]) -> Vec<Outcome> {
    decisions.iter().map(|d| outcome(d.seq)).collect()
}

async fn play_controller(ca: Ca2, answer: Answer, told: Arc<Mutex<Vec<Tick>>>) {
    let hello = Message::Subscribe {
        protocol: PROTOCOL,
        rack: RACK,
        controller: ControllerId(7),
        last_seq: 0,
        epoch: 0,
    };
    let credentials = link::controller(&ca.ca, RACK.0);
    let mut s = link::connect(ca.addr, &credentials, &ca.ca.trust(), &hello).await.expect("controller");
    while let Ok(Message::Decisions { tick, decisions }) = s.recv().await {
        told.lock().expect("told").push(tick);
        let outcomes = answer(&decisions);
        if s.send(&[Message::Outcomes { tick, outcomes }]).await.is_err() {
            break;
        }
    }
}

#[derive(Clone)]
struct Ca2 {
    ca: Arc<Ca>,
    addr: std::net::SocketAddr,
}

/// What became of a run.
struct Ran {
    end: Result<End, ApplianceError>,
    seen: Recorder,
    core: Core,
    /// The ticks whose decisions reached the controller.
    told: Vec<Tick>,
}

/// Host 1 speaks as `evil` does, the others honestly.
fn play(evil: Speak, answer: Answer, journal: &mut dyn Journal) -> Ran {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    rt.block_on(async {
        let mut core = support::core(&config());
        let ca = Arc::new(link::ca());
        let (server, mut events) = link::serve(&ca, 1);
        let peers = Ca2 { ca, addr: server.local_addr() };
        let told = Arc::new(Mutex::new(vec![]));
        for host in (0..HOSTS).map(HostId) {
            let speak = if host == HostId(1) { evil } else { honest };
            tokio::spawn(play_agent(peers.clone(), host, speak));
        }
        tokio::spawn(play_controller(peers, answer, Arc::clone(&told)));
        let (_keep, stop) = watch::channel(false);
        let mut seen = Recorder::default();
        let options = Options { wait_max_ms: 2_000, speed: None };
        let run = foreshade_appliance::run(&mut core, &mut events, journal, &mut seen, stop.into(), options);
        let end = timeout(Duration::from_secs(30), run).await.expect("an end");
        // Time for anything that was sent in spite of an error to arrive.
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(server);
        let told = told.lock().expect("told").clone();
        Ran { end, seen, core, told }
    })
}

/// The run went to its end; the VMs of hosts 0 and 2 were seen at every tick.
fn check_others_undisturbed(ran: &Ran) {
    assert!(matches!(ran.end, Ok(End::Finished)), "{:?}", ran.end);
    assert_eq!(ran.told, (0..=LAST.0).map(Tick).collect::<Vec<_>>());
    for vm in [0, 1, 4, 5] {
        check_seen(ran, vm, used(vm, LAST));
    }
}

fn check_seen(ran: &Ran, vm: u32, cpu_used: f32) {
    let (host, allocation, demand) = ran.core.placed(VmId(vm)).expect("known");
    assert_eq!((host, demand), (HostId(vm / 2), Millicores(cpu_used as u64)), "vm{vm}");
    assert_eq!(allocation.cpu, Millicores(4_000), "vm{vm}");
}

/// Every tick brought exactly these refusals; `{t}` stands for the tick.
fn check_refused(ran: &Ran, each_tick: &[&str]) {
    let of = |t: u64| each_tick.iter().map(move |s| s.replace("{t}", &t.to_string()));
    assert_eq!(ran.seen.refused, (0..=LAST.0).flat_map(of).collect::<Vec<_>>());
}

#[test]
fn honest_peers_are_heard() {
    let ran = play(honest, obey, &mut MemoryJournal::default());
    check_others_undisturbed(&ran);
    check_refused(&ran, &[]);
    check_seen(&ran, 2, used(2, LAST));
}

#[test]
fn rows_of_another_hosts_vms_are_refused_and_the_tick_goes_on() {
    let evil = |_, tick| {
        let stolen = |vm| row(vm, tick).with(Column::CpuUsedMc, 9.0).with(Column::AllocCpuMc, 1.0);
        tick_of(&[stolen(0), row(2, tick), row(3, tick), stolen(5)], tick)
    };
    let ran = play(evil, obey, &mut MemoryJournal::default());
    check_others_undisturbed(&ran);
    check_seen(&ran, 2, used(2, LAST));
    check_refused(
        &ran,
        &[
            "vm0 is on host0, not on host1; the row was not used",
            "vm5 is on host2, not on host1; the row was not used",
            "host1 sent 4 rows for tick t{t}, 2 were used",
        ],
    );
}

#[test]
fn a_vm_that_nobody_registered_is_refused() {
    let evil = |_, tick| tick_of(&[row(2, tick), row(3, tick), row(99, tick)], tick);
    let ran = play(evil, obey, &mut MemoryJournal::default());
    check_others_undisturbed(&ran);
    check_seen(&ran, 3, used(3, LAST));
    check_refused(
        &ran,
        &[
            "vm99 is not in the inventory of 6 VMs; its row from host1 was not used",
            "host1 sent 3 rows for tick t{t}, 2 were used",
        ],
    );
}

#[test]
fn garbage_instead_of_arrow_is_refused_and_nothing_else() {
    let evil = |host: HostId, tick: Tick| {
        let good = batch(&[row(2, tick), row(3, tick)]);
        let mut bytes = good.to_vec();
        match tick.0 % 3 {
            0 => bytes = b"neither Arrow nor anything else".to_vec(),
            1 => bytes.truncate(good.len() / 2),
            _ => bytes[..200].iter_mut().for_each(|b| *b ^= host.0 as u8),
        }
        let ipc = bytes.into();
        vec![Message::Telemetry { tick, ipc }, Message::EndOfTick { tick, rows: 2 }]
    };
    let ran = play(evil, obey, &mut MemoryJournal::default());
    check_others_undisturbed(&ran);
    check_seen(&ran, 2, 0.0);
    assert_eq!(ran.seen.refused.len(), 2 * (LAST.0 as usize + 1), "{:?}", ran.seen.refused);
    for (i, text) in ran.seen.refused.iter().enumerate() {
        let t = i / 2;
        let (start, end) = match i % 2 {
            0 => (format!("batch of host1 for tick t{t}: "), "it was not used"),
            _ => (format!("host1 sent 2 rows for tick t{t}, 0 were used"), ""),
        };
        assert!(text.starts_with(&start) && text.ends_with(end) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn numbers_that_no_machine_has_are_refused_and_stop_nobody() {
    let evil = |_, tick: Tick| {
        let column = [Column::CpuUsedMc, Column::MemThrottledMib, Column::AllocCpuMc][tick.index() % 3];
        let bad = if tick.0 < 3 { f32::MAX } else { 2e7 };
        // Together they are infinite.
        let row2 = row(2, tick).with(Column::CpuThrottledMc, f32::MAX).with(Column::CpuUsedMc, f32::MAX);
        tick_of(&[row2, row(3, tick).with(column, bad)], tick)
    };
    let ran = play(evil, obey, &mut MemoryJournal::default());
    check_others_undisturbed(&ran);
    check_seen(&ran, 2, 0.0);
    assert_eq!(ran.seen.refused.len(), 3 * (LAST.0 as usize + 1), "{:?}", ran.seen.refused);
    assert!(ran.seen.refused[0].starts_with("vm2 from host1: cpu_used_mc "), "{}", ran.seen.refused[0]);
    assert!(ran.seen.refused[0].ends_with("than any machine has (16777216); the row was not used"));
    assert_eq!(
        ran.seen.refused[10],
        "vm3 from host1: cpu_used_mc 20000000 is more than any machine has (16777216); the row was not used"
    );
}

#[test]
fn values_that_are_no_numbers_cost_their_row_only() {
    let evil = |_, tick: Tick| {
        let bad = [f32::INFINITY, -1.0, f32::from_bits(0x7FC0_0001)][tick.index() % 3];
        tick_of(&[row(2, tick).with(Column::NetRxKbs, bad), row(3, tick)], tick)
    };
    let ran = play(evil, obey, &mut MemoryJournal::default());
    check_others_undisturbed(&ran);
    check_seen(&ran, 3, used(3, LAST));
    check_seen(&ran, 2, 0.0);
    assert_eq!(
        ran.seen.refused[2],
        "vm2 in row 0 of host1: net_rx_kbs is negative (-1); the row was not used"
    );
}

#[test]
fn missing_rows_are_said_and_the_tick_goes_on() {
    let evil = |_, tick| {
        let ipc = batch(&[row(3, tick)]);
        vec![Message::Telemetry { tick, ipc }, Message::EndOfTick { tick, rows: 2 }]
    };
    let ran = play(evil, obey, &mut MemoryJournal::default());
    check_others_undisturbed(&ran);
    check_seen(&ran, 3, used(3, LAST));
    check_refused(&ran, &["host1 sent 2 rows for tick t{t}, 1 were used"]);
    // A host may have nothing to say.
    let ran = play(|_, tick| vec![Message::EndOfTick { tick, rows: 0 }], obey, &mut MemoryJournal::default());
    check_others_undisturbed(&ran);
    check_refused(&ran, &[]);
}

#[test]
fn a_controller_that_answers_what_it_was_not_asked_stops_the_run_in_clear_words() {
    let ran = play(honest, |_| vec![outcome(99)], &mut MemoryJournal::default());
    let text = ran.end.expect_err("wrong answer").to_string();
    assert_eq!(
        text,
        "rack0 answered 1 of 0 decisions of tick t0, or others; check that one controller runs per rack"
    );
    assert_eq!(ran.told, [Tick(0)]);
}

#[test]
fn outcomes_in_another_controllers_name_are_refused_and_not_used() {
    let forged = |_: &[Decision]| vec![Outcome { controller: ControllerId(8), ..outcome(1) }];
    let ran = play(honest, forged, &mut MemoryJournal::default());
    let text = ran.end.expect_err("nobody else answers").to_string();
    assert!(text.starts_with("waited 2000 ms for the controller of rack0; "), "{text}");
    assert_eq!(ran.told, [Tick(0)]);
    assert!(
        ran.seen.refused.is_empty() || ran.seen.refused[0].contains("controller"),
        "{:?}",
        ran.seen.refused
    );
}

/// A journal that is full at one tick.
struct FullAt(Tick, Vec<Tick>);

impl Journal for FullAt {
    fn commit(&mut self, record: &Record) -> Result<(), JournalError> {
        if record.tick == self.0 {
            return Err(JournalError { place: "here".into(), what: "no space left on device".into() });
        }
        self.1.push(record.tick);
        Ok(())
    }

    fn order(&mut self, _: &OrderRecord) -> Result<(), JournalError> {
        Ok(())
    }
}

#[test]
fn a_tick_that_cannot_be_journalled_is_not_sent() {
    let mut journal = FullAt(Tick(2), vec![]);
    let ran = play(honest, obey, &mut journal);
    let text = ran.end.expect_err("full").to_string();
    assert_eq!(
        text,
        "journal here: no space left on device; free space or fix the permissions, then start again"
    );
    assert_eq!(journal.1, [Tick(0), Tick(1)]);
    assert_eq!(ran.told, [Tick(0), Tick(1)]);
}
