//! Frames as text, and frames of any size.

use std::collections::BTreeMap;
use std::path::Path;

use foreshade_types::{
    Action, Alternative, Decision, HoldReason, Horizon, HostId, OutcomeKind, RackId, Reason, Rejected,
    Resource, Rule, Tick, VmId, Worth,
};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::draw::draw;
use super::live::{columns, hottest_first};
use super::state::{Act, AheadRow, Facts, HeatRow, Key, LoadRow, Pane, ShadowRow, Stage, State};
use super::{Item, Kind};
use crate::view::reason;

/// The frame's text, a line per row, blanks at the ends left out.
fn frame(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|f| draw(state, f.area(), f.buffer_mut())).unwrap();
    let buffer = terminal.backend().buffer();
    let mut out = String::new();
    for y in 0..height {
        let mut x = 0;
        let mut line = String::new();
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += (super::text::width(symbol) as u16).max(1);
        }
        out += &(line.trim_end().to_owned() + "\n");
    }
    out
}

fn decision(seq: u64, action: Action, reason: Reason) -> Decision {
    Decision {
        epoch: 1,
        seq,
        rack: RackId(0),
        caused_by: Tick(146),
        vm: VmId(seq as u32),
        observed_host: HostId(3),
        expires_at_ms: 44_100_000,
        action,
        reason,
    }
}

fn reason_of(rule: Rule, predicted: u64, threshold: u64) -> Reason {
    Reason {
        rule,
        resource: Resource::Cpu,
        quantile_permille: 950,
        horizon_s: 0,
        predicted,
        threshold,
        worth: Worth::default(),
        rejected: vec![],
    }
}

fn facts() -> Facts {
    let vm = |i: usize| HeatRow {
        name: format!("vm_50170106{i:02}_web-frontend"),
        host: format!("host{}", i % 8),
        now: 61.0 - 4.0 * i as f32,
        q95: [1.0, 0.8, 0.9, 0.95].map(|k| (97.0 - 6.4 * i as f32) * k),
    };
    let disk = |i: usize| HeatRow {
        name: format!("vm_{i}"),
        host: "host1".into(),
        now: f32::NAN,
        q95: [[118.0, 90.0, 70.0, 50.0], [30.0, 20.0, 0.0, f32::NAN]][i],
    };
    let load = |i: u64| LoadRow {
        name: format!("host{i}"),
        rack: false,
        has_mc: 32_000,
        now_mc: 30_000 - 2_750 * i,
        peak_mc: (31_000 - 2_900 * i, 34_500 - 2_900 * i),
        up: i != 6,
    };
    let rack = LoadRow {
        name: "rack0".into(),
        rack: true,
        has_mc: 256_000,
        now_mc: 163_000,
        peak_mc: (171_000, 189_500),
        up: true,
    };
    let hops = foreshade_appliance_core::HOPS.iter().enumerate();
    let phases = ["ready", "active", "provisioning"];
    let shadow = |(i, phase): (usize, &'static str)| ShadowRow {
        vm: format!("vm_50170106{i:02}_web-frontend"),
        phase,
        host: format!("host{}", i + 4),
        size_mc: 250 + 1_000 * i as u64,
        share_percent: if phase == "active" { 50 } else { 0 },
    };
    let ahead = |(i, what): (usize, &str)| AheadRow {
        rack: "rack0".into(),
        what: what.into(),
        band_mc: (150_000 + 5_000 * i as u64, 171_000 + 6_000 * i as u64, 189_500 + 9_000 * i as u64),
    };
    Facts {
        title: "foreshade demo".into(),
        subject: "gcd_400: 400 VMs, 8 hosts, 1 rack; mode auto, simulated".into(),
        stage: Stage::Running,
        hours: 12.25,
        tick: (4, 144),
        done: (148, 288),
        left_s: Some(11.6),
        held: 391,
        advised: 0,
        decided: BTreeMap::from([("give-back", 390), ("pre-allocate", 41), ("migrate", 1)]),
        horizons: columns([Horizon::Peak(6), Horizon::Step(1), Horizon::Step(6), Horizon::Step(12)], 300),
        heat: BTreeMap::from([
            (Resource::Cpu, (0..14).map(vm).collect()),
            (Resource::DiskRead, (0..2).map(disk).collect()),
        ]),
        limit_percent: 90,
        loads: std::iter::once(rack).chain((0..8).map(load)).collect(),
        hops: hops.map(|(i, name)| (*name, 7.0 * 4f64.powi(i as i32), 19.0 * 4f64.powi(i as i32))).collect(),
        shadows: phases.into_iter().enumerate().map(shadow).collect(),
        ahead: ["peak 30 min", "in 1 h, mean", "peak of 1 h"].into_iter().enumerate().map(ahead).collect(),
        notes: BTreeMap::new(),
    }
}

fn state() -> State {
    let mut state = State { facts: facts(), ..State::default() };
    let holds = BTreeMap::from([(HoldReason::WithinBounds, 340), (HoldReason::CoolDown, 51)]);
    let grow = Action::PreAllocate { to: foreshade_types::Allocation::default() };
    let shadow = Action::CreateShadow { host: HostId(5), size: foreshade_types::Allocation::default() };
    let mut overload = reason_of(Rule::HostOverload, 34_500, 28_800);
    overload.rejected = vec![
        Rejected { alternative: Alternative::Hold, why: HoldReason::WouldRunShort },
        Rejected { alternative: Alternative::Shadow, why: HoldReason::Sustained },
    ];
    let decisions = [
        decision(431, Action::Migrate { to: HostId(6) }, overload),
        decision(432, shadow, reason_of(Rule::HostPeak, 31_000, 28_800)),
        decision(433, grow, reason_of(Rule::DemandAboveAllocation, 3_410, 2_880)),
    ];
    let when = "[12.25 h] tick 4";
    for earlier in 0..6 {
        let when = format!("[11.{earlier} h] tick {earlier}");
        state.log.push(reason::tick(&when, &[], &holds));
    }
    let name = |_| "vm_5017010603_web-frontend".to_owned();
    reason::items(&decisions, name, when).into_iter().for_each(|i| state.log.push(i));
    state.log.push(Item::plain(Kind::Hold, "  host1: forecast to run over; no beneficial move".into()));
    state.log.push(reason::tick(when, &decisions, &holds));
    state.log.answered(decisions[0].id(), OutcomeKind::Applied);
    state.log.answered(decisions[1].id(), OutcomeKind::NoCapacity);
    state
}

fn press(state: &mut State, keys: &[Key]) -> Act {
    keys.iter().fold(Act::None, |_, k| state.key(*k))
}

/// Holds a frame to its file; `BLESS=1` writes it.
fn golden(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, got).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(got == want, "{} is not this; BLESS=1 writes it:\n{got}", path.display());
}

#[test]
fn the_view_is_readable_at_100_by_30() {
    let mut state = state();
    golden("screen-100x30.txt", &frame(&state, 100, 30));
    press(&mut state, &[Key::Up, Key::Up, Key::Enter]);
    golden("screen-why-100x30.txt", &frame(&state, 100, 30));
}

#[test]
fn the_view_is_readable_at_80_by_24() {
    let mut state = state();
    golden("screen-80x24.txt", &frame(&state, 80, 24));
    press(&mut state, &[Key::Tab, Key::Tab, Key::Char('d')]);
    golden("screen-shadows-80x24.txt", &frame(&state, 80, 24));
}

#[test]
fn the_help_names_every_key() {
    let mut state = state();
    press(&mut state, &[Key::Char('?')]);
    golden("screen-help-100x30.txt", &frame(&state, 100, 30));
}

#[test]
fn a_run_that_has_told_nothing_says_so() {
    let mut state = State::default();
    state.facts.done.1 = 288;
    let text = frame(&state, 100, 30);
    for said in ["no forecast yet", "no decision yet", "warm-up"] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
}

#[test]
fn a_pane_without_rows_says_why_where_that_is_known() {
    let mut state = State::default();
    state.facts.notes.insert(Pane::Vms, vec!["a journal holds no forecasts".into()]);
    assert!(frame(&state, 100, 30).contains("a journal holds no forecasts"));
    state.facts.heat = facts().heat;
    assert!(!frame(&state, 100, 30).contains("a journal holds no forecasts"));
}

#[test]
fn enter_shows_the_whole_reason_as_explain_does() {
    let mut state = state();
    press(&mut state, &[Key::Up, Key::Up, Key::Enter]);
    let text = frame(&state, 100, 30);
    for (label, said) in [
        ("rule", "host forecast to stay over its limit"),
        ("compared", "cpu q95 30-min peak 34.50 against 28.80 cores"),
        ("not", "hold: would run short"),
        ("", "shadow: load too long for a shadow"),
        ("decision", "1.0.431, [12.25 h] tick 4"),
    ] {
        assert!(text.lines().any(|l| l.contains(label) && l.contains(said)), "{said}:\n{text}");
    }
    press(&mut state, &[Key::Esc]);
    assert!(!frame(&state, 100, 30).contains("would run short"));
}

#[test]
fn without_colour_no_cell_has_one_and_nothing_is_lost() {
    let mut state = state();
    let draw_in = |state: &State| {
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
        terminal.draw(|f| draw(state, f.area(), f.buffer_mut())).unwrap();
        terminal.backend().buffer().clone()
    };
    let grey = draw_in(&state);
    assert!(grey.content().iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset));
    state.colour = true;
    let coloured = draw_in(&state);
    assert!(coloured.content().iter().any(|c| c.fg == Color::Red), "a host over its limit");
    assert!(grey.content().iter().zip(coloured.content()).all(|(a, b)| a.symbol() == b.symbol()));
}

#[test]
fn the_feed_stands_still_while_it_is_read() {
    let mut state = state();
    press(&mut state, &[Key::Char(' ')]);
    for i in 0..4 {
        state.log.push(Item::plain(Kind::Tick, format!("new {i}")));
    }
    let text = frame(&state, 100, 30);
    assert!(text.contains("standing still, 4 more below"), "{text}");
    press(&mut state, &[Key::Char('p')]);
    assert!(frame(&state, 100, 30).contains("new 3"));
}

#[test]
fn keys_reach_what_they_name() {
    let mut state = state();
    assert_eq!(press(&mut state, &[Key::Char('q')]), Act::Quit);
    assert_eq!(press(&mut state, &[Key::Char('P')]), Act::PauseActing);
    assert_eq!(press(&mut state, &[Key::Char('a')]), Act::None, "a tick cannot be approved");
    assert!(frame(&state, 100, 30).contains("choose a decision"));
    let chosen = decision(431, Action::ReleaseShadow, reason_of(Rule::ShadowIdle, 0, 0)).id();
    assert_eq!(press(&mut state, &[Key::Up, Key::Up, Key::Char('a')]), Act::Approve(chosen));
    let seen: Vec<_> = (0..7).map(|_| (press(&mut state, &[Key::Tab]), state.pane).1).collect();
    assert_eq!(seen[..4], [Pane::Hops, Pane::Shadows, Pane::Outlook, Pane::Vms]);
    assert_eq!(seen[6], Pane::Hops);
    let two = [Key::Char('d'), Key::Char('d')].map(|k| (press(&mut state, &[k]), state.resource()).1);
    assert_eq!(two, [Resource::DiskRead, Resource::DiskWrite]);
}

#[test]
fn the_hottest_vm_stands_first() {
    let mut state = state();
    let rows = state.facts.heat.get_mut(&Resource::Cpu).unwrap();
    rows.iter_mut().enumerate().for_each(|(i, r)| r.name = format!("web-{i}."));
    rows.reverse();
    hottest_first(rows);
    let text = frame(&state, 120, 30);
    let place = |name: &str| text.lines().position(|l| l.contains(name)).unwrap();
    assert!(place("web-0.") < place("web-1.") && place("web-1.") < place("web-5."), "{text}");
}

fn any_key() -> impl Strategy<Value = Key> {
    let named = [
        Key::Up,
        Key::Down,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::Enter,
        Key::Esc,
        Key::Tab,
        Key::BackTab,
    ];
    prop_oneof![
        prop::sample::select(named.to_vec()),
        prop::sample::select("cmdnpPa?h xy".chars().map(Key::Char).collect::<Vec<_>>())
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_size_and_any_keys_draw_a_frame(
        width in 1u16..=240,
        height in 1u16..=70,
        name in "\\PC{0,40}",
        keys in prop::collection::vec(any_key(), 0..24),
        told in any::<bool>(),
    ) {
        let mut state = if told { state() } else { State::default() };
        if let Some(row) = state.facts.heat.get_mut(&Resource::Cpu).and_then(|v| v.first_mut()) {
            row.name.clone_from(&name);
            row.q95[0] = f32::INFINITY;
        }
        press(&mut state, &keys);
        let text = frame(&state, width, height);
        prop_assert_eq!(text.lines().count(), usize::from(height));
    }

    #[test]
    fn the_smallest_sizes_draw_a_frame(width in 1u16..=12, height in 1u16..=6, keys in prop::collection::vec(any_key(), 0..6)) {
        let mut state = state();
        press(&mut state, &keys);
        frame(&state, width, height);
    }
}
