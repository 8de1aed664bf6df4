//! The shell around the core: link, journal, devices.
