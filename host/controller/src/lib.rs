//! Receives decisions, enacts them, reports outcomes.
