//! The state-space form of an ARIMA process, its Kalman filter and forecast.
//!
//! State: the r values of the ARMA part, r = max(p, q + 1), in the form of Harvey (Durbin & Koopman, Time Series Analysis by
//! State Space Methods, 2nd edition, section 3.4, equations 3.17 and 3.18), then the last |delta| samples. Variances are in
//! units of the innovation variance.

/// Variance of the samples before the first, in units of the innovation variance: R's `kappa`.
const KAPPA: f64 = 1e6;
/// R leaves a sample out of the likelihood if its variance is this or more.
const DIFFUSE_MIN: f64 = 1e4;
/// 2^60 terms of the sum that [`stationary_variance`] doubles: a root of 1 - 1e-16 has died out by then.
const DOUBLINGS_MAX: usize = 60;

/// Which samples the likelihood leaves out as diffuse. Without differences there should be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Diffuse {
    /// Those that the unknown start makes uncertain. The bound rises with the variance of the stationary part, so that
    /// an autoregression close to a unit root keeps its first sample.
    #[default]
    Exact,
    /// R's fixed bound. Beyond |phi_1| = 0.99995 it leaves out the first sample of an AR(1), so that its likelihood rises
    /// by the (small) density of that sample.
    AsR,
}

/// Matrices of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// phi_1 .. phi_r, zero beyond p.
    phi: Vec<f64>,
    /// 1, theta_1 .. theta_{r-1}: how an innovation enters.
    shock: Vec<f64>,
    /// y_t = w_t + sum delta_j y_{t-j} with w the ARMA part.
    delta: Vec<f64>,
}

/// What is known of the state at one time, from the samples before it.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    mean: Vec<f64>,
    /// Symmetric, [size][size].
    variance: Vec<f64>,
}

/// The filter's sums over the samples of the likelihood.
#[derive(Debug, Clone, PartialEq)]
pub struct Filtered {
    /// Prediction of the state after the last sample.
    pub next: State,
    /// Squared one-step errors over their variances.
    pub squares: f64,
    /// Logarithms of these variances.
    pub logs: f64,
    /// Samples in both sums.
    pub counted: usize,
}

impl Space {
    /// `phi` of 1 - sum phi_i B^i, `theta` of 1 + sum theta_i B^i, `delta` of 1 - sum delta_i B^i.
    pub fn new(phi: &[f64], theta: &[f64], delta: &[f64]) -> Self {
        let r = phi.len().max(theta.len() + 1);
        let padded = |head: &[f64], tail: &[f64]| {
            let mut v: Vec<f64> = head.iter().chain(tail).copied().collect();
            v.resize(r, 0.0);
            v
        };
        Self { phi: padded(phi, &[]), shock: padded(&[1.0], theta), delta: delta.to_vec() }
    }

    fn size(&self) -> usize {
        self.phi.len() + self.delta.len()
    }

    /// T times a state.
    fn advance(&self, from: &[f64], to: &mut [f64]) {
        let r = self.phi.len();
        for i in 0..r {
            to[i] = self.phi[i] * from[0] + if i + 1 < r { from[i + 1] } else { 0.0 };
        }
        if !self.delta.is_empty() {
            to[r] = self.observe(from);
            to[r + 1..].copy_from_slice(&from[r..from.len() - 1]);
        }
    }

    /// Z times a state: the sample.
    fn observe(&self, state: &[f64]) -> f64 {
        let past = &state[self.phi.len()..];
        state[0] + self.delta.iter().zip(past).map(|(d, y)| d * y).sum::<f64>()
    }

    /// Covariance of the state with the sample: P Z'.
    fn covariance(&self, variance: &[f64]) -> Vec<f64> {
        variance.chunks_exact(self.size()).map(|row| self.observe(row)).collect()
    }

    /// Before the first sample: the ARMA part has its stationary variance (G. Gardner, A. Harvey & G. Phillips, algorithm
    /// AS 154, 1980), the samples before it a large one (Durbin & Koopman, section 5.1). `None` if not stationary.
    fn start(&self, diffuse: Diffuse) -> Option<(State, f64)> {
        let (r, size) = (self.phi.len(), self.size());
        let own = stationary_variance(self)?;
        let bound = match diffuse {
            Diffuse::AsR => DIFFUSE_MIN,
            Diffuse::Exact => DIFFUSE_MIN.max(2.0 * own[0]),
        };
        let mut variance = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..size {
                variance[i * size + j] = match (i < r, j < r) {
                    (true, true) => own[i * r + j],
                    (false, false) if i == j => KAPPA.max(100.0 * bound),
                    _ => 0.0,
                };
            }
        }
        Some((State { mean: vec![0.0; size], variance }, bound))
    }

    /// T P T' + R R'.
    fn predict(&self, state: &mut State, scratch: &mut [f64]) {
        let (r, size) = (self.phi.len(), self.size());
        let mut mean = vec![0.0; size];
        self.advance(&state.mean, &mut mean);
        state.mean = mean;
        // Rows of P are its columns: T times each gives the columns of T P, that is the rows of its transpose P T'.
        for (from, to) in state.variance.chunks_exact(size).zip(scratch.chunks_exact_mut(size)) {
            self.advance(from, to);
        }
        transpose(scratch, &mut state.variance, size);
        for (from, to) in state.variance.chunks_exact(size).zip(scratch.chunks_exact_mut(size)) {
            self.advance(from, to);
        }
        state.variance.copy_from_slice(scratch);
        for i in 0..r {
            for j in 0..r {
                state.variance[i * size + j] += self.shock[i] * self.shock[j];
            }
        }
    }

    /// The Kalman filter (Durbin & Koopman, section 4.3) over samples, NaN = missing (section 4.10): then the prediction
    /// stands. `None` if the process is not stationary or a variance is not positive.
    pub fn filter(&self, y: impl Iterator<Item = f64>, diffuse: Diffuse) -> Option<Filtered> {
        let (next, bound) = self.start(diffuse)?;
        let mut scratch = vec![0.0; next.variance.len()];
        let mut out = Filtered { next, squares: 0.0, logs: 0.0, counted: 0 };
        for y in y {
            if !y.is_nan() {
                self.update(&mut out, y, bound)?;
            }
            self.predict(&mut out.next, &mut scratch);
        }
        Some(out)
    }

    fn update(&self, out: &mut Filtered, y: f64, bound: f64) -> Option<()> {
        let State { mean, variance } = &mut out.next;
        let error = y - self.observe(mean);
        let m = self.covariance(variance);
        let gain = self.observe(&m);
        if gain.is_nan() || gain <= 0.0 {
            return None;
        }
        if gain < bound {
            out.squares += error * error / gain;
            out.logs += gain.ln();
            out.counted += 1;
        }
        for ((mean, row), mi) in mean.iter_mut().zip(variance.chunks_exact_mut(m.len())).zip(&m) {
            *mean += mi * error / gain;
            row.iter_mut().zip(&m).for_each(|(p, mj)| *p -= mi * mj / gain);
        }
        Some(())
    }

    /// Mean and variance, in units of the innovation variance, of the next samples.
    pub fn forecast(&self, next: &State, steps: usize) -> Vec<(f64, f64)> {
        let mut state = next.clone();
        let mut scratch = vec![0.0; state.variance.len()];
        let mut step = |_| {
            let variance = self.observe(&self.covariance(&state.variance));
            let one = (self.observe(&state.mean), variance);
            self.predict(&mut state, &mut scratch);
            one
        };
        (0..steps).map(&mut step).collect()
    }
}

fn transpose(from: &[f64], to: &mut [f64], size: usize) {
    for i in 0..size {
        for j in 0..size {
            to[j * size + i] = from[i * size + j];
        }
    }
}

/// The solution of P = T P T' + R R' for the ARMA part: the sum of T^k R R' T'^k, whose first 2^n terms S_n follow from
/// S_{n+1} = S_n + T^(2^n) S_n T'^(2^n). AS 154 solves for the same P. `None` if the sum does not end.
fn stationary_variance(space: &Space) -> Option<Vec<f64>> {
    let r = space.phi.len();
    let mut power = vec![0.0; r * r];
    for i in 0..r {
        power[i * r] += space.phi[i];
        if i + 1 < r {
            power[i * r + i + 1] += 1.0;
        }
    }
    let mut sum: Vec<f64> = (0..r * r).map(|k| space.shock[k / r] * space.shock[k % r]).collect();
    let (mut half, mut term, mut turned) = (vec![0.0; r * r], vec![0.0; r * r], vec![0.0; r * r]);
    for _ in 0..DOUBLINGS_MAX {
        multiply(&power, &sum, &mut half, r);
        transpose(&power, &mut turned, r);
        multiply(&half, &turned, &mut term, r);
        sum.iter_mut().zip(&term).for_each(|(s, t)| *s += t);
        let largest = |v: &[f64]| v.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let (added, total) = (largest(&term), largest(&sum));
        if !total.is_finite() {
            return None;
        }
        if added <= 1e-17 * total {
            return Some(sum);
        }
        multiply(&power, &power, &mut half, r);
        power.copy_from_slice(&half);
    }
    None
}

fn multiply(a: &[f64], b: &[f64], out: &mut [f64], r: usize) {
    out.fill(0.0);
    for (row, out) in a.chunks_exact(r).zip(out.chunks_exact_mut(r)) {
        for (a, b) in row.iter().zip(b.chunks_exact(r)) {
            // Powers of a companion matrix are mostly zeros.
            if *a != 0.0 {
                out.iter_mut().zip(b).for_each(|(o, b)| *o += a * b);
            }
        }
    }
}
