//! The heat map: VMs x horizon, upper bound (q95) in percent of the VM's size.

use std::fmt::Write;

use foreshade_appliance_core::Core;
use foreshade_types::{Resource, VmId};

/// Rows shown.
const ROWS: usize = 12;

/// Columns: heading and the horizon's place in the forecast.
const COLUMNS: [(&str, usize); 4] = [("5 min", 1), ("30 min", 2), ("1 h", 3), ("peak 30m", 0)];

/// The hottest VMs by the bound of their 30-min peak; empty before the first forecast.
pub(crate) fn map(core: &Core, title: &str, colour: bool) -> String {
    let Some(forecasts) = core.forecasts(Resource::Cpu) else { return String::new() };
    let mut order: Vec<usize> = (0..forecasts.len()).collect();
    let peak = |i: &usize| forecasts[*i].quantiles[0].q95();
    order.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then(a.cmp(b)));
    let mut out = format!(
        "  cpu q95, percent of size, {title}; hottest {} of {}\n",
        ROWS.min(order.len()),
        order.len()
    );
    let _ = write!(out, "  {:<24} {:>7}", "vm", "host");
    for (name, _) in COLUMNS {
        let _ = write!(out, " {name:>9}");
    }
    out.push_str("   now\n");
    for i in order.into_iter().take(ROWS) {
        let name: String = super::name(&core.config().vms[i].name).chars().take(24).collect();
        let Some((host, _, demand)) = core.placed(VmId(i as u32)) else { continue };
        let _ = write!(out, "  {name:<24} {:>7}", host.to_string());
        for (_, h) in COLUMNS {
            out.push_str(&cell(forecasts[i].quantiles[h].q95(), colour));
        }
        let now = core.config().vms[i].size.cpu.points_of(demand);
        let _ = writeln!(out, " {now:>5.0}");
    }
    out
}

/// Five shades, each 20 points wide.
fn cell(points: f32, colour: bool) -> String {
    let shade = ((points / 20.0) as usize).min(4);
    let text = format!("{} {points:>5.0}", ["   ", "░░░", "▒▒▒", "▓▓▓", "███"][shade]);
    let code = [36, 32, 33, 35, 31][shade];
    if colour { format!(" \u{1b}[{code}m{text}\u{1b}[0m") } else { format!(" {text}") }
}
