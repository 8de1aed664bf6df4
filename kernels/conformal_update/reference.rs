//! The definition: one lane, in f64. Slow and clear.

use super::LEVELS;
use crate::spec::{GROUP, blocked};

/// Index of the median in [`LEVELS`].
pub const MEDIAN: usize = 1;

/// A request as the kernel gets it; layout in spec.rs. Lengths fit the number of lanes.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// lanes (padded).
    pub ints: [i32; 1],
    /// gamma, tie, reach, floor.
    pub floats: [f32; 4],
    /// [lanes].
    pub y: Vec<f32>,
    /// [lanes/64][5][64].
    pub issued: Vec<f32>,
    /// [lanes].
    pub scale: Vec<f32>,
    /// [lanes/64][5][64].
    pub base: Vec<f32>,
    /// [lanes/64][5][64].
    pub shift: Vec<f32>,
}

/// What is known of one lane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lane {
    /// The outcome; `None` = not known.
    pub y: Option<f64>,
    /// Bounds that were given for it.
    pub issued: [f64; LEVELS.len()],
    /// Unit of the shifts.
    pub scale: f64,
    /// Next quantiles of the model.
    pub base: [f64; LEVELS.len()],
    /// Shifts before.
    pub shift: [f64; LEVELS.len()],
}

impl Inputs {
    /// Lanes with their padding.
    pub fn lanes(&self) -> usize {
        self.ints[0] as usize
    }

    /// One lane.
    pub fn lane(&self, lane: usize) -> Lane {
        let y = self.y[lane];
        Lane {
            y: (!y.is_nan()).then_some(f64::from(y)),
            issued: five(&self.issued, lane),
            scale: f64::from(self.scale[lane]),
            base: five(&self.base, lane),
            shift: five(&self.shift, lane),
        }
    }

    /// gamma, tie, reach, floor.
    pub fn tuning(&self) -> [f64; 4] {
        self.floats.map(f64::from)
    }
}

/// One lane's values in a blocked [lanes/64][5][64] array.
pub fn five(v: &[f32], lane: usize) -> [f64; LEVELS.len()] {
    std::array::from_fn(|k| f64::from(v[blocked(lane, k, LEVELS.len())]))
}

/// One lane's raw and ordered values in `out`, [lanes/64][2][5][64].
pub fn outputs(v: &[f32], lane: usize) -> [[f64; LEVELS.len()]; 2] {
    const ROWS: usize = 2 * LEVELS.len();
    let group = &v[lane / GROUP * ROWS * GROUP..];
    let row = |part: usize, k: usize| f64::from(group[(part * LEVELS.len() + k) * GROUP + lane % GROUP]);
    std::array::from_fn(|part| std::array::from_fn(|k| row(part, k)))
}

/// The shift of one level after an outcome: a bound of level L is to be exceeded with probability 1 - L.
pub fn learned(shift: f64, level: f32, above: bool, gamma: f64, reach: f64) -> f64 {
    let step = f64::from(u8::from(above)) - (1.0 - f64::from(level));
    (shift + gamma * step).clamp(-reach, reach)
}

/// The shifts after the outcome.
pub fn learn(lane: &Lane, [gamma, tie, reach, _]: [f64; 4]) -> [f64; LEVELS.len()] {
    let Some(y) = lane.y else { return lane.shift };
    std::array::from_fn(|k| {
        let above = y - lane.issued[k];
        if k == MEDIAN || above.abs() <= tie * lane.scale {
            lane.shift[k]
        } else {
            learned(lane.shift[k], LEVELS[k], above > 0.0, gamma, reach)
        }
    })
}

/// The shifted next quantiles as they come.
pub fn raw(lane: &Lane, shift: &[f64; LEVELS.len()]) -> [f64; LEVELS.len()] {
    std::array::from_fn(|k| lane.base[k] + shift[k] * lane.scale)
}

/// Quantiles in order and not below `floor`; the median stays where it is.
pub fn in_order(raw: &[f64; LEVELS.len()], floor: f64) -> [f64; LEVELS.len()] {
    let median = raw[MEDIAN].max(floor);
    let mut q = raw.map(|v| v.max(floor));
    q[0] = q[0].min(median);
    q[MEDIAN] = median;
    for upper in &mut q[MEDIAN + 1..] {
        *upper = upper.max(median);
    }
    q[MEDIAN + 1..].sort_by(f64::total_cmp);
    q
}
