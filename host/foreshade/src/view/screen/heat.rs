//! VM x horizon: the 95 % bound as a shade and a number, the hottest VM first.

use foreshade_types::{Resource, Transform};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::draw::{Ink, top};
use super::state::{HeatRow, Pane, State};
use super::text::{left, name as vm_name, put, rate, right};

/// Columns of one cell, blank included.
const CELL: usize = 7;
/// Columns of the host's name and of what is asked for now, blanks included.
const HOST: usize = 8;
const NOW: usize = 4;

fn said(r: Resource) -> &'static str {
    match r {
        Resource::Cpu => "cpu",
        Resource::Memory => "memory",
        Resource::DiskRead => "disk read",
        Resource::DiskWrite => "disk write",
        Resource::NetRx => "network in",
        Resource::NetTx => "network out",
    }
}

pub(super) fn title(state: &State) -> String {
    let r = state.resource();
    let unit = if r.transform() == Transform::Log { "B/s" } else { "% of size" };
    let n = state.rows(Pane::Vms);
    if n == 0 {
        return "VMs".into();
    }
    format!("{n} VMs: {} q95, {unit}", said(r))
}

pub(super) fn rows(state: &State, area: Rect, buf: &mut Buffer) {
    let ink = Ink(state.colour);
    let r = state.resource();
    let Some(all) = state.facts.heat.get(&r).filter(|v| !v.is_empty()) else {
        let text = if state.facts.heat.is_empty() {
            "no forecast yet".into()
        } else {
            format!("{}: this trace has none", said(r))
        };
        return put(buf, area, 0, &[(text, ink.plain())]);
    };
    let columns = usize::from(area.width);
    let cells = ((columns.saturating_sub(12)) / CELL).min(4);
    let spare = columns - cells * CELL;
    let now = if spare >= 12 + NOW && r == Resource::Cpu { NOW } else { 0 };
    let host = if spare >= 14 + NOW + HOST { HOST } else { 0 };
    let name = spare - now - host;
    let mut head = left("vm", name)
        + &left(if host > 0 { " host" } else { "" }, host)
        + &right(if now > 0 { "now" } else { "" }, now);
    let shown = shown(cells);
    shown.iter().for_each(|h| head += &right(&state.facts.horizons[*h], CELL));
    put(buf, area, 0, &[(head, ink.faint())]);
    let room = usize::from(area.height).saturating_sub(1);
    for (i, v) in all.iter().skip(top(state, Pane::Vms, room)).take(room).enumerate() {
        let place = left(&format!(" {}", v.host), host);
        let asked = if v.now.is_nan() { "-".into() } else { format!("{:.0}", v.now) };
        let mut pieces = vec![
            (left(&vm_name(&v.name, name), name), ink.plain()),
            (if host > 0 { place } else { String::new() }, ink.faint()),
            (right(if now > 0 { &asked } else { "" }, now), ink.plain()),
        ];
        pieces.extend(shown.iter().map(|h| cell(ink, r, v, *h)));
        put(buf, area, i + 1, &pieces);
    }
}

/// Where few columns fit, the peak is the first to be shown, then the farthest; time runs from left to right.
fn shown(cells: usize) -> &'static [usize] {
    [&[][..], &[0], &[3, 0], &[1, 3, 0], &[1, 2, 3, 0]][cells.min(4)]
}

/// Five shades, each 20 points wide.
fn cell(ink: Ink, r: Resource, v: &HeatRow, horizon: usize) -> (String, Style) {
    let points = v.q95[horizon];
    let shade = ((points / 20.0) as usize).min(4);
    let number = match r.transform() {
        Transform::Points if points.is_nan() => "-".into(),
        Transform::Points => format!("{points:.0}"),
        Transform::Log => rate(r.transform().from_points(points)),
    };
    let text = format!(" {}{}", ["  ", "░░", "▒▒", "▓▓", "██"][shade], right(&number, CELL - 3));
    let colour = [Color::Cyan, Color::Green, Color::Yellow, Color::Magenta, Color::Red][shade];
    (text, ink.of(colour))
}
