//! Certificates in memory: a CA, and what it issues.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::{Identity, LinkError, Role};

/// From when until when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First instant.
    pub not_before: SystemTime,
    /// Last instant.
    pub not_after: SystemTime,
}

impl Validity {
    /// `length` from `now` on, and an hour back: clocks of a rack differ.
    pub fn around(now: SystemTime, length: Duration) -> Self {
        Self { not_before: now - Duration::from_secs(3600), not_after: now + length }
    }
}

/// A certificate with its key: what one end proves itself with.
#[derive(Debug)]
pub struct Credentials {
    identity: Identity,
    cert: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self { identity: self.identity.clone(), cert: self.cert.clone(), key: self.key.clone_key() }
    }
}

impl Credentials {
    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.cert.clone()]
    }

    pub(crate) fn key(&self) -> PrivatePkcs8KeyDer<'static> {
        self.key.clone_key()
    }
}

/// The CA certificate the other end's must come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust(pub(crate) CertificateDer<'static>);

/// A certificate authority of one domain.
#[derive(Debug)]
pub struct Ca {
    domain: String,
    issuer: Issuer<'static, KeyPair>,
    cert: CertificateDer<'static>,
}

impl Ca {
    /// A new CA with a new P-256 key.
    ///
    /// # Errors
    /// A domain that is no trust domain; no random numbers from the system.
    pub fn new(domain: &str, validity: Validity) -> Result<Self, LinkError> {
        Identity::appliance(domain, "ca").check()?;
        // Another name than any leaf has: some TLS stacks refuse a chain of equal names.
        let mut params = params(&format!("Foreshade CA of {domain}"), validity);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let cert = params.self_signed(&key).map_err(failed)?.der().clone();
        Ok(Self { domain: domain.into(), issuer: Issuer::new(params, key), cert })
    }

    /// What peers need to trust certificates of this CA.
    pub fn trust(&self) -> Trust {
        Trust(self.cert.clone())
    }

    /// A certificate with a new key for `identity`. An appliance's is good for serving, the others' for connecting.
    ///
    /// # Errors
    /// An identity of another domain or with characters it may not have.
    pub fn issue(&self, identity: &Identity, validity: Validity) -> Result<Credentials, LinkError> {
        identity.check()?;
        if identity.domain != self.domain {
            let text = format!("{identity} is not of the domain {} of this CA", self.domain);
            return Err(LinkError::Config(text));
        }
        let mut params = params(&format!("{} {}", identity.role, identity.name), validity);
        let uri = identity.to_string().try_into().map_err(failed)?;
        params.subject_alt_names.push(SanType::URI(uri));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if identity.role == Role::Appliance {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let dns = server_name(&self.domain).try_into().map_err(failed)?;
            params.subject_alt_names.push(SanType::DnsName(dns));
        }
        let key = KeyPair::generate().map_err(failed)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Credentials { identity: identity.clone(), cert: cert.der().clone(), key })
    }
}

/// The DNS name in every appliance's certificate: TLS libraries check a DNS name, whatever the URI says.
pub(crate) fn server_name(domain: &str) -> String {
    format!("appliance.{domain}")
}

fn params(common_name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    params
}

fn failed(e: rcgen::Error) -> LinkError {
    LinkError::Config(format!("cannot make a certificate: {e}"))
}
