//! Tests: what a collection leaves that was stopped half-way.

use super::*;
use crate::store::{Keep, Policy};
use std::collections::BTreeSet;
use std::time::Duration;

/// Work that is not asked for: three results, of which one shares an object with what is kept.
pub(super) const GONE: [Fingerprint; 3] = [
    Fingerprint::from_bytes([0x01; 32]),
    Fingerprint::from_bytes([0x02; 32]),
    Fingerprint::from_bytes([0x03; 32]),
];
/// What is pinned was made from this.
const SOURCE: Fingerprint = Fingerprint::from_bytes([0x04; 32]);
pub(super) const PINNED: Fingerprint = Fingerprint::from_bytes([0x05; 32]);

fn result(store: &Store, work: Fingerprint, contents: &[&[u8]], input: Option<&[u8]>) {
    let outputs = contents.iter().enumerate().map(|(number, content)| {
        let object = store.put(content).unwrap();
        (number.to_string(), OutputEntry { object, bytes: content.len() as u64, artifact: "network".into() })
    });
    let outputs = outputs.collect();
    let inputs = input.map(|content| ("network".to_owned(), ObjectHash::of(content)));
    let provenance = Provenance { inputs: inputs.into_iter().collect(), ..Provenance::default() };
    store.commit(&Record::new(work, "prune", 1, outputs, json!({}), provenance)).unwrap();
}

pub(super) fn fill(store: &Store) {
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 1.0, sessions: 1, of: None };
    store.save_partial(&GONE[0], &history, b"done since").unwrap();
    result(store, GONE[0], &[b"old", b"older"], None);
    result(store, GONE[1], &[b"old", b"shared"], None);
    result(store, GONE[2], &[], None);
    result(store, SOURCE, &[b"source"], None);
    result(store, PINNED, &[b"shared", b"own"], Some(b"source"));
    store.pin(&PINNED).unwrap();
    store.put(b"of no result").unwrap();
    store.append_log(&GONE[0], "{}").unwrap();
    store.note_run(PIPELINE, "small", GONE).unwrap();
}

pub(super) fn collect(store: &Store) -> Result<(), StoreError> {
    let policy = Policy {
        keep: Keep::These(BTreeSet::new()),
        runs: 0,
        partials: Duration::from_secs(3600),
        older_than: None,
        max_size: None,
    };
    let alone = store.alone(&mut |_| panic!("nobody is here")).unwrap().unwrap();
    let plan = store.plan_gc(&policy, Timestamp::now())?;
    store.collect(&plan, &alone)
}

/// Every record stands for whole objects, and what is kept is there.
fn holds(root: &Path, what: &str) {
    let store = Store::open(root).unwrap();
    for (work, is_kept) in GONE.map(|work| (work, false)).into_iter().chain([(SOURCE, true), (PINNED, true)])
    {
        match store.lookup(&work).unwrap() {
            Lookup::Present(record) => {
                for entry in record.outputs.values() {
                    store.get(&entry.object).unwrap_or_else(|error| panic!("{what}: {error}"));
                }
            }
            Lookup::Absent if !is_kept => {}
            broken => panic!("{what}: {work:?} is {broken:?}"),
        }
    }
}

#[test]
fn a_collection_may_fail_at_any_operation_and_leaves_a_valid_cache() {
    for failing in 0.. {
        let base = folder();
        let store = Store::open(base.path()).unwrap();
        fill(&store);
        let (mut left, reached) = (failing, Rc::new(Cell::new(false)));
        let reaching = reached.clone();
        let failed = with_probe(
            move |operation| {
                // That the lock is taken is no operation of the collection.
                left -= i32::from(!matches!(operation, Operation::Lock(_)));
                reaching.set(reaching.get() || left < 0);
                if left < 0 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
            },
            || {
                let made = store.disk.make_folder(&base.path().join("locks"));
                made.map_err(StoreError::io("make the folder", base.path())).and_then(|()| collect(&store))
            },
        );
        assert_eq!(failed.is_err(), reached.get(), "operation {failing}: {failed:?}");
        holds(base.path(), &format!("operation {failing} failed"));
        collect(&store).unwrap();
        holds(base.path(), "afterwards");
        let objects: BTreeSet<String> =
            store.objects_like("").unwrap().iter().map(ToString::to_string).collect();
        let kept =
            [b"source".as_slice(), b"shared", b"own"].map(|content| ObjectHash::of(content).to_string());
        assert_eq!(objects, BTreeSet::from(kept));
        assert_eq!(store.records_like("").unwrap(), [SOURCE, PINNED]);
        let inventory = store.inventory().unwrap();
        assert!(inventory.partials.is_empty() && inventory.logs.is_empty() && inventory.runs.is_empty());
        if !reached.get() {
            assert!(failing > 10, "only {failing} operations");
            break;
        }
    }
}

#[test]
fn a_power_cut_at_any_moment_of_a_collection_brings_no_record_back_without_its_objects() {
    let start = Cell::new(0);
    let (base, journal, _) = recorded(|root, journal, _| {
        let store = Store::open(root).unwrap();
        let writing = journal.clone();
        with_probe(
            move |operation| {
                write_down(&writing, operation);
                Ok(())
            },
            || {
                fill(&store);
                start.set(journal.borrow().len());
                collect(&store).unwrap();
            },
        );
    });
    assert!(journal.len() > start.get() + 10, "{journal:?}");
    cut_power_everywhere(base.path(), &journal, &[], start.get(), &|root, _, what| holds(root, what));
}

#[test]
fn where_there_are_no_locks_runs_go_on_and_collection_refuses() {
    let base = folder();
    let store = Store::open(base.path()).unwrap();
    fill(&store);
    let unsupported = |operation: Operation<'_>| match operation {
        Operation::Lock(_) => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(()),
    };
    with_probe(unsupported, || {
        store.visit(&mut || panic!("nobody collects")).unwrap();
        let refused = store.alone(&mut |_| panic!("nobody is here"));
        assert!(matches!(refused, Err(StoreError::NoLocks { .. })), "{refused:?}");
    });
}

#[test]
fn a_pin_holds_by_its_name_and_one_that_was_moved_aside_stops_collection() {
    let base = folder();
    let store = Store::open(base.path()).unwrap();
    fill(&store);
    let pin = base.path().join(format!("pins/{PINNED}.json"));
    fs::write(&pin, b"{").unwrap();
    assert!(matches!(collect(&store), Err(StoreError::Unsure { .. })));
    let mended = store.verify(Repair::MoveAside).unwrap().findings;
    assert!(mended.iter().all(|finding| finding.moved_to.is_none()), "{mended:?}");
    assert_eq!(store.verify(Repair::No).unwrap().findings, []);
    // In the folder of its kind, and where an older runner put it, with the number of a second one.
    for aside in [format!("pins/{PINNED}.json"), format!("{PINNED}.json"), format!("{PINNED}.json.1")] {
        let aside = base.path().join("quarantine").join(aside);
        fs::create_dir_all(aside.parent().unwrap()).unwrap();
        fs::rename(&pin, &aside).unwrap();
        assert!(matches!(collect(&store), Err(StoreError::Aside { .. })), "{aside:?}");
        holds(base.path(), "a pin in quarantine");
        fs::rename(&aside, &pin).unwrap();
    }
    // Something else has its name.
    fs::rename(&pin, base.path().join("outside")).unwrap();
    std::os::unix::fs::symlink(base.path().join("outside"), &pin).unwrap();
    assert!(matches!(collect(&store), Err(StoreError::Unsure { .. })));
    let _ = store.verify(Repair::MoveAside).unwrap();
    collect(&store).unwrap();
    holds(base.path(), "a pin that is mended");
}

#[test]
fn what_said_what_to_keep_and_was_moved_aside_makes_nothing_collectable() {
    for (room, keep, runs) in [("last", Keep::LastOfEach, 0), ("runs", Keep::LastOfEach, 5)] {
        let base = folder();
        let store = Store::open(base.path()).unwrap();
        work(&store, &|_| {}).unwrap();
        let file = store.files().unwrap().into_iter().find(|found| found.room == room).unwrap().path;
        fs::write(&file, b"").unwrap();
        let policy =
            Policy { keep, runs, partials: Duration::from_secs(3600), older_than: None, max_size: None };
        let plan = || store.plan_gc(&policy, Timestamp::now());
        assert!(matches!(plan(), Err(StoreError::Unsure { .. })), "{room}");
        assert!(store.verify(Repair::MoveAside).unwrap().findings[0].moved_to.is_some(), "{room}");
        assert!(matches!(plan(), Err(StoreError::Aside { .. })), "{room}");
        // Its pipeline has run again.
        fs::remove_dir_all(base.path().join("quarantine")).unwrap();
        work(&store, &|_| {}).unwrap();
        assert_eq!(plan().unwrap().work, [], "{room}");
    }
}
