//! Appliance state: apply(Event) -> Effects. No I/O.
