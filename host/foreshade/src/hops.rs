//! Latency of the ten hops: how long the spans of these names are open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use foreshade_appliance_core::HOPS;
use foreshade_sim::report::HopReport;
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::warnings::Warnings;

/// Durations by hop, microseconds.
type Durations = Arc<Mutex<[Vec<f32>; HOPS.len()]>>;

/// A tracing layer that times the hops.
#[derive(Debug, Clone, Default)]
pub struct HopTimer(Durations);

/// What a span remembers.
struct Open(usize, Instant);

impl HopTimer {
    /// Makes this the process's timer. Only the first call of a process installs one; a second run in the same process (as
    /// in tests) is not timed.
    pub(crate) fn install(&self) {
        use tracing_subscriber::prelude::*;
        let _ = tracing::subscriber::set_global_default(
            tracing_subscriber::registry().with(self.clone()).with(Warnings),
        );
    }

    /// Percentiles of what was seen so far; all ten hops, 0 where none was.
    pub(crate) fn report(&self) -> BTreeMap<String, HopReport> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let at = |v: &[f32], p: f64| {
            let i = ((v.len() as f64 * p).ceil() as usize).clamp(1, v.len().max(1)) - 1;
            f64::from(v.get(i).copied().unwrap_or(0.0))
        };
        let rows = HOPS.iter().zip(&mut seen).map(|(name, v)| {
            v.sort_by(f32::total_cmp);
            ((*name).to_owned(), HopReport { p50_us: at(v, 0.50), p99_us: at(v, 0.99) })
        });
        rows.collect()
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for HopTimer {
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let name = attrs.metadata().name();
        if let (Some(i), Some(span)) = (HOPS.iter().position(|h| *h == name), ctx.span(id)) {
            span.extensions_mut().insert(Open(i, Instant::now()));
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        if let Some(Open(i, since)) = span.extensions().get::<Open>() {
            let us = since.elapsed().as_secs_f64() * 1e6;
            self.0.lock().unwrap_or_else(PoisonError::into_inner)[*i].push(us as f32);
        }
    }
}
