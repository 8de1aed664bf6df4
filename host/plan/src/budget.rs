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
}

impl CoolDown {
    /// Notes a move at `now`: the VM rests `base_ticks`, and twice as long after each further move (at most 2^6-fold).
    pub fn moved(&mut self, now: Tick, base_ticks: u64) {
        self.until = Tick(now.0 + (base_ticks << self.moves.min(6)));
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
    fn the_budget_runs_out() {
        let mut b = Budget::new(2, 1);
        assert!(b.take());
        assert!(!b.take());
        assert_eq!(Budget::new(2, 5).left(), 0);
    }
}
