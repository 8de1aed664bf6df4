//! Has the level changed? Page's two-sided cumulative sum ("Continuous inspection schemes", Biometrika 41, 1954) of the
//! day-ahead errors, in scales of their hour and clipped, so that one burst cannot alarm.

/// Slack per hour: errors of a usual size (1) never add up.
const SLACK: f32 = 1.5;
/// An hour adds at most this, less the slack.
const CLIP: f32 = 4.0;
/// Sum at which the level has changed: 20 h at the clip, so that one odd day is not a new level.
const ALARM: f32 = 50.0;

/// Sum at which a change is suspected: 4 h at the clip.
const SUSPECT: f32 = 10.0;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Side {
    sum: f32,
    raw: f32,
    hours: u32,
}

/// Both sides of one series.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Change {
    up: Side,
    down: Side,
}

/// A change that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// Mean error since it began, in points.
    pub(crate) by: f32,
    /// Hours since it began.
    pub(crate) hours: usize,
}

impl Change {
    /// Do the last hours look as if the level had changed? It ends in a change or in none.
    pub(crate) fn suspected(&self) -> bool {
        self.up.sum.max(self.down.sum) > SUSPECT
    }

    /// Takes a day-ahead error in points (what came less what was expected) and its scale.
    pub(crate) fn push(&mut self, error: f32, scale: f32) -> Option<Found> {
        let z = (error / scale).clamp(-CLIP, CLIP);
        let found = self.up.push(z, error).or(self.down.push(-z, error));
        if found.is_some() {
            *self = Self::default();
        }
        found
    }
}

impl Side {
    fn push(&mut self, toward: f32, error: f32) -> Option<Found> {
        self.sum += toward - SLACK;
        if self.sum <= 0.0 {
            *self = Self::default();
            return None;
        }
        self.raw += error;
        self.hours += 1;
        (self.sum >= ALARM).then(|| Found { by: self.raw / self.hours as f32, hours: self.hours as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_shift_is_found_and_a_burst_is_not() {
        let mut c = Change::default();
        assert!((0..500).all(|h| c.push(if h % 50 == 0 { 80.0 } else { 1.2 }, 1.0).is_none()));
        let found = (0..24).find_map(|_| c.push(-9.0, 1.0));
        assert_eq!(found, Some(Found { by: -9.0, hours: 20 }));
    }
}
