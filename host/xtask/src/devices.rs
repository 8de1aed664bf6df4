//! Lane `devices`: every kernel on every device of this machine against its definition, and the CUDA assembly against its
//! source. PoCL and lavapipe stand for cards, so it needs none.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::ci::required;
use crate::house::House;
use crate::run::{Show, count_tests, run};
use crate::sheet::Sheet;

/// Families of devices that the table sums up, as REQUIRE names them.
const FAMILIES: [&str; 5] = ["cpu", "cc", "opencl", "wgpu", "cuda"];
/// Every driver is built in.
const TESTS: &str = "test -p foreshade-accel --features opencl,cuda,wgpu --no-fail-fast --test parity \
                     --test parity_contract --test parity_cache --test parity_absence -- --nocapture";
/// The compiler is the oldest that knows what the kernels use: PTX newer than a driver is refused by it.
const PACKAGES: &str = "nvidia-cuda-nvrtc-cu12==12.1.105 nvidia-cuda-nvcc-cu12==12.9.86";
/// Longest one step may take on two cores, cold, seconds.
const LIMIT_S: u64 = 900;

/// Runs the lane.
pub fn run_lane(house: &House, sheet: &mut Sheet) {
    let mut table = String::new();
    sheet.check("kernels on every device", || {
        // lavapipe wants a folder of its own.
        let dir = house.scratch("devices")?;
        let mut cmd = house.cargo(TESTS);
        let done = run(cmd.env("XDG_RUNTIME_DIR", dir), Show::Lines, LIMIT_S)?;
        table = done.stdout.clone();
        ensure!(done.ok(), "{}", done.why());
        Ok(format!("{} tests", count_tests(&done.stdout).passed))
    });
    for family in FAMILIES {
        match ran(&table, family) {
            Some(0) | None => sheet.skip(&format!("no {family} device ran a kernel here"), required(family)),
            Some(_) => {}
        }
    }
    assembly(house, sheet);
}

/// Lines of the table that are OK for this family; `None` = it has no sum.
fn ran(table: &str, family: &str) -> Option<u32> {
    let sum =
        table.lines().find_map(|l| l.strip_prefix("parity ")?.strip_prefix(family)?.strip_prefix(": "))?;
    sum.split(' ').next()?.parse().ok()
}

fn assembly(house: &House, sheet: &mut Sheet) {
    let python = match compiler(house) {
        Ok(python) => python,
        Err(why) => return sheet.skip(&format!("no CUDA compiler: {why:#}"), required("ptx")),
    };
    for (name, option) in
        [("CUDA assembly is what the sources give", "--check"), ("CUDA assembly has no spills", "--ptxas")]
    {
        sheet.check(name, || {
            let mut cmd = house.command(&python);
            let done = run(cmd.arg("tools/make_ptx.py").arg(option), Show::Lines, LIMIT_S)?;
            ensure!(done.ok(), "{}", done.why());
            Ok(String::new())
        });
    }
}

/// A Python with the compiler, made once under `target`.
fn compiler(house: &House) -> Result<PathBuf> {
    let dir = house.target.join("venv-cuda");
    let (python, done_mark) = (dir.join("bin/python"), dir.join("foreshade-packages"));
    if std::fs::read_to_string(&done_mark).is_ok_and(|said| said == PACKAGES) {
        return Ok(python);
    }
    let made = run(house.command("python3").args(["-m", "venv"]).arg(&dir), Show::Nothing, 120)?;
    ensure!(made.ok(), "python3 -m venv (on Debian: apt-get install python3-venv): {}", made.why());
    let mut pip = house.command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    let done = run(pip.args(PACKAGES.split(' ')), Show::Lines, LIMIT_S)?;
    ensure!(done.ok(), "pip install {PACKAGES}: {}", done.why());
    std::fs::write(&done_mark, PACKAGES).with_context(|| format!("cannot write {}", done_mark.display()))?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::ran;

    #[test]
    fn reads_how_many_cases_a_family_ran() {
        let table = "cpu avx2  x\nparity cpu: 12 OK, 0 FAIL\nparity opencl-card: 0 OK, 2 SKIPPED\nparity opencl: 7 OK\n";
        assert_eq!((ran(table, "cpu"), ran(table, "opencl"), ran(table, "wgpu")), (Some(12), Some(7), None));
    }
}
