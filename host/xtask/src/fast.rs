//! Lane `fast`: format, clippy, every test. The house rules (`tidy/`) are tests and run with the others.

use anyhow::{Result, bail};

use crate::house::House;
use crate::run::{Show, count_tests, run};
use crate::sheet::Sheet;

/// Longest a cold build with its tests may take on two cores.
const LIMIT_S: u64 = 1800;

/// Runs the lane.
pub fn run_lane(house: &House, sheet: &mut Sheet) {
    sheet.check("format", || cargo(house, "fmt --all --check"));
    sheet.check("clippy", || cargo(house, "clippy --workspace --all-targets -- -D warnings"));
    let mut tests = 0;
    sheet.check("tests", || {
        let done = run(&mut house.cargo("test --workspace --no-fail-fast"), Show::Lines, LIMIT_S)?;
        let counts = count_tests(&done.stdout);
        tests = counts.passed;
        if !done.ok() {
            bail!("{} tests failed: {}; {}", counts.failed, failed_tests(&done.stdout), done.why());
        }
        if counts.passed == 0 || counts.ignored > 0 {
            bail!("{} tests run, {} ignored; every test is to run", counts.passed, counts.ignored);
        }
        Ok(format!("{} tests", counts.passed))
    });
    // In the closing line each test counts as one check.
    sheet.passed += tests;
}

/// Runs `cargo ARGS`, its output shown.
pub fn cargo(house: &House, args: &str) -> Result<String> {
    let done = run(&mut house.cargo(args), Show::Lines, LIMIT_S)?;
    if done.ok() { Ok(String::new()) } else { bail!("cargo {args}: {}", done.why()) }
}

/// The names of the tests that failed, for the closing table.
fn failed_tests(output: &str) -> String {
    let failed = output.lines().filter_map(|l| l.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    failed.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::failed_tests;

    #[test]
    fn names_what_failed() {
        let output =
            "test a::b ... ok\ntest a::c ... FAILED\ntest d ... FAILED\ntest result: FAILED. 1 passed\n";
        assert_eq!(failed_tests(output), "a::c, d");
    }
}
