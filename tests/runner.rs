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
    assert_eq!(plan.matches("  gate-train ").count(), 1, "{plan}");
    assert!(plan.contains("(shared by all 3 points)"), "{plan}");
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
