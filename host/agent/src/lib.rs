//! Collects or replays telemetry and sends it.
