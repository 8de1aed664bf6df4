//! The lockstep loop: one event at a time, its effects carried out in order.

use std::collections::BTreeMap;
use std::time::Duration;

use foreshade_appliance_core::{
    Core, CoreError, Effect, Event, FollowLine, Journal, JournalError, Order, OrderRecord, Summary,
};
use foreshade_link::server::{LinkEvent, PeerHandle};
use foreshade_types::{HostId, RackId, Tick};
use foreshade_wire::{Message, RefusalCode};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The lockstep gives up when nothing moves for this long.
    pub wait_max_ms: u64,
    /// Trace seconds per wall second after the warm-up; `None` = as fast as it goes.
    pub speed: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { wait_max_ms: 10_000, speed: None }
    }
}

/// Whoever watches a run. Calls come from the loop: return soon.
pub trait Observer {
    /// A tick was planned.
    fn planned(&mut self, core: &Core, summary: &Summary);
    /// Samples or a peer were refused.
    fn refused(&mut self, text: &str);
    /// An operator's order is in force.
    fn ordered(&mut self, order: &OrderRecord) {
        let _ = order;
    }
    /// A hop of the followed VM.
    fn followed(&mut self, line: &FollowLine);
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The last tick was answered.
    Finished,
    /// Asked to stop; this tick was the last that all racks answered.
    Stopped(Option<Tick>),
}

/// What stops the appliance.
#[derive(Debug, Error)]
pub enum ApplianceError {
    /// The core.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The journal: nothing of that tick was sent.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Somebody did not speak in time.
    #[error("waited {wait_ms} ms for {peers}; check that it runs and that UDP reaches the appliance")]
    Waited {
        /// How long.
        wait_ms: u64,
        /// For whom.
        peers: String,
    },
    /// The link ended.
    #[error("the listening endpoint closed")]
    Closed,
}

/// Peers that are connected now.
#[derive(Debug, Default)]
struct Peers {
    agents: BTreeMap<HostId, PeerHandle>,
    controllers: BTreeMap<RackId, PeerHandle>,
    /// The last tick that all racks answered.
    done: Option<Tick>,
}

/// An order as an operator gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who, for the journal.
    pub who: String,
    /// What.
    pub order: Order,
}

/// What reaches a run from its operators.
#[derive(Debug)]
pub struct Control {
    /// Turns true to end it.
    pub stop: watch::Receiver<bool>,
    /// Orders; each is durable before the next thing is done. Nobody at the other end means no orders.
    pub orders: mpsc::Receiver<Said>,
}

impl From<watch::Receiver<bool>> for Control {
    /// Nobody gives orders.
    fn from(stop: watch::Receiver<bool>) -> Self {
        Self { stop, orders: mpsc::channel(1).1 }
    }
}

/// Runs the core on link events until its last tick, or until it is told to stop.
pub async fn run(
    core: &mut Core,
    events: &mut mpsc::Receiver<LinkEvent>,
    journal: &mut dyn Journal,
    observer: &mut dyn Observer,
    mut control: Control,
    options: Options,
) -> Result<End, ApplianceError> {
    let mut peers = Peers::default();
    loop {
        let event = tokio::select! {
            biased;
            _ = control.stop.wait_for(|s| *s) => return Ok(End::Stopped(peers.done)),
            Some(said) = control.orders.recv() => {
                follow(core, journal, observer, said)?;
                continue;
            }
            e = timeout(Duration::from_millis(options.wait_max_ms), events.recv()) => e,
        };
        let event = event.map_err(|_| waited(core, options))?.ok_or(ApplianceError::Closed)?;
        let Some(event) = peers.note(core, event, observer) else { continue };
        for effect in core.apply(event)? {
            match effect {
                Effect::Commit(record) => journal.commit(&record)?,
                Effect::Send { rack, tick, decisions } => {
                    peers.send(rack, &Message::Decisions { tick, decisions }, observer);
                }
                Effect::Release(tick) => {
                    peers.done = tick.0.checked_sub(1).map(Tick);
                    // The warm-up is history: nobody waits for it.
                    let speed = options.speed.filter(|_| tick > core.config().first_decision);
                    if pause(core, journal, observer, speed, &mut control).await? {
                        return Ok(End::Stopped(peers.done));
                    }
                    peers.release(tick, observer);
                }
                Effect::Refused { text, .. } => observer.refused(&text),
                effect @ (Effect::Ordered(_) | Effect::OrderRefused { .. }) => {
                    order_effect(journal, observer, &effect)?;
                }
                Effect::Follow(line) => observer.followed(&line),
                Effect::Planned(summary) => observer.planned(core, &summary),
                Effect::Finished => return Ok(End::Finished),
            }
        }
    }
}

/// Gives an order to the core. It is durable before this returns.
fn follow(
    core: &mut Core,
    journal: &mut dyn Journal,
    observer: &mut dyn Observer,
    Said { who, order }: Said,
) -> Result<(), ApplianceError> {
    for effect in core.apply(Event::Operator { who, order })? {
        order_effect(journal, observer, &effect)?;
    }
    Ok(())
}

/// What an order brings; other effects are not its.
fn order_effect(
    journal: &mut dyn Journal,
    observer: &mut dyn Observer,
    effect: &Effect,
) -> Result<(), ApplianceError> {
    match effect {
        Effect::Ordered(record) => {
            journal.order(record)?;
            observer.ordered(record);
        }
        Effect::OrderRefused { who, text } => observer.refused(&format!("{who}: {text}")),
        _ => {}
    }
    Ok(())
}

/// Waits as long as an interval of the trace takes at this speed; orders are taken meanwhile. True = asked to stop.
async fn pause(
    core: &mut Core,
    journal: &mut dyn Journal,
    observer: &mut dyn Observer,
    speed: Option<f64>,
    control: &mut Control,
) -> Result<bool, ApplianceError> {
    let Some(speed) = speed else { return Ok(false) };
    // A speed so low that the wait has no number waits for the stop alone.
    let wait =
        Duration::try_from_secs_f64(f64::from(core.config().cadence_s) / speed).unwrap_or(Duration::MAX);
    let over = tokio::time::sleep(wait);
    tokio::pin!(over);
    loop {
        tokio::select! {
            biased;
            _ = control.stop.wait_for(|s| *s) => return Ok(true),
            Some(said) = control.orders.recv() => follow(core, journal, observer, said)?,
            () = &mut over => return Ok(false),
        }
    }
}

fn waited(core: &Core, options: Options) -> ApplianceError {
    let (hosts, racks) = core.waiting_for();
    let agents = hosts.iter().map(|h| format!("the agent of {h}"));
    let controllers = racks.iter().map(|r| format!("the controller of {r}"));
    let mut names: Vec<_> = agents.chain(controllers).collect();
    if names.len() > 3 {
        let more = names.len() - 3;
        names.truncate(3);
        names.push(format!("{more} more"));
    }
    ApplianceError::Waited { wait_ms: options.wait_max_ms, peers: names.join(", ") }
}

impl Peers {
    /// Keeps track of who is there; gives back what the core must know.
    fn note(&mut self, core: &Core, event: LinkEvent, observer: &mut dyn Observer) -> Option<Event> {
        match event {
            LinkEvent::AgentUp { peer, host, rack, .. } => {
                let known =
                    core.config().racks.iter().any(|r| r.id == rack && r.hosts.iter().any(|h| h.id == host));
                if !known {
                    peer.refuse(RefusalCode::Host, format!("{host} is not a host of {rack} here"));
                    return None;
                }
                if let Some(tick) = core.released() {
                    let _ = peer.send(&Message::Release { tick });
                }
                self.agents.insert(host, peer);
                None
            }
            LinkEvent::ControllerUp { peer, rack, .. } => {
                if !core.config().racks.iter().any(|r| r.id == rack) {
                    peer.refuse(RefusalCode::Rack, format!("{rack} is not served here"));
                    return None;
                }
                if let Some((tick, decisions)) = core.unanswered(rack) {
                    let _ = peer.send(&Message::Decisions { tick, decisions: decisions.to_vec() });
                }
                self.controllers.insert(rack, peer);
                None
            }
            LinkEvent::Telemetry { host, tick, ipc, .. } => Some(Event::Telemetry { host, tick, ipc }),
            LinkEvent::EndOfTick { host, tick, rows, .. } => Some(Event::EndOfTick { host, tick, rows }),
            LinkEvent::Outcomes { rack, tick, outcomes, .. } => {
                Some(Event::Outcomes { rack, tick, outcomes })
            }
            LinkEvent::Down { .. } => None,
            LinkEvent::Refused { who, why } => {
                observer.refused(&format!("{who}: {why}"));
                None
            }
        }
    }

    fn send(&self, rack: RackId, message: &Message, observer: &mut dyn Observer) {
        // A controller that is away gets it when it is back: the link keeps it.
        if let Some(Err(e)) = self.controllers.get(&rack).map(|p| p.send(message)) {
            observer.refused(&format!("controller of {rack}: {e}"));
        }
    }

    fn release(&self, tick: Tick, observer: &mut dyn Observer) {
        for (host, p) in &self.agents {
            if let Err(e) = p.send(&Message::Release { tick }) {
                observer.refused(&format!("agent of {host}: {e}"));
            }
        }
    }
}
