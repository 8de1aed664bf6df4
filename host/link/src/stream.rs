//! Messages on a QUIC stream.
