//! Text in so many columns.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

/// Columns that a text takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Span::raw(text).width() }
}

/// A text in at most `columns`; one that is longer ends in "…".
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += width(c.encode_utf8(&mut [0; 4]));
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// A name in at most `columns`: names of a fleet differ at their ends, so the middle is what goes.
pub(super) fn name(text: &str, columns: usize) -> String {
    if width(text) <= columns || columns < 8 {
        return fit(text, columns);
    }
    let head = fit(text, columns / 3);
    let room = columns - width(&head);
    let tail = text.char_indices().map(|(i, _)| &text[i..]).find(|t| width(t) <= room).unwrap_or_default();
    head + tail
}

/// [`fit`], filled up with blanks on the right.
pub(super) fn left(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let pad = columns - width(&text).min(columns);
    text + &" ".repeat(pad)
}

/// [`fit`], filled up with blanks on the left.
pub(super) fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let pad = columns - width(&text).min(columns);
    " ".repeat(pad) + &text
}

/// A text in lines of at most `columns`, broken at blanks where there are any.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    if width(text) <= columns {
        return vec![text.to_owned()];
    }
    let mut lines = vec![];
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word;
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        // A word that is longer than a line is cut where the line ends.
        while line.is_empty() && width(word) > columns && columns > 1 {
            let end =
                (1..word.len()).rev().find(|i| word.is_char_boundary(*i) && width(&word[..*i]) <= columns);
            let (head, tail) = word.split_at(end.unwrap_or(word.len()));
            lines.push(head.to_owned());
            word = tail;
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Pieces of a line, one after the other, within `area`'s row `row`.
pub(super) fn put(buf: &mut Buffer, area: Rect, row: usize, pieces: &[(String, Style)]) {
    let Ok(row) = u16::try_from(row) else { return };
    if row >= area.height {
        return;
    }
    let (mut x, y) = (area.x, area.y + row);
    for (text, style) in pieces {
        let room = area.right().saturating_sub(x);
        if room == 0 {
            return;
        }
        x = buf.set_stringn(x, y, fit(text, usize::from(room)), usize::from(room), *style).0;
    }
}

/// Bytes a second from KB/s, in three or four columns: 950K, 1.2M, 35M, 1.2G.
pub(super) fn rate(kbs: f32) -> String {
    let (value, unit) = match kbs {
        x if x.is_nan() => return "-".into(),
        x if x < 999.5 => return format!("{x:.0}K"),
        x if x < 999_500.0 => (x / 1e3, "M"),
        x => (x / 1e6, "G"),
    };
    if value < 9.95 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so_and_keeps_its_columns() {
        assert_eq!(fit("web-7", 5), "web-7");
        assert_eq!(fit("web-70", 5), "web-…");
        assert_eq!(fit("网络服务", 5), "网络…");
        assert_eq!(width(&fit("网络服务", 4)), 3, "half of a wide letter is none");
        assert_eq!((fit("ab", 1), fit("ab", 0)), ("…".into(), String::new()));
        assert_eq!((name("vm_5017010629_4", 12), name("web", 2)), ("vm_…010629_4".into(), "w…".into()));
        assert_eq!((left("ab", 4), right("ab", 4)), ("ab  ".into(), "  ab".into()));
    }

    #[test]
    fn lines_break_at_blanks_and_never_run_over() {
        assert_eq!(wrap("forecast exceeds allocation", 16), ["forecast exceeds", "allocation"]);
        let cut = wrap("a_name_that_is_much_longer_than_a_line ends", 10);
        assert!(cut.iter().all(|l| width(l) <= 10), "{cut:?}");
        assert_eq!(cut.concat(), "a_name_that_is_much_longer_than_a_lineends");
    }

    #[test]
    fn rates_keep_their_unit() {
        let told: Vec<_> = [0.0, 950.0, 999.9, 1234.0, 35_400.0, 1_240_000.0].map(rate).into();
        assert_eq!(told, ["0K", "950K", "1.0M", "1.2M", "35M", "1.2G"]);
    }
}
