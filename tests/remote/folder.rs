//! Two machines and a folder that both can reach.

use std::process::Stdio;

use super::{Lab, STAGES, change_record, contents, said};
use crate::binary::{files, stdout};
use serde_json::Value;

fn named<'e>(events: &'e [Value], name: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn what_one_machine_made_another_takes_checked_and_runs_nothing() {
    let lab = Lab::with_folder();
    let events = lab.events("a", &["run", "p.toml", "--remote", "read-write"]);
    let uploaded = named(&events, "stage-uploaded");
    assert_eq!(uploaded.len(), STAGES, "{events:?}");
    assert!(uploaded.iter().all(|event| event["seconds"].as_f64().unwrap() >= 0.0));
    let end = events.last().unwrap();
    assert_eq!((&end["ran"], &end["uploaded"], &end["downloaded"]), (&5.into(), &5.into(), &0.into()));
    let before = lab.shared();
    // Of each result its record, of each object one copy, and the mark of the layout.
    assert_eq!(
        before.len(),
        files(&lab.path().join("a"), "records").len() + files(&lab.path().join("a"), "objects").len() + 1
    );

    // A plan stays at home: it says what would run if nobody had done it.
    assert!(lab.well("b", &["plan", "p.toml"]).contains("5 to run"));
    assert!(!lab.path().join("b").exists());
    let events = lab.events("b", &["run", "p.toml"]);
    let downloaded = named(&events, "stage-downloaded");
    assert_eq!(downloaded.len(), STAGES, "{events:?}");
    assert!(named(&events, "stage-started").is_empty() && named(&events, "warning").is_empty(), "{events:?}");
    let size: u64 = downloaded.iter().map(|event| event["bytes"].as_u64().unwrap()).sum();
    let objects = files(&lab.path().join("b"), "objects");
    assert_eq!(size, objects.iter().map(|path| path.metadata().unwrap().len()).sum::<u64>());
    let end = events.last().unwrap();
    assert_eq!((&end["ran"], &end["cached"], &end["downloaded"]), (&0.into(), &0.into(), &5.into()));
    lab.same("b", "a");
    // By default a machine only takes.
    assert_eq!(lab.shared(), before);
    // The record says where it was made, the log where it came from, and the run what became of its stages.
    assert!(stdout(lab.path(), "b", &["log", "p.toml", "prune"]).contains("from the shared cache"));
    let runs: Value = serde_json::from_str(&stdout(lab.path(), "b", &["runs", "--json"])).unwrap();
    let run = runs.as_object().unwrap().values().next().unwrap();
    assert!(run["stages"].as_array().unwrap().iter().all(|stage| stage["state"] == "downloaded"), "{run}");
    // A repetition compares what came from there like what was made here.
    let repeated = lab.well("b", &["repeat", "last"]);
    assert!(repeated.contains("identical:") && !repeated.contains("is not known of the run"), "{repeated}");
    // Once they are here nobody is asked.
    std::fs::rename(lab.path().join("shared"), lab.path().join("gone")).unwrap();
    assert!(!lab.well("b", &["run", "p.toml"]).contains("warning"));
}

#[test]
fn only_what_differs_runs_and_only_that_is_given_back() {
    let lab = Lab::with_folder();
    lab.fill("a");
    let arguments = ["run", "p.toml", "--remote", "read-write", "--set", "threshold-search.flops_ratio=0.3"];
    let said = lab.well("b", &arguments);
    assert!(said.contains("3 ran, 0 from the cache, 2 from the shared cache, 3 uploaded"), "{said}");
    // What is forced is made anew, and is the same: there is nothing to send.
    let said = lab.well("b", &["run", "p.toml", "--remote", "read-write", "--force", "init"]);
    assert!(said.contains("1 ran, 1 from the cache, 3 from the shared cache"), "{said}");
    assert!(!said.contains("uploaded") && !said.contains("warning"), "{said}");
}

#[test]
fn the_file_names_it_the_environment_goes_before_it_and_the_command_line_before_both() {
    let lab = Lab::with_folder();
    lab.fill("a");
    let file = format!("{}[cache]\nremote = \"{}\"\n", super::QUICK, lab.url);
    std::fs::write(lab.path().join("p.toml"), file).unwrap();
    let run = |machine: &str, more: &[&str], environment: &[(&str, &str)]| {
        let mut command = lab.command(machine, &[&["run", "p.toml"], more].concat());
        said(&command.envs(environment.iter().copied()).output().unwrap(), true)
    };
    let comes = "5 from the shared cache";
    assert!(run("b", &[], &[]).contains(comes));
    assert!(run("c", &["--remote", "off"], &[]).contains("5 ran, 0 from the cache, "));
    assert!(run("d", &[], &[("RUNNER_REMOTE_MODE", "off")]).contains("5 ran"));
    assert!(run("e", &["--remote", "read"], &[("RUNNER_REMOTE_MODE", "off")]).contains(comes));
    let empty = format!("file://{}", lab.path().join("empty").display());
    std::fs::create_dir(lab.path().join("empty")).unwrap();
    let said = run("f", &[], &[("RUNNER_REMOTE", &empty), ("RUNNER_REMOTE_MODE", "read-write")]);
    assert!(said.contains("5 ran, 0 from the cache, 5 uploaded"), "{said}");
    assert!(run("g", &["--remote-url", &lab.url], &[("RUNNER_REMOTE", "file:///nowhere")]).contains(comes));
    // The address is no part of any fingerprint.
    lab.same("b", "a");
    lab.same("f", "a");
}

#[test]
fn push_and_pull_move_what_is_missing_and_say_so() {
    let lab = Lab::with_folder();
    lab.well("a", &["run", "p.toml", "--remote", "off"]);
    let would = lab.json("a", &["cache", "push", "p.toml", "--dry-run"]);
    assert_eq!((would["new"].as_array().unwrap().len(), &would["dry_run"]), (STAGES, &true.into()));
    assert!(lab.shared().is_empty());
    let said = lab.well("a", &["cache", "push", "p.toml", "prune"]);
    assert!(said.contains("pushed: 4 results with 4 objects"), "{said}");
    let did = lab.json("a", &["cache", "push", "p.toml"]);
    assert_eq!(
        (did["new"].as_array().unwrap().len(), did["known"].as_array().unwrap().len()),
        (1, 4),
        "{did}"
    );
    let before = lab.shared();
    let said = lab.well("a", &["cache", "push"]);
    assert!(said.contains("pushed: 0 results; 5 there already"), "{said}");
    assert_eq!(lab.shared(), before);

    let would = lab.json("b", &["cache", "pull", "p.toml", "--dry-run"]);
    assert_eq!(would["new"].as_array().unwrap().len(), STAGES, "{would}");
    assert!(files(&lab.path().join("b"), "records").is_empty());
    let did = lab.json("b", &["cache", "pull", "p.toml", "prune"]);
    assert_eq!(did["new"].as_array().unwrap().len(), 4, "{did}");
    assert_eq!((&did["bytes"], &did["objects"]), (&did["bytes"].as_u64().unwrap().into(), &4.into()));
    let said = lab.well("b", &["cache", "pull"]);
    assert!(said.contains("pulled: 1 result; 4 there already"), "{said}");
    lab.same("b", "a");
    assert!(lab.well("b", &["plan", "p.toml"]).contains("nothing to run"));

    // What nobody has made is not there, which is no failure.
    let said = lab.well("c", &["cache", "pull", "p.toml", "--set", "init.width=4"]);
    assert!(
        said.contains("pulled: 0 results; 0 there already") && said.contains("5 results not there"),
        "{said}"
    );
    let said = lab.badly("c", &["cache", "pull", "init"]);
    assert!(said.contains("`init` is no pipeline file"), "{said}");
    let output = lab.command("c", &["cache", "push"]).output().unwrap();
    assert!(super::said(&output, false).contains("no shared cache is named"));
}

#[test]
fn a_record_that_is_there_is_never_replaced_by_a_different_one() {
    let lab = Lab::with_folder();
    lab.fill("a");
    // Another machine made other bytes of the same work, as GPUs may.
    let path = lab.record("prune");
    let other = std::fs::read_to_string(lab.record("init")).unwrap();
    let other: Value = serde_json::from_str(&other).unwrap();
    change_record(&path, |record| record["outputs"] = other["outputs"].clone());
    let before = lab.shared();
    let said = lab.well("a", &["cache", "push", "p.toml"]);
    assert!(
        said.contains("warning: prune of quick") && said.contains("is there with other outputs: both stay"),
        "{said}"
    );
    assert_eq!(lab.json("a", &["cache", "push", "p.toml"])["different"].as_array().unwrap().len(), 1);
    // Nor by a run.
    let said = lab.well("a", &["run", "p.toml", "--remote", "read-write", "--force", "prune"]);
    assert!(
        said.contains("has the result of prune") && said.contains("with other outputs: both stay"),
        "{said}"
    );
    assert_eq!(lab.shared(), before);
    // Nor does it replace what is here.
    let own = contents(&lab.path().join("a/records"));
    assert!(lab.well("a", &["cache", "pull", "p.toml"]).contains("0 results; 5 there already"));
    assert_eq!(contents(&lab.path().join("a/records")), own);
}

#[test]
fn machines_that_run_at_once_come_to_the_same_results_and_replace_no_record() {
    let lab = Lab::with_folder();
    lab.well("alone", &["run", "p.toml", "--remote", "off"]);
    let start = |machine: &str| {
        let mut run = lab.sharing(machine, &["run", "p.toml", "--remote", "read-write"]);
        run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let runs: Vec<_> = ["a", "b", "c"].iter().map(|machine| start(machine)).collect();
    for run in runs {
        let said = said(&run.wait_with_output().unwrap(), true);
        assert!(!said.contains("warning"), "{said}");
    }
    for machine in ["a", "b", "c"] {
        lab.same(machine, "alone");
    }
    let before = lab.shared();
    assert!(lab.well("a", &["cache", "push"]).contains("5 there already"));
    assert!(lab.well("b", &["cache", "push"]).contains("5 there already"));
    assert_eq!(lab.shared(), before);
    assert!(lab.well("d", &["run", "p.toml"]).contains("5 from the shared cache"));
    lab.same("d", "alone");
}

#[test]
fn a_pull_waits_for_a_collection_as_runs_do() {
    let lab = Lab::with_folder();
    lab.fill("a");
    lab.well("b", &["cache", "pull", "p.toml", "init"]);
    let lock = std::fs::File::open(lab.path().join("b/locks/visits")).unwrap();
    lock.lock().unwrap();
    let mut pull = lab.sharing("b", &["cache", "pull", "p.toml"]);
    let mut pull = pull.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(pull.try_wait().unwrap().is_none());
    drop(lock);
    let said = said(&pull.wait_with_output().unwrap(), true);
    assert!(said.contains("waiting until `runner cache gc`") && said.contains("pulled: 4 results"), "{said}");
    lab.same("b", "a");
}
