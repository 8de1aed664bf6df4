//! Public client library on the client half of link.
