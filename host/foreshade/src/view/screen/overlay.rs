//! What stands over the panes: the whole of a feed's line, and the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use super::draw::{Ink, boxed};
use super::state::State;
use super::text::{left, put, wrap};

const LABEL: usize = 13;

const KEYS: [(&str, &str); 13] = [
    ("q, ctrl-c", "end the run; the report so far is written"),
    ("tab", "the next pane; shift-tab the one before"),
    ("enter", "on a line of the feed: the whole reason; on a pane: all of the screen"),
    ("↑ ↓", "scroll; page up, page down, home, end"),
    ("space, p", "hold the feed, or let it run on"),
    ("c m d n", "heat map of cpu, memory, disk, network; d and n again: the other way"),
    ("P", "stop acting, or act again"),
    ("a", "carry out the chosen decision, where it is only advised"),
    ("shades", "of a VM: none, ░, ▒, ▓, █ = q95 below 20, 40, 60, 80, above"),
    ("bars", "of a host: █ now, ▒ q50..q95 of its next 30 min, ▓ both, | limit, ! over it"),
    (
        "q95, peak",
        "what is asked for stays below its q95 95 times of 100; the peak is that of the next 30 min",
    ),
    ("hops", "how long each of the ten steps from sample to decision takes; half, and 99 of 100, are faster"),
    ("esc, ?", "close this"),
];

/// A box in the middle; returns what is inside.
fn middle(state: &State, title: &str, rows: usize, area: Rect, buf: &mut Buffer) -> Rect {
    let width = if area.width > 90 { area.width * 4 / 5 } else { area.width };
    let height = (u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2)).min(area.height);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(place, buf);
    boxed(state, title, true, place, buf)
}

fn laid_out(rows: &[(&str, String)], area: Rect) -> Vec<(String, String)> {
    let width = if area.width > 90 { area.width * 4 / 5 } else { area.width };
    let room = usize::from(width).saturating_sub(LABEL + 4).max(2);
    let line = |(label, text): &(&str, String)| {
        let label = (*label).to_owned();
        let first = std::iter::once(label).chain(std::iter::repeat(String::new()));
        first.zip(wrap(text, room)).collect::<Vec<_>>()
    };
    rows.iter().flat_map(line).collect()
}

fn show(state: &State, title: &str, rows: &[(&str, String)], area: Rect, buf: &mut Buffer) {
    let ink = Ink(state.colour);
    let lines = laid_out(rows, area);
    let inside = middle(state, title, lines.len(), area, buf);
    for (row, (label, text)) in lines.into_iter().enumerate() {
        let label = left(&format!(" {label}"), LABEL.min(usize::from(inside.width)));
        put(buf, inside, row, &[(label, ink.faint()), (text, ink.plain())]);
    }
}

pub(super) fn help(state: &State, area: Rect, buf: &mut Buffer) {
    let rows = KEYS.map(|(k, v)| (k, v.to_owned()));
    show(state, "keys and signs", &rows, area, buf);
}

pub(super) fn detail(state: &State, area: Rect, buf: &mut Buffer) {
    let Some(item) = state.log.at() else { return };
    show(state, "why; esc closes", &item.detail, area, buf);
}
