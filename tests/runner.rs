//! The binary as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A pipeline of all six stages that takes a few seconds.
const SMALL: &str = r#"
name = "small"
[data]
set = "fashion-mnist-mini"
limit_train = 400
limit_test = 100
validation = 0.2
[[stage]]
kind = "init"
arch = "vgg11"
width = 4
[[stage]]
kind = "gate-train"
inputs.network = "init"
epochs = 3
batch_size = 32
[[stage]]
kind = "threshold-search"
inputs.network = "gate-train"
flops_ratio = 0.5
[[stage]]
kind = "prune"
inputs.channels = "threshold-search"
[[stage]]
kind = "retrain"
inputs.network = "prune"
epochs = 4
batch_size = 32
[[stage]]
kind = "eval"
inputs.network = "retrain"
latency = false
"#;

fn runner(folder: &Path, cache: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
    command.current_dir(folder).args(arguments).args(["--cache", cache]).env("NO_COLOR", "1");
    // Errors are drawn with the characters that the locale has.
    command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.toml"), SMALL).unwrap();
    folder
}

/// The names of all objects of a cache, which are the hashes of their contents.
fn objects(folder: &Path, cache: &str) -> Vec<String> {
    let files = walkdir::WalkDir::new(folder.join(cache).join("objects")).into_iter().flatten();
    let mut names: Vec<String> = files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

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
    assert!(plan.contains("epochs changed: 3 -> 5"), "{plan}");
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
    assert!(plan.contains("3 points, 18 stage uses, 14 different (4 shared)"), "{plan}");
    assert_eq!(plan.matches("  gate-train ").count(), 1, "{plan}");
    assert!(plan.contains("(shared by all 3 points)"), "{plan}");
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
fn killed_at_any_moment_a_run_ends_with_the_same_bytes() {
    let folder = folder();
    let whole = runner(folder.path(), "whole", &["run", "p.toml", "--quiet"]).status().unwrap();
    assert!(whole.success());
    let mut killed = 0;
    for pause in [150, 400, 700, 1000, 1400] {
        let mut run = runner(folder.path(), "killed", &["run", "p.toml", "--quiet"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        // SIGKILL, on Unix: nothing of ours runs after it.
        run.kill().unwrap();
        killed += usize::from(!run.wait().unwrap().success());
    }
    assert!(killed > 0, "every run ended before it could be killed");
    let last = runner(folder.path(), "killed", &["run", "p.toml", "--quiet"]).status().unwrap();
    assert!(last.success());
    assert_eq!(objects(folder.path(), "whole"), objects(folder.path(), "killed"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_the_state_and_says_how_to_go_on() {
    let folder = folder();
    let long = SMALL.replace("epochs = 3", "epochs = 3000");
    std::fs::write(folder.path().join("p.toml"), long).unwrap();
    let run = runner(folder.path(), "c", &["run", "p.toml"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output).1);
    assert!(text(&output).1.contains("goes on from there"), "{}", text(&output).1);
    let plan = runner(folder.path(), "c", &["plan", "p.toml"]).output().unwrap();
    assert!(text(&plan).0.contains("goes on from a saved state"), "{}", text(&plan).0);
}

#[test]
fn a_damaged_object_is_found_and_named() {
    let folder = folder();
    assert!(
        runner(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "init"])
            .status()
            .unwrap()
            .success()
    );
    let object = walkdir::WalkDir::new(folder.path().join("c/objects"))
        .into_iter()
        .flatten()
        .find(|entry| entry.file_type().is_file())
        .unwrap();
    let mut content = std::fs::read(object.path()).unwrap();
    *content.last_mut().unwrap() ^= 1;
    std::fs::write(object.path(), content).unwrap();
    let damaged = runner(folder.path(), "c", &["run", "p.toml", "--quiet"]).output().unwrap();
    assert!(text(&damaged).1.contains("is damaged"), "{}", text(&damaged).1);
    let mended = runner(folder.path(), "c", &["run", "p.toml", "--quiet"]).output().unwrap();
    assert!(mended.status.success(), "{}", text(&mended).1);
}

#[test]
fn ten_mistakes_are_ten_errors_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = r#"sed = 3
[data]
set = "cifar12"
[[stage]]
kind = "init"
arch = "vgg17"
width = 0
[[stage]]
kind = "gate-trian"
[[stage]]
kind = "threshold-search"
inputs.network = "inti"
flops_ratio = 1.5
[[stage]]
kind = "prune"
inputs.channels = "init"
weights = 3
[[stage]]
kind = "retrain"
epocs = 3
[[stage]]
kind = "init"
"#;
    std::fs::write(folder.path().join("p.toml"), wrong).unwrap();
    let output = runner(folder.path(), "c", &["plan", "p.toml"]).output().unwrap();
    let error = text(&output).1;
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(error);
}

#[test]
fn a_missing_data_set_says_what_to_do() {
    let folder = folder();
    let set = ["plan", "p.toml", "--set", "data.set=cifar10"];
    let output = runner(folder.path(), "c", &set).output().unwrap();
    let error = text(&output).1.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(error.contains("the data set cifar10 is not here"), "{error}");
    assert!(error.contains("RUNNER_DATA"), "{error}");
}
