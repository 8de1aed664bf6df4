//! Fits a hazard model and prints its figures: `hazard_fit lanl|grid5000|backblaze INPUT SAMPLE OUT [ROWS]`.
//!
//! INPUT is the Parquet file of the set, SAMPLE the part of it that the tests hold, OUT the folder for the model and its
//! card, ROWS a Parquet file for the rows with inputs, outcomes and answers, for other models to be judged on.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int8Array, Int64Array, RecordBatch, UInt32Array,
};
use foreshade_forecast::hazard::fit::Candidate;
use foreshade_forecast::hazard::replay::{Meta, Part, Record, Rows};
use foreshade_forecast::hazard::score::Score;
use foreshade_forecast::hazard::study::{self, HORIZONS_S, SEED, Study};
use foreshade_forecast::hazard::{DAY_S, Hazard, Layout, WEEK_S, fit, read};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value, json};

type Any<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["backblaze", input, sample, out] => drives(input, sample, out, None),
        ["backblaze", input, sample, out, rows] => drives(input, sample, out, Some(rows)),
        [set @ ("lanl" | "grid5000"), input, sample, out] => hosts(set, input, sample, out, None),
        [set @ ("lanl" | "grid5000"), input, sample, out, rows] => hosts(set, input, sample, out, Some(rows)),
        _ => Err("usage: hazard_fit lanl|grid5000|backblaze INPUT SAMPLE OUT [ROWS]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn records(study: &Study, path: &str) -> Any<Vec<Record>> {
    let mut records =
        if study.name == "lanl" { read::lanl(Path::new(path)) } else { read::grid5000(Path::new(path)) }?;
    study.set_aside(&mut records);
    Ok(records)
}

fn hosts(set: &str, input: &str, sample: &str, out: &str, dump: Option<&str>) -> Any<()> {
    let study = if set == "lanl" { study::lanl() } else { study::grid5000() }?;
    let all = records(&study, input)?;
    let rows = study.rows(&all)?;
    println!("{set}: {} hosts, {} outages", all.len(), all.iter().map(|r| r.outages_s.len()).sum::<usize>());
    let (model, chosen) = study::model(&rows, Layout::Recurrence, &HORIZONS_S)?;
    let sample = study.rows(&records(&study, sample)?)?;
    let mut more = Value::Null;
    if let Some(day) = model.heads().iter().find(|h| h.horizon_s == DAY_S) {
        let w = study.warnings(&all, &rows, day)?;
        println!(
            "warnings, day ahead: {:.2} % of host-hours, {:.1} % of {} failures caught, lead {:.1} / {:.1} / {:.1} h",
            100.0 * w.share,
            100.0 * w.caught,
            w.failures,
            w.lead_s[0] as f64 / 3600.0,
            w.lead_s[1] as f64 / 3600.0,
            w.lead_s[2] as f64 / 3600.0
        );
        more = json!({"warnings_day_ahead": {
            "share": w.share, "caught": w.caught, "failures": w.failures, "lead_quartiles_s": w.lead_s,
        }});
    }
    finish(set, out, (&model, &chosen), &rows, &sample, more, dump)
}

fn drives(input: &str, sample: &str, out: &str, dump: Option<&str>) -> Any<()> {
    let days = read::backblaze(Path::new(input))?;
    let rows = study::drive_rows(&days);
    let folds = study::drive_folds(&days)?;
    if let Some(s) = &folds {
        println!("168 h  five folds by drive{}", line(s));
    }
    let sample = study::drive_rows(&read::backblaze(Path::new(sample))?);
    let (model, chosen) = study::model(&rows, Layout::Drive, &[WEEK_S])?;
    let folds = folds.as_ref().map_or(Value::Null, |s| json!({"five_folds_by_drive": as_json(s)}));
    finish("backblaze", out, (&model, &chosen), &rows, &sample, folds, dump)
}

/// Writes the model, its card and the rows.
fn finish(
    set: &str,
    out: &str,
    (model, chosen): (&Hazard, &[Candidate]),
    rows: &Rows,
    sample: &Rows,
    more: Value,
    dump: Option<&str>,
) -> Any<()> {
    let card = json!({
        "model": format!("{set}.json"),
        "model_fnv1a64": format!("{:016x}", study::hash(&model.to_json()?)),
        "data": about(set),
        "command": format!("hazard_fit {set} INPUT host/forecast/tests/data/hazard/{set}.parquet models/hazard"),
        "seed": SEED,
        "rows": count(rows),
        "l2": chosen.iter().map(|c| c.l2).collect::<Vec<_>>(),
        "left_out": chosen.iter().map(|c| left_out(model, c)).collect::<Vec<_>>(),
        "test": figures(model, rows, true),
        "sample": figures(model, sample, false),
        "more": more,
    });
    std::fs::create_dir_all(out)?;
    std::fs::write(format!("{out}/{set}.json"), model.to_json()?)?;
    std::fs::write(format!("{out}/{set}.card.json"), serde_json::to_string_pretty(&card)? + "\n")?;
    dump.map_or(Ok(()), |path| write_rows(path, model, rows))
}

/// Source, licence and split of a set.
fn about(set: &str) -> Value {
    let [source, licence, split] = match set {
        "lanl" => [
            "LANL node failures 1995-2005, LA-UR-05-7318",
            "public release; the copy used has no licence file",
            "fit to 2004-08-31, calibration to 2004-12-31, test 2005; systems 11 and 20 and every fifth host set aside",
        ],
        "grid5000" => [
            "Grid'5000 availability 2005-2006, Failure Trace Archive (Kondo et al., CCGrid 2010)",
            "free with citation; the copy used has no licence file",
            "fit to 2006-05-31, calibration to 2006-07-31, test from 2006-08-01; sites 5 and 6 and every fifth host set aside",
        ],
        _ => [
            "Backblaze Drive Stats 2026-03-11..24, the drives that one model's alerts chose: not the rates of a fleet",
            "free to use and share with citation, not to be sold",
            "by drive: half of the drives set aside; of the others, fit before 2026-03-18, calibration from then on",
        ],
    };
    json!({"source": source, "licence": licence, "split": split})
}

fn left_out(model: &Hazard, candidate: &Candidate) -> Vec<&'static str> {
    let names = model.layout().inputs().iter().map(|(name, _)| *name);
    names.filter(|name| (candidate.leave_out)(name)).collect()
}

fn count(rows: &Rows) -> Value {
    let of = |part| rows.iter().filter(|(m, _)| m.is_for(part)).count();
    json!({"fit": of(Part::Fit), "calibrate": of(Part::Calibrate), "test": of(Part::Test)})
}

fn figures(model: &Hazard, rows: &Rows, print: bool) -> Value {
    let mut all = Map::new();
    for head in model.heads() {
        let mut of_head = Map::new();
        for (who, score) in ["known", "aside"].into_iter().zip(study::figures(rows, head)) {
            let Some(s) = score else { continue };
            if print {
                println!("{:>3} h  {who:<6}{}", head.horizon_s / 3600, line(&s));
            }
            of_head.insert(who.into(), as_json(&s));
        }
        all.insert(head.horizon_s.to_string(), Value::Object(of_head));
    }
    Value::Object(all)
}

fn line(s: &Score) -> String {
    format!(
        "{:>9} rows {:>8} failures  base rate {:.5}  AUC {:.4}  skill {:+.4}  ECE {:.5}  said/seen {:.3}",
        s.rows, s.failures, s.base_rate, s.auc, s.skill, s.ece, s.said_over_seen
    )
}

fn as_json(s: &Score) -> Value {
    let curve: Vec<Value> = s.curve.iter().map(|b| json!({"said": b.said, "seen": b.seen})).collect();
    json!({
        "rows": s.rows, "failures": s.failures, "base_rate": s.base_rate, "auc": s.auc, "brier": s.brier,
        "brier_skill": s.skill, "ece": s.ece, "said_over_seen": s.said_over_seen, "reliability": curve,
    })
}

/// All rows: who, when, part (0 fit, 1 calibrate, 2 test), outcome per horizon (-1 unknown), inputs, answers.
fn write_rows(path: &str, model: &Hazard, rows: &Rows) -> Any<()> {
    let meta = || rows.iter().map(|(m, _)| m);
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("host".into(), Arc::new(meta().map(|m| Some(m.host)).collect::<UInt32Array>())),
        ("at_s".into(), Arc::new(meta().map(|m| Some(m.at_s)).collect::<Int64Array>())),
        ("part".into(), Arc::new(meta().map(|m| Some(m.part as i8)).collect::<Int8Array>())),
        ("aside".into(), Arc::new(meta().map(|m| Some(m.aside)).collect::<BooleanArray>())),
        ("weight".into(), Arc::new(meta().map(|m| Some(m.weight)).collect::<Float32Array>())),
    ];
    for head in model.heads() {
        let h = head.horizon_s;
        let outcome = |m: &Meta| m.fails_within(h).map_or(-1, i8::from);
        columns.push((format!("y_{h}"), Arc::new(meta().map(|m| Some(outcome(m))).collect::<Int8Array>())));
        let p = rows.iter().map(|(_, x)| Some(fit::probability(head, x)));
        columns.push((format!("p_{h}"), Arc::new(p.collect::<Float64Array>())));
    }
    for (i, (name, _)) in model.layout().inputs().iter().enumerate() {
        let x = rows.iter().map(|(_, x)| x.get(i).copied());
        columns.push((format!("x_{name}"), Arc::new(x.collect::<Float32Array>())));
    }
    let batch = RecordBatch::try_from_iter(columns)?;
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(zstd).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
