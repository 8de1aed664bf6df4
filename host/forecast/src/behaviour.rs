//! Which behaviour a series shows: its traits beside those of the kinds that training has found.
//!
//! Training clusters the traits of recorded series (k-means, [`foreshade train`]); a series belongs to the kind whose centre
//! is nearest, once it has a window behind it with few gaps, and changes over only when another is clearly nearer.

use crate::WINDOW;
use crate::features::STATS;

/// Traits of a behaviour.
pub const TRAITS: usize = 8;

/// How much a new look at a series counts against those before: some two days of looks at 30 min.
const NEWS: f32 = 1.0 / 96.0;
/// Samples of a window that must be there for a look to tell something: nine of ten.
const SAMPLES: usize = WINDOW * 9 / 10;
/// Another kind must be this much nearer (squared distances) before a series changes over.
const CLEARLY: f32 = 0.8;

/// Level, spread, middle, tail, roughness and memory (5, 30 and 60 min) of a window, from its statistics.
pub fn traits(stat: impl Fn(usize) -> f32) -> [f32; TRAITS] {
    [stat(0), stat(1), stat(5), stat(8), stat(32), stat(35), stat(36), stat(37)]
}

const _: () = assert!(STATS == 48, "traits are picked from statistics of this order");

/// The kinds that training found.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviours {
    /// One centre per kind.
    pub centres: Vec<[f32; TRAITS]>,
    /// What a distance in each trait is measured in, above 0.
    pub unit: [f32; TRAITS],
}

impl Behaviours {
    /// Squared distance of traits from a centre.
    fn distance(&self, kind: usize, of: &[f32; TRAITS]) -> f32 {
        let differences = self.centres[kind].iter().zip(of).zip(&self.unit);
        differences.map(|((c, x), unit)| ((x - c) / unit).powi(2)).sum()
    }

    /// The nearest kind; 0 where there is none.
    pub fn nearest(&self, of: &[f32; TRAITS]) -> usize {
        let by_distance = |a: &usize, b: &usize| self.distance(*a, of).total_cmp(&self.distance(*b, of));
        (0..self.centres.len()).min_by(by_distance).unwrap_or(0)
    }
}

/// What has been seen of a series' behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Seen {
    traits: [f32; TRAITS],
    looks: u16,
    kind: Option<u8>,
}

impl Seen {
    /// The kind it belongs to; `None` while there is too little evidence.
    pub(crate) fn kind(&self) -> Option<usize> {
        self.kind.map(usize::from)
    }

    /// Takes a look at a series with so many samples in its window, and so many of them there; true when the kind has
    /// changed.
    pub(crate) fn look(
        &mut self,
        kinds: &Behaviours,
        [len, observed]: [usize; 2],
        now: [f32; TRAITS],
    ) -> bool {
        let before = self.kind;
        if len < WINDOW {
            // A new series, or one whose past was forgotten, is of no kind yet.
            *self = Self::default();
            return before.is_some();
        }
        if observed < SAMPLES {
            // Gaps look like something else; what was known stands.
            return false;
        }
        self.looks = self.looks.saturating_add(1);
        let share = NEWS.max(1.0 / f32::from(self.looks));
        self.traits.iter_mut().zip(now).for_each(|(t, x)| *t += share * (x - *t));
        let nearest = kinds.nearest(&self.traits);
        let moves = |kind: u8| {
            kinds.distance(nearest, &self.traits) < CLEARLY * kinds.distance(usize::from(kind), &self.traits)
        };
        if self.kind.is_none_or(moves) && !kinds.centres.is_empty() {
            self.kind = Some(nearest as u8);
        }
        self.kind != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Behaviours {
        Behaviours { centres: vec![[0.0; TRAITS], [1.0; TRAITS]], unit: [1.0; TRAITS] }
    }

    #[test]
    fn a_series_is_of_a_kind_once_its_window_is_whole() {
        let mut seen = Seen::default();
        assert!(!seen.look(&two(), [WINDOW - 1; 2], [0.9; TRAITS]));
        assert_eq!(seen.kind(), None);
        assert!(!seen.look(&two(), [WINDOW, SAMPLES - 1], [0.9; TRAITS]), "too many gaps");
        assert!(seen.look(&two(), [WINDOW, SAMPLES], [0.9; TRAITS]));
        assert_eq!(seen.kind(), Some(1));
        for _ in 0..50 {
            assert!(!seen.look(&two(), [WINDOW, SAMPLES - 1], [0.0; TRAITS]));
        }
        assert_eq!(seen.kind(), Some(1), "gaps change nothing");
        assert!(seen.look(&two(), [20; 2], [0.9; TRAITS]), "forgotten");
        assert_eq!(seen.kind(), None);
    }

    #[test]
    fn what_lies_between_two_kinds_does_not_go_to_and_fro() {
        let (mut seen, mut changes) = (Seen::default(), 0);
        for i in 0..400 {
            let x = if i % 2 == 0 { 0.47 } else { 0.53 };
            changes += u32::from(seen.look(&two(), [WINDOW; 2], [x; TRAITS]));
        }
        assert_eq!(changes, 1, "only the first");
        let after = (0..400).position(|_| seen.look(&two(), [WINDOW; 2], [1.0; TRAITS]));
        assert!(
            after.is_some_and(|looks| (2..200).contains(&looks)),
            "a change that stays is followed: {after:?}"
        );
        assert_eq!(seen.kind(), Some(1));
    }
}
