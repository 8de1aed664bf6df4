//! Certificates and servers for tests.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use foreshade_link::client::{Connector, Session};
use foreshade_link::server::{LinkEvent, Server};
use foreshade_link::{Ca, Credentials, Identity, Limits, LinkError, Role, Trust, Validity};
use foreshade_types::{HostId, RackId};
use foreshade_wire::Message;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

pub const DOMAIN: &str = "rack.test";

pub fn day() -> Validity {
    Validity::around(SystemTime::now(), Duration::from_secs(86_400))
}

pub fn ca() -> Ca {
    Ca::new(DOMAIN, day()).expect("CA")
}

/// Short timeouts: a test that waits for one should not take long.
pub fn limits() -> Limits {
    Limits { idle_timeout_ms: 1_500, keep_alive_ms: 300, handshake_timeout_ms: 1_500, ..Limits::default() }
}

pub fn agent(ca: &Ca, rack: u32, host: u32) -> Credentials {
    ca.issue(&Identity::agent(DOMAIN, RackId(rack), HostId(host)), day()).expect("agent")
}

pub fn controller(ca: &Ca, rack: u32) -> Credentials {
    ca.issue(&Identity::controller(DOMAIN, RackId(rack), "main"), day()).expect("controller")
}

pub fn viewer(ca: &Ca, rack: u32) -> Credentials {
    ca.issue(&Identity::in_rack(DOMAIN, RackId(rack), Role::Viewer, "eyes"), day()).expect("viewer")
}

pub fn serve(ca: &Ca, epoch: u64) -> (Server, Receiver<LinkEvent>) {
    let credentials = ca.issue(&Identity::appliance(DOMAIN, "a"), day()).expect("appliance");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
    Server::bind(any, &credentials, &ca.trust(), epoch, limits()).expect("bind")
}

pub async fn connect(
    addr: SocketAddr,
    credentials: &Credentials,
    trust: &Trust,
    hello: &Message,
) -> Result<Session, LinkError> {
    Connector::new(credentials, trust, limits())?.connect(addr, hello).await
}

/// The next event; a test hangs on none.
pub async fn event(events: &mut Receiver<LinkEvent>) -> LinkEvent {
    timeout(Duration::from_secs(10), events.recv()).await.expect("an event in time").expect("server alive")
}
