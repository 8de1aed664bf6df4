//! What a lane found: one line per check as it ends, sums for the closing table.

use std::time::Instant;

use anyhow::Result;

/// The record of one lane.
#[derive(Debug)]
pub struct Sheet {
    /// The lane's name.
    pub lane: &'static str,
    /// Checks that held.
    pub passed: u32,
    /// Checks that did not, each with why.
    pub failed: Vec<String>,
    /// Checks that were not run, each with why.
    pub skipped: Vec<String>,
    start: Instant,
    /// Wall time, once closed.
    pub seconds: f64,
}

impl Sheet {
    /// A record with nothing in it.
    pub fn new(lane: &'static str) -> Self {
        Self { lane, passed: 0, failed: Vec::new(), skipped: Vec::new(), start: Instant::now(), seconds: 0.0 }
    }

    /// Notes the end of the lane.
    pub fn close(mut self) -> Self {
        self.seconds = self.start.elapsed().as_secs_f64();
        self
    }

    /// Runs a check; `Ok` carries a detail to print. Says whether it held.
    pub fn check(&mut self, name: &str, f: impl FnOnce() -> Result<String>) -> bool {
        println!("---- {}: {name}", self.lane);
        let start = Instant::now();
        let outcome = f();
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(detail) => {
                let detail = if detail.is_empty() { detail } else { format!(" ({detail})") };
                println!("ok   {}: {name}{detail} {seconds:.1} s", self.lane);
                self.passed += 1;
                true
            }
            Err(why) => {
                println!("FAIL {}: {name}: {why:#}", self.lane);
                self.failed.push(format!("{name}: {why:#}"));
                false
            }
        }
    }

    /// A check that cannot be run here: skipped, or failed when `required`.
    pub fn skip(&mut self, why: &str, required: bool) {
        if required {
            println!("FAIL {} - required, but {why}", self.lane);
            self.failed.push(format!("required, but {why}"));
        } else {
            println!("SKIPPED {} - {why}", self.lane);
            self.skipped.push(why.into());
        }
    }
}

/// The closing table of some lanes, its last line `N passed, N failed`.
pub fn table(sheets: &[Sheet]) -> String {
    let mut text = format!("\n{:<14}{:>9}{:>9}{:>9}{:>9}\n", "lane", "passed", "failed", "skipped", "time");
    let (mut passed, mut failed) = (0, 0);
    for s in sheets {
        passed += s.passed;
        failed += s.failed.len();
        text.push_str(&format!(
            "{:<14}{:>9}{:>9}{:>9}{:>7.0} s\n",
            s.lane,
            s.passed,
            s.failed.len(),
            s.skipped.len(),
            s.seconds
        ));
    }
    for s in sheets {
        for why in &s.failed {
            text.push_str(&format!("FAIL {} - {why}\n", s.lane));
        }
        for why in &s.skipped {
            text.push_str(&format!("SKIPPED {} - {why}\n", s.lane));
        }
    }
    text.push_str(&format!("{passed} passed, {failed} failed\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::{Sheet, table};

    #[test]
    fn sums_lanes_and_names_failures() {
        let mut a = Sheet::new("a");
        assert!(a.check("holds", || Ok("detail".into())));
        assert!(!a.check("breaks", || anyhow::bail!("the sky fell")));
        let mut b = Sheet::new("b");
        b.skip("no data", false);
        let text = table(&[a.close(), b.close()]);
        assert!(text.ends_with("\n1 passed, 1 failed\n"), "{text}");
        assert!(text.contains("FAIL a - breaks: the sky fell"), "{text}");
        assert!(text.contains("SKIPPED b - no data"), "{text}");
    }

    #[test]
    fn a_required_skip_fails() {
        let mut s = Sheet::new("s");
        s.skip("no data", true);
        assert_eq!((s.failed.len(), s.skipped.len()), (1, 0));
    }
}
