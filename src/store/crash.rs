//! Tests: what a power cut leaves, and what a disk that fails leaves.
//!
//! The store's changes are recorded through the seam in [`super::faults`] and replayed into a model of a disk that
//! forgets what was not flushed: entries of folders until the folder is, contents of files until the file is. Of the
//! entries any choice may survive, in any order; of a content all, a part, zeros in its place, or nothing.

mod collection;
mod reading;
mod remote;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::faults::{Operation, with_probe};
use super::{
    Durability, History, Lookup, ObjectHash, OutputEntry, Partial, Provenance, Record, Repair, Store,
    StoreError,
};
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
    let _ = store.prepare()?;
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 1.0, sessions: 1, of: None };
    for state in STATES {
        store.save_partial(&WORK, &history, state)?;
        reported(Done::State);
    }
    for content in OBJECTS {
        store.put(content)?;
    }
    store.commit(&record())?;
    reported(Done::Record);
    store.remove_partial(&WORK)?;
    store.remember(PIPELINE, "", "retrain", &reading::last())?;
    store.note_run(PIPELINE, "p", [WORK])?;
    store.keep_run(RUN, &reading::run())?;
    reported(Done::Noted);
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Done {
    Nothing,
    State,
    Record,
    /// The run has ended: what its stages were, what it used and what it came to is noted.
    Noted,
}

/// The identity of a pipeline file.
const PIPELINE: &str = "0123456789ab";
/// The id of a run.
const RUN: &str = "20260102-030405-4711";

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
        Lookup::Absent => assert!(done < Done::Record, "{what}: the record is gone"),
        broken => panic!("{what}: {broken:?}"),
    }
    match store.load_partial(&WORK).unwrap() {
        Partial::Whole { state, .. } => assert!(STATES.contains(&state.as_slice()), "{what}"),
        Partial::Absent => assert_ne!(done, Done::State, "{what}: the state is gone"),
        Partial::Damaged => panic!("{what}: half a state"),
    }
    // What is damaged here would keep a collection from its work, and what is gone would let it take the
    // result.
    let inventory = store.inventory().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(inventory.unreadable, [], "{what}");
    if done == Done::Noted {
        assert_eq!(inventory.last.iter().map(|last| last.work).collect::<Vec<_>>(), [WORK], "{what}");
        assert_eq!(inventory.runs[0].1.work, [WORK], "{what}");
        assert_eq!(store.runs().unwrap(), [(RUN.to_owned(), reading::run())], "{what}");
    }
}

/// A change as it was made.
#[derive(Debug, Clone)]
enum Made {
    Folder(PathBuf),
    File(PathBuf),
    FileSync(PathBuf, Vec<u8>),
    /// With the content that the running system sees then.
    Rename(PathBuf, PathBuf, Vec<u8>),
    FolderSync(PathBuf),
    Removal(PathBuf),
}

type Journal = Rc<RefCell<Vec<Made>>>;

fn write_down(journal: &Journal, operation: Operation<'_>) {
    let made = match operation {
        Operation::MakeFolder(path) => Made::Folder(path.into()),
        Operation::WriteFile(path) => Made::File(path.into()),
        Operation::SyncFile(path) => Made::FileSync(path.into(), fs::read(path).unwrap()),
        Operation::Rename(from, to) => {
            // A folder that is moved has no content of its own.
            Made::Rename(from.into(), to.into(), fs::read(from).unwrap_or_default())
        }
        Operation::SyncFolder(path) => Made::FolderSync(path.into()),
        Operation::Remove(path) => Made::Removal(path.into()),
        Operation::Lock(_) | Operation::Read(_) | Operation::List(_) => return,
    };
    journal.borrow_mut().push(made);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Entry {
    Folder,
    File(usize),
}

/// What a file holds, as far as the running system has told the disk.
#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    flushed: bool,
}

impl Content {
    /// What a power cut may leave of it.
    fn left(&self, luck: u32) -> Vec<u8> {
        match luck % 4 {
            _ if self.flushed => self.bytes.clone(),
            0 => Vec::new(),
            1 => self.bytes[..self.bytes.len() / 2].to_vec(),
            2 => vec![0; self.bytes.len()],
            _ => self.bytes.clone(),
        }
    }
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
    /// Contents of files.
    contents: Vec<Content>,
}

impl Model {
    fn after(journal: &[Made]) -> Self {
        let mut model = Self::default();
        for made in journal {
            match made.clone() {
                Made::Folder(path) => model.change(path, Some(Entry::Folder)),
                Made::File(path) => {
                    if model.seen.contains_key(&path) {
                        continue; // It is added to, or it is the folder that is tried out.
                    }
                    model.contents.push(Content::default());
                    let file = Entry::File(model.contents.len() - 1);
                    model.change(path, Some(file));
                }
                Made::FileSync(path, content) => match model.seen.get(&path) {
                    Some(&Entry::File(number)) => {
                        model.contents[number] = Content { bytes: content, flushed: true };
                    }
                    other => panic!("{path:?} is flushed, and is {other:?}"),
                },
                Made::Rename(from, to, content) => {
                    let entry = model.seen.get(&from).copied();
                    if let Some(Entry::File(number)) = entry {
                        model.contents[number].bytes = content;
                    }
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

    /// Writes out what is left if of the pending changes just those of `survivors` reached the disk. What becomes of contents
    /// that were not flushed depends on `luck`.
    fn write(&self, from: &Path, to: &Path, survivors: &[usize], luck: u32) {
        let mut left = self.kept.clone();
        apply(&mut left, survivors.iter().map(|&index| self.pending[index].clone()).collect());
        for (path, entry) in left {
            let Ok(inner) = path.strip_prefix(from) else { continue };
            let path = to.join(inner);
            // An entry is lost with the folder that holds it.
            if path.parent().is_some_and(Path::is_dir) {
                match entry {
                    Entry::Folder => fs::create_dir(path).unwrap(),
                    Entry::File(number) => {
                        fs::write(path, self.contents[number].left(luck.wrapping_add(number as u32)))
                            .unwrap();
                    }
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
/// each one alone, all but each one, and some more choices: all there are of a few entries, else random ones.
fn cut_power_everywhere(
    base: &Path,
    journal: &[Made],
    reported: &[(usize, Done)],
    from: usize,
    check: &dyn Fn(&Path, Done, &str),
) {
    let mut random = ChaCha8Rng::seed_from_u64(20);
    for length in from..=journal.len() {
        let model = Model::after(&journal[..length]);
        let done =
            reported.iter().rev().find(|(at, _)| *at <= length).map_or(Done::Nothing, |(_, done)| *done);
        let count = model.pending.len();
        let mut cases: Vec<Vec<usize>> = vec![Vec::new(), (0..count).collect()];
        cases.extend((0..count).map(|one| vec![one]));
        cases.extend((0..count).map(|left_out| (0..count).filter(|one| *one != left_out).collect()));
        let chosen = |choice: u32| (0..count).filter(|one| choice >> (one % 32) & 1 == 1).collect();
        if count <= FEW {
            cases.extend((0..1 << count).map(chosen));
        } else {
            cases.extend((0..1 << FEW).map(|_| chosen(random.random())));
        }
        cases.sort();
        cases.dedup();
        for survivors in cases {
            let after = folder();
            let luck = random.random();
            model.write(base, after.path(), &survivors, luck);
            let made = journal.get(length);
            let what = format!("after change {length}, {made:?}, with {survivors:?}, luck {luck}");
            let root = after.path().join("new/cache");
            check(&root, done, &what);
            verify(&root, &what);
        }
    }
}

/// Of so many entries every choice is tried.
const FEW: usize = 3;

/// Nothing of what has to last is damaged, and what may be lost is gone once it was moved aside.
fn verify(root: &Path, what: &str) {
    let store = Store::open(root).unwrap();
    let checked = store.verify(Repair::MoveAside).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    for finding in checked.findings {
        let room = finding.path.iter().next().unwrap().to_string_lossy();
        let may_be_lost = ["logs", "data-hashes.json"].contains(&&*room);
        assert!(may_be_lost, "{what}: {finding:?}");
    }
    let checked = store.verify(Repair::No).unwrap();
    assert!(checked.is_whole(), "{what}: {checked:?}");
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
            move |operation| {
                write_down(&journal, operation);
                Ok(())
            },
            || work(&store, report).unwrap(),
        );
    });
    assert!(journal.len() > 20, "{journal:?}");
    assert_eq!(reported.len(), 4);
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
                move |operation| {
                    // The runner dies before it flushes a folder for the so-many-th time.
                    if matches!(operation, Operation::SyncFolder(path) if path.starts_with(&base)) {
                        if left == 0 {
                            return Err(io::Error::other("killed"));
                        }
                        left -= 1;
                    }
                    write_down(&first, operation);
                    Ok(())
                },
                || OBJECTS.iter().try_for_each(|content| store.put(content).map(drop)),
            );
            assert!(died.is_err(), "{dies_at}");
            before.set(journal.borrow().len());
            let (store, journal) = (Store::open(root).unwrap(), journal.clone());
            with_probe(
                move |operation| {
                    write_down(&journal, operation);
                    Ok(())
                },
                || work(&store, report).unwrap(),
            );
        });
        cut_power_everywhere(base.path(), &journal, &reported, before.get(), &check);
    }
}

#[test]
fn the_model_notices_every_flush_that_is_left_out() {
    let (base, journal, reported) = recorded(|root, journal, report| {
        let store = Store::open(root).unwrap();
        let journal = journal.clone();
        with_probe(
            move |operation| {
                write_down(&journal, operation);
                Ok(())
            },
            || work(&store, report).unwrap(),
        );
    });
    let is_noticed = |left_out: &dyn Fn(usize, &Made) -> bool| {
        // Left out means done without the flush: what was made up to a report stays the same.
        let made = journal.iter().enumerate().map(|(at, made)| match left_out(at, made) {
            true => Made::FolderSync(PathBuf::new()),
            false => made.clone(),
        });
        let made: Vec<Made> = made.collect();
        let cut = || cut_power_everywhere(base.path(), &made, &reported, 0, &check);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(cut)).is_err()
    };
    assert!(!is_noticed(&|_, _| false));
    // Of the marker a part will do, and the next runner completes it.
    let is_flush =
        |made: &Made| matches!(made, Made::FileSync(path, _) if !path.ends_with(super::site::MARKER));
    let files = journal.iter().enumerate().filter(|(_, made)| is_flush(made));
    let files: Vec<usize> = files.map(|(at, _)| at).collect();
    assert_eq!(files.len(), STATES.len() + OBJECTS.len() + 1 + 3);
    for file in files {
        assert!(is_noticed(&|at, _| at == file), "{:?}", journal[file]);
    }
    for room in ["objects", "records", "partial", "last", "runs", "manifests"] {
        let of_room = |made: &Made| matches!(made, Made::FolderSync(path) if path.iter().any(|p| p == room));
        assert!(is_noticed(&|_, made| of_room(made)), "{room}");
    }
}

/// A disk that fails at an operation.
#[derive(Clone, Copy)]
struct Fault {
    error: fn() -> io::Error,
    /// A full disk stays full, and can be read; another fault may be the only one.
    stays: bool,
}

const FAULTS: [Fault; 3] = [
    Fault { error: || io::ErrorKind::StorageFull.into(), stays: true },
    Fault { error: || io::ErrorKind::Other.into(), stays: false },
    Fault { error: eio, stays: false },
];

/// What a broken disk says.
fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

#[test]
fn any_operation_may_fail_and_the_cache_stays_valid_and_goes_on() {
    let _here = reading::all_work_here();
    for Fault { error, stays } in FAULTS {
        for failing in 0.. {
            let base = folder();
            let root = base.path().join("new/cache");
            let store = Store::open(&root).unwrap();
            let (mut left, done) = (failing, RefCell::new(Done::Nothing));
            let (inside, reached) = (base.path().to_owned(), Rc::new(Cell::new(false)));
            let reaching = reached.clone();
            let failed = with_probe(
                move |operation| {
                    let counts = operation.path().starts_with(&inside) && !(stays && operation.looks());
                    left -= i32::from(counts);
                    let fails = counts && if stays { left < 0 } else { left == -1 };
                    reaching.set(reaching.get() || fails);
                    if fails { Err(error()) } else { Ok(()) }
                },
                || work(&store, &|now| *done.borrow_mut() = now).and_then(|()| reading::look(&store)),
            );
            check(&root, *done.borrow(), &format!("operation {failing} failed: {failed:?}"));
            let halves = fs::read_dir(root.join("tmp")).map_or(0, Iterator::count);
            assert_eq!(halves, 0, "operation {failing}");
            if !reached.get() {
                failed.unwrap();
                assert!(failing > 20, "only {failing} operations");
                break;
            }
            if let Err(failed) = failed {
                assert!(
                    matches!(&failed, StoreError::Io { source, .. } if source.kind() == error().kind()),
                    "{failed:?}"
                );
            }
            work(&store, &|_| {}).unwrap();
            check(&root, Done::Noted, "and goes on");
            assert_eq!(store.verify(Repair::No).unwrap().findings, [], "operation {failing}");
        }
    }
}

#[test]
fn where_there_are_no_locks_work_goes_on_without() {
    let base = folder();
    let store = Store::open(base.path()).unwrap();
    let unsupported = |operation: Operation<'_>| match operation {
        Operation::Lock(_) => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(()),
    };
    with_probe(unsupported, || {
        let lock = store.lock(&WORK, &mut |_| panic!("nobody holds it")).unwrap().unwrap();
        assert!(!lock.is_exclusive());
        work(&store, &|_| {}).unwrap();
    });
    check(base.path(), Done::Noted, "without locks");
}

#[test]
fn a_file_system_that_cannot_flush_folders_is_told_and_used() {
    // EINVAL, ENOSYS, EOPNOTSUPP.
    for code in [22, 38, 95] {
        let base = folder();
        let store = Store::open(&base.path().join("new/cache")).unwrap();
        let unsupported = move |operation: Operation<'_>| match operation {
            Operation::SyncFolder(_) => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(()),
        };
        with_probe(unsupported, || {
            assert_eq!(store.prepare().unwrap(), Durability::Unflushed);
            work(&store, &|_| {}).unwrap();
        });
        assert!(Durability::Unflushed.warning().unwrap().contains("cannot flush folders"));
        check(&base.path().join("new/cache"), Done::Noted, "without flushed folders");
    }
}
