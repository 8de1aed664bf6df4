//! ARIMA models of many series: fit, forecast and bounds. Vectors run over series, and a group of 64 is one piece of work
//! whose samples stay in the nearest cache, so that a result depends neither on the batch nor on the threads.

mod forecast;
mod model;
mod sort;
mod spread;
mod window;

use fearless_simd::{Simd, SimdBase, dispatch};
use foreshade_kernels::GROUP;
use foreshade_kernels::arima_fit::FIT_WORDS;
use rayon::prelude::*;

use crate::Exec;

pub use forecast::{bounds, forecast};
pub use spread::{Reach, SPREAD_WORDS, STEPS_MAX, spread};
use window::Window;

/// `arima_fit`: `ints` and arrays as its SPEC says. `scratch` is for devices without a stack; it is not touched here.
///
/// The caller has checked lengths; a wrong one is a bug of the caller and panics.
pub fn fit(exec: &Exec, ints: &[i32], y: &[f32], fit: &mut [f32], _scratch: &mut [f32]) {
    let (lanes, samples) = (ints[0] as usize, ints[1] as usize);
    exec.install(|| {
        fit.par_chunks_exact_mut(FIT_WORDS * GROUP).enumerate().for_each_init(
            || Window::new(samples),
            |window, (group, out)| {
                dispatch!(exec.level(), simd => {
                    window.load(simd, y, lanes, group * GROUP);
                    fit_group(simd, window, out);
                });
            },
        );
    });
}

#[inline(always)]
fn fit_group<S: Simd>(simd: S, window: &mut Window, out: &mut [f32]) {
    for first in (0..GROUP).step_by(S::f32s::LEN) {
        window::fit(simd, window, first, out);
    }
}

/// Row `t` of an array [rows][vector length].
#[inline(always)]
fn row<S: Simd>(simd: S, rows: &[f32], t: usize) -> S::f32s {
    let n = S::f32s::LEN;
    S::f32s::from_slice(simd, &rows[t * n..t * n + n])
}

/// Writes row `t` of an array [rows][vector length].
#[inline(always)]
fn put<S: Simd>(rows: &mut [f32], t: usize, value: S::f32s) {
    let n = S::f32s::LEN;
    value.store_slice(&mut rows[t * n..t * n + n]);
}
