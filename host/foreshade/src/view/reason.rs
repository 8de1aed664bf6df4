//! Decisions and ticks as lines of the view, with all that stands behind them.

use std::collections::BTreeMap;

use foreshade_types::{Action, Decision, HoldReason, VmId};

use super::screen::{Item, Kind};
use super::what;

/// Why a decision was taken: label and text, one row each.
pub(crate) fn rows(d: &Decision) -> Vec<(&'static str, String)> {
    let r = &d.reason;
    let mut rows = vec![("rule", r.rule.text().to_owned()), ("compared", r.compared())];
    if r.worth.is_told() {
        rows.push(("worth", r.worth.to_string().trim_start_matches("worth ").to_owned()));
    }
    rows.extend(r.rejected.iter().map(|x| ("not", format!("{}: {}", x.alternative.name(), x.why.text()))));
    rows
}

/// What is done, in words.
pub(crate) fn action(d: &Decision) -> String {
    let what = what(d);
    if what.is_empty() { d.action.name().into() } else { format!("{} {what}", d.action.name()) }
}

/// Decisions as lines: resizes, the smallest first, then what moves load or makes ready to.
pub(crate) fn items(decisions: &[Decision], name: impl Fn(VmId) -> String, when: &str) -> Vec<Item> {
    let mut sorted: Vec<_> = decisions.iter().collect();
    sorted.sort_by_key(|d| {
        let resize = matches!(d.action, Action::PreAllocate { .. } | Action::GiveBack { .. });
        (!resize, d.reason.predicted.abs_diff(d.reason.threshold), d.rack, d.seq)
    });
    sorted.into_iter().map(|d| item(d, &name(d.vm), when)).collect()
}

/// A decision as a line of the feed. `when`: its tick, as people call it.
pub(crate) fn item(d: &Decision, vm: &str, when: &str) -> Item {
    let mut detail = vec![
        ("decision", format!("{}, {when}", d.id())),
        ("vm", format!("{vm} ({}) on {}, {}", d.vm, d.observed_host, d.rack)),
        ("action", action(d)),
    ];
    detail.extend(rows(d));
    detail.push(("valid until", format!("{:.2} h", d.expires_at_ms as f64 / 3.6e6)));
    let (what, name) = (what(d), d.action.name());
    let space = if what.is_empty() { "" } else { " " };
    let text = format!("  {name} {vm}{space}{what}: {}", d.reason);
    Item { kind: Kind::Decision, text, detail, id: Some(d.id()) }
}

/// A tick as a line of the feed.
pub(crate) fn tick(when: &str, decisions: &[Decision], holds: &BTreeMap<HoldReason, u64>) -> Item {
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    decisions.iter().for_each(|d| *by_name.entry(d.action.name()).or_default() += 1);
    let done: Vec<_> = by_name.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let done = if done.is_empty() { "nothing to do".to_owned() } else { done.join(", ") };
    let held: u64 = holds.values().sum();
    let mut detail =
        vec![("tick", when.to_owned()), ("done", done.clone()), ("left alone", held.to_string())];
    detail.extend(holds.iter().map(|(why, n)| ("", format!("{n}: {}", why.text()))));
    Item { kind: Kind::Tick, text: format!("{when}: {done}; held {held}"), detail, id: None }
}
