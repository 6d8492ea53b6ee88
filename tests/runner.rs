//! The binary as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use binary::{SMALL, folder, objects, runner, text};

#[test]
fn a_second_run_is_all_cached_and_a_plan_says_why_something_would_run() {
    let folder = folder();
    let first = runner(folder.path(), "c", &["run", "p.toml"]).output().unwrap();
    assert!(first.status.success(), "{}", text(&first).1);
    assert!(text(&first).0.contains("channels kept"), "{}", text(&first).0);
    let second = runner(folder.path(), "c", &["run", "p.toml"]).output().unwrap();
    assert!(text(&second).1.contains("0 ran, 6 from the cache"), "{}", text(&second).1);
    let plan =
        runner(folder.path(), "c", &["plan", "p.toml", "--set", "gate-train.epochs=5"]).output().unwrap();
    let plan = text(&plan).0;
    assert!(plan.contains("epochs changed 3 -> 5"), "{plan}");
    assert!(plan.contains("input gate-train will run"), "{plan}");
}

#[test]
fn a_default_written_out_or_another_name_changes_nothing() {
    let folder = folder();
    let first = runner(folder.path(), "c", &["run", "p.toml", "--quiet"]).output().unwrap();
    assert!(first.status.success(), "{}", text(&first).1);
    let other = SMALL
        .replace("name = \"small\"", "name = \"other\" # a comment\nseed = 0")
        .replace("kind = \"init\"", "name = \"start\"\nkind = \"init\"\nexpansion = 1.0")
        .replace("\"init\"\nepochs", "\"start\"\nbalance = 0.5\nepochs");
    std::fs::write(folder.path().join("q.toml"), other).unwrap();
    let plan = runner(folder.path(), "c", &["plan", "q.toml"]).output().unwrap();
    assert!(text(&plan).0.contains("nothing to run, 6 of 6"), "{:?}", text(&plan));
}

#[test]
fn three_ratios_share_one_gate_training() {
    let folder = folder();
    let over = "threshold-search.flops_ratio=0.3,0.5,0.7";
    let plan = runner(folder.path(), "c", &["plan", "p.toml", "--over", over]).output().unwrap();
    let plan = text(&plan).0;
    assert!(plan.contains("3 points, 18 stage uses, 14 to run, 4 shared"), "{plan}");
    assert!(plan.contains("  gate-train, once: never run  (shared by all 3 points)"), "{plan}");
    assert!(plan.contains("  retrain, 3 times: never run"), "{plan}");
    assert!(plan.contains("time: unknown"), "{plan}");
    let first = ["run", "p.toml", "--quiet", "--until", "threshold-search"];
    assert!(runner(folder.path(), "c", &first).status().unwrap().success());
    let plan = runner(folder.path(), "c", &["plan", "p.toml", "--over", over]).output().unwrap();
    let plan = text(&plan).0;
    // init, gate-train and the search at 0.5 are there; the numbers add up to all stage uses.
    assert!(plan.contains("3 points, 18 stage uses, 11 to run, 3 in the cache, 4 shared"), "{plan}");
}

#[test]
fn results_are_the_same_bytes_with_any_number_of_threads() {
    let folder = folder();
    for threads in ["1", "2", "3"] {
        let run = runner(folder.path(), threads, &["run", "p.toml", "--quiet", "--threads", threads]);
        assert!({ run }.status().unwrap().success());
    }
    assert_eq!(objects(folder.path(), "1"), objects(folder.path(), "2"));
    assert_eq!(objects(folder.path(), "1"), objects(folder.path(), "3"));
}

#[test]
fn ten_mistakes_are_ten_errors_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = include_str!("fixtures/ten_mistakes.toml");
    std::fs::write(folder.path().join("p.toml"), wrong).unwrap();
    let output = runner(folder.path(), "c", &["plan", "p.toml"]).output().unwrap();
    let error = text(&output).1;
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(error);
}

#[test]
fn a_missing_data_set_says_what_to_do() {
    let folder = folder();
    let set = ["run", "p.toml", "--set", "data.set=cifar10"];
    let output = runner(folder.path(), "c", &set).output().unwrap();
    let error = text(&output).1.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(error.contains("the data set cifar10 is not here"), "{error}");
    assert!(error.contains("RUNNER_DATA"), "{error}");
}

#[test]
fn a_plan_of_a_sweep_groups_reasons_estimates_the_time_and_fails_where_something_is_stale() {
    let folder = binary::quick();
    let over = "threshold-search.flops_ratio=0.3,0.5,0.7";
    let check = |more: &[&str]| {
        let all = [&["plan", "p.toml", "--check"], more].concat();
        let output = runner(folder.path(), "c", &all).output().unwrap();
        (output.status.code(), text(&output).0, text(&output).1)
    };
    let (code, _, error) = check(&[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("stale: 6 of 6 stages would run"), "{error}");
    let all = ["run", "p.toml", "--quiet", "--over", over];
    assert!(runner(folder.path(), "c", &all).status().unwrap().success());
    let (code, plan, error) = check(&["--over", over]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{plan}");
    let (code, plan, _) = check(&["--over", over, "--set", "retrain.epochs=2"]);
    assert_eq!(code, Some(1));
    assert!(plan.contains("  retrain, 3 times: epochs changed 1 -> 2\n"), "{plan}");
    assert!(plan.contains("  eval, 3 times: input retrain will run\n"), "{plan}");
    let words = binary::flat(&plan);
    assert!(words.contains("in the cache: init, gate-train, threshold-search (3), prune (3)"), "{plan}");
    assert!(words.contains("time: ") && words.contains("scaled by images and FLOPs"), "{plan}");
    assert!(plan.lines().all(|line| line.len() <= 80), "{plan}");
    // Twice the epochs: about twice the time of one of them.
    let json = runner(folder.path(), "c", &["plan", "p.toml", "--set", "retrain.epochs=2", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&{ json }.output().unwrap().stdout).unwrap();
    let stage =
        |name: &str| json["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap();
    let estimate = &stage("retrain")["estimate"];
    let took = binary::records(folder.path(), "c")["retrain"]["provenance"]["seconds"].as_f64().unwrap();
    let (low, high) = (estimate["low"].as_f64().unwrap(), estimate["high"].as_f64().unwrap());
    assert!(low < 2.0 * took * 3.0 && high > 2.0 * took / 3.0, "{estimate} for twice {took}");
    assert!(json["time"]["estimate"]["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(json["time"]["unknown"], serde_json::json!([]));
    assert_eq!(stage("init")["estimate"], serde_json::Value::Null);
}

#[cfg(unix)]
#[test]
fn a_run_with_other_parameters_says_that_an_interrupted_one_left_a_state() {
    let folder = folder();
    let set = ["--set", "retrain.epochs=100000", "--set", "gate-train.steps=2"];
    let all = [&["run", "p.toml", "--json", "--set", "retrain.optimizer.lr=0.05"], &set[..]].concat();
    let mut run = runner(folder.path(), "c", &all).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(run.stdout.take().unwrap()));
    let mut is_asked = false;
    for line in lines {
        let line = line.unwrap();
        if !is_asked && line.contains("checkpoint-saved") && line.contains("\"retrain\"") {
            is_asked = true;
            std::process::Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
        }
    }
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let plan = |lr: &str| {
        let lr = format!("retrain.optimizer.lr={lr}");
        let all = [&["plan", "p.toml", "--set", &lr], &set[..]].concat();
        binary::flat(&text(&runner(folder.path(), "c", &all).output().unwrap()).0)
    };
    let same = plan("0.05");
    assert!(same.contains("never run; goes on from a saved state"), "{same}");
    let other = plan("0.1");
    let words = "retrain run a saved state with optimizer.lr = 0.05 exists; this run starts anew";
    assert!(other.contains(words), "{other}");
    // Of a sweep that has the interrupted point, that point goes on, and it is no news for the others.
    let over = ["plan", "p.toml", "--over", "retrain.optimizer.lr=0.05,0.1"];
    let all = [&over[..], &set].concat();
    let sweep = text(&runner(folder.path(), "c", &all).output().unwrap()).0;
    assert!(!sweep.contains("saved state with"), "{sweep}");
    assert!(sweep.contains("goes on from a saved state"), "{sweep}");
}
