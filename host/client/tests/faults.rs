//! What a session says when it cannot go on.

use std::time::{Duration, Instant};

use foreshade_client::{AgentSession, ClientError, ControllerSession, Decided, Limits, LinkError, Released};
use foreshade_link::server::LinkEvent;
use foreshade_types::{HostId, Tick};
use foreshade_wire::{Message, RefusalCode, TelemetryBatch};

mod support;

use support::link::{ca, event, limits, serve};
use support::proxy::{Mode, Proxy};
use support::{agent_config, batch, controller_config, decision};

fn quick() -> Limits {
    Limits { idle_timeout_ms: 400, keep_alive_ms: 100, handshake_timeout_ms: 400, ..limits() }
}

#[tokio::test]
async fn a_silent_path_ends_an_agent_within_its_deadline() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let proxy = Proxy::start(server.local_addr(), 1, Mode::Pass);
    let config = support::agent_config(&ca, proxy.addr(), 0, quick());
    let mut agent =
        AgentSession::connect(foreshade_client::AgentConfig { give_up_after_ms: 1_000, ..config })
            .await
            .expect("connects");
    let LinkEvent::AgentUp { peer, .. } = event(&mut events).await else { panic!("no agent") };
    peer.send(&Message::Release { tick: Tick(0) }).expect("released");
    assert_eq!(agent.released().await, Ok(Released::Tick(Tick(0))));
    proxy.set(Mode::DropAll);
    agent.send_tick(Tick(0), batch(HostId(0), Tick(0))).await.expect("kept");
    let before = Instant::now();
    let error = agent.released().await.expect_err("nothing gets through");
    assert!(matches!(error, ClientError::GaveUp { after_ms: 1_000, .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("gave up after 1000 ms without a connection: no answer from 127.0.0.1:"),
        "{error}"
    );
    assert!(before.elapsed() < Duration::from_secs(4));
    let LinkEvent::Down { why, .. } = event(&mut events).await else { panic!("agent not down") };
    assert_eq!(why, "nothing heard for the idle timeout");
}

#[tokio::test]
async fn decisions_that_do_not_arrive_leave_the_controller_with_none() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let proxy = Proxy::start(server.local_addr(), 1, Mode::Pass);
    let config = controller_config(&ca, proxy.addr(), quick());
    let config = foreshade_client::ControllerConfig { give_up_after_ms: 1_000, ..config };
    let mut controller = ControllerSession::connect(config).await.expect("connects");
    let LinkEvent::ControllerUp { peer, .. } = event(&mut events).await else { panic!("no controller") };
    proxy.set(Mode::DropFromServer);
    peer.send(&Message::Decisions { tick: Tick(0), decisions: vec![decision(1, Tick(0), 0)] })
        .expect("queued");
    let error = controller.next_decisions().await.expect_err("no decision gets through");
    assert!(matches!(error, ClientError::GaveUp { .. }), "{error}");
    assert_eq!(controller.last_seq(), 0);
}

#[tokio::test]
async fn a_blocked_path_that_opens_again_delivers_the_tick_once() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let proxy = Proxy::start(server.local_addr(), 1, Mode::Pass);
    let mut controller =
        ControllerSession::connect(controller_config(&ca, proxy.addr(), quick())).await.expect("connects");
    let LinkEvent::ControllerUp { peer, .. } = event(&mut events).await else { panic!("no controller") };
    proxy.set(Mode::DropFromServer);
    peer.send(&Message::Decisions { tick: Tick(3), decisions: vec![decision(1, Tick(3), 0)] })
        .expect("queued");
    let open = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        proxy.set(Mode::Pass);
    };
    let next = tokio::time::timeout(Duration::from_secs(8), controller.next_decisions());
    let (decided, ()) = tokio::join!(next, open);
    assert_eq!(decided.expect("in time"), Ok(Decided::Tick(Tick(3), vec![decision(1, Tick(3), 0)])));
    assert!(controller.connections() > 1);
    controller.report(Tick(3), vec![]).await.expect("reported");
    let again = tokio::time::timeout(Duration::from_millis(200), controller.next_decisions()).await;
    assert!(again.is_err(), "came again: {again:?}");
}

#[tokio::test]
async fn a_superseded_appliance_is_left_at_once() {
    let ca = ca();
    let (server, _events) = serve(&ca, 4);
    let config = controller_config(&ca, server.local_addr(), limits());
    let error = ControllerSession::connect(foreshade_client::ControllerConfig { epoch: 5, ..config })
        .await
        .expect_err("superseded");
    assert_eq!(error, ClientError::StaleEpoch { got: 4, seen: 5 });
}

#[tokio::test]
async fn a_refusal_ends_a_session_without_another_attempt() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let config = agent_config(&ca, server.local_addr(), 0, limits());
    let before = Instant::now();
    let error = AgentSession::connect(foreshade_client::AgentConfig { host: HostId(1), ..config })
        .await
        .expect_err("another host");
    assert!(
        matches!(error, ClientError::Link(LinkError::Refused { code: RefusalCode::Host, .. })),
        "{error}"
    );
    assert!(before.elapsed() < Duration::from_secs(3));
    assert!(matches!(event(&mut events).await, LinkEvent::Refused { .. }));
}

#[tokio::test]
async fn a_tick_goes_out_only_when_released_and_is_answered_only_when_open() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let mut agent =
        AgentSession::connect(agent_config(&ca, server.local_addr(), 0, limits())).await.expect("connects");
    let error = agent.send_tick(Tick(0), TelemetryBatch::default()).await.expect_err("not released");
    assert_eq!(error.to_string(), "t0 cannot be sent: none was last released");
    let config = controller_config(&ca, server.local_addr(), limits());
    let mut controller = ControllerSession::connect(config).await.expect("connects");
    let error = controller.report(Tick(0), vec![]).await.expect_err("not open");
    assert_eq!(error.to_string(), "t0 cannot be answered: no tick is open");
    assert!(matches!(event(&mut events).await, LinkEvent::AgentUp { .. }));
}

#[tokio::test]
async fn waiting_for_a_release_can_be_given_up_without_losing_it() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let mut agent =
        AgentSession::connect(agent_config(&ca, server.local_addr(), 0, limits())).await.expect("connects");
    let LinkEvent::AgentUp { peer, .. } = event(&mut events).await else { panic!("no agent") };
    for _ in 0..5 {
        let short = tokio::time::timeout(Duration::from_millis(5), agent.released()).await;
        assert!(short.is_err(), "released unasked: {short:?}");
    }
    peer.send(&Message::Release { tick: Tick(9) }).expect("queued");
    assert_eq!(agent.released().await, Ok(Released::Tick(Tick(9))));
    assert_eq!(agent.connections(), 1);
}
