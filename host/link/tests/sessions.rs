//! What becomes of a session: replaced, repeated, too slow, ended.

use std::sync::{Arc, Mutex};

use foreshade_link::server::{LinkEvent, SendError};
use foreshade_link::{Limits, LinkError};
use foreshade_types::{ControllerId, HostId, Outcome, OutcomeKind, RackId, Tick};
use foreshade_wire::{Message, PROTOCOL, RefusalCode};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

mod support;

use support::{agent, ca, connect, controller, event, serve};

fn hello(next_tick: u64) -> Message {
    Message::agent_hello(HostId(1), Tick(next_tick))
}

fn tick_of(tick: u64) -> [Message; 2] {
    let (tick, ipc) = (Tick(tick), vec![1, 2, 3].into());
    [Message::Telemetry { tick, ipc }, Message::EndOfTick { tick, rows: 1 }]
}

#[tokio::test]
async fn a_newer_connection_replaces_the_older_and_continues_its_tick() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let (addr, credentials) = (server.local_addr(), agent(&ca, 1, 1));
    let mut old = connect(addr, &credentials, &ca.trust(), &hello(0)).await.expect("old");
    let LinkEvent::AgentUp { peer, .. } = event(&mut events).await else { panic!("no agent") };
    peer.send(&Message::Release { tick: Tick(0) }).expect("queued");
    assert_eq!(old.recv().await, Ok(Message::Release { tick: Tick(0) }));
    // Half a tick: it must not be seen.
    old.send(&tick_of(0)[..1]).await.expect("half a tick");
    let mut new = connect(addr, &credentials, &ca.trust(), &hello(0)).await.expect("new");
    let error = old.recv().await.expect_err("replaced");
    assert!(matches!(error, LinkError::Refused { code: RefusalCode::Replaced, .. }), "{error}");
    match event(&mut events).await {
        LinkEvent::Down { peer: gone, why, .. } => {
            assert_eq!((gone, why.as_str()), (peer.id(), "replaced by a newer connection"));
        }
        other => panic!("{other:?}"),
    }
    let LinkEvent::AgentUp { peer: newer, .. } = event(&mut events).await else { panic!("no new agent") };
    assert!(newer.id() > peer.id());
    assert_eq!(new.recv().await, Ok(Message::Release { tick: Tick(0) }));
    new.send(&tick_of(0)).await.expect("whole tick");
    assert!(matches!(event(&mut events).await, LinkEvent::Telemetry { tick: Tick(0), .. }));
    assert!(matches!(event(&mut events).await, LinkEvent::EndOfTick { tick: Tick(0), rows: 1, .. }));
    // The old handle still reaches the peer, but can no longer turn it away.
    peer.refuse(RefusalCode::Vm, "late");
    peer.send(&Message::Release { tick: Tick(1) }).expect("queued");
    assert_eq!(new.recv().await, Ok(Message::Release { tick: Tick(1) }));
}

#[tokio::test]
async fn a_repeated_tick_is_dropped_and_the_next_one_still_comes() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let mut session =
        connect(server.local_addr(), &agent(&ca, 1, 1), &ca.trust(), &hello(0)).await.expect("in");
    let LinkEvent::AgentUp { peer, .. } = event(&mut events).await else { panic!("no agent") };
    peer.send(&Message::Release { tick: Tick(0) }).expect("queued");
    session.recv().await.expect("released");
    session.send(&tick_of(0)).await.expect("tick");
    session.send(&tick_of(0)).await.expect("tick again");
    assert!(matches!(event(&mut events).await, LinkEvent::Telemetry { .. }));
    assert!(matches!(event(&mut events).await, LinkEvent::EndOfTick { .. }));
    peer.send(&Message::Release { tick: Tick(1) }).expect("queued");
    session.recv().await.expect("released");
    session.send(&tick_of(1)).await.expect("tick");
    assert!(matches!(event(&mut events).await, LinkEvent::Telemetry { tick: Tick(1), .. }));
}

#[tokio::test]
async fn decisions_sent_to_an_absent_controller_wait_for_it() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let (addr, credentials) = (server.local_addr(), controller(&ca, 1));
    let (rack, controller) = (RackId(1), ControllerId(1));
    let subscribe = Message::Subscribe { protocol: PROTOCOL, rack, controller, last_seq: 0, epoch: 0 };
    let first = connect(addr, &credentials, &ca.trust(), &subscribe).await.expect("first");
    let LinkEvent::ControllerUp { peer, .. } = event(&mut events).await else { panic!("no controller") };
    first.finish("leaving").await;
    match event(&mut events).await {
        LinkEvent::Down { why, .. } => assert_eq!(why, "closed by peer: leaving"),
        other => panic!("{other:?}"),
    }
    let decisions = Message::Decisions { tick: Tick(4), decisions: vec![] };
    assert_eq!(peer.send(&decisions), Err(SendError::Gone));
    let mut second = connect(addr, &credentials, &ca.trust(), &subscribe).await.expect("second");
    assert!(matches!(event(&mut events).await, LinkEvent::ControllerUp { .. }));
    assert_eq!(second.recv().await, Ok(decisions));
    let foreign =
        Outcome { controller: ControllerId(2), seq: 1, kind: OutcomeKind::Applied, effective_at_ms: 0 };
    second.send(&[Message::Outcomes { tick: Tick(4), outcomes: vec![foreign] }]).await.expect("sent");
    let error = second.recv().await.expect_err("speaks for another");
    assert_eq!(error.to_string(), "refused (Malformed): outcome of controller2 from controller1");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_fills_its_queue_and_blocks_nobody() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let _session = connect(server.local_addr(), &agent(&ca, 1, 1), &ca.trust(), &hello(0)).await.expect("in");
    let LinkEvent::AgentUp { peer, .. } = event(&mut events).await else { panic!("no agent") };
    let queue = Limits::default().send_queue;
    // Nothing else runs between these calls on this single-threaded runtime.
    for tick in 0..queue as u64 {
        peer.send(&Message::Release { tick: Tick(tick) }).expect("queued");
    }
    assert_eq!(peer.send(&Message::Release { tick: Tick(99) }), Err(SendError::Full));
}

#[tokio::test]
async fn closing_says_bye_to_those_who_are_in_and_to_those_who_come() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let addr = server.local_addr();
    let mut session = connect(addr, &agent(&ca, 1, 1), &ca.trust(), &hello(0)).await.expect("in");
    assert!(matches!(event(&mut events).await, LinkEvent::AgentUp { .. }));
    // Not read yet: keeps the server from closing while the second one comes.
    let closing = tokio::spawn(server.close("all done", 800));
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let late = connect(addr, &agent(&ca, 1, 2), &ca.trust(), &Message::agent_hello(HostId(2), Tick(0))).await;
    assert_eq!(late.err(), Some(LinkError::Ended("all done".into())));
    assert_eq!(session.recv().await, Ok(Message::Bye { text: "all done".into() }));
    closing.await.expect("closed");
    assert!(matches!(event(&mut events).await, LinkEvent::Down { .. }));
}

/// Collects the names of spans and whether they carry a tick.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

struct HasTick(Option<u64>);

impl tracing::field::Visit for HasTick {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "tick" {
            self.0 = Some(value);
        }
    }
    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attrs: &tracing::span::Attributes<'_>, _: &tracing::span::Id, _: Context<'_, S>) {
        let mut tick = HasTick(None);
        attrs.record(&mut tick);
        if let Some(tick) = tick.0 {
            self.0.lock().expect("spans").push(format!("{} {tick}", attrs.metadata().name()));
        }
    }
    fn on_record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>, _: Context<'_, S>) {
        let mut tick = HasTick(None);
        values.record(&mut tick);
        if let Some(tick) = tick.0 {
            self.0.lock().expect("spans").push(format!("link::ingress {tick}"));
        }
    }
}

#[tokio::test]
async fn hops_one_and_ten_are_spans_with_the_tick() {
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let mut session =
        connect(server.local_addr(), &agent(&ca, 1, 1), &ca.trust(), &hello(0)).await.expect("in");
    let LinkEvent::AgentUp { peer, .. } = event(&mut events).await else { panic!("no agent") };
    peer.send(&Message::Release { tick: Tick(7) }).expect("queued");
    session.recv().await.expect("released");
    session.send(&tick_of(7)).await.expect("tick");
    event(&mut events).await;
    event(&mut events).await;
    assert_eq!(*spans.0.lock().expect("spans"), ["link::egress 7", "link::ingress 7", "link::ingress 7"]);
}
