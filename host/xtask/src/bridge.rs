//! Lane `bench-bridge`: `foreshade forecast` and `backtest` on traces larger than the repository ships, through the
//! forecast bench that lies beside them, with its proof that no future sample influences a forecast.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::ci::required;
use crate::fast::cargo;
use crate::house::House;
use crate::report::Report;
use crate::run::{Show, run};
use crate::sheet::Sheet;

/// Of the bench's data sets, those small enough for CI: two smooth ones, one noisy with gaps.
const SETS: [&str; 3] = ["gcd_cpu", "gcd_mem", "bitbrains_mem"];
/// What the bench's scripts need, at the versions its requirements name.
const PACKAGES: &str = "numpy==2.4.6 pandas==2.3.3 pyarrow==26.0.1 scipy==1.17.1";
/// Longest one step may take, seconds.
const LIMIT_S: u64 = 900;
/// Forecast origins on the small trace, by sample: a day apart, after three days of history.
const TINY_ORIGINS: &str = "864:1728:288";

/// Runs the lane, or says why it is skipped.
pub fn run_lane(house: &House, sheet: &mut Sheet) {
    let Some(data) = std::env::var_os("FORESHADE_DATA").filter(|d| !d.is_empty()) else {
        sheet.skip(
            "FORESHADE_DATA is not set; the demo lane runs on the traces shipped in the repository",
            required("data"),
        );
        return;
    };
    let data = house.root.join(data);
    if !data.is_dir() {
        sheet.skip(&format!("FORESHADE_DATA is not a folder: {}", data.display()), required("data"));
        return;
    }
    let lane = Bridge { house, bench: data.join("../bench/forecast") };
    let ready = sheet.check("release build", || cargo(house, "build --release"))
        && sheet.check("python packages", || lane.venv());
    if !ready {
        return;
    }
    lane.small_trace(sheet, &data.join("bitbrains_rnd/tiny_40vms_7days.parquet"));
    if lane.bench.join("to_product.py").is_file() {
        lane.data_sets(sheet);
    } else {
        sheet.skip(&format!("no forecast bench at {}", lane.bench.display()), required("bridge"));
    }
}

/// One run of `foreshade forecast`.
fn forecast(house: &House, input: &Path, origins: &OsStr, out: &Path) -> Result<String> {
    let _ = std::fs::remove_file(out);
    let mut cmd = house.command(house.binary());
    cmd.arg("forecast").arg("--input").arg(input).arg("--origins").arg(origins).arg("--out").arg(out);
    let done = run(&mut cmd, Show::Nothing, LIMIT_S)?;
    ensure!(done.ok(), "forecast of {}: {}", input.display(), done.why());
    let bytes = std::fs::metadata(out).with_context(|| format!("no {}", out.display()))?.len();
    Ok(format!("{:.1} s, {bytes} bytes", done.seconds))
}

/// One run of `foreshade backtest`: the report's text.
fn backtest(house: &House, trace: &Path, report: &Path) -> Result<String> {
    let _ = std::fs::remove_file(report);
    let mut cmd = house.command(house.binary());
    cmd.arg("backtest").arg("--trace").arg(trace).arg("--report").arg(report);
    let done = run(&mut cmd, Show::Nothing, LIMIT_S)?;
    ensure!(done.ok(), "backtest of {}: {}", trace.display(), done.why());
    std::fs::read_to_string(report).with_context(|| format!("cannot read {}", report.display()))
}

/// The bench's scripts and what they share.
struct Bridge<'a> {
    house: &'a House,
    bench: PathBuf,
}

impl Bridge<'_> {
    /// Both file commands on the 40-VM trace.
    fn small_trace(&self, sheet: &mut Sheet, trace: &Path) {
        sheet.check("forecast of the 40-VM trace", || {
            let out = self.house.scratch("bridge")?.join("tiny.out.parquet");
            let detail = forecast(self.house, trace, TINY_ORIGINS.as_ref(), &out)?;
            let script = self.house.root.join("benches/bridge/check_forecast.py");
            let said = self.python_script(&script, &[trace.as_os_str(), out.as_os_str()])?;
            Ok(format!("{said}, {detail}"))
        });
        sheet.check("backtest of the 40-VM trace, same bytes twice", || {
            let dir = self.house.scratch("bridge")?;
            let a = backtest(self.house, trace, &dir.join("backtest.json"))?;
            let b = backtest(self.house, trace, &dir.join("backtest_again.json"))?;
            Report::parse(&a)?;
            ensure!(a == b, "two runs wrote different reports");
            ensure!(!a.contains("\"hops\""), "a backtest has no hops to time");
            Ok(format!("{} bytes", a.len()))
        });
    }

    fn data_sets(&self, sheet: &mut Sheet) {
        let ready = sheet.check("prepare", || self.script("prepare.py", &["--out", "DATA"]))
            && sheet.check("inputs", || {
                self.script("to_product.py", &["--data", "DATA", "--out", "P"])?;
                self.script("to_product.py", &["--data", "DATA", "--out", "P", "--cut", "1"])
            });
        if !ready {
            return;
        }
        let mut all = true;
        for (i, set) in SETS.iter().enumerate() {
            println!("set {} of {}", i + 1, SETS.len());
            for half in ["test", "cut1"] {
                all &= sheet.check(&format!("forecast {half}/{set}"), || self.forecast(half, set));
            }
        }
        if all {
            let convert = ["--data", "DATA", "--product", "P/test", "--out", "FORECASTS/test"];
            sheet.check("the bench accepts the forecasts", || self.script("from_product.py", &convert));
            sheet.check("no future leaks in", || {
                self.script("causal.py", &["--full", "P/test", "--cut", "P/cut1", "--tol", "0"])
            });
        }
    }

    fn python(&self) -> PathBuf {
        self.house.target.join("venv/bin/python")
    }

    fn venv(&self) -> Result<String> {
        let probe = "import numpy, pandas, pyarrow, scipy";
        let has = |s: &Self| {
            s.python().is_file()
                && run(s.house.command(s.python()).args(["-c", probe]), Show::Nothing, 60)
                    .is_ok_and(|d| d.ok())
        };
        if has(self) {
            return Ok("already there".into());
        }
        let dir = self.house.target.join("venv");
        let made = run(self.house.command("python3").args(["-m", "venv"]).arg(&dir), Show::Nothing, 120)?;
        ensure!(made.ok(), "python3 -m venv (on Debian: apt-get install python3-venv): {}", made.why());
        let mut pip = self.house.command(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        let done = run(pip.args(PACKAGES.split(' ')), Show::Lines, LIMIT_S)?;
        ensure!(done.ok(), "pip install {PACKAGES}: {}", done.why());
        ensure!(has(self), "the packages were installed but cannot be imported");
        Ok(String::new())
    }

    /// Runs one of the bench's scripts; its last line is the detail.
    fn script(&self, name: &str, args: &[&str]) -> Result<String> {
        self.python_script(&self.bench.join(name), &args.iter().map(OsStr::new).collect::<Vec<_>>())
    }

    /// Runs a script in the scratch folder. The bench may be read-only: no byte code is written beside it.
    fn python_script(&self, script: &Path, args: &[&OsStr]) -> Result<String> {
        let mut cmd = self.house.command(self.python());
        cmd.current_dir(self.house.scratch("bridge")?)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script)
            .args(args);
        let done = run(&mut cmd, Show::Lines, LIMIT_S)?;
        ensure!(done.ok(), "{}: {}", script.display(), done.why());
        Ok(done.stdout.lines().last().unwrap_or_default().into())
    }

    fn forecast(&self, half: &str, set: &str) -> Result<String> {
        let at = |end: &str| -> Result<PathBuf> {
            Ok(self.house.scratch("bridge")?.join(format!("P/{half}/{set}.{end}.parquet")))
        };
        forecast(self.house, &at("input")?, at("origins")?.as_os_str(), &at("out")?)
    }
}
