//! The only crate that knows quinn: mutual TLS, roles, sessions, resume.
