//! What keeps moves rare: a budget per rack and tick, and a rest per VM that doubles with each move.

use foreshade_types::Tick;

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

/// A VM's rest after moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoolDown {
    moves: u32,
    until: Tick,
    /// When the last ones were, round and round.
    last: [Tick; CoolDown::REMEMBERED],
}

impl CoolDown {
    /// Moves whose time is kept.
    const REMEMBERED: usize = 8;

    /// Moves in the `window_ticks` before `now`, as far as they are remembered.
    pub fn recent(&self, now: Tick, window_ticks: u64) -> u32 {
        let kept = (self.moves as usize).min(Self::REMEMBERED);
        self.last[..kept].iter().filter(|t| now.since(**t) < window_ticks).count() as u32
    }

    /// Notes a move at `now`: the VM rests `base_ticks`, and twice as long after each further move (at most 2^6-fold).
    pub fn moved(&mut self, now: Tick, base_ticks: u64) {
        self.until = Tick(now.0 + (base_ticks << self.moves.min(6)));
        self.last[self.moves as usize % Self::REMEMBERED] = now;
        self.moves += 1;
    }

    /// Is the VM resting at `now`?
    pub fn rests(&self, now: Tick) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_doubles() {
        let mut c = CoolDown::default();
        assert!(!c.rests(Tick(0)));
        c.moved(Tick(10), 6);
        assert!(c.rests(Tick(15)) && !c.rests(Tick(16)));
        c.moved(Tick(16), 6);
        assert!(c.rests(Tick(27)) && !c.rests(Tick(28)));
        for _ in 0..100 {
            c.moved(Tick(100), 6);
        }
        assert!(!c.rests(Tick(100 + 6 * 64)));
    }

    #[test]
    fn moves_are_recent_for_a_while() {
        let mut c = CoolDown::default();
        assert_eq!(c.recent(Tick(0), 10), 0);
        c.moved(Tick(5), 1);
        c.moved(Tick(8), 1);
        assert_eq!([c.recent(Tick(14), 10), c.recent(Tick(15), 10), c.recent(Tick(18), 10)], [2, 1, 0]);
        (20..40).for_each(|t| c.moved(Tick(t), 1));
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
