//! TLS 1.3, mutual, nothing else.
