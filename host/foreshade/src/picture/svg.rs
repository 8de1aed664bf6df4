//! The few shapes that the pictures need, as SVG 1.1. Text is escaped; numbers have one decimal.

use std::fmt::Write;

/// A picture being drawn; y grows downwards.
#[derive(Debug)]
pub(super) struct Svg {
    body: String,
    size: (f32, f32),
}

impl Svg {
    /// `title` is what a screen reader says.
    pub(super) fn new(width: f32, height: f32, title: &str) -> Self {
        let mut svg = Self { body: String::new(), size: (width, height) };
        let _ = writeln!(svg.body, "<title>{}</title>", escaped(title));
        svg.rect((0.0, 0.0), (width, height), "#ffffff");
        svg
    }

    pub(super) fn rect(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), fill: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
        );
    }

    /// `anchor`: start, middle or end.
    pub(super) fn text(&mut self, (x, y): (f32, f32), anchor: &str, fill: &str, text: &str) {
        let text = escaped(text);
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{fill}">{text}</text>"#
        );
    }

    /// `dash`: empty = a whole line.
    pub(super) fn line(&mut self, points: &[(f32, f32)], stroke: &str, width: f32, dash: &str) {
        let at = places(points);
        let _ = writeln!(
            self.body,
            r#"<polyline points="{at}" fill="none" stroke="{stroke}" stroke-width="{width:.1}" stroke-dasharray="{dash}"/>"#
        );
    }

    pub(super) fn area(&mut self, points: &[(f32, f32)], fill: &str) {
        let _ = writeln!(self.body, r#"<polygon points="{}" fill="{fill}"/>"#, places(points));
    }

    pub(super) fn finish(self) -> String {
        let (w, h) = self.size;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h:.0}\" width=\"{w:.0}\" height=\"{h:.0}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n{}</svg>\n",
            self.body
        )
    }
}

fn places(points: &[(f32, f32)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// Names come from files: nothing of them may end up as markup.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_be_markup() {
        let mut svg = Svg::new(10.0, 10.0, "a<b>");
        svg.text((0.0, 0.0), "start", "#000", "</text><script>\u{7}\"&");
        let text = svg.finish();
        assert!(
            text.contains("&lt;/text&gt;&lt;script&gt;&quot;&amp;") && !text.contains("<script"),
            "{text}"
        );
        assert!(text.contains("<title>a&lt;b&gt;</title>") && !text.contains('\u{7}'));
    }
}
