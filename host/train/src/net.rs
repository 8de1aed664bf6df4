//! The network's weights: one vector, cut into the tensors of PyTorch.

use foreshade_accel::lstm_step::{Cell, GATES, Head, LEVELS, TARGETS, Weights, WeightsError};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// Outputs of the head: targets x levels.
pub const OUTPUTS: usize = TARGETS * LEVELS;

/// Tensors of the network, in the order of [`Shape::tensors`].
pub const TENSORS: usize = 8;

/// Sizes of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Values that enter the LSTM.
    pub input: usize,
    /// Its units.
    pub hidden: usize,
    /// Values that enter the head beside h.
    pub stats: usize,
    /// Units of the head.
    pub width: usize,
}

impl Shape {
    /// (name, rows, columns) of each tensor, row-major; 0 columns = a vector.
    pub fn tensors(&self) -> [(&'static str, usize, usize); TENSORS] {
        let gates = GATES * self.hidden;
        [
            ("lstm.weight_ih_l0", gates, self.input),
            ("lstm.weight_hh_l0", gates, self.hidden),
            ("lstm.bias_ih_l0", gates, 0),
            ("lstm.bias_hh_l0", gates, 0),
            ("head.0.weight", self.width, self.hidden + self.stats),
            ("head.0.bias", self.width, 0),
            ("head.2.weight", OUTPUTS, self.width),
            ("head.2.bias", OUTPUTS, 0),
        ]
    }

    fn lengths(&self) -> [usize; TENSORS] {
        self.tensors().map(|(_, rows, columns)| rows * columns.max(1))
    }

    /// Values of a network.
    pub fn values(&self) -> usize {
        self.lengths().iter().sum()
    }

    /// Cuts a vector of [`Self::values`] into the tensors.
    pub fn cut<'a, T>(&self, mut flat: &'a [T]) -> [&'a [T]; TENSORS] {
        self.lengths().map(|n| {
            let (part, rest) = flat.split_at(n);
            flat = rest;
            part
        })
    }

    /// As [`Self::cut`], to write to.
    pub fn cut_mut<'a, T>(&self, mut flat: &'a mut [T]) -> [&'a mut [T]; TENSORS] {
        self.lengths().map(|n| {
            let (part, rest) = std::mem::take(&mut flat).split_at_mut(n);
            flat = rest;
            part
        })
    }

    /// Weights to start from, uniform within the bounds of PyTorch: 1 / sqrt(hidden) in the LSTM, 1 / sqrt(inputs) in
    /// the head's layers.
    pub fn draw(&self, rng: &mut Pcg64) -> Vec<f32> {
        let Self { hidden, stats, width, .. } = *self;
        let inputs = [hidden, hidden, hidden, hidden, hidden + stats, hidden + stats, width, width];
        let bounded = |(n, inputs): (usize, usize)| vec![1.0 / (inputs as f64).sqrt(); n];
        let bounds = self.lengths().into_iter().zip(inputs).flat_map(bounded);
        bounds.map(|bound| ((unit(rng) * 2.0 - 1.0) * bound) as f32).collect()
    }

    /// The weights as the forecaster's.
    ///
    /// # Errors
    /// A value that is not finite or larger than any device takes.
    pub fn weights(&self, flat: &[f32]) -> Result<Weights, WeightsError> {
        let [w_ih, w_hh, b_ih, b_hh, w1, b1, w2, b2] = self.cut(flat).map(<[f32]>::to_vec);
        let cell = Cell { input: self.input, hidden: self.hidden, w_ih, w_hh, b_ih, b_hh };
        Weights::new(vec![cell], Some(Head { stats: self.stats, width: self.width, w1, b1, w2, b2 }))
    }

    /// Sizes and values of the forecaster's weights; `None` without a head or with two layers.
    pub fn of(weights: &Weights) -> Option<(Self, Vec<f32>)> {
        let ([cell], Some(head)) = (weights.layers(), weights.head()) else { return None };
        let shape = Self { input: cell.input, hidden: cell.hidden, stats: head.stats, width: head.width };
        let parts = [&cell.w_ih, &cell.w_hh, &cell.b_ih, &cell.b_hh, &head.w1, &head.b1, &head.w2, &head.b2];
        Some((shape, parts.into_iter().flatten().copied().collect()))
    }
}

/// Uniform in [0, 1).
pub(crate) fn unit(rng: &mut Pcg64) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform below `n`, which is at least 1.
pub(crate) fn below(rng: &mut Pcg64, n: usize) -> usize {
    ((unit(rng) * n as f64) as usize).min(n - 1)
}
