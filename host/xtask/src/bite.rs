//! Lane `bite`: each mutant of `bite/*.toml` changes one place of the sources; the test it names must then fail.
//!
//! The tree is copied to `target/bite/tree-0` and built in `target/bite/target-0`, so nothing here touches the sources or
//! the build beside which a person works, and only the mutated crate is built again. Building one crate and running one
//! test keep one core busy, so there are two such copies where there are two cores.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::house::House;
use crate::run::{Done, Show, count_tests, run};
use crate::sheet::Sheet;

/// Longest a build may take, the first one included.
const BUILD_LIMIT_S: u64 = 1200;
/// Copies at most: each holds its own build, some 3 GB.
const COPIES_MAX: usize = 2;
/// Longest a mutated test may run; one that hangs has noticed the mutant.
const TEST_LIMIT_S: u64 = 180;

/// One change to the sources and the test that must notice it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Unique; docs/status.md refers to it.
    pub name: String,
    /// Features (ids of docs/features.txt) it bears on.
    pub rows: Vec<String>,
    /// File to change, relative to the root.
    pub file: String,
    /// What to change: occurs exactly once in the file.
    pub find: String,
    /// What to put there.
    pub replace: String,
    /// Arguments of `cargo test`, split at spaces.
    pub test: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    mutant: Vec<Mutant>,
}

/// All mutants of `bite/*.toml`, by file name, then as written. Names are unique.
pub fn load(house: &House) -> Result<Vec<Mutant>> {
    let dir = house.root.join("bite");
    let mut pages: Vec<PathBuf> = std::fs::read_dir(&dir)
        .with_context(|| format!("cannot read {}", dir.display()))?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "toml"))
        .collect();
    pages.sort();
    let mut all = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page)?;
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.extend(parse(&text).with_context(|| format!("bite/{name}"))?);
    }
    let mut seen = BTreeSet::new();
    for m in &all {
        ensure!(seen.insert(&m.name), "two mutants are named {}", m.name);
    }
    Ok(all)
}

fn parse(text: &str) -> Result<Vec<Mutant>> {
    Ok(toml::from_str::<Page>(text)?.mutant)
}

/// The text with `find`, which must occur exactly once, replaced.
pub fn mutate(text: &str, find: &str, replace: &str) -> Result<String> {
    ensure!(find != replace, "the replacement equals what it replaces");
    match text.matches(find).count() {
        1 => Ok(text.replacen(find, replace, 1)),
        n => bail!("`{find}` occurs {n} times, not once"),
    }
}

/// A run of CI takes every fourth mutant: all of them take longer than everything else together.
const TURNS: usize = 4;

/// Which mutants are run.
#[derive(Debug, Clone, Copy)]
pub enum Pick<'a> {
    /// Every one.
    All,
    /// The one of this name.
    Named(&'a str),
    /// Those whose turn it is: each commit takes the next quarter, so four in a row take all.
    Turn,
}

impl Pick<'_> {
    fn choose(self, house: &House, mutants: &mut Vec<Mutant>) -> Result<()> {
        match self {
            Self::All => {}
            Self::Named(name) => {
                mutants.retain(|m| m.name == name);
                ensure!(!mutants.is_empty(), "no mutant named {name}");
            }
            Self::Turn => {
                let all = mutants.len();
                *mutants = of_turn(std::mem::take(mutants), commits(house)?);
                println!("this commit's turn: {} of {all} mutants; all: cargo xtask bite", mutants.len());
            }
        }
        Ok(())
    }
}

fn of_turn(mutants: Vec<Mutant>, commits: usize) -> Vec<Mutant> {
    mutants.into_iter().enumerate().filter(|(i, _)| i % TURNS == commits % TURNS).map(|(_, m)| m).collect()
}

/// How many commits led here; a copy without history has had none.
fn commits(house: &House) -> Result<usize> {
    let done = run(house.command("git").args(["rev-list", "--count", "HEAD"]), Show::Nothing, 60)?;
    Ok(done.stdout.trim().parse().unwrap_or(0))
}

/// Runs the mutants that are picked.
pub fn run_lane(house: &House, sheet: &mut Sheet, pick: Pick<'_>) {
    let (mut mutants, mut copies) = (Vec::new(), 1);
    let ready = sheet.check("copy of the tree", || {
        mutants = load(house)?;
        pick.choose(house, &mut mutants)?;
        ensure!(!mutants.is_empty(), "no mutant");
        copies =
            thread::available_parallelism().map_or(1, usize::from).clamp(1, COPIES_MAX).min(mutants.len());
        let mut changed = 0;
        for copy in 0..copies {
            seed(house, copy)?;
            changed += sync(house, copy)?;
        }
        Ok(format!("{changed} files copied, {} mutants in {copies} copies", mutants.len()))
    });
    if !ready {
        return;
    }
    let rows = run_all(house, copies, sheet, &mutants);
    print!("{}", aligned(&rows));
}

/// What became of a mutant.
struct Tried {
    index: usize,
    outcome: Result<String>,
    seconds: f64,
}

fn run_all(house: &House, copies: usize, sheet: &mut Sheet, mutants: &[Mutant]) -> Vec<[String; 4]> {
    let start = Instant::now();
    let (next, clean) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let (tell, hear) = mpsc::channel();
    let mut rows = Vec::new();
    thread::scope(|scope| {
        for copy in 0..copies {
            let tree = Tree { house, copy, clean: &clean };
            let (next, tell) = (&next, tell.clone());
            scope.spawn(move || {
                while let Some((index, m)) = take(next, mutants) {
                    let at = Instant::now();
                    let outcome = tree.try_mutant(m);
                    // Nobody hears it any more once the lane has given up.
                    let _ = tell.send(Tried { index, outcome, seconds: at.elapsed().as_secs_f64() });
                }
            });
        }
        drop(tell);
        for (done, tried) in hear.into_iter().enumerate() {
            let m = &mutants[tried.index];
            let held = sheet.check(&m.name, || tried.outcome);
            let outcome = if held { "caught" } else { "NOT CAUGHT" };
            let left_s =
                start.elapsed().as_secs_f64() / (done + 1) as f64 * (mutants.len() - done - 1) as f64;
            println!("[{}/{}] {:.1} s; about {left_s:.0} s left", done + 1, mutants.len(), tried.seconds);
            rows.push([m.name.clone(), m.rows.join(" "), outcome.into(), format!("{:.1} s", tried.seconds)]);
        }
    });
    rows
}

/// The next mutant that nobody has taken.
fn take<'a>(next: &AtomicUsize, mutants: &'a [Mutant]) -> Option<(usize, &'a Mutant)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    mutants.get(index).map(|m| (index, m))
}

fn aligned(rows: &[[String; 4]]) -> String {
    let wide = |i: usize, least: usize| rows.iter().map(|r| r[i].len()).max().unwrap_or(0).max(least);
    let (name, ids) = (wide(0, 6), wide(1, 4));
    let mut text = format!("\n{:<name$}  {:<ids$}  {:<10}  {:>8}\n", "mutant", "rows", "outcome", "time");
    for [a, b, c, d] in rows {
        text.push_str(&format!("{a:<name$}  {b:<ids$}  {c:<10}  {d:>8}\n"));
    }
    text
}

/// A copy that is mutated.
struct Tree<'a> {
    house: &'a House,
    copy: usize,
    /// Outcome of each test on the clean tree, run once by whichever copy needs it first.
    clean: &'a Mutex<BTreeMap<String, Result<u32, String>>>,
}

impl Tree<'_> {
    fn cargo_test(&self, before: &[&str], test: &str, limit_s: u64) -> Result<Done> {
        let mut cmd = self.house.command("cargo");
        cmd.current_dir(tree_root(self.house, self.copy))
            .env("CARGO_TARGET_DIR", target(self.house, self.copy))
            // One crate is built again and again; nobody debugs it.
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .arg("test")
            .args(before)
            .args(test.split_whitespace());
        run(&mut cmd, Show::Nothing, limit_s)
    }

    /// The test on the clean tree: it builds, runs something and passes. Says how many tests.
    fn clean(&self, test: &str) -> Result<u32> {
        let known = || self.clean.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known().get(test).cloned();
        let outcome = match seen {
            Some(outcome) => outcome,
            None => {
                let done = self.cargo_test(&[], test, BUILD_LIMIT_S)?;
                let counts = count_tests(&done.stdout);
                let outcome = match (done.ok(), counts.passed) {
                    (false, _) => Err(format!("without the mutant: {}", done.why())),
                    (true, 0) => Err(format!("`cargo test {test}` runs no test")),
                    (true, n) => Ok(n),
                };
                known().insert(test.into(), outcome.clone());
                outcome
            }
        };
        outcome.map_err(|why| anyhow::anyhow!(why))
    }

    /// Ok when the test fails under the mutant and passes without it.
    fn try_mutant(&self, m: &Mutant) -> Result<String> {
        let path = tree_root(self.house, self.copy).join(&m.file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", m.file))?;
        let mutated = mutate(&text, &m.find, &m.replace).with_context(|| m.file.clone())?;
        let tests = self.clean(&m.test)?;
        std::fs::write(&path, mutated)?;
        let outcome = self.under_mutant(&m.test);
        std::fs::write(&path, text)?;
        let failed = outcome?;
        Ok(format!("{failed} of {tests} tests failed"))
    }

    fn under_mutant(&self, test: &str) -> Result<String> {
        let built = self.cargo_test(&["--no-run"], test, BUILD_LIMIT_S)?;
        // A mutant the compiler refuses shows nothing about the test.
        ensure!(built.ok(), "the mutant does not compile: {}", built.why());
        let done = self.cargo_test(&[], test, TEST_LIMIT_S)?;
        verdict(&done)
    }
}

/// What a run under a mutant shows: Ok when a test failed, hung or brought its process down.
fn verdict(done: &Done) -> Result<String> {
    if done.timed_out {
        return Ok("hung; 1".into());
    }
    ensure!(!done.ok(), "the test passes with the mutant");
    let failed = count_tests(&done.stdout).failed;
    if failed > 0 {
        return Ok(failed.to_string());
    }
    ensure!(
        done.stderr.contains("process didn't exit successfully"),
        "cargo failed, but no test did: {}",
        done.why()
    );
    Ok("process aborted; 1".into())
}

fn tree_root(house: &House, copy: usize) -> PathBuf {
    house.target.join(format!("bite/tree-{copy}"))
}

fn target(house: &House, copy: usize) -> PathBuf {
    house.target.join(format!("bite/target-{copy}"))
}

/// Starts the copy's build from the dependencies that the tests have just built. The crates of the house are left out:
/// they are built again anyhow, and with their tests they are most of the bytes.
fn seed(house: &House, copy: usize) -> Result<()> {
    let (from, to) = (house.target.join("debug"), target(house, copy).join("debug"));
    if to.exists() || !from.exists() {
        return Ok(());
    }
    let tree = tree_root(house, copy);
    if tree.exists() {
        std::fs::remove_dir_all(&tree)?;
    }
    for part in ["deps", "build", ".fingerprint"] {
        let (from, to) = (from.join(part), to.join(part));
        std::fs::create_dir_all(&to)?;
        let mut cp = house.command("cp");
        // Cargo compares the times.
        cp.args(["-a", "--reflink=auto", "-t"]).arg(&to);
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            if is_dependency(part, &entry.file_name().to_string_lossy()) {
                cp.arg(entry.path());
            }
        }
        if !run(&mut cp, Show::Nothing, BUILD_LIMIT_S)?.ok() {
            // Only time is lost; half a copy would be worse than none.
            std::fs::remove_dir_all(target(house, copy))?;
            return Ok(());
        }
    }
    Ok(())
}

/// Does this entry of a folder of cargo's target belong to a crate of others? Test programs have no `lib` before them.
fn is_dependency(part: &str, name: &str) -> bool {
    let library = part != "deps" || name.starts_with("lib") || name.ends_with(".d");
    library && !name.contains("foreshade") && !name.starts_with("xtask")
}

/// Brings the copy up to date: files that differ are written, files that are gone are removed. Says how many differed.
fn sync(house: &House, copy: usize) -> Result<usize> {
    let root = tree_root(house, copy);
    let files = house.files()?;
    let mut changed = 0;
    for file in &files {
        let (from, to) = (house.root.join(file), root.join(file));
        let bytes = std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        if std::fs::read(&to).is_ok_and(|old| old == bytes) {
            continue;
        }
        if let Some(dir) = to.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(&to, bytes)?;
        changed += 1;
    }
    let keep: BTreeSet<&Path> = files.iter().map(PathBuf::as_path).collect();
    remove_others(&root, &root, &keep)?;
    Ok(changed)
}

fn remove_others(root: &Path, dir: &Path, keep: &BTreeSet<&Path>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(root, &path, keep)?;
        } else if !keep.contains(path.strip_prefix(root)?) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{TURNS, aligned, is_dependency, mutate, of_turn, parse, verdict};
    use crate::run::Done;

    fn done(code: i32, stdout: &str, stderr: &str, timed_out: bool) -> Done {
        Done { code: Some(code), timed_out, stdout: stdout.into(), stderr: stderr.into(), seconds: 1.0 }
    }

    #[test]
    fn as_many_commits_as_there_are_turns_take_every_mutant_once() {
        let one = |i: usize| {
            format!("[[mutant]]\nname=\"{i}\"\nrows=[]\nfile=\"\"\nfind=\"a\"\nreplace=\"b\"\ntest=\"\"\n")
        };
        let all = parse(&(0..10).map(one).collect::<String>()).unwrap();
        let taken = (7..7 + TURNS).flat_map(|commits| of_turn(all.clone(), commits));
        let mut names: Vec<usize> = taken.map(|m| m.name.parse().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn only_what_others_wrote_is_copied() {
        assert!(is_dependency("deps", "libserde-0123456789abcdef.rlib"));
        assert!(is_dependency(".fingerprint", "serde-0123456789abcdef"));
        assert!(!is_dependency("deps", "libforeshade_plan-0123456789abcdef.rlib"));
        assert!(!is_dependency("deps", "scenarios-0123456789abcdef"));
        assert!(!is_dependency("build", "foreshade-kernels-0123456789abcdef"));
    }

    #[test]
    fn the_place_must_be_unique() {
        assert_eq!(mutate("a + b", "+", "-").unwrap(), "a - b");
        assert!(mutate("a + b + c", "+", "-").unwrap_err().to_string().contains("2 times"));
        assert!(mutate("a", "+", "-").is_err());
        assert!(mutate("a + b", "+", "+").is_err());
    }

    #[test]
    fn a_mutant_names_all_its_parts() {
        let good = "[[mutant]]\nname='m'\nrows=['E6']\nfile='f'\nfind='a'\nreplace='b'\ntest='-p t'\n";
        assert_eq!(parse(good).unwrap()[0].rows, ["E6"]);
        assert!(parse(&good.replace("rows=['E6']\n", "")).is_err());
        assert!(parse(&good.replace("find=", "fnd=")).is_err());
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn only_a_failing_test_catches_a_mutant() {
        let failed = "test result: FAILED. 3 passed; 1 failed; 0 ignored\n";
        assert!(verdict(&done(101, failed, "", false)).is_ok());
        assert!(verdict(&done(0, "test result: ok. 4 passed; 0 failed\n", "", false)).is_err());
        assert!(verdict(&done(101, "", "error[E0308]: mismatched types", false)).is_err());
        assert!(verdict(&done(101, "running 1 test", "process didn't exit successfully", false)).is_ok());
        assert!(verdict(&done(0, "", "", true)).is_ok());
    }

    #[test]
    fn the_table_is_aligned() {
        let rows = [
            ["a".into(), "E6".into(), "caught".into(), "1.0 s".into()],
            ["a-longer-name".into(), "G1 G2".into(), "NOT CAUGHT".into(), "12.0 s".into()],
        ];
        let text = aligned(&rows);
        let widths: Vec<usize> = text.lines().skip(1).map(str::len).collect();
        assert!(widths.windows(2).all(|w| w[0] == w[1]), "{text}");
    }
}
