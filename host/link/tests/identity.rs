//! Identities and their URIs are one to one.

use foreshade_link::{Identity, Role};
use foreshade_types::{HostId, RackId};

#[test]
fn every_identity_is_the_one_its_uri_names() {
    let identities = [
        Identity::agent("dc1.example", RackId(3), HostId(17)),
        Identity::controller("dc1.example", RackId(0), "main"),
        Identity::in_rack("d", RackId(4_294_967_295), Role::Operator, "A.b_c-9"),
        Identity::in_rack("d", RackId(1), Role::Viewer, "x"),
        Identity::appliance("d", "left"),
    ];
    for identity in identities {
        assert_eq!(Identity::parse(&identity.to_string()), Ok(identity));
    }
    let agent = Identity::agent("dc1.example", RackId(3), HostId(17));
    assert_eq!(agent.to_string(), "spiffe://dc1.example/rack/3/agent/host-17");
    assert_eq!(agent.host(), Some(HostId(17)));
}

#[test]
fn anything_else_names_nobody() {
    let bad = [
        "",
        "spiffe://",
        "https://d/rack/1/agent/host-1",
        "spiffe://d/rack/1/agent",
        "spiffe://d/rack/1/agent/",
        "spiffe://d/rack/1/agent/host-1/",
        "spiffe://d/rack/01/agent/host-1",
        "spiffe://d/rack/+1/agent/host-1",
        "spiffe://d/rack/4294967296/agent/host-1",
        "spiffe://d/rack/1/appliance/a",
        "spiffe://d/rack/1/root/a",
        "spiffe://D/appliance/a",
        "spiffe:///appliance/a",
        "spiffe://d/appliance/a b",
        "spiffe://d/appliance/a?x",
        "spiffe://d/appliance/ä",
    ];
    for uri in bad {
        assert!(Identity::parse(uri).is_err(), "{uri:?} was accepted");
    }
}

#[test]
fn only_the_plain_spelling_of_an_agent_names_a_host() {
    for name in ["host-", "host-01", "host-+1", "host--1", "host-4294967296", "Host-1", "1"] {
        let identity = Identity::in_rack("d", RackId(1), Role::Agent, name);
        assert_eq!(identity.host(), None, "{name}");
    }
    let viewer = Identity::in_rack("d", RackId(1), Role::Viewer, "host-1");
    assert_eq!(viewer.host(), None);
}
