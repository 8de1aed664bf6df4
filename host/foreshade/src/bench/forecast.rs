//! `foreshade bench forecast`: one tick of the LSTM for many VMs, then the ARIMA fit and forecast of as many series.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foreshade_accel::lstm_step::{LEVELS, STEP, TARGETS, Weights};
use foreshade_accel::{Engine, Inputs, KernelId, Slab, StateId};
use foreshade_forecast::lstm::{LstmModel, Profile};
use foreshade_kernels::lstm_step::cases as lstm_cases;
use foreshade_kernels::spec::padded;
use foreshade_kernels::{arima_fit, arima_fit::FIT_WORDS};

use super::meter::Meter;
use super::{Sheet, Work, check, device};
use crate::Failure;
use crate::cli::BenchArgs;

/// VMs when none are named.
const VMS: u32 = 16_384;
/// Different ticks of inputs, taken in turns.
const TICKS: usize = 3;
/// Samples of an ARIMA window: 12 h at 300 s.
const SAMPLES: usize = 144;
/// Steps that ARIMA forecasts: 1 h at 300 s.
const STEPS: usize = 12;

pub(super) fn run(args: &BenchArgs) -> Result<Sheet, Failure> {
    let vms = args.vms.unwrap_or(VMS) as usize;
    let mut engine = device(args)?;
    let mut sheet = Sheet::new("forecast", &engine);
    let meter = Meter::new(&engine, args.seconds)?;
    let model = LstmModel::shipped().map_err(|e| Failure::failed(&e))?;
    lstm(&mut sheet, &mut engine, &meter, ("shipped model", model.weights(Profile::Cpu)), vms)?;
    let shape = lstm_cases::Shape { input: 8, hidden: 32, layers: 1, stats: 0, width: 0 };
    let bare = lstm_cases::case(1, 1, shape).map_err(|e| Failure::failed(&e))?;
    lstm(&mut sheet, &mut engine, &meter, ("without a head", &bare.weights), vms)?;
    arima(&mut sheet, &mut engine, &meter, vms)?;
    Ok(sheet)
}

/// Operations of the products in one step of one VM.
fn flop(weights: &Weights) -> f64 {
    let cells: usize = weights.layers().iter().map(|c| 4 * c.hidden * (c.input + c.hidden)).sum();
    let hidden = weights.dims().hidden;
    let head = weights.head().map_or(0, |h| h.width * (hidden + h.stats) + TARGETS * LEVELS * h.width);
    2.0 * (cells + head) as f64
}

fn sizes(weights: &Weights) -> String {
    let input = weights.layers().first().map_or(0, |c| c.input);
    let hidden: Vec<_> = weights.layers().iter().map(|c| c.hidden.to_string()).collect();
    let head = weights
        .head()
        .map(|h| format!(", head {}->{}->{}", weights.dims().hidden + h.stats, h.width, TARGETS * LEVELS));
    format!("{input}->{}{}", hidden.join("->"), head.unwrap_or_default())
}

fn lstm(
    sheet: &mut Sheet,
    engine: &mut Engine,
    meter: &Meter,
    (name, weights): (&str, &Weights),
    vms: usize,
) -> Result<(), Failure> {
    let failed = |e| Failure::failed(&e);
    let loaded = engine.load_lstm(weights).map_err(failed)?;
    let state = engine.new_state(loaded, vms).map_err(failed)?;
    let mut before: Vec<f32> = vec![];
    let mut tick = 0;
    let times = meter.run("lstm_step", || {
        let inputs = fill(engine.inputs(state).map_err(failed)?, vms, tick % TICKS);
        tick += 1;
        let start = Instant::now();
        engine.submit(state, inputs).map_err(failed)?;
        let out = engine.collect(state).map_err(failed)?;
        let took = start.elapsed();
        if weights.head().is_some() {
            check(
                moved(out.f32(), &before),
                "a step gave quantiles that are not finite, zero, or the last step's",
            )?;
            before.clear();
            before.extend_from_slice(out.f32());
        }
        Ok(took)
    })?;
    proven(engine, state)?;
    let case = format!("lstm_step {}, {name}, {vms} VMs", sizes(weights));
    let (units, flop) = (vms as f64, Some(flop(weights) * padded(vms) as f64));
    sheet.add(engine, Work { case, unit: "VM steps", units, flop }, &times)?;
    engine.drop_state(state).map_err(failed)
}

/// Every VM takes a step on numbers in [-1, 1] that no two VMs and no two ticks in turn share.
fn fill(mut inputs: Inputs, vms: usize, tick: usize) -> Inputs {
    Arc::make_mut(&mut inputs.mode).i32_mut()[..vms].fill(STEP);
    for slab in [&mut inputs.x, &mut inputs.stats] {
        for (i, v) in Arc::make_mut(slab).f32_mut().iter_mut().enumerate() {
            let bits = ((i * TICKS + tick) as u32).wrapping_mul(0x9e37_79b9);
            *v = (bits >> 8) as f32 / (1u32 << 23) as f32 - 1.0;
        }
    }
    inputs
}

/// Is everything finite, something not zero, and something else than before?
fn moved(out: &[f32], before: &[f32]) -> bool {
    out.iter().all(|v| v.is_finite()) && out.iter().any(|v| *v != 0.0) && out != before
}

/// The state that the steps left: finite, and not zero in any group of lanes.
fn proven(engine: &mut Engine, state: StateId) -> Result<(), Failure> {
    let copy = engine.snapshot(state).map_err(|e| Failure::failed(&e))?;
    let words = copy.words.f32();
    let lives = |group: &[f32]| group.iter().any(|v| *v != 0.0);
    let lanes = padded(copy.series).max(1);
    let ok = words.iter().all(|v| v.is_finite()) && words.chunks(words.len() / lanes * 64).all(lives);
    check(ok, "the steps left a state that is not finite or zero")
}

fn arima(sheet: &mut Sheet, engine: &mut Engine, meter: &Meter, series: usize) -> Result<(), Failure> {
    let lanes = padded(series);
    let y = Arc::new(Slab::from_f32(&arima_fit::cases::case(1, lanes, SAMPLES)));
    let (ints, mut fit) = ([lanes as i32, SAMPLES as i32], None);
    let times = meter.run("arima_fit", || {
        let (out, took) = call(engine, KernelId::ArimaFit, &ints, &y)?;
        let models = out.into_iter().next().filter(|m| m.len() == lanes * FIT_WORDS);
        check(models.as_ref().is_some_and(|m| moved(m.f32(), &[])), "fits are not finite or zero")?;
        fit = models;
        Ok(took)
    })?;
    let work = |kernel: &str, about: String| Work {
        case: format!("{kernel}, {about}, {series} series"),
        unit: "series",
        units: series as f64,
        flop: None,
    };
    sheet.add(engine, work("arima_fit", format!("{SAMPLES} samples")), &times)?;
    let Some(fit) = fit.map(Arc::new) else { return Ok(()) };
    let ints = [lanes as i32, STEPS as i32];
    let times = meter.run("arima_forecast", || {
        let (out, took) = call(engine, KernelId::ArimaForecast, &ints, &fit)?;
        let ok = out.len() == 2 && out.iter().all(|o| moved(o.f32(), &[]));
        check(ok, "forecasts are not finite or zero")?;
        Ok(took)
    })?;
    sheet.add(engine, work("arima_forecast", format!("{STEPS} steps")), &times)
}

fn call(
    engine: &mut Engine,
    kernel: KernelId,
    ints: &[i32],
    input: &Arc<Slab>,
) -> Result<(Vec<Slab>, Duration), Failure> {
    let start = Instant::now();
    let out = engine.call(kernel, ints, &[], &[Arc::clone(input)]).map_err(|e| Failure::failed(&e))?;
    Ok((out, start.elapsed()))
}
