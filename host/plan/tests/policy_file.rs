//! Policy files: what is wrong is said with its line and what would be right; and what is said about settings is one table.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use foreshade_plan::keys::{KEYS, Range, Value};
use foreshade_plan::{Mode, Policy, Preset, describe};

/// Everything wrong with a file, a line each.
fn wrong(text: &str) -> String {
    let all = Policy::parse(text).expect_err("a file that cannot be followed");
    all.iter().map(|e| format!("{e}\n")).collect()
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_was_meant() {
    let e = wrong("mode = \"auto\"\n\nhost_limit_precent = 90\n");
    assert_eq!(e, "line 3: unknown key host_limit_precent; did you mean host_limit_percent?\n");
    let e = wrong("colour = 3\n");
    assert_eq!(e, "line 1: unknown key colour; `foreshade plan --print-policy` lists them\n");
    let e = wrong("[modes]\nmigrat = \"off\"\n");
    assert_eq!(e, "line 2: modes: unknown action migrat; did you mean migrate?\n");
}

#[test]
fn a_value_of_another_type_or_out_of_range_is_named_with_its_line_and_what_it_may_be() {
    for (line, says) in [
        ("host_limit_percent = \"90\"", "host_limit_percent = \"90\"; it is a whole number, 1 to 100"),
        ("host_limit_percent = 90.5", "host_limit_percent = 90.5; it is a whole number, 1 to 100"),
        ("host_limit_percent = -1", "host_limit_percent = -1; it is a whole number, 1 to 100"),
        ("host_limit_percent = 101", "host_limit_percent = 101; it is a whole number, 1 to 100"),
        ("host_quantile_permille = 960", "it is a whole number, 500, 900, 950 or 990"),
        ("shadow_failover = 1", "shadow_failover = 1; it is true or false"),
        ("mode = \"fast\"", "mode = \"fast\"; it is off, advise or auto"),
        ("preset = \"brave\"", "preset = \"brave\"; it is safe, balanced or dense"),
        ("modes = 3", "modes = 3; it is a table, [modes]"),
        ("cool_down_ticks = [1]", "cool_down_ticks = a list"),
        ("margin_percent = ", "line 2: "),
        ("margin_percent = 1\nmargin_percent = 2", "line 3: duplicate key"),
    ] {
        let e = wrong(&format!("# a comment\n{line}\n"));
        assert!(e.contains(says) && e.starts_with("line "), "{line}: {e}");
        assert_eq!(e.lines().count(), 1, "{line}: {e}");
    }
    assert_eq!(
        wrong("shift_percent = 0\nx = 1\n[modes]\nmigrate = 3\n").lines().count(),
        3,
        "all of it at once"
    );
}

#[test]
fn a_file_overrides_its_preset_wherever_it_stands() {
    let p = Policy::parse(
        "host_limit_percent = 77\nshadow_failover = true\npreset = \"safe\"\n[modes]\nmigrate = \"off\"\n",
    )
    .unwrap();
    let safe = Preset::Safe.policy();
    assert_eq!((p.host_limit_percent, p.cool_down_ticks), (77, safe.cool_down_ticks));
    assert_eq!((p.shadow_failover, p.mode, p.mode_of("migrate")), (true, Mode::Advise, Mode::Off));
    assert_eq!(Policy::parse("").unwrap(), Policy::default());
    assert_eq!(Preset::Balanced.policy(), Policy::default());
}

#[test]
fn every_setting_is_in_the_table_and_can_be_set() {
    let json = serde_json::to_value(Policy::default()).unwrap();
    let mut fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    fields.retain(|f| !["mode", "modes", "failover"].contains(f));
    let mut rows: Vec<_> = KEYS.iter().map(|k| k.name).collect();
    fields.sort_unstable();
    rows.sort_unstable();
    assert_eq!(rows, fields, "a new setting of Policy needs its row in host/plan/src/keys.rs");
    for k in KEYS {
        let now = (k.get)(&Policy::default());
        assert!(k.range.has(now), "{}: its default {now} is not in {}", k.name, k.range);
        assert!(!k.doc.ends_with('.') && !k.doc.is_empty(), "{}", k.name);
        let other = match (k.range, now) {
            (Range::Between(a, b), Value::Number(n)) => if n == b { a } else { b }.to_string(),
            (Range::OneOf(all), Value::Number(n)) => all.iter().find(|x| **x != n).unwrap().to_string(),
            (_, Value::Switch(b)) => (!b).to_string(),
            (r, v) => panic!("{}: {v} in {r}", k.name),
        };
        let p = Policy::parse(&format!("{} = {other}", k.name)).unwrap();
        assert_eq!((k.get)(&p).to_string(), other, "{}", k.name);
        p.check().unwrap();
    }
}

#[test]
fn presets_are_in_range_and_a_printed_policy_reads_back_as_itself() {
    for preset in Preset::ALL {
        let p = preset.policy();
        p.check().unwrap();
        let text = describe::as_toml(preset);
        assert_eq!(Policy::parse(&text).unwrap(), p, "{}", preset.name());
        for k in KEYS {
            assert!(text.contains(&format!("# {}\n# {}; default ", k.doc, k.range)), "{}", k.name);
        }
    }
}

#[test]
fn the_schema_knows_every_setting_with_range_and_default() {
    let schema: serde_json::Value = serde_json::from_str(&describe::as_json_schema()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    for k in KEYS {
        let s = &schema["properties"][k.name];
        assert_eq!(s["description"], k.doc, "{}", k.name);
        assert_eq!(s["default"].to_string(), (k.get)(&Policy::default()).to_string(), "{}", k.name);
        match k.range {
            Range::Between(a, b) => assert_eq!((&s["minimum"], &s["maximum"]), (&a.into(), &b.into())),
            Range::OneOf(all) => assert_eq!(s["enum"], serde_json::json!(all)),
            Range::Switch => assert_eq!(s["type"], "boolean"),
        }
    }
    assert_eq!(schema["properties"]["modes"]["properties"]["migrate"]["enum"][0], "off");
}

#[test]
fn the_page_about_the_policy_is_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policy.md");
    let text = describe::as_markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&page, &text).unwrap();
    }
    let there = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(there == text, "docs/policy.md is not what the table says; BLESS=1 writes it anew");
}
