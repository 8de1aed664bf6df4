//! Hosts and racks: what is asked of each now and the band of its next 30 min, against what it has and its limit.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::draw::{Ink, top};
use super::state::{LoadRow, Pane, State};
use super::text::{left, put, right};

/// The bar ends at this share of what a host has, so that what runs over is seen.
const SCALE_PERCENT: u64 = 125;
const NAME: usize = 7;
const NOW: usize = 6;
const BAND: usize = 9;

pub(super) fn title(state: &State) -> String {
    if state.facts.loads.is_empty() {
        return "hosts".into();
    }
    format!("cores now, peak q50..95; | {} %", state.facts.limit_percent)
}

pub(super) fn rows(state: &State, area: Rect, buf: &mut Buffer) {
    let ink = Ink(state.colour);
    let room = usize::from(area.height);
    if state.facts.loads.is_empty() {
        return put(buf, area, 0, &[("no decision yet".into(), ink.plain())]);
    }
    let fixed = NAME + NOW + BAND + 2;
    let columns = usize::from(area.width);
    let width = columns.saturating_sub(fixed).clamp(0, 60);
    let limit = state.facts.limit_percent;
    for (i, h) in state.facts.loads.iter().skip(top(state, Pane::Hosts, room)).take(room).enumerate() {
        let over = h.peak_mc.1 > h.has_mc * limit / 100;
        let style = match (h.up, over) {
            (false, _) => ink.faint(),
            (_, true) => ink.alarm(),
            _ if h.rack => ink.strong(),
            _ => ink.plain(),
        };
        let name = if h.rack { h.name.clone() } else { format!(" {}", h.name) };
        let cores = |mc: u64, digits: usize| format!("{:.digits$}", mc as f64 / 1e3);
        let band = format!("{}..{}", cores(h.peak_mc.0, 0), cores(h.peak_mc.1, 0));
        let now = cores(h.now_mc, usize::from(!h.rack));
        let mut pieces = vec![(left(&name, NAME), style)];
        if h.up {
            pieces.extend(bar(h, limit, width).into_iter().map(|(c, loaded)| {
                let colour = if over {
                    Color::Red
                } else if loaded {
                    Color::Cyan
                } else {
                    Color::Blue
                };
                (c.to_string(), ink.of(colour))
            }));
        } else {
            pieces.push((left("lost", width), style));
        }
        pieces.push((right(&now, NOW) + &right(&band, BAND), style));
        pieces.push((if over { " !" } else { "  " }.into(), style));
        put(buf, area, i, &pieces);
    }
}

/// A cell is full up to what is asked now, shaded where the band is, `|` where the limit is. True = within what is asked.
fn bar(h: &LoadRow, limit_percent: u64, width: usize) -> Vec<(char, bool)> {
    let scale = (h.has_mc * SCALE_PERCENT / 100).max(1) as f64;
    let at = |mc: u64| mc as f64 * width as f64 / scale;
    let limit = at(h.has_mc * limit_percent / 100) as usize;
    let cell = |i: usize| {
        let middle = i as f64 + 0.5;
        let (loaded, band) = (middle < at(h.now_mc), (at(h.peak_mc.0)..at(h.peak_mc.1)).contains(&middle));
        let last = i + 1 == width && at(h.now_mc.max(h.peak_mc.1)) > width as f64;
        let c = match (loaded, band) {
            _ if last => '>',
            _ if i == limit => '|',
            (true, true) => '▓',
            (true, false) => '█',
            (false, true) => '▒',
            (false, false) if middle < at(h.peak_mc.0) => '░',
            (false, false) => ' ',
        };
        (c, loaded)
    };
    (0..width).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(now_mc: u64, peak_mc: (u64, u64)) -> LoadRow {
        LoadRow { name: "host0".into(), rack: false, has_mc: 32_000, now_mc, peak_mc, up: true }
    }

    fn text(h: &LoadRow) -> String {
        bar(h, 90, 20).into_iter().map(|(c, _)| c).collect()
    }

    #[test]
    fn the_bar_shows_load_band_and_limit() {
        // 40 cores wide, two a cell: 16 asked for, 20..24 ahead, the limit at 28.8.
        assert_eq!(text(&row(16_000, (20_000, 24_000))), "████████░░▒▒  |     ");
        assert_eq!(text(&row(22_000, (20_000, 24_000))), "██████████▓▒  |     ");
        assert!(text(&row(16_000, (20_000, 50_000))).ends_with('>'), "what runs off the scale is marked");
    }
}
