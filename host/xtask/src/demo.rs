//! Lane `demo`: the README's command as written, on both shipped traces, held to what the README promises.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::fast::cargo;
use crate::house::House;
use crate::report::{Report, first_forecast_s, without_hops};
use crate::run::{Done, Show, run};
use crate::sheet::Sheet;

/// Promised wall time of the default demo on two cores, seconds.
const DEMO_S_MAX: f64 = 180.0;
/// Promised wall time to the first forecast, seconds.
const FIRST_FORECAST_S_MAX: f64 = 10.0;
/// Beyond this a demo is ended.
const LIMIT_S: u64 = 600;

/// Runs the lane.
pub fn run_lane(house: &House, sheet: &mut Sheet) {
    sheet.check("the README names both commands", || {
        let page = house.read("README.md")?;
        for line in ["cargo run --release -- demo", "./test"] {
            ensure!(page.contains(line), "README.md does not name `{line}`");
        }
        Ok(String::new())
    });
    if !sheet.check("release build", || cargo(house, "build --release")) {
        return;
    }
    whole_demo(house, sheet);
    let tiny = "--trace traces/bitbrains_tiny/tiny_40vms_7days.parquet --ticks 288";
    if let Some((_, report)) = demo(house, sheet, "bitbrains", tiny) {
        wins(sheet, "bitbrains", &report);
    }
    twice(house, sheet);
    subcommands(house, sheet);
}

/// The default demo, with its time limits.
fn whole_demo(house: &House, sheet: &mut Sheet) {
    let Some((done, report)) = demo(house, sheet, "default", "") else { return };
    sheet.check("default demo within 3 minutes", || {
        ensure!(done.seconds < DEMO_S_MAX, "it took {:.1} s", done.seconds);
        Ok(format!("{:.1} s", done.seconds))
    });
    sheet.check("first forecast within 10 s", || {
        let s = first_forecast_s(&done.stdout)?;
        ensure!(s < FIRST_FORECAST_S_MAX, "it came after {s} s");
        Ok(format!("{s} s"))
    });
    sheet.check("ten hops timed", || report.has_all_hops());
    wins(sheet, "default", &report);
}

fn wins(sheet: &mut Sheet, name: &str, report: &Report) {
    sheet.check(&format!("{name}: hard enough to prove something"), || report.is_hard_enough());
    sheet.check(&format!("{name}: beats reactive"), || report.beats_reactive());
    sheet.check(&format!("{name}: beats moving peak"), || report.beats_peak());
}

/// Same bytes outside `hops`, run twice, with every kind of act.
fn twice(house: &House, sheet: &mut Sheet) {
    let args = "--ticks 100 --plain";
    let first = demo(house, sheet, "once", args);
    let second = demo(house, sheet, "again", args);
    let (Some((_, report)), Some(_)) = (first, second) else { return };
    sheet.check("same bytes twice", || {
        let a = without_hops(&std::fs::read_to_string(report_path(house, "once")?)?)?;
        let b = without_hops(&std::fs::read_to_string(report_path(house, "again")?)?)?;
        ensure!(a == b, "the reports differ outside hops: {}", first_difference(&a, &b));
        Ok(format!("{} bytes", a.len()))
    });
    sheet.check("every kind of act", || report.acts());
}

fn first_difference(a: &str, b: &str) -> String {
    let at = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let around = |s: &str| {
        let bytes = &s.as_bytes()[at.saturating_sub(40).min(s.len())..(at + 40).min(s.len())];
        String::from_utf8_lossy(bytes).replace('\n', " ")
    };
    format!("byte {at}: `{}` against `{}`", around(a), around(b))
}

fn report_path(house: &House, name: &str) -> Result<PathBuf> {
    Ok(house.scratch("demo")?.join(format!("{name}.json")))
}

/// One run of `cargo run --release -- demo`, its output piped into a log. None when it failed.
fn demo(house: &House, sheet: &mut Sheet, name: &str, args: &str) -> Option<(Done, Report)> {
    let mut got = None;
    sheet.check(&format!("demo {name}"), || {
        let report = report_path(house, name)?;
        let log = house.scratch("demo")?.join(format!("{name}.log"));
        let _ = std::fs::remove_file(&report);
        println!("up to 3 min; log in {}", log.display());
        let mut cmd = house.cargo("run --release -- demo");
        cmd.args(args.split_whitespace()).arg("--report").arg(&report);
        let done = run(&mut cmd, Show::Nothing, LIMIT_S)?;
        std::fs::write(&log, format!("{}{}", done.stdout, done.stderr))?;
        print!("{}", tail(&done.stdout, 12));
        ensure!(done.ok(), "{}", done.why());
        let parsed = Report::parse(&read(&report)?)?;
        let seconds = done.seconds;
        got = Some((done, parsed));
        Ok(format!("{seconds:.1} s"))
    });
    got
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|l| format!("    {l}\n")).collect()
}

/// `--help` names every subcommand; one that is not built says so and exits 2.
fn subcommands(house: &House, sheet: &mut Sheet) {
    sheet.check("subcommands are honest", || {
        let status = house.read("docs/status.md")?;
        let (built, unbuilt) = listed_subcommands(&status);
        ensure!(!built.is_empty(), "docs/status.md lists no built subcommand");
        let help = run(house.command(house.binary()).arg("--help"), Show::Nothing, 20)?.stdout;
        for name in built.iter().chain(&unbuilt) {
            let named = help.lines().any(|l| l.split_whitespace().next() == Some(name));
            ensure!(named, "--help does not name {name}");
        }
        for name in &unbuilt {
            let done = run(house.command(house.binary()).arg(name), Show::Nothing, 20)?;
            ensure!(done.code == Some(2), "{name} is to exit 2: {}", done.why());
            let said = format!("{}{}", done.stdout, done.stderr);
            ensure!(said.contains("not built yet"), "{name} does not say \"not built yet\": {said}");
        }
        Ok(format!("{} built, {} not built yet", built.len(), unbuilt.len()))
    });
}

/// The names in docs/status.md's section Subcommands: on its line `Built:`, and in its list.
pub fn listed_subcommands(status: &str) -> (Vec<String>, Vec<String>) {
    let (mut built, mut unbuilt) = (Vec::new(), Vec::new());
    let section = status.split("\n## ").find(|s| s.starts_with("Subcommands")).unwrap_or_default();
    for line in section.lines() {
        let names = line.split('`').skip(1).step_by(2).map(String::from);
        if line.starts_with("Built:") {
            built.extend(names);
        } else if line.starts_with("- ") {
            unbuilt.extend(names);
        }
    }
    (built, unbuilt)
}

#[cfg(test)]
mod tests {
    use super::{first_difference, listed_subcommands};

    #[test]
    fn reads_both_lists_of_subcommands() {
        let text = "# x\n\n## A\n- `no`\n\n## Subcommands\n\nBuilt: `demo`, `forecast`.\n\nOthers:\n\n- `serve`\n- `top`\n";
        let (built, unbuilt) = listed_subcommands(text);
        assert_eq!(built, ["demo", "forecast"]);
        assert_eq!(unbuilt, ["serve", "top"]);
    }

    #[test]
    fn a_difference_is_shown_with_its_place() {
        assert!(first_difference("abcd", "abXd").starts_with("byte 2"));
        assert!(first_difference("ab", "abc").starts_with("byte 2"));
    }
}
