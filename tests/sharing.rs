//! What a sweep shares: by definition before anything ran, and by content after it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

mod binary;

use binary::{SMALL, folder_with, stdout};

/// The small pipeline, with training cut short.
fn folder() -> tempfile::TempDir {
    folder_with(&SMALL.replace("epochs = 3", "steps = 4").replace("epochs = 4", "epochs = 1"))
}

/// The kinds of the stages that ran, and how many came from the cache.
fn run(folder: &Path, over: &str) -> (Vec<String>, u64) {
    let lines = stdout(folder, "c", &["run", "p.toml", "--json", "--over", over]);
    let events: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let started = events.iter().filter(|event| event["event"] == "stage-started");
    let ran = started.map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    (ran, events.last().unwrap()["cached"].as_u64().unwrap())
}

#[test]
fn two_ratios_that_lead_to_the_same_channels_share_all_below_the_search() {
    let folder = folder();
    let (ran, cached) = run(folder.path(), "threshold-search.flops_ratio=0.5,0.500001");
    let once = ["init", "gate-train", "threshold-search", "prune", "retrain", "eval", "threshold-search"];
    assert_eq!(ran, once, "only the search itself runs twice");
    assert_eq!(cached, 3, "the second ratio's prune, retrain and eval");
}

#[test]
fn another_ratio_runs_from_the_search_on_and_a_known_one_not_at_all() {
    let folder = folder();
    let (ran, _) = run(folder.path(), "threshold-search.flops_ratio=0.5");
    assert_eq!(ran.len(), 6);
    let (ran, cached) = run(folder.path(), "threshold-search.flops_ratio=0.5,0.3");
    assert_eq!(ran, ["threshold-search", "prune", "retrain", "eval"]);
    assert_eq!(cached, 6);
    assert_eq!(run(folder.path(), "threshold-search.flops_ratio=0.3,0.5").0, Vec::<String>::new());
}
