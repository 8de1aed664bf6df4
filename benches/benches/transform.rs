//! The forecaster's scale, there and back, for one tick of 10,000 series.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use foreshade_types::Transform;

const SERIES: u32 = 10_000;

fn transform(c: &mut Criterion) {
    let rates: Vec<f32> = (0..SERIES).map(|i| (i * 7919 % 100_003) as f32).collect();
    let mut group = c.benchmark_group("transform");
    group.throughput(Throughput::Elements(u64::from(SERIES)));
    for (name, scale) in [("points", Transform::Points), ("log", Transform::Log)] {
        group.bench_function(name, |b| {
            b.iter(|| rates.iter().map(|x| scale.from_points(scale.to_points(black_box(*x)))).sum::<f32>());
        });
    }
    group.finish();
}

criterion_group!(benches, transform);
criterion_main!(benches);
