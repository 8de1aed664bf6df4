//! What keeps moves rare: a budget per rack and tick, and a rest per VM that doubles with each move.

use foreshade_types::{HostId, Tick};

/// Moves a rack may still start this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(u32);

impl Budget {
    /// `per_tick` moves, less those still under way.
    pub fn new(per_tick: u32, in_flight: u32) -> Self {
        Self(per_tick.saturating_sub(in_flight))
    }

    /// Takes one; `false` when there is none left.
    pub fn take(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }

    /// How many are left.
    pub fn left(self) -> u32 {
        self.0
    }
}

/// How long VMs rest, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// After a first move; twice as long after each further one.
    pub base_ticks: u64,
    /// Never longer than this.
    pub cap_ticks: u64,
    /// Moves that are longer ago do not count.
    pub window_ticks: u64,
}

/// A VM's rest after moves, and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoolDown {
    moves: u32,
    until: Tick,
    /// When the last ones were and which host was left, round and round.
    last: [(Tick, HostId); CoolDown::REMEMBERED],
}

impl CoolDown {
    /// Moves that are kept.
    const REMEMBERED: usize = 8;

    fn within(&self, now: Tick, window_ticks: u64) -> impl Iterator<Item = HostId> + '_ {
        let kept = (self.moves as usize).min(Self::REMEMBERED);
        self.last[..kept].iter().filter(move |(t, _)| now.since(*t) < window_ticks).map(|(_, h)| *h)
    }

    /// Moves in the `window_ticks` before `now`, as far as they are remembered.
    pub fn recent(&self, now: Tick, window_ticks: u64) -> u32 {
        self.within(now, window_ticks).count() as u32
    }

    /// Notes a move away from `from` at `now`: the VM rests, the longer the more it has moved of late.
    pub fn moved(&mut self, now: Tick, from: HostId, rest: &Rest) {
        let doublings = self.recent(now, rest.window_ticks).min(Self::REMEMBERED as u32);
        self.until = Tick(now.0 + (rest.base_ticks << doublings).min(rest.cap_ticks));
        self.last[self.moves as usize % Self::REMEMBERED] = (now, from);
        self.moves += 1;
    }

    /// Is the VM resting at `now`?
    pub fn rests(&self, now: Tick) -> bool {
        now < self.until
    }

    /// Hosts that it left in the `window_ticks` before `now`.
    pub fn trail(&self, now: Tick, window_ticks: u64) -> Trail {
        let mut trail = Trail::default();
        trail.left.iter_mut().zip(self.within(now, window_ticks)).for_each(|(slot, h)| *slot = Some(h));
        trail
    }
}

/// Where a VM comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trail {
    /// Hosts that it left within the policy's `cycle_window_ticks`.
    pub left: [Option<HostId>; CoolDown::REMEMBERED],
}

impl Trail {
    /// Would a move to `host` close a circle?
    pub fn leads_back_to(&self, host: HostId) -> bool {
        self.left.contains(&Some(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(0);

    fn rest(base_ticks: u64) -> Rest {
        Rest { base_ticks, cap_ticks: 384, window_ticks: 1000 }
    }

    #[test]
    fn the_rest_doubles() {
        let mut c = CoolDown::default();
        assert!(!c.rests(Tick(0)));
        c.moved(Tick(10), A, &rest(6));
        assert!(c.rests(Tick(15)) && !c.rests(Tick(16)));
        c.moved(Tick(16), A, &rest(6));
        assert!(c.rests(Tick(27)) && !c.rests(Tick(28)));
        for _ in 0..100 {
            c.moved(Tick(100), A, &rest(6));
        }
        assert!(c.rests(Tick(100 + 383)) && !c.rests(Tick(100 + 384)), "no longer than the cap");
    }

    #[test]
    fn moves_that_are_long_ago_do_not_double_the_rest() {
        let mut c = CoolDown::default();
        c.moved(Tick(10), A, &rest(6));
        c.moved(Tick(1010), A, &rest(6));
        assert!(c.rests(Tick(1015)) && !c.rests(Tick(1016)), "the window has passed");
        c.moved(Tick(1020), A, &rest(6));
        assert!(c.rests(Tick(1031)));
    }

    #[test]
    fn where_it_came_from_is_known_for_a_while() {
        let mut c = CoolDown::default();
        c.moved(Tick(10), HostId(3), &rest(6));
        c.moved(Tick(20), HostId(4), &rest(6));
        let back = |now, h| c.trail(Tick(now), 100).leads_back_to(HostId(h));
        assert_eq!([back(30, 3), back(30, 4), back(30, 5)], [true, true, false]);
        assert_eq!([back(110, 3), back(110, 4)], [false, true]);
    }

    #[test]
    fn moves_are_recent_for_a_while() {
        let mut c = CoolDown::default();
        assert_eq!(c.recent(Tick(0), 10), 0);
        c.moved(Tick(5), A, &rest(1));
        c.moved(Tick(8), A, &rest(1));
        assert_eq!([c.recent(Tick(14), 10), c.recent(Tick(15), 10), c.recent(Tick(18), 10)], [2, 1, 0]);
        (20..40).for_each(|t| c.moved(Tick(t), A, &rest(1)));
        assert_eq!(c.recent(Tick(40), 100), 8, "no more are remembered");
    }

    #[test]
    fn the_budget_runs_out() {
        let mut b = Budget::new(2, 1);
        assert!(b.take());
        assert!(!b.take());
        assert_eq!(Budget::new(2, 5).left(), 0);
    }
}
