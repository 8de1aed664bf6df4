//! What the suites of the engine share: a small model, a sound device, and little patience.

use std::time::Duration;

use foreshade_accel::Care;
use foreshade_accel::device_cpu::CpuDevice;
use foreshade_accel::lstm_step::{Cell, Head, Weights};
use foreshade_fallback_cpu::Exec;

/// 2 inputs, 16 units, 2 statistics, a head of 4.
pub fn weights() -> Weights {
    let v = |n: usize| (0..n).map(|i| 0.4 * (i as f32 * 1.7 + n as f32).sin()).collect::<Vec<_>>();
    let (input, hidden, stats, width) = (2, 16, 2, 4);
    let cell = Cell {
        input,
        hidden,
        w_ih: v(4 * hidden * input),
        w_hh: v(4 * hidden * hidden),
        b_ih: v(4 * hidden),
        b_hh: v(4 * hidden),
    };
    let head =
        Head { stats, width, w1: v(width * (hidden + stats)), b1: v(width), w2: v(20 * width), b2: v(20) };
    Weights::new(vec![cell], Some(head)).unwrap()
}

pub fn cpu() -> Box<CpuDevice> {
    Box::new(CpuDevice::new(Exec::new(None, 1).unwrap()))
}

pub fn care() -> Care {
    Care { deadline: Duration::from_millis(300), check_every: 4, ..Care::default() }
}
