//! Runs a program: shows its output as it comes, keeps it, and ends it when it takes too long.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Where output goes besides the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Passed on line by line.
    Lines,
    /// Kept only.
    Nothing,
}

/// How a program ended.
#[derive(Debug)]
pub struct Done {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// It was ended for taking too long.
    pub timed_out: bool,
    /// Standard output, bytes that are not UTF-8 replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// Wall time.
    pub seconds: f64,
}

impl Done {
    /// Exit code 0 in time.
    pub fn ok(&self) -> bool {
        self.code == Some(0) && !self.timed_out
    }

    /// Why it is not ok, with the last lines it wrote.
    pub fn why(&self) -> String {
        let how = match (self.timed_out, self.code) {
            (true, _) => format!("ended after {:.0} s without finishing", self.seconds),
            (false, Some(code)) => format!("exit code {code}"),
            (false, None) => "ended by a signal".into(),
        };
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(6)..].join("\n    ");
        if tail.is_empty() { how } else { format!("{how}\n    {tail}") }
    }
}

fn reader(from: impl Read + Send + 'static, show: Show, to_stderr: bool) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut kept = String::new();
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(n) = from.read_until(b'\n', &mut line) {
            if n == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&line);
            match (show, to_stderr) {
                (Show::Lines, true) => eprint!("{text}"),
                (Show::Lines, false) => print!("{text}"),
                (Show::Nothing, _) => {}
            }
            kept.push_str(&text);
            line.clear();
        }
        kept
    })
}

/// Ends the whole process group: cargo's children would outlive cargo.
fn end(child: &mut Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = child.kill();
}

/// Runs to the end or to `limit_s`, whichever comes first. Standard input is empty.
pub fn run(cmd: &mut Command, show: Show, limit_s: u64) -> Result<Done> {
    let start = Instant::now();
    let name = cmd.get_program().to_string_lossy().into_owned();
    let mut child = cmd
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}; is it installed?"))?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("{name} has no output to read");
    };
    let (out, err) = (reader(out, show, false), reader(err, show, true));
    let mut timed_out = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > Duration::from_secs(limit_s) {
            timed_out = true;
            end(&mut child);
            break child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let seconds = start.elapsed().as_secs_f64();
    let stdout = out.join().unwrap_or_default();
    let stderr = err.join().unwrap_or_default();
    Ok(Done { code: status.code(), timed_out, stdout, stderr, seconds })
}

/// Sums of cargo's `test result:` lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed.
    pub failed: u32,
    /// Tests marked as ignored.
    pub ignored: u32,
}

/// Counts tests in what `cargo test` wrote.
pub fn count_tests(output: &str) -> Counts {
    let mut sum = Counts::default();
    for line in output.lines().filter_map(|l| l.trim().strip_prefix("test result:")) {
        for part in line.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(n), Some(what)) = (words.next().and_then(|w| w.parse::<u32>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => sum.passed += n,
                "failed" => sum.failed += n,
                "ignored" => sum.ignored += n,
                _ => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{Counts, Show, count_tests, run};
    use std::process::Command;

    #[test]
    fn counts_all_result_lines() {
        let text = "running 3 tests\ntest result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; \
                    finished in 0.01s\n\ntest result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(count_tests(text), Counts { passed: 7, failed: 1, ignored: 2 });
        assert_eq!(count_tests("nothing here"), Counts::default());
    }

    #[test]
    fn keeps_output_and_code() {
        let done = run(Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]), Show::Nothing, 20);
        let done = done.unwrap();
        assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(3), "a\n", "b\n"));
        assert!(!done.ok());
        assert!(done.why().contains("exit code 3"), "{}", done.why());
    }

    #[test]
    fn ends_children_of_what_takes_too_long() {
        let done = run(Command::new("sh").args(["-c", "sleep 60 & wait"]), Show::Nothing, 0).unwrap();
        assert!(done.timed_out && !done.ok());
        assert!(done.seconds < 20.0, "{}", done.seconds);
    }

    #[test]
    fn names_a_program_that_is_not_there() {
        let e = run(&mut Command::new("foreshade-no-such-program"), Show::Nothing, 1).unwrap_err();
        assert!(e.to_string().contains("foreshade-no-such-program"), "{e}");
    }
}
