//! Endpoint configuration: TLS 1.3, mutual, nothing else; no tickets, no early data.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Limits, LinkError, Trust};

/// The ClientHello of every client of this version.
#[cfg(feature = "client")]
pub(crate) fn client_config(
    credentials: &crate::Credentials,
    trust: &Trust,
    limits: &Limits,
) -> Result<quinn::ClientConfig, LinkError> {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots(trust)?)
        .with_client_auth_cert(credentials.chain(), credentials.key().into())
        .map_err(unusable)?;
    tls.alpn_protocols = vec![foreshade_wire::ALPN.to_vec()];
    // A resumed handshake would skip the certificate checks.
    tls.resumption = rustls::client::Resumption::disabled();
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).map_err(unusable)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(limits, 0)?));
    Ok(config)
}

/// What the appliance answers with.
#[cfg(feature = "server")]
pub(crate) fn server_config(
    credentials: &crate::Credentials,
    trust: &Trust,
    limits: &Limits,
) -> Result<quinn::ServerConfig, LinkError> {
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots(trust)?), provider())
            .build()
            .map_err(unusable)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain(), credentials.key().into())
        .map_err(unusable)?;
    tls.alpn_protocols = vec![foreshade_wire::ALPN.to_vec()];
    // A resumed session skips the verifier: a revoked client would come back with its ticket.
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).map_err(unusable)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport(limits, 1)?));
    config.migration(false);
    config.max_incoming(limits.max_peers);
    Ok(config)
}

/// `streams`: how many the other end may open.
fn transport(limits: &Limits, streams: u32) -> Result<TransportConfig, LinkError> {
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    let idle = IdleTimeout::try_from(ms(limits.idle_timeout_ms)).map_err(unusable)?;
    let window = VarInt::from_u32(limits.receive_window_bytes);
    let mut ack = AckFrequencyConfig::default();
    ack.max_ack_delay(Some(ms(limits.max_ack_delay_ms)));
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(ms(limits.keep_alive_ms)))
        .ack_frequency_config(Some(ack))
        .stream_receive_window(window)
        .receive_window(window)
        .send_window(u64::from(limits.receive_window_bytes))
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0u32.into())
        .datagram_receive_buffer_size(None);
    Ok(transport)
}

/// A UDP socket with large buffers; the system may grant less than asked for.
pub(crate) fn socket(addr: SocketAddr, limits: &Limits) -> Result<UdpSocket, LinkError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        // Smaller buffers cost retransmissions under load, not correctness.
        let _ = socket.set_recv_buffer_size(limits.socket_buffer_bytes);
        let _ = socket.set_send_buffer_size(limits.socket_buffer_bytes);
        socket.bind(&addr.into())?;
        Ok(UdpSocket::from(socket))
    };
    open().map_err(|e: std::io::Error| LinkError::Bind { addr, why: e.to_string() })
}

/// An endpoint on `addr`, driven by the tokio runtime this is called in.
pub(crate) fn endpoint(
    addr: SocketAddr,
    server: Option<quinn::ServerConfig>,
    limits: &Limits,
) -> Result<quinn::Endpoint, LinkError> {
    let socket = socket(addr, limits)?;
    let bind = |why: String| LinkError::Bind { addr, why };
    let runtime = quinn::default_runtime().ok_or_else(|| bind("not called in a tokio runtime".into()))?;
    quinn::Endpoint::new(quinn::EndpointConfig::default(), server, socket, runtime)
        .map_err(|e| bind(e.to_string()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(trust: &Trust) -> Result<RootCertStore, LinkError> {
    let mut roots = RootCertStore::empty();
    roots.add(trust.0.clone()).map_err(unusable)?;
    Ok(roots)
}

fn unusable(e: impl std::fmt::Display) -> LinkError {
    LinkError::Config(format!("certificates or limits cannot be used: {e}"))
}
