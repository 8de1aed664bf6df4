//! The closed-form autoregression against R.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs::File;
use std::path::PathBuf;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use foreshade_forecast::levinson::{ORDER_MAX, autocovariance, fit, select};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Luteinizing hormone in blood samples, R's `lh`: Diggle (1990).
const LH: [f32; 48] = [
    2.4, 2.4, 2.4, 2.2, 2.1, 1.5, 2.3, 2.3, 2.5, 2.0, 1.9, 1.7, 2.2, 1.8, 3.2, 3.2, 2.7, 2.2, 2.2, 1.9, 1.9,
    1.8, 2.7, 3.0, 2.3, 2.0, 2.0, 2.9, 2.9, 2.7, 2.7, 2.3, 2.6, 2.4, 1.8, 1.7, 1.5, 1.4, 2.1, 3.3, 3.5, 3.5,
    3.1, 2.6, 2.1, 3.4, 3.0, 2.9,
];

fn centred(x: &[f32]) -> Vec<f32> {
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
    x.iter().map(|&v| (f64::from(v) - mean) as f32).collect()
}

#[test]
fn lh_gives_what_r_gives() {
    // R 4.2: ar(lh) -> order 3, 0.6534 -0.0636 -0.2269, sigma^2 estimated as 0.1959 (divisor n - 4).
    let ar = fit(&autocovariance(&centred(&LH)), 3);
    for (got, want) in ar.coef.iter().zip([0.6534, -0.0636, -0.2269, 0.0]) {
        assert!((got - want).abs() < 5e-5, "{:?}", ar.coef);
    }
    assert!((ar.variance * 48.0 / 44.0 - 0.1959).abs() < 5e-5, "{}", ar.variance);
}

#[test]
fn the_recursion_solves_the_equations() {
    let r = autocovariance(&centred(&LH));
    for p in 1..=ORDER_MAX {
        let ar = fit(&r, p);
        for i in 1..=p {
            let left: f64 = (1..=p).map(|j| ar.coef[j - 1] * r[i.abs_diff(j)]).sum();
            assert!((left - r[i]).abs() < 1e-12, "order {p}, equation {i}");
        }
        let variance = r[0] - (1..=p).map(|j| ar.coef[j - 1] * r[j]).sum::<f64>();
        assert!((ar.variance - variance).abs() < 1e-12);
    }
}

#[test]
fn aicc_takes_no_more_than_it_needs() {
    // White noise: no order explains anything; one too many may be chance.
    let mut g = common::Lcg(1);
    let noise: Vec<f32> = (0..144).map(|_| g.normal()).collect();
    assert!(select(&autocovariance(&centred(&noise)), 144).order <= 1);
    assert_eq!(select(&autocovariance(&[0.0; 144]), 144).order, 0);
    assert_eq!(select(&autocovariance(&[1.0, -1.0, 1.0]), 3).order, 0);
}

fn skip(what: &str) {
    println!("SKIPPED {what}: FORESHADE_DATA is not set; fit of lh ran");
    let required = std::env::var("REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|r| r == "data"),
        "REQUIRE=data: set FORESHADE_DATA to the folder of data sets"
    );
}

/// The series of that id.
fn simulated(folder: &str, id: &str) -> Vec<f32> {
    let path = PathBuf::from(folder).join("forecast_reference/series.parquet");
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    for batch in reader {
        let batch = batch.unwrap();
        let names = batch.column_by_name("id").unwrap().as_string::<i32>();
        if let Some(i) = (0..names.len()).find(|&i| names.value(i) == id) {
            let y = batch.column_by_name("y").unwrap().as_list::<i32>().value(i);
            return y.as_primitive::<Float64Type>().values().iter().map(|&v| v as f32).collect();
        }
    }
    panic!("no series {id}");
}

#[test]
fn simulated_series_give_their_coefficients() {
    let Ok(folder) = std::env::var("FORESHADE_DATA") else { return skip("simulated autoregressions") };
    // Series; the coefficients it was simulated with; R's maximum likelihood fit and its standard error.
    let cases: [(&str, &[f64], &[f64], f64); 5] = [
        ("sim_ar1_n5000", &[0.8], &[0.796386], 0.00854),
        ("sim_ar2_cyc_n5000", &[1.2, -0.6], &[1.195741, -0.605846], 0.01125),
        ("sim_ar1_near_unit_n5000", &[0.98], &[0.979934], 0.00280),
        ("sim_ar1_n200", &[0.8], &[0.784261], 0.04397),
        ("sim_ar2_cyc_n200", &[1.2, -0.6], &[1.293185, -0.663948], 0.05284),
    ];
    for (id, truth, likelihood, error) in cases {
        let x = simulated(&folder, id);
        let r = autocovariance(&centred(&x));
        let ar = fit(&r, truth.len());
        for j in 0..truth.len() {
            assert!(
                (ar.coef[j] - likelihood[j]).abs() < error,
                "{id}: {:?} against R's {likelihood:?}",
                ar.coef
            );
            assert!((ar.coef[j] - truth[j]).abs() < 3.0 * error, "{id}: {:?} against {truth:?}", ar.coef);
        }
        assert!((0.9..1.1).contains(&ar.variance), "{id}: variance {}", ar.variance);
        assert!(select(&r, x.len()).order >= truth.len(), "{id}");
    }
}
