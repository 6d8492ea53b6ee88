//! What a user meets when the cache is damaged, shared, read-only or full.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use binary::{
    SMALL, files, flat, flip, folder, folder_with, object, objects, records, runner, succeeds, text,
};
use jiff::Timestamp;
use runner::fingerprint::Fingerprint;
use runner::store::{History, Lookup, Store};
use serde_json::Value;

/// Names and contents of everything in a cache.
fn everything(cache: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    files(cache, "").into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_damaged_input_is_made_again_in_the_same_run_and_all_below_stays_fresh() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let before = objects(folder.path(), "c");
    flip(&object(folder.path(), "c", "init", "network"));
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--force", "gate-train"]);
    assert!(flat(&said).contains("is damaged; it was moved to"), "{said}");
    assert!(said.contains("init runs again"), "{said}");
    assert!(said.contains("2 ran, 4 from the cache"), "{said}");
    assert_eq!(objects(folder.path(), "c"), before);
    assert_eq!(files(&folder.path().join("c"), "quarantine").len(), 1);
}

#[test]
fn damage_of_damaged_inputs_is_mended_up_the_whole_chain() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let before = objects(folder.path(), "c");
    // Pruning reads two objects; what made one of them reads the other.
    fs::remove_file(object(folder.path(), "c", "gate-train", "network")).unwrap();
    flip(&object(folder.path(), "c", "init", "network"));
    flip(&object(folder.path(), "c", "prune", "network"));
    flip(&object(folder.path(), "c", "threshold-search", "channels"));
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--force", "retrain"]);
    assert!(said.contains("5 ran, 1 from the cache"), "{said}");
    assert_eq!(objects(folder.path(), "c"), before);
}

#[test]
fn a_damaged_record_is_named_by_the_plan_and_its_stage_runs_again() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "threshold-search"]);
    let before = objects(folder.path(), "c");
    let record = files(&folder.path().join("c"), "records")
        .into_iter()
        .find(|path| fs::read_to_string(path).unwrap().contains("\"kind\": \"gate-train\""))
        .unwrap();
    flip(&record);
    let untouched = everything(&folder.path().join("c"));
    let plan = succeeds(folder.path(), "c", &["plan", "p.toml"]);
    assert!(plan.contains("record damaged"), "{plan}");
    assert!(everything(&folder.path().join("c")) == untouched, "the plan has changed the cache");
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--until", "threshold-search"]);
    assert!(flat(&said).contains("the record of gate-train is damaged and was moved to"), "{said}");
    assert!(said.contains("1 ran, 2 from the cache"), "{said}");
    assert_eq!(objects(folder.path(), "c"), before);
}

#[test]
fn a_record_of_a_newer_runner_is_refused_and_stays() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "init"]);
    let record = files(&folder.path().join("c"), "records").remove(0);
    fs::write(&record, "{\n  \"format\": 99,\n  \"new\": true\n}").unwrap();
    for command in ["plan", "run"] {
        let output = runner(folder.path(), "c", &[command, "p.toml"]).output().unwrap();
        let error = flat(&text(&output).1);
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains("has format 99"), "{error}");
        assert!(error.contains("newer runner"), "{error}");
    }
    assert!(fs::read_to_string(&record).unwrap().contains("99"));
}

#[test]
fn a_plan_makes_no_cache_and_a_file_is_none() {
    let folder = folder();
    succeeds(folder.path(), "c", &["plan", "p.toml"]);
    assert!(!folder.path().join("c").exists());
    for command in ["plan", "run"] {
        let output = runner(folder.path(), "p.toml", &[command, "p.toml"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(flat(&text(&output).1).contains("the cache p.toml is not a folder"), "{:?}", text(&output));
    }
}

#[test]
fn a_cache_on_a_path_with_spaces_and_other_alphabets_works() {
    let folder = folder();
    let cache = "мой кэш/緩存 ü";
    succeeds(folder.path(), cache, &["run", "p.toml", "--quiet", "--until", "gate-train"]);
    let said = succeeds(folder.path(), cache, &["run", "p.toml", "--until", "gate-train"]);
    assert!(said.contains("0 ran, 2 from the cache"), "{said}");
}

#[test]
fn where_and_with_how_many_threads_it_ran_is_recorded_and_makes_nothing_stale() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "prune", "--threads", "1"]);
    let provenance = &records(folder.path(), "c")["prune"]["provenance"];
    assert_eq!(provenance["threads"], 1);
    assert_eq!(provenance["runner_commit"].as_str(), option_env!("RUNNER_COMMIT"));
    let said = succeeds(
        folder.path(),
        "c",
        &["run", "p.toml", "--until", "prune", "--threads", "2", "--device", "cpu"],
    );
    assert!(said.contains("0 ran, 4 from the cache"), "{said}");
}

/// The command as a user who may read the folder and not write it.
#[cfg(unix)]
fn as_reader(folder: &Path, arguments: &[&str]) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = runner(folder, "c", arguments);
    // The superuser may write whatever the modes say: then it is done as nobody.
    if fs::metadata(folder).is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0) {
        command.uid(65534).gid(65534);
    }
    command
}

#[cfg(unix)]
#[test]
fn a_read_only_cache_gives_its_results_and_one_clear_error_when_there_is_work() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "gate-train"]);
    // Another file: what its stages last were is not remembered yet, and cannot be.
    fs::write(folder.path().join("q.toml"), SMALL).unwrap();
    let set_mode = |mode: u32| {
        let all = walkdir::WalkDir::new(folder.path()).into_iter().flatten();
        for entry in all.filter(|entry| entry.file_type().is_dir()) {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set_mode(0o555);
    for pipeline in ["p.toml", "q.toml"] {
        let plan = as_reader(folder.path(), &["plan", pipeline]).output().unwrap();
        assert!(plan.status.success(), "{:?}", text(&plan));
        let cached = as_reader(folder.path(), &["run", pipeline, "--until", "gate-train"]).output().unwrap();
        assert!(cached.status.success(), "{:?}", text(&cached));
        assert!(!text(&cached).1.contains("warning"), "{:?}", text(&cached));
        let work = as_reader(folder.path(), &["run", pipeline]).output().unwrap();
        let error = flat(&text(&work).1);
        assert_eq!(work.status.code(), Some(1));
        assert!(error.contains("the cache c cannot be written, and there is something to run"), "{error}");
        assert_eq!(error.matches('×').count(), 1, "{error}");
    }
    set_mode(0o755);
}

/// A disk on which no file can be larger than so many blocks stands for a full one: it also stops in
/// the middle of a file.
#[cfg(unix)]
#[test]
fn a_full_disk_is_a_clear_error_and_the_run_goes_on_when_there_is_room() {
    let folder = folder();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    // Blocks of 512 bytes: the first network has room only in the last of these, and the first state in none.
    let first = object(folder.path(), "whole", "init", "network").metadata().unwrap().len();
    let just_enough = first / 512 + 4;
    for blocks in [0, 20, 150, just_enough] {
        let binary = assert_cmd::cargo::cargo_bin!("runner");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run p.toml --cache full");
        let full = Command::new("sh")
            .current_dir(folder.path())
            .args(["-c", &script])
            .arg(binary)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let error = flat(&text(&full).1);
        assert_eq!(full.status.code(), Some(1), "{blocks}: {error}");
        assert!(error.contains("File too large"), "{blocks}: {error}");
        assert!(error.contains("its disk has room"), "{blocks}: {error}");
        assert!(files(&folder.path().join("full"), "tmp").is_empty());
        let plan = succeeds(folder.path(), "full", &["plan", "p.toml"]);
        assert_eq!(plan.contains("1 in the cache"), blocks == just_enough, "{blocks}: {plan}");
    }
    succeeds(folder.path(), "full", &["run", "p.toml", "--quiet"]);
    assert_eq!(objects(folder.path(), "full"), objects(folder.path(), "whole"));
}

#[test]
fn runners_started_at_once_run_each_stage_once() {
    let folder = folder();
    let start = || runner(folder.path(), "c", &["run", "p.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    let runners: Vec<_> = (0..4).map(|_| start()).collect();
    let said: Vec<String> = runners
        .into_iter()
        .map(|runner| {
            let output = runner.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output).1);
            text(&output).1
        })
        .collect();
    for stage in ["init", "gate-train", "threshold-search", "prune", "retrain", "eval"] {
        let ran = said.iter().filter(|said| said.contains(&format!("  {stage} done in"))).count();
        assert_eq!(ran, 1, "{stage}: {said:#?}");
    }
    let waited = said.iter().filter(|said| said.contains("waits for process")).count();
    assert!(waited > 0, "{said:#?}");
}

#[test]
fn who_waits_takes_over_when_the_runner_it_waits_for_is_killed() {
    let folder = folder_with(&SMALL.replace("epochs = 3", "epochs = 12"));
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet", "--until", "gate-train"]);
    let start = || {
        runner(folder.path(), "c", &["run", "p.toml", "--until", "gate-train"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut first = start();
    let partial = folder.path().join("c/partial");
    wait_until(|| fs::read_dir(&partial).is_ok_and(|mut states| states.next().is_some()));
    let second = start();
    std::thread::sleep(Duration::from_millis(300));
    first.kill().unwrap();
    first.wait().unwrap();
    let output = second.wait_with_output().unwrap();
    let said = text(&output).1;
    assert!(output.status.success(), "{said}");
    assert!(said.contains("gate-train waits for process"), "{said}");
    assert!(said.contains("gate-train goes on from epoch"), "{said}");
    assert_eq!(objects(folder.path(), "c"), objects(folder.path(), "whole"));
}

/// The fingerprint of a stage whose inputs are in the cache.
fn fingerprint_of(folder: &Path, stage: &str) -> Fingerprint {
    let plan = runner(folder, "c", &["plan", "p.toml", "--json"]).output().unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let stages = plan["stages"].as_array().unwrap();
    let found = stages.iter().find(|found| found["stage"] == stage).unwrap();
    found["fingerprint"].as_str().unwrap().parse().unwrap()
}

#[test]
fn what_is_forced_is_taken_from_another_runner_only_if_that_made_it_meanwhile() {
    let folder = folder();
    let until = ["run", "p.toml", "--until", "gate-train"];
    succeeds(folder.path(), "c", &until);
    let work = fingerprint_of(folder.path(), "gate-train");
    let store = Store::open(&folder.path().join("c")).unwrap();
    for makes_it in [true, false] {
        let lock = store.lock(&work, &mut |_| panic!("nobody else is here")).unwrap();
        let forced = [&until[..], &["--force", "gate-train", "--json"]].concat();
        let mut run = runner(folder.path(), "c", &forced).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.find(|line| line.contains("stage-waiting")).unwrap();
        if makes_it {
            let Lookup::Present(mut record) = store.lookup(&work).unwrap() else { panic!("no record") };
            record.provenance.finished = Timestamp::now();
            store.commit(&record).unwrap();
        }
        drop(lock);
        let ran = lines.filter(|line| line.contains("stage-started")).count();
        assert!(run.wait().unwrap().success());
        assert_eq!(ran, usize::from(!makes_it));
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_state_that_no_stage_can_go_on_from_is_moved_aside_and_the_stage_begins_anew() {
    let folder = folder();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet", "--until", "gate-train"]);
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "init"]);
    let fingerprint = fingerprint_of(folder.path(), "gate-train");
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 1.0, sessions: 1, of: None };
    let store = Store::open(&folder.path().join("c")).unwrap();
    // Whole, but not a state of training; and not even what a state looks like.
    store.save_partial(&fingerprint, &history, b"no state").unwrap();
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--until", "gate-train"]);
    assert!(flat(&said).contains("the stage begins anew"), "{said}");
    fs::write(folder.path().join("c/partial").join(fingerprint.to_string()), b"of an older runner").unwrap();
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--until", "gate-train", "--force", "init"]);
    assert!(!said.contains("begins anew"), "a state of a finished stage was looked at: {said}");
    fs::remove_dir_all(folder.path().join("c/records")).unwrap();
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--until", "gate-train"]);
    assert!(flat(&said).contains("the stage begins anew"), "{said}");
    assert_eq!(files(&folder.path().join("c"), "quarantine").len(), 2);
    assert_eq!(objects(folder.path(), "c"), objects(folder.path(), "whole"));
    assert_eq!(records(folder.path(), "c")["gate-train"]["provenance"]["sessions"], 1);
}

#[test]
fn forcing_runs_a_stage_each_time_and_an_equal_result_leaves_the_rest_fresh() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    for _ in 0..2 {
        let said = succeeds(folder.path(), "c", &["run", "p.toml", "--force", "init"]);
        assert!(said.contains("1 ran, 5 from the cache"), "{said}");
    }
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--force", "init", "--force", "prune"]);
    assert!(said.contains("2 ran, 4 from the cache"), "{said}");
}

#[test]
fn only_one_stage_runs_if_what_it_needs_is_there() {
    let folder = folder();
    let alone = runner(folder.path(), "c", &["run", "p.toml", "--only", "gate-train"]).output().unwrap();
    let error = flat(&text(&alone).1);
    assert_eq!(alone.status.code(), Some(1));
    assert!(error.contains("`gate-train` needs the result of `init`, which is not in the cache"), "{error}");
    assert!(error.contains("--until gate-train"), "{error}");
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--until", "init"]);
    assert!(said.contains("1 ran, 0 from the cache"), "{said}");
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--only", "gate-train"]);
    assert!(said.contains("1 ran, 1 from the cache"), "{said}");
    assert_eq!(records(folder.path(), "c").len(), 2);
    let said = succeeds(folder.path(), "c", &["run", "p.toml", "--until", "threshold-search"]);
    assert!(said.contains("1 ran, 2 from the cache"), "{said}");
}
