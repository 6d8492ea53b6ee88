//! Tests: files that the disk does not give back.

use super::collection::{GONE, PINNED, collect, fill};
use super::*;
use crate::store::rooms::Place;
use crate::store::{Damage, LastRun, MANIFEST, RunRecord};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::{BTreeMap, BTreeSet};

/// Lets this thread do what many would share, since a probe hears of its own thread only.
pub(super) fn all_work_here() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap()
}

/// Everything that only looks at a cache.
pub(super) fn look(store: &Store) -> Result<(), StoreError> {
    store.look(&mut || panic!("nobody collects"))?;
    store.lookup(&WORK)?;
    for content in OBJECTS {
        store.get(&ObjectHash::of(content))?;
    }
    store.load_partial(&WORK)?;
    store.recall(PIPELINE, "", "retrain")?;
    store.read_log(&WORK)?;
    store.runs()?;
    store.holder(&WORK)?;
    store.verify(Repair::No)?;
    store.inventory().map(drop)
}

pub(super) fn last() -> LastRun {
    LastRun {
        fingerprint: WORK,
        kind: "retrain".into(),
        version: 1,
        parameters: json!({}),
        seed: None,
        data: None,
        images: json!({}),
        inputs: BTreeMap::new(),
    }
}

pub(super) fn run() -> RunRecord {
    RunRecord {
        manifest: MANIFEST,
        status: crate::state::RunState::Done,
        exit_code: None,
        command: Vec::new(),
        folder: String::new(),
        host: String::new(),
        runner_version: String::new(),
        runner_commit: None,
        started: Timestamp::UNIX_EPOCH,
        finished: None,
        pipeline: "p".into(),
        file: String::new(),
        request: None,
        points: Vec::new(),
        stages: Vec::new(),
    }
}

/// A cache with a file of every kind.
fn filled(root: &Path) -> Store {
    let store = Store::open(root).unwrap();
    work(&store, &|_| {}).unwrap();
    fill(&store);
    store.remember(PIPELINE, "", "retrain", &last()).unwrap();
    store.keep_run(RUN, &run()).unwrap();
    store.data_memo().update(|memo: &mut BTreeMap<String, u32>| memo.extend([("a".into(), 7)])).unwrap();
    store
}

/// Runs `work` on a disk that never gives back the content of the file that is at `path` now, wherever it is moved.
fn with_lost<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    with_unreadable(path, 5, work)
}

/// As [`with_lost`], with another error of the system.
fn with_unreadable<T>(path: &Path, code: i32, work: impl FnOnce() -> T) -> T {
    let mut lost = BTreeSet::from([path.to_owned()]);
    let probe = move |operation: Operation<'_>| {
        match operation {
            Operation::Read(path) if lost.contains(path) => return Err(io::Error::from_raw_os_error(code)),
            Operation::Rename(from, to) => {
                lost.remove(to);
                if lost.remove(from) {
                    lost.insert(to.to_owned());
                }
            }
            Operation::Remove(path) => drop(lost.remove(path)),
            _ => {}
        }
        Ok(())
    };
    with_probe(probe, work)
}

/// The files of a filled cache that hold something.
fn places(store: &Store) -> Vec<(PathBuf, Place)> {
    let files = store.files().unwrap().into_iter().map(|found| (found.path, found.place));
    files.filter(|(_, place)| !matches!(place, Place::Lock | Place::Note)).collect()
}

#[test]
fn what_the_disk_does_not_give_back_is_named_and_never_taken_for_something_else() {
    let _here = all_work_here();
    let base = folder();
    let kinds: BTreeSet<String> =
        places(&filled(base.path())).iter().map(|(_, place)| format!("{place:?}")).collect();
    assert!(kinds.len() > 12, "{kinds:?}");
    for number in 0..places(&Store::open(base.path()).unwrap()).len() {
        let base = folder();
        let store = filled(base.path());
        let (path, place) = places(&store).remove(number);
        with_lost(&path, || {
            let found = store.verify(Repair::No).unwrap().findings;
            let relative = path.strip_prefix(base.path()).unwrap();
            let named = found.iter().filter(|finding| finding.path == relative).collect::<Vec<_>>();
            assert!(
                matches!(named.as_slice(), [finding] if matches!(finding.damage, Damage::Unreadable { .. })),
                "{place:?}: {found:?}"
            );
            assert_eq!(found.len(), 1, "nothing else is suspected: {found:?}");
            heals(&store, place);
        });
    }
}

/// What becomes of work that meets a lost file.
fn heals(store: &Store, place: Place) {
    let collected = collect(store);
    match place {
        // Nobody can say what these keep.
        Place::Record(_) | Place::Pin(_) | Place::Run | Place::Last => {
            let refused = collected.unwrap_err();
            assert!(matches!(&refused, StoreError::Io { source, .. } if source.raw_os_error() == Some(5)));
            let help = miette::Diagnostic::help(&refused).unwrap().to_string();
            assert!(help.contains("the disk cannot read it"), "{help}");
        }
        _ => collected.unwrap(),
    }
    match place {
        Place::Object(hash) => {
            if store.objects_like(&hash.to_string()).unwrap().is_empty() {
                return; // It was collected, unread.
            }
            match store.get(&hash) {
                Err(StoreError::Lost { path, source, .. }) => {
                    assert!(Path::new(&path).is_file(), "it stays until another takes its place");
                    assert_eq!(source.raw_os_error(), Some(5));
                }
                otherwise => panic!("{otherwise:?}"),
            }
            let all = [OBJECTS.as_slice(), &[b"source", b"shared", b"own"]].concat();
            let content = all.into_iter().find(|content| ObjectHash::of(content) == hash).unwrap();
            store.put(content).unwrap();
            assert_eq!(store.get(&hash).unwrap(), content);
        }
        Place::Record(fingerprint) => {
            assert_eq!(store.lookup(&fingerprint).unwrap(), Lookup::Unreadable);
            store.commit(&Record { fingerprint, ..record() }).unwrap();
            assert!(matches!(store.lookup(&fingerprint).unwrap(), Lookup::Present(_)));
        }
        // The collection before has taken it along, unread.
        Place::Partial(_) | Place::Log(_) => {}
        Place::Last => {
            assert_eq!(store.recall(PIPELINE, "", "retrain").unwrap(), None);
            store.remember(PIPELINE, "", "retrain", &last()).unwrap();
            assert_eq!(store.recall(PIPELINE, "", "retrain").unwrap(), Some(last()));
        }
        Place::Manifest => {
            assert_eq!(store.runs().unwrap(), []);
            store.keep_run(RUN, &run()).unwrap();
            assert_eq!(store.runs().unwrap().len(), 1);
        }
        Place::Memo => {
            assert!(store.data_memo().read::<BTreeMap<String, u32>>().is_empty());
            store.data_memo().update(|memo: &mut BTreeMap<String, u32>| memo.clear()).unwrap();
        }
        Place::Pin(fingerprint) => store.pin(&fingerprint).unwrap(),
        Place::Run => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_state_that_the_disk_does_not_give_back_is_an_error_and_stays_as_its_log_does() {
    let base = folder();
    let store = filled(base.path());
    let state = base.path().join("partial").join(GONE[0].to_string());
    with_lost(&state, || {
        let refused = store.load_partial(&GONE[0]);
        assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
        assert!(state.is_file());
    });
    assert!(matches!(store.load_partial(&GONE[0]).unwrap(), Partial::Whole { .. }));
    let log = base.path().join("logs").join(format!("{}.jsonl", GONE[0]));
    with_lost(&log, || {
        assert!(matches!(store.read_log(&GONE[0]), Err(StoreError::Io { .. })));
        store.append_log(&GONE[0], "{}").unwrap();
    });
}

/// EIO, EINTR, EAGAIN, ENOMEM, ENFILE, EMFILE, ENODATA, EUCLEAN, ENOTCONN, ETIMEDOUT, ESTALE, ENXIO, EBUSY.
const PASSING: [i32; 13] = [5, 4, 11, 12, 23, 24, 61, 117, 107, 110, 116, 6, 16];

fn contents(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let all = walkdir::WalkDir::new(root).into_iter().flatten();
    all.map(|entry| (entry.path().to_owned(), fs::read(entry.path()).ok())).collect()
}

#[test]
fn repair_leaves_all_that_it_could_not_read_and_nothing_is_lost_when_that_passes() {
    let _here = all_work_here();
    let base = folder();
    let store = filled(base.path());
    // The lock of collections, which the first one makes.
    drop(store.alone(&mut |_| panic!("nobody is here")).unwrap());
    let before = contents(base.path());
    for code in PASSING {
        for (path, place) in places(&store) {
            with_unreadable(&path, code, || {
                let checked = store.verify(Repair::MoveAside).unwrap();
                assert!(!checked.is_whole(), "{code} {place:?}");
                let [finding] = checked.findings.as_slice() else { panic!("{code} {place:?}: {checked:?}") };
                assert!(matches!(finding.damage, Damage::Unreadable { .. }), "{code}: {finding:?}");
                assert!(finding.moved_to.is_none() && finding.left.is_some(), "{code}: {finding:?}");
                if let Place::Pin(_) | Place::Run | Place::Last | Place::Record(_) = place {
                    collect(&store).unwrap_err();
                }
            });
            assert_eq!(contents(base.path()), before, "{code} {place:?}");
        }
    }
    assert_eq!(store.verify(Repair::No).unwrap().findings, []);
    collect(&store).unwrap();
    assert!(matches!(store.lookup(&PINNED).unwrap(), Lookup::Present(_)));
}

#[test]
fn a_folder_that_cannot_be_listed_is_an_error_of_every_command_and_never_an_empty_one() {
    let base = folder();
    let store = filled(base.path());
    let rooms = ["", "objects", "records", "pins", "last", "runs", "partial", "logs"];
    for (room, code) in rooms.into_iter().flat_map(|room| PASSING.map(|code| (room, code))) {
        let folder = match room {
            "" => base.path().to_owned(),
            room => base.path().join(room),
        };
        let probe = move |operation: Operation<'_>| match operation {
            Operation::List(listed) if listed == folder => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(()),
        };
        with_probe(probe, || {
            assert!(store.verify(Repair::MoveAside).is_err(), "{room} {code}");
            assert!(store.inventory().is_err(), "{room} {code}");
            assert!(collect(&store).is_err(), "{room} {code}");
        });
    }
    collect(&store).unwrap();
    assert!(matches!(store.lookup(&PINNED).unwrap(), Lookup::Present(_)));
}

#[test]
fn a_fault_that_passes_costs_nothing() {
    let _here = all_work_here();
    let base = folder();
    let store = filled(base.path());
    for (path, _) in places(&store) {
        let mut left = 1;
        let probe = move |operation: Operation<'_>| match operation {
            Operation::Read(read) if *read == path && left > 0 => {
                left -= 1;
                Err(eio())
            }
            _ => Ok(()),
        };
        with_probe(probe, || {
            assert_eq!(store.verify(Repair::MoveAside).unwrap().findings, []);
        });
    }
    assert_eq!(fs::read_dir(base.path().join("quarantine")).map_or(0, Iterator::count), 0);
}
