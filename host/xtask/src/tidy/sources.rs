//! What no file of the repository may hold.

use std::path::Path;

use super::{house, none};

/// Longer files hold two subjects.
const LINES_MAX: usize = 900;
/// A clone stays small; larger data comes from FORESHADE_DATA.
const BYTES_MAX: usize = 1_500_000;
/// Kinds of file a person reads top to bottom.
const READ: [&str; 12] = ["rs", "py", "md", "toml", "sh", "cc", "cl", "wgsl", "cpp", "hpp", "h", "yml"];

// Written in two halves, so that this file does not hold what it looks for.
const PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/", "wt"), concat!("/tmp/", "tgt")];
const SKIPS: [&str; 3] = [concat!("#[ign", "ore"), concat!("tod", "o!("), concat!("unimpl", "emented!(")];
const ALLOWS: [&str; 2] =
    [concat!("allow(clippy::unw", "rap_used"), concat!("allow(clippy::too_many_", "lines")];
const PANICS: [&str; 2] = [concat!(".unw", "rap()"), concat!(".exp", "ect(\"")];

fn extension(path: &Path) -> &str {
    path.extension().and_then(|x| x.to_str()).unwrap_or_default()
}

/// Code that ships: `src/` of a crate, up to the first item under `#[cfg(test)]` (`mod x;` there is another file).
fn shipped<'a>(path: &Path, text: &'a str) -> &'a str {
    let parts: Vec<_> = path.iter().filter_map(|p| p.to_str()).collect();
    let is_test = ["tests", "benches", "tidy"].iter().any(|d| parts[1..].contains(d));
    if !parts.contains(&"src") || is_test || parts.last() == Some(&"tests.rs") {
        return "";
    }
    let marks = text.match_indices("#[cfg(test)]").map(|(at, _)| at);
    let item = |at: &usize| text[*at..].lines().nth(1).is_some_and(|l| !l.trim_end().ends_with(';'));
    &text[..marks.into_iter().find(item).unwrap_or(text.len())]
}

/// Rules about text, each complaint with its line.
fn wrong_text(path: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    // A path begins a word: `rack/1/ro…` in an identity is none.
    let starts_word =
        |line: &str, at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
    for (i, line) in text.lines().enumerate() {
        let hit = PATHS.iter().find(|p| line.match_indices(**p).any(|(at, _)| starts_word(line, at)));
        wrong.extend(hit.map(|p| format!("{}:{}: `{p}`: a path of one machine", path.display(), i + 1)));
    }
    let mut scan = |text: &str, banned: &[&str], why: &str| {
        for (i, line) in text.lines().enumerate() {
            let hit = banned.iter().find(|b| line.contains(**b) && !line.trim_start().starts_with("//"));
            wrong.extend(hit.map(|b| format!("{}:{}: `{b}`: {why}", path.display(), i + 1)));
        }
    };
    if extension(path) == "rs" {
        scan(text, &SKIPS, "everything runs, nothing is left open");
        scan(shipped(path, text), &ALLOWS, "lints hold for what ships");
        scan(shipped(path, text), &PANICS, "return an error instead");
    }
    let lines = text.lines().count();
    if READ.contains(&extension(path)) && lines > LINES_MAX {
        wrong.push(format!("{}: {lines} lines, more than {LINES_MAX}: split it by subject", path.display()));
    }
    wrong
}

fn wrong_file(path: &Path, bytes: &[u8]) -> Vec<String> {
    let mut wrong = Vec::new();
    if bytes.len() > BYTES_MAX {
        wrong.push(format!("{}: {} bytes, more than {BYTES_MAX}", path.display(), bytes.len()));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        wrong.extend(wrong_text(path, text));
    }
    wrong
}

#[test]
fn no_file_breaks_the_rules() {
    let house = house();
    let files = house.files().unwrap();
    assert!(files.iter().any(|f| f.ends_with("xtask/src/main.rs")));
    none(files.iter().flat_map(|f| wrong_file(f, &std::fs::read(house.root.join(f)).unwrap())).collect());
}

#[test]
fn each_rule_can_fail() {
    let lib = Path::new("host/a/src/lib.rs");
    let one = |path: &Path, text: String| assert_eq!(wrong_text(path, &text).len(), 1, "{text}");
    one(Path::new("docs/a.md"), format!("see {}x", PATHS[0]));
    assert!(wrong_text(lib, &format!("spiffe://d/rack/1{}a", PATHS[1])).is_empty());
    one(lib, format!("    {}]\nfn f() {{}}", SKIPS[0]));
    one(lib, format!("    {})", SKIPS[1]));
    one(lib, format!("let x = y{};", PANICS[0]));
    one(lib, format!("let x = y{}why\");", PANICS[1]));
    one(lib, format!("#![{})]", ALLOWS[0]));
    one(lib, "x\n".repeat(LINES_MAX + 1));
    assert_eq!(wrong_file(Path::new("a.bin"), &vec![0xFF; BYTES_MAX + 1]).len(), 1);
}

#[test]
fn tests_and_comments_may_panic() {
    let panics = format!("x{};\n", PANICS[0]);
    for path in ["host/a/tests/b.rs", "benches/benches/c.rs", "host/a/src/tests.rs"] {
        assert!(wrong_text(Path::new(path), &panics).is_empty(), "{path}");
    }
    let lib = Path::new("host/a/src/lib.rs");
    assert!(wrong_text(lib, &format!("// {panics}#[cfg(test)]\nmod t {{\n {panics} }}")).is_empty());
    assert_eq!(wrong_text(lib, &format!("#[cfg(test)]\nmod t;\n{panics}")).len(), 1);
}
