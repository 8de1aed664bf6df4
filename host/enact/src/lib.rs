//! Decisions -> the world; fakes::rack is the simulated rack.
