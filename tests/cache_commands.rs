//! `runner cache`: what is listed, found damaged, kept and collected.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use binary::{SMALL, files, flat, flip, folder_with, object, objects, quick, runner, stdout, succeeds, text};
use jiff::Timestamp;
use runner::fingerprint::Fingerprint;
use runner::store::{History, LastRun, Lookup, ObjectHash, OutputEntry, Provenance, Record, Store};
use serde_json::{Value, json};

/// Identities of pipeline files.
const ONE: &str = "aaaaaaaaaaaa";
const OTHER: &str = "bbbbbbbbbbbb";

const fn work(number: u8) -> Fingerprint {
    Fingerprint::from_bytes([number; 32])
}

/// A cache of results that nobody computed: two studies that share the first stage.
///
/// | work | stage | pipeline | from | outputs |
/// |---|---|---|---|---|
/// | 10 | init | study | | network |
/// | 20 | retrain | study | 10 | best, last: the same bytes |
/// | 30 | retrain | other | 10 | best, last |
/// | 40 | eval | other | 30 | none |
struct Made(tempfile::TempDir);

impl Made {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.result(10, ("init", "study"), &[("network", &[1; 4000])], &[]);
        made.result(20, ("retrain", "study"), &[("best", &[2; 3000]), ("last", &[2; 3000])], &[1; 4000]);
        made.result(30, ("retrain", "other"), &[("best", &[3; 2000]), ("last", &[4; 2000])], &[1; 4000]);
        made.result(40, ("eval", "other"), &[], &[3; 2000]);
        made
    }

    fn result(&self, number: u8, (stage, pipeline): (&str, &str), outputs: &[(&str, &[u8])], input: &[u8]) {
        let store = self.store();
        let entry = |content: &[u8]| OutputEntry {
            object: store.put(content).unwrap(),
            bytes: content.len() as u64,
            artifact: "network".into(),
        };
        let outputs = outputs.iter().map(|(name, content)| ((*name).to_owned(), entry(content))).collect();
        let input = Some(input).filter(|input| !input.is_empty());
        let finished = Timestamp::from_second(1_700_000_000 + i64::from(number)).unwrap();
        let provenance = Provenance {
            stage: stage.to_owned(),
            pipeline: pipeline.to_owned(),
            inputs: input.map(|input| ("network".to_owned(), ObjectHash::of(input))).into_iter().collect(),
            host: "here".to_owned(),
            finished,
            ..Provenance::default()
        };
        store.commit(&Record::new(work(number), stage, 1, outputs, json!({}), provenance)).unwrap();
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("c")
    }

    fn store(&self) -> Store {
        Store::open(&self.root()).unwrap()
    }

    fn said(&self, arguments: &[&str]) -> String {
        stdout(self.0.path(), "c", &[&["cache"], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.said(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Exit code and all that was said.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = runner(self.0.path(), "c", &[&["cache"], arguments].concat()).output().unwrap();
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        stdout + &stderr
    }

    fn record(&self, number: u8) -> PathBuf {
        self.root().join(format!("records/{number:02x}/{}.json", work(number)))
    }

    /// Lets a result be last used so many days ago.
    fn age(&self, number: u8, days: u64) {
        age(&self.record(number), days);
    }

    /// Numbers of the results that are left.
    fn left(&self) -> Vec<u8> {
        let is_there =
            |number: &u8| matches!(self.store().lookup(&work(*number)).unwrap(), Lookup::Present(_));
        [10, 20, 30, 40].into_iter().filter(is_there).collect()
    }
}

fn age(path: &Path, days: u64) {
    // Of one day all have the same time.
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs((today - days) * 86_400);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn everything(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let all = walkdir::WalkDir::new(root).into_iter().flatten();
    all.map(|entry| (entry.path().to_owned(), fs::read(entry.path()).ok())).collect()
}

macro_rules! snapshot {
    ($found:expr) => {
        insta::with_settings!({omit_expression => true, filters => vec![
            (r"\b([0-9a-f]{2})[0-9a-f]{62}\b", "[hash $1]"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "[time]"),
            (r"\b\d+ (s|min)( ago)?\b", "[age]$2"),
            (r"process \d+ on \S+", "process [id] on [host]"),
        ]}, { insta::assert_snapshot!($found) })
    };
}

#[test]
fn every_command_of_the_cache_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["ls", "du", "verify", "gc", "pin", "unpin"] {
        let output = runner(folder.path(), "c", &["cache", command, "--help"]).output().unwrap();
        let said = text(&output).0;
        assert!(said.contains("Examples:") && said.contains("--json"), "{said}");
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(format!("help_cache_{command}"), said) });
    }
}

#[test]
fn ls_lists_results_with_their_age_and_size_and_filters_them() {
    let made = Made::new();
    made.age(20, 40);
    made.said(&["pin", &work(30).to_string()[..8]]);
    snapshot!(made.said(&["ls"]));
    let numbers = |arguments: &[&str]| -> Vec<u8> {
        let listed = made.json(&[&["ls"], arguments].concat());
        let work =
            listed.as_array().unwrap().iter().map(|work| work["fingerprint"].as_str().unwrap().to_owned());
        work.map(|fingerprint| u8::from_str_radix(&fingerprint[..2], 16).unwrap()).collect()
    };
    assert_eq!(numbers(&[]), [40, 30, 20, 10]);
    assert_eq!(numbers(&["--kind", "retrain"]), [30, 20]);
    assert_eq!(numbers(&["--pipeline", "other"]), [40, 30]);
    assert_eq!(numbers(&["--older-than", "30d"]), [20]);
    assert_eq!(numbers(&["--older-than", "50d"]), [0u8; 0]);
    assert_eq!(numbers(&["--pinned"]), [30, 10]);
    let best = &made.json(&["ls", "--kind", "retrain"])[1];
    assert_eq!(best["bytes"], 3000, "two outputs of the same bytes are one object");
    assert_eq!(best["outputs"]["best"]["object"], ObjectHash::of(&[2; 3000]).to_string());
}

#[test]
fn du_counts_what_is_shared_once() {
    let made = Made::new();
    // The same bytes from another kind of work.
    made.result(50, ("prune", "other"), &[("network", &[1; 4000])], &[]);
    made.store().put(&[9; 500]).unwrap();
    let found = made.json(&["du"]);
    assert_eq!(found["kinds"]["init"], json!({ "results": 1, "objects": 1, "bytes": 4000 }));
    assert_eq!(found["kinds"]["retrain"], json!({ "results": 2, "objects": 3, "bytes": 7000 }));
    assert_eq!(found["kinds"]["prune"], json!({ "results": 1, "objects": 0, "bytes": 0 }));
    assert_eq!(found["unnamed"], json!({ "objects": 1, "bytes": 500 }));
    assert_eq!(found["rooms"]["objects"], json!({ "files": 5, "bytes": 11_500 }));
    let all: u64 = files(&made.root(), "").iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(found["bytes"], all);
    snapshot!(made.said(&["du"]));
}

#[test]
fn an_empty_cache_is_listed_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let _ = Store::open(&folder.path().join("c")).unwrap().prepare().unwrap();
    for command in ["ls", "du", "verify", "gc"] {
        succeeds(folder.path(), "c", &["cache", command]);
    }
}

/// Breaks a cache in every way; the names of what is found then.
fn break_everything(made: &Made) -> Vec<&'static str> {
    let (root, store) = (made.root(), made.store());
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 1.0, sessions: 1, of: None };
    store.save_partial(&work(60), &history, b"a state").unwrap();
    store.save_partial(&work(61), &history, b"a whole one").unwrap();
    store.append_log(&work(60), "no event").unwrap();
    store.append_log(&work(61), "{\"event\": \"whole\"}").unwrap();
    store.pin(&work(40)).unwrap();
    store.note_run("0123456789ab", "study", [work(10)]).unwrap();
    fs::write(root.join("README.md"), "about this folder").unwrap();
    assert!(store.verify(runner::store::Repair::No).unwrap().findings.len() == 1, "the log only");
    // An object that 20 names, and one that 30 names, whose size changes.
    flip(&store.object_path(&ObjectHash::of(&[2; 3000])));
    let other = store.object_path(&ObjectHash::of(&[4; 2000]));
    fs::remove_file(&other).unwrap();
    fs::write(&other, [4; 1999]).unwrap();
    // One that 50 names goes, and one that nothing names becomes a link.
    made.result(50, ("init", "study"), &[("network", &[5; 100])], &[]);
    fs::remove_file(store.object_path(&ObjectHash::of(&[5; 100]))).unwrap();
    let unnamed = store.put(&[6; 100]).unwrap();
    fs::rename(store.object_path(&unnamed), root.join("../outside")).unwrap();
    std::os::unix::fs::symlink(root.join("../outside"), store.object_path(&unnamed)).unwrap();
    flip(&root.join(format!("partial/{}", work(60))));
    flip(&made.record(40));
    flip(&files(&root, "pins")[0]);
    flip(&files(&root, "runs")[0]);
    fs::create_dir_all(root.join("last/0123456789ab")).unwrap();
    fs::write(root.join("last/0123456789ab/init.json"), "{}").unwrap();
    fs::write(root.join("data-hashes.json"), "{").unwrap();
    fs::write(root.join("objects/mine.txt"), "foreign").unwrap();
    fs::write(root.join("thesis.tex"), "foreign").unwrap();
    fs::create_dir(root.join("objects/zz")).unwrap();
    // A whole record under another name.
    fs::create_dir_all(root.join("records/46")).unwrap();
    fs::copy(made.record(10), made.record(70)).unwrap();
    let mut expected = vec![
        "content", "content", "foreign", "foreign", "foreign", "line", "link", "output", "output", "output",
        "seal", "seal", "seal", "seal", "seal", "seal", "state",
    ];
    expected.sort_unstable();
    expected
}

#[cfg(unix)]
#[test]
fn verify_finds_every_damage_and_changes_nothing_and_repair_moves_it_aside() {
    let made = Made::new();
    let expected = break_everything(&made);
    let before = everything(&made.root());
    snapshot!(made.fails(&["verify"]).split("\nin ").next().unwrap());
    let found: Value =
        serde_json::from_str(made.fails(&["verify", "--json"]).split("\nin ").next().unwrap()).unwrap();
    let mut kinds: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|found| found["damage"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, expected);
    assert_eq!(everything(&made.root()), before, "verify has changed the cache");
    let said = made.fails(&["verify", "--repair"]);
    // Three things that runner does not put there stay, and the pin is written anew.
    assert_eq!(said.matches("  moved to quarantine/").count(), expected.len() - 4, "{said}");
    assert!(made.said(&["verify"]).contains("all is as it was written"));
    assert_eq!(files(&made.root(), "quarantine").len() + 1, expected.len() - 4, "beside them a link");
    assert!(
        ["thesis.tex", "objects/mine.txt", "objects/zz"].iter().all(|name| made.root().join(name).exists())
    );
    assert_eq!(made.left(), [10]);
    assert!(made.0.path().join("outside").is_file(), "what a link leads to is not ours");
}

#[test]
fn what_another_version_wrote_is_named_and_stays_and_nothing_is_collected_beside_it() {
    let made = Made::new();
    fs::write(made.record(40), "{\n  \"format\": 99,\n  \"new\": true\n}").unwrap();
    let said = made.fails(&["verify", "--repair"]);
    assert!(said.contains("it has format 99"), "{said}");
    assert!(said.contains("left there"), "{said}");
    let said = flat(&made.fails(&["gc", "--all"]));
    assert!(said.contains("has format 99"), "{said}");
    assert_eq!(objects(made.0.path(), "c").len(), 4);
    assert!(fs::read_to_string(made.record(40)).unwrap().contains("99"));
}

#[test]
fn a_repaired_cache_is_made_whole_by_the_next_run() {
    let folder = quick();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let before = objects(folder.path(), "c");
    flip(&object(folder.path(), "c", "gate-train", "network"));
    fs::remove_file(object(folder.path(), "c", "prune", "network")).unwrap();
    let output = runner(folder.path(), "c", &["cache", "verify", "--repair"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = succeeds(folder.path(), "c", &["run", "p.toml"]);
    assert!(said.contains("2 ran, 4 from the cache"), "{said}");
    assert_eq!(objects(folder.path(), "c"), before);
    succeeds(folder.path(), "c", &["cache", "verify"]);
}

#[test]
fn beside_running_runners_nothing_that_comes_and_goes_is_found_damaged() {
    let folder = folder_with(&SMALL.replace("epochs = 4", "epochs = 12"));
    let _ = Store::open(&folder.path().join("c")).unwrap().prepare().unwrap();
    let start = |more: &[&str]| {
        let mut run = runner(folder.path(), "c", &[&["run", "p.toml", "--quiet"], more].concat());
        run.spawn().unwrap()
    };
    let mut runs = [start(&[]), start(&["--set", "seed=1"])];
    let mut looks = 0;
    while runs.iter_mut().any(|run| run.try_wait().unwrap().is_none()) {
        let output = runner(folder.path(), "c", &["cache", "verify"]).output().unwrap();
        assert!(output.status.success(), "{:?}", text(&output));
        looks += 1;
    }
    assert!(looks > 3, "only {looks}");
    assert!(runs.iter_mut().all(|run| run.wait().unwrap().success()));
}

#[test]
fn killed_runs_leave_nothing_damaged_and_nothing_that_gc_does_not_clear() {
    let folder = quick();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    let _ = Store::open(&folder.path().join("c")).unwrap().prepare().unwrap();
    for pause in [5, 30, 70, 120, 200, 300] {
        let mut run = runner(folder.path(), "c", &["run", "p.toml", "--quiet"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        // SIGKILL: nothing of ours runs after it.
        run.kill().unwrap();
        run.wait().unwrap();
        succeeds(folder.path(), "c", &["cache", "verify"]);
    }
    // What a runner leaves that dies between its objects and their record, or while it writes or holds a lock.
    let (root, store) = (folder.path().join("c"), Store::open(&folder.path().join("c")).unwrap());
    store.put(b"of no record").unwrap();
    fs::write(root.join("tmp/runner-AbCdEf012345.tmp"), "half").unwrap();
    fs::write(root.join(format!("locks/{}", work(1))), "process 1 on nowhere\n").unwrap();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    succeeds(folder.path(), "c", &["cache", "verify"]);
    succeeds(folder.path(), "c", &["cache", "gc"]);
    assert_eq!(objects(folder.path(), "c"), objects(folder.path(), "whole"));
    assert!(files(&root, "tmp").is_empty() && files(&root, "partial").is_empty());
    let mut locks: Vec<String> = files(&root, "locks")
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    locks.retain(|name| !["writing", "visits", "data-hashes"].contains(&name.as_str()));
    assert!(locks.is_empty(), "{locks:?}");
    assert!(succeeds(folder.path(), "c", &["run", "p.toml"]).contains("0 ran, 6 from the cache"));
}

#[test]
fn gc_keeps_what_is_pinned_with_all_that_led_to_it() {
    let made = Made::new();
    made.said(&["pin", "other", "retrain"]);
    let before = everything(&made.root());
    snapshot!(made.said(&["gc", "--dry-run"]));
    assert_eq!(everything(&made.root()), before, "a dry run has changed the cache");
    snapshot!(made.said(&["gc"]));
    assert_eq!(made.left(), [10, 30]);
    assert_eq!(objects(made.0.path(), "c").len(), 3);
    made.said(&["verify"]);
    assert!(made.said(&["gc"]).contains("nothing to remove"));
    made.said(&["unpin", "other", "retrain"]);
    made.said(&["gc"]);
    assert_eq!(made.left(), [0u8; 0]);
    assert!(objects(made.0.path(), "c").is_empty());
}

#[test]
fn gc_keeps_what_the_last_runs_used() {
    let made = Made::new();
    let store = made.store();
    store.note_run(ONE, "study", [work(10), work(20)]).unwrap();
    store.note_run(OTHER, "other", [work(30), work(40)]).unwrap();
    assert_eq!(made.json(&["gc", "--dry-run"])["work"], json!([]));
    assert_eq!(made.json(&["gc", "--dry-run", "--runs", "1"])["work"].as_array().unwrap().len(), 1);
    // The first run is repeated, and so the last one now; its note is not a second one.
    store.note_run(ONE, "study", [work(20), work(10)]).unwrap();
    made.said(&["gc", "--runs", "1"]);
    assert_eq!(made.left(), [10, 20]);
    assert_eq!(files(&made.root(), "runs").len(), 1, "of the other run nothing is left");
}

#[test]
fn gc_forgets_points_that_a_pipeline_has_run_without_for_long_and_nothing_of_one_that_rests() {
    let made = Made::new();
    let store = made.store();
    let last = |number: u8| LastRun {
        fingerprint: work(number),
        kind: "retrain".into(),
        version: 1,
        parameters: json!({}),
        seed: None,
        data: None,
        images: json!({}),
        inputs: BTreeMap::new(),
    };
    store.remember(ONE, "", "retrain", &last(20)).unwrap();
    store.remember(ONE, "seed=7", "retrain", &last(30)).unwrap();
    store.remember(OTHER, "", "eval", &last(40)).unwrap();
    [10, 20, 30, 40].into_iter().for_each(|number| made.age(number, 85));
    store.note_run(ONE, "study", [work(10), work(20)]).unwrap();
    made.said(&["gc", "--runs", "0"]);
    assert_eq!(made.left(), [10, 20, 30, 40], "it ran without the point, for less than 90 days");
    [10, 20, 30, 40].into_iter().for_each(|number| made.age(number, 100));
    // The point's result led to what another pipeline last used, which has not run since.
    made.said(&["gc", "--runs", "0"]);
    assert_eq!(made.left(), [10, 20, 30, 40]);
    assert_eq!(store.recall(ONE, "seed=7", "retrain").unwrap(), None, "the point is forgotten");
    assert!(store.recall(OTHER, "", "eval").unwrap().is_some());
    made.said(&["gc", "--all"]);
    store.remember(ONE, "seed=7", "retrain", &last(30)).unwrap();
    made.result(20, ("retrain", "study"), &[("best", &[2; 3000])], &[]);
    made.result(30, ("retrain", "study"), &[("best", &[3; 2000])], &[]);
    store.note_run(ONE, "study", [work(20)]).unwrap();
    made.age(30, 100);
    made.said(&["gc", "--runs", "0"]);
    assert_eq!(made.left(), [20], "nobody else asks for the point");
    assert_eq!(files(&made.root(), "last").len(), 2);
}

#[test]
fn gc_removes_by_age_and_size_what_was_used_longest_ago() {
    let made = Made::new();
    for (number, days) in [(10, 9), (20, 7), (30, 9), (40, 1)] {
        made.age(number, days);
    }
    let plan = |arguments: &[&str]| -> Vec<String> {
        let plan = made.json(&[&["gc", "--dry-run"], arguments].concat());
        let work = plan["work"].as_array().unwrap().iter();
        work.map(|old| format!("{} {}", old["stage"].as_str().unwrap(), old["pipeline"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(plan(&["--older-than", "8d"]), ["retrain other", "init study"]);
    // A run uses what it finds.
    made.store().note_run(ONE, "study", [work(10)]).unwrap();
    assert_eq!(plan(&["--older-than", "8d", "--runs", "0"]), ["retrain other"]);
    let size = made.json(&["du"])["bytes"].as_u64().unwrap();
    assert_eq!(plan(&["--runs", "0", "--max-size", &size.to_string()]), [""; 0]);
    assert_eq!(plan(&["--runs", "0", "--max-size", &(size - 1).to_string()]), ["retrain other"]);
    assert_eq!(
        plan(&["--runs", "0", "--max-size", &(size - 5500).to_string()]),
        ["retrain other", "retrain study"]
    );
    // What either limit wants removed is.
    assert_eq!(plan(&["--runs", "0", "--max-size", "1T", "--older-than", "8d"]), ["retrain other"]);
    let said = made.said(&["gc", "--max-size", "1k"]);
    assert!(said.contains("what is kept takes") && said.contains("more than 1.00 KiB"), "{said}");
    assert_eq!(made.left(), [10]);
}

#[test]
fn gc_keeps_young_states_and_removes_old_ones_and_those_of_work_that_is_done() {
    let made = Made::new();
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 1.0, sessions: 1, of: None };
    for number in [10, 61, 62] {
        made.store().save_partial(&work(number), &history, b"state").unwrap();
        made.store().append_log(&work(number), "{}").unwrap();
    }
    age(&made.root().join(format!("partial/{}", work(62))), 31);
    // One that was saved after the result belongs to a forced run that was interrupted.
    made.store().save_partial(&work(20), &history, b"state").unwrap();
    age(&made.root().join(format!("partial/{}", work(10))), 1);
    age(&made.root().join(format!("logs/{}.jsonl", work(62))), 31);
    made.said(&["gc", "--older-than", "9000d"]);
    let young = [20, 61].map(|number| made.root().join(format!("partial/{}", work(number))));
    assert_eq!(files(&made.root(), "partial"), young);
    assert_eq!(made.left(), [10, 20, 30, 40]);
    made.said(&["gc", "--older-than", "9000d", "--partials", "0s"]);
    assert!(files(&made.root(), "partial").is_empty());
}

#[test]
fn gc_does_nothing_where_it_cannot_tell_what_to_keep() {
    let made = Made::new();
    made.said(&["pin", "study"]);
    flip(&files(&made.root(), "pins")[0]);
    let said = flat(&made.fails(&["gc", "--all"]));
    assert!(said.contains("cannot tell what to keep"), "{said}");
    assert_eq!(made.left(), [10, 20, 30, 40]);
    // A pin says what it keeps by its name.
    made.fails(&["verify", "--repair"]);
    made.said(&["verify"]);
    made.said(&["gc", "--all"]);
    assert_eq!(made.left(), [10, 20]);
}

#[test]
fn gc_waits_for_runners_and_runners_wait_for_gc() {
    let folder = quick();
    let store = Store::open(&folder.path().join("c")).unwrap();
    let visit = store.visit(&mut || panic!("nobody collects")).unwrap();
    let mut refused = runner(folder.path(), "c", &["cache", "gc", "--no-wait"]);
    let refused = refused.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        flat(&text(&refused).1).contains("the cache is in use by another command"),
        "{:?}",
        text(&refused)
    );
    succeeds(folder.path(), "c", &["cache", "gc", "--dry-run"]);
    // It waits as long as the cache is in use, and says so.
    let mut gc = runner(folder.path(), "c", &["cache", "gc"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(gc.stderr.take().unwrap());
    lines.read_line(&mut said).unwrap();
    assert_eq!(said, "waiting for another command\n");
    assert!(gc.try_wait().unwrap().is_none());
    drop(visit);
    assert!(gc.wait().unwrap().success());
    let alone = store.alone(&mut |_| panic!("nobody is here")).unwrap().unwrap();
    let mut run = runner(folder.path(), "c", &["run", "p.toml", "--until", "init"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap());
    said.clear();
    lines.read_line(&mut said).unwrap();
    assert_eq!(said, "waiting until `runner cache gc` has cleared the cache\n");
    assert!(files(&folder.path().join("c"), "records").is_empty());
    drop(alone);
    std::io::copy(&mut lines, &mut std::io::sink()).unwrap();
    assert!(run.wait().unwrap().success());
}

#[test]
fn a_collection_beside_a_run_takes_nothing_from_it() {
    let folder = folder_with(&SMALL.replace("epochs = 3", "epochs = 8"));
    let mut run = runner(folder.path(), "c", &["run", "p.toml", "--quiet"]).spawn().unwrap();
    while files(&folder.path().join("c"), "partial").is_empty() {
        assert!(run.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let refused = runner(folder.path(), "c", &["cache", "gc", "--all", "--no-wait"]).output().unwrap();
    let said = flat(&text(&refused).1);
    assert!(said.contains(&format!("in use by process {}", run.id())), "{said}");
    let gc = succeeds(folder.path(), "c", &["cache", "gc"]);
    assert!(gc.contains("waiting for process"), "{gc}");
    assert!(run.try_wait().unwrap().is_some_and(|status| status.success()), "gc came through before its end");
    assert!(succeeds(folder.path(), "c", &["run", "p.toml"]).contains("0 ran, 6 from the cache"));
}

#[test]
fn after_all_was_collected_a_run_gives_the_same_bytes() {
    let folder = quick();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let before = objects(folder.path(), "c");
    succeeds(folder.path(), "c", &["cache", "gc"]);
    assert_eq!(objects(folder.path(), "c"), before, "the last run's results are kept");
    let kept = succeeds(folder.path(), "c", &["cache", "gc", "--keep", "p.toml"]);
    assert!(kept.contains("6 results of the pipelines to keep"), "{kept}");
    assert!(succeeds(folder.path(), "c", &["run", "p.toml"]).contains("0 ran, 6 from the cache"));
    succeeds(folder.path(), "c", &["cache", "gc", "--all"]);
    assert!(objects(folder.path(), "c").is_empty());
    let stray: Vec<PathBuf> = ["records", "partial", "logs", "runs", "tmp"]
        .into_iter()
        .flat_map(|room| files(&folder.path().join("c"), room))
        .collect();
    assert!(stray.is_empty(), "{stray:?}");
    let plan = succeeds(folder.path(), "c", &["plan", "p.toml"]);
    assert!(plan.contains("result no longer in the cache"), "{plan}");
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    assert_eq!(objects(folder.path(), "c"), before);
}

#[test]
fn pins_are_set_and_taken_back_by_pipeline_name_and_hash() {
    let folder = quick();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "prune"]);
    let said = |arguments: &[&str]| succeeds(folder.path(), "c", &[&["cache"], arguments].concat());
    assert!(said(&["pin", "p.toml", "prune"]).contains("pinned 1 result"));
    assert!(said(&["ls", "--pinned"]).starts_with("4 results"));
    said(&["pin", "p.toml", "init"]);
    assert!(said(&["unpin", "p.toml", "prune"]).contains("unpinned 1 result"));
    assert!(said(&["ls", "--pinned"]).starts_with("1 result"));
    let object = objects(folder.path(), "c").remove(0);
    said(&["pin", &object[..10]]);
    assert!(said(&["pin", "small", "init"]).contains("init of small"));
    assert!(said(&["unpin", "--all"]).starts_with("unpinned"));
    assert!(said(&["ls", "--pinned"]).starts_with("0 results"));
    for (arguments, word) in [
        (&["pin", "p.toml"][..], "the result of `retrain` is not in the cache"),
        (&["pin", "smal"], "did you mean `small`"),
        (&["unpin", "small"], "small is not pinned"),
        (&["pin", "ffffffff"], "nothing in the cache c has the name or hash `ffffffff`"),
    ] {
        let output = runner(folder.path(), "c", &[&["cache"], arguments].concat()).output().unwrap();
        let error = flat(&text(&output).1);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {:?}", text(&output));
        assert!(error.contains(word), "{error}");
    }
}
