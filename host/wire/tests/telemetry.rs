//! Telemetry batches: round trips, bad rows, bad bytes.

use bytes::Bytes;
use foreshade_types::VmId;
use foreshade_wire::telemetry::{MAX_ROWS, MISSING, MISSING_BITS, RowError, VALUE_COLUMNS, schema};
use foreshade_wire::{Column, Flags, Row, TelemetryBatch, TelemetryView, WireError};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![8 => (0u32..0x7F80_0000).prop_map(f32::from_bits), 1 => Just(MISSING), 1 => Just(0.0)]
}

fn rows(max: usize) -> impl Strategy<Value = Vec<Row>> {
    let row =
        (prop::collection::vec(value(), VALUE_COLUMNS).prop_map(|v| std::array::from_fn(|i| v[i])), 0u32..16);
    prop::collection::btree_map(any::<u32>(), row, 0..max).prop_map(|rows| {
        let row = |(vm, (values, flags))| Row { vm: VmId(vm), flags: Flags(flags), values };
        rows.into_iter().map(row).collect()
    })
}

fn encode(rows: &[Row]) -> Bytes {
    let mut batch = TelemetryBatch::with_capacity(rows.len());
    rows.iter().for_each(|r| batch.push(r).expect("row"));
    batch.encode().expect("encodes")
}

fn bits(row: &Row) -> (u32, u32, [u32; VALUE_COLUMNS]) {
    (row.vm.0, row.flags.0, row.values.map(f32::to_bits))
}

fn one(column: Column, value: f32) -> TelemetryView {
    let before = Row::new(VmId(1), Flags::default()).with(Column::CpuUsedMc, 1.0);
    let bad = Row::new(VmId(2), Flags::default()).with(column, value);
    let after = Row::new(VmId(3), Flags::default()).with(Column::CpuUsedMc, 3.0);
    TelemetryView::decode(encode(&[before, bad, after])).expect("decodes")
}

/// The same cases in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` are for looking further.
fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(20_240_601);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn batches_round_trip_bit_for_bit(rows in rows(60)) {
        let view = TelemetryView::decode(encode(&rows)).expect("decodes");
        prop_assert_eq!(view.rows(), rows.len());
        prop_assert!(view.rejected().is_empty());
        prop_assert_eq!(view.accepted().count(), rows.len());
        for (i, row) in rows.iter().enumerate() {
            prop_assert_eq!(bits(&view.row(i).expect("row")), bits(row));
        }
        prop_assert!(view.row(rows.len()).is_none());
    }

    /// An offset that breaks the alignment of the columns costs a copy, not the values.
    #[test]
    fn alignment_does_not_matter(rows in rows(20), shift in 0usize..9) {
        let encoded = encode(&rows);
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(&encoded);
        let view = TelemetryView::decode(Bytes::from(shifted).slice(shift..)).expect("decodes");
        for (i, row) in rows.iter().enumerate() {
            prop_assert_eq!(bits(&view.row(i).expect("row")), bits(row));
        }
    }

    #[test]
    fn truncated_batches_are_refused(rows in rows(10), cut in any::<prop::sample::Index>()) {
        let encoded = encode(&rows);
        let cut = cut.index(encoded.len());
        prop_assert!(TelemetryView::decode(encoded.slice(..cut)).is_err());
    }

    #[test]
    fn random_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), marked in any::<bool>()) {
        if marked && bytes.len() > 8 {
            bytes[..4].fill(0xFF);
            bytes[5..8].fill(0);
        }
        prop_assert!(TelemetryView::decode(bytes.into()).is_err());
    }
}

proptest! {
    #![proptest_config(config(4_000))]
    /// The metadata is where a wrong byte sends a trusting reader out of bounds.
    #[test]
    fn mutated_batches_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4), all in any::<bool>()) {
        let rows: Vec<Row> = (0..20).map(|vm| Row::new(VmId(vm), Flags::default()).with(Column::MemUsedMib, 5.0)).collect();
        let mut bytes = encode(&rows).to_vec();
        let metadata = 8 + u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
        let within = if all { bytes.len() } else { metadata };
        for (at, flip) in flips {
            bytes[at.index(within)] ^= flip;
        }
        match TelemetryView::decode(bytes.into()) {
            Ok(view) => {
                prop_assert_eq!(view.column(Column::DirtyMibS).len(), view.rows());
                prop_assert!(view.vm().is_sorted_by(|a, b| a < b));
            }
            // The net under the check: nothing may fall into it.
            Err(e) => prop_assert!(!e.to_string().contains("panicked")),
        }
    }
}

#[test]
fn a_bad_value_rejects_its_row_with_the_reason_and_no_other() {
    let infinite = f32::INFINITY.to_bits();
    let other_nan = f32::from_bits(MISSING_BITS | 1);
    let cases = [
        (Column::CpuUsedMc, -1.0, "cpu_used_mc is negative (-1)".to_string()),
        (Column::DirtyMibS, f32::INFINITY, format!("dirty_mib_s is not finite (bits {infinite:#010x})")),
        (Column::NetTxKbs, f32::NEG_INFINITY, "net_tx_kbs is not finite (bits 0xff800000)".into()),
        (Column::AllocMemMib, other_nan, "alloc_mem_mib is not finite (bits 0x7fc00001)".into()),
        (Column::DiskReadKbs, -MISSING, "disk_read_kbs is not finite (bits 0xffc00000)".into()),
    ];
    for (column, value, why) in cases {
        let view = one(column, value);
        let [rejected] = view.rejected() else { panic!("{why}: {:?}", view.rejected()) };
        assert_eq!((rejected.row, rejected.vm, rejected.why.to_string()), (1, VmId(2), why));
        assert_eq!(view.accepted().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(view.column(Column::CpuUsedMc)[2], 3.0);
    }
    for value in [MISSING, 0.0, -0.0, f32::MAX, f32::MIN_POSITIVE] {
        assert!(one(Column::MemUsedMib, value).rejected().is_empty(), "{value}");
    }
}

#[test]
fn flags_without_a_meaning_reject_their_row() {
    let row = Row::new(VmId(4), Flags(0x1001));
    let view = TelemetryView::decode(encode(&[row])).expect("decodes");
    assert_eq!(view.rejected()[0].why, RowError::UnknownFlags { flags: 0x1001 });
    let all = Flags::SHADOW_READY.with(Flags::MIGRATING, true).with(Flags::TRAFFIC_SHIFTED, false);
    assert!(all.has(Flags::MIGRATING) && !all.has(Flags::TRAFFIC_SHIFTED));
}

#[test]
fn ids_must_ascend_on_both_sides() {
    let row = |vm| Row::new(VmId(vm), Flags::default());
    for (first, second) in [(5, 5), (5, 4)] {
        let mut batch = TelemetryBatch::default();
        batch.push(&row(first)).expect("first");
        let want = WireError::Order { row: 1, vm: second, before: first };
        assert_eq!(batch.push(&row(second)), Err(want.clone()));
        // A sender that does not check.
        let mut bytes = encode(&[row(first), row(0xABCD_EF01)]).to_vec();
        let needle = 0xABCD_EF01u32.to_le_bytes();
        let at = bytes.windows(4).position(|w| w == needle).expect("the id is there");
        bytes[at..at + 4].copy_from_slice(&second.to_le_bytes());
        assert_eq!(TelemetryView::decode(bytes.into()).err(), Some(want));
    }
}

#[test]
fn the_largest_batch_fits_a_frame_and_one_more_row_does_not() {
    let mut batch = TelemetryBatch::with_capacity(MAX_ROWS);
    for vm in 0..MAX_ROWS as u32 {
        batch.push(&Row::new(VmId(vm), Flags::default())).expect("row");
    }
    let one_more = batch.push(&Row::new(VmId(MAX_ROWS as u32), Flags::default()));
    assert!(matches!(one_more, Err(WireError::TooMany { what: "rows", .. })));
    let ipc = batch.encode().expect("encodes");
    let message = foreshade_wire::Message::Telemetry { tick: foreshade_types::Tick(1), ipc: ipc.clone() };
    message.encode().expect("fits a frame");
    assert_eq!(TelemetryView::decode(ipc).expect("decodes").rows(), MAX_ROWS);
}

#[test]
fn the_pinned_schema_bytes_are_the_schema() {
    use std::io::Cursor;
    let bytes = foreshade_wire::telemetry::schema_bytes();
    // A stream of a schema and nothing else.
    let reader = arrow_ipc::reader::StreamReader::try_new(Cursor::new(bytes), None).expect("reads");
    assert_eq!(reader.schema(), schema());
    assert!(foreshade_wire::telemetry::check_schema(bytes).is_ok());
    assert!(foreshade_wire::telemetry::check_schema(&bytes[1..]).is_err());
}

#[test]
fn values_are_not_copied_when_aligned() {
    let rows: Vec<Row> = (0..100).map(|vm| Row::new(VmId(vm), Flags::default())).collect();
    let encoded = encode(&rows);
    let range = encoded.as_ptr_range();
    let view = TelemetryView::decode(encoded).expect("decodes");
    for column in Column::ALL {
        assert!(range.contains(&view.column(column).as_ptr().cast()), "{} was copied", column.name());
    }
}
