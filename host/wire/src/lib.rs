//! Bytes <-> types: Arrow telemetry batches, decision frames, stream messages; no sockets.
