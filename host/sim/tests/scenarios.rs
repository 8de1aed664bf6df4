//! Scripted situations through the real core and rack. Each has its account beside it (`scenarios/NAME.golden`), and
//! here what must hold whatever the policy's figures are. `BLESS=1 cargo test -p foreshade-sim --test scenarios` writes
//! the accounts anew.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "scenarios/control.rs"]
mod control;

use std::path::{Path, PathBuf};

use foreshade_appliance_core::Core;
use foreshade_plan::lifecycle::Alert;
use foreshade_sim::scenario::{Part, Run, Script, Show, run};
use foreshade_types::{Action, HoldReason, Horizon, HostId, Rule, ShadowPhase, Tick, VmId};

fn path(name: &str, ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.{ending}"))
}

/// Runs a scenario and compares its account with the one beside it.
fn play(name: &str) -> Run {
    let text = std::fs::read_to_string(path(name, "txt")).unwrap();
    let script = Script::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    let done = run(&script).unwrap();
    let account = done.account();
    assert_eq!(run(&script).unwrap().account(), account, "{name}: not the same twice");
    let golden = path(name, "golden");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&golden, &account).unwrap();
    }
    let want = std::fs::read_to_string(&golden).unwrap_or_default();
    if want != account {
        let other = want.lines().zip(account.lines()).position(|(a, b)| a != b);
        let line = other.unwrap_or_else(|| want.lines().count().min(account.lines().count()));
        let at = |s: &str| s.lines().nth(line).unwrap_or("(its end)").to_owned();
        panic!(
            "{name}: the account differs from line {} on; BLESS=1 writes it anew if that is meant\n- {}\n+ {}",
            line + 1,
            at(&want),
            at(&account)
        );
    }
    done
}

/// CPU allocated to a VM (a resize under way counted as done) as seen at each step.
fn allocated(r: &Run, vm: usize) -> Vec<(u64, u64)> {
    r.steps.iter().map(|s| (s.tick.0, s.observed[vm].allocation.cpu.0)).collect()
}

/// How many of the growths of VM 0 to `percent` or more were in force before the demand came that the old allocation could
/// not have carried; the demand is the script's own.
fn met_ahead(r: &Run, from: u64, percent: u64) -> usize {
    let cadence_ms = u64::from(r.script.cadence_s) * 1000;
    // Resizes take 5 s: on long samples they land in the first sub-step.
    let slack_ms = if r.script.cadence_s < 10 { 0 } else { 10_000 };
    let mut met = 0;
    for (d, o) in r.steps.iter().flat_map(|s| s.decisions.iter().zip(&s.outcomes)) {
        let Action::PreAllocate { to } = d.action else { continue };
        let had = d.reason.threshold;
        if d.caused_by.0 < from || to.cpu.0 * 100 < had * percent {
            continue;
        }
        let needs = |t: &u64| r.script.vms[0].demand(Tick(*t)).cpu.0 > had;
        // Sample t is the interval that ends there; what was needed when it was decided came too late.
        let short = (d.caused_by.0..=r.script.end).find(needs);
        met += usize::from(short.is_some_and(|t| o.effective_at_ms <= (t - 1) * cadence_ms + slack_ms));
    }
    met
}

#[test]
fn a_periodic_spike_is_met_and_given_back() {
    let r = play("periodic-spike");
    assert!(r.decisions("pre-allocate").count() > 0 && r.decisions("give-back").count() > 0);
    assert!(met_ahead(&r, 144, 120) >= 3, "each of three spikes is met while it rises");
    // Between the spikes it does not keep what the spike needed.
    let after: Vec<_> =
        allocated(&r, 0).into_iter().filter(|(t, _)| *t > 160 && (*t - 12) % 24 == 20).collect();
    assert!(!after.is_empty() && after.iter().all(|(_, a)| *a < 6000), "{after:?}");
    assert!(r.decisions("pre-allocate").all(|d| d.reason.rule == Rule::DemandAboveAllocation));
}

#[test]
fn a_transient_peak_gets_a_shadow_that_is_used_and_released() {
    let r = play("transient-peak");
    let first = |name| r.decisions(name).map(|d| d.caused_by).next();
    let (made, shifted) = (first("create-shadow").unwrap(), first("shift-traffic").unwrap());
    let back = r.decisions("shift-back").map(|d| d.caused_by).find(|t| *t > shifted).unwrap();
    assert!(made < shifted && shifted < back);
    assert!(r.decisions("release-shadow").any(|d| d.caused_by > back), "it is not kept for good");
    for d in r.decisions("create-shadow") {
        let Action::CreateShadow { host, .. } = d.action else { continue };
        assert_ne!(host, d.observed_host);
    }
    let last = r.steps.last().unwrap();
    assert!(last.observed.iter().all(|o| o.shadow.is_none()), "no shadow outlives the peaks");
}

#[test]
fn a_sustained_overload_moves_a_vm_to_where_there_is_room() {
    let r = play("sustained-overload");
    let moves: Vec<_> = r.decisions("migrate").collect();
    assert!(!moves.is_empty());
    for d in &moves {
        // Host 1 is at 6.5 of 8 cores and cannot take any of them.
        assert_eq!((d.observed_host, d.action), (HostId(0), Action::Migrate { to: HostId(2) }));
    }
    assert_eq!(r.totals.migrations as usize, moves.len());
    assert!(r.steps.iter().rev().take(10).all(|s| s.contention_s == 0), "the move ends the shortage");
}

#[test]
fn two_full_hosts_have_no_beneficial_move_and_share_fairly() {
    let r = play("both-full");
    assert_eq!(r.totals.migrations, 0);
    let full: Vec<_> = r.steps.iter().filter(|s| s.tick.0 >= 153).collect();
    assert!(full.iter().any(|s| s.unrelieved.contains(&(HostId(0), HoldReason::NoBeneficialMove))));
    assert!(r.steps.iter().flat_map(|s| &s.decisions).any(|d| d.reason.rule == Rule::FairShare));
    for s in full.iter().filter(|s| s.tick.0 >= 156) {
        for small in [0, 3] {
            let o = &s.observed[small];
            assert!(o.cpu_throttled.0 * 100 <= 1000, "{} at {}: {:?}", o.vm, s.tick, o.cpu_throttled);
        }
    }
}

#[test]
fn nothing_acts_on_stale_telemetry() {
    let r = play("stale");
    let silent = |t: u64| r.steps[(t - r.steps[0].tick.0) as usize].decisions.iter().any(|d| d.vm == VmId(0));
    // Missing from 152: the last sample is that of 151, more than 3 ticks old from 155 on.
    for s in r.steps.iter().filter(|s| (155..168).contains(&s.tick.0)) {
        assert_eq!(s.holds.get(&HoldReason::Stale), Some(&1), "{}", s.tick);
        assert!(!silent(s.tick.0), "{}", s.tick);
    }
    for s in r.steps.iter().filter(|s| !(155..168).contains(&s.tick.0)) {
        assert_eq!(s.holds.get(&HoldReason::Stale), None, "{}", s.tick);
    }
    assert!((168..190).any(silent), "decisions resume with the samples");
}

#[test]
fn nothing_acts_on_a_cold_series() {
    let r = play("cold");
    let cold: Vec<_> = r.steps.iter().filter(|s| s.holds.contains_key(&HoldReason::Cold)).collect();
    assert!(cold.first().is_some_and(|s| s.tick == r.steps[0].tick), "cold from the start");
    let warm = cold.last().unwrap().tick;
    assert!(warm.0 > 148 && warm.0 < 180, "too little history until {warm}");
    for s in r.steps.iter().filter(|s| s.tick <= warm) {
        assert!(s.decisions.iter().all(|d| d.vm != VmId(0)), "{}", s.tick);
    }
}

#[test]
fn a_noisy_host_does_not_flap() {
    let r = play("no-flapping");
    let base = r.script.policy.cool_down_ticks;
    assert!(r.totals.migrations > 0, "a script in which nothing moves proves nothing");
    for vm in 0..r.script.vms.len() as u32 {
        let moves: Vec<_> =
            r.decisions("migrate").filter(|d| d.vm == VmId(vm)).map(|d| d.caused_by.0).collect();
        for (i, w) in moves.windows(2).enumerate() {
            let rest = base << i.min(6);
            assert!(w[1] - w[0] >= rest, "vm{vm} rests {} of {rest} ticks: {moves:?}", w[1] - w[0]);
        }
        // 6, 12, ... 384 ticks of rest: at most 8 moves fit into 1,000 ticks, whatever the demand does.
        assert!(moves.len() <= 8, "vm{vm}: {moves:?}");
    }
    for s in &r.steps {
        let n = s.decisions.iter().filter(|d| matches!(d.action, Action::Migrate { .. })).count();
        let under_way = s.observed.iter().filter(|o| o.migrating).count();
        assert!(n + under_way <= r.script.policy.migrations_per_tick as usize, "{}", s.tick);
    }
}

#[test]
fn mode_advise_sends_nothing_and_says_how_much() {
    let r = play("advise");
    assert!(r.steps.iter().all(|s| s.decisions.is_empty()));
    assert_eq!(r.totals.migrations, 0);
    let advised: usize = r.steps.iter().map(|s| s.advised.len()).sum();
    assert!(advised > 0 && r.account().contains(&format!("advised, not sent: {advised}")));
    assert!(r.steps.iter().any(|s| s.holds.contains_key(&HoldReason::Advise)));
}

#[test]
fn growth_of_a_fifth_is_in_force_before_a_ramp_of_seconds_arrives() {
    let r = play("fast-ramp");
    let horizons = Core::horizons(1);
    assert_eq!(horizons[..2], [Horizon::Peak(30), Horizon::Step(5)], "5 s and 30 s ahead on samples of 1 s");
    assert!(r.decisions("pre-allocate").all(|d| d.reason.horizon_s == 5), "the reason names the horizon");
    assert!(met_ahead(&r, 260, 120) > 0, "no growth of 20 % or more was in force before it was needed");
    let ramp: u64 = r.steps.iter().filter(|s| (260..300).contains(&s.tick.0)).map(|s| s.contention_s).sum();
    assert!(ramp <= 8, "short for {ramp} of 40 s");
}

#[test]
fn memory_is_never_given_back_below_the_working_set() {
    let r = play("working-set");
    let mut shrunk = 0;
    for s in &r.steps {
        for d in &s.decisions {
            let (Action::GiveBack { to } | Action::PreAllocate { to }) = d.action else { continue };
            let o = &s.observed[0];
            assert!(to.memory >= o.memory_used + o.memory_throttled, "{}: {}", s.tick, to.memory);
            shrunk += usize::from(to.memory < o.allocation.memory);
        }
    }
    assert!(shrunk > 0, "what is not used is given back");
}

#[test]
fn every_script_has_its_account_and_every_account_its_script() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for n in &names {
        let (stem, ending) = n.split_once('.').unwrap();
        assert!(ending == "txt" || ending == "golden", "{n}");
        assert!(path(stem, "txt").is_file(), "{n}");
        assert!(std::env::var_os("BLESS").is_some() || path(stem, "golden").is_file(), "{n}");
        let here = concat!(include_str!("scenarios.rs"), include_str!("scenarios/control.rs"));
        assert!(here.contains(&format!("play(\"{stem}\")")), "{n} is not played");
    }
}

#[test]
fn a_script_that_cannot_be_read_names_its_line() {
    let ok = "end 150\nhosts 1 cores 8 gib 8\nvm a cores 1 gib 1 on 0\ncpu 1\n";
    assert_eq!(Script::parse(ok).unwrap().show, Show::All);
    for (bad, line, what) in [
        ("cpu 1", 5, ""),
        ("cpu", 5, "cpu is missing"),
        ("cpu much", 5, "give a number"),
        ("cpu NaN", 5, "give 0 to"),
        ("cpu -1", 5, "give 0 to"),
        ("cpu 1 ramp 2", 5, "needs from and to"),
        ("cpu 1 from 5 to 5", 5, "not after"),
        ("cpu 1 every 0 at 0 for 0", 5, ""),
        ("cpu 1 2", 5, "more than"),
        ("speed 1", 5, "not known"),
        ("policy host_limit 1", 5, "unknown field"),
        ("policy shadow_failover 1", 5, "expected a boolean"),
        ("host 0 pool swimming", 5, "general, shadow or dedicated"),
        ("policy host_limit_percent 900", 5, "out of range"),
        ("mode fast", 5, "auto, advise or off"),
        ("show less", 5, "all, moves or totals"),
        ("cadence 0", 0, "1 s apart"),
        ("vm b cores 1 gib 1 on 3", 0, "of 1 hosts"),
        ("end 3", 0, "not after warm-up"),
    ] {
        match Script::parse(&format!("{ok}{bad}\n")) {
            Ok(_) => assert_eq!(what, "", "{bad:?} was read"),
            Err(e) => assert!(e.line == line && e.what.contains(what) && !what.is_empty(), "{bad:?}: {e}"),
        }
    }
    assert!(Script::parse("").is_err());
}

/// The phases that a VM's shadow was seen in, each once in a row; `None` = there was none.
fn phases(r: &Run, vm: usize) -> Vec<Option<ShadowPhase>> {
    let mut out: Vec<_> = r.steps.iter().map(|s| s.observed[vm].shadow.map(|x| x.phase)).collect();
    out.dedup();
    out
}

/// When and on which VMs an action was decided.
fn when(r: &Run, name: &str) -> Vec<(u64, u32)> {
    r.decisions(name).map(|d| (d.caused_by.0, d.vm.0)).collect()
}

#[test]
fn a_shadow_is_ready_before_the_predicted_spike_and_lives_no_longer_than_it_is_needed() {
    let r = play("shadow-life");
    let first_peak = (144..).find(|t| r.script.vms[0].demand(Tick(*t)).cpu.0 > 4000).unwrap();
    let made = r.steps.iter().flat_map(|s| s.decisions.iter().zip(&s.outcomes));
    let (made, done) = made.clone().find(|(d, _)| d.action.name() == "create-shadow").unwrap();
    // The sample of a tick is the interval that ends there.
    let peak_begins_ms = (first_peak - 1) * 300_000;
    assert!(made.caused_by.0 < first_peak && done.effective_at_ms < peak_begins_ms, "{done:?}");
    let seen = r.steps.iter().find(|s| s.tick.0 == first_peak - 1).unwrap();
    let seen = seen.observed[made.vm.index()].shadow.unwrap();
    assert!(matches!(seen.phase, ShadowPhase::Ready | ShadowPhase::Active), "{seen:?}");
    // After use suspended, resumed for the next peak, and terminated in the end.
    let (suspended, resumed) = (when(&r, "suspend-shadow"), when(&r, "resume-shadow"));
    let (t, vm) = resumed[0];
    assert!(suspended.iter().any(|s| s.1 == vm && s.0 < t), "{suspended:?} {resumed:?}");
    assert_eq!(when(&r, "release-shadow").len(), when(&r, "create-shadow").len());
    assert!(r.steps.last().unwrap().observed.iter().all(|o| o.shadow.is_none()));
    for name in ["create-shadow", "resume-shadow"] {
        assert!(r.decisions(name).all(|d| d.reason.worth.pays()), "each is worth its cost");
    }
}

#[test]
fn every_phase_of_a_shadow_is_seen_in_its_order() {
    use ShadowPhase::{Active, Draining, Provisioning, Ready, Syncing, Warm};
    let r = play("shadow-phases");
    let way = [Provisioning, Syncing, Warm, Ready, Active, Draining, Ready].map(Some);
    let used = when(&r, "shift-traffic")[0].1 as usize;
    assert_eq!(phases(&r, used)[1..], way);
}

#[test]
fn a_shadow_dies_with_its_vm_and_the_account_returns_to_zero() {
    let r = play("shadow-dies-with-its-vm");
    let released = when(&r, "release-shadow");
    assert_eq!(released, [(155, 0), (170, 1)], "at the first sample that says so");
    assert!(r.decisions("release-shadow").all(|d| d.reason.rule == Rule::PrimaryGone));
    for s in r.steps.iter().filter(|s| s.observed.iter().any(|o| o.stopped)) {
        for o in s.observed.iter().filter(|o| o.stopped && !released.contains(&(s.tick.0, o.vm.0))) {
            assert_eq!(o.shadow, None, "{} at {}", o.vm, s.tick);
            assert!(s.decisions.iter().all(|d| d.vm != o.vm), "nothing is done for a stopped VM");
        }
    }
    assert_eq!(when(&r, "create-shadow"), [(143, 0), (143, 1), (165, 0)], "back with its VM");
    // With every VM stopped nothing would be held; with one stopped, what it and its shadow held is not counted.
    let mut alone = r.script.clone();
    alone.vms[0].stopped = vec![Part { from: 150, to: u64::MAX, every: None }];
    alone.vms[1].stopped = alone.vms[0].stopped.clone();
    let over = |end| run(&Script { end, ..alone.clone() }).unwrap().totals.over_reserved_mc_ms;
    assert_eq!(over(155), over(190), "nothing is held from the sample after the last VM stopped");
}

#[test]
fn every_vm_gets_a_shadow_where_policy_says_so_and_its_pools_allow() {
    let r = play("shadow-with-primary");
    let made: Vec<_> = r.decisions("create-shadow").collect();
    assert_eq!(made.len(), r.script.policy.shadows_per_rack as usize);
    for d in &made {
        assert_eq!((d.reason.rule, d.caused_by), (Rule::ShadowWithPrimary, Tick(143)));
        let Action::CreateShadow { host, size } = d.action else { panic!("{d:?}") };
        assert_eq!(host, HostId(3), "the host that is reserved for shadows");
        // 1/16 of 4 cores is less than the floor of one core; 1/32 of 8 GiB.
        assert_eq!((size.cpu.0, size.memory.0), (1000, 256));
    }
    assert!(r.steps[1].holds.contains_key(&HoldReason::ShadowBudget), "the fifth waits, and is told why");
}

#[test]
fn without_a_reserved_host_a_shadow_goes_to_its_pool_outside_its_chassis() {
    let text = std::fs::read_to_string(path("shadow-with-primary", "txt")).unwrap();
    let script = Script::parse(&text.replace("host 3 pool shadow", "host 3 pool dedicated 9")).unwrap();
    let r = run(&script).unwrap();
    let of = |vm| {
        r.decisions("create-shadow").filter(|d| d.vm == VmId(vm)).find_map(|d| match d.action {
            Action::CreateShadow { host, .. } => Some(host),
            _ => None,
        })
    };
    // Hosts 0 and 1 are one chassis, 3 and 4 are other customers' for all but d.
    assert_eq!([of(0), of(1)], [Some(HostId(2)), Some(HostId(2))]);
    assert!([Some(HostId(0)), Some(HostId(1))].contains(&of(2)), "{:?}", of(2));
    assert!([HostId(0), HostId(1), HostId(2)].contains(&of(3).unwrap()), "not on its own host 4");
}

#[test]
fn a_fail_over_target_is_sized_to_the_forecast_and_the_cost_cap_says_why_not() {
    let r = play("shadow-failover");
    let made: Vec<_> = r.decisions("create-shadow").collect();
    assert_eq!(made.len(), 1);
    let Action::CreateShadow { size, .. } = made[0].action else { panic!("{:?}", made[0]) };
    assert!((3000..3300).contains(&size.cpu.0) && size.memory.0 >= 6 * 1024, "{size:?}");
    let waiting = |s: &&foreshade_sim::scenario::Step| (144..152).contains(&s.tick.0);
    assert!(r.steps.iter().filter(waiting).all(|s| s.holds.contains_key(&HoldReason::ShadowCost)));
    assert!(r.account().contains("shadow costs more than the cap"));
}

#[test]
fn a_vm_that_may_be_away_for_a_cold_start_gets_no_shadow() {
    let r = play("shadow-tolerated");
    assert_eq!(r.decisions("create-shadow").count(), 0);
    assert!(r.account().contains("a cold start is soon enough"));
}

#[test]
fn a_shadow_that_is_not_worth_its_cost_is_not_made_and_the_account_says_so() {
    let r = play("shadow-not-worth-it");
    assert_eq!(r.decisions("create-shadow").count(), 0);
    assert!(r.steps.iter().any(|s| s.unrelieved.contains(&(HostId(0), HoldReason::NotWorth))));
    // The same host where a shortage costs six times as much.
    let mut dear = r.script.clone();
    dear.policy.contention_price_millicores = 6000;
    assert!(run(&dear).unwrap().decisions("create-shadow").all(|d| d.reason.worth.pays()));
    assert!(run(&dear).unwrap().decisions("create-shadow").count() > 0);
}

#[test]
fn no_traffic_goes_to_a_copy_that_lags_or_is_corrupt() {
    let r = play("shadow-copy");
    let bad = |t: u64, vm: u32| match vm {
        0 => (174..185).contains(&t),
        _ => (152..157).contains(&t),
    };
    let mut seen = [false, false];
    for s in &r.steps {
        for o in &s.observed[..2] {
            let syncing = o.shadow.is_some_and(|x| x.phase == ShadowPhase::Syncing);
            seen[o.vm.index()] |= syncing;
            let shifted = |d: &&foreshade_types::Decision| {
                d.vm == o.vm && matches!(d.action, Action::ShiftTraffic { .. })
            };
            if syncing {
                assert!(bad(s.tick.0, o.vm.0), "{} at {}", o.vm, s.tick);
                assert!(!s.decisions.iter().any(|d| shifted(&d)), "{} at {}", o.vm, s.tick);
            }
        }
    }
    assert_eq!(seen, [true, true]);
    // Lagging and corrupt are two alerts, each told when it begins and not again while it lasts.
    let told = |vm, alert| {
        let of = |s: &foreshade_sim::scenario::Step| s.shadow_alerts.contains(&(VmId(vm), alert));
        r.steps.iter().filter(|s| of(s)).map(|s| s.tick.0).collect::<Vec<_>>()
    };
    assert_eq!((told(0, Alert::SyncCorrupt)[0], told(1, Alert::SyncBehind)), (174, vec![152]));
    assert_eq!((told(0, Alert::SyncBehind), told(1, Alert::SyncCorrupt)), (vec![], vec![]));
    // Half an hour without a good copy is a failure: it is cleared and made anew elsewhere or again.
    let failed = r.decisions("release-shadow").find(|d| d.reason.rule == Rule::ShadowFailed).unwrap();
    assert!(when(&r, "create-shadow").iter().any(|(t, vm)| *t > failed.caused_by.0 && *vm == failed.vm.0));
}

#[test]
fn the_shadows_of_a_lost_host_fail_and_are_made_elsewhere() {
    let r = play("shadow-host-lost");
    let on = |d: &foreshade_types::Decision| match d.action {
        Action::CreateShadow { host, .. } => Some((d.caused_by.0, d.vm, host)),
        _ => None,
    };
    let made: Vec<_> = r.decisions("create-shadow").filter_map(on).collect();
    let lost: Vec<_> = made.iter().filter(|m| m.0 < 158 && m.2 == HostId(2)).map(|m| m.1).collect();
    assert!(!lost.is_empty());
    for vm in &lost {
        let cleared = r.decisions("release-shadow").find(|d| d.vm == *vm).unwrap();
        assert_eq!((cleared.caused_by, cleared.reason.rule), (Tick(158), Rule::ShadowFailed));
        let told = |s: &foreshade_sim::scenario::Step| s.shadow_alerts.contains(&(*vm, Alert::Failed));
        assert_eq!(r.steps.iter().filter(|s| told(s)).map(|s| s.tick).collect::<Vec<_>>(), [Tick(158)]);
    }
    let again: Vec<_> = made.iter().filter(|m| m.0 >= 158).collect();
    assert_eq!(again.len(), lost.len());
    assert!(again.iter().all(|m| m.2 == HostId(3)), "{made:?}");
}

fn migrations(r: &Run) -> Vec<(u64, u32, HostId)> {
    let to = |d: &foreshade_types::Decision| match d.action {
        Action::Migrate { to } => Some((d.caused_by.0, d.vm.0, to)),
        _ => None,
    };
    r.decisions("migrate").filter_map(to).collect()
}

#[test]
fn vms_that_stay_apart_are_not_moved_together_over_the_whole_plan() {
    let r = play("apart-while-relieved");
    let mut hosts: Vec<_> = r.script.vms.iter().map(|v| v.host).collect();
    assert!(!migrations(&r).is_empty());
    for (_, vm, to) in migrations(&r) {
        hosts[vm as usize] = to;
        let db = [hosts[0], hosts[2], hosts[3]];
        assert!(db[0] != db[1] && db[0] != db[2] && db[1] != db[2], "{:?}", migrations(&r));
    }
    let seen = |s: &foreshade_sim::scenario::Step| [0, 2, 3].map(|vm| s.observed[vm].host);
    assert!(r.steps.iter().map(seen).all(|h| h[0] != h[1] && h[0] != h[2] && h[1] != h[2]));
    // Without the rule both would have gone where db2 is.
    let mut free = r.script.clone();
    free.vms.iter_mut().for_each(|v| v.rules.apart.clear());
    assert!(migrations(&run(&free).unwrap()).iter().any(|(_, _, to)| *to == HostId(2)));
}

#[test]
fn pins_opt_outs_and_company_are_kept_while_a_host_runs_over() {
    let r = play("pinned-and-opted-out");
    let moved: Vec<_> = migrations(&r).into_iter().map(|(_, vm, to)| (vm, to)).collect();
    assert_eq!(moved, [(0, HostId(2))]);
    assert!(r.steps.iter().flat_map(|s| &s.decisions).all(|d| d.vm != VmId(1)), "nothing is done to it");
    let r = play("pinned-for-good");
    assert_eq!(migrations(&r), []);
    let full = &r.steps[r.steps.len() - 2];
    for why in [HoldReason::Pinned, HoldReason::OptedOut] {
        assert_eq!(full.holds.get(&why), Some(&1), "{:?}", full.holds);
    }
    assert_eq!(full.holds.get(&HoldReason::Together), Some(&2), "{:?}", full.holds);
}

#[test]
fn a_move_that_was_right_when_planned_is_refused_when_it_is_wrong() {
    let r = play("moved-by-hand");
    let first = r.steps.iter().find(|s| s.tick.0 == 151).unwrap();
    let tried = first.decisions.iter().zip(&first.outcomes);
    let tried: Vec<_> = tried.filter(|(d, _)| d.action == Action::Migrate { to: HostId(1) }).collect();
    assert_eq!(tried.len(), 1);
    assert_eq!(tried[0].1.kind, foreshade_types::OutcomeKind::Precondition);
    assert!(r.steps.iter().all(|s| s.observed[0].host != s.observed[2].host));
    assert_eq!(migrations(&r).last(), Some(&(152, 0, HostId(1))), "and made when it is right again");
    assert_eq!(r.totals.migrations, 1);
}

#[test]
fn shadows_of_vms_that_stay_apart_stay_apart() {
    let r = play("shadows-stay-apart");
    let domain = |h: HostId| r.script.kinds[&h.0].domain;
    let on = |d: &foreshade_types::Decision| match d.action {
        Action::CreateShadow { host, .. } => Some((d.vm, domain(host))),
        _ => None,
    };
    let made: Vec<_> = r.decisions("create-shadow").filter_map(on).collect();
    assert_eq!(made.len(), 1, "one chassis is left for shadows: {made:?}");
    assert_eq!(r.steps[3].holds.get(&HoldReason::NoShadowHost), Some(&2));
}

#[test]
fn a_move_that_would_not_converge_is_not_chosen_and_the_account_says_so() {
    let r = play("move-would-not-converge");
    let moved = when(&r, "migrate");
    assert!(moved.iter().all(|m| m.1 == 1), "the one that reads, not those that write: {moved:?}");
    assert!(!moved.is_empty());
    assert!(r.steps.iter().any(|s| s.unrelieved.contains(&(HostId(0), HoldReason::WouldNotConverge))));
    assert!(r.account().contains("a migration would not converge"));
}

#[test]
fn the_second_move_is_estimated_by_what_the_first_one_showed() {
    let r = play("move-learns-bandwidth");
    let moves: Vec<_> = r.steps.iter().flat_map(|s| s.decisions.iter().zip(&s.outcomes)).collect();
    let moves: Vec<_> = moves.into_iter().filter(|(d, _)| d.action.name() == "migrate").collect();
    let off_percent = |(d, o): &(&foreshade_types::Decision, &foreshade_types::Outcome)| {
        let took_ms = o.effective_at_ms - d.caused_by.0 * 300_000;
        (i64::from(d.reason.worth.move_s) * 1000 - took_ms as i64).unsigned_abs() * 100 / took_ms
    };
    assert!(moves.len() >= 2, "{moves:?}");
    assert!(off_percent(&moves[0]) > 40, "the policy is wrong about the network");
    assert!(moves[1..].iter().all(|m| off_percent(m) <= 20), "{moves:?}");
}

/// No VM has two copies that may write, and one that runs has one that does, where it runs.
fn one_writer(r: &Run) {
    for s in &r.steps {
        for (vm, on) in &s.writers {
            assert!(on.len() <= 1, "{vm} at {}: {on:?}", s.tick);
            let runs = s.observed.iter().find(|o| o.vm == *vm).map(|o| o.host);
            assert!(runs.is_none_or(|h| on[..] == [h]), "{vm} at {}: {runs:?}, writes {on:?}", s.tick);
        }
    }
}

/// From the start of a fail-over or restart to when it serves, seconds.
fn away_s(r: &Run, vm: u32) -> Vec<u64> {
    let all = r.steps.iter().flat_map(|s| s.decisions.iter().zip(&s.outcomes));
    let of = |d: &foreshade_types::Decision| {
        d.vm == VmId(vm) && matches!(d.action, Action::FailOver { .. } | Action::Restart { .. })
    };
    let cadence_ms = u64::from(r.script.cadence_s) * 1000;
    all.filter(|(d, _)| of(d)).map(|(d, o)| (o.effective_at_ms - d.caused_by.0 * cadence_ms) / 1000).collect()
}

#[test]
fn a_vm_without_heartbeat_goes_on_at_its_shadow_and_gets_a_new_one() {
    let r = play("failover-heartbeat");
    one_writer(&r);
    let over: Vec<_> = r.decisions("fail-over").collect();
    assert_eq!((over.len(), over[0].caused_by, over[0].reason.rule), (1, Tick(150), Rule::HeartbeatLost));
    let Action::FailOver { host, generation, hooks, .. } = over[0].action else { panic!("{over:?}") };
    assert_eq!((generation, r.script.policy.failover.hooks_of(hooks).count()), (1, 1));
    // 20 s to shut down, 5 s to cut off, 2 s for the hook, 2 s to take over.
    assert_eq!(away_s(&r, 0), [29]);
    let after = |t: u64| &r.steps.iter().find(|s| s.tick.0 == t).unwrap().observed[0];
    assert_eq!(after(151).host, host);
    // H7: the new primary has a shadow again, elsewhere.
    let made = r.decisions("create-shadow").last().unwrap();
    let Action::CreateShadow { host: again, .. } = made.action else { panic!("{made:?}") };
    assert!(made.caused_by > Tick(150) && again != host);
    assert!(r.steps.last().unwrap().observed[0].shadow.is_some());
    // In sub-steps of 10 s.
    assert_eq!(r.totals.down_ms / 1000, 300 + 30, "the interval in which it hung, and the fail-over");
}

#[test]
fn no_fail_over_onto_a_copy_that_lags() {
    let r = play("failover-lagging-copy");
    one_writer(&r);
    let over = r.decisions("fail-over").map(|d| d.caused_by.0).collect::<Vec<_>>();
    assert_eq!(over.len(), 1);
    assert!(over[0] >= 154, "{over:?}");
    let recovered = r.decisions("recover-sync").map(|d| d.caused_by.0).collect::<Vec<_>>();
    assert_eq!(recovered[0], 150, "{recovered:?}");
    for t in 151..154 {
        let s = r.steps.iter().find(|s| s.tick.0 == t).unwrap();
        let held = s.holds.contains_key(&HoldReason::NotSynchronised);
        assert!(held || recovered.contains(&t), "{t}: {:?}", s.holds);
    }
}

#[test]
fn a_lost_host_is_brought_back_in_order_of_priority_as_far_as_there_is_room() {
    let r = play("failover-host-lost");
    one_writer(&r);
    let at = r.steps.iter().find(|s| s.tick.0 == 150).unwrap();
    let back: Vec<_> = at.decisions.iter().filter(|d| d.observed_host == HostId(0)).collect();
    assert!(back.iter().all(|d| d.reason.rule == Rule::HostLost));
    let order: Vec<_> = back.iter().map(|d| (d.vm.0, d.action.name())).collect();
    assert_eq!(order, [(3, "restart"), (1, "restart"), (2, "fail-over")]);
    assert_eq!(at.provision.iter().map(|p| p.0).collect::<Vec<_>>(), [VmId(0)], "machines are asked for");
    assert_eq!(at.holds.get(&HoldReason::NoRoom), Some(&1));
    assert!(away_s(&r, 2)[0] < 30 && away_s(&r, 1)[0] > 90);
    let last = r.steps.last().unwrap();
    assert_eq!(last.observed.iter().map(|o| o.vm.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(last.observed.iter().all(|o| o.host != HostId(0)));
}

#[test]
fn a_relapse_is_another_decision_and_not_a_loop() {
    let r = play("failover-relapse");
    one_writer(&r);
    let over = r.decisions("fail-over").map(|d| d.caused_by.0).collect::<Vec<_>>();
    let base = r.script.policy.failover.cool_down_ticks;
    assert!(over.len() >= 2, "{over:?}");
    for (i, w) in over.windows(2).enumerate() {
        assert!(w[1] - w[0] >= base << i, "{over:?}");
    }
    assert!(r.steps.iter().any(|s| s.holds.contains_key(&HoldReason::FailOverRest)));
}

#[test]
fn a_premium_vm_keeps_a_shadow_that_can_take_it_over_within_its_time() {
    let r = play("failover-premium");
    one_writer(&r);
    let made: Vec<_> = r.decisions("create-shadow").filter(|d| d.caused_by.0 < 150).collect();
    assert_eq!(made.iter().map(|d| d.vm).collect::<Vec<_>>(), [VmId(0)]);
    let Action::CreateShadow { size, .. } = made[0].action else { panic!("{made:?}") };
    assert!(size.cpu.0 >= 4000 && size.memory.0 >= 8 * 1024, "{size:?}");
    assert!(away_s(&r, 0)[0] <= 30 && away_s(&r, 1)[0] > 90);
}

#[test]
fn without_fail_over_a_lost_host_takes_its_vms_with_it() {
    let text = std::fs::read_to_string(path("failover-premium", "txt")).unwrap();
    let off = run(&Script::parse(&format!("{text}policy failover.on_host_loss false\n")).unwrap()).unwrap();
    assert!(off.decisions("restart").chain(off.decisions("fail-over")).count() == 0);
    assert_eq!(off.steps.last().unwrap().observed.len(), 1, "the VM on the other host");
    let on = run(&Script::parse(&text).unwrap()).unwrap();
    assert!(off.totals.down_ms > 4 * on.totals.down_ms, "{} {}", off.totals.down_ms, on.totals.down_ms);
}
