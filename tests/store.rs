//! The cache as the rooms above see it: what is damaged is never believed, what is shared is never run twice.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use runner::fingerprint::Fingerprint;
use runner::store::{
    Damage, FORMAT, History, Lookup, MANIFEST, ObjectHash, OutputEntry, Partial, Patience, Provenance,
    Record, Repair, RunRecord, Store, StoreError,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

const WORK: Fingerprint = Fingerprint::from_bytes([0xab; 32]);
const CONTENT: &[u8] = b"a network";

fn record(content: &[u8]) -> Record {
    let object = ObjectHash::of(content);
    let entry = OutputEntry { object, bytes: content.len() as u64, artifact: "network".into() };
    let outputs = BTreeMap::from([("network".into(), entry)]);
    Record::new(WORK, "init", 1, outputs, json!({ "accuracy": 0.5 }), Provenance::default())
}

/// A cache with one result.
fn filled(root: &Path) -> Store {
    let store = Store::open(root).unwrap();
    store.put(CONTENT).unwrap();
    store.commit(&record(CONTENT)).unwrap();
    assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Present(record(CONTENT)));
    store
}

fn record_path(root: &Path) -> PathBuf {
    root.join("records/ab").join(format!("{WORK}.json"))
}

/// Replaces a file's content, a read-only one's as well.
fn replace(path: &Path, content: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

fn files(root: &Path) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
    all.map(|entry| entry.unwrap().into_path()).collect()
}

#[test]
fn a_record_with_any_byte_changed_is_damaged_and_looking_at_it_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let path = record_path(folder.path());
    let whole = fs::read(&path).unwrap();
    let before = files(folder.path());
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 1;
        fs::write(&path, changed).unwrap();
        assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Damaged, "byte {index}");
    }
    assert_eq!(files(folder.path()), before);
    let moved_to = store.set_record_aside(&WORK).unwrap();
    assert!(moved_to.is_file());
    assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Absent);
}

#[test]
fn a_record_of_another_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let path = record_path(folder.path());
    for other in [FORMAT - 1, FORMAT + 1] {
        let foreign = format!("{{\n  \"format\": {other},\n  \"all\": [\"is\", \"different\"]\n}}");
        fs::write(&path, &foreign).unwrap();
        match store.lookup(&WORK) {
            Err(StoreError::Format { found, .. }) => assert_eq!(found, other),
            otherwise => panic!("{otherwise:?}"),
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
}

#[test]
fn a_record_under_another_work_s_name_does_not_stand_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let other = Fingerprint::from_bytes([0xac; 32]);
    let place = folder.path().join("records/ac");
    fs::create_dir(&place).unwrap();
    fs::copy(record_path(folder.path()), place.join(format!("{other}.json"))).unwrap();
    assert_eq!(store.lookup(&other).unwrap(), Lookup::Damaged);
}

#[test]
fn a_damaged_object_is_moved_aside_and_the_record_no_longer_stands() {
    let flipped = [b"A", &CONTENT[1..]].concat();
    for damaged in [flipped.as_slice(), &CONTENT[..4], b"", b"another network altogether"] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path());
        let hash = ObjectHash::of(CONTENT);
        replace(&store.object_path(&hash), damaged);
        match store.get(&hash) {
            Err(StoreError::Damaged { moved_to, .. }) => assert_eq!(fs::read(moved_to).unwrap(), damaged),
            otherwise => panic!("{otherwise:?}"),
        }
        assert!(matches!(store.get(&hash), Err(StoreError::Missing { .. })));
        assert!(
            matches!(store.lookup(&WORK).unwrap(), Lookup::OutputMissing { output } if output == "network")
        );
        store.put(CONTENT).unwrap();
        assert_eq!(store.get(&hash).unwrap(), CONTENT);
        assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Present(record(CONTENT)));
    }
}

#[test]
fn putting_a_whole_object_mends_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let hash = ObjectHash::of(CONTENT);
    replace(&store.object_path(&hash), b"a nEtwork");
    store.put(CONTENT).unwrap();
    assert_eq!(store.get(&hash).unwrap(), CONTENT);
    fs::remove_file(store.object_path(&hash)).unwrap();
    fs::create_dir(store.object_path(&hash)).unwrap();
    store.put(CONTENT).unwrap();
    assert_eq!(store.get(&hash).unwrap(), CONTENT);
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_cache_is_no_object() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("cache"));
    let (hash, outside) = (ObjectHash::of(CONTENT), folder.path().join("outside"));
    fs::write(&outside, CONTENT).unwrap();
    let path = store.object_path(&hash);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    assert!(matches!(store.get(&hash), Err(StoreError::Missing { .. })));
    assert!(matches!(store.lookup(&WORK).unwrap(), Lookup::OutputMissing { .. }));
    store.put(CONTENT).unwrap();
    assert!(path.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read(outside).unwrap(), CONTENT);
}

#[test]
fn a_record_is_not_written_before_its_objects() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(matches!(store.commit(&record(CONTENT)), Err(StoreError::Missing { .. })));
    assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Absent);
}

#[cfg(unix)]
#[test]
fn files_have_the_modes_of_ordinary_files_and_objects_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("cache"));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let ordinary = folder.path().join("ordinary");
    fs::write(&ordinary, b"").unwrap();
    assert_eq!(mode(&record_path(&folder.path().join("cache"))), mode(&ordinary));
    assert_eq!(mode(&store.object_path(&ObjectHash::of(CONTENT))), mode(&ordinary) & 0o444);
    fs::remove_dir_all(folder.path().join("cache")).unwrap();
}

#[test]
fn opening_makes_no_folder_and_refuses_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new/cache");
    let store = Store::open(&root).unwrap();
    assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Absent);
    assert!(!store.has_partial(&WORK));
    assert_eq!(files(folder.path()).len(), 1);
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(Store::open(&file), Err(StoreError::NotAFolder { .. })));
}

#[test]
fn a_path_with_spaces_and_other_alphabets_is_as_good_as_any() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("мой кэш/緩存 ü 'x' \"y\""));
    assert_eq!(store.get(&ObjectHash::of(CONTENT)).unwrap(), CONTENT);
}

#[test]
fn a_state_is_what_was_saved_or_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.load_partial(&WORK).unwrap(), Partial::Absent);
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 2.5, sessions: 3, of: None };
    store.save_partial(&WORK, &history, b"first").unwrap();
    store.save_partial(&WORK, &history, b"second").unwrap();
    let whole = Partial::Whole { history, state: b"second".to_vec() };
    assert_eq!(store.load_partial(&WORK).unwrap(), whole);
    let path = folder.path().join("partial").join(WORK.to_string());
    let content = fs::read(&path).unwrap();
    for index in 0..content.len() {
        let mut changed = content.clone();
        changed[index] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        assert_eq!(store.load_partial(&WORK).unwrap(), Partial::Damaged, "byte {index}");
        fs::write(&path, &content[..index]).unwrap();
        assert_eq!(store.load_partial(&WORK).unwrap(), Partial::Damaged, "{index} bytes");
    }
    store.set_partial_aside(&WORK).unwrap();
    assert_eq!(store.load_partial(&WORK).unwrap(), Partial::Absent);
}

#[test]
fn only_one_holds_a_lock_and_the_others_hear_who() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let taken = AtomicBool::new(false);
    let heard = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let lock = store.lock(&WORK, &mut |holder| {
                        if holder.to_string().starts_with(&format!("process {} on", std::process::id())) {
                            heard.store(true, Ordering::SeqCst);
                        }
                        ControlFlow::Continue(())
                    });
                    let lock = lock.unwrap().unwrap();
                    assert!(lock.is_exclusive());
                    assert!(!taken.swap(true, Ordering::SeqCst), "two hold it");
                    thread::sleep(Duration::from_millis(1));
                    assert!(taken.swap(false, Ordering::SeqCst));
                    drop(lock);
                }
            });
        }
    });
    assert!(heard.load(Ordering::SeqCst));
    assert_eq!(fs::read_dir(folder.path().join("locks")).unwrap().count(), 0, "locks are left behind");
}

#[test]
fn whoever_waits_for_a_lock_may_give_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let _held = store.lock(&WORK, &mut |_| ControlFlow::Break(())).unwrap().unwrap();
    assert!(store.lock(&WORK, &mut |_| ControlFlow::Break(())).unwrap().is_none());
}

#[cfg(unix)]
#[test]
fn a_lock_s_file_that_was_removed_by_hand_does_no_lasting_harm() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let take = || store.lock(&WORK, &mut |_| ControlFlow::Break(())).unwrap();
    let first = take().unwrap();
    fs::remove_file(folder.path().join("locks").join(WORK.to_string())).unwrap();
    // The first does not know; the second holds the lock that has the name.
    let second = take().unwrap();
    drop(first);
    assert!(take().is_none(), "the first took the second's lock away");
    drop(second);
    assert!(take().is_some());
}

#[test]
fn leftovers_of_killed_writers_are_cleared_but_not_while_anyone_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let stray = folder.path().join("tmp/runner-AbCdEf012345.tmp");
    fs::write(&stray, b"half").unwrap();
    let foreign = ["runner-short.tmp", ".tmpAbCdEf", "notes.txt", "runner-AbCdEf012345.tmp.bak"];
    let foreign = foreign.map(|name| folder.path().join("tmp").join(name));
    foreign.iter().for_each(|path| fs::write(path, b"of somebody else").unwrap());
    let writer = fs::File::open(folder.path().join("locks/writing")).unwrap();
    writer.lock_shared().unwrap();
    let _ = store.prepare().unwrap();
    assert!(stray.is_file());
    drop(writer);
    let _ = store.prepare().unwrap();
    assert!(!stray.exists());
    assert!(foreign.iter().all(|path| path.is_file()), "what runner did not make is not its to remove");
}

#[derive(Default, Serialize, Deserialize)]
struct Held {
    numbers: Vec<u32>,
}

#[test]
fn no_update_of_a_memo_is_lost_and_a_damaged_one_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let memo = store.data_memo();
            scope.spawn(move || {
                memo.update(|held: &mut Held| held.numbers.push(number)).unwrap();
            });
        }
    });
    let mut held: Held = store.data_memo().read();
    held.numbers.sort_unstable();
    assert_eq!(held.numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
    let path = folder.path().join("data-hashes.json");
    let mut content = fs::read(&path).unwrap();
    let end = content.len() - 5;
    content[end] ^= 1;
    fs::write(&path, content).unwrap();
    assert!(store.data_memo().read::<Held>().numbers.is_empty());
}

#[test]
fn a_line_of_a_log_that_was_cut_is_told_and_ended_by_the_next_and_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let path = folder.path().join("logs").join(format!("{WORK}.jsonl"));
    fs::create_dir(folder.path().join("logs")).unwrap();
    let line = json!({ "event": "epoch-finished", "text": "a {\"b\": 1} é" }).to_string();
    let cuts = (1..line.len()).filter(|cut| line.is_char_boundary(*cut));
    for cut in cuts {
        fs::write(&path, format!("{line}\n{}", &line[..cut])).unwrap();
        store.append_log(&WORK, &line).unwrap();
        let log = store.read_log(&WORK).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines, [&line, &line[..cut], &line], "{cut}");
        let checked = store.verify(Repair::MoveAside).unwrap();
        assert!(checked.is_whole(), "{cut}: {checked:?}");
        assert!(matches!(checked.findings[0].damage, Damage::Torn { line: 2 }), "{cut}: {checked:?}");
        assert!(path.is_file());
        // An older runner wrote on right behind it.
        fs::write(&path, format!("{line}\n{}{line}\n{line}\n", &line[..cut])).unwrap();
        let checked = store.verify(Repair::No).unwrap();
        assert!(checked.is_whole(), "{cut}: {checked:?}");
        assert!(matches!(checked.findings[0].damage, Damage::Torn { line: 2 }), "{cut}: {checked:?}");
    }
    fs::write(&path, format!("{line}\n\0\0\0\0\n{line}\n")).unwrap();
    let checked = store.verify(Repair::No).unwrap();
    assert!(
        !checked.is_whole() && matches!(checked.findings[0].damage, Damage::Line { line: 2 }),
        "{checked:?}"
    );
}

fn run() -> RunRecord {
    RunRecord {
        manifest: MANIFEST,
        status: runner::state::RunState::Done,
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

#[test]
fn runs_that_begin_in_one_second_in_processes_of_one_number_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    // As an older runner called it.
    store.keep_run("19700101-000000-4711", &run()).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| drop(store.begin_run(&run()).unwrap())));
        }
    });
    let runs = store.runs().unwrap();
    assert_eq!(runs.len(), 201);
    let ids: std::collections::BTreeSet<&String> = runs.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 201);
    assert!(ids.iter().all(|id| id.starts_with("19700101-000000-")), "{ids:?}");
    assert_eq!(store.verify(Repair::No).unwrap().findings, []);
}

/// The most memory that this process has had.
#[cfg(target_os = "linux")]
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn files_with_holes_that_claim_gigabytes_are_damaged_and_never_read_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 2.5, sessions: 3, of: None };
    store.save_partial(&WORK, &history, b"state").unwrap();
    store.pin(&WORK).unwrap();
    store.note_run("0123456789ab", "p", [WORK]).unwrap();
    store.keep_run("19700101-000000-4711", &run()).unwrap();
    store.data_memo().update(|held: &mut Held| held.numbers.push(1)).unwrap();
    store.append_log(&WORK, "{}").unwrap();
    for path in files(folder.path()).into_iter().filter(|path| path.is_file()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == ".runner-cache" || path.starts_with(folder.path().join("locks")) {
            continue;
        }
        // What may be large is hashed as a whole, which takes its time.
        let is_json = name.ends_with(".json") || name.ends_with(".jsonl");
        let size = if is_json { 3 << 30 } else { 700 << 20 };
        replace(&path, b"");
        fs::File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    }
    assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Damaged);
    assert_eq!(store.load_partial(&WORK).unwrap(), Partial::Damaged);
    assert!(matches!(store.get(&ObjectHash::of(CONTENT)), Err(StoreError::Damaged { .. })));
    assert_eq!(store.runs().unwrap(), []);
    assert!(store.data_memo().read::<Held>().numbers.is_empty());
    assert!(store.read_log(&WORK).is_err());
    assert!(!store.verify(Repair::No).unwrap().is_whole());
    assert!(store.inventory().unwrap().unreadable.len() >= 3);
    assert!(most_memory() < 400 << 20, "{} MiB", most_memory() >> 20);
}

#[test]
fn who_holds_the_writers_lock_keeps_writers_waiting_only_as_long_as_they_like_and_readers_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let held = fs::File::open(folder.path().join("locks/writing")).unwrap();
    held.lock().unwrap();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = asked.clone();
    let patient = store.clone().with_patience(Patience::new(move |lock| {
        assert!(lock.ends_with("locks/writing"));
        if counted.fetch_add(1, Ordering::SeqCst) >= 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }));
    let refused = patient.put(b"another").unwrap_err();
    assert!(
        matches!(&refused, StoreError::Io { source, .. } if source.to_string().contains("locks/writing")),
        "{refused:?}"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    // Readers go on, and so does who makes the cache ready.
    assert!(matches!(store.lookup(&WORK).unwrap(), Lookup::Present(_)));
    assert_eq!(store.get(&ObjectHash::of(CONTENT)).unwrap(), CONTENT);
    assert_eq!(store.verify(Repair::No).unwrap().findings, []);
    let _ = store.prepare().unwrap();
    drop(held);
    patient.put(b"another").unwrap();
}
