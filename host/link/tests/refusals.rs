//! Who is turned away, with which words, and that nobody else notices.

use std::time::Duration;

use foreshade_link::client::Session;
use foreshade_link::server::{LinkEvent, PeerHandle};
use foreshade_link::{Ca, Identity, LinkError, Validity};
use foreshade_types::{ControllerId, HostId, RackId, Tick};
use foreshade_wire::{Message, PROTOCOL, RefusalCode};
use tokio::sync::mpsc::Receiver;

mod support;

use support::{DOMAIN, agent, ca, connect, controller, day, event, serve, viewer};

fn hello(host: u32) -> Message {
    Message::agent_hello(HostId(host), Tick(0))
}

fn subscribe(rack: u32) -> Message {
    let (rack, controller) = (RackId(rack), ControllerId(1));
    Message::Subscribe { protocol: PROTOCOL, rack, controller, last_seq: 0, epoch: 0 }
}

fn refusal(result: Result<Session, LinkError>) -> (RefusalCode, String) {
    match result {
        Err(LinkError::Refused { code, text }) => (code, text),
        other => panic!("not refused: {other:?}"),
    }
}

async fn agent_up(events: &mut Receiver<LinkEvent>) -> PeerHandle {
    match event(events).await {
        LinkEvent::AgentUp { peer, .. } => peer,
        other => panic!("no agent: {other:?}"),
    }
}

/// The bystander still works: it gets its tick, and its answer arrives.
async fn check_undisturbed(
    session: &mut Session,
    peer: &PeerHandle,
    events: &mut Receiver<LinkEvent>,
    tick: u64,
) {
    let tick = Tick(tick);
    peer.send(&Message::Release { tick }).expect("queued");
    assert_eq!(session.recv().await, Ok(Message::Release { tick }));
    session.send(&[Message::EndOfTick { tick, rows: 0 }]).await.expect("sent");
    loop {
        match event(events).await {
            LinkEvent::EndOfTick { tick: t, .. } => break assert_eq!(t, tick),
            LinkEvent::Refused { .. } => {}
            other => panic!("disturbed: {other:?}"),
        }
    }
}

#[tokio::test]
async fn peers_are_let_in_with_what_their_certificate_says() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 42);
    let addr = server.local_addr();
    let a = connect(addr, &agent(&ca, 1, 3), &ca.trust(), &hello(3)).await.expect("agent");
    let c = connect(addr, &controller(&ca, 1), &ca.trust(), &subscribe(1)).await.expect("controller");
    assert_eq!((a.epoch(), c.epoch()), (42, 42));
    match event(&mut events).await {
        LinkEvent::AgentUp { host, rack, next_tick, .. } => {
            assert_eq!((host, rack, next_tick), (HostId(3), RackId(1), Tick(0)));
        }
        other => panic!("{other:?}"),
    }
    match event(&mut events).await {
        LinkEvent::ControllerUp { rack, controller, last_seq, epoch, .. } => {
            assert_eq!((rack, controller, last_seq, epoch), (RackId(1), ControllerId(1), 0, 0));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_wrong_identity_is_refused_with_its_reason_and_nobody_else_notices() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    server.restrict_hosts([(HostId(1), RackId(1)), (HostId(2), RackId(1))].into());
    let addr = server.local_addr();
    let trust = ca.trust();
    let mut good = connect(addr, &agent(&ca, 1, 1), &trust, &hello(1)).await.expect("agent");
    let peer = agent_up(&mut events).await;
    let old = Message::AgentHello {
        protocol: PROTOCOL + 1,
        host: HostId(2),
        next_tick: Tick(0),
        schema: foreshade_wire::telemetry::schema_bytes().into(),
    };
    let mut schema = foreshade_wire::telemetry::schema_bytes().to_vec();
    schema[100] ^= 1;
    let other_schema = Message::AgentHello {
        protocol: PROTOCOL,
        host: HostId(2),
        next_tick: Tick(0),
        schema: schema.into(),
    };
    let bye = Message::Bye { text: "hi".into() };
    let cases = [
        (
            agent(&ca, 1, 1),
            hello(2),
            RefusalCode::Host,
            "spiffe://rack.test/rack/1/agent/host-1 may not push for host2: use that host's certificate",
        ),
        (
            agent(&ca, 2, 2),
            hello(2),
            RefusalCode::Rack,
            "spiffe://rack.test/rack/2/agent/host-2: host2 is not a host of that rack here",
        ),
        (
            agent(&ca, 1, 9),
            hello(9),
            RefusalCode::Rack,
            "spiffe://rack.test/rack/1/agent/host-9: host9 is not a host of that rack here",
        ),
        (
            controller(&ca, 2),
            subscribe(1),
            RefusalCode::Rack,
            "spiffe://rack.test/rack/2/controller/main may not control rack1: use a certificate of that rack",
        ),
        (
            viewer(&ca, 1),
            hello(1),
            RefusalCode::Role,
            "spiffe://rack.test/rack/1/viewer/eyes may not act as agent: use a certificate of that role",
        ),
        (
            viewer(&ca, 1),
            subscribe(1),
            RefusalCode::Role,
            "spiffe://rack.test/rack/1/viewer/eyes may not act as controller: use a certificate of that role",
        ),
        (
            agent(&ca, 1, 1),
            subscribe(1),
            RefusalCode::Role,
            "spiffe://rack.test/rack/1/agent/host-1 may not act as controller: use a certificate of that role",
        ),
        (
            agent(&ca, 1, 2),
            old,
            RefusalCode::Protocol,
            "protocol 2, this appliance speaks 1: use the same version",
        ),
        (
            agent(&ca, 1, 2),
            other_schema,
            RefusalCode::Schema,
            "telemetry schema of 808 bytes differs from the pinned one of 808 bytes: send the schema of this version",
        ),
        (
            agent(&ca, 1, 2),
            bye,
            RefusalCode::Malformed,
            "Bye is no first message: AgentHello or Subscribe expected",
        ),
    ];
    for (tick, (credentials, hello, code, text)) in cases.into_iter().enumerate() {
        let refused = refusal(connect(addr, &credentials, &trust, &hello).await);
        assert_eq!(refused, (code, text.to_string()));
        check_undisturbed(&mut good, &peer, &mut events, tick as u64).await;
    }
}

#[tokio::test]
async fn the_appliance_hears_who_was_refused_and_why() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    refusal(connect(server.local_addr(), &agent(&ca, 1, 1), &ca.trust(), &hello(2)).await);
    match event(&mut events).await {
        LinkEvent::Refused { who, why } => {
            assert_eq!(who, "spiffe://rack.test/rack/1/agent/host-1");
            assert_eq!(why, format!("{who} may not push for host2: use that host's certificate"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn certificates_of_another_ca_or_out_of_date_are_rejected_in_the_handshake() {
    let (ca, stranger) = (ca(), ca());
    let (server, mut events) = serve(&ca, 1);
    let addr = server.local_addr();
    let now = std::time::SystemTime::now();
    let past =
        Validity { not_before: now - Duration::from_secs(7200), not_after: now - Duration::from_secs(3600) };
    let expired = ca.issue(&Identity::agent(DOMAIN, RackId(1), HostId(1)), past).expect("expired");
    for credentials in [agent(&stranger, 1, 1), expired] {
        let error = connect(addr, &credentials, &ca.trust(), &hello(1)).await.expect_err("rejected");
        assert!(matches!(error, LinkError::CertificateRejected { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("{addr} did not accept our certificate: ")), "{text}");
        match event(&mut events).await {
            LinkEvent::Refused { why, .. } => assert!(why.starts_with("TLS handshake: "), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_appliance_of_another_ca_is_not_trusted() {
    let (ca, stranger) = (ca(), ca());
    let (server, _events) = serve(&stranger, 1);
    let addr = server.local_addr();
    let error = connect(addr, &agent(&ca, 1, 1), &ca.trust(), &hello(1)).await.expect_err("not trusted");
    assert!(matches!(error, LinkError::Untrusted { .. }), "{error}");
    assert!(error.to_string().ends_with("check that both ends use the same CA"), "{error}");
}

#[tokio::test]
async fn only_an_appliance_may_serve() {
    let ca = ca();
    let any = "127.0.0.1:0".parse().expect("address");
    let bound =
        foreshade_link::server::Server::bind(any, &agent(&ca, 1, 1), &ca.trust(), 1, support::limits());
    let error = bound.expect_err("refused");
    assert_eq!(error.to_string(), "spiffe://rack.test/rack/1/agent/host-1 is no appliance and cannot serve");
}

#[tokio::test]
async fn nobody_answering_is_said_so() {
    let ca = ca();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("socket");
    let addr = silent.local_addr().expect("address");
    let error = connect(addr, &agent(&ca, 1, 1), &ca.trust(), &hello(1)).await.expect_err("silent");
    let want = format!("no answer from {addr} in 1500 ms: check the address, UDP and the firewall");
    assert_eq!(error.to_string(), want);
}

#[tokio::test]
async fn a_ca_issues_only_for_its_domain_and_plain_names() {
    let ca = ca();
    let error = ca.issue(&Identity::appliance("other.test", "a"), day()).expect_err("other domain");
    assert!(error.to_string().contains("is not of the domain rack.test"), "{error}");
    let error = ca.issue(&Identity::controller(DOMAIN, RackId(1), "a/b"), day()).expect_err("slash");
    assert!(error.to_string().contains("\"a/b\""), "{error}");
    assert!(Ca::new("Not A Domain", day()).is_err());
}
