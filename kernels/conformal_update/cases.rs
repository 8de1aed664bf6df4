//! Requests for tests, from a seed: every parity test of every device uses these.

use super::LEVELS;
use super::reference::Inputs;
use crate::spec::{GROUP, blocked, padded};

/// Series at the edges of a group and beyond many; the last is not a whole group.
pub const SIZES: [usize; 6] = [0, 1, 63, 64, 65, 4097];

/// Lanes with outcomes below, between, above and exactly on the bounds, without an outcome, with crossed quantiles, with
/// shifts at their limit, and idle ones that are forecast exactly. Lanes beyond `series` are padding: zeros.
pub fn case(seed: u64, series: usize) -> Inputs {
    let lanes = padded(series);
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut unit = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    let five = vec![0.0; LEVELS.len() * lanes];
    let mut inputs = Inputs {
        ints: [lanes as i32],
        floats: [0.02, 1e-4, 4.0, 0.0],
        y: vec![0.0; lanes],
        issued: five.clone(),
        scale: vec![0.0; lanes],
        base: five.clone(),
        shift: five,
    };
    for lane in 0..series {
        let kind = (unit() * 8.0) as usize;
        let scale = if lane % 2 == 0 { 1.0e-3 + unit() } else { 1.0e9 * (1.0e-3 + unit()) };
        let level = 3.0 * scale * unit();
        inputs.scale[lane] = scale;
        for k in 0..LEVELS.len() {
            let at = blocked(lane, k, LEVELS.len());
            // Spread around the level; often crossed, sometimes negative.
            let around = |u: f32| level + scale * (0.4 * k as f32 - 0.6 + 1.2 * (u - 0.5));
            inputs.issued[at] = if kind == 0 { level } else { around(unit()) };
            inputs.base[at] = around(unit());
            inputs.shift[at] =
                if kind == 1 { 4.0 * (2.0 * unit() - 1.0).signum() } else { 2.0 * unit() - 1.0 };
        }
        inputs.y[lane] = match kind {
            0 => level,
            2 => f32::NAN,
            3 => inputs.issued[blocked(lane, lane % LEVELS.len(), LEVELS.len())],
            _ => level + scale * (3.0 * unit() - 1.0),
        };
    }
    inputs
}

/// The part of a request that belongs to one group.
pub fn group(x: &Inputs, group: usize) -> Inputs {
    let cut = |v: &[f32], per: usize| v[group * per..(group + 1) * per].to_vec();
    let five = LEVELS.len() * GROUP;
    Inputs {
        ints: [GROUP as i32],
        floats: x.floats,
        y: cut(&x.y, GROUP),
        issued: cut(&x.issued, five),
        scale: cut(&x.scale, GROUP),
        base: cut(&x.base, five),
        shift: cut(&x.shift, five),
    }
}
