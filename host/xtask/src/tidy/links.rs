//! Every relative link of a Markdown page leads to something that is there.

use std::path::Path;

use super::{house, none};

/// Targets of `[text](target)`, code left out.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        // Text between backticks is code: every second piece.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for piece in prose.split("](").skip(1) {
            if let Some((target, _)) = piece.split_once(')') {
                found.push(target.split_whitespace().next().unwrap_or_default().to_string());
            }
        }
    }
    found
}

fn is_relative(target: &str) -> bool {
    !target.starts_with('#') && !target.contains("://") && !target.starts_with("mailto:")
}

fn dead(root: &Path, page: &Path, text: &str) -> Vec<String> {
    let dir = root.join(page).parent().map(Path::to_path_buf).unwrap_or_default();
    let targets = links(text).into_iter().filter(|t| is_relative(t));
    targets
        .filter(|t| !dir.join(t.split('#').next().unwrap_or_default()).exists())
        .map(|t| format!("{}: link to {t}, which is not there", page.display()))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let house = house();
    let files = house.files().unwrap();
    let pages: Vec<_> = files.iter().filter(|f| f.extension().is_some_and(|x| x == "md")).collect();
    assert!(!pages.is_empty());
    none(pages.iter().flat_map(|p| dead(&house.root, p, &house.read(p).unwrap())).collect());
}

#[test]
fn links_are_read_from_prose_only() {
    let text = "a [b](c.md#d) and ![e](f.png \"title\")\n```\n[no](no)\n```\n    [no](no)\n`[no](no)` [g](https://h)\n";
    assert_eq!(links(text), ["c.md#d", "f.png", "https://h"]);
}

#[test]
fn a_dead_link_is_seen() {
    let house = house();
    let page = Path::new("docs/x.md");
    assert_eq!(dead(&house.root, page, "[a](status.md) [b](../Cargo.toml#x) [c](#top)").len(), 0);
    assert_eq!(dead(&house.root, page, "[a](no-such-page.md)").len(), 1);
}
