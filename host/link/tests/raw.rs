//! Peers that do not keep to the protocol: plain quinn clients, with or without a certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use foreshade_link::server::{LinkEvent, SendError};
use foreshade_types::{HostId, Tick};
use foreshade_wire::{Message, RefusalCode};

mod support;

use support::{agent, ca, connect, event, serve};

fn hello(host: u32) -> Message {
    Message::agent_hello(HostId(host), Tick(0))
}

/// A client that trusts anyone and may have no certificate; `versions` of TLS.
#[derive(Debug)]
struct TrustAnyone;

impl rustls::client::danger::ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256, rustls::SignatureScheme::ED25519]
    }
}

/// What a client without certificate, speaking `alpn`, gets instead of an answer.
async fn without_certificate(addr: SocketAddr, alpn: &[u8]) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnyone))
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("config");
    let any = "0.0.0.0:0".parse().expect("address");
    let endpoint = quinn::Endpoint::client(any).expect("endpoint");
    let config = quinn::ClientConfig::new(Arc::new(tls));
    let connection = match endpoint.connect_with(config, addr, "appliance.rack.test").expect("connect").await
    {
        Ok(connection) => connection,
        Err(e) => return e.to_string(),
    };
    connection.closed().await.to_string()
}

#[tokio::test]
async fn no_certificate_no_connection() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let why = without_certificate(server.local_addr(), foreshade_wire::ALPN).await;
    assert!(why.contains("cryptographic handshake failed: error 116"), "{why}");
    assert!(matches!(event(&mut events).await, LinkEvent::Refused { .. }));
}

#[tokio::test]
async fn another_protocol_name_no_connection() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let why = without_certificate(server.local_addr(), b"h3").await;
    assert!(why.contains("cryptographic handshake failed: error 120"), "{why}");
    assert!(matches!(event(&mut events).await, LinkEvent::Refused { .. }));
}

#[tokio::test]
async fn bytes_that_are_no_message_close_only_that_peer() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let addr = server.local_addr();
    let mut good = connect(addr, &agent(&ca, 1, 0), &ca.trust(), &hello(0)).await.expect("good");
    let LinkEvent::AgentUp { peer, .. } = event(&mut events).await else { panic!("no agent") };
    let oversized = [0xFF; 16];
    let unknown = [1, 0, 0, 0, 77];
    let short = [5, 0, 0, 0, 3, 1, 2, 3, 4];
    let welcome = Message::Welcome { epoch: 1 }.encode().expect("encodes");
    let early = Message::EndOfTick { tick: Tick(5), rows: 0 }.encode().expect("encodes");
    let cases: [(&[u8], &str); 5] = [
        (&oversized, "frame of 4294967295 bytes exceeds the limit of 4194304 bytes: send smaller batches"),
        (&unknown, "unknown message kind 77: peer speaks another protocol version"),
        (&short, "EndOfTick ends after 4 bytes, 8 needed"),
        (&welcome, "Welcome is not for spiffe://rack.test/rack/1/agent/host-1 to send"),
        (&early, "EndOfTick of t5 out of turn: none is asked for"),
    ];
    for (bytes, text) in cases {
        let mut bad = connect(addr, &agent(&ca, 1, 1), &ca.trust(), &hello(1)).await.expect("bad");
        let LinkEvent::AgentUp { peer: bad_peer, .. } = event(&mut events).await else { panic!("no agent") };
        bad.send_encoded(bytes).await.expect("sent");
        let code = RefusalCode::Malformed;
        let want = foreshade_link::LinkError::Refused { code, text: text.to_string() };
        assert_eq!(bad.recv().await, Err(want));
        match event(&mut events).await {
            LinkEvent::Down { peer, why, .. } => assert_eq!((peer, why.as_str()), (bad_peer.id(), text)),
            other => panic!("{other:?}"),
        }
        assert_eq!(bad_peer.send(&Message::Welcome { epoch: 1 }), Err(SendError::Gone));
    }
    peer.send(&Message::Release { tick: Tick(1) }).expect("queued");
    assert_eq!(good.recv().await, Ok(Message::Release { tick: Tick(1) }));
}

#[tokio::test]
async fn the_appliance_can_turn_a_peer_away() {
    let ca = ca();
    let (server, mut events) = serve(&ca, 1);
    let mut bad = connect(server.local_addr(), &agent(&ca, 1, 1), &ca.trust(), &hello(1)).await.expect("in");
    let LinkEvent::AgentUp { peer, .. } = event(&mut events).await else { panic!("no agent") };
    peer.send(&Message::Release { tick: Tick(1) }).expect("queued");
    peer.refuse(RefusalCode::Vm, "vm9 is not on host1");
    assert_eq!(bad.recv().await, Ok(Message::Release { tick: Tick(1) }));
    let error = bad.recv().await.expect_err("refused");
    assert_eq!(error.to_string(), "refused (Vm): vm9 is not on host1");
    match event(&mut events).await {
        LinkEvent::Down { why, who, .. } => {
            assert_eq!(why, "vm9 is not on host1");
            assert_eq!(who, "spiffe://rack.test/rack/1/agent/host-1");
        }
        other => panic!("{other:?}"),
    }
}
