//! A cache folder in which somebody has put things that do not belong there: nothing hangs, nothing outside is touched, and a
//! run gives the same results.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

mod binary;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use binary::{files, flat, object, objects, quick, results, runner, strays, succeeds, text};
use jiff::Timestamp;
use runner::fingerprint::Fingerprint;
use runner::store::{FORMAT, History, OutputEntry, Provenance, Record, Store};
use serde_json::json;

/// Runs a command that has to come to an end, with or without success, and not by a panic.
fn ends(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = runner(folder, "c", arguments);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let clock = Instant::now();
    while running.try_wait().unwrap().is_none() {
        if clock.elapsed() > Duration::from_secs(60) {
            running.kill().unwrap();
            panic!("{arguments:?} does not end: {:?}", text(&running.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = running.wait_with_output().unwrap();
    let said = text(&output).1;
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {:?} {said}", output.status);
    assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    output
}

/// What can be in the place of a file.
const THINGS: [&str; 6] = ["pipe", "folder", "link outside", "link to itself", "nothing in it", "deep JSON"];

fn put(thing: &str, path: &Path, outside: &Path) {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).unwrap();
    }
    match thing {
        "pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "folder" => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("a file in it"), b"").unwrap();
        }
        "link to nothing" => symlink("nowhere", path).unwrap(),
        "link outside" => symlink(outside, path).unwrap(),
        "link to itself" => symlink(path.file_name().unwrap(), path).unwrap(),
        "nothing in it" => fs::write(path, b"").unwrap(),
        "deep JSON" => {
            let head = format!("{{\n  \"format\": {FORMAT},\n  \"seal\": \"");
            let tail = format!("\",\n  \"all\": {}", "[".repeat(300_000));
            let mut hasher = blake3::Hasher::new();
            hasher.update(head.as_bytes()).update(tail.as_bytes());
            fs::write(path, format!("{head}{}{tail}", hasher.finalize().to_hex())).unwrap();
        }
        "noise" => fs::write(path, [0xff; 5000]).unwrap(),
        _ => panic!("{thing}"),
    }
}

/// A cache with a file of every kind: all results but the last, a state of that, and a pin.
fn fill(folder: &Path) -> PathBuf {
    succeeds(folder, "c", &["run", "p.toml", "--quiet"]);
    succeeds(folder, "c", &["cache", "pin", "p.toml", "init"]);
    let cache = folder.join("c");
    let store = Store::open(&cache).unwrap();
    let work = store.records_like("").unwrap()[0];
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 1.0, sessions: 1, of: None };
    store.save_partial(&work, &history, b"no state of a stage").unwrap();
    store.data_memo().update(|memo: &mut BTreeMap<String, u32>| memo.clear()).unwrap();
    cache
}

const COMMANDS: [&[&str]; 11] = [
    &["plan", "p.toml"],
    &["status", "p.toml"],
    &["log", "p.toml", "init"],
    &["runs"],
    &["show", "p.toml", "init"],
    &["cache", "ls"],
    &["cache", "du"],
    &["cache", "verify"],
    &["cache", "gc", "--dry-run"],
    &["cache", "pin", "p.toml", "gate-train"],
    &["run", "p.toml"],
];

#[test]
fn whatever_is_in_the_place_of_a_file_nothing_hangs_and_a_run_makes_it_good() {
    let folder = quick();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    let outside = folder.path().join("outside");
    for thing in THINGS {
        fs::write(&outside, b"of somebody else").unwrap();
        let cache = fill(folder.path());
        // Without its marker the folder would be somebody else's.
        let is_ours =
            |path: &&PathBuf| !path.starts_with(cache.join("locks")) && !path.ends_with(".runner-cache");
        for path in files(&cache, "").iter().filter(is_ours) {
            put(thing, path, &outside);
        }
        for command in COMMANDS {
            ends(folder.path(), command);
        }
        assert!(ends(folder.path(), &["run", "p.toml"]).status.success(), "{thing}");
        // What nobody needs, and what only explains, is moved aside on demand.
        ends(folder.path(), &["cache", "verify", "--repair"]);
        let verified = ends(folder.path(), &["cache", "verify"]);
        assert!(verified.status.success(), "{thing}: {:?}", text(&verified));
        succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
        assert!(results(folder.path(), "c") == results(folder.path(), "whole"), "{thing}");
        assert_eq!(fs::read(&outside).unwrap(), b"of somebody else", "{thing}");
        fs::remove_dir_all(cache).unwrap();
    }
}

#[test]
fn whatever_is_in_the_place_of_a_lock_is_a_clear_error_that_repair_mends() {
    let folder = quick();
    let outside = folder.path().join("outside");
    let cache = fill(folder.path());
    let works: Vec<String> =
        Store::open(&cache).unwrap().records_like("").unwrap().iter().map(ToString::to_string).collect();
    let names = works.iter().map(String::as_str).chain(["writing", "visits", "data-hashes"]);
    let locks: Vec<PathBuf> = names.map(|name| cache.join("locks").join(name)).collect();
    for thing in ["pipe", "folder", "link to nothing", "link outside"] {
        fs::write(&outside, b"of somebody else").unwrap();
        locks.iter().for_each(|path| put(thing, path, &outside));
        for command in COMMANDS {
            ends(folder.path(), command);
        }
        let refused = ends(folder.path(), &["run", "p.toml", "--force", "init"]);
        let error = flat(&text(&refused).1);
        assert!(error.contains("cannot open the lock"), "{thing}: {error}");
        assert!(error.contains("`runner cache verify --repair` moves it aside"), "{thing}: {error}");
        let repaired = ends(folder.path(), &["cache", "verify", "--repair"]);
        assert!(flat(&text(&repaired).0).contains("locks/visits"), "{thing}: {:?}", text(&repaired));
        succeeds(folder.path(), "c", &["cache", "verify"]);
        succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--force", "init"]);
        assert_eq!(fs::read(&outside).unwrap(), b"of somebody else", "{thing}");
    }
}

#[test]
fn a_folder_of_the_cache_may_be_a_link_and_anything_else_in_its_place_is_a_clear_error() {
    let folder = quick();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    let (cache, elsewhere) = (folder.path().join("c"), folder.path().join("elsewhere"));
    let rooms =
        ["objects", "records", "partial", "last", "runs", "manifests", "logs", "locks", "tmp", "quarantine"];
    fs::create_dir_all(&cache).unwrap();
    for room in rooms {
        fs::create_dir_all(elsewhere.join(room)).unwrap();
        symlink(elsewhere.join(room), cache.join(room)).unwrap();
    }
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    succeeds(folder.path(), "c", &["cache", "verify"]);
    succeeds(folder.path(), "c", &["cache", "gc"]);
    assert_eq!(objects(folder.path(), "c"), objects(folder.path(), "whole"));
    assert!(succeeds(folder.path(), "c", &["run", "p.toml"]).contains("0 ran, 6 from the cache"));
    for room in rooms {
        for thing in ["pipe", "noise", "link to nothing"] {
            put(thing, &cache.join(room), &elsewhere);
            for command in [&["plan", "p.toml"] as &[&str], &["cache", "verify"], &["run", "p.toml"]] {
                ends(folder.path(), command);
            }
        }
        fs::remove_file(cache.join(room)).unwrap();
        symlink(elsewhere.join(room), cache.join(room)).unwrap();
    }
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    assert_eq!(objects(folder.path(), "c"), objects(folder.path(), "whole"));
}

#[test]
fn swapped_objects_are_found_and_made_again() {
    let folder = quick();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let [one, other] = ["init", "gate-train"].map(|kind| object(folder.path(), "c", kind, "network"));
    let aside = folder.path().join("aside");
    fs::rename(&one, &aside).unwrap();
    fs::rename(&other, &one).unwrap();
    fs::rename(&aside, &other).unwrap();
    let verified = ends(folder.path(), &["cache", "verify"]);
    assert_eq!(
        flat(&text(&verified).0).matches("its content has the hash").count(),
        2,
        "{:?}",
        text(&verified)
    );
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--force", "threshold-search"]);
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--force", "prune"]);
    assert!(results(folder.path(), "c") == results(folder.path(), "whole"));
    succeeds(folder.path(), "c", &["cache", "verify"]);
}

#[test]
fn names_in_a_record_that_lead_out_of_the_cache_lead_nowhere() {
    let folder = quick();
    let cache = folder.path().join("in/the/cache");
    let store = Store::open(&cache).unwrap();
    let object = store.put(b"a network").unwrap();
    let out = "../../../../out";
    let entry = OutputEntry { object, bytes: 9, artifact: out.into() };
    let provenance = Provenance { stage: out.into(), pipeline: out.into(), ..Provenance::default() };
    let outputs = BTreeMap::from([(out.to_owned(), entry)]);
    let work = Fingerprint::from_bytes([0xab; 32]);
    store.commit(&Record::new(work, out, 1, outputs, json!({}), provenance)).unwrap();
    let name = work.to_string();
    for command in [
        &["show", name.as_str()] as &[&str],
        &["cache", "ls"],
        &["cache", "pin", &name],
        &["cache", "gc"],
        &["export", &name, "--to", "bundle"],
        &["export", &name, "--to", "bundle.tar"],
        &["import", "bundle.tar"],
        &["cache", "unpin", &name],
        &["cache", "gc", "--all"],
    ] {
        let output = runner(folder.path(), "in/the/cache", command).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{command:?}: {:?}", text(&output));
    }
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["bundle", "bundle.tar", "in", "p.toml"]);
    assert_eq!(fs::read_dir(folder.path().join("in")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folder.path().join("in/the")).unwrap().count(), 1);
    assert_eq!(strays(&cache), [""; 0]);
}

/// Changes a record and seals it again, as somebody can who means harm.
fn reseal(path: &Path, change: &dyn Fn(&mut serde_json::Value)) {
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut record);
    let whole = record.as_object_mut().unwrap();
    whole.remove("format");
    whole.remove("seal");
    let body = serde_json::to_string_pretty(whole).unwrap();
    let head = format!("{{\n  \"format\": {FORMAT},\n  \"seal\": \"");
    let tail = format!("\",\n{}\n", body.strip_prefix("{\n").unwrap());
    let mut hasher = blake3::Hasher::new();
    hasher.update(head.as_bytes()).update(tail.as_bytes());
    fs::write(path, format!("{head}{}{tail}", hasher.finalize().to_hex())).unwrap();
}

/// Replaces every number of a value.
fn numbers(value: &mut serde_json::Value, by: &serde_json::Value) {
    match value {
        serde_json::Value::Number(_) => *value = by.clone(),
        serde_json::Value::Array(all) => all.iter_mut().for_each(|value| numbers(value, by)),
        serde_json::Value::Object(all) => all.values_mut().for_each(|value| numbers(value, by)),
        _ => {}
    }
}

#[test]
fn records_with_any_numbers_are_shown_drawn_and_compared_without_harm() {
    let folder = quick();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let cache = folder.path().join("c");
    let whole: Vec<(PathBuf, Vec<u8>)> =
        files(&cache, "records").into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    let odd = [
        json!(u64::MAX),
        json!(-1),
        json!(1e308),
        json!(10_000_000u64),
        json!(null),
        json!("1"),
        json!([]),
        json!({}),
    ];
    for number in odd {
        for (path, content) in &whole {
            fs::write(path, content).unwrap();
            reseal(path, &|record| {
                numbers(&mut record["metrics"], &number);
                if let Some(seconds) = number.as_f64() {
                    record["provenance"]["seconds"] = json!(seconds);
                }
            });
        }
        let clock = Instant::now();
        for command in [
            &["run", "p.toml"] as &[&str],
            &["plan", "p.toml"],
            &["table", "p.toml"],
            &["table", "p.toml", "--format", "json"],
            &["show", "p.toml", "retrain"],
            &["show", "p.toml", "eval"],
            &["compare", "p.toml", "p.toml"],
            &["status", "p.toml"],
            &["report", "p.toml", "--to", "report.html"],
            &["plot", "p.toml", "--to", "figures"],
            &["cache", "ls"],
        ] {
            ends(folder.path(), command);
        }
        assert!(clock.elapsed() < Duration::from_secs(60), "{number}: {:?}", clock.elapsed());
    }
}
