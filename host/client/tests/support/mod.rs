//! A tiny appliance that runs a lockstep replay, and peers that play their part.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foreshade_client::{AgentConfig, AgentSession, ControllerConfig, ControllerSession, Decided, Released};
use foreshade_link::server::{LinkEvent, PeerHandle, Server};
use foreshade_link::{Ca, Limits};
use foreshade_types::{
    Action, Allocation, ControllerId, Decision, HostId, Mebibytes, Millicores, Outcome, OutcomeKind, RackId,
    Reason, Resource, Rule, Tick, VmId,
};
use foreshade_wire::{Column, Flags, Message, Row, TelemetryBatch, TelemetryView};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

#[path = "../../../link/tests/support/mod.rs"]
pub mod link;
#[path = "../../../link/tests/support/proxy.rs"]
pub mod proxy;

pub const RACK: RackId = RackId(1);
pub const VMS_PER_HOST: u32 = 5;

/// Every value a function of VM and tick: altered or misplaced data shows.
pub fn value(vm: u32, tick: Tick) -> f32 {
    (vm * 1000) as f32 + tick.0 as f32
}

pub fn batch(host: HostId, tick: Tick) -> TelemetryBatch {
    let mut batch = TelemetryBatch::with_capacity(VMS_PER_HOST as usize);
    for i in 0..VMS_PER_HOST {
        let vm = host.0 * VMS_PER_HOST + i;
        let row = Row::new(VmId(vm), Flags::default()).with(Column::CpuUsedMc, value(vm, tick));
        batch.push(&row).expect("row");
    }
    batch
}

pub fn decision(seq: u64, tick: Tick, vm: u32) -> Decision {
    let to = Allocation { cpu: Millicores(1000 + seq), memory: Mebibytes(512) };
    let reason = Reason {
        rule: Rule::DemandAboveAllocation,
        resource: Resource::Cpu,
        quantile_permille: 950,
        horizon_s: 0,
        predicted: 1500,
        threshold: 1000,
        worth: Default::default(),
        rejected: vec![],
    };
    Decision {
        epoch: 1,
        seq,
        rack: RACK,
        caused_by: tick,
        vm: VmId(vm),
        observed_host: HostId(0),
        expires_at_ms: tick.0 * 1000 + 5000,
        action: Action::PreAllocate { to },
        reason,
    }
}

pub fn outcome(d: &Decision) -> Outcome {
    Outcome {
        controller: ControllerId(7),
        seq: d.seq,
        kind: OutcomeKind::Applied,
        effective_at_ms: d.expires_at_ms,
    }
}

/// What an appliance has seen of a run.
#[derive(Debug, Default, PartialEq)]
pub struct Seen {
    /// (tick, host) -> values by VM. A second batch of the same key fails the test.
    pub batches: BTreeMap<(Tick, HostId), Vec<(u32, f32)>>,
    pub outcomes: Vec<(Tick, Vec<Outcome>)>,
    pub downs: Vec<String>,
}

/// Runs ticks `0..ticks`: releases each to all agents, waits for all, decides `tick % 3` decisions, waits for outcomes.
pub async fn appliance(mut events: Receiver<LinkEvent>, server: Server, hosts: u32, ticks: u64) -> Seen {
    let mut run = Run {
        hosts,
        tick: Tick(0),
        ended: BTreeSet::new(),
        peers: BTreeMap::new(),
        seq: 0,
        started: false,
        controller: None,
        seen: Seen::default(),
    };
    while run.tick.0 < ticks {
        let event = timeout(Duration::from_secs(10), events.recv()).await.expect("progress").expect("events");
        run.apply(event);
    }
    // Somebody has to empty the queue while peers leave.
    let drain = tokio::spawn(async move { while events.recv().await.is_some() {} });
    server.close("done", 2_000).await;
    drain.abort();
    run.seen
}

struct Run {
    hosts: u32,
    tick: Tick,
    ended: BTreeSet<HostId>,
    peers: BTreeMap<HostId, PeerHandle>,
    controller: Option<PeerHandle>,
    seq: u64,
    started: bool,
    seen: Seen,
}

impl Run {
    fn apply(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::AgentUp { peer, host, .. } => {
                self.peers.insert(host, peer);
            }
            LinkEvent::ControllerUp { peer, .. } => self.controller = Some(peer),
            LinkEvent::Telemetry { host, tick, ipc, .. } => {
                assert_eq!(tick, self.tick);
                let view = TelemetryView::decode(ipc).expect("batch");
                let values = view.column(Column::CpuUsedMc);
                let rows = view.vm().iter().copied().zip(values.iter().copied()).collect();
                assert!(
                    self.seen.batches.insert((tick, host), rows).is_none(),
                    "{tick} of {host} came twice"
                );
            }
            LinkEvent::EndOfTick { host, tick, rows, .. } => {
                assert_eq!((tick, rows), (self.tick, VMS_PER_HOST));
                assert!(self.ended.insert(host));
                if self.ended.len() == self.hosts as usize {
                    self.decide();
                }
            }
            LinkEvent::Outcomes { tick, outcomes, .. } => {
                assert_eq!(tick, self.tick);
                self.seen.outcomes.push((tick, outcomes));
                self.tick = self.tick.next();
                self.ended.clear();
                self.release();
            }
            LinkEvent::Down { why, .. } => self.seen.downs.push(why),
            LinkEvent::Refused { who, why } => panic!("{who} refused: {why}"),
        }
        if !self.started && self.peers.len() == self.hosts as usize && self.controller.is_some() {
            self.started = true;
            self.release();
        }
    }

    fn release(&mut self) {
        for peer in self.peers.values() {
            // A lost peer gets it when it is back.
            let _ = peer.send(&Message::Release { tick: self.tick });
        }
    }

    fn decide(&mut self) {
        let tick = self.tick;
        let decisions =
            (0..tick.0 % 3).map(|i| decision(self.seq + i + 1, tick, i as u32)).collect::<Vec<_>>();
        self.seq += decisions.len() as u64;
        let controller = self.controller.as_ref().expect("controller");
        let _ = controller.send(&Message::Decisions { tick, decisions });
    }
}

/// Checks that every batch came, once and unaltered, and every outcome.
pub fn check_complete(seen: &Seen, hosts: u32, ticks: u64) {
    for tick in (0..ticks).map(Tick) {
        for host in (0..hosts).map(HostId) {
            let rows = (0..VMS_PER_HOST).map(|i| host.0 * VMS_PER_HOST + i);
            let want: Vec<_> = rows.map(|vm| (vm, value(vm, tick))).collect();
            assert_eq!(seen.batches.get(&(tick, host)), Some(&want), "{tick} of {host}");
        }
    }
    assert_eq!(seen.batches.len() as u64, u64::from(hosts) * ticks);
    let ticks_answered: Vec<u64> = seen.outcomes.iter().map(|(tick, _)| tick.0).collect();
    assert_eq!(ticks_answered, (0..ticks).collect::<Vec<_>>());
    let seqs: Vec<u64> = seen.outcomes.iter().flat_map(|(_, o)| o.iter().map(|o| o.seq)).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

pub fn agent_config(ca: &Ca, addr: std::net::SocketAddr, host: u32, limits: Limits) -> AgentConfig {
    AgentConfig {
        addr,
        trust: ca.trust(),
        credentials: link::agent(ca, RACK.0, host),
        host: HostId(host),
        first_tick: Tick(0),
        limits,
        give_up_after_ms: 15_000,
    }
}

pub fn controller_config(ca: &Ca, addr: std::net::SocketAddr, limits: Limits) -> ControllerConfig {
    ControllerConfig {
        addr,
        trust: ca.trust(),
        credentials: link::controller(ca, RACK.0),
        rack: RACK,
        controller: ControllerId(7),
        last_seq: 0,
        epoch: 0,
        limits,
        give_up_after_ms: 15_000,
    }
}

/// When a peer drops its own connection.
pub type DropWhen = fn(Tick, &'static str) -> bool;

/// Plays an agent until `Bye`; returns how often it connected.
pub async fn play_agent(config: AgentConfig, drop_when: DropWhen) -> u64 {
    let host = config.host;
    let mut agent = AgentSession::connect(config).await.expect("agent connects");
    loop {
        match agent.released().await.expect("released") {
            Released::Tick(tick) => {
                if drop_when(tick, "before") {
                    agent.drop_connection();
                }
                agent.send_tick(tick, batch(host, tick)).await.expect("sent");
                if drop_when(tick, "after") {
                    agent.drop_connection();
                }
            }
            Released::Bye(text) => {
                assert_eq!(text, "done");
                return agent.connections();
            }
        }
    }
}

/// Plays the controller until `Bye`; returns what it was told, and how often it connected.
pub async fn play_controller(config: ControllerConfig, drop_when: DropWhen) -> (Vec<(Tick, Vec<u64>)>, u64) {
    let mut controller = ControllerSession::connect(config).await.expect("controller connects");
    let mut told = Vec::new();
    loop {
        match controller.next_decisions().await.expect("decisions") {
            Decided::Tick(tick, decisions) => {
                told.push((tick, decisions.iter().map(|d| d.seq).collect()));
                if drop_when(tick, "before") {
                    controller.drop_connection();
                }
                controller.report(tick, decisions.iter().map(outcome).collect()).await.expect("reported");
                if drop_when(tick, "after") {
                    controller.drop_connection();
                }
            }
            Decided::Bye(text) => {
                assert_eq!(text, "done");
                return (told, controller.connections());
            }
        }
    }
}
