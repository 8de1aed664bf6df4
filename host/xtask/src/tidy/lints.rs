//! Lints and toolchain: on in every crate, and the compiler in use is the pinned one.

use toml::Table;

use super::{house, none};

/// Lints that must be denied for the whole workspace.
const DENIED: [&str; 5] = ["undocumented_unsafe_blocks", "unwrap_used", "todo", "unimplemented", "dbg_macro"];

fn workspace_lints(root: &Table) -> Vec<String> {
    let clippy = |lint: &str| root.get("workspace")?.get("lints")?.get("clippy")?.get(lint)?.as_str();
    let missing = DENIED.iter().filter(|l| clippy(l) != Some("deny"));
    missing.map(|l| format!("Cargo.toml: [workspace.lints.clippy] does not deny {l}")).collect()
}

fn member_lints(name: &str, manifest: &Table) -> Option<String> {
    let on = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(|w| w.as_bool());
    // Without the line cargo applies no lint and says nothing.
    (on != Some(true)).then(|| format!("{name}/Cargo.toml has no `[lints] workspace = true`"))
}

fn members(root: &Table) -> Vec<String> {
    let list = root.get("workspace").and_then(|w| w.get("members")).and_then(|m| m.as_array());
    list.into_iter().flatten().filter_map(|m| m.as_str().map(String::from)).collect()
}

fn toolchain_differs(pinned: &Table, rustc: &str) -> Option<String> {
    let channel = pinned.get("toolchain").and_then(|t| t.get("channel")).and_then(|c| c.as_str())?;
    let used = rustc.split_whitespace().nth(1).unwrap_or_default();
    (channel != used).then(|| format!("rust-toolchain.toml pins {channel}, but rustc is {used}"))
}

fn manifest(path: &str) -> Table {
    house().read(path).unwrap().parse().unwrap()
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    let root = manifest("Cargo.toml");
    let mut wrong = workspace_lints(&root);
    let members = members(&root);
    assert!(members.len() > 10, "{members:?}");
    wrong.extend(members.iter().filter_map(|m| member_lints(m, &manifest(&format!("{m}/Cargo.toml")))));
    none(wrong);
}

#[test]
fn the_compiler_is_the_pinned_one() {
    let out = house().command("rustc").arg("--version").output().unwrap();
    let pinned = manifest("rust-toolchain.toml");
    assert!(pinned.contains_key("toolchain"));
    none(toolchain_differs(&pinned, &String::from_utf8(out.stdout).unwrap()).into_iter().collect());
}

#[test]
fn a_lint_that_is_off_is_seen() {
    let root: Table = "[workspace.lints.clippy]\nunwrap_used = 'warn'\ntodo = 'deny'\n".parse().unwrap();
    assert_eq!(workspace_lints(&root).len(), DENIED.len() - 1);
    assert!(member_lints("m", &"[lints]\nworkspace = true\n".parse().unwrap()).is_none());
    assert!(member_lints("m", &"[package]\nname = 'm'\n".parse().unwrap()).is_some());
}

#[test]
fn another_compiler_is_seen() {
    let pinned: Table = "[toolchain]\nchannel = '1.95.0'\n".parse().unwrap();
    assert!(toolchain_differs(&pinned, "rustc 1.95.0 (abc 2026-04-14)").is_none());
    assert!(toolchain_differs(&pinned, "rustc 1.96.0 (abc)").is_some());
}
