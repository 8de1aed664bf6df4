//! Figures of R 4.2.2 (`data/README.md`): the sample in the repository, and the whole set from FORESHADE_DATA.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int16Type};
use arrow_array::{Array, RecordBatch};
use foreshade_forecast::exact::{Diffuse, Method, Options, Order, Trend};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

/// One fit by R.
#[derive(Debug, Clone, Deserialize)]
pub struct RFit {
    pub id: String,
    #[serde(rename = "fn")]
    pub function: String,
    pub method: Option<String>,
    /// Of `auto.arima`, which names its order here.
    pub desc: Option<String>,
    pub order: Option<Vec<i16>>,
    pub seasonal: Option<Vec<i16>>,
    pub coef: Vec<f64>,
    pub se: Option<Vec<f64>>,
    pub pred: Vec<f64>,
    pub pred_se: Option<Vec<f64>>,
    pub lo95: Option<Vec<f64>>,
    pub hi95: Option<Vec<f64>>,
    pub sigma2: f64,
    pub loglik: f64,
    pub aic: Option<f64>,
    pub aicc: Option<f64>,
}

/// Series by name, NaN = missing, and fits.
#[derive(Debug)]
pub struct Reference {
    pub series: BTreeMap<String, Vec<f64>>,
    pub fits: Vec<RFit>,
}

impl Reference {
    pub fn y(&self, id: &str) -> &[f64] {
        &self.series[id]
    }
}

impl RFit {
    pub fn is_auto(&self) -> bool {
        self.function == "forecast::auto.arima"
    }

    pub fn name(&self) -> String {
        let (order, _) = self.model();
        let o = order;
        let season = format!("({},{},{}){}", o.seasonal_p, o.seasonal_d, o.seasonal_q, o.period);
        let how = self.method.as_deref().unwrap_or("auto");
        format!("{} ({},{},{}){season} {how}", self.id, o.p, o.d, o.q)
    }

    /// The order, and the options under which R fitted it.
    pub fn model(&self) -> (Order, Options) {
        let mut options = Options::default();
        if self.is_auto() {
            let desc = self.desc.as_deref().unwrap();
            let numbers: Vec<usize> =
                desc.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            options.trend = match desc {
                d if d.ends_with("non-zero mean") => Trend::Mean,
                d if d.ends_with("drift") => Trend::Drift,
                _ => Trend::None,
            };
            return (order(&numbers[..3], &numbers[3..]), options);
        }
        if self.method.as_deref() == Some("CSS") {
            options.method = Method::ConditionalSquares;
        }
        // R left the first sample of this one out: |phi| > 0.99995.
        if self.id == "sim_ar1_near_unit_n200" {
            options.diffuse = Diffuse::AsR;
        }
        let numbers = |v: &Option<Vec<i16>>| -> Vec<usize> {
            v.as_ref().unwrap().iter().map(|&n| n.try_into().unwrap()).collect()
        };
        (order(&numbers(&self.order), &numbers(&self.seasonal)), options)
    }
}

fn order(plain: &[usize], seasonal: &[usize]) -> Order {
    let order = Order::new(plain[0], plain[1], plain[2]);
    match seasonal {
        [p, d, q, period] => order.seasonal(*p, *d, *q, *period),
        _ => order,
    }
}

#[derive(Deserialize)]
struct JsonSeries {
    id: String,
    y: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Json {
    series: Vec<JsonSeries>,
    fits: Vec<RFit>,
}

/// The part in the repository.
pub fn sample() -> Reference {
    let json: Json = serde_json::from_str(include_str!("../data/arima_r.json")).unwrap();
    let series = json.series.into_iter().map(|s| (s.id, numbers(s.y))).collect();
    Reference { series, fits: json.fits }
}

fn numbers(y: Vec<Option<f64>>) -> Vec<f64> {
    y.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect()
}

/// All of it; `None`, and a line that says so, where there is no folder of data sets.
pub fn whole(what: &str) -> Option<Reference> {
    let Ok(folder) = std::env::var("FORESHADE_DATA") else {
        println!("SKIPPED {what}: FORESHADE_DATA is not set; the sample in tests/data ran");
        let required = std::env::var("REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|r| r == "data"),
            "REQUIRE=data: set FORESHADE_DATA to the folder of data sets"
        );
        return None;
    };
    let folder = PathBuf::from(folder).join("forecast_reference");
    let mut all = Reference { series: BTreeMap::new(), fits: Vec::new() };
    for batch in read(folder.join("series.parquet")) {
        for row in 0..batch.num_rows() {
            all.series.insert(text(&batch, "id", row).unwrap(), doubles(&batch, "y", row).unwrap());
        }
    }
    for batch in read(folder.join("fits.parquet")) {
        let arima = |row: &usize| text(&batch, "fn", *row).unwrap() != "forecast::ets";
        all.fits.extend((0..batch.num_rows()).filter(arima).map(|row| r_fit(&batch, row)));
    }
    Some(all)
}

fn read(path: PathBuf) -> Vec<RecordBatch> {
    let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(|b| b.unwrap()).collect()
}

fn r_fit(batch: &RecordBatch, row: usize) -> RFit {
    let double = |name| {
        let column = batch.column_by_name(name).unwrap();
        let there = !column.is_null(row);
        there.then(|| column.as_primitive::<Float64Type>().value(row)).filter(|v| !v.is_nan())
    };
    RFit {
        id: text(batch, "id", row).unwrap(),
        function: text(batch, "fn", row).unwrap(),
        method: text(batch, "method", row),
        desc: text(batch, "desc", row),
        order: shorts(batch, "order", row),
        seasonal: shorts(batch, "seasonal", row),
        coef: doubles(batch, "coef", row).unwrap(),
        se: doubles(batch, "se", row),
        pred: doubles(batch, "pred", row).unwrap(),
        pred_se: doubles(batch, "pred_se", row),
        lo95: doubles(batch, "lo95", row),
        hi95: doubles(batch, "hi95", row),
        sigma2: double("sigma2").unwrap(),
        loglik: double("loglik").unwrap(),
        aic: double("aic"),
        aicc: double("aicc"),
    }
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_string())
}

fn doubles(batch: &RecordBatch, name: &str, row: usize) -> Option<Vec<f64>> {
    let column = batch.column_by_name(name).unwrap().as_list::<i32>();
    let list = || column.value(row).as_primitive::<Float64Type>().iter().collect();
    column.is_valid(row).then(|| numbers(list()))
}

fn shorts(batch: &RecordBatch, name: &str, row: usize) -> Option<Vec<i16>> {
    let column = batch.column_by_name(name).unwrap().as_list::<i32>();
    column.is_valid(row).then(|| column.value(row).as_primitive::<Int16Type>().values().to_vec())
}
