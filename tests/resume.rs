//! A run that was stopped in any way ends with the bytes of one that was not.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

mod binary;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use binary::{
    SMALL, files, folder, folder_with, kills, random, records, results, runner, strays, succeeds, text,
};
use rand::Rng;
use serde_json::Value;

fn start(folder: &Path, cache: &str) -> Child {
    let mut run = runner(folder, cache, &["run", "p.toml"]);
    run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(run: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &run.id().to_string()]).status().unwrap().success());
}

#[test]
fn killed_at_any_moment_a_run_ends_with_the_same_results() {
    let folder = folder();
    let clock = Instant::now();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    let length = clock.elapsed();
    let whole = results(folder.path(), "whole");
    assert_eq!(whole.1.len(), 6);
    let (mut random, kills, mut killed) = (random(), kills(5), 0);
    for part in 0..kills {
        // One moment in each part of the run, so that every stage has its turn.
        let share = (f64::from(part) + random.random_range(0.0..1.0)) / f64::from(kills);
        let pause = length.mul_f64(share);
        let cache = format!("killed {part}");
        let mut run = start(folder.path(), &cache);
        std::thread::sleep(pause);
        // SIGKILL: nothing of ours runs after it.
        run.kill().unwrap();
        killed += u32::from(!run.wait().unwrap().success());
        succeeds(folder.path(), &cache, &["run", "p.toml", "--quiet"]);
        assert!(results(folder.path(), &cache) == whole, "killed after {pause:?} of {length:?}");
        succeeds(folder.path(), &cache, &["cache", "verify"]);
        // Killed between the record and the removal of its state, a run leaves that state: it is in nobody's way.
        succeeds(folder.path(), &cache, &["cache", "gc"]);
        assert!(results(folder.path(), &cache) == whole, "collected after {pause:?} of {length:?}");
        assert_eq!(strays(&folder.path().join(&cache)), [""; 0], "after {pause:?} of {length:?}");
        fs::remove_dir_all(folder.path().join(cache)).unwrap();
    }
    assert!(killed > 0, "every run ended before it could be killed");
}

#[test]
fn killed_again_and_again_a_run_ends_with_the_same_results() {
    let folder = folder();
    let clock = Instant::now();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    let length = clock.elapsed();
    let mut random = random();
    let mut killed = 0;
    while killed < kills(5) {
        let mut run = start(folder.path(), "killed");
        std::thread::sleep(length.mul_f64(random.random_range(0.05..0.4)));
        run.kill().unwrap();
        if run.wait().unwrap().success() {
            break;
        }
        killed += 1;
    }
    assert!(killed > 1, "it ended too soon");
    succeeds(folder.path(), "killed", &["run", "p.toml", "--quiet"]);
    assert!(results(folder.path(), "killed") == results(folder.path(), "whole"), "after {killed} kills");
    succeeds(folder.path(), "killed", &["cache", "verify"]);
    succeeds(folder.path(), "killed", &["cache", "gc"]);
    assert_eq!(strays(&folder.path().join("killed")), [""; 0], "after {killed} kills");
    assert!(
        results(folder.path(), "killed") == results(folder.path(), "whole"),
        "after {killed} kills and gc"
    );
}

/// A run whose gate-training takes as long as it likes.
fn endless() -> tempfile::TempDir {
    folder_with(&SMALL.replace("epochs = 3", "epochs = 3000"))
}

fn wait_for_state(folder: &Path, cache: &str) {
    let started = Instant::now();
    while files(&folder.join(cache), "partial").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "no state was saved");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ctrl_c_and_termination_save_the_state_and_say_how_to_go_on() {
    let folder = endless();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let run = start(folder.path(), name);
        wait_for_state(folder.path(), name);
        signal(&run, name);
        let output = run.wait_with_output().unwrap();
        let said = text(&output).1;
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("to go on: runner run p.toml"), "{said}");
        assert!(said.contains("in gate-train, whose state is saved"), "{said}");
        let plan = succeeds(folder.path(), name, &["plan", "p.toml"]);
        assert!(plan.contains("goes on from a saved state"), "{plan}");
    }
}

#[test]
fn an_interrupted_run_says_where_it_goes_on_and_its_record_counts_all_of_its_time() {
    let folder = folder_with(&SMALL.replace("epochs = 3", "epochs = 20"));
    let until = ["run", "p.toml", "--quiet", "--until", "gate-train"];
    succeeds(folder.path(), "whole", &until);
    let run = start(folder.path(), "c");
    wait_for_state(folder.path(), "c");
    std::thread::sleep(Duration::from_millis(200));
    signal(&run, "INT");
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(130));
    let json = succeeds(folder.path(), "c", &["run", "p.toml", "--json", "--until", "gate-train"]);
    let events: Vec<Value> = json.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let resumed = events.iter().find(|event| event["event"] == "stage-resumed").unwrap();
    assert!(resumed["step"].as_u64().unwrap() > 0, "{resumed}");
    assert!(resumed["epoch"].as_u64().unwrap() > 0, "{resumed}");
    let finished = events.iter().find(|event| event["event"] == "stage-finished").unwrap();
    let provenance = &records(folder.path(), "c")["gate-train"]["provenance"];
    assert_eq!(provenance["sessions"], 2);
    let (all, last) = (provenance["seconds"].as_f64().unwrap(), finished["seconds"].as_f64().unwrap());
    assert!(all > last + 0.1, "{all} in all, {last} in the last run");
    assert!(provenance["started"].as_str() < resumed["time"].as_str());
    assert_eq!(results(folder.path(), "c"), results(folder.path(), "whole"));
    assert_eq!(records(folder.path(), "whole")["gate-train"]["provenance"]["sessions"], 1);
}

#[test]
fn a_second_ctrl_c_leaves_at_once_even_in_the_middle_of_a_long_step() {
    // One step of this takes many seconds.
    let slow = SMALL
        .replace("vgg11", "vgg19")
        .replace("width = 4", "width = 64")
        .replace("batch_size = 32", "batch_size = 320");
    let folder = folder_with(&slow);
    let run = start(folder.path(), "c");
    let log = folder.path().join("c");
    let started = Instant::now();
    while files(&log, "logs").len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(60), "gate-train does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    let clock = Instant::now();
    signal(&run, "INT");
    std::thread::sleep(Duration::from_millis(100));
    signal(&run, "INT");
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(clock.elapsed() < Duration::from_secs(2), "it took {:?}", clock.elapsed());
    assert!(!text(&output).1.contains("goes on from there"), "{}", text(&output).1);
}
