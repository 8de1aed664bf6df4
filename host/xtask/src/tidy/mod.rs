//! The house rules as tests. Each file holds one kind of rule: pure functions that return what is wrong, one line each,
//! a test that runs them on the repository, and tests that each rule can fail.

mod edges;
mod links;
mod lints;
mod sources;
mod status;

use crate::house::House;

fn house() -> House {
    House::find().unwrap()
}

/// Fails with one complaint a line.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
