//! CI lanes, tidy, bite, bless.

fn main() {}
