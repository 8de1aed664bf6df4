//! Who a peer is: the one URI in its certificate.

use std::fmt;

use foreshade_types::{HostId, RackId};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::LinkError;

/// What a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Pushes the telemetry of one host.
    Agent,
    /// Receives the decisions for one rack.
    Controller,
    /// Changes policy.
    Operator,
    /// Looks on.
    Viewer,
    /// Is the appliance.
    Appliance,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Agent, Self::Controller, Self::Operator, Self::Viewer, Self::Appliance];

    /// The path segment in the URI.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Controller => "controller",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Appliance => "appliance",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `spiffe://<domain>/rack/<rack>/{agent|controller|operator|viewer}/<name>` or
/// `spiffe://<domain>/appliance/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Trust domain: lower-case letters, digits, `-` and `.`.
    pub domain: String,
    /// The rack; `None` exactly for an appliance.
    pub rack: Option<RackId>,
    /// The role.
    pub role: Role,
    /// Letters, digits, `-`, `_` and `.`; an agent's is `host-<id>`.
    pub name: String,
}

impl Identity {
    /// The agent of a host.
    pub fn agent(domain: &str, rack: RackId, host: HostId) -> Self {
        Self::in_rack(domain, rack, Role::Agent, &format!("host-{}", host.0))
    }

    /// A rack's controller.
    pub fn controller(domain: &str, rack: RackId, name: &str) -> Self {
        Self::in_rack(domain, rack, Role::Controller, name)
    }

    /// Anyone in a rack.
    pub fn in_rack(domain: &str, rack: RackId, role: Role, name: &str) -> Self {
        Self { domain: domain.into(), rack: Some(rack), role, name: name.into() }
    }

    /// An appliance.
    pub fn appliance(domain: &str, name: &str) -> Self {
        Self { domain: domain.into(), rack: None, role: Role::Appliance, name: name.into() }
    }

    /// The host an agent may push for.
    pub fn host(&self) -> Option<HostId> {
        let id = self.name.strip_prefix("host-").filter(|_| self.role == Role::Agent)?;
        let host = HostId(id.parse().ok()?);
        // "host-007" and "host-7" must not be two identities of one host.
        (format!("host-{}", host.0) == self.name).then_some(host)
    }

    /// The identity in a URI; the exact inverse of `to_string`.
    ///
    /// # Errors
    /// Anything else than the two forms of [`Identity`].
    pub fn parse(uri: &str) -> Result<Self, LinkError> {
        let bad = || {
            LinkError::Config(format!(
                "{uri:?} names no identity: spiffe://<domain>/rack/<rack>/<role>/<name> or spiffe://<domain>/appliance/<name> expected"
            ))
        };
        let path = uri.strip_prefix("spiffe://").ok_or_else(bad)?;
        let parts: Vec<&str> = path.split('/').collect();
        let identity = match parts.as_slice() {
            [domain, "appliance", name] => Self::appliance(domain, name),
            [domain, "rack", rack, role, name] => {
                let role = Role::ALL.into_iter().find(|r| r.name() == *role && *r != Role::Appliance);
                let rack = RackId(rack.parse().map_err(|_| bad())?);
                Self::in_rack(domain, rack, role.ok_or_else(bad)?, name)
            }
            _ => return Err(bad()),
        };
        identity.check()?;
        if identity.to_string() == uri { Ok(identity) } else { Err(bad()) }
    }

    /// The identity in a certificate (DER): its only URI name.
    ///
    /// # Errors
    /// No certificate, no URI, several, or one that names no identity.
    pub fn from_certificate(der: &[u8]) -> Result<Self, LinkError> {
        let config = |text: String| LinkError::Config(text);
        let (_, cert) =
            X509Certificate::from_der(der).map_err(|e| config(format!("certificate cannot be read: {e}")))?;
        let names = cert
            .subject_alternative_name()
            .map_err(|e| config(format!("certificate names cannot be read: {e}")))?;
        let names = names.map(|n| n.value.general_names.as_slice()).unwrap_or_default();
        let mut uris = names.iter().filter_map(|n| match n {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        match (uris.next(), uris.next()) {
            (Some(uri), None) => Self::parse(uri),
            (None, _) => Err(config("certificate names no spiffe:// identity".into())),
            _ => Err(config("certificate names more than one identity".into())),
        }
    }

    /// Fails on characters that would make two identities look like one.
    pub(crate) fn check(&self) -> Result<(), LinkError> {
        let name_ok = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let domain_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let fits = |s: &str, ok: &dyn Fn(char) -> bool| (1..=63).contains(&s.len()) && s.chars().all(ok);
        if !fits(&self.domain, &domain_ok) {
            return Err(LinkError::Config(format!("domain {:?}: 1-63 of a-z 0-9 - . expected", self.domain)));
        }
        if !fits(&self.name, &name_ok) {
            return Err(LinkError::Config(format!(
                "name {:?}: 1-63 of A-Z a-z 0-9 - _ . expected",
                self.name
            )));
        }
        if self.rack.is_none() != (self.role == Role::Appliance) {
            return Err(LinkError::Config(format!(
                "{} {:?}: a rack is for all but appliances",
                self.role, self.name
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/", self.domain)?;
        if let Some(rack) = self.rack {
            write!(f, "rack/{}/", rack.0)?;
        }
        write!(f, "{}/{}", self.role, self.name)
    }
}
