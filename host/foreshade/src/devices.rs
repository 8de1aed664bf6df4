//! `foreshade devices`: what there is to compute on, and why the rest is passed over.

use std::fmt::Write;

use foreshade_accel::probe::Absent;
use foreshade_accel::{KernelId, OpenOptions, Probe, Seen, probe_all, test_device};
use serde::Serialize;

use crate::Failure;
use crate::cli::DevicesArgs;
use crate::offline::options;
use crate::view::{name, say};

/// What is said of all drivers. Its keys are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Listing {
    version: &'static str,
    /// The driver that `--backend auto` takes.
    auto: Option<&'static str>,
    /// Every kernel of this version.
    kernels: Vec<&'static str>,
    drivers: Vec<DriverRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct DriverRow {
    driver: &'static str,
    about: &'static str,
    /// Is it ever taken by `--backend auto`?
    auto: bool,
    devices: Vec<DeviceRow>,
    passed_over: Vec<Passed>,
    /// Of its first device, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    self_test: Option<SelfTest>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct DeviceRow {
    device: String,
    version: String,
    /// Instruction set, compute capability or kernel form.
    form: String,
    /// 0 where the device has its own.
    threads: usize,
    /// 0 = the host's.
    memory_bytes: u64,
    /// Runs on the host's processor.
    software: bool,
    kernels: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Passed {
    /// Empty where no device was seen.
    device: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct SelfTest {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `foreshade devices`
pub(crate) fn command(args: &DevicesArgs) -> Result<(), Failure> {
    let options = options(1);
    let mut listing = Listing::new(&probe_all(&options));
    if args.test {
        listing.test(&options);
    }
    if args.json {
        let text = serde_json::to_string_pretty(&listing).map_err(|e| Failure::failed(&e))?;
        say(&(text + "\n"));
    } else {
        say(&listing.text());
    }
    let failed = listing.drivers.iter().filter(|d| d.self_test.as_ref().is_some_and(|t| !t.ok));
    match failed.map(|d| d.driver).collect::<Vec<_>>() {
        failed if failed.is_empty() => Ok(()),
        failed => Err(Failure::Failed(format!(
            "self-test failed: {}; leave it out with --backend",
            failed.join(", ")
        ))),
    }
}

impl Listing {
    fn new(probes: &[Probe]) -> Self {
        let mut listing = Self {
            version: env!("CARGO_PKG_VERSION"),
            auto: None,
            kernels: KernelId::ALL.map(KernelId::name).into(),
            drivers: probes.iter().map(DriverRow::new).collect(),
        };
        listing.choose();
        listing
    }

    /// The first that may be taken, has a device, and did not fail its test.
    fn choose(&mut self) {
        let works =
            |d: &&DriverRow| d.auto && !d.devices.is_empty() && d.self_test.as_ref().is_none_or(|t| t.ok);
        self.auto = self.drivers.iter().find(works).map(|d| d.driver);
    }

    fn test(&mut self, options: &OpenOptions) {
        for d in self.drivers.iter_mut().filter(|d| !d.devices.is_empty()) {
            d.self_test = Some(match test_device(d.driver, options) {
                Ok(took) => SelfTest { ok: true, ms: Some(took.as_millis() as u64), reason: None },
                Err(e) => SelfTest { ok: false, ms: None, reason: Some(e.to_string()) },
            });
        }
        self.choose();
    }

    fn text(&self) -> String {
        let mut rows = vec![["driver", "device", "form", "memory", "state", "version"].map(str::to_owned)];
        for d in &self.drivers {
            rows.extend(d.devices.iter().enumerate().map(|(i, row)| d.device(row, i == 0, self.auto)));
            rows.extend(d.passed_over.iter().map(|p| d.passed(p)));
        }
        let mut out = aligned(&rows);
        match self.auto {
            Some(driver) => _ = writeln!(out, "\n--backend auto takes {driver}"),
            None => _ = writeln!(out, "\n--backend auto finds nothing that works"),
        }
        out.push('\n');
        out + &self.kernel_table()
    }

    /// Kernel by kernel, which device can run it.
    fn kernel_table(&self) -> String {
        let found = || self.drivers.iter().flat_map(|d| d.devices.iter().map(move |row| (d.driver, row)));
        let mut rows = vec![vec!["kernel".to_owned()]];
        rows[0].extend(found().map(|(driver, _)| driver.to_owned()));
        for kernel in &self.kernels {
            let runs = |row: &DeviceRow| if row.kernels.contains(kernel) { "yes" } else { "no" };
            let mut row = vec![(*kernel).to_owned()];
            row.extend(found().map(|(_, device)| runs(device).to_owned()));
            rows.push(row);
        }
        aligned(&rows)
    }
}

impl DriverRow {
    fn new(p: &Probe) -> Self {
        let passed = |a: &Absent| Passed { device: name(&a.device), reason: name(&a.reason) };
        Self {
            driver: p.name,
            about: p.about,
            auto: p.auto,
            devices: p.devices.iter().flatten().map(DeviceRow::new).collect(),
            passed_over: p.devices.iter().filter_map(|d| d.as_ref().err()).map(passed).collect(),
            self_test: None,
        }
    }

    fn device(&self, row: &DeviceRow, first: bool, auto: Option<&str>) -> [String; 6] {
        let memory = match row.memory_bytes {
            0 => "host".to_owned(),
            bytes => format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64),
        };
        let mut state = match (first && auto == Some(self.driver), self.auto) {
            (true, _) => "taken by auto".to_owned(),
            (false, true) => "ready".to_owned(),
            (false, false) => "ready, only when named".to_owned(),
        };
        if let Some(t) = self.self_test.as_ref().filter(|_| first) {
            let verdict = match (&t.reason, t.ms) {
                (Some(reason), _) => format!("; self-test FAIL: {reason}"),
                (None, ms) => format!("; self-test OK in {} ms", ms.unwrap_or(0)),
            };
            state += &verdict;
        }
        let form = row.form.clone() + &threads(row.threads);
        [self.driver.into(), row.device.clone(), form, memory, state, short(&row.version)]
    }

    fn passed(&self, p: &Passed) -> [String; 6] {
        let device = if p.device.is_empty() { "-" } else { &p.device };
        let state = format!("passed over: {}", p.reason);
        [self.driver.into(), device.into(), "-".into(), "-".into(), state, String::new()]
    }
}

impl DeviceRow {
    fn new(seen: &Seen) -> Self {
        let i = &seen.info;
        Self {
            device: name(&i.device),
            version: name(&i.version),
            form: name(&i.simd),
            threads: i.threads,
            memory_bytes: i.memory_bytes,
            software: i.software,
            kernels: seen.kernels.iter().map(|k| k.name()).collect(),
        }
    }
}

/// The beginning of a text that some drivers make long; the object has the whole.
fn short(text: &str) -> String {
    const MOST: usize = 28;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}..", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

/// Threads after the name of an instruction set; nothing where the device has its own.
pub(crate) fn threads(n: usize) -> String {
    match n {
        0 => String::new(),
        1 => ", 1 thread".into(),
        n => format!(", {n} threads"),
    }
}

/// Rows of cells as lines with the columns under each other.
pub(crate) fn aligned<R: AsRef<[String]>>(rows: &[R]) -> String {
    let columns = rows.iter().map(|r| r.as_ref().len()).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|r| r.as_ref().get(c)).map(|s| s.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).map(|(s, w)| format!("{s:<w$}"));
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use foreshade_accel::backend::DeviceInfo;

    use super::*;

    fn probe(name: &'static str, auto: bool, device: Option<&str>) -> Probe {
        let seen = |device: &str| Seen {
            info: DeviceInfo { driver: name, device: device.into(), ..DeviceInfo::default() },
            kernels: vec![KernelId::LstmStep],
        };
        let found = device.map(seen).ok_or_else(|| Absent::driver(name, "no library"));
        Probe { name, about: "a device", auto, devices: vec![found] }
    }

    #[test]
    fn auto_takes_the_first_that_is_there_and_did_not_fail() {
        let probes = [
            probe("cuda", true, None),
            probe("wgpu", true, Some("card")),
            probe("cpu", true, Some("here")),
            probe("wgpu-cpu", false, Some("soft")),
        ];
        let mut listing = Listing::new(&probes);
        assert_eq!(listing.auto, Some("wgpu"));
        let reason = Some("lstm_step: 1e9 off".to_owned());
        listing.drivers[1].self_test = Some(SelfTest { ok: false, ms: None, reason });
        listing.choose();
        assert_eq!(listing.auto, Some("cpu"));
        let text = listing.text();
        assert!(text.contains("self-test FAIL: lstm_step: 1e9 off"), "{text}");
        assert!(
            text.contains("passed over: no library") && text.contains("ready, only when named"),
            "{text}"
        );
        assert!(text.contains("--backend auto takes cpu"), "{text}");
        let only_named = Listing::new(&probes[3..]);
        assert_eq!(only_named.auto, None);
    }

    #[test]
    fn the_kernel_table_has_a_column_per_device() {
        let listing = Listing::new(&[probe("cpu", true, Some("here")), probe("cuda", true, None)]);
        let table = listing.kernel_table();
        let cells = |l: &str| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<_> = table.lines().map(cells).collect();
        assert_eq!(lines[0], ["kernel", "cpu"]);
        assert_eq!(lines[1], ["lstm_step", "yes"]);
        assert_eq!(lines[2], ["arima_fit", "no"]);
    }

    #[test]
    fn what_a_driver_calls_itself_cannot_steer_the_terminal() {
        let listing = Listing::new(&[probe("cpu", true, Some("a\u{1b}[31mred\nline"))]);
        assert!(!listing.text().contains('\u{1b}') && !listing.text().contains("\nline"));
    }
}
