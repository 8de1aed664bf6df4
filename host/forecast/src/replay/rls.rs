//! Recursive least squares with bounded exponential forgetting and costs that are not negative.
//!
//! The model is y = x' theta + e with `N` regressors. Per update, with forgetting factor l:
//!
//! ```text
//! P     <- P / l, but no further than a bound
//! theta <- theta + P x (y - x' theta) / (1 + x' P x)
//! P^-1  <- P^-1 + x x'
//! ```
//!
//! Without the bound P grows without end while the rates stand still, and the next change throws the costs about
//! (wind-up: Fortescue, Kershenbaum and Ydstie, "Implementation of self-tuning regulators with variable forgetting
//! factors", Automatica 17, 1981, section 2). A bound on P is the remedy of Salgado, Goodwin and Middleton ("Modified
//! least squares algorithm incorporating exponential resetting and forgetting", Int. J. Control 47, 1988); here it is
//! on D, below. Forgetting in the direction of x only (Kulhavý, Automatica 23, 1987) needs no bound, but keeps what it
//! learnt from a burst until the next one: costs that drift were followed far worse.
//!
//! P is kept as U D U' (U unit upper triangular, D diagonal) and changed by Bierman's update (*Factorization Methods
//! for Discrete Sequential Estimation*, 1977, section V.3): D stays positive, so P stays positive definite. P is in
//! units of the variance of e.

/// Nothing is divided by less.
const LEAST: f64 = 1e-300;

/// Forgetting takes no entry of D beyond this: after however long a standstill, what a kind adds at its highest rate
/// is known to about two deviations of e.
const FORGOTTEN: f64 = 4.0;

/// No entry of D grows beyond this when a scale changes.
const SPREAD_MAX: f64 = 1e7;

/// What is known of a coefficient before its first sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Expected cost, in the unit of y per unit of x.
    pub mean: f64,
    /// Variance of the cost in the same unit, as a multiple of the variance of e; `None` = vague.
    pub spread: Option<f64>,
}

/// A vague prior's variance of what a kind adds at its highest rate, in variances of e.
pub const VAGUE: f64 = 1e3;

/// A fleet's prior never counts for more than this many samples at the highest rate.
const PRIOR_SAMPLES_MAX: f64 = 20.0;

/// The estimator. Regressors are scaled by powers of two to at most 1 (exactly undone), so that instructions per second
/// and faults per second may stand side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Rls<const N: usize> {
    /// Coefficients of the scaled regressors, of either sign.
    theta: [f64; N],
    /// The same within the bounds, per unit of x.
    costs: [f64; N],
    u: [[f64; N]; N],
    d: [f64; N],
    /// 0 = never seen.
    scale: [f64; N],
    prior: [Prior; N],
    bounded: [bool; N],
    forget: f64,
    updates: u64,
}

impl<const N: usize> Rls<N> {
    /// `forget` in (0, 1): the weight of a sample one update later. `bounded`: which coefficients cannot be negative.
    pub fn new(forget: f64, bounded: [bool; N], prior: [Prior; N]) -> Self {
        let mut u = [[0.0; N]; N];
        (0..N).for_each(|i| u[i][i] = 1.0);
        let costs = prior.map(|p| p.mean);
        Self { theta: [0.0; N], costs, u, d: [VAGUE; N], scale: [0.0; N], prior, bounded, forget, updates: 0 }
    }

    /// Takes over what another knows, to forget it at its own pace.
    pub fn restart_from(&mut self, other: &Self) {
        *self = Self { forget: self.forget, ..other.clone() };
    }

    /// Samples taken.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Has this regressor ever differed from 0?
    pub fn is_seen(&self, k: usize) -> bool {
        self.scale[k] > 0.0
    }

    /// Cost per unit of each regressor, within the bounds.
    pub fn costs(&self) -> &[f64; N] {
        &self.costs
    }

    /// x' costs.
    pub fn predict(&self, x: &[f64; N]) -> f64 {
        self.costs.iter().zip(x).map(|(c, x)| c * x).sum()
    }

    /// Diagonal of D: all positive, always.
    pub fn pivots(&self) -> &[f64; N] {
        &self.d
    }

    /// Variance of x' theta, in variances of e.
    pub fn spread(&self, x: &[f64; N]) -> f64 {
        let x = self.scaled(x);
        (0..N).map(|j| self.d[j] * self.image(&x, j).powi(2)).sum()
    }

    /// Takes a sample and returns y less what the free coefficients gave. A sample with a NaN or an infinity changes
    /// nothing. [`Self::costs`] stay as they are until [`Self::settle`].
    pub fn update(&mut self, x: &[f64; N], y: f64) -> Option<f64> {
        if !y.is_finite() || x.iter().any(|v| !v.is_finite()) {
            return None;
        }
        for (k, v) in x.iter().enumerate() {
            self.rescale(k, v.abs());
        }
        let x = self.scaled(x);
        let innovation = y - self.theta.iter().zip(&x).map(|(t, x)| t * x).sum::<f64>();
        let (px, z) = self.fold_in(&x);
        for (t, p) in self.theta.iter_mut().zip(px) {
            *t += p * innovation / (1.0 + z);
        }
        self.updates += 1;
        Some(innovation)
    }

    fn scaled(&self, x: &[f64; N]) -> [f64; N] {
        std::array::from_fn(|k| if self.scale[k] > 0.0 { x[k] / self.scale[k] } else { 0.0 })
    }

    /// Entry j of U' x.
    fn image(&self, x: &[f64; N], j: usize) -> f64 {
        (0..=j).map(|i| self.u[i][j] * x[i]).sum()
    }

    /// Keeps |x / scale| at most 1. Powers of two: theta and P change their unit without rounding.
    fn rescale(&mut self, k: usize, size: f64) {
        if size <= self.scale[k] {
            return;
        }
        let scale = size.log2().ceil().clamp(-500.0, 500.0).exp2();
        if self.scale[k] == 0.0 {
            let spread = self.prior[k].spread.map_or(VAGUE, |v| v * scale * scale);
            self.d[k] = spread.clamp(1.0 / PRIOR_SAMPLES_MAX, VAGUE);
            self.theta[k] = self.prior[k].mean * scale;
        } else {
            let ratio = scale / self.scale[k];
            self.theta[k] *= ratio;
            self.d[k] = (self.d[k] * ratio * ratio).min(SPREAD_MAX);
            (k + 1..N).for_each(|j| self.u[k][j] *= ratio);
            (0..k).for_each(|i| self.u[i][k] /= ratio);
        }
        self.scale[k] = scale;
    }

    /// Forgets, then Bierman's update; returns P x and x' P x from between the two.
    fn fold_in(&mut self, x: &[f64; N]) -> ([f64; N], f64) {
        for d in &mut self.d {
            *d = (*d / self.forget).min(FORGOTTEN.max(*d));
        }
        let f: [f64; N] = std::array::from_fn(|j| self.image(x, j));
        let z: f64 = (0..N).map(|j| self.d[j] * f[j] * f[j]).sum();
        let mut px = [0.0; N];
        let mut alpha = 1.0;
        for j in 0..N {
            let v = self.d[j] * f[j];
            let next = alpha + f[j] * v;
            self.d[j] = (self.d[j] * (alpha / next)).max(LEAST);
            for (i, p) in px.iter_mut().enumerate().take(j) {
                let old = self.u[i][j];
                self.u[i][j] = old - *p * f[j] / alpha;
                *p += old * v;
            }
            px[j] = v;
            alpha = next;
        }
        (px, z)
    }

    /// Brings the costs up to date: theta moved to where no bounded cost is negative: each time the most negative one (in its own deviation) is set
    /// to 0 and the others follow as P says (constrained estimate: Simon, "Kalman filtering with state constraints",
    /// IET Control Theory & Applications 4, 2010, section 2.3). The recursion itself goes on from the free theta: fed
    /// back, the bound would bias the others.
    pub fn settle(&mut self) {
        let mut theta = self.theta;
        if (0..N).any(|k| self.bounded[k] && theta[k] < 0.0) {
            let mut p = self.covariance();
            let mut held = [false; N];
            for _ in 0..N {
                let far = |k: &usize| theta[*k] / p[*k][*k].max(LEAST).sqrt();
                let negative = (0..N).filter(|&k| self.bounded[k] && !held[k] && theta[k] < 0.0);
                let Some(k) = negative.min_by(|a, b| far(a).total_cmp(&far(b))) else { break };
                let column: [f64; N] = std::array::from_fn(|i| p[i][k]);
                let (step, pivot) = (theta[k], column[k].max(LEAST));
                for i in 0..N {
                    theta[i] -= column[i] / pivot * step;
                    (0..N).for_each(|j| p[i][j] -= column[i] * column[j] / pivot);
                }
                (theta[k], held[k]) = (0.0, true);
            }
        }
        self.costs = std::array::from_fn(|k| match self.scale[k] > 0.0 {
            true => {
                let held_in = if self.bounded[k] { theta[k].max(0.0) } else { theta[k] };
                held_in / self.scale[k]
            }
            false => self.prior[k].mean,
        });
    }

    /// U D U'.
    fn covariance(&self) -> [[f64; N]; N] {
        let row = |i: usize| -> [f64; N] { std::array::from_fn(|k| self.u[i][k] * self.d[k]) };
        std::array::from_fn(|i| {
            let row = row(i);
            std::array::from_fn(|j| (i.max(j)..N).map(|k| row[k] * self.u[j][k]).sum())
        })
    }
}

#[cfg(test)]
#[path = "rls_tests.rs"]
mod tests;
