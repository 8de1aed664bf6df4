//! A state as a frame: where things stand. What stands there is drawn by the panes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Block, BorderType, Widget};

use super::log::{Item, Kind};
use super::state::{Pane, Stage, State};
use super::text::{fit, left, put, right, width};
use super::{heat, hosts, overlay, side};

/// Below this many columns or rows one pane takes all of the screen.
const GRID_MIN: (u16, u16) = (70, 15);

/// Styles: the same frame can be read without any colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink(pub(super) bool);

impl Ink {
    pub(super) fn of(self, colour: Color) -> Style {
        if self.0 { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn alarm(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }
}

/// Draws a state. Any size will do: what does not fit is left out.
pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return;
    }
    let head = if area.height >= 8 { 2 } else { u16::from(area.height >= 3) };
    let foot = u16::from(area.height >= 5);
    let body = Rect { y: area.y + head, height: area.height - head - foot, ..area };
    header(state, Rect { height: head, ..area }, buf);
    footer(state, Rect { y: body.bottom(), height: foot, ..area }, buf);
    panes(state, body, buf);
    if state.help {
        overlay::help(state, body, buf);
    } else if state.detail {
        overlay::detail(state, body, buf);
    }
}

/// What runs, on what, how far; and the sums.
fn header(state: &State, area: Rect, buf: &mut Buffer) {
    let (ink, f) = (Ink(state.colour), &state.facts);
    let columns = usize::from(area.width);
    let of = if f.tick.1 > 0 { format!("/{}", f.tick.1) } else { String::new() };
    let clock = format!("[{:.2} h] tick {}{of} ", f.hours, f.tick.0);
    let room = columns.saturating_sub(width(&clock) + 1);
    let title = fit(&format!(" {}", f.title), room);
    let subject = left(&format!("  {}", f.subject), room - width(&title));
    let pieces = [(title, ink.strong()), (subject, ink.plain()), (format!(" {clock}"), ink.plain())];
    put(buf, area, 0, &pieces);
    let (done, total) = f.done;
    let share = if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) };
    let gauge = (columns / 5).min(24);
    let full = (share * gauge as f64) as usize;
    let left_s = f.left_s.filter(|_| matches!(f.stage, Stage::WarmUp | Stage::Running));
    let left_s = left_s.map_or_else(String::new, |s| format!(", {s:.0} s left"));
    let (bar, said) = match total {
        0 => (String::new(), " from a journal".into()),
        _ => (
            format!(" {}{}", "█".repeat(full), "░".repeat(gauge - full)),
            format!(" {:3.0} %{left_s}  {}", 100.0 * share, f.stage.text()),
        ),
    };
    let decided: u64 = f.decided.values().sum();
    let advised = if f.advised > 0 { format!(", {} advised", f.advised) } else { String::new() };
    // What has no samples, as a journal, knows of no shadows.
    let shadows = if total > 0 { format!(", {} shadows", f.shadows.len()) } else { String::new() };
    let sums = format!("{decided} decided{advised}, {} held{shadows} ", f.held);
    let room = columns.saturating_sub(width(&bar) + width(&said) + 2);
    let sums = format!("  {}", right(&sums, room));
    put(buf, area, 1, &[(bar, ink.of(Color::Cyan)), (said, ink.plain()), (sums, ink.plain())]);
}

/// Keys, or what the last one could not do.
fn footer(state: &State, area: Rect, buf: &mut Buffer) {
    let ink = Ink(state.colour);
    if !state.said.is_empty() {
        return put(buf, area, 0, &[(format!(" {}", state.said), ink.strong())]);
    }
    let mut pieces = vec![];
    if state.facts.stage == Stage::Done {
        let text = " done; q leaves the view ";
        pieces.push((text.to_owned(), ink.strong()));
    }
    let quit = [("q", "quit")].into_iter().filter(|_| state.facts.stage != Stage::Done);
    let keys = [
        ("?", "help"),
        ("tab", "pane"),
        ("↑↓", "scroll"),
        ("enter", "why"),
        ("space", "hold"),
        ("cmdn", "resource"),
        ("P", "pause acting"),
        ("a", "approve"),
    ];
    let mut used = pieces.iter().map(|(text, _): &(String, Style)| width(text)).sum::<usize>();
    for (key, what) in quit.chain(keys) {
        let (key, what) = (format!(" {key}"), format!(" {what} "));
        used += width(&key) + width(&what);
        // Half a key helps nobody; the help has them all.
        if used > usize::from(area.width) {
            break;
        }
        pieces.extend([(key, ink.strong()), (what, ink.faint())]);
    }
    put(buf, area, 0, &pieces);
}

fn panes(state: &State, area: Rect, buf: &mut Buffer) {
    if state.zoom || area.width < GRID_MIN.0 || area.height < GRID_MIN.1 {
        return pane(state, state.pane, area, buf);
    }
    // The ten hops and their border take twelve rows, with a heading thirteen.
    let low = if area.height < 24 { 12 } else { 13.max(area.height * 9 / 20) };
    let (high, wide) = (area.height - low, area.width * 11 / 20);
    let narrow = (area.width * 9 / 25).clamp(34, 60);
    let top = Rect { height: high, ..area };
    let bottom = Rect { y: area.y + high, height: low, ..area };
    let split = |r: Rect, at: u16| (Rect { width: at, ..r }, Rect { x: r.x + at, width: r.width - at, ..r });
    let (vms, loads) = split(top, wide);
    let (feed, rest) = split(bottom, area.width - narrow);
    for (which, place) in [(Pane::Vms, vms), (Pane::Hosts, loads), (Pane::Feed, feed), (state.side(), rest)] {
        pane(state, which, place, buf);
    }
}

/// A frame with a title; returns what is inside.
pub(super) fn boxed(state: &State, title: &str, focus: bool, area: Rect, buf: &mut Buffer) -> Rect {
    if area.height < 3 || area.width < 4 {
        return area;
    }
    let ink = Ink(state.colour);
    let title = fit(title, usize::from(area.width) - 4);
    let (style, border) =
        if focus { (ink.strong(), BorderType::Thick) } else { (ink.plain(), BorderType::Plain) };
    let block = Block::bordered().border_type(border).title(format!(" {title} ")).title_style(style);
    let inside = block.inner(area);
    block.render(area, buf);
    inside
}

fn pane(state: &State, which: Pane, area: Rect, buf: &mut Buffer) {
    let title = match which {
        Pane::Vms => heat::title(state),
        Pane::Hosts => hosts::title(state),
        Pane::Feed => feed_title(state),
        side => side::title(side),
    };
    let inside = boxed(state, &title, state.pane == which, area, buf);
    if inside.is_empty() {
        return;
    }
    let empty = which != Pane::Feed && state.rows(which) == 0;
    if let Some(note) = state.facts.notes.get(&which).filter(|_| empty) {
        let lines = note.iter().flat_map(|l| super::text::wrap(l, usize::from(inside.width)));
        for (row, line) in lines.enumerate() {
            put(buf, inside, row, &[(line, Style::new())]);
        }
        return;
    }
    match which {
        Pane::Vms => heat::rows(state, inside, buf),
        Pane::Hosts => hosts::rows(state, inside, buf),
        Pane::Feed => feed(state, inside, buf),
        Pane::Hops => side::hops(state, inside, buf),
        Pane::Shadows => side::shadows(state, inside, buf),
        Pane::Outlook => side::outlook(state, inside, buf),
    }
}

fn feed_title(state: &State) -> String {
    match (state.log.paused(), state.log.unseen()) {
        (true, 0) => "decisions (standing still; end goes on)".into(),
        (true, n) => format!("decisions (standing still, {n} more below; end goes on)"),
        (false, _) => "decisions".into(),
    }
}

fn feed(state: &State, area: Rect, buf: &mut Buffer) {
    let ink = Ink(state.colour);
    let (items, chosen) = state.log.window(usize::from(area.height));
    for (row, item) in items.enumerate() {
        let mark = if chosen == Some(row) { "▸" } else { " " };
        let text = left(&format!("{mark}{}", item.text), usize::from(area.width));
        let style = if chosen == Some(row) { ink.chosen() } else { of_kind(ink, item) };
        put(buf, area, row, &[(text, style)]);
    }
}

fn of_kind(ink: Ink, item: &Item) -> Style {
    match item.kind {
        Kind::Tick => ink.strong(),
        Kind::Decision => ink.plain(),
        Kind::Hold => ink.of(Color::Yellow),
        Kind::Alert => ink.of(Color::Magenta),
        Kind::Refused => ink.alarm(),
    }
}

/// The first row shown of a pane with so many, so that the last page is full.
pub(super) fn top(state: &State, pane: Pane, room: usize) -> usize {
    let most = state.rows(pane).saturating_sub(room);
    state.top.get(&pane).copied().unwrap_or(0).min(most)
}
