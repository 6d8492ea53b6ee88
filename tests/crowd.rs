//! Many runners and collections on one cache, killed while they work, hold a lock, wait and collect.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

mod binary;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use binary::{
    SMALL, files, folder_with, kills, objects, quick, random, results, runner, stdout, strays, succeeds, text,
};
use rand::Rng;
use runner::fingerprint::Fingerprint;
use runner::store::{OutputEntry, Provenance, Record, Store};
use serde_json::{Value, json};

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut run = runner(folder, "c", &[&["run", "p.toml", "--threads", "1"], arguments].concat());
    run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How often each piece of work was finished, over all of these runs, which all succeed.
fn finished(runs: Vec<Child>) -> BTreeMap<String, usize> {
    let mut finished = BTreeMap::new();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output).1);
        for line in text(&output).0.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            if event["event"] == "stage-finished" {
                *finished.entry(event["fingerprint"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    finished
}

#[test]
fn sixteen_runners_started_at_once_run_each_stage_once_over_all_of_them() {
    let folder = quick();
    let finished = finished((0..16).map(|_| start(folder.path(), &["--json"])).collect());
    assert_eq!(finished.len(), 6);
    assert!(finished.values().all(|times| *times == 1), "{finished:?}");
    succeeds(folder.path(), "c", &["cache", "verify"]);
    succeeds(folder.path(), "c", &["cache", "gc"]);
    assert_eq!(strays(&folder.path().join("c")), [""; 0]);
}

#[test]
fn sweeps_started_at_once_share_their_points() {
    let folder = quick();
    // Each has a point of its own and some that others have; all take two at a time.
    let overs = ["seed=1,2", "seed=2,3", "seed=1,2,3", "seed=3,1"];
    let start = |over: &&str| start(folder.path(), &["--json", "--jobs", "2", "--over", over]);
    let finished = finished(overs.iter().map(start).collect());
    assert!(finished.values().all(|times| *times == 1), "{finished:?}");
    let plan = stdout(folder.path(), "c", &["plan", "p.toml", "--over", "seed=1..3"]);
    assert!(plan.contains("0 to run"), "{plan}");
    succeeds(folder.path(), "c", &["cache", "verify"]);
}

/// The processes that hold the lock of a stage at this moment, as far as they have said so.
fn holders(cache: &Path) -> Vec<u32> {
    let notes = files(cache, "locks").into_iter().filter_map(|path| fs::read_to_string(path).ok());
    notes.filter_map(|note| note.strip_prefix("process ")?.split(' ').next()?.parse().ok()).collect()
}

#[test]
fn runners_killed_while_they_hold_a_lock_or_wait_for_one_leave_the_work_to_the_others() {
    let folder = folder_with(&SMALL.replace("epochs = 4", "epochs = 2"));
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    let cache = folder.path().join("c");
    let mut random = random();
    let mut runs: Vec<Child> = (0..4).map(|_| start(folder.path(), &["--quiet"])).collect();
    let (mut holding, mut waiting, clock) = (0, 0, Instant::now());
    while holding + waiting < kills(6) && clock.elapsed() < Duration::from_secs(600) {
        std::thread::sleep(Duration::from_millis(random.random_range(0..60)));
        let held = holders(&cache);
        // In turn one that holds a lock and one that does not.
        let wants_holder = holding <= waiting;
        let fits =
            |run: &mut Child| held.contains(&run.id()) == wants_holder && run.try_wait().unwrap().is_none();
        if let Some(at) = (0..runs.len()).find(|at| fits(&mut runs[*at])) {
            runs[at].kill().unwrap();
            runs[at].wait().unwrap();
            *(if wants_holder { &mut holding } else { &mut waiting }) += 1;
            runs[at] = start(folder.path(), &["--quiet"]);
        } else if runs.iter_mut().all(|run| run.try_wait().unwrap().is_some()) {
            // All is done: they begin anew.
            fs::remove_dir_all(&cache).unwrap();
            runs = (0..4).map(|_| start(folder.path(), &["--quiet"])).collect();
        }
    }
    assert!(holding > 1 && waiting > 1, "{holding} that held, {waiting} that waited");
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output).1);
    }
    assert!(results(folder.path(), "c") == results(folder.path(), "whole"));
    succeeds(folder.path(), "c", &["cache", "verify"]);
    succeeds(folder.path(), "c", &["cache", "gc"]);
    assert_eq!(strays(&cache), [""; 0]);
}

/// Puts results into a cache that nobody asked to keep, so that a collection takes its time.
fn rubbish(cache: &Path, round: u32) {
    let store = Store::open(cache).unwrap();
    for number in 0..60u32 {
        let content = format!("{round} {number}");
        let bytes = content.len() as u64;
        let object = store.put(content.as_bytes()).unwrap();
        let entry = OutputEntry { object, bytes, artifact: "network".into() };
        let work = Fingerprint::from_bytes(*blake3::hash(content.as_bytes()).as_bytes());
        let outputs = BTreeMap::from([("network".to_owned(), entry)]);
        store.commit(&Record::new(work, "prune", 1, outputs, json!({}), Provenance::default())).unwrap();
        store.append_log(&work, "{}").unwrap();
    }
}

#[test]
fn collections_killed_at_any_moment_beside_runners_leave_a_valid_cache() {
    let folder = quick();
    let cache = folder.path().join("c");
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    let mut random = random();
    let gc = |arguments: &[&str]| {
        let mut gc = runner(folder.path(), "c", &[&["cache", "gc"], arguments].concat());
        gc.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut killed = 0;
    for round in 0..kills(5) {
        rubbish(&cache, round);
        // It takes everything, also what the run beside it has just made.
        let mut gc = gc(&["--all"]);
        let run = start(folder.path(), &["--quiet"]);
        std::thread::sleep(Duration::from_millis(random.random_range(0..60)));
        gc.kill().unwrap();
        killed += u32::from(!gc.wait().unwrap().success());
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output).1);
        succeeds(folder.path(), "c", &["cache", "verify"]);
        succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
        assert!(succeeds(folder.path(), "c", &["run", "p.toml"]).contains("0 ran, 6 from the cache"));
    }
    assert!(killed > 0, "every collection ended before it could be killed");
    succeeds(folder.path(), "c", &["cache", "gc", "--runs", "1"]);
    assert_eq!(objects(folder.path(), "c"), objects(folder.path(), "whole"));
    assert_eq!(strays(&cache), [""; 0]);
}

#[test]
fn a_runner_that_waits_for_a_collection_goes_on_when_that_is_killed_and_may_be_killed_itself() {
    let folder = quick();
    let store = Store::open(&folder.path().join("c")).unwrap();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "init"]);
    for _ in 0..kills(3) {
        // A collection of another process that holds the cache alone: as long as the runner that it waits for is stopped.
        let visit = store.visit(&mut || {}).unwrap();
        let mut gc = runner(folder.path(), "c", &["cache", "gc"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(30));
        gc.kill().unwrap();
        gc.wait().unwrap();
        drop(visit);
        // It waited, died, and holds nothing.
        let alone = store.alone(&mut |_| panic!("somebody is here")).unwrap().unwrap();
        let mut waits = start(folder.path(), &["--quiet"]);
        std::thread::sleep(Duration::from_millis(100));
        assert!(waits.try_wait().unwrap().is_none(), "it did not wait");
        waits.kill().unwrap();
        waits.wait().unwrap();
        drop(alone);
        store.alone(&mut |_| panic!("the dead runner is still here")).unwrap().unwrap();
    }
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    succeeds(folder.path(), "c", &["cache", "verify"]);
}

#[test]
fn a_run_that_waits_for_a_process_which_holds_the_writers_lock_says_so_and_ends_by_ctrl_c() {
    let folder = quick();
    let store = Store::open(&folder.path().join("c")).unwrap();
    store.put(b"anything").unwrap();
    // All that it takes is that the file can be read.
    let held = std::fs::File::open(folder.path().join("c/locks/writing")).unwrap();
    held.lock().unwrap();
    let mut run = runner(folder.path(), "c", &["run", "p.toml"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(run.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("another process holds c/locks/writing")));
    assert!(
        std::process::Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success()
    );
    let clock = std::time::Instant::now();
    lines.for_each(drop);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(clock.elapsed() < Duration::from_secs(10), "{:?}", clock.elapsed());
    drop(held);
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
}
