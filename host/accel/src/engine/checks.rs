//! A device's results against the f64 definitions, within the tolerance that each kernel's README derives.

use std::sync::Arc;

use foreshade_kernels::GROUP;
use foreshade_kernels::KernelId;
use foreshade_kernels::lstm_step::{self, Weights};
use foreshade_kernels::{arima_fit, arima_forecast, conformal_update, placement_score};

use crate::Slab;

/// A call: what goes in.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) kernel: KernelId,
    pub(super) ints: Vec<i32>,
    pub(super) floats: Vec<f32>,
    /// The buffers that are only read, in argument order.
    pub(super) inputs: Vec<Arc<Slab>>,
}

/// The group to look at this time: every group comes up in turn.
pub(super) fn sample(turn: u64, lanes: usize) -> usize {
    (turn % (lanes / GROUP).max(1) as u64) as usize
}

/// Compares one group of an LSTM step, state and output. Returns the largest error in units of the tolerance.
///
/// # Errors
/// The first value beyond it.
pub(super) fn lstm_group(
    case: &Case,
    weights: &Weights,
    [state_out, out]: [&Slab; 2],
    group: usize,
) -> Result<f64, String> {
    let lanes = case.ints[0] as usize;
    let first = group * GROUP;
    // Inputs are feature-major, so a group is a piece of every row; what is blocked has it in one piece.
    let rows = |slab: &Slab| -> Vec<f32> {
        slab.f32().chunks_exact(lanes).flat_map(|row| &row[first..first + GROUP]).copied().collect()
    };
    let piece = |slab: &Slab| -> Vec<f32> {
        let each = slab.len() / (lanes / GROUP);
        slab.f32()[group * each..(group + 1) * each].to_vec()
    };
    let [mode, x, stats, packed, before] = [0, 1, 2, 3, 4].map(|i| &case.inputs[i]);
    let headless = weights.head().is_none();
    let part = lstm_step::cases::Case {
        weights: weights.clone(),
        lanes: GROUP,
        ints: lstm_step::ints(weights, GROUP),
        mode: mode.i32()[first..first + GROUP].to_vec(),
        x: rows(x),
        stats: if headless { stats.f32().to_vec() } else { rows(stats) },
        packed: packed.f32().to_vec(),
        state_in: piece(before),
    };
    let out = if headless { out.f32().to_vec() } else { piece(out) };
    let worst = part.check(&piece(state_out), &out, 1)?;
    Ok(worst.state.max(worst.out))
}

/// Compares a sample of a call's results: a few lanes or one VM, others each turn. Returns the error in units of the
/// tolerance where the kernel tells it, else 0.
///
/// # Errors
/// The first value that differs.
pub(super) fn call_sample(case: &Case, outputs: &[Slab], turn: u64) -> Result<f64, String> {
    let ints: Vec<usize> = case.ints.iter().map(|&i| i as usize).collect();
    let input = |i: usize| case.inputs[i].f32();
    // Lanes far apart, so that the sample wanders over the whole batch: a prime that divides no number of lanes.
    let some = |lanes: usize, n: u64| {
        (0..n).map(move |i| ((turn * n + i) * 1_000_003 % lanes.max(1) as u64) as usize)
    };
    match (case.kernel, outputs) {
        (KernelId::ArimaFit, [fit]) => {
            some(ints[0], 4).try_for_each(|lane| arima_fit::check(input(0), ints[1], fit.f32(), lane))?;
        }
        (KernelId::ArimaForecast, [mean, variance]) => some(ints[0], 16).try_for_each(|lane| {
            arima_forecast::check(input(0), ints[1], mean.f32(), variance.f32(), lane)
        })?,
        (KernelId::PlacementScore, [best, score]) if ints[0] > 0 => {
            let vm = (turn % ints[0] as u64) as usize;
            let row = |v: &Slab, width: usize| v.f32()[vm * width..(vm + 1) * width].to_vec();
            let (top, words) = (ints[5], ints[1] / 32);
            let one = placement_score::reference::Inputs {
                ints: [1, case.ints[1], case.ints[2], case.ints[3], case.ints[4], case.ints[5]],
                floats: [case.floats[0], case.floats[1]],
                demand: row(&case.inputs[0], ints[2] * ints[3] * ints[4]),
                room: input(1).to_vec(),
                host: input(2).to_vec(),
                vm: row(&case.inputs[3], 2),
                allow: case.inputs[4].i32()[vm * words..(vm + 1) * words].to_vec(),
            };
            let best = &best.i32()[vm * top..(vm + 1) * top];
            placement_score::tolerance::check(&one, best, &row(score, top * placement_score::SCORE_WORDS))
                .map_err(|e| format!("of request's vm {vm}: {e}"))?;
        }
        (KernelId::ConformalUpdate, [shift, out]) if ints[0] > 0 => {
            let group = sample(turn, ints[0]);
            let all = conformal_update::reference::Inputs {
                ints: [case.ints[0]],
                floats: [0, 1, 2, 3].map(|i| case.floats[i]),
                y: input(0).to_vec(),
                issued: input(1).to_vec(),
                scale: input(2).to_vec(),
                base: input(3).to_vec(),
                shift: input(4).to_vec(),
            };
            let part = |slab: &Slab| {
                let each = slab.len() / (ints[0] / GROUP);
                slab.f32()[group * each..(group + 1) * each].to_vec()
            };
            let one = conformal_update::cases::group(&all, group);
            conformal_update::tolerance::check(&one, &part(shift), &part(out))?;
        }
        _ => {}
    }
    Ok(0.0)
}

/// Launches of a whole self-test.
pub const SELF_TEST_JOBS: u64 = 6;

/// Runs a kernel's small seeded cases through `run` and holds the results to the reference.
///
/// # Errors
/// What `run` said, or the first value that differs.
pub(super) fn prove(
    kernel: KernelId,
    mut run: impl FnMut(&Case) -> Result<Vec<Slab>, String>,
) -> Result<(), String> {
    const LANES: usize = GROUP;
    const SAMPLES: usize = 48;
    match kernel {
        KernelId::LstmStep => prove_lstm(&mut run),
        KernelId::ArimaFit => {
            let y = arima_fit::cases::case(7, LANES, SAMPLES);
            let fit = one(&run(&case_of(kernel, &[LANES, SAMPLES], &[&y]))?)?.f32().to_vec();
            (0..LANES).try_for_each(|lane| arima_fit::check(&y, SAMPLES, &fit, lane))
        }
        KernelId::ArimaForecast => {
            let fit = arima_fit::cases::fitted(7, LANES, SAMPLES);
            match &run(&case_of(kernel, &[LANES, 12], &[&fit]))?[..] {
                [mean, variance] => (0..LANES)
                    .try_for_each(|l| arima_forecast::check(&fit, 12, mean.f32(), variance.f32(), l)),
                other => Err(format!("{} outputs", other.len())),
            }
        }
        KernelId::PlacementScore => {
            let c = placement_score::cases::case(7, placement_score::cases::SHAPES[3]);
            let ints = c.ints.map(|i| i as usize);
            let mut case = case_of(kernel, &ints, &[&c.demand, &c.room, &c.host, &c.vm]);
            case.floats = c.floats.to_vec();
            case.inputs.push(Arc::new(Slab::from_i32(&c.allow)));
            match &run(&case)?[..] {
                [best, score] => placement_score::tolerance::check(&c, best.i32(), score.f32()),
                other => Err(format!("{} outputs", other.len())),
            }
        }
        KernelId::ConformalUpdate => {
            let c = conformal_update::cases::case(7, GROUP + 1);
            let inputs = [&c.y[..], &c.issued, &c.scale, &c.base, &c.shift];
            let mut case = case_of(kernel, &c.ints.map(|i| i as usize), &inputs);
            case.floats = c.floats.to_vec();
            match &run(&case)?[..] {
                [shift, out] => conformal_update::tolerance::check(&c, shift.f32(), out.f32()),
                other => Err(format!("{} outputs", other.len())),
            }
        }
    }
}

fn case_of(kernel: KernelId, ints: &[usize], inputs: &[&[f32]]) -> Case {
    let inputs = inputs.iter().map(|v| Arc::new(Slab::from_f32(v))).collect();
    Case { kernel, ints: ints.iter().map(|&i| i as i32).collect(), floats: Vec::new(), inputs }
}

fn one(outputs: &[Slab]) -> Result<&Slab, String> {
    outputs.first().ok_or_else(|| "no output".to_owned())
}

/// 64 lanes and one more, both depths, with a head.
fn prove_lstm(run: &mut dyn FnMut(&Case) -> Result<Vec<Slab>, String>) -> Result<(), String> {
    for layers in [1, 2] {
        let shape = lstm_step::cases::Shape { input: 8, hidden: 16, layers, stats: 5, width: 12 };
        let c = lstm_step::cases::case(7, GROUP + 1, shape).map_err(|e| e.to_string())?;
        let f32s = |v: &[f32]| Arc::new(Slab::from_f32(v));
        let inputs = vec![
            Arc::new(Slab::from_i32(&c.mode)),
            f32s(&c.x),
            f32s(&c.stats),
            f32s(&c.packed),
            f32s(&c.state_in),
        ];
        let case = Case { kernel: KernelId::LstmStep, ints: c.ints.to_vec(), floats: vec![], inputs };
        match &run(&case)?[..] {
            [state, out] => c.check(state.f32(), out.f32(), 1).map(|_| ())?,
            other => return Err(format!("{} outputs", other.len())),
        }
    }
    Ok(())
}
