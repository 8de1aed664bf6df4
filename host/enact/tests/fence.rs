//! Never two writers: a controller and three hosts over a network that loses, repeats, delays and reorders, with restarts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use foreshade_enact::fence::{Arbiter, FenceError, Guard, Message, Stage};
use foreshade_types::HostId;
use proptest::prelude::*;

const LIMIT_MS: u64 = 10;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// The controller sends what is to be sent, after so many ms.
    Tick(u64),
    /// One of the messages under way arrives; `true`: and may arrive again.
    Arrives(usize, bool),
    /// One is lost.
    Lost(usize),
    /// The appliance asks for a fail-over to a host; `false`: with a generation that is not the next.
    FailOver(u32, bool),
    /// The controller restarts from what it wrote down last.
    ControllerRestarts,
    /// The guest on a host hangs, or does not.
    Hangs(u32, bool),
    /// A host's power is cut, and the controller knows (`true`) or does not.
    PowerOff(u32, bool),
}

fn any_happening() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (0u64..8).prop_map(Happens::Tick),
        8 => (0usize..64, any::<bool>()).prop_map(|(i, again)| Happens::Arrives(i, again)),
        2 => (0usize..64).prop_map(Happens::Lost),
        3 => (0u32..3, prop::bool::weighted(0.9)).prop_map(|(to, next)| Happens::FailOver(to, next)),
        1 => Just(Happens::ControllerRestarts),
        1 => (0u32..3, any::<bool>()).prop_map(|(h, hangs)| Happens::Hangs(h, hangs)),
        1 => (0u32..3, any::<bool>()).prop_map(|(h, known)| Happens::PowerOff(h, known)),
    ]
}

struct World {
    arbiter: Arbiter,
    durable: Arbiter,
    guards: [Guard; 3],
    hangs: [bool; 3],
    to_host: Vec<(HostId, Message)>,
    to_controller: Vec<(HostId, Message)>,
    now_ms: u64,
}

impl World {
    fn new() -> Self {
        Self {
            arbiter: Arbiter::new(HostId(0)),
            durable: Arbiter::new(HostId(0)),
            guards: [Guard::holding(), Guard::default(), Guard::default()],
            hangs: [false; 3],
            to_host: vec![],
            to_controller: vec![],
            now_ms: 0,
        }
    }

    fn happens(&mut self, h: Happens) {
        match h {
            Happens::Tick(ms) => {
                self.now_ms += ms;
                let sends = self.arbiter.tick(self.now_ms, LIMIT_MS);
                // Written down before it is sent.
                self.durable = self.arbiter.clone();
                self.to_host.extend(sends);
                for (h, g) in (0u32..).zip(&self.guards) {
                    self.to_controller.extend(g.asks().map(|m| (HostId(h), m)));
                }
            }
            Happens::Arrives(i, again) => self.arrives(i, again),
            Happens::Lost(i) => {
                let n = self.to_host.len();
                if i < n {
                    self.to_host.remove(i);
                } else if i - n < self.to_controller.len() {
                    self.to_controller.remove(i - n);
                }
            }
            Happens::FailOver(to, next) => {
                let generation = self.arbiter.generation() + u32::from(next);
                let begun = self.arbiter.fail_over(HostId(to), generation, self.now_ms);
                assert!(next || begun.is_err(), "a generation is given once");
                self.durable = self.arbiter.clone();
            }
            Happens::ControllerRestarts => self.arbiter = self.durable.clone(),
            Happens::Hangs(h, hangs) => self.hangs[h as usize] = hangs,
            Happens::PowerOff(h, known) => {
                self.guards[h as usize].power_off();
                if known {
                    self.arbiter.power_is_off(HostId(h));
                    self.durable = self.arbiter.clone();
                }
            }
        }
    }

    fn arrives(&mut self, i: usize, again: bool) {
        let n = self.to_host.len();
        // One of those that are under way, if any are.
        let i = i % (n + self.to_controller.len()).max(1);
        if i < n {
            let (to, m) = if again { self.to_host[i] } else { self.to_host.remove(i) };
            let h = to.0 as usize;
            let answer = self.guards[h].hear(m, !self.hangs[h]);
            self.to_controller.extend(answer.map(|a| (to, a)));
        } else if i - n < self.to_controller.len() {
            let j = i - n;
            let (from, m) = if again { self.to_controller[j] } else { self.to_controller.remove(j) };
            let answer = self.arbiter.hear(from, m);
            self.durable = self.arbiter.clone();
            self.to_host.extend(answer.map(|a| (from, a)));
        }
    }

    fn writers(&self) -> usize {
        self.guards.iter().filter(|g| g.writes()).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn two_copies_never_write_at_once(happenings in prop::collection::vec(any_happening(), 1..200)) {
        let mut w = World::new();
        for h in happenings {
            w.happens(h);
            prop_assert!(w.writers() <= 1, "{h:?}: {:?} {:?}", w.guards, w.arbiter);
        }
        // When the network works again, what was begun ends, and somebody writes.
        let hung = w.hangs;
        for _ in 0..64 {
            w.happens(Happens::Tick(LIMIT_MS));
            while w.to_host.len() + w.to_controller.len() > 0 {
                w.happens(Happens::Arrives(0, false));
                prop_assert!(w.writers() <= 1, "{:?} {:?}", w.guards, w.arbiter);
            }
        }
        prop_assert_eq!(w.arbiter.stage(), Stage::Held, "{:?}", hung);
    }
}

#[test]
fn a_primary_that_shuts_down_is_asked_and_one_that_hangs_is_cut_off() {
    for hangs in [false, true] {
        let mut w = World::new();
        w.hangs[0] = hangs;
        w.happens(Happens::FailOver(1, true));
        let mut sent = Vec::new();
        for _ in 0..8 {
            w.happens(Happens::Tick(4));
            sent.extend(w.to_host.iter().map(|m| m.1));
            while w.to_host.len() + w.to_controller.len() > 0 {
                w.happens(Happens::Arrives(0, false));
            }
        }
        assert_eq!(sent.contains(&Message::Fence(0)), hangs, "{sent:?}");
        assert_eq!(sent[0], Message::Stop(0), "it is asked first");
        assert_eq!([w.guards[0].writes(), w.guards[1].writes()], [false, true]);
        assert_eq!((w.arbiter.generation(), w.arbiter.stage()), (1, Stage::Held));
    }
}

#[test]
fn a_fail_over_is_begun_once_and_to_another_host() {
    let mut a = Arbiter::new(HostId(0));
    assert_eq!(a.fail_over(HostId(0), 1, 0), Err(FenceError::SameHost));
    assert_eq!(a.fail_over(HostId(1), 2, 0), Err(FenceError::Generation { got: 2, want: 1 }));
    assert_eq!(a.fail_over(HostId(1), 1, 0), Ok(()));
    assert_eq!(a.fail_over(HostId(2), 1, 0), Err(FenceError::UnderWay));
    a.power_is_off(HostId(0));
    a.hear(HostId(1), Message::Granted(1));
    assert_eq!(a.fail_over(HostId(1), 1, 0), Err(FenceError::Generation { got: 1, want: 2 }), "a repeat");
}

#[test]
fn a_grant_that_arrives_after_its_generation_was_fenced_is_not_taken() {
    let mut g = Guard::default();
    assert_eq!(g.hear(Message::Grant(1), true), Some(Message::Granted(1)));
    assert_eq!(g.hear(Message::Fence(1), true), Some(Message::Fenced(1)));
    assert_eq!((g.hear(Message::Grant(1), true), g.writes()), (None, false), "the network had kept a copy");
    assert_eq!(g.hear(Message::Grant(3), true), Some(Message::Granted(3)));
    // Without power it takes none before the controller has answered this boot.
    g.power_off();
    assert_eq!((g.hear(Message::Grant(3), true), g.asks()), (None, Some(Message::Hello(1))));
    g.hear(Message::Rejoin { boot: 0, below: 4 }, true);
    assert_eq!(g.hear(Message::Grant(4), true), None, "the answer to an earlier boot");
    g.hear(Message::Rejoin { boot: 1, below: 4 }, true);
    assert_eq!(
        [g.hear(Message::Grant(3), true), g.hear(Message::Grant(4), true)],
        [None, Some(Message::Granted(4))]
    );
}
