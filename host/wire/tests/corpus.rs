//! Known inputs from `tests/corpus`: `errors.txt` has a line `file: error` for each; `ok` = accepted.

use std::collections::BTreeMap;
use std::path::Path;

use foreshade_wire::decision::{decode_decision, decode_outcome};
use foreshade_wire::{Column, FrameReader, Message, TelemetryView};

/// What the decoder for the file's kind, the part of its name before the first `-`, says.
fn verdict(name: &str, bytes: Vec<u8>) -> String {
    let result = match name.split('-').next() {
        Some("stream") => read(&bytes).map_err(|e| e.to_string()),
        Some("telemetry") => TelemetryView::decode(bytes.into()).map(|_| ()).map_err(|e| e.to_string()),
        Some("decision") => decode_decision(&bytes).map(|_| ()).map_err(|e| e.to_string()),
        Some("outcome") => decode_outcome(&bytes).map(|_| ()).map_err(|e| e.to_string()),
        _ => Err(format!("{name}: no such kind of input")),
    };
    result.err().unwrap_or("ok".into())
}

fn read(bytes: &[u8]) -> Result<(), foreshade_wire::WireError> {
    let mut reader = FrameReader::new();
    reader.push(bytes);
    while let Some(frame) = reader.pop()? {
        Message::decode(frame)?;
    }
    Ok(())
}

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

#[test]
fn every_known_input_gets_its_one_line() {
    let list = std::fs::read_to_string(corpus().join("errors.txt")).expect("errors.txt");
    let mut expected: BTreeMap<String, String> =
        list.lines().filter_map(|l| l.split_once(": ")).map(|(f, e)| (f.into(), e.into())).collect();
    let mut seen = 0;
    for entry in std::fs::read_dir(corpus()).expect("corpus") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        if name == "errors.txt" {
            continue;
        }
        let got = verdict(&name, std::fs::read(&path).expect("input"));
        let want = expected.remove(&name).unwrap_or_else(|| panic!("{name} is not in errors.txt: {got}"));
        assert_eq!(got, want, "{name}");
        assert!(!got.contains('\n'), "{name}: more than one line");
        seen += 1;
    }
    assert!(expected.is_empty(), "no input for {expected:?}");
    assert!(seen >= 30, "only {seen} inputs found");
}

/// The same batch, written by another implementation of Arrow.
#[test]
fn a_batch_written_by_pyarrow_is_read() {
    let bytes = std::fs::read(corpus().join("telemetry-pyarrow")).expect("input");
    let view = TelemetryView::decode(bytes.into()).expect("decodes");
    assert_eq!(view.vm(), [3, 5, 8]);
    assert_eq!(view.flags(), [0, 2, 0]);
    assert_eq!(view.column(Column::CpuUsedMc), [1500.0, 250.5, 0.0]);
    assert_eq!(view.column(Column::DirtyMibS)[0], 12.25);
    assert_eq!(view.column(Column::DirtyMibS)[1].to_bits(), 0x7FC0_0000);
    assert!(view.rejected().is_empty());
}
