//! The language of scenarios.

use std::collections::BTreeMap;

use foreshade_appliance_core::Care;
use foreshade_enact::fakes::rack::Demand;
use foreshade_plan::failover::{Criterion, Hook, WhenError};
use foreshade_plan::{Mode, Policy};
use foreshade_types::{Action, HostId, Mebibytes, Millicores, Pool, Scope, SyncState, Tick, VmSize};
use thiserror::Error;

use super::orders::ScriptOrder;
use super::site::VmRules;

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct ScriptError {
    /// Its number, from 1; 0 = the whole script.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

/// What a run prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Show {
    /// Every decision.
    #[default]
    All,
    /// Decisions other than resizes.
    Moves,
    /// Sums alone.
    Totals,
}

/// When a line applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First tick.
    pub from: u64,
    /// The tick after the last; `u64::MAX` = for good.
    pub to: u64,
    /// `(period, length)`: within it, only `length` ticks of each `period`, counted from `from`.
    pub every: Option<(u64, u64)>,
}

impl Part {
    const ALWAYS: Self = Self { from: 0, to: u64::MAX, every: None };

    fn has(&self, tick: u64) -> bool {
        let in_period = |(period, length): (u64, u64)| (tick - self.from) % period < length;
        tick >= self.from && tick < self.to && self.every.is_none_or(in_period)
    }
}

/// Values by tick: the last part that applies wins. `(part, value, value at the end of the part)`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series(Vec<(Part, f64, f64)>);

impl Series {
    /// The value at a tick; 0 where no part applies.
    pub fn at(&self, tick: u64) -> f64 {
        let Some((p, a, b)) = self.0.iter().rev().find(|(p, ..)| p.has(tick)) else { return 0.0 };
        if a == b { *a } else { a + (b - a) * (tick - p.from) as f64 / (p.to - p.from).max(1) as f64 }
    }
}

/// One VM.
#[derive(Debug, Clone, PartialEq)]
pub struct VmScript {
    /// Its name.
    pub name: String,
    /// What it was sold.
    pub size: VmSize,
    /// Where it starts.
    pub host: HostId,
    /// Cores it asks for.
    pub cpu: Series,
    /// GiB it asks for.
    pub memory: Series,
    /// Cores that its demand wanders at most.
    pub noise: f64,
    /// When nothing is measured.
    pub missing: Vec<Part>,
    /// When its owner has suspended or terminated it.
    pub stopped: Vec<Part>,
    /// When the copy that its shadow holds lags.
    pub behind: Vec<Part>,
    /// When it differs from its primary.
    pub corrupt: Vec<Part>,
    /// Whose it is.
    pub customer: Option<u32>,
    /// What its owner wants when it fails.
    pub care: Care,
    /// When its guest hangs.
    pub silent: Vec<Part>,
    /// Requests that it answers with an error, percent.
    pub errors: Series,
    /// Where it may run.
    pub rules: VmRules,
}

impl VmScript {
    /// What it asks for in the interval that ends at `tick`.
    pub fn demand(&self, tick: Tick) -> Demand {
        let wander = self.noise * noise(&self.name, tick.0);
        let milli = |x: f64, most: u64| ((x * 1000.0).round().max(0.0) as u64).min(most);
        Demand {
            cpu: Millicores(milli(self.cpu.at(tick.0) + wander, self.size.cpu.0)),
            memory: Mebibytes(((self.memory.at(tick.0) * 1024.0).round() as u64).min(self.size.memory.0)),
            io_kbs: [f32::NAN; 4],
            sampled: !self.missing.iter().any(|p| p.has(tick.0)),
            stopped: self.stopped.iter().any(|p| p.has(tick.0)),
            hangs: self.silent.iter().any(|p| p.has(tick.0)),
            error_percent: self.errors.at(tick.0) as u64,
            copy_fault: match () {
                () if self.corrupt.iter().any(|p| p.has(tick.0)) => Some(SyncState::Corrupt),
                () if self.behind.iter().any(|p| p.has(tick.0)) => Some(SyncState::Behind),
                () => None,
            },
        }
    }
}

/// Even on [-1, 1], from the name and the tick alone (SplitMix64's finaliser: Steele, Lea, Flood, OOPSLA 2014).
fn noise(name: &str, tick: u64) -> f64 {
    let seed = name.bytes().fold(tick.wrapping_mul(0x9e37_79b9_7f4a_7c15), |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Whom a host serves and what fails with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostKind {
    /// Whom it serves.
    pub pool: Pool,
    /// Hosts of one domain fail together.
    pub domain: u32,
    /// The tick at which it is lost for good.
    pub lost: Option<u64>,
}

/// A situation.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Seconds between samples.
    pub cadence_s: u32,
    /// Samples before the first decision.
    pub warm_up: u64,
    /// The last sample.
    pub end: u64,
    /// Hosts, all alike.
    pub hosts: u32,
    /// CPU of a host.
    pub host_cpu: Millicores,
    /// Memory of a host.
    pub host_memory: Mebibytes,
    /// Bandwidth of migrations, MiB/s.
    pub bandwidth_mib_s: u64,
    /// Hosts that are not like the rest.
    pub kinds: BTreeMap<u32, HostKind>,
    /// The planner's settings.
    pub policy: Policy,
    /// Is memory managed?
    pub manages_memory: bool,
    /// What its operator does.
    pub orders: Vec<ScriptOrder>,
    /// The VMs.
    pub vms: Vec<VmScript>,
    /// What is printed.
    pub show: Show,
}

/// The words of a line, taken one by one.
pub(super) struct Words<'a>(std::iter::Peekable<std::str::SplitWhitespace<'a>>);

pub(super) type Parsed<T> = Result<T, String>;

impl<'a> Words<'a> {
    pub(super) fn word(&mut self, what: &str) -> Parsed<&'a str> {
        self.0.next().ok_or_else(|| format!("{what} is missing"))
    }

    pub(super) fn number<T: std::str::FromStr>(&mut self, what: &str) -> Parsed<T> {
        let w = self.word(what)?;
        w.parse().map_err(|_| format!("{what} is {w:?}; give a number"))
    }

    /// A size in cores or GiB.
    fn amount(&mut self, what: &str) -> Parsed<f64> {
        let x: f64 = self.number(what)?;
        if (0.0..=4096.0).contains(&x) { Ok(x) } else { Err(format!("{what} is {x}; give 0 to 4096")) }
    }

    pub(super) fn keyword(&mut self, key: &str) -> Parsed<()> {
        let w = self.word(key)?;
        if w == key { Ok(()) } else { Err(format!("{w:?} stands where {key:?} belongs")) }
    }

    fn takes(&mut self, key: &str) -> bool {
        self.0.next_if_eq(&key).is_some()
    }

    /// `[from A [to B]] | [every P at A for N]`
    fn part(&mut self) -> Parsed<Part> {
        let mut part = Part::ALWAYS;
        if self.takes("every") {
            let period: u64 = self.number("the period")?;
            self.keyword("at")?;
            part.from = self.number("the first tick")?;
            self.keyword("for")?;
            part.every = Some((period.max(1), self.number("the length")?));
        }
        if self.takes("from") {
            part.from = self.number("the first tick")?;
        }
        if self.takes("to") {
            part.to = self.number("the last tick")?;
        }
        if part.to <= part.from {
            return Err(format!("to {} is not after from {}", part.to, part.from));
        }
        Ok(part)
    }

    fn series(&mut self, what: &str) -> Parsed<(Part, f64, f64)> {
        let a = self.amount(what)?;
        let b = if self.takes("ramp") { self.amount("the end of the ramp")? } else { a };
        let part = self.part()?;
        if a != b && part.to == u64::MAX {
            return Err("a ramp needs from and to".into());
        }
        Ok((part, a, b))
    }
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first line that cannot be read, or what the script lacks.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut s = Self {
            cadence_s: 300,
            warm_up: 144,
            end: 0,
            hosts: 0,
            host_cpu: Millicores(0),
            host_memory: Mebibytes(0),
            bandwidth_mib_s: 500,
            kinds: BTreeMap::new(),
            policy: Policy { mode: Mode::Auto, ..Policy::default() },
            manages_memory: true,
            orders: vec![],
            vms: vec![],
            show: Show::All,
        };
        for (i, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = Words(line.split_whitespace().peekable());
            let Some(key) = words.0.next() else { continue };
            let at = |what| ScriptError { line: i + 1, what };
            s.line(key, &mut words).map_err(at)?;
            if let Some(w) = words.0.next() {
                return Err(at(format!("{w:?} is more than {key:?} takes")));
            }
        }
        s.check().map_err(|what| ScriptError { line: 0, what })?;
        Ok(s)
    }

    fn line(&mut self, key: &str, w: &mut Words<'_>) -> Parsed<()> {
        match key {
            "cadence" => self.cadence_s = w.number("the cadence")?,
            "warm-up" => self.warm_up = w.number("the warm-up")?,
            "end" => self.end = w.number("the end")?,
            "hosts" => {
                self.hosts = w.number("the number of hosts")?;
                w.keyword("cores")?;
                self.host_cpu = Millicores((w.amount("cores")? * 1000.0) as u64);
                w.keyword("gib")?;
                self.host_memory = Mebibytes((w.amount("gib")? * 1024.0) as u64);
            }
            "mode" => self.mode_line(w)?,
            "order" => self.orders.push(ScriptOrder::parse(w)?),
            "memory" if self.vms.is_empty() => {
                w.keyword("fixed")?;
                self.manages_memory = false;
            }
            "show" => {
                self.show = match w.word("what to show")? {
                    "all" => Show::All,
                    "moves" => Show::Moves,
                    "totals" => Show::Totals,
                    s => return Err(format!("show {s:?} is not all, moves or totals")),
                }
            }
            "bandwidth" => self.bandwidth_mib_s = w.number("the bandwidth")?,
            "host" => self.host_line(w)?,
            "policy" => self.policy_line(w)?,
            "failover" => self.failover_line(w)?,
            "hook" => {
                let (name, limit_s) = (w.word("the hook's name")?.to_owned(), w.number("its limit")?);
                self.policy.failover.hook.push(Hook { name, limit_s });
                self.policy.check().map_err(|e| e.to_string())?;
            }
            "vm" => self.vm_line(w)?,
            _ => {
                let Some(vm) = self.vms.last_mut() else {
                    return Err(format!("{key:?} is not known, or stands before the first vm"));
                };
                match key {
                    "cpu" => vm.cpu.0.push(w.series("cpu")?),
                    "memory" => vm.memory.0.push(w.series("memory")?),
                    "noise" => vm.noise = w.amount("noise")?,
                    "missing" => vm.missing.push(w.part()?),
                    "stopped" => vm.stopped.push(w.part()?),
                    "behind" => vm.behind.push(w.part()?),
                    "corrupt" => vm.corrupt.push(w.part()?),
                    "silent" => vm.silent.push(w.part()?),
                    "errors" => vm.errors.0.push(w.series("errors")?),
                    "priority" => vm.care.failover_priority = w.number("the priority")?,
                    "max-downtime" => vm.care.max_downtime_s = Some(w.number("the seconds")?),
                    "customer" => vm.customer = Some(w.number("the customer")?),
                    _ => Self::rule(&mut vm.rules, key, w)?,
                }
            }
        }
        Ok(())
    }

    /// `apart GROUP [domain]`, `together GROUP`, `pin HOST...`, `opt-out`, `carried HOST at TICK`
    fn rule(rules: &mut VmRules, key: &str, w: &mut Words<'_>) -> Parsed<()> {
        match key {
            "apart" => {
                let group = w.word("the group")?.to_owned();
                let scope = if w.takes("domain") { Scope::Domain } else { Scope::Host };
                rules.apart.push((group, scope));
            }
            "together" => rules.together.push(w.word("the group")?.to_owned()),
            "pin" => {
                rules.pin.insert(HostId(w.number("the host")?));
                while w.0.peek().is_some() {
                    rules.pin.insert(HostId(w.number("the host")?));
                }
            }
            "opt-out" => rules.opted_out = true,
            "carried" => {
                let host = HostId(w.number("the host")?);
                w.keyword("at")?;
                rules.carried.push((host, w.number("the tick")?));
            }
            _ => return Err(format!("{key:?} is not known")),
        }
        Ok(())
    }

    /// `mode [ACTION] auto|advise|off`
    fn mode_line(&mut self, w: &mut Words<'_>) -> Parsed<()> {
        let mut word = w.word("the mode")?;
        let action = Action::NAMES.iter().find(|n| **n == word);
        if action.is_some() {
            word = w.word("the mode")?;
        }
        let mode = match word {
            "auto" => Mode::Auto,
            "advise" => Mode::Advise,
            "off" => Mode::Off,
            m => return Err(format!("mode {m:?} is not auto, advise or off, nor an action")),
        };
        match action {
            Some(name) => drop(self.policy.modes.0.insert((*name).to_owned(), mode)),
            None => self.policy.mode = mode,
        }
        Ok(())
    }

    /// `host N [pool general|shadow|dedicated CUSTOMER] [domain D] [lost TICK]`
    fn host_line(&mut self, w: &mut Words<'_>) -> Parsed<()> {
        let host: u32 = w.number("the host")?;
        let mut kind = HostKind { pool: Pool::General, domain: host, lost: None };
        if w.takes("pool") {
            kind.pool = match w.word("the pool")? {
                "general" => Pool::General,
                "shadow" => Pool::Shadow,
                "dedicated" => Pool::Dedicated(w.number("the customer")?),
                p => return Err(format!("pool {p:?} is not general, shadow or dedicated")),
            };
        }
        if w.takes("domain") {
            kind.domain = w.number("the domain")?;
        }
        if w.takes("lost") {
            kind.lost = Some(w.number("the tick")?);
        }
        self.kinds.insert(host, kind);
        Ok(())
    }

    /// `failover none` or `failover NAME if RULE`: instead of, or beside, the criteria there are.
    fn failover_line(&mut self, w: &mut Words<'_>) -> Parsed<()> {
        let name = w.word("the criterion's name")?.to_owned();
        if name == "none" {
            self.policy.failover.when.clear();
            return Ok(());
        }
        w.keyword("if")?;
        let rule: Vec<_> = w.0.by_ref().collect();
        let when = rule.join(" ").parse().map_err(|e: WhenError| e.to_string())?;
        self.policy.failover.when.retain(|c| c.name != name);
        self.policy.failover.when.push(Criterion { name, when });
        Ok(())
    }

    /// Any number or switch of the policy by its name, as in a configuration file.
    fn policy_line(&mut self, w: &mut Words<'_>) -> Parsed<()> {
        let key = w.word("the policy's key")?;
        let value: serde_json::Value = match () {
            () if w.takes("true") => true.into(),
            () if w.takes("false") => false.into(),
            () => w.number::<u64>(key)?.into(),
        };
        let mut json = serde_json::to_value(&self.policy).map_err(|e| e.to_string())?;
        // `failover.cool_down_ticks` is a key of a table.
        match key.split_once('.') {
            Some((table, key)) => json[table][key] = value,
            None => json[key] = value,
        }
        self.policy = serde_json::from_value(json).map_err(|e| format!("policy: {e}"))?;
        self.policy.check().map_err(|e| e.to_string())
    }

    fn vm_line(&mut self, w: &mut Words<'_>) -> Parsed<()> {
        let name = w.word("the VM's name")?.to_owned();
        w.keyword("cores")?;
        let cpu = Millicores((w.amount("cores")? * 1000.0) as u64);
        w.keyword("gib")?;
        let memory = Mebibytes((w.amount("gib")? * 1024.0) as u64);
        w.keyword("on")?;
        let host = HostId(w.number("the host")?);
        let (cpu_demand, memory_demand) = (Series::default(), Series::default());
        self.vms.push(VmScript {
            name,
            size: VmSize { cpu, memory },
            host,
            cpu: cpu_demand,
            memory: memory_demand,
            noise: 0.0,
            missing: vec![],
            stopped: vec![],
            behind: vec![],
            corrupt: vec![],
            customer: None,
            care: Care::default(),
            silent: vec![],
            errors: Series::default(),
            rules: VmRules::default(),
        });
        Ok(())
    }

    fn check(&self) -> Parsed<()> {
        if self.cadence_s == 0 {
            return Err("cadence 0; samples are at least 1 s apart".into());
        }
        if self.hosts == 0 || self.vms.is_empty() {
            return Err("a script needs hosts and at least one vm".into());
        }
        if self.warm_up == 0 || self.end <= self.warm_up {
            return Err(format!("end {} is not after warm-up {} (at least 1)", self.end, self.warm_up));
        }
        let named = |v: &VmScript| {
            v.rules.pin.iter().chain(v.rules.carried.iter().map(|(h, _)| h)).any(|h| h.0 >= self.hosts)
        };
        if let Some(v) = self.vms.iter().find(|v| named(v)) {
            return Err(format!("{} names a host that is not one of {}", v.name, self.hosts));
        }
        match self.vms.iter().find(|v| v.host.0 >= self.hosts) {
            Some(v) => Err(format!("{} is on {}, of {} hosts", v.name, v.host, self.hosts)),
            None => Ok(()),
        }
    }
}
