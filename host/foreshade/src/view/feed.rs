//! The decision feed: one line per tick with what was done and left alone, and each decision that moves load with its
//! reason; of the resizes, which are many, the largest.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Instant;

use foreshade_appliance::Observer;
use foreshade_appliance_core::{Alert, Core, FollowLine, OrderRecord, Summary};
use foreshade_types::{Action, Decision};

use super::{Progress, heat, say};
use crate::demo::Demo;
use crate::demo::decision_tick;

/// Ticks between heat maps: two hours of 300 s samples.
const HEAT_EVERY: u64 = 24;

/// Refusals printed in full; the rest are counted.
const REFUSALS_SHOWN: u64 = 10;

/// Prints a run as it goes.
#[derive(Debug)]
pub struct Feed {
    progress: Progress,
    colour: bool,
    start: Instant,
    forecast_seen: bool,
    refusals: u64,
    follows: bool,
}

impl Feed {
    /// Prints what will run.
    pub fn new(demo: &Demo, plain: bool) -> Self {
        let f = &demo.fleet;
        let hosts = f.hosts().count();
        say(&format!(
            "foreshade demo: {} VMs of trace {}, {} hosts in {} rack{}\n",
            f.vms.len(),
            f.name,
            hosts,
            f.racks.len(),
            if f.racks.len() == 1 { "" } else { "s" }
        ));
        let sized = if f.default_sized > 0 {
            format!("{} of {}, {} (--vm-size)", f.default_sized, f.default_size.cpu, f.default_size.memory)
        } else {
            "from the trace".into()
        };
        say(&format!(
            "  VM sizes {sized}; {} decision ticks of {} s after 144 of warm-up\n",
            f.ticks(),
            f.cadence_s
        ));
        let memory = if f.rack.memory_contends {
            "cpu and memory"
        } else {
            "cpu (memory of this trace is not consumed memory)"
        };
        say(&format!("  contention counts {memory}\n"));
        say(
            "  mode auto: decisions are carried out, on simulated racks only; what acts on machines starts in advise\n",
        );
        Self {
            progress: Progress::new(f.last.0 + 1, "demo", plain),
            colour: !plain && std::io::stdout().is_terminal(),
            start: Instant::now(),
            forecast_seen: false,
            refusals: 0,
            follows: false,
        }
    }

    /// Ends the bar, and says what was not shown.
    pub fn finish(&self) {
        self.progress.finish();
        if self.refusals > REFUSALS_SHOWN {
            say(&format!("  ... {} more refusals\n", self.refusals - REFUSALS_SHOWN));
        }
    }

    fn tick_line(&self, core: &Core, s: &Summary) -> String {
        let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
        s.decisions.iter().for_each(|d| *by_name.entry(d.action.name()).or_default() += 1);
        let done: Vec<_> = by_name.iter().map(|(name, n)| format!("{n} {name}")).collect();
        let done = if done.is_empty() { "nothing to do".to_owned() } else { done.join(", ") };
        let held: Vec<_> = s.holds.iter().map(|(why, n)| format!("{n} {}", why.text())).collect();
        let hours = core.config().time_ms(s.tick) as f64 / 3.6e6;
        let held_n: u64 = s.holds.values().sum();
        let mut line = format!("[{hours:6.2} h] tick {:>4}: {done}; held {held_n}", decision_tick(s.tick));
        if held_n > 0 {
            let _ = write!(line, " ({})", held.join(", "));
        }
        line.push('\n');
        for (host, why) in &s.unrelieved {
            let _ = writeln!(line, "    hold {host}: forecast to run over; {}", why.text());
        }
        line
    }

    fn decision_line(&self, core: &Core, d: &Decision) -> String {
        let name = super::name(&core.config().vms[d.vm.index()].name);
        let what = what(d);
        let action = if self.colour {
            format!("\u{1b}[1m{}\u{1b}[0m", d.action.name())
        } else {
            d.action.name().into()
        };
        format!(
            "    {} {action} {name} {what}{}because {}\n",
            d.id(),
            if what.is_empty() { "" } else { "; " },
            d.reason
        )
    }
}

/// What an action does, beside its name; empty where the name says all.
pub(crate) fn what(d: &Decision) -> String {
    match d.action {
        Action::PreAllocate { to } | Action::GiveBack { to } => format!("to {} {}", to.cpu, to.memory),
        Action::CreateShadow { host, size } => format!("on {host}, {}", size.cpu),
        Action::ShiftTraffic { share_percent, size } => {
            format!("{share_percent} % to its shadow, {}", size.cpu)
        }
        Action::Migrate { to } => format!("{} -> {to}", d.observed_host),
        Action::FailOver { host, size, generation, .. } | Action::Restart { host, size, generation } => {
            format!("{} -> {host}, {}, token {generation}", d.observed_host, size.cpu)
        }
        Action::ReleaseShadow
        | Action::SuspendShadow
        | Action::ResumeShadow
        | Action::RecoverSync
        | Action::ShiftBack { .. } => String::new(),
    }
}

/// Alerts, one line per resource and kind; of many the first.
fn alert_lines(s: &Summary) -> String {
    let mut by_kind: BTreeMap<String, Vec<&Alert>> = BTreeMap::new();
    for a in &s.alerts {
        by_kind.entry(a.what()).or_default().push(a);
    }
    let line = |(_, alerts): (_, Vec<&Alert>)| {
        let first = alerts.first()?;
        let more =
            if alerts.len() > 1 { format!("; {} more VMs alike", alerts.len() - 1) } else { String::new() };
        Some(format!("    alert {first}{more}\n"))
    };
    by_kind.into_iter().filter_map(line).collect()
}

/// Is this a decision that moves load, and so always shown?
fn moves_load(d: &&Decision) -> bool {
    !matches!(d.action, Action::PreAllocate { .. } | Action::GiveBack { .. })
}

/// The resize that changes most.
fn largest_resize(s: &Summary) -> Option<&Decision> {
    let resized = s.decisions.iter().filter(|d| !moves_load(d));
    resized.max_by_key(|d| (d.reason.predicted.abs_diff(d.reason.threshold), std::cmp::Reverse(d.seq)))
}

impl Observer for Feed {
    fn planned(&mut self, core: &Core, s: &Summary) {
        if !self.forecast_seen && core.forecasts(foreshade_types::Resource::Cpu).is_some() {
            self.forecast_seen = true;
            let line = format!("first forecast after {:.2} s\n", self.start.elapsed().as_secs_f64());
            self.progress.print(&line);
        }
        self.progress.at(s.tick.0 + 1);
        if s.tick < core.config().first_decision || s.tick >= core.config().last {
            return;
        }
        let mut out = self.tick_line(core, s);
        out.push_str(&alert_lines(s));
        for d in s.decisions.iter().filter(moves_load).chain(largest_resize(s)) {
            out.push_str(&self.decision_line(core, d));
        }
        if (decision_tick(s.tick) - 1).is_multiple_of(HEAT_EVERY) && !self.follows {
            out.push_str(&heat::map(core, &format!("tick {}", decision_tick(s.tick)), self.colour));
        }
        self.progress.print(&out);
    }

    fn refused(&mut self, text: &str) {
        self.refusals += 1;
        if self.refusals <= REFUSALS_SHOWN {
            self.progress.print(&format!("refused: {text}\n"));
        }
    }

    fn ordered(&mut self, order: &OrderRecord) {
        say(&format!("  {} by {}\n", order.order.text(), order.who));
    }

    fn followed(&mut self, l: &FollowLine) {
        self.follows = true;
        self.progress.print(&format!("  follow {} t{} {:<20} {}\n", l.vm, l.tick.0, l.hop, l.text));
    }
}
