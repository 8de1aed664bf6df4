//! Recorded machines whose other metrics stand in for events.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::lstm::LstmModel;
use foreshade_forecast::replay::gain::{Loss, Study, study};
use foreshade_forecast::replay::generate::Tick;
use foreshade_telemetry::trace::Trace;
use foreshade_types::{EventKind, Horizon, Resource, TraceData, Usage};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const HORIZONS: [Horizon; 3] = [Horizon::Peak(6), Horizon::Step(1), Horizon::Step(6)];

type Outcome = Result<(), Box<dyn std::error::Error>>;

type Print = fn(&str, &[Horizon], &[Vec<Loss>]);

/// `dev`: the parts that choices were made on, not those that count.
pub fn all(dev: bool, print: Print) -> Outcome {
    let Some(data) = std::env::var_os("FORESHADE_DATA").filter(|d| !d.is_empty()) else {
        println!("SKIPPED recorded machines: FORESHADE_DATA is not set");
        return Ok(());
    };
    let data = Path::new(&data);
    bitbrains(data, if dev { "07" } else { "08" }, print)?;
    smd(data, if dev { "train" } else { "test" }, print)?;
    alibaba(data, if dev { 1..=2 } else { 3..=5 }, print)
}

fn run(name: &str, ticks: &[Vec<Tick>], unit: &[f64], cadence_s: u32, from: usize, print: Print) -> Outcome {
    let model = (cadence_s == 300).then(LstmModel::shipped).transpose()?.map(Arc::new);
    let s = Study { ticks, unit, resource: Resource::Cpu, cadence_s, horizons: &HORIZONS, from, model };
    print(name, &HORIZONS, &study(&s, open("cpu", &OpenOptions::default())?)?);
    Ok(())
}

/// CPU from disk and network rates of 287 VMs, 300 s; the LSTM speaks in the baseline.
fn bitbrains(data: &Path, month: &str, print: Print) -> Outcome {
    let trace = Trace::read(&data.join(format!("bitbrains_rnd/samples_2013-{month}.parquet")))?;
    let column =
        |name: &str| trace.columns.iter().position(|c| c.name == name).ok_or(format!("no column {name}"));
    let cpu = column("cpu_pct")?;
    let events = [
        (EventKind::DiskRead, column("disk_r_kbs")?),
        (EventKind::DiskWrite, column("disk_w_kbs")?),
        (EventKind::NetIn, column("net_rx_kbs")?),
        (EventKind::NetOut, column("net_tx_kbs")?),
    ];
    let len = trace.vms.iter().map(|vm| vm.len()).max().unwrap_or(0);
    let mut ticks = Vec::new();
    for vm in trace.vms.iter().filter(|vm| vm.len() == len) {
        let tick = |t: usize| {
            let mut trace = TraceData::new((t as i64 + 1) * 300_000, 300_000);
            for (kind, c) in events {
                trace = trace.with(kind, 300.0 * f64::from(vm.values[c][t]));
            }
            Tick { trace, usage: Usage::UNKNOWN.with(Resource::Cpu, f64::from(vm.values[cpu][t])) }
        };
        ticks.push((0..len).map(tick).collect());
    }
    run(&format!("bitbrains 2013-{month} cpu"), &ticks, &vec![1.0; ticks.len()], 300, 1000, print)
}

/// CPU from disk, packet and connection rates of three servers, 60 s.
fn smd(data: &Path, part: &str, print: Print) -> Outcome {
    // 1-based metric numbers: passive opens, segments in, packets out, active opens, disk reads and writes.
    let events = [
        (EventKind::Request, "m33"),
        (EventKind::NetIn, "m28"),
        (EventKind::NetOut, "m22"),
        (EventKind::Syscall, "m25"),
        (EventKind::DiskRead, "m10"),
        (EventKind::DiskWrite, "m14"),
    ];
    for machine in ["machine-1-6", "machine-2-1", "machine-2-8"] {
        let path = data.join(format!("smd/{machine}_{part}.parquet"));
        let names: Vec<&str> = events.iter().map(|e| e.1).chain(["m01"]).collect();
        let columns = read(&path, &names)?;
        let kinds: Vec<EventKind> = events.iter().map(|e| e.0).collect();
        let ticks = rows(&columns, &kinds, 60);
        blocks(&format!("smd {machine} {part}"), &ticks, 0.01, 60, print)?;
    }
    Ok(())
}

/// CPU of a data centre from its network and disk use, 10 s.
fn alibaba(data: &Path, days: std::ops::RangeInclusive<u8>, print: Print) -> Outcome {
    let path = data.join("dc_aggregates/alibaba2018_10s.parquet");
    let columns = read(&path, &["net_in", "net_out", "disk_io_percent", "cpu_util_percent", "day"])?;
    let kept: Vec<usize> = (0..columns[4].len()).filter(|&i| days.contains(&(columns[4][i] as u8))).collect();
    let columns: Vec<Vec<f32>> = columns[..4].iter().map(|c| kept.iter().map(|&i| c[i]).collect()).collect();
    let kinds = [EventKind::NetIn, EventKind::NetOut, EventKind::DiskRead];
    let ticks = rows(&columns, &kinds, 10);
    blocks(&format!("alibaba days {}-{}", days.start(), days.end()), &ticks, 1.0, 10, print)
}

/// One machine as several stretches, so that the bootstrap has something to draw from. Each learns anew.
fn blocks(name: &str, ticks: &[Tick], unit: f64, cadence_s: u32, print: Print) -> Outcome {
    const BLOCKS: usize = 8;
    let len = ticks.len() / BLOCKS;
    let parts: Vec<Vec<Tick>> = ticks.chunks_exact(len).take(BLOCKS).map(<[Tick]>::to_vec).collect();
    run(name, &parts, &[unit; BLOCKS], cadence_s, 400, print)
}

/// The last column is the use.
fn rows(columns: &[Vec<f32>], kinds: &[EventKind], cadence_s: u32) -> Vec<Tick> {
    let used = &columns[kinds.len()];
    (0..used.len())
        .map(|t| {
            let mut trace = TraceData::new((t as i64 + 1) * i64::from(cadence_s) * 1000, cadence_s * 1000);
            for (kind, column) in kinds.iter().zip(columns) {
                trace = trace.with(*kind, f64::from(column[t]) * f64::from(cadence_s));
            }
            Tick { trace, usage: Usage::UNKNOWN.with(Resource::Cpu, f64::from(used[t])) }
        })
        .collect()
}

fn read(path: &Path, names: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
    let mut columns = vec![Vec::new(); names.len()];
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()? {
        let batch = batch?;
        for (column, name) in columns.iter_mut().zip(names) {
            let array = batch.column_by_name(name).ok_or(format!("{}: no column {name}", path.display()))?;
            match array.as_primitive_opt::<Float32Type>() {
                Some(a) => column.extend(a.iter().map(|v| v.unwrap_or(f32::NAN))),
                None => {
                    let a = array.as_primitive::<arrow_array::types::UInt8Type>();
                    column.extend(a.iter().map(|v| v.map_or(f32::NAN, f32::from)));
                }
            }
        }
    }
    Ok(columns)
}
