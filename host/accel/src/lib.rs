//! Devices behind one object-safe trait.
