//! The policy's settings for people and editors: commented TOML, a JSON Schema, a page of the manual. All from [`KEYS`].

use std::fmt::Write;

use foreshade_types::Action;

use crate::Preset;
use crate::keys::{KEYS, Range, Value};

/// Every setting with what it is for, its range and default, as a file that can be used as it is.
pub fn as_toml(preset: Preset) -> String {
    let policy = preset.policy();
    let mut out = format!(
        "# A policy of Foreshade: every setting with its range, as preset {p} has it.\n\n\
         # What the rest begins with: safe, balanced or dense\npreset = \"{p}\"\n\n\
         # off: not even said; advise: said; auto: done. Every kind of action, unless [modes] has it\nmode = \"advise\"\n",
        p = preset.name()
    );
    for k in KEYS {
        let _ = write!(
            out,
            "\n# {}\n# {}; default {}\n{} = {}\n",
            k.doc,
            k.range,
            default(k),
            k.name,
            (k.get)(&policy)
        );
    }
    out += "\n# Kinds of action with a mode of their own\n[modes]\n";
    Action::NAMES.iter().for_each(|name| {
        let _ = writeln!(out, "# {name} = \"advise\"");
    });
    out
}

fn default(k: &crate::keys::Key) -> Value {
    (k.get)(&crate::Policy::default())
}

/// The JSON Schema (draft 2020-12) of a policy file.
pub fn as_json_schema() -> String {
    let mode = r#""enum": ["off", "advise", "auto"]"#;
    let mut rows = vec![
        r#"    "preset": { "enum": ["safe", "balanced", "dense"], "default": "balanced" }"#.to_owned(),
        format!(r#"    "mode": {{ {mode}, "default": "advise" }}"#),
    ];
    for k in KEYS {
        let range = match k.range {
            Range::Between(a, b) => format!(r#""type": "integer", "minimum": {a}, "maximum": {b}"#),
            Range::OneOf(all) => format!(r#""enum": {all:?}"#),
            Range::Switch => r#""type": "boolean""#.into(),
        };
        let doc = k.doc.replace('\\', "\\\\").replace('"', "\\\"");
        rows.push(format!(
            r#"    "{}": {{ {range}, "default": {}, "description": "{doc}" }}"#,
            k.name,
            default(k)
        ));
    }
    rows.push(FAILOVER_SCHEMA.to_owned());
    let actions = Action::NAMES.iter().map(|n| format!(r#"        "{n}": {{ {mode} }}"#)).collect::<Vec<_>>();
    rows.push(format!(
        "    \"modes\": {{\n      \"type\": \"object\",\n      \"additionalProperties\": false,\n      \"properties\": {{\n{}\n      }}\n    }}",
        actions.join(",\n")
    ));
    format!(
        "{{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": \"Foreshade policy\",\n  \"type\": \"object\",\n  \
         \"additionalProperties\": false,\n  \"properties\": {{\n{}\n  }}\n}}\n",
        rows.join(",\n")
    )
}

/// The table of fail-over; what a rule may say is for [`crate::failover::When`] to check.
const FAILOVER_SCHEMA: &str = r#"    "failover": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "on_host_loss": { "type": "boolean", "default": true },
        "cool_down_ticks": { "type": "integer", "minimum": 0, "maximum": 1000000, "default": 12 },
        "recovery_ticks": { "type": "integer", "minimum": 0, "maximum": 1000000, "default": 3 },
        "when": { "type": "array", "items": { "type": "object", "additionalProperties": false, "required": ["name", "if"],
          "properties": { "name": { "type": "string" }, "if": { "type": "string" } } } },
        "hook": { "type": "array", "maxItems": 8, "items": { "type": "object", "additionalProperties": false,
          "required": ["name", "limit_s"],
          "properties": { "name": { "type": "string" }, "limit_s": { "type": "integer", "minimum": 1, "maximum": 600 } } } }
      }
    }"#;

/// docs/policy.md.
pub fn as_markdown() -> String {
    let mut out = String::from(HEAD);
    for k in KEYS {
        let preset = |v: Option<u64>| v.map_or(String::new(), |n| n.to_string());
        let (safe, dense) = (preset(k.safe), preset(k.dense));
        let _ =
            writeln!(out, "| `{}` | {} | {} | {safe} | {dense} | {} |", k.name, default(k), k.range, k.doc);
    }
    out + FAILOVER
}

const FAILOVER: &str = "
## Fail-over

A VM has failed when a rule under `[[failover.when]]` holds; heartbeat loss alone is there by default, and an own list replaces it. A rule
compares `cpu_percent`, `memory_percent`, `error_rate_percent` or `heartbeat_age_s` with a number, or asks for `host_up`; `and`, `or`,
parentheses and `for N s` combine them. What is not measured is not true.

```toml
[failover]
on_host_loss = true        # the VMs of a lost host are brought back, by priority
cool_down_ticks = 12       # a relapse rests this long, and twice as long each further time
recovery_ticks = 3         # between two attempts to bring a copy up to date
[[failover.when]]
name = \"cpu\"               # cpu, errors and heartbeat name themselves in reasons
if = \"cpu_percent > 90 for 300 s\"
[[failover.hook]]          # named in the decision for the rack controller, at most 8
name = \"dns\"
limit_s = 30
```
";

const HEAD: &str = "# Policy

What an operator may set, in a TOML file. `foreshade plan --print-policy` prints one with every setting; `foreshade plan
--policy FILE --check-config` says what is wrong with yours, line by line; `foreshade plan --json-schema` is for editors;
`foreshade backtest --policy FILE` tells what it would have done on recorded telemetry.

This page is made from the table that the program reads ([host/plan/src/keys.rs](../host/plan/src/keys.rs)) by
`BLESS=1 cargo test -p foreshade-plan --test policy_file`.

## Where to begin

`preset = \"balanced\"` is the default. `safe` reserves more, relieves hosts earlier and moves VMs less often; `dense` does the
opposite. What a file sets comes on top of its preset.

On the shipped Google trace (400 VMs, a day, hosts at 70 % mean load, seed 1; `foreshade backtest --trace gcd --policy FILE`) with
one preset each:

| preset | over-reservation, core-hours | contention, VM-minutes | of it memory | migrations |
|---|---|---|---|---|
| `safe` | 1,772 | 18,512 | 86 | 4 |
| `balanced` | 1,204 | 19,232 | 152 | 12 |
| `dense` | 852 | 17,969 | 1,052 | 25 |

Contention does not follow the order: hosts that full are short of CPU under any of them, and `dense` may move more VMs away. What
it gives up for that is memory and quiet.

## Modes

`mode` is `advise` unless a file says otherwise: the appliance says what it would do and sends nothing. `auto` does it, `off`
does not even say it. `[modes]` sets single kinds of action apart:

```toml
mode = \"advise\"
[modes]
pre-allocate = \"auto\"    # grow VMs ahead of their demand
give-back = \"auto\"
migrate = \"off\"          # no live migration here: a shadow is made in its place where one helps
```

What undoes a risk follows its own mode, too. Let `shift-back` go at least as far as `shift-traffic`, and `release-shadow` and
`suspend-shadow` as far as `create-shadow`: else what the appliance made stays until somebody takes it away. `give-back` only
costs capacity when it is kept back; `pre-allocate` costs shortage.

## Settings

Empty cells: the preset leaves the default.

| setting | default | range | safe | dense | what it is for |
|---|---|---|---|---|---|
";
