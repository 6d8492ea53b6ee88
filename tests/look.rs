//! The commands that look at results, as a user sees them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use runner::engine::{Event, Stamped};
use runner::fingerprint::Fingerprint;
use runner::network::{Arch, NetworkSpec, initialise};
use runner::store::{ObjectHash, OutputEntry, Record, Store};
use serde_json::{Value, json};

/// A pipeline of all six stages, and of the full network's training, in about a second.
const SMALL: &str = r#"
name = "small"
[data]
set = "fashion-mnist-mini"
limit_train = 200
limit_test = 50
validation = 0.2
[[stage]]
kind = "init"
arch = "vgg11"
width = 2
[[stage]]
kind = "gate-train"
inputs.network = "init"
epochs = 2
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
epochs = 2
batch_size = 32
[[stage]]
kind = "eval"
inputs.network = "retrain"
"#;

struct Here(tempfile::TempDir);

impl Here {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.toml"), SMALL).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
        command.current_dir(self.path()).args(arguments).args(["--cache", "c"]);
        command.env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8").env("TERM", "xterm").env("TZ", "UTC");
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that goes well.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that fails.
    fn error(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.said(arguments)).unwrap()
    }

    fn run(&self, more: &[&str]) {
        assert!(self.command(&["run", "p.toml", "--quiet"]).args(more).status().unwrap().success());
    }

    fn store(&self) -> Store {
        Store::open(&self.path().join("c")).unwrap()
    }

    /// The present fingerprint of a stage.
    fn fingerprint(&self, stage: &str) -> Fingerprint {
        let status = self.json(&["status", "p.toml", "--json"]);
        let stages = status["stages"].as_array().unwrap();
        let found = stages.iter().find(|found| found["stage"] == stage).unwrap();
        found["fingerprint"].as_str().unwrap().parse().unwrap()
    }
}

/// A snapshot without what differs from machine to machine and from day to day; trained figures belong to that, as the
/// last digits depend on the processor.
macro_rules! snapshot {
    ($found:expr) => {
        insta::with_settings!({omit_expression => true, filters => vec![
            (r"\b[0-9a-f]{64}\b", "[hash of 64]"),
            (r"\b[0-9a-f]{12}\b", "[hash of 12]"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "[time]"),
            (r"(?m)^time: .*\n( {4}.*\n)*", "time: [time]\n"),
            (r"\s+\((about [^)]*|\d[^)]* to [^)]*)\)", ""),
            (r" +\d+(\.\d)? m?s\b", " [took]"),
            (r"process \d+ on \S+?(,|\n)", "process [id] on [host]$1"),
            (r"\d+\.\d\d%", "[%]"),
            (r"  (\S+), cpu( \(\w+\))?, (\d+) threads?", "  [host], cpu, [threads]"),
            (r"(kept|best) epoch \d", "$1 epoch [n]"),
            (r"(prune +cached[^\n]*\n +)\d[\d.]*( k)? FLOPs, \d[\d.]*( k)? parameters", "$1[cost]"),
            // Columns are as wide as what was filtered out of them.
            (r"(\S) {2,}", "$1  "),
        ]}, { insta::assert_snapshot!($found) })
    };
}

#[test]
fn status_says_how_every_stage_stands() {
    let here = Here::new();
    let mut story = String::new();
    let mut tell = |what: &str, found: String| story += &format!("## {what}\n{found}\n");
    tell("new", here.said(&["status", "p.toml"]));
    here.run(&["--until", "gate-train"]);
    tell("half done", here.said(&["status", "p.toml"]));
    here.run(&[]);
    tell("all done", here.said(&["status", "p.toml"]));
    tell("changed", here.said(&["status", "p.toml", "--set", "gate-train.epochs=3"]));
    tell("swept", here.said(&["status", "p.toml", "--over", "threshold-search.flops_ratio=0.4,0.5"]));
    snapshot!(story);
}

#[test]
fn status_shows_who_runs_a_stage_and_what_failed() {
    let here = Here::new();
    here.run(&["--until", "init"]);
    let (store, fingerprint) = (here.store(), here.fingerprint("gate-train"));
    let mut story = String::new();
    let lock = store.lock(&fingerprint, &mut |_| ControlFlow::Break(())).unwrap().unwrap();
    for line in LOG.lines().take(3) {
        store.append_log(&fingerprint, line).unwrap();
    }
    story += &here.said(&["status", "p.toml"]);
    drop(lock);
    let failed = r#"{"time":"2026-01-02T03:05:00Z","event":"stage-failed","stage":"gate-train","message":"the loss is NaN at step 3"}"#;
    store.append_log(&fingerprint, failed).unwrap();
    story += &here.said(&["status", "p.toml"]);
    snapshot!(story);
}

#[cfg(unix)]
#[test]
fn status_and_log_show_where_an_interrupted_stage_goes_on() {
    let here = Here::new();
    let endless = ["run", "p.toml", "--until", "gate-train", "--set", "gate-train.epochs=100000"];
    let run = here.command(&endless).stderr(Stdio::null()).spawn().unwrap();
    let look = |command: &str, more: &[&str]| {
        let all = [&[command, "p.toml"], more, &["--set", "gate-train.epochs=100000"]].concat();
        here.said(&all)
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !look("log", &["gate-train"]).contains("saved") {
        assert!(std::time::Instant::now() < deadline, "no state was saved");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let running = look("status", &[]);
    assert!(running.contains(&format!("by process {}", run.id())), "{running}");
    assert!(look("log", &["gate-train"]).contains("running by process"), "{}", look("log", &["gate-train"]));
    Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(130));
    let status = look("status", &[]);
    assert!(status.contains("interrupted") && status.contains("goes on in epoch"), "{status}");
    assert!(look("log", &["gate-train"]).contains("its state is saved"), "{}", look("log", &["gate-train"]));
}

/// A log with everything that can happen in a stage.
const LOG: &str = r#"{"time":"2026-01-02T03:04:05Z","event":"stage-started","stage":"gate-train","kind":"gate-train","fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","reasons":["never run"],"resumed":false}
{"time":"2026-01-02T03:04:17Z","event":"epoch-finished","stage":"gate-train","epoch":1,"train_loss":2.3021,"train_accuracy":0.125,"validation_loss":2.2987,"validation_accuracy":0.25,"sparsity":1.0,"mean_gate":0.9123,"lr":0.01}
{"time":"2026-01-02T03:04:17Z","event":"checkpoint-saved","stage":"gate-train"}
{"time":"2026-01-02T03:05:17Z","event":"checkpoint-saved","stage":"gate-train"}
{"time":"2026-01-02T03:05:20Z","event":"stage-interrupted","stage":"gate-train"}
{"time":"2026-01-02T03:10:00Z","event":"stage-started","stage":"gate-train","kind":"gate-train","fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","reasons":["never run"],"resumed":true}
{"time":"2026-01-02T03:10:09Z","event":"epoch-finished","stage":"gate-train","epoch":2,"train_loss":1.5,"train_accuracy":0.5,"validation_loss":1.25,"validation_accuracy":0.5,"sparsity":0.75,"mean_gate":0.5,"lr":0.01}
{"time":"2026-01-02T03:11:00Z","event":"stage-started","stage":"gate-train","kind":"gate-train","fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","reasons":["never run"],"resumed":true}
{"time":"2026-01-02T03:11:00Z","event":"warning","message":"the saved state of gate-train is damaged and was moved to c/quarantine/x; the stage begins anew"}
{"time":"2026-01-02T03:11:05Z","event":"stage-failed","stage":"gate-train","message":"the loss is NaN at step 7 (epoch 1), with a learning rate of 0.01"}
{"time":"2026-01-02T03:20:00Z","event":"stage-started","stage":"gate-train","kind":"gate-train","fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","reasons":["forced"],"resumed":false}
{"time":"2026-01-02T03:20:09Z","event":"epoch-finished","stage":"gate-train","epoch":1,"train_loss":1.5,"train_accuracy":0.5,"validation_loss":null,"validation_accuracy":null,"sparsity":0.1,"mean_gate":0.05,"lr":0.00001}
{"time":"2026-01-02T03:20:10Z","event":"stage-finished","stage":"gate-train","fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","seconds":10.0,"outputs":{"network":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"metrics":{"kept_epoch":1,"history":[{"epoch":1,"sparsity":0.1}]}}
no event at all
"#;

#[test]
fn a_log_tells_epochs_checkpoints_resumes_and_failures_in_words() {
    let here = Here::new();
    here.run(&["--until", "init"]);
    let (store, fingerprint) = (here.store(), here.fingerprint("gate-train"));
    let before = here.said(&["log", "p.toml", "gate-train"]);
    LOG.lines().for_each(|line| store.append_log(&fingerprint, line).unwrap());
    let found = here.said(&["log", "p.toml", "gate-train"]);
    // Here every figure is given, so only the hashes are left out.
    insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(format!("{before}\n{found}")) });
    assert_eq!(here.said(&["log", "p.toml", "gate-train", "--json"]), LOG);
    // Followed, the same is told, and the end of the run ends it.
    let followed = here.command(&["log", "p.toml", "gate-train", "--follow"]).output().unwrap();
    assert_eq!(String::from_utf8(followed.stdout).unwrap(), found);
}

#[test]
fn a_followed_log_shows_what_is_added_until_the_run_ends() {
    let here = Here::new();
    here.run(&["--until", "init"]);
    let (store, fingerprint) = (here.store(), here.fingerprint("gate-train"));
    let lock = store.lock(&fingerprint, &mut |_| ControlFlow::Break(())).unwrap().unwrap();
    let mut lines = LOG.lines();
    store.append_log(&fingerprint, lines.next().unwrap()).unwrap();
    let follow = here.command(&["log", "p.toml", "gate-train", "--follow", "--json"]);
    let follow = { follow }.stdout(Stdio::piped()).spawn().unwrap();
    for line in lines.by_ref().take(2) {
        std::thread::sleep(std::time::Duration::from_millis(300));
        store.append_log(&fingerprint, line).unwrap();
    }
    // Killed: the lock is free, and no word says so.
    drop(lock);
    let output = follow.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected: Vec<&str> = LOG.lines().take(3).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_log_of_an_earlier_run_says_that_it_is_one() {
    let here = Here::new();
    here.run(&["--until", "gate-train"]);
    let changed = here.said(&["log", "p.toml", "gate-train", "--set", "gate-train.epochs=9"]);
    let first = changed.lines().next().unwrap();
    assert!(
        first.starts_with("gate-train has not run as it is now; this is the log of its last run"),
        "{first}"
    );
    assert!(changed.contains("done in"), "{changed}");
    let over = ["log", "p.toml", "gate-train", "--over", "gate-train.epochs=2,3"];
    assert!(here.said(&over).contains("gate-train  (gate-train.epochs=3)\ngate-train has never run"));
    snapshot!(
        [
            here.error(&["log", "p.toml", "gate-trian"]),
            here.error(&["log", "p.toml", "retrain", "--follow"]),
            here.error(&["log", "p.toml", "gate-train", "--follow", "--over", "gate-train.epochs=2,3"]),
        ]
        .join("\n")
    );
}

/// Puts a result into the store whose every figure is given.
fn commit(
    store: &Store,
    seed: u64,
    stage: &str,
    kind: &str,
    outputs: &[&str],
    metrics: Value,
) -> Fingerprint {
    let spec = NetworkSpec::vgg(Arch::Vgg11, 2, 1.0, [1, 28, 28], 3).unwrap();
    let bytes = initialise(&spec, 7).to_safetensors().unwrap();
    let object = store.put(&bytes).unwrap();
    let entry = OutputEntry { object, bytes: bytes.len() as u64, artifact: "network".to_owned() };
    let outputs: BTreeMap<String, OutputEntry> =
        outputs.iter().map(|output| ((*output).to_owned(), entry.clone())).collect();
    let provenance = json!({
        "runner_version": "0.1.0", "runner_commit": "abc1234", "stage": stage, "pipeline": "study",
        "parameters": {"batch_size": 128, "optimizer": {"lr": 0.1}, "steps": null},
        "inputs": {"network": ObjectHash::of(b"input")}, "data": null, "seed": seed, "device": "cpu", "threads": 2,
        "host": "node7", "started": "2026-01-02T03:04:05Z", "finished": "2026-01-02T03:05:05Z", "seconds": 60.0,
        "sessions": 1,
    });
    // Fingerprints of the test's own choice, so that their beginnings are known.
    let fingerprint: Fingerprint = format!("{seed:0>64x}").parse().unwrap();
    let provenance = serde_json::from_value(provenance).unwrap();
    store.commit(&Record::new(fingerprint, kind, 1, outputs, metrics, provenance)).unwrap();
    fingerprint
}

#[test]
fn show_tells_what_a_result_is_and_where_it_came_from() {
    let here = Here::new();
    let store = here.store();
    let history = json!([
        {"epoch": 1, "train_loss": 2.25, "train_accuracy": 0.25, "validation_loss": 2.0, "validation_accuracy": 0.375, "sparsity": null, "mean_gate": null, "lr": 0.1},
        {"epoch": 2, "train_loss": 1.25, "train_accuracy": 0.5, "validation_loss": 1.0, "validation_accuracy": 0.625, "sparsity": null, "mean_gate": null, "lr": 0.01},
    ]);
    let figures = json!({
        "accuracy": 0.8125, "loss": 0.5, "images": 32, "macs": 398_136_320, "parameters": 20_040_522,
        "channels": [10, 9, 8], "plain_channels": [10, 10, 10], "latency": {
            "machine": {"host": "node7", "cpu": "Example CPU", "instructions": "AVX2", "threads": 4, "device": "cpu"},
            "1": {"median_ms": 0.8125, "low_ms": 0.75, "high_ms": 1.0, "passes": 50},
            "64": {"median_ms": 12.5, "low_ms": 12.25, "high_ms": 13.0, "passes": 50},
        },
        "confusion": [[10, 1, 0], [0, 8, 3], [2, 0, 8]],
    });
    let metrics = json!({"best_epoch": 2, "epochs": 2, "history": history});
    let retrain = commit(&store, 0xabcd_0001, "retrain", "retrain", &["best", "last"], metrics);
    let eval = json!({"networks": {"best": figures}});
    let eval = commit(&store, 0xabcd_0002, "eval", "eval", &[], eval);
    let object = store.lookup(&retrain).unwrap();
    let runner::store::Lookup::Present(record) = object else { panic!("no record") };
    let object = record.outputs["best"].object.to_string();
    let show = |what: &str| here.said(&["show", what]);
    let mut story = String::new();
    let mut tell = |what: &str, found: String| story += &format!("## {what}\n{found}\n");
    tell("work of training", show(&retrain.to_string()));
    tell("work of evaluation", show(&eval.to_string()));
    tell("an object", show(&object[..10]));
    let copy = here.path().join("copy.safetensors");
    std::fs::copy(store.object_path(&object.parse().unwrap()), &copy).unwrap();
    tell("a file", show("copy.safetensors"));
    // The figures are given, so only hashes are left out.
    insta::with_settings!({omit_expression => true, filters => vec![(object.as_str(), "[object]")]}, {
        insta::assert_snapshot!(story);
    });
    let json = here.json(&["show", &object[..10], "--json"]);
    assert_eq!(json["files"][0]["content"]["what"], "network");
    assert_eq!(json["record"]["provenance"]["host"], "node7");
    assert_eq!(json["files"][0]["tensors"].as_array().unwrap().len(), 50);
}

#[test]
fn show_says_what_it_cannot_find_or_tell_apart() {
    let here = Here::new();
    let store = here.store();
    commit(&store, 0xabcd_0001, "retrain", "retrain", &["best"], json!({}));
    commit(&store, 0xabcd_0002, "eval", "eval", &[], json!({}));
    std::fs::write(here.path().join("broken.safetensors"), "nothing").unwrap();
    here.run(&["--until", "init"]);
    snapshot!(
        [
            here.error(&["show", "0000"]),
            here.error(&["show", "00"]),
            here.error(&["show", "ffffffff"]),
            here.error(&["show", "p.toml"]),
            here.error(&["show", "missing.safetensors"]),
            here.error(&["show", "broken.safetensors"]),
            here.error(&["show", "p.toml", "retrain"]),
            here.error(&["show", "p.toml", "retain"]),
            here.error(&["show", "p.toml", "init.best"]),
            here.error(&["show", "p.toml", "init", "--over", "init.width=2,3"]),
        ]
        .join("\n")
    );
}

#[test]
fn show_finds_a_stage_and_its_outputs() {
    let here = Here::new();
    here.run(&[]);
    let whole = here.said(&["show", "p.toml", "threshold-search"]);
    assert!(
        whole.contains("threshold-search (threshold-search)") && whole.contains("of the FLOPs)"),
        "{whole}"
    );
    assert!(whole.contains("features.0.kept"), "{whole}");
    let output = here.said(&["show", "p.toml", "retrain.last"]);
    assert!(
        output.contains("classifier.weight") && output.contains("VGG11 for images of 1x28x28"),
        "{output}"
    );
    let eval = here.said(&["show", "p.toml", "eval"]);
    assert!(eval.contains("true \\ predicted") && eval.contains("latency of 64"), "{eval}");
}

#[test]
fn a_plan_of_a_sweep_is_told_in_numbers_that_add_up() {
    let here = Here::new();
    let over = "threshold-search.flops_ratio=0.1..0.9 step 0.1";
    let mut story = here.said(&["plan", "p.toml", "--over", over]);
    here.run(&["--until", "gate-train"]);
    story += &here.said(&["plan", "p.toml", "--over", over, "--only", "threshold-search"]);
    story += &here.said(&["plan", "p.toml"]);
    story += &here.said(&["plan", "p.toml", "--set", "gate-train.epochs=3", "--force", "init"]);
    snapshot!(story);
}

#[test]
fn every_command_has_a_help_with_examples() {
    let here = Here::new();
    for command in ["plan", "status", "log", "show", "run", "graph", "runs", "report", "plot"] {
        let output = Command::new(assert_cmd::cargo::cargo_bin!("runner"))
            .args([command, "--help"])
            .env("NO_COLOR", "1")
            .env("COLUMNS", "100")
            .current_dir(here.path())
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Examples:\n  runner "), "{help}");
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(format!("help_{command}"), help) });
    }
}

/// The name of an event. A new event does not compile until it stands here, and the test below then asks for its words.
fn name(event: &Event) -> &'static str {
    match event {
        Event::RunStarted { .. } => "run-started",
        Event::StageCached { .. } => "stage-cached",
        Event::StageWaiting { .. } => "stage-waiting",
        Event::StageStarted { .. } => "stage-started",
        Event::StageResumed { .. } => "stage-resumed",
        Event::Progress { .. } => "progress",
        Event::EpochFinished { .. } => "epoch-finished",
        Event::CheckpointSaved { .. } => "checkpoint-saved",
        Event::StageFinished { .. } => "stage-finished",
        Event::StageFailed { .. } => "stage-failed",
        Event::StageRetried { .. } => "stage-retried",
        Event::StageSkipped { .. } => "stage-skipped",
        Event::PointFinished { .. } => "point-finished",
        Event::StageInterrupted { .. } => "stage-interrupted",
        Event::StageDownloaded { .. } => "stage-downloaded",
        Event::StageUploaded { .. } => "stage-uploaded",
        Event::UploadsWaiting { .. } => "uploads-waiting",
        Event::StageWarned { .. } => "stage-warned",
        Event::Warning { .. } => "warning",
        Event::RunFinished { .. } => "run-finished",
    }
}
const EVENTS: usize = 20;

#[test]
fn the_events_are_documented_field_by_field() {
    let page = include_str!("../docs/events.md");
    let mut seen = BTreeSet::new();
    for section in page.split("\n## `").skip(1) {
        let title = section.split('`').next().unwrap();
        let example = section.split("```json\n").nth(1).unwrap().split("\n```").next().unwrap();
        let example: Value = serde_json::from_str(example).unwrap();
        let event: Stamped = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(name(&event.event), title);
        // What is read and written again is the same: the example has every field, and no other.
        let again: Value = serde_json::from_str(&event.line()).unwrap();
        assert_eq!(again, example, "{title}");
        for field in
            example.as_object().unwrap().keys().filter(|key| !["time", "event"].contains(&key.as_str()))
        {
            assert!(section.contains(&format!("| `{field}` |")), "{title} does not explain `{field}`");
        }
        seen.insert(name(&event.event));
    }
    assert_eq!(seen.len(), EVENTS, "{seen:?}");
}

#[test]
fn json_lines_are_events_and_quiet_says_nothing() {
    let here = Here::new();
    let output = here.output(&["run", "p.toml", "--json", "--until", "threshold-search"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Stamped> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| name(&event.event)).collect();
    assert_eq!((names[0], *names.last().unwrap()), ("run-started", "run-finished"));
    assert!(names.contains(&"epoch-finished") && names.contains(&"stage-finished"), "{names:?}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = here.output(&["run", "p.toml", "--quiet", "--set", "retrain.schedule.kind=\"constant\""]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
}

#[test]
fn without_a_terminal_a_run_tells_plain_lines() {
    let here = Here::new();
    let output = here.command(&["run", "p.toml"]).env_remove("NO_COLOR").output().unwrap();
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!out.contains('\x1b') && !error.contains('\x1b') && !error.contains('\r'));
    insta::with_settings!({omit_expression => true, filters => vec![
        (r"\b[0-9a-f]{12}\b", "[hash of 12]"),
        (r"objects/[0-9a-f]{2}/", "objects/[xx]/"),
        (r"\d+(\.\d)? m?s\b", "[took]"),
        
        (r" *\d+\.\d\d%", " [%]"),
        (r"\d+\.\d\d\d\b", "[figure]"),
        (r" *\d+\.\d\d (k|M|KiB)\b", " [size]"),
        (r"threshold \S+", "threshold [figure]"),
        (r"(?m)^  (kept|of|layer) +\d.*$", "  $1 [channels]"),
        (r"\(cpu, \d+ threads?\)", "(cpu, [threads])"),
        (r"(kept|best) epoch \d", "$1 epoch [n]"),
        (r"(?m)^  retrain (best|last).*\n", "  [networks]\n"),
        (r"(?m)(^  \[networks\]\n)+", "  [networks]\n"),
    ]}, { insta::assert_snapshot!(format!("{error}\n{out}")) });
}
