//! A replay over real QUIC with real certificates: nothing lost, nothing twice, whatever happens to the connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foreshade_types::Tick;

mod support;

use support::link::{ca, limits, serve};
use support::proxy::{Mode, Proxy};
use support::{
    DropWhen, agent_config, appliance, check_complete, controller_config, play_agent, play_controller,
};

const HOSTS: u32 = 3;

/// [`play_on`], which must end in good time: a peer that waits for what never comes is a failure, not a hang.
async fn play(ticks: u64, mode: Option<Mode>, agents: DropWhen, controller: DropWhen) -> (u64, u64) {
    let run = play_on(ticks, mode, agents, controller);
    tokio::time::timeout(Duration::from_secs(20), run).await.expect("the replay stands still")
}

/// Plays `ticks` ticks; returns the connections of all agents and of the controller.
async fn play_on(ticks: u64, mode: Option<Mode>, agents: DropWhen, controller: DropWhen) -> (u64, u64) {
    let ca = ca();
    let (server, events) = serve(&ca, 1);
    let proxy = mode.map(|mode| Proxy::start(server.local_addr(), 7, mode));
    let addr = proxy.as_ref().map_or(server.local_addr(), Proxy::addr);
    let appliance = tokio::spawn(appliance(events, server, HOSTS, ticks));
    let spawn = |host| tokio::spawn(play_agent(agent_config(&ca, addr, host, limits()), agents));
    let players: Vec<_> = (0..HOSTS).map(spawn).collect();
    let (told, controller) = play_controller(controller_config(&ca, addr, limits()), controller).await;
    let mut connections = 0;
    for player in players {
        connections += player.await.expect("agent");
    }
    if let Some(proxy) = &proxy {
        check_disturbed(proxy);
    }
    let seen = appliance.await.expect("appliance");
    check_complete(&seen, HOSTS, ticks);
    let ticks_told: Vec<u64> = told.iter().map(|(tick, _)| tick.0).collect();
    assert_eq!(ticks_told, (0..ticks).collect::<Vec<_>>());
    let seqs: Vec<u64> = told.into_iter().flat_map(|(_, seqs)| seqs).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    (connections, controller)
}

/// A fault that did not happen proves nothing.
fn check_disturbed(proxy: &Proxy) {
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    let counters = proxy.counters();
    match proxy.mode() {
        Mode::Loss { .. } => assert!(count(&counters.dropped) > 5),
        Mode::FlipBits { .. } => assert!(count(&counters.flipped) > 5),
        _ => assert!(count(&counters.passed) > 50),
    }
}

fn never(_: Tick, _: &'static str) -> bool {
    false
}

#[tokio::test]
async fn replay_runs_to_its_end_on_one_connection_each() {
    let connections = play(50, None, never, never).await;
    assert_eq!(connections, (u64::from(HOSTS), 1));
}

#[tokio::test]
async fn agents_that_lose_their_connection_lose_and_repeat_nothing() {
    let drops: DropWhen =
        |tick, when| (tick.0 % 4 == 1 && when == "after") || (tick.0 % 4 == 3 && when == "before");
    let (agents, _) = play(20, None, drops, never).await;
    assert_eq!(agents, u64::from(HOSTS) * 11);
}

#[tokio::test]
async fn a_controller_that_loses_its_connection_loses_and_repeats_nothing() {
    let drops: DropWhen =
        |tick, when| (tick.0 % 4 == 1 && when == "after") || (tick.0 % 4 == 3 && when == "before");
    let (_, controller) = play(20, None, never, drops).await;
    assert_eq!(controller, 11);
}

#[tokio::test]
async fn random_delays_and_overtaking_change_nothing() {
    play(15, Some(Mode::Delay { max_ms: 8 }), never, never).await;
}

#[tokio::test]
async fn lost_packets_change_nothing() {
    play(15, Some(Mode::Loss { percent: 5 }), never, never).await;
}

#[tokio::test]
async fn flipped_bits_are_never_delivered() {
    play(15, Some(Mode::FlipBits { percent: 10 }), never, never).await;
}
