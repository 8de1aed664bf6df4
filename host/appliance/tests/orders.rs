//! Operators' orders in the journal: durable at once, in the chain with the records, and in force after a restart.

use std::path::Path;

use foreshade_appliance::{Chain, RedbJournal};
use foreshade_appliance_core::{Header, Journal, OperatorState, Order, OrderRecord, Record};
use foreshade_types::Tick;
use redb::{Database, ReadableTable, TableDefinition};

const ORDERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("orders");

type Rows<'a> = redb::Table<'a, u64, &'static [u8]>;

fn record(t: u64) -> Record {
    Record { tick: Tick(t), inputs: t, ..Record::default() }
}

fn order(t: u64, order: Order) -> OrderRecord {
    OrderRecord { tick: Tick(t), who: "ann".into(), order, action: None }
}

/// Ticks 3 and 4, a pause, then ticks 5 and 6 after a restart.
fn journal(path: &Path) {
    let mut j = RedbJournal::create(path, &Header::default()).expect("made");
    j.order(&order(0, Order::Resume)).expect("durable");
    j.commit(&record(3)).expect("durable");
    j.commit(&record(4)).expect("durable");
    j.order(&order(4, Order::Pause)).expect("durable");
    drop(j);
    let mut j = RedbJournal::open(path).expect("opens");
    j.commit(&record(5)).expect("durable");
    j.commit(&record(6)).expect("durable");
}

#[test]
fn a_pause_is_in_force_after_a_restart_until_an_operator_resumes() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("journal.redb");
    journal(&path);
    let mut j = RedbJournal::open(&path).expect("opens");
    assert!(OperatorState::restored(&j.orders().expect("reads")).is_paused());
    assert!(
        matches!(j.verify().expect("walks"), Chain::Whole { records: 4, .. }),
        "one chain over both runs"
    );
    j.order(&order(6, Order::Resume)).expect("durable");
    drop(j);
    let j = RedbJournal::open(&path).expect("opens");
    let orders = j.orders().expect("reads");
    assert!(!OperatorState::restored(&orders).is_paused());
    assert_eq!(orders.iter().map(|o| o.tick.0).collect::<Vec<_>>(), [0, 4, 6]);
    assert!(matches!(j.verify().expect("walks"), Chain::Whole { records: 4, .. }));
}

#[test]
fn an_order_that_is_changed_or_taken_out_breaks_the_chain() {
    let dir = tempfile::tempdir().expect("folder");
    let mut n = 0;
    let mut broken = |meddle: &dyn Fn(&mut Rows<'_>)| {
        n += 1;
        let path = dir.path().join(format!("{n}.redb"));
        journal(&path);
        let db = Database::open(&path).expect("opens");
        let txn = db.begin_write().expect("writes");
        meddle(&mut txn.open_table(ORDERS).expect("table"));
        txn.commit().expect("durable");
        drop(db);
        RedbJournal::open(&path).expect("opens").verify().expect("walks")
    };
    assert!(matches!(broken(&|_| ()), Chain::Whole { records: 4, .. }));
    // The pause is turned into its opposite.
    let resumed = |t: &mut Rows<'_>| {
        let text = t.get(1).expect("reads").map(|v| String::from_utf8_lossy(v.value()).into_owned());
        let text = text.expect("the pause").replace("pause", "resume");
        t.insert(1, text.as_bytes()).expect("written");
    };
    assert_eq!(broken(&resumed), Chain::Broken { tick: 4 }, "changed");
    let gone = |t: &mut Rows<'_>| drop(t.remove(1).expect("removed"));
    assert_eq!(broken(&gone), Chain::Broken { tick: 5 }, "taken out: the record behind it does not fit");
}
