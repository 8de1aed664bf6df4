//! Logistic regression with L2 by Newton's method (iteratively reweighted least squares: McCullagh and Nelder,
//! "Generalized linear models", 1989, section 2.5), in f64, and the calibration on top of it.

use super::model::{HazardError, Head, Layout, sigmoid};
use super::replay::{Part, Rows};

/// Newton steps; a convex loss needs about ten.
const STEPS_MAX: usize = 50;
/// A step that improves the mean loss by less has arrived.
const GAIN_MIN: f64 = 1e-10;
/// Fewer failures than this give no model.
const FAILURES_MIN: usize = 10;

/// One case: inputs, outcome, how many cases it stands for.
pub type Case<'a> = (&'a [f32], bool, f64);

/// A fitted plane, in the units of the inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    /// Constant.
    pub bias: f64,
    /// One per input.
    pub weights: Vec<f64>,
    /// Weighted mean of each input.
    pub mean: Vec<f64>,
}

/// How to fit.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Penalty 0.5 * l2 * |w|^2 on standardised inputs, beside a loss summed over all cases.
    pub l2: f64,
    /// Inputs whose weight may not be negative; one per input, or empty.
    pub only_raises: &'a [bool],
    /// Inputs whose weight is zero; one per input, or empty.
    pub leave_out: &'a [bool],
}

/// Fits P(outcome) = sigmoid(bias + weights . x).
///
/// # Errors
/// With fewer than ten outcomes of either kind, or if a number is not finite.
pub fn logistic<'a, I>(cases: I, inputs: usize, settings: Settings<'_>) -> Result<Plane, HazardError>
where
    I: Iterator<Item = Case<'a>> + Clone,
{
    let count = |outcome: bool| cases.clone().filter(|c| c.1 == outcome).count();
    let (yes, no) = (count(true), count(false));
    if yes.min(no) < FAILURES_MIN {
        let why = format!("{yes} cases with a failure and {no} without: needs {FAILURES_MIN} of each to fit");
        return Err(HazardError::Fit(why));
    }
    if cases.clone().any(|c| !c.2.is_finite() || c.0.iter().any(|x| !x.is_finite())) {
        return Err(HazardError::Fit("an input is not finite: clean the rows first".into()));
    }
    let scale = Scale::of(cases.clone(), inputs);
    let mut used: Vec<bool> =
        (0..inputs).map(|i| !settings.leave_out.get(i).is_some_and(|out| *out)).collect();
    loop {
        let mut problem =
            Problem { cases: cases.clone(), scale: &scale, used: &used, l2: settings.l2, x: vec![] };
        let beta = problem.newton()?;
        let wrong = |i: usize| settings.only_raises.get(i).is_some_and(|up| *up) && beta[i + 1] < 0.0;
        // Dropping all at once may drop too many, but leaves a model that keeps its word.
        let bad: Vec<usize> = (0..inputs).filter(|i| used[*i] && wrong(*i)).collect();
        if bad.is_empty() {
            return Ok(scale.plane(&beta));
        }
        bad.into_iter().for_each(|i| used[i] = false);
    }
}

/// Mean and spread of each input.
struct Scale {
    mean: Vec<f64>,
    spread: Vec<f64>,
}

impl Scale {
    fn of<'a>(cases: impl Iterator<Item = Case<'a>> + Clone, inputs: usize) -> Self {
        let (mut mean, mut spread, mut total) = (vec![0.0; inputs], vec![0.0; inputs], 0.0);
        for (x, _, weight) in cases.clone() {
            total += weight;
            mean.iter_mut().zip(x).for_each(|(m, x)| *m += weight * f64::from(*x));
        }
        mean.iter_mut().for_each(|m| *m /= total);
        for (x, _, weight) in cases {
            for (i, x) in x.iter().enumerate() {
                spread[i] += weight * (f64::from(*x) - mean[i]).powi(2);
            }
        }
        // An input that never changes says nothing: its weight stays 0.
        spread.iter_mut().for_each(|s| *s = (*s / total).sqrt());
        Self { mean, spread }
    }

    fn standard(&self, i: usize, x: f32) -> f64 {
        if self.spread[i] > 1e-9 { (f64::from(x) - self.mean[i]) / self.spread[i] } else { 0.0 }
    }

    fn plane(&self, beta: &[f64]) -> Plane {
        let of = |i: usize| if self.spread[i] > 1e-9 { beta[i + 1] / self.spread[i] } else { 0.0 };
        let weights: Vec<f64> = (0..self.mean.len()).map(of).collect();
        let moved: f64 = weights.iter().zip(&self.mean).map(|(w, m)| w * m).sum();
        Plane { bias: beta[0] - moved, weights, mean: self.mean.clone() }
    }
}

struct Problem<'s, I> {
    cases: I,
    scale: &'s Scale,
    used: &'s [bool],
    l2: f64,
    /// The case at hand: 1, then the standardised inputs.
    x: Vec<f64>,
}

impl<'a, I: Iterator<Item = Case<'a>> + Clone> Problem<'_, I> {
    fn newton(&mut self) -> Result<Vec<f64>, HazardError> {
        let n = self.used.len() + 1;
        let total: f64 = self.cases.clone().map(|c| c.2).sum();
        let mut beta = vec![0.0; n];
        let mut loss = self.loss(&beta);
        for _ in 0..STEPS_MAX {
            let (gradient, hessian) = self.derivatives(&beta);
            let step = solve(hessian, gradient).ok_or_else(|| {
                HazardError::Fit(
                    "the normal equations have no solution: raise l2, or look for NaN in the inputs".into(),
                )
            })?;
            let mut size = 1.0;
            let next = loop {
                let tried: Vec<f64> = beta.iter().zip(&step).map(|(b, s)| b - size * s).collect();
                let tried_loss = self.loss(&tried);
                if tried_loss <= loss || size < 1e-6 {
                    break (tried, tried_loss);
                }
                size *= 0.5;
            };
            let gain = (loss - next.1) / total;
            if gain > 0.0 {
                (beta, loss) = next;
            }
            if gain.is_nan() || gain < GAIN_MIN {
                break;
            }
        }
        Ok(beta)
    }

    fn load(&mut self, case: &[f32]) {
        self.x.clear();
        self.x.push(1.0);
        let (scale, used) = (self.scale, self.used);
        self.x
            .extend(case.iter().enumerate().map(|(i, x)| if used[i] { scale.standard(i, *x) } else { 0.0 }));
    }

    fn logit(&self, beta: &[f64]) -> f64 {
        self.x.iter().zip(beta).map(|(x, b)| x * b).sum()
    }

    fn loss(&mut self, beta: &[f64]) -> f64 {
        let mut sum = 0.5 * self.l2 * beta[1..].iter().map(|b| b * b).sum::<f64>();
        for (x, y, weight) in self.cases.clone() {
            self.load(x);
            let z = self.logit(beta);
            // ln(1 + exp(-|z|)) + max(z, 0) - y z, without overflow.
            sum += weight * ((-z.abs()).exp().ln_1p() + z.max(0.0) - if y { z } else { 0.0 });
        }
        sum
    }

    /// Gradient, and Hessian with its lower triangle filled, row by row.
    fn derivatives(&mut self, beta: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let n = beta.len();
        let (mut gradient, mut hessian) = (vec![0.0; n], vec![0.0; n * n]);
        for (x, y, weight) in self.cases.clone() {
            self.load(x);
            let p = sigmoid(self.logit(beta));
            let (slope, curve) = (weight * (p - f64::from(u8::from(y))), weight * p * (1.0 - p));
            for i in 0..n {
                gradient[i] += slope * self.x[i];
                let row = &mut hessian[i * n..=i * n + i];
                let c = curve * self.x[i];
                row.iter_mut().zip(&self.x).for_each(|(h, x)| *h += c * x);
            }
        }
        for i in 1..n {
            gradient[i] += self.l2 * beta[i];
            hessian[i * n + i] += self.l2;
        }
        (gradient, hessian)
    }
}

/// Solves H s = g of a symmetric positive H by Cholesky; `None` if it is not positive.
fn solve(mut h: Vec<f64>, mut g: Vec<f64>) -> Option<Vec<f64>> {
    let n = g.len();
    for j in 0..n {
        for i in j..n {
            let past: f64 = (0..j).map(|k| h[i * n + k] * h[j * n + k]).sum();
            let left = h[i * n + j] - past;
            if i == j {
                // An unused input has a row of its penalty alone; without penalty, of nothing.
                let diagonal = if left.abs() < 1e-12 { 1e-12 } else { left };
                if diagonal.is_nan() || diagonal < 0.0 {
                    return None;
                }
                h[j * n + j] = diagonal.sqrt();
            } else {
                h[i * n + j] = left / h[j * n + j];
            }
        }
    }
    for i in 0..n {
        let past: f64 = (0..i).map(|k| h[i * n + k] * g[k]).sum();
        g[i] = (g[i] - past) / h[i * n + i];
    }
    for i in (0..n).rev() {
        let past: f64 = (i + 1..n).map(|k| h[k * n + i] * g[k]).sum();
        g[i] = (g[i] - past) / h[i * n + i];
    }
    Some(g)
}

/// A way to fit: how strongly weights are held back, and which inputs are left out.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// See [`Settings`].
    pub l2: f64,
    /// Is the input of that name left out?
    pub leave_out: fn(&str) -> bool,
}

/// Fits one head per candidate on the training part of `rows`, calibrates each on the calibration part and returns the one
/// with the least log loss there, and its index. The test part is not looked at, nor are hosts that are set aside.
///
/// # Errors
/// With too few failures in either part, or if no candidate ranks the calibration part better than chance.
pub fn head(
    rows: &Rows,
    layout: Layout,
    horizon_s: i64,
    candidates: &[Candidate],
) -> Result<(Head, usize), HazardError> {
    let inputs = layout.inputs();
    let only_raises: Vec<bool> = match layout {
        Layout::Drive => inputs.iter().map(|(name, _)| super::drive::only_raises(name)).collect(),
        Layout::Recurrence => vec![],
    };
    let mut best: Option<(f64, Head, usize)> = None;
    for (i, candidate) in candidates.iter().enumerate() {
        let leave_out: Vec<bool> = inputs.iter().map(|(name, _)| (candidate.leave_out)(name)).collect();
        let settings = Settings { l2: candidate.l2, only_raises: &only_raises, leave_out: &leave_out };
        let plane = logistic(rows.cases(Part::Fit, horizon_s), inputs.len(), settings)?;
        let (loss, head) = calibrated(plane, rows, horizon_s)?;
        if head.slope > 0.0 && best.as_ref().is_none_or(|b| loss < b.0) {
            best = Some((loss, head, i));
        }
    }
    best.map(|(_, head, i)| (head, i)).ok_or_else(|| {
        let why =
            format!("horizon {horizon_s} s: a higher score means fewer failures in the calibration part");
        HazardError::Fit(why + "; give it a longer training part")
    })
}

/// The head of a plane, and its mean log loss on the calibration part.
fn calibrated(plane: Plane, rows: &Rows, horizon_s: i64) -> Result<(f64, Head), HazardError> {
    let Plane { bias, weights, mean } = plane;
    let mut head = Head { horizon_s, base_rate: 0.5, bias, weights, mean, slope: 1.0, offset: 0.0 };
    let cases = rows.cases(Part::Calibrate, horizon_s);
    let logits: Vec<(f32, bool, f64)> = cases.map(|(x, y, w)| (raw(&head, x), y, w)).collect();
    let of_logits = logits.iter().map(|(z, y, w)| (std::slice::from_ref(z), *y, *w));
    let platt = logistic(of_logits, 1, Settings { l2: 1e-6, only_raises: &[], leave_out: &[] })?;
    (head.slope, head.offset) = (platt.weights[0], platt.bias);
    let total: f64 = logits.iter().map(|l| l.2).sum();
    head.base_rate = logits.iter().filter(|l| l.1).map(|l| l.2).sum::<f64>() / total;
    let loss = logits.iter().map(|(z, y, w)| {
        let p = sigmoid(head.slope * f64::from(*z) + head.offset);
        -w * if *y { p } else { 1.0 - p }.ln()
    });
    Ok((loss.sum::<f64>() / total, head))
}

/// The logit of a stored row.
fn raw(head: &Head, x: &[f32]) -> f32 {
    (head.bias + head.weights.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum::<f64>()) as f32
}

/// The calibrated probability of a stored row.
pub fn probability(head: &Head, x: &[f32]) -> f64 {
    sigmoid(head.slope * f64::from(raw(head, x)) + head.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Settings<'_> = Settings { l2: 0.0, only_raises: &[], leave_out: &[] };

    #[test]
    fn a_table_of_two_by_two_gives_its_log_odds() {
        // 30 of 100 against 60 of 80: the closed form is the logarithm of the odds, and of their ratio.
        let (zero, one) = ([0f32], [1f32]);
        let cases: Vec<Case<'_>> =
            vec![(&zero, true, 30.0), (&zero, false, 70.0), (&one, true, 60.0), (&one, false, 20.0)];
        let many: Vec<Case<'_>> = cases.iter().flat_map(|c| vec![(c.0, c.1, c.2 / 10.0); 10]).collect();
        let plane = logistic(many.iter().copied(), 1, FREE).unwrap();
        let odds = |yes: f64, no: f64| (yes / no).ln();
        assert!((plane.bias - odds(30.0, 70.0)).abs() < 1e-6, "{plane:?}");
        assert!((plane.weights[0] - (odds(60.0, 20.0) - odds(30.0, 70.0))).abs() < 1e-6, "{plane:?}");
    }

    #[test]
    fn inputs_that_may_only_raise_do_and_dead_ones_weigh_nothing() {
        // The second input lowers the risk, the third never changes.
        let x: Vec<[f32; 3]> = (0..400).map(|i| [(i % 7) as f32, (i % 5) as f32, 2.0]).collect();
        let y = |i: usize| (i % 7) as f32 - (i % 5) as f32 + ((i * 37) % 11) as f32 * 0.4 > 2.5;
        let cases = x.iter().enumerate().map(|(i, x)| (x.as_slice(), y(i), 1.0));
        let free = logistic(cases.clone(), 3, FREE).unwrap();
        assert!(free.weights[0] > 0.5 && free.weights[1] < -0.5 && free.weights[2] == 0.0, "{free:?}");
        let bound = Settings { l2: 1.0, only_raises: &[true, true, true], leave_out: &[] };
        let plane = logistic(cases, 3, bound).unwrap();
        assert!(plane.weights[0] > 0.1 && plane.weights[1] == 0.0, "{plane:?}");
    }

    #[test]
    fn too_few_failures_and_nan_are_refused_in_one_line() {
        let x = [1f32];
        let few = (0..50).map(|i| (x.as_slice(), i < 3, 1.0));
        let error = logistic(few, 1, FREE).unwrap_err().to_string();
        assert_eq!(error, "3 cases with a failure and 47 without: needs 10 of each to fit");
        let nan = [f32::NAN];
        let bad = (0..50).map(|i| (if i == 7 { nan.as_slice() } else { x.as_slice() }, i < 20, 1.0));
        let error = logistic(bad, 1, FREE).unwrap_err().to_string();
        assert_eq!(error, "an input is not finite: clean the rows first");
    }
}
