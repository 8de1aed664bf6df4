//! Adam (Kingma and Ba 2015) with a one-cycle rate (Smith and Topin 2018) and a bound on the gradient's length, each as
//! `torch.optim` has it.

/// Adam's second decay, its epsilon, and the decay of weights.
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
const WEIGHT_DECAY: f64 = 1e-5;
/// Longer gradients are shortened to this.
pub const NORM_MAX: f64 = 1.0;

/// `OneCycleLR` with its defaults: from rate / 25 up to it in three tenths of the steps and down to rate / 250,000, by
/// half a cosine; Adam's first decay from 0.95 to 0.85 and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycle {
    /// The highest rate.
    pub rate: f64,
    /// Steps of the whole cycle, at least 1.
    pub steps: u64,
}

impl OneCycle {
    /// (rate, first decay) of a step, counted from 0.
    pub fn at(&self, step: u64) -> (f64, f64) {
        let up = 0.3 * self.steps as f64 - 1.0;
        let down = (self.steps as f64 - 1.0) - up;
        let step = (step as f64).min(self.steps as f64 - 1.0);
        let blend = |from: f64, to: f64, part: f64| {
            to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * part).cos())
        };
        let low = self.rate / 25.0;
        if step <= up {
            (blend(low, self.rate, step / up), blend(0.95, 0.85, step / up))
        } else {
            let part = (step - up) / down;
            (blend(self.rate, low / 1e4, part), blend(0.85, 0.95, part))
        }
    }
}

/// Moments of the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// Steps taken.
    pub steps: u64,
    /// Decayed mean of the gradient.
    pub mean: Vec<f32>,
    /// Decayed mean of its square.
    pub square: Vec<f32>,
}

impl Adam {
    /// For `values` weights.
    pub fn new(values: usize) -> Self {
        Self { steps: 0, mean: vec![0.0; values], square: vec![0.0; values] }
    }

    /// One step down the gradient. The bias of the means is taken back with the decay of the step, as PyTorch does.
    pub fn step(&mut self, params: &mut [f32], grads: &[f32], rate: f64, beta1: f64) {
        self.steps += 1;
        let power = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (bias1, bias2) = (1.0 - beta1.powi(power), 1.0 - BETA2.powi(power));
        let step = (rate / bias1) as f32;
        let root = bias2.sqrt() as f32;
        let (beta1, beta2, epsilon, decay) =
            (beta1 as f32, BETA2 as f32, EPSILON as f32, WEIGHT_DECAY as f32);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((p, g), (m, v)) in params.iter_mut().zip(grads).zip(moments) {
            let g = g + decay * *p;
            *m += (1.0 - beta1) * (g - *m);
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *p -= step * *m / (v.sqrt() / root + epsilon);
        }
    }
}

/// Shortens a gradient to [`NORM_MAX`]; returns its length before.
pub fn clip(grads: &mut [f32]) -> f64 {
    let norm = grads.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
    let by = NORM_MAX / (norm + 1e-6);
    if by < 1.0 {
        grads.iter_mut().for_each(|g| *g *= by as f32);
    }
    norm
}
