//! The panes that share a place: hops, shadows, racks ahead.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draw::{Ink, top};
use super::state::{Pane, State};
use super::text::{left, name as vm_name, put, right};

pub(super) fn title(pane: Pane) -> String {
    let mark = |p: Pane, name: &str| if p == pane { name.to_uppercase() } else { name.to_owned() };
    let names = [(Pane::Hops, "hops"), (Pane::Shadows, "shadows"), (Pane::Outlook, "outlook")];
    names.map(|(p, name)| mark(p, name)).join(" · ")
}

/// A duration of so many microseconds in the unit that leaves three digits or fewer.
fn time(us: f64) -> String {
    match us {
        u if u < 999.5 => format!("{u:.0} µs"),
        u if u < 9_950.0 => format!("{:.1} ms", u / 1e3),
        u if u < 999_500.0 => format!("{:.0} ms", u / 1e3),
        u => format!("{:.1} s", u / 1e6),
    }
}

/// A table: a heading where there is room for one, and what fits of the rows.
fn table(state: &State, pane: Pane, area: Rect, buf: &mut Buffer, head: &str, rows: Vec<String>) {
    let ink = Ink(state.colour);
    let mut room = usize::from(area.height);
    let mut row = 0;
    if room > rows.len() || rows.len() > 10 {
        put(buf, area, 0, &[(head.to_owned(), ink.faint())]);
        (row, room) = (1, room.saturating_sub(1));
    }
    for (i, text) in rows.into_iter().skip(top(state, pane, room)).take(room).enumerate() {
        put(buf, area, row + i, &[(text, ink.plain())]);
    }
}

pub(super) fn hops(state: &State, area: Rect, buf: &mut Buffer) {
    let name = usize::from(area.width).saturating_sub(16).min(24);
    let line = |a: &str, b: &str, c: &str| left(a, name) + &right(b, 8) + &right(c, 8);
    let rows = state.facts.hops.iter().map(|(hop, p50, p99)| line(hop, &time(*p50), &time(*p99)));
    table(state, Pane::Hops, area, buf, &line("hop", "p50", "p99"), rows.collect());
}

pub(super) fn shadows(state: &State, area: Rect, buf: &mut Buffer) {
    if state.facts.shadows.is_empty() {
        return put(buf, area, 0, &[("no shadow now".into(), Ink(state.colour).plain())]);
    }
    // Where a shadow is and what it is given stand where there is room for it.
    let host = if area.width >= 46 { 8 } else { 0 };
    let cores = if area.width >= 38 { 6 } else { 0 };
    let name = usize::from(area.width).saturating_sub(14 + cores + 6 + host).min(28);
    let line = |a: &str, b: &str, h: &str, c: &str, d: &str| {
        let (h, c) = (if host > 0 { h } else { "" }, if cores > 0 { c } else { "" });
        left(a, name) + &left(&format!(" {b}"), 14) + &left(h, host) + &right(c, cores) + &right(d, 6)
    };
    let rows = state.facts.shadows.iter().map(|s| {
        let cores = format!("{:.2}", s.size_mc as f64 / 1e3);
        line(&vm_name(&s.vm, name), s.phase, &s.host, &cores, &format!("{} %", s.share_percent))
    });
    table(state, Pane::Shadows, area, buf, &line("vm", "phase", "host", "cores", "load"), rows.collect());
}

pub(super) fn outlook(state: &State, area: Rect, buf: &mut Buffer) {
    if state.facts.ahead.is_empty() {
        return put(
            buf,
            area,
            0,
            &[("nothing is known of the hours ahead yet".into(), Ink(state.colour).plain())],
        );
    }
    let name = usize::from(area.width).saturating_sub(7 + 11).min(26);
    let line = |a: &str, b: &str, c: &str| left(a, name) + &right(b, 7) + &right(c, 11);
    let cores = |mc: u64| format!("{:.0}", mc as f64 / 1e3);
    let rows = state.facts.ahead.iter().map(|r| {
        let (q05, q50, q95) = r.band_mc;
        line(&format!("{} {}", r.rack, r.what), &cores(q50), &format!("{}..{}", cores(q05), cores(q95)))
    });
    table(state, Pane::Outlook, area, buf, &line("rack, cores", "q50", "q05..q95"), rows.collect());
}
