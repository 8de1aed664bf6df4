//! The connecting side.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use foreshade_wire::{Message, RefusalCode};
use quinn::{Connection, ConnectionError, Endpoint, SendStream, VarInt, WriteError};
use tokio::time::timeout;

use crate::stream::{CLOSE_BYE, FrameStream, ReadFailure, peer_identity};
use crate::{Credentials, Limits, LinkError, Role, Trust, cert, tls};

/// Makes connections with one identity.
#[derive(Debug)]
pub struct Connector {
    config: quinn::ClientConfig,
    domain: String,
    limits: Limits,
}

impl Connector {
    /// Checks credentials and limits.
    ///
    /// # Errors
    /// Unusable ones.
    pub fn new(credentials: &Credentials, trust: &Trust, limits: Limits) -> Result<Self, LinkError> {
        let config = tls::client_config(credentials, trust, &limits)?;
        Ok(Self { config, domain: credentials.identity().domain.clone(), limits })
    }

    /// Connects from a new socket, says `hello` and waits for `Welcome`. Must run inside a tokio runtime.
    ///
    /// The answer has to be waited for: QUIC calls a client connected before the server has seen its certificate.
    ///
    /// # Errors
    /// Unreachable, not trusted, or refused: see [`LinkError`].
    pub async fn connect(&self, addr: SocketAddr, hello: &Message) -> Result<Session, LinkError> {
        let after_ms = u64::from(self.limits.handshake_timeout_ms);
        timeout(Duration::from_millis(after_ms), self.attempt(addr, hello))
            .await
            .unwrap_or(Err(LinkError::Unreachable { addr, after_ms }))
    }

    async fn attempt(&self, addr: SocketAddr, hello: &Message) -> Result<Session, LinkError> {
        let any = match addr {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let endpoint = tls::endpoint(any, None, &self.limits)?;
        let ends = Ends { addr, idle_timeout_ms: u64::from(self.limits.idle_timeout_ms) };
        let connection = endpoint
            .connect_with(self.config.clone(), addr, &cert::server_name(&self.domain))
            .map_err(|e| LinkError::Config(format!("cannot connect to {addr}: {e}")))?
            .await
            .map_err(|e| ends.in_handshake(e))?;
        check_server(&connection, &self.domain, addr)?;
        let (send, recv) = connection.open_bi().await.map_err(|e| ends.in_handshake(e))?;
        let frames = FrameStream::new(recv);
        let mut session = Session { endpoint, connection, send, frames, ends, epoch: 0 };
        session.send(std::slice::from_ref(hello)).await?;
        match session.recv().await? {
            Message::Welcome { epoch } => session.epoch = epoch,
            Message::Bye { text } => return Err(LinkError::Ended(text)),
            other => return Err(LinkError::Unexpected { got: other.name(), want: "Welcome" }),
        }
        Ok(session)
    }
}

/// TLS has checked the chain and the DNS name; the URI must say the same.
fn check_server(connection: &Connection, domain: &str, addr: SocketAddr) -> Result<(), LinkError> {
    let untrusted = |why: String| LinkError::Untrusted { addr, why };
    let server = peer_identity(connection).map_err(|e| untrusted(e.to_string()))?;
    if server.role == Role::Appliance && server.domain == domain {
        Ok(())
    } else {
        Err(untrusted(format!("{server} is no appliance of {domain}")))
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Session {
    endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    frames: FrameStream,
    ends: Ends,
    epoch: u64,
}

impl Session {
    /// The appliance's epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sends messages in one write.
    ///
    /// # Errors
    /// The connection is lost, or a message is over its cap (then nothing was sent).
    pub async fn send(&mut self, messages: &[Message]) -> Result<(), LinkError> {
        let mut bytes = BytesMut::new();
        messages.iter().try_for_each(|m| m.encode_into(&mut bytes))?;
        self.send_encoded(&bytes).await
    }

    /// Sends encoded frames in one write.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send_encoded(&mut self, frames: &[u8]) -> Result<(), LinkError> {
        match self.send.write_all(frames).await {
            Ok(()) => Ok(()),
            Err(WriteError::ConnectionLost(e)) => Err(self.ends.of(e)),
            Err(WriteError::Stopped(_)) => Err(self.why_stopped().await),
            Err(e) => Err(LinkError::Closed(e.to_string())),
        }
    }

    /// The next message. Cancel safe. After `Bye` the connection is closed.
    ///
    /// # Errors
    /// The connection is lost, or the appliance refused us.
    pub async fn recv(&mut self) -> Result<Message, LinkError> {
        match self.recv_raw().await {
            Ok(Message::Refused { code, text }) => {
                self.close("refused");
                Err(LinkError::Refused { code, text })
            }
            Ok(bye @ Message::Bye { .. }) => {
                self.close("bye");
                Ok(bye)
            }
            other => other,
        }
    }

    async fn recv_raw(&mut self) -> Result<Message, LinkError> {
        match self.frames.next().await {
            Ok(frame) => Ok(Message::decode(frame)?),
            Err(ReadFailure::Malformed(e)) => Err(LinkError::Malformed(e)),
            Err(ReadFailure::Finished) => Err(LinkError::Closed("the other end finished".into())),
            Err(ReadFailure::Broken(why)) => Err(LinkError::Closed(why)),
            Err(ReadFailure::Lost(ConnectionError::ApplicationClosed(frame))) => match read_close(&frame) {
                Closed::Bye(text) => Ok(Message::Bye { text }),
                _ => Err(self.ends.of(ConnectionError::ApplicationClosed(frame))),
            },
            Err(ReadFailure::Lost(e)) => Err(self.ends.of(e)),
        }
    }

    /// The server stops our stream only to say why on its own.
    async fn why_stopped(&mut self) -> LinkError {
        match self.recv().await {
            Ok(_) => LinkError::Closed("the other end reads no further".into()),
            Err(e) => e,
        }
    }

    /// Ends the connection at once; the other side sees why.
    pub fn close(&self, why: &str) {
        self.connection.close(VarInt::from_u32(0), why.as_bytes());
    }

    /// Ends the connection and waits shortly until the other side can have heard of it.
    pub async fn finish(self, why: &str) {
        self.close(why);
        let _ = timeout(FINISH_WAIT, self.endpoint.wait_idle()).await;
    }
}

/// Long enough for the closing packet to leave; a lost one costs the other side its idle timeout.
const FINISH_WAIT: Duration = Duration::from_millis(100);

/// TLS alerts (RFC 8446, 6.2) about a certificate, as QUIC error codes.
const CERTIFICATE_ALERTS: [u64; 9] = [42, 43, 44, 45, 46, 48, 49, 51, 116];

/// QUIC error codes of TLS alerts start here (RFC 9001, 4.8).
const CRYPTO_ERROR: u64 = 0x100;

/// Turns the end of a connection into words.
#[derive(Debug, Clone, Copy)]
struct Ends {
    addr: SocketAddr,
    idle_timeout_ms: u64,
}

impl Ends {
    fn in_handshake(self, e: ConnectionError) -> LinkError {
        match e {
            // Raised by this side: the server's certificate did not pass.
            ConnectionError::TransportError(e) if is_crypto(e.code.into()) => {
                LinkError::Untrusted { addr: self.addr, why: e.reason }
            }
            ConnectionError::TimedOut => {
                LinkError::Unreachable { addr: self.addr, after_ms: self.idle_timeout_ms }
            }
            e => self.of(e),
        }
    }

    fn of(self, e: ConnectionError) -> LinkError {
        match e {
            ConnectionError::ApplicationClosed(frame) => match read_close(&frame) {
                Closed::Refused(code, text) => LinkError::Refused { code, text },
                Closed::Bye(text) => LinkError::Ended(text),
                Closed::Other(text) => LinkError::Closed(text),
            },
            ConnectionError::ConnectionClosed(frame) => {
                let code = u64::from(frame.error_code);
                let alert = code.wrapping_sub(CRYPTO_ERROR);
                let why = if frame.reason.is_empty() {
                    format!("TLS alert {alert}")
                } else {
                    String::from_utf8_lossy(&frame.reason).into_owned()
                };
                match is_crypto(code) && CERTIFICATE_ALERTS.contains(&alert) {
                    true => LinkError::CertificateRejected { addr: self.addr, why },
                    false => LinkError::Closed(frame.to_string()),
                }
            }
            ConnectionError::TimedOut => LinkError::Idle { addr: self.addr, after_ms: self.idle_timeout_ms },
            e => LinkError::Closed(e.to_string()),
        }
    }
}

fn is_crypto(code: u64) -> bool {
    (CRYPTO_ERROR..CRYPTO_ERROR + 0x100).contains(&code)
}

/// What an application close says: a refusal, or an orderly end.
enum Closed {
    Refused(RefusalCode, String),
    Bye(String),
    Other(String),
}

/// Reads the code of an application close.
fn read_close(frame: &quinn::ApplicationClose) -> Closed {
    let text = String::from_utf8_lossy(&frame.reason).into_owned();
    let code = frame.error_code.into_inner();
    match RefusalCode::from_number(code) {
        Some(code) => Closed::Refused(code, text),
        None if code == u64::from(CLOSE_BYE) => Closed::Bye(text),
        None => Closed::Other(text),
    }
}
