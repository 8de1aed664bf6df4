//! docs/status.md says of every feature how far it is, and what it says of tests and mutants is true.

use std::collections::{BTreeMap, BTreeSet};

use super::{house, none};
use crate::bite;

/// One row of the table.
#[derive(Debug, Clone)]
struct Row {
    id: String,
    feature: String,
    state: String,
    tests: Vec<String>,
    mutants: Vec<String>,
}

/// (id, feature) of docs/features.txt.
fn features(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.filter_map(|l| l.split_once("  ")).map(|(a, b)| (a.into(), b.into())).collect()
}

/// Comma separated names, backticks dropped.
fn names(cell: &str) -> Vec<String> {
    cell.split(',').map(|n| n.trim().trim_matches('`').to_string()).filter(|n| !n.is_empty()).collect()
}

fn rows(page: &str) -> Vec<Row> {
    let section = page.split("\n## ").find(|s| s.starts_with("Features")).unwrap_or_default();
    let cells = section.lines().filter_map(|l| l.strip_prefix("| ")?.strip_suffix('|'));
    let cells = cells.map(|l| l.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .filter(|c| c[0] != "id")
        .map(|c| {
            let cell = |i: usize| c.get(i).copied().unwrap_or_default();
            Row {
                id: cell(0).into(),
                feature: cell(1).into(),
                state: cell(2).into(),
                tests: names(cell(3)),
                mutants: names(cell(4)),
            }
        })
        .collect()
}

/// Every feature has exactly one row, in order and in the same words.
fn wrong_list(features: &[(String, String)], rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut count: BTreeMap<&str, u32> = BTreeMap::new();
    for r in rows {
        *count.entry(&r.id).or_default() += 1;
    }
    for (id, feature) in features {
        match count.remove(id.as_str()) {
            Some(1) => {}
            n => wrong.push(format!("{id} has {} rows, not one", n.unwrap_or(0))),
        }
        let said = rows.iter().find(|r| r.id == *id).map(|r| &r.feature);
        if said.is_some_and(|s| s != feature) {
            wrong.push(format!("{id} is worded differently in docs/features.txt"));
        }
    }
    wrong.extend(count.keys().map(|id| format!("{id} is no feature of docs/features.txt")));
    let order = |ids: Vec<&str>| ids.join(" ");
    if wrong.is_empty()
        && order(rows.iter().map(|r| &*r.id).collect()) != order(features.iter().map(|f| &*f.0).collect())
    {
        wrong.push("the rows are not in the order of docs/features.txt".into());
    }
    wrong
}

/// What a row says of itself: `source(path)` gives a file's text, `bites` the rows each mutant bears on.
fn wrong_row(
    row: &Row,
    source: &dyn Fn(&str) -> Option<String>,
    bites: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let id = &row.id;
    for test in &row.tests {
        let Some((path, name)) = test.split_once("::") else {
            wrong.push(format!("{id}: `{test}` is not written path::test_name"));
            continue;
        };
        let name = name.rsplit("::").next().unwrap_or_default();
        match source(path) {
            None => wrong.push(format!("{id}: no file {path}")),
            Some(text) if !text.contains(&format!("fn {name}(")) => {
                wrong.push(format!("{id}: no `fn {name}` in {path}"));
            }
            Some(_) => {}
        }
    }
    for mutant in &row.mutants {
        match bites.get(mutant) {
            None => wrong.push(format!("{id}: no mutant {mutant} in bite/*.toml")),
            Some(ids) if !ids.contains(id) => {
                wrong.push(format!("{id}: mutant {mutant} does not name the row"))
            }
            Some(_) => {}
        }
    }
    match row.state.split_once(" - ").map_or((row.state.as_str(), ""), |(s, why)| (s, why.trim())) {
        ("done", _) if row.tests.is_empty() => wrong.push(format!("{id} is done, but names no test")),
        ("done", _) if row.mutants.is_empty() => wrong.push(format!("{id} is done, but names no mutant")),
        ("partial", "") => wrong.push(format!("{id} is partial, but does not say what is missing")),
        ("not built", _) if !row.tests.is_empty() => {
            wrong.push(format!("{id} is not built, but names a test"))
        }
        ("done" | "partial" | "not built", _) => {}
        (state, _) => wrong.push(format!("{id}: `{state}` is not done, partial or not built")),
    }
    wrong
}

#[test]
fn every_feature_has_one_true_row() {
    let house = house();
    let features = features(&house.read("docs/features.txt").unwrap());
    assert_eq!(features.len(), 116);
    let rows = rows(&house.read("docs/status.md").unwrap());
    let bites: BTreeMap<_, _> = bite::load(&house).unwrap().into_iter().map(|m| (m.name, m.rows)).collect();
    let mut wrong = wrong_list(&features, &rows);
    wrong.extend(rows.iter().flat_map(|r| wrong_row(r, &|p| house.read(p).ok(), &bites)));
    none(wrong);
}

#[test]
fn mutants_fit_the_sources() {
    let house = house();
    let ids: BTreeSet<String> =
        features(&house.read("docs/features.txt").unwrap()).into_iter().map(|f| f.0).collect();
    let mut wrong = Vec::new();
    for m in bite::load(&house).unwrap() {
        let text = house.read(&m.file).unwrap_or_default();
        if let Err(why) = bite::mutate(&text, &m.find, &m.replace) {
            wrong.push(format!("mutant {}: {}: {why}", m.name, m.file));
        }
        let unknown = m.rows.iter().filter(|r| !ids.contains(*r));
        wrong.extend(unknown.map(|r| format!("mutant {}: no feature {r}", m.name)));
        if m.rows.is_empty() {
            wrong.push(format!("mutant {} bears on no feature", m.name));
        }
    }
    none(wrong);
}

fn page(lines: &str) -> Vec<Row> {
    rows(&format!(
        "# x\n\n## Features\n\n| id | feature | state | test | mutant |\n|---|---|---|---|---|\n{lines}\n## Next\n| Z9 | no | no | | |\n"
    ))
}

#[test]
fn a_row_is_there_once_in_order_and_in_the_same_words() {
    let list = features("# head\nA1  one\nA2  two\n");
    let wrong = |lines: &str| wrong_list(&list, &page(lines)).len();
    assert_eq!(wrong("| A1 | one | done | | |\n| A2 | two | done | | |"), 0);
    assert_eq!(wrong("| A1 | one | done | | |"), 1);
    assert_eq!(wrong("| A1 | one | done | | |\n| A1 | one | done | | |\n| A2 | two | done | | |"), 1);
    assert_eq!(wrong("| A2 | two | done | | |\n| A1 | one | done | | |"), 1);
    assert_eq!(wrong("| A1 | uno | done | | |\n| A2 | two | done | | |"), 1);
    assert_eq!(wrong("| A1 | one | done | | |\n| A2 | two | done | | |\n| A3 | x | done | | |"), 1);
}

#[test]
fn a_done_row_names_a_test_and_a_mutant_that_exist() {
    let bites = BTreeMap::from([("bitten".to_string(), vec!["A1".to_string()])]);
    let source = |p: &str| (p == "t.rs").then(|| "fn proves() {}".to_string());
    let wrong = |cells: &str| wrong_row(&page(&format!("| A1 | one | {cells} |"))[0], &source, &bites).len();
    assert_eq!(wrong("done | `t.rs::proves` | `bitten`"), 0);
    assert_eq!(wrong("done | | `bitten`"), 1);
    assert_eq!(wrong("done | `t.rs::proves` | "), 1);
    assert_eq!(wrong("done | `t.rs::pro` | `bitten`"), 1);
    assert_eq!(wrong("done | `u.rs::proves` | `bitten`"), 1);
    assert_eq!(wrong("done | proves | `bitten`"), 1);
    assert_eq!(wrong("done | `t.rs::proves` | `unknown`"), 1);
    assert_eq!(wrong("partial | | "), 1);
    assert_eq!(wrong("partial - no disk | `t.rs::proves` | "), 0);
    assert_eq!(wrong("not built | `t.rs::proves` | "), 1);
    assert_eq!(wrong("perhaps | | "), 1);
}

#[test]
fn a_mutant_is_used_only_for_rows_it_bears_on() {
    let bites = BTreeMap::from([("bitten".to_string(), vec!["A2".to_string()])]);
    let rows = page("| A1 | one | partial - x | | bitten |");
    assert_eq!(wrong_row(&rows[0], &|_| None, &bites).len(), 1);
}
