//! What a sweep shares: by definition before anything ran, and by content after it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

const PIPELINE: &str = r#"
[data]
set = "fashion-mnist-mini"
limit_train = 200
limit_test = 50
[[stage]]
kind = "init"
arch = "vgg11"
width = 4
[[stage]]
kind = "gate-train"
inputs.network = "init"
steps = 4
batch_size = 32
[[stage]]
kind = "threshold-search"
inputs.network = "gate-train"
[[stage]]
kind = "prune"
inputs.channels = "threshold-search"
[[stage]]
kind = "retrain"
inputs.network = "prune"
epochs = 1
batch_size = 32
[[stage]]
kind = "eval"
inputs.network = "retrain"
latency = false
"#;

/// The kinds of the stages that ran, and how many came from the cache.
fn run(folder: &Path, over: &str) -> (Vec<String>, u64) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
    let output =
        command.current_dir(folder).args(["run", "p.toml", "--json", "--over", over]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let started = events.iter().filter(|event| event["event"] == "stage-started");
    let ran = started.map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    (ran, events.last().unwrap()["cached"].as_u64().unwrap())
}

#[test]
fn two_ratios_that_lead_to_the_same_channels_share_all_below_the_search() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.toml"), PIPELINE).unwrap();
    let (ran, cached) = run(folder.path(), "threshold-search.flops_ratio=0.5,0.500001");
    let once = ["init", "gate-train", "threshold-search", "prune", "retrain", "eval", "threshold-search"];
    assert_eq!(ran, once, "only the search itself runs twice");
    assert_eq!(cached, 3, "the second ratio's prune, retrain and eval");
}

#[test]
fn another_ratio_runs_from_the_search_on_and_a_known_one_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.toml"), PIPELINE).unwrap();
    let (ran, _) = run(folder.path(), "threshold-search.flops_ratio=0.5");
    assert_eq!(ran.len(), 6);
    let (ran, cached) = run(folder.path(), "threshold-search.flops_ratio=0.5,0.3");
    assert_eq!(ran, ["threshold-search", "prune", "retrain", "eval"]);
    assert_eq!(cached, 6);
    assert_eq!(run(folder.path(), "threshold-search.flops_ratio=0.3,0.5").0, Vec::<String>::new());
}
