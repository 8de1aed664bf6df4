//! A weight set as the words that every device reads.

use super::abi::{Cell, GATES, Head, LEVELS, TARGETS, Weights};
use super::spec::packed_words;

/// Outputs that share a load of an input.
const QUAD: usize = 4;

/// The words of the buffer `weights`, in the order of [`packed_words`].
pub fn pack(w: &Weights) -> Vec<f32> {
    let dims = w.dims();
    let width = w.head().map_or(0, |h| h.width);
    let mut words = Vec::with_capacity(packed_words(dims.input, dims.hidden, dims.layers, w.stats(), width));
    for cell in w.layers() {
        layer(cell, &mut words);
    }
    if let Some(head) = w.head() {
        first(head, dims.hidden + head.stats, &mut words);
        second(head, &mut words);
    }
    words
}

/// The i32 scalars of the kernel for this weight set and `lanes` padded lanes.
pub fn ints(w: &Weights, lanes: usize) -> [i32; 6] {
    let dims = w.dims();
    let width = w.head().map_or(0, |h| h.width);
    // Every size was checked against a limit far below 2^31; lanes is checked by the kernel's extent.
    [lanes, dims.input, dims.hidden, dims.layers, w.stats(), width]
        .map(|v| i32::try_from(v).unwrap_or(i32::MAX))
}

fn layer(cell: &Cell, words: &mut Vec<f32>) {
    for unit in 0..cell.hidden {
        let rows: [usize; GATES] = std::array::from_fn(|gate| gate * cell.hidden + unit);
        words.extend(rows.map(|row| cell.b_ih[row] + cell.b_hh[row]));
        for k in 0..cell.input {
            words.extend(rows.map(|row| cell.w_ih[row * cell.input + k]));
        }
        for k in 0..cell.hidden {
            words.extend(rows.map(|row| cell.w_hh[row * cell.hidden + k]));
        }
    }
}

fn first(head: &Head, inputs: usize, words: &mut Vec<f32>) {
    for quad in (0..head.width).step_by(QUAD) {
        let rows: [usize; QUAD] = std::array::from_fn(|j| quad + j);
        words.extend(rows.map(|row| head.b1.get(row).copied().unwrap_or(0.0)));
        for k in 0..inputs {
            words.extend(rows.map(|row| if row < head.width { head.w1[row * inputs + k] } else { 0.0 }));
        }
    }
}

fn second(head: &Head, words: &mut Vec<f32>) {
    words.extend(&head.b2);
    for k in 0..head.width.next_multiple_of(QUAD) {
        words.extend(
            (0..TARGETS * LEVELS).map(|row| if k < head.width { head.w2[row * head.width + k] } else { 0.0 }),
        );
    }
}
