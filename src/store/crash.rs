//! Tests: what a power cut leaves, and what a disk that fails leaves.
//!
//! The store's changes are recorded through the seam in [`super::faults`] and replayed into a model of a disk that
//! forgets what was not flushed: entries of folders until the folder is, contents of files until the file is.

mod collection;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;
use serde_json::json;

use super::faults::{Change, with_probe};
use super::{History, Lookup, ObjectHash, OutputEntry, Partial, Provenance, Record, Store, StoreError};
use crate::fingerprint::Fingerprint;

const OBJECTS: [&[u8]; 2] = [b"the best network", b"the last network"];
const STATES: [&[u8]; 2] = [b"after epoch 1", b"after epoch 2"];
const WORK: Fingerprint = Fingerprint::from_bytes([0xab; 32]);

/// A folder in memory, where there is such a place: the disk's own pace would only cost time here.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn record() -> Record {
    let entry = |content: &[u8]| OutputEntry {
        object: ObjectHash::of(content),
        bytes: content.len() as u64,
        artifact: "network".into(),
    };
    let outputs = BTreeMap::from([("best".into(), entry(OBJECTS[0])), ("last".into(), entry(OBJECTS[1]))]);
    Record::new(WORK, "retrain", 1, outputs, json!({ "accuracy": 0.5 }), Provenance::default())
}

/// The life of a stage: two states, two objects, the record.
fn work(store: &Store, reported: &dyn Fn(Done)) -> Result<(), StoreError> {
    store.prepare()?;
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 1.0, sessions: 1 };
    for state in STATES {
        store.save_partial(&WORK, &history, state)?;
        reported(Done::State);
    }
    for content in OBJECTS {
        store.put(content)?;
    }
    store.commit(&record())?;
    reported(Done::Record);
    store.remove_partial(&WORK)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    State,
    Record,
}

/// What must hold of any cache after anything: a record stands for whole objects, and what was reported is there.
fn check(root: &Path, done: Done, what: &str) {
    let store = Store::open(root).unwrap();
    let found = store.lookup(&WORK).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    match found {
        Lookup::Present(found) => {
            assert_eq!(found, record(), "{what}");
            for (entry, content) in found.outputs.values().zip(OBJECTS) {
                let stored = store.get(&entry.object).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(stored, content, "{what}");
            }
        }
        Lookup::Absent => assert_ne!(done, Done::Record, "{what}: the record is gone"),
        broken => panic!("{what}: {broken:?}"),
    }
    match store.load_partial(&WORK).unwrap() {
        Partial::Whole { state, .. } => assert!(STATES.contains(&state.as_slice()), "{what}"),
        Partial::Absent => assert_ne!(done, Done::State, "{what}: the state is gone"),
        Partial::Damaged => panic!("{what}: half a state"),
    }
}

/// A change as it was made.
#[derive(Debug, Clone)]
enum Made {
    Folder(PathBuf),
    File(PathBuf),
    FileSync(PathBuf, Vec<u8>),
    Rename(PathBuf, PathBuf),
    FolderSync(PathBuf),
    Removal(PathBuf),
}

type Journal = Rc<RefCell<Vec<Made>>>;

fn write_down(journal: &Journal, change: Change<'_>) {
    let made = match change {
        Change::MakeFolder(path) => Made::Folder(path.into()),
        Change::WriteFile(path) => Made::File(path.into()),
        Change::SyncFile(path) => Made::FileSync(path.into(), fs::read(path).unwrap()),
        Change::Rename(from, to) => Made::Rename(from.into(), to.into()),
        Change::SyncFolder(path) => Made::FolderSync(path.into()),
        Change::Remove(path) => Made::Removal(path.into()),
        Change::Lock(_) => return,
    };
    journal.borrow_mut().push(made);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Entry {
    Folder,
    File(usize),
}

/// A disk in the moment of a power cut.
#[derive(Default)]
struct Model {
    /// The entries as the running system sees them.
    seen: BTreeMap<PathBuf, Entry>,
    /// Those that are on the disk for sure.
    kept: BTreeMap<PathBuf, Entry>,
    /// Changes of entries that may or may not be on the disk.
    pending: Vec<(PathBuf, Option<Entry>)>,
    /// Contents of files, once they were flushed.
    contents: Vec<Vec<u8>>,
}

impl Model {
    fn after(journal: &[Made]) -> Self {
        let mut model = Self::default();
        for made in journal {
            match made.clone() {
                Made::Folder(path) => model.change(path, Some(Entry::Folder)),
                Made::File(path) => {
                    model.contents.push(Vec::new());
                    let file = Entry::File(model.contents.len() - 1);
                    model.change(path, Some(file));
                }
                Made::FileSync(path, content) => match model.seen.get(&path) {
                    Some(&Entry::File(number)) => model.contents[number] = content,
                    other => panic!("{path:?} is flushed, and is {other:?}"),
                },
                Made::Rename(from, to) => {
                    let entry = model.seen.get(&from).copied();
                    model.change(to, entry);
                    model.change(from, None);
                }
                Made::FolderSync(folder) => {
                    let (now, later) =
                        model.pending.drain(..).partition(|(path, _)| path.parent() == Some(&folder));
                    model.pending = later;
                    apply(&mut model.kept, now);
                }
                Made::Removal(path) => model.change(path, None),
            }
        }
        model
    }

    fn change(&mut self, path: PathBuf, entry: Option<Entry>) {
        apply(&mut self.seen, vec![(path.clone(), entry)]);
        self.pending.push((path, entry));
    }

    /// Writes out what is left if of the pending changes just those of `survivors` reached the disk.
    fn write(&self, from: &Path, to: &Path, survivors: &[usize]) {
        let mut left = self.kept.clone();
        apply(&mut left, survivors.iter().map(|&index| self.pending[index].clone()).collect());
        for (path, entry) in left {
            let Ok(inner) = path.strip_prefix(from) else { continue };
            let path = to.join(inner);
            // An entry is lost with the folder that holds it.
            if path.parent().is_some_and(Path::is_dir) {
                match entry {
                    Entry::Folder => fs::create_dir(path).unwrap(),
                    Entry::File(number) => fs::write(path, &self.contents[number]).unwrap(),
                }
            }
        }
    }
}

fn apply(entries: &mut BTreeMap<PathBuf, Entry>, changes: Vec<(PathBuf, Option<Entry>)>) {
    for (path, entry) in changes {
        match entry {
            Some(entry) => drop(entries.insert(path, entry)),
            None => drop(entries.remove(&path)),
        }
    }
}

/// Cuts the power after every change but the first `from`. Of the entries that were not flushed none survive, all,
/// each one alone, and all but each one.
fn cut_power_everywhere(
    base: &Path,
    journal: &[Made],
    reported: &[(usize, Done)],
    from: usize,
    check: &dyn Fn(&Path, Done, &str),
) {
    for length in from..=journal.len() {
        let model = Model::after(&journal[..length]);
        let done =
            reported.iter().rev().find(|(at, _)| *at <= length).map_or(Done::Nothing, |(_, done)| *done);
        let count = model.pending.len();
        let mut cases: Vec<Vec<usize>> = vec![Vec::new(), (0..count).collect()];
        cases.extend((0..count).map(|one| vec![one]));
        cases.extend((0..count).map(|left_out| (0..count).filter(|one| *one != left_out).collect()));
        for survivors in cases {
            let after = folder();
            model.write(base, after.path(), &survivors);
            let what = format!("after change {length}, {:?}, with {survivors:?}", journal.get(length));
            check(&after.path().join("new/cache"), done, &what);
        }
    }
}

/// Runs `work` on a cache that is not there yet, and writes its changes down.
fn recorded(
    work: impl FnOnce(&Path, &Journal, &dyn Fn(Done)),
) -> (tempfile::TempDir, Vec<Made>, Vec<(usize, Done)>) {
    let base = folder();
    let journal = Journal::default();
    let reported = RefCell::new(Vec::new());
    let report = |done| reported.borrow_mut().push((journal.borrow().len(), done));
    work(&base.path().join("new/cache"), &journal, &report);
    let made = journal.borrow().clone();
    (base, made, reported.into_inner())
}

#[test]
fn a_power_cut_at_any_moment_leaves_whole_results_and_none_that_was_reported_is_lost() {
    let (base, journal, reported) = recorded(|root, journal, report| {
        let store = Store::open(root).unwrap();
        let journal = journal.clone();
        with_probe(
            move |change| {
                write_down(&journal, change);
                Ok(())
            },
            || work(&store, report).unwrap(),
        );
    });
    assert!(journal.len() > 20, "{journal:?}");
    assert_eq!(reported.len(), 3);
    cut_power_everywhere(base.path(), &journal, &reported, 0, &check);
}

#[test]
fn a_power_cut_spares_what_another_runner_put_there_and_had_not_flushed() {
    for dies_at in 0..9 {
        let before = Cell::new(0);
        let (base, journal, reported) = recorded(|root, journal, report| {
            let (first, base) = (journal.clone(), root.ancestors().nth(2).unwrap().to_owned());
            let mut left = dies_at;
            let store = Store::open(root).unwrap();
            let died = with_probe(
                move |change| {
                    // The runner dies before it flushes a folder for the so-many-th time.
                    if matches!(change, Change::SyncFolder(path) if path.starts_with(&base)) {
                        if left == 0 {
                            return Err(io::Error::other("killed"));
                        }
                        left -= 1;
                    }
                    write_down(&first, change);
                    Ok(())
                },
                || OBJECTS.iter().try_for_each(|content| store.put(content).map(drop)),
            );
            assert!(died.is_err(), "{dies_at}");
            before.set(journal.borrow().len());
            let (store, journal) = (Store::open(root).unwrap(), journal.clone());
            with_probe(
                move |change| {
                    write_down(&journal, change);
                    Ok(())
                },
                || work(&store, report).unwrap(),
            );
        });
        cut_power_everywhere(base.path(), &journal, &reported, before.get(), &check);
    }
}

#[test]
fn any_operation_may_fail_and_the_cache_stays_valid_and_goes_on() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for failing in 0.. {
            let base = folder();
            let root = base.path().join("new/cache");
            let store = Store::open(&root).unwrap();
            let (mut left, done) = (failing, RefCell::new(Done::Nothing));
            let (inside, reached) = (base.path().to_owned(), Rc::new(Cell::new(false)));
            let reaching = reached.clone();
            let failed = with_probe(
                move |change| {
                    let counts = change.path().starts_with(&inside);
                    left -= i32::from(counts);
                    // A full disk stays full; a fault may be the only one.
                    let fails =
                        if kind == io::ErrorKind::StorageFull { left < 0 } else { counts && left == -1 };
                    reaching.set(reaching.get() || fails);
                    if fails { Err(kind.into()) } else { Ok(()) }
                },
                || work(&store, &|now| *done.borrow_mut() = now),
            );
            check(&root, *done.borrow(), &format!("operation {failing} failed: {failed:?}"));
            let halves = fs::read_dir(root.join("tmp")).map_or(0, Iterator::count);
            assert_eq!(halves, 0, "operation {failing}");
            if !reached.get() {
                failed.unwrap();
                assert!(failing > 20, "only {failing} operations");
                break;
            }
            if let Err(error) = failed {
                assert!(
                    matches!(&error, StoreError::Io { source, .. } if source.kind() == kind),
                    "{error:?}"
                );
            }
            work(&store, &|_| {}).unwrap();
            check(&root, Done::Record, "and goes on");
        }
    }
}

#[test]
fn where_there_are_no_locks_work_goes_on_without() {
    let base = folder();
    let store = Store::open(base.path()).unwrap();
    let unsupported = |change: Change<'_>| match change {
        Change::Lock(_) => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(()),
    };
    with_probe(unsupported, || {
        let lock = store.lock(&WORK, &mut |_| panic!("nobody holds it")).unwrap().unwrap();
        assert!(!lock.is_exclusive());
        work(&store, &|_| {}).unwrap();
    });
    check(base.path(), Done::Record, "without locks");
}
