//! The cases of every kernel: from its own `cases.rs`, at the sizes where batches go wrong.

use std::sync::Arc;

use foreshade_accel::Slab;
use foreshade_kernels::{KernelId, arima_fit, arima_forecast, conformal_update, lstm_step, placement_score};

use super::Work;

/// Does the device's answer hold? Outputs in argument order.
type Check = Box<dyn Fn(&[Slab]) -> Result<(), String>>;

pub struct Case {
    pub name: String,
    pub work: Work,
    pub check: Check,
    /// Small enough for a device that is a hundred times slower.
    pub small: bool,
}

fn f32s(values: &[f32]) -> Arc<Slab> {
    Slab::from_f32(values).into()
}

fn i32s(values: &[i32]) -> Arc<Slab> {
    Slab::from_i32(values).into()
}

/// Every case of a kernel.
pub fn of(kernel: KernelId) -> Vec<Case> {
    match kernel {
        KernelId::LstmStep => lstm(),
        KernelId::ArimaFit => fits(),
        KernelId::ArimaForecast => forecasts(),
        KernelId::PlacementScore => placements(),
        KernelId::ConformalUpdate => updates(),
    }
}

/// Each case has held lanes with NaN, reset lanes, lanes that are both, and lanes whose gates saturate.
fn lstm() -> Vec<Case> {
    let shape =
        |input, hidden, layers, stats, width| lstm_step::cases::Shape { input, hidden, layers, stats, width };
    let bare = shape(8, 32, 1, 0, 0);
    let head = shape(6, 32, 1, 48, 64);
    let odd = shape(3, 5, 2, 2, 7);
    let largest = shape(64, 128, 2, 1, 3);
    let full = [
        (1, odd, true),
        (63, odd, true),
        (64, odd, true),
        (65, head, true),
        (65, largest, false),
        (256, bare, true),
        (4097, head, false),
        (16_384, bare, false),
    ];
    let case = |(lanes, shape, small): (usize, lstm_step::cases::Shape, bool)| {
        let case = lstm_step::cases::case(lanes as u64, lanes, shape).unwrap();
        let work = Work {
            kernel: KernelId::LstmStep,
            ints: case.ints.to_vec(),
            floats: Vec::new(),
            inputs: vec![
                i32s(&case.mode),
                f32s(&case.x),
                f32s(&case.stats),
                f32s(&case.packed),
                f32s(&case.state_in),
            ],
        };
        let name =
            format!("{lanes} lanes {}x{}x{} head {}", shape.input, shape.hidden, shape.layers, shape.width);
        // The reference is slow: of a large batch every 37th lane, which meets every group.
        let stride = if lanes > 1000 { 37 } else { 1 };
        let check: Check =
            Box::new(move |out: &[Slab]| case.check(out[0].f32(), out[1].f32(), stride).map(|_| ()));
        Case { name, work, check, small }
    };
    full.map(case).into()
}

fn fits() -> Vec<Case> {
    let case = |(lanes, samples, small): (usize, usize, bool)| {
        let padded = foreshade_kernels::spec::padded(lanes);
        let mut y = arima_fit::cases::case(lanes as u64, padded, samples);
        // Padding holds zeros.
        for row in y.chunks_exact_mut(padded) {
            row[lanes..].fill(0.0);
        }
        let work = Work {
            kernel: KernelId::ArimaFit,
            ints: vec![padded as i32, samples as i32],
            floats: Vec::new(),
            inputs: vec![f32s(&y)],
        };
        let stride = if lanes > 1000 { 41 } else { 1 };
        let check: Check = Box::new(move |out: &[Slab]| {
            (0..padded).step_by(stride).try_for_each(|lane| arima_fit::check(&y, samples, out[0].f32(), lane))
        });
        Case { name: format!("{lanes} lanes, {samples} samples"), work, check, small }
    };
    [
        (1, 24, true),
        (63, 31, true),
        (64, 144, true),
        (65, 48, true),
        (256, 288, false),
        (4097, 96, false),
        (16_384, 48, false),
    ]
    .map(case)
    .into()
}

fn forecasts() -> Vec<Case> {
    let case = |(lanes, steps, small): (usize, usize, bool)| {
        let padded = foreshade_kernels::spec::padded(lanes);
        let words = arima_fit::cases::fitted(lanes as u64, padded, 48);
        let work = Work {
            kernel: KernelId::ArimaForecast,
            ints: vec![padded as i32, steps as i32],
            floats: Vec::new(),
            inputs: vec![f32s(&words)],
        };
        let stride = if lanes > 1000 { 41 } else { 1 };
        let check: Check = Box::new(move |out: &[Slab]| {
            let (mean, variance) = (out[0].f32(), out[1].f32());
            (0..padded)
                .step_by(stride)
                .try_for_each(|lane| arima_forecast::check(&words, steps, mean, variance, lane))
        });
        Case { name: format!("{lanes} lanes, {steps} steps"), work, check, small }
    };
    [(1, 1, true), (63, 12, true), (64, 288, true), (65, 12, true), (4097, 12, false), (16_384, 12, false)]
        .map(case)
        .into()
}

fn placements() -> Vec<Case> {
    let shapes = placement_score::cases::SHAPES.iter().filter(|s| s.vms > 0);
    let case = |shape: &placement_score::cases::Shape| {
        let inputs = placement_score::cases::case(shape.vms as u64, *shape);
        let work = Work {
            kernel: KernelId::PlacementScore,
            ints: inputs.ints.to_vec(),
            floats: inputs.floats.to_vec(),
            inputs: vec![
                f32s(&inputs.demand),
                f32s(&inputs.room),
                f32s(&inputs.host),
                f32s(&inputs.vm),
                i32s(&inputs.allow),
            ],
        };
        let check: Check = Box::new(move |out: &[Slab]| {
            placement_score::tolerance::check(&inputs, out[0].i32(), out[1].f32())
        });
        let name = format!(
            "{} VMs {} hosts {}x{}x{} top {}",
            shape.vms, shape.hosts, shape.paths, shape.steps, shape.resources, shape.top
        );
        Case { name, work, check, small: shape.vms < 64 }
    };
    shapes.map(case).collect()
}

fn updates() -> Vec<Case> {
    let case = |(series, small): (usize, bool)| {
        let inputs = conformal_update::cases::case(series as u64, series);
        let work = Work {
            kernel: KernelId::ConformalUpdate,
            ints: inputs.ints.to_vec(),
            floats: inputs.floats.to_vec(),
            inputs: vec![
                f32s(&inputs.y),
                f32s(&inputs.issued),
                f32s(&inputs.scale),
                f32s(&inputs.base),
                f32s(&inputs.shift),
            ],
        };
        let check: Check = Box::new(move |out: &[Slab]| {
            conformal_update::tolerance::check(&inputs, out[0].f32(), out[1].f32())
        });
        Case { name: format!("{series} lanes"), work, check, small }
    };
    [(1, true), (63, true), (64, true), (65, true), (4097, true), (16_384, false)].map(case).into()
}
