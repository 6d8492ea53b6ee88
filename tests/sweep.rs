//! Sweeps: what a file says of its points, and how they run.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::io::BufRead;
use std::path::Path;
use std::process::Stdio;

use binary::{SMALL, files, folder_with, objects, runner, stdout, text};
use runner::pipeline;
use runner::plan::{DataIdentities, Graph};
use runner::stages;
use serde_json::Value;

/// The stages of the file that the tests here sweep.
const STAGES: &str = "\
[[stage]]
kind = \"init\"
arch = \"vgg11\"
[[stage]]
kind = \"gate-train\"
inputs.network = \"init\"
[[stage]]
kind = \"threshold-search\"
inputs.network = \"gate-train\"
[[stage]]
kind = \"prune\"
inputs.channels = \"threshold-search\"
[[stage]]
kind = \"retrain\"
inputs.network = \"prune\"
";

/// A snapshot without the expression that made it.
macro_rules! snapshot {
    ($found:expr) => {
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!($found) })
    };
}

/// The names of a sweep's points, or its mistakes as a user sees them.
fn points(sweep: &str, set: &[&str], over: &[&str]) -> String {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let text = format!("{sweep}\n{STAGES}");
    let loaded = pipeline::parse("p.toml", &text, &owned(set), stages::catalog());
    match loaded.and_then(|pipeline| pipeline.points(&owned(over))) {
        Ok(points) => {
            let graph = Graph::new(&points, &mut DataIdentities::new(None)).unwrap();
            let short = |name: String| name.replace("threshold-search.flops_", "");
            graph.points.iter().map(|point| short(point.name()) + "\n").collect()
        }
        Err(error) => drawn(&error),
    }
}

/// An error as a user sees it.
fn drawn(error: &pipeline::PipelineError) -> String {
    let theme = miette::GraphicalTheme::unicode_nocolor();
    let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(100).with_context_lines(1);
    let mut out = String::new();
    handler.render_report(&mut out, error).unwrap();
    out.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

const MATRIX: &str = "[sweep.matrix]\nthreshold-search.flops_ratio = [0.3, 0.5]\nseed = \"1..2\"\n";

#[test]
fn a_file_says_its_points_by_matrix_zip_exclude_and_include() {
    let case = |name: &str, sweep: &str| format!("## {name}\n{}\n", points(sweep, &[], &[]));
    let zip = "[sweep.zip]\nretrain.batch_size = [32, 64]\nretrain.optimizer.lr = [0.05, 0.1]\n";
    let exclude = "[[sweep.exclude]]\nthreshold-search.flops_ratio = 0.30\nseed = 2\n";
    let include = "[[sweep.include]]\nthreshold-search.flops_ratio = 0.05\n";
    snapshot!(
        [
            case("no sweep", ""),
            case("a matrix, the last axis fastest", MATRIX),
            case("a range among values", "sweep.matrix.seed = [7, \"1..3\"]"),
            case("a range of decimals", "sweep.matrix.threshold-search.flops_ratio = \"0.1..0.3 step 0.1\""),
            case("zip", zip),
            case("matrix and zip", &format!("sweep.matrix.seed = [1, 2]\n{zip}")),
            case("exclude", &format!("{MATRIX}{exclude}")),
            case(
                "exclude several",
                &format!("{MATRIX}[[sweep.exclude]]\nseed = [1, 2]\nthreshold-search.flops_ratio = 0.5\n")
            ),
            case("include", &format!("{MATRIX}{include}")),
            case(
                "include what is there",
                &format!("{MATRIX}[[sweep.include]]\nseed = 1\nthreshold-search.flops_ratio = 0.5\n")
            ),
            case("include alone", &format!("{include}seed = \"1..2\"\n")),
            case(
                "data and words",
                "[sweep.matrix]\ndata.limit_train = [100, 200]\ninit.arch = [\"vgg11\", \"vgg13\"]\n"
            ),
            case("arrays", "sweep.matrix.retrain.schedule.milestones = [[0.5, 0.75], [0.9]]"),
        ]
        .concat()
    );
}

#[test]
fn the_command_line_takes_the_place_of_an_axis_or_adds_one() {
    let case = |set: &[&str], over: &[&str]| {
        let options = set
            .iter()
            .map(|set| format!("--set {set} "))
            .chain(over.iter().map(|over| format!("--over {over} ")));
        let sweep = format!("{MATRIX}[[sweep.include]]\nthreshold-search.flops_ratio = 0.05\n");
        format!("## {}\n{}\n", options.collect::<String>().trim(), points(&sweep, set, over))
    };
    snapshot!(
        [
            case(&[], &["seed=7"]),
            case(&[], &["threshold-search.flops_ratio=0.7,0.9"]),
            case(&[], &["retrain.epochs=1,2"]),
            case(&["seed=2"], &[]),
            case(&["seed=2", "threshold-search.flops_ratio=0.30"], &[]),
            case(&["seed=9"], &[]),
            case(&["retrain.epochs=9"], &[]),
        ]
        .concat()
    );
}

#[test]
fn every_mistake_of_a_sweep_has_its_words_and_its_place() {
    let case = |sweep: &str| format!("{}\n", points(sweep, &[], &[]));
    snapshot!(
        [
            "sweep = 3",
            "sweep.matrx.seed = [1]",
            "sweep.seed = [1]",
            "sweep.matrix = []",
            "sweep.matrix.seeds = [1]",
            "sweep.matrix.sed = [1]",
            "sweep.matrix.\"threshold-search.flops_ratio\" = [0.3]",
            "sweep.matrix.threshold-search = [0.3]",
            "sweep.matrix.threshold-search.flops_ration = [0.3]",
            "sweep.matrix.threshold-search.flops_ratio = 0.3",
            "sweep.matrix.threshold-search.flops_ratio = []",
            "sweep.matrix.threshold-search.flops_ratio = [0.3, 1.5, \"x\"]",
            "sweep.matrix.threshold-search.flops_ratio = \"0.1..0.9\"",
            "sweep.matrix.threshold-search.flops_ratio = \"0.5..1.5 step 0.5\"",
            "sweep.matrix.threshold-search.flops_ratio = [0.3, 0.30]",
            "sweep.matrix.retrain.optimizer = [0.1]",
            "sweep.matrix.seed = \"3..1\"",
            "sweep.matrix.init.arch = [\"vgg12\"]",
            "sweep.zip.seed = [1, 2]\nsweep.zip.retrain.epochs = [1]",
            "sweep.zip.seed = [1, 2]\nsweep.matrix.seed = [1]",
            "sweep.matrix.seed = [1, 2]\n[[sweep.exclude]]\nsed = 1",
            "sweep.matrix.seed = [1, 2]\n[[sweep.exclude]]\nretrain.epochs = 1",
            "sweep.matrix.seed = [1, 2]\n[[sweep.exclude]]\nseed = 3",
            "sweep.matrix.seed = [1, 2]\n[[sweep.exclude]]\nseed = [1, 2]",
            "sweep.matrix.seed = [1, 2]\n[sweep.exclude]\nseed = 1",
            "sweep.matrix.seed = \"1..1000\"\nsweep.matrix.init.seed = \"1..1000\"",
        ]
        .map(case)
        .concat()
    );
    let over =
        |over: &[&str]| points("sweep.zip.seed = [1, 2]\nsweep.zip.retrain.epochs = [1, 2]", &[], over);
    assert_eq!(over(&["seed=5,6"]).lines().count(), 2);
    assert!(over(&["seed=5"]).contains("`zip` takes its axes side by side"), "{}", over(&["seed=5"]));
}

#[test]
fn a_point_keeps_its_name_and_its_work_when_axes_move_or_are_added() {
    let turned = "[sweep.matrix]\nseed = [1, 2]\nthreshold-search.flops_ratio = \"0.3..0.5 step 0.2\"\n";
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(points(MATRIX, &[], &[])), sorted(points(turned, &[], &[])));
    // Finer steps and more digits are no other point.
    let finer = points("sweep.matrix.threshold-search.flops_ratio = \"0.10..0.5 step 0.05\"", &[], &[]);
    assert!(finer.contains("ratio=0.3\n") && finer.contains("ratio=0.5\n"), "{finer}");
    let work = |sweep: &str| {
        let loaded =
            pipeline::parse("p.toml", &format!("{sweep}\n{STAGES}"), &[], stages::catalog()).unwrap();
        let graph = Graph::new(&loaded.points(&[]).unwrap(), &mut DataIdentities::new(None)).unwrap();
        graph.nodes.iter().map(|node| node.definition).collect::<std::collections::BTreeSet<_>>()
    };
    let before = work("seed = 1\nsweep.matrix.threshold-search.flops_ratio = [0.3, 0.5]");
    assert!(work(MATRIX).is_superset(&before), "the points at seed 1 are those of before");
}

/// The small pipeline, with training cut short and a sweep of two ratios.
fn small() -> tempfile::TempDir {
    let small = SMALL.replace("epochs = 3", "steps = 4").replace("epochs = 4", "epochs = 2");
    folder_with(&format!("{small}[sweep.matrix]\nthreshold-search.flops_ratio = [0.3, 0.6]\n"))
}

/// The same with a longer training, to be interrupted.
fn long() -> tempfile::TempDir {
    folder_with(&format!("{SMALL}[sweep.matrix]\nthreshold-search.flops_ratio = [0.3, 0.6]\n"))
}

fn events(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn run(folder: &Path, cache: &str, more: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let output = runner(folder, cache, &[&["run", "p.toml", "--json"], more].concat()).output().unwrap();
    let (stdout, stderr) = text(&output);
    (output.status.code(), events(&stdout), stderr)
}

/// Of the events of one name, the stage and its point.
fn told(events: &[Value], name: &str) -> Vec<String> {
    let named = events.iter().filter(|event| event["event"] == name);
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let short = |point: String| point.replace("threshold-search.flops_", "");
    named
        .map(|event| format!("{} {}", word(event, "stage"), short(word(event, "point"))).trim().to_owned())
        .collect()
}

#[test]
fn a_file_with_a_sweep_runs_at_all_points_and_a_new_ratio_runs_only_what_is_new() {
    let folder = small();
    let plan = stdout(folder.path(), "c", &["plan", "p.toml"]);
    assert!(plan.contains("2 points, 12 stage uses, 10 to run, 2 shared"), "{plan}");
    let (code, first, error) = run(folder.path(), "c", &[]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(first.last().unwrap()["ran"], 10);
    let over = ["--over", "threshold-search.flops_ratio=0.3,0.45"];
    let (_, second, _) = run(folder.path(), "c", &over);
    let new = ["threshold-search", "prune", "retrain", "eval"].map(|stage| format!("{stage} ratio=0.45"));
    assert_eq!(told(&second, "stage-started"), new);
    // The ratio that this run left out has kept its results.
    assert_eq!(told(&run(folder.path(), "c", &[]).1, "stage-started"), Vec::<String>::new());
    // The same command under another name.
    let ended = stdout(folder.path(), "c", &["sweep", "p.toml", "--json"]);
    assert!(ended.lines().last().unwrap().contains(r#""status":"done","ran":0,"cached":10"#), "{ended}");
}

#[test]
fn results_come_point_by_point() {
    let folder = small();
    let (_, events, _) = run(folder.path(), "c", &[]);
    let stages = ["threshold-search", "prune", "retrain", "eval"];
    let mut order = vec!["init".to_owned(), "gate-train".to_owned()];
    for ratio in ["0.3", "0.6"] {
        order.extend(stages.iter().map(|stage| format!("{stage} ratio={ratio}")));
    }
    assert_eq!(told(&events, "stage-started"), order);
    let at = |name: &str, point: &str| {
        events.iter().position(|event| event["event"] == name && event["point"] == point).unwrap()
    };
    let (first, second) = ("threshold-search.flops_ratio=0.3", "threshold-search.flops_ratio=0.6");
    assert!(at("point-finished", first) < at("stage-started", second));
    assert_eq!(events[at("point-finished", second)]["ended"], 2);
}

#[test]
fn stages_side_by_side_give_the_same_results() {
    let folder = small();
    let over = ["--over", "seed=1,2"];
    let (code, one, error) = run(folder.path(), "one", &over);
    assert_eq!(code, Some(0), "{error}");
    let all: &[&str] = &[&over[..], &["--jobs", "3", "--threads", "2"]].concat();
    let (code, three, error) = run(folder.path(), "three", all);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(objects(folder.path(), "one"), objects(folder.path(), "three"));
    let sorted = |events: &[Value]| {
        let mut names = told(events, "stage-finished");
        names.sort();
        names
    };
    assert_eq!(sorted(&one), sorted(&three));
    // Two gate-trainings, and a stage starts before another one ends.
    let kinds: Vec<&str> = three.iter().filter_map(|event| event["event"].as_str()).collect();
    let running = kinds.iter().scan(0, |running, kind| {
        *running += i32::from(*kind == "stage-started") - i32::from(*kind == "stage-finished");
        Some(*running)
    });
    assert!((2..=3).contains(&running.max().unwrap()), "{kinds:?}");
}

/// A learning rate at which the loss is no number soon.
const BAD: [&str; 4] =
    ["--set", "retrain.optimizer.weight_decay=1", "--over", "retrain.optimizer.lr=0.05,100"];

#[test]
fn a_failing_point_does_not_take_the_others_along() {
    let folder = small();
    let one = ["run", "p.toml", "--retries", "2", "--set", "threshold-search.flops_ratio=0.3"];
    let all = [&one, &BAD[..]].concat();
    let output = runner(folder.path(), "c", &all).output().unwrap();
    let (out, error) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    insta::with_settings!({omit_expression => true, filters => vec![
        (r"\d+(\.\d)? m?s\b", "[took]"),
        (r" *\d+\.\d\d%", " [%]"),
        (r"\d+\.\d%", "[%]"),
        (r"the loss is NaN at .*|`\S+` is not finite after .*", "[no number]"),
        (r"\d+\.\d\d\d\b", "[figure]"),
        (r" *\d+\.\d\d (k|M|KiB)\b", " [size]"),
        (r"\(cpu, \d+ threads?\)", "(cpu, [threads])"),
        (r"(kept|best) epoch \d", "$1 epoch [n]"),
    ]}, { insta::assert_snapshot!(error) });
    assert!(out.contains("retrain"), "what is done is told: {out}");
    // The command that it names shows the log.
    let command = error.lines().find_map(|line| line.trim().strip_prefix("runner log ")).unwrap();
    let words: Vec<&str> = command.strip_suffix(" --cache c").unwrap().split_whitespace().collect();
    let log = stdout(folder.path(), "c", &[&["log"], &words[..]].concat());
    assert!(log.contains("learning rate of"), "{log}");
}

#[test]
fn a_single_pipeline_stops_at_a_failure_and_goes_on_if_told_so() {
    let more = "[[stage]]\nname = \"full\"\nkind = \"retrain\"\ninputs.network = \"init\"\nepochs = 1\nbatch_size = 32\n";
    let small = SMALL.replace("epochs = 3", "steps = 4").replace("epochs = 4", "epochs = 2");
    let folder = folder_with(&format!("{small}{more}"));
    let bad = [BAD[0], BAD[1], "--set", "retrain.optimizer.lr=100"];
    let (code, events, error) = run(folder.path(), "c", &bad);
    assert_eq!((code, told(&events, "stage-failed")), (Some(1), vec!["retrain".to_owned()]), "{error}");
    assert!(error.contains("stage `retrain` failed"), "{error}");
    assert_eq!(told(&events, "stage-skipped"), Vec::<String>::new());
    assert!(!told(&events, "stage-finished").contains(&"full".to_owned()));
    let (code, events, _) = run(folder.path(), "c", &[&bad[..], &["--keep-going"]].concat());
    assert_eq!((code, told(&events, "stage-skipped")), (Some(1), vec!["eval".to_owned()]));
    assert!(told(&events, "stage-finished").contains(&"full".to_owned()));
    let (_, events, _) =
        run(folder.path(), "d", &[BAD[0], BAD[1], "--over", "retrain.optimizer.lr=100,0.05", "--fail-fast"]);
    assert_eq!(told(&events, "point-finished"), Vec::<String>::new());
}

#[test]
fn what_may_pass_is_tried_again_and_ends_with_the_same_results() {
    let folder = long();
    let one = ["--set", "threshold-search.flops_ratio=0.3", "--until", "gate-train"];
    assert_eq!(run(folder.path(), "whole", &one).0, Some(0));
    // A file in the place of the folder of states: no state can be saved.
    assert_eq!(run(folder.path(), "c", &[&one[..2], &["--until", "init"]].concat()).0, Some(0));
    let obstacle = folder.path().join("c/partial");
    std::fs::write(&obstacle, "").unwrap();
    let all = [&["run", "p.toml", "--json", "--retries", "5"], &one[..]].concat();
    let mut child = runner(folder.path(), "c", &all).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in std::io::BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("stage-retried") && obstacle.is_file() {
            std::fs::remove_file(&obstacle).unwrap();
        }
        lines.push(line);
    }
    assert!(child.wait().unwrap().success(), "{lines:?}");
    let events = events(&lines.join("\n"));
    assert_eq!(told(&events, "stage-retried"), ["gate-train"]);
    assert_eq!(told(&events, "stage-failed"), ["gate-train"]);
    assert_eq!(objects(folder.path(), "c"), objects(folder.path(), "whole"));
}

#[test]
fn a_stage_that_runs_too_long_is_stopped_and_a_longer_time_goes_on() {
    let slow = SMALL.replace("epochs = 3", "epochs = 100000\ntimeout = \"2s\"");
    let folder = folder_with(&slow);
    let (code, events, error) = run(folder.path(), "c", &["--timeout", "10h", "--until", "gate-train"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("stage `gate-train` was stopped after 2"), "{error}");
    assert_eq!(told(&events, "stage-failed"), ["gate-train"]);
    let plan = stdout(folder.path(), "c", &["plan", "p.toml"]);
    assert!(plan.contains("goes on from a saved state"), "{plan}");
    std::fs::write(folder.path().join("q.toml"), SMALL.replace("epochs = 3", "epochs = 3\ntimeout = 5"))
        .unwrap();
    let wrong = text(&runner(folder.path(), "c", &["plan", "q.toml"]).output().unwrap()).1;
    assert!(wrong.contains("`timeout` must be a time, found 5"), "{wrong}");
    // It is no part of what a stage is.
    std::fs::write(folder.path().join("q.toml"), slow.replace("timeout = \"2s\"", "timeout = \"1h 30min\""))
        .unwrap();
    let plan = stdout(folder.path(), "c", &["plan", "q.toml"]);
    assert!(plan.contains("goes on from a saved state"), "{plan}");
}

#[cfg(unix)]
#[test]
fn a_killed_sweep_and_an_interrupted_one_end_with_the_same_results() {
    let folder = long();
    let jobs = ["run", "p.toml", "--quiet", "--jobs", "2", "--over", "seed=1,2"];
    let clock = std::time::Instant::now();
    assert!(runner(folder.path(), "whole", &jobs).status().unwrap().success());
    let length = clock.elapsed();
    let whole = objects(folder.path(), "whole");
    let mut stopped = 0;
    for (number, signal) in ["KILL", "INT", "KILL", "INT"].into_iter().enumerate() {
        let cache = format!("{signal} {number}");
        let mut child = runner(folder.path(), &cache, &jobs).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(length.mul_f64(0.15 + 0.2 * number as f64));
        let kill = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        let is_stopped = kill.unwrap().success() && !child.wait().unwrap().success();
        stopped += usize::from(is_stopped);
        if signal == "INT" && is_stopped {
            let mut error = String::new();
            std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut error).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(130), "{error}");
            assert!(error.contains("to go on: runner run p.toml"), "{error}");
        }
        assert!(runner(folder.path(), &cache, &jobs).status().unwrap().success());
        assert!(objects(folder.path(), &cache) == whole, "{cache} after {length:?}");
        assert!(files(&folder.path().join(&cache), "partial").is_empty());
    }
    assert!(stopped > 0, "every run ended before it could be stopped");
}

#[test]
fn the_graph_of_a_sweep_says_what_is_cached() {
    let folder = small();
    let mut story = stdout(folder.path(), "c", &["graph", "p.toml"]);
    assert_eq!(run(folder.path(), "c", &["--set", "threshold-search.flops_ratio=0.3"]).0, Some(0));
    story += &stdout(folder.path(), "c", &["graph", "p.toml"]);
    story += &stdout(folder.path(), "c", &["graph", "p.toml", "--set", "threshold-search.flops_ratio=0.3"]);
    story += &stdout(folder.path(), "c", &["graph", "p.toml", "--format", "mermaid"]);
    snapshot!(story);
}

#[test]
fn a_run_is_kept_with_its_command_its_points_and_its_work() {
    let folder = small();
    let none = runner(folder.path(), "c", &["runs"]).output().unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none).1.contains("there is no cache at c"), "{}", text(&none).1);
    assert_eq!(run(folder.path(), "c", &["--over", "seed=1,2", "--until", "gate-train"]).0, Some(0));
    assert_eq!(run(folder.path(), "c", &["--over", "seed=1,2", "--until", "gate-train"]).0, Some(0));
    let runs: Value = serde_json::from_str(&stdout(folder.path(), "c", &["runs", "--json"])).unwrap();
    let runs = runs.as_object().unwrap();
    assert_eq!(runs.len(), 1, "a run that finds everything leaves no trace");
    let (id, kept) = runs.iter().next().unwrap();
    assert_eq!((&kept["status"], kept["points"].as_array().unwrap().len()), (&"done".into(), 4));
    assert_eq!(kept["file"], std::fs::read_to_string(folder.path().join("p.toml")).unwrap());
    let stages = kept["stages"].as_array().unwrap();
    let of = |state: &str| stages.iter().filter(|stage| stage["state"] == state).count();
    assert_eq!((of("ran"), of("left")), (4, 16), "{kept}");
    assert!(
        stages.iter().filter(|stage| stage["state"] == "ran").all(|stage| stage["fingerprint"].is_string())
    );
    let shown = [stdout(folder.path(), "c", &["runs"]), stdout(folder.path(), "c", &["runs", id])].concat();
    let (shown, place) = (shown.replace(id.as_str(), "[run]"), folder.path().canonicalize().unwrap());
    let shown = shown
        .replace(&place.display().to_string(), "[folder]")
        .replace(&folder.path().display().to_string(), "[folder]");
    insta::with_settings!({omit_expression => true, filters => vec![
        (r"\d{4}-\d\d-\d\d \d\d:\d\d", "[time]"),
        (r"\b[0-9a-f]{12}\b", "[hash of 12]"),
        (r"\b[0-9a-f]{64}\b", "[hash of 64]"),
        (r"took( +)\S+ m?s", "took$1[took]"),
        (r"machine  \S+", "machine  [host]"),
        (r"runner   \S+.*", "runner   [version]"),
        (r"\S+/runner run", "runner run"),
    ]}, { insta::assert_snapshot!(shown) });
    let unknown = runner(folder.path(), "c", &["runs", "x"]).output().unwrap();
    assert!(text(&unknown).1.contains("no run is called `x`"));
}

/// Two rules whose scores one search takes, and a full network beside them.
const RULES: &str = "\
[[stage]]
kind = \"init\"
arch = \"vgg11\"
width = 4
[[stage]]
kind = \"gate-train\"
inputs.network = \"init\"
steps = 2
[[stage]]
kind = \"gates\"
inputs.network = \"gate-train\"
[[stage]]
kind = \"uniform\"
inputs.network = \"init\"
[[stage]]
name = \"search\"
kind = \"threshold-search\"
inputs.scores = \"gates\"
[[stage]]
kind = \"prune\"
inputs.channels = \"search\"
[[stage]]
kind = \"retrain\"
inputs.network = \"prune\"
epochs = 1
[[stage]]
kind = \"eval\"
inputs.network = \"retrain\"
latency = false
";

const RULES_SWEEP: &str = "[sweep.matrix]\nsearch.inputs.scores = [\"gates\", \"uniform\"]\nsearch.flops_ratio = [0.3, 0.5]\n\
                           [[sweep.include]]\nretrain.inputs.network = \"init\"\n";

/// Every point with its stages, or the mistakes.
fn stages_of(text: &str, over: &[&str]) -> String {
    let over: Vec<String> = over.iter().map(|&over| over.to_owned()).collect();
    let loaded = pipeline::parse("p.toml", text, &[], stages::catalog());
    let points = match loaded.and_then(|pipeline| pipeline.points(&over)) {
        Ok(points) => points,
        Err(error) => return drawn(&error),
    };
    let line = |point: &runner::plan::PointNodes| {
        let names: Vec<&str> = point.stages.iter().map(|(name, _)| name.as_str()).collect();
        format!("{}: {}\n", point.name(), names.join(" "))
    };
    Graph::new(&points, &mut DataIdentities::new(None)).unwrap().points.iter().map(line).collect()
}

#[test]
fn an_input_is_swept_and_a_point_has_the_stages_that_it_needs() {
    let case = |name: &str, text: String| format!("## {name}\n{text}\n");
    let file = format!("{RULES_SWEEP}{RULES}");
    snapshot!(
        [
            case("in the file", stages_of(&file, &[])),
            case("on the command line", stages_of(RULES, &["search.inputs.scores=uniform,gates"])),
            case("in place of the file's", stages_of(&file, &["search.inputs.scores=uniform"])),
            case(
                "no stage",
                stages_of(&file.replace("[\"gates\", \"uniform\"]", "[\"gates\", \"unifrm\"]"), &[])
            ),
            case("of another type", stages_of(RULES, &["search.inputs.scores=init"])),
            case("no role", stages_of(RULES, &["search.inputs.score=gates"])),
            case("a stage that needs itself", stages_of(RULES, &["gate-train.inputs.network=init,retrain"])),
            case(
                "twice",
                stages_of(
                    &format!("sweep.matrix.search.inputs.scores = [\"gates\", \"gates\"]\n{RULES}"),
                    &[]
                )
            ),
            case(
                "no array",
                stages_of(&format!("sweep.matrix.search.inputs.scores = \"gates\"\n{RULES}"), &[])
            ),
            case("the roles", stages_of(&format!("sweep.matrix.search.inputs = [\"gates\"]\n{RULES}"), &[])),
            case("the kind", stages_of(&format!("sweep.matrix.uniform.kind = [\"random\"]\n{RULES}"), &[])),
            case("the kind, for one call", stages_of(RULES, &["uniform.kind=random,l1"])),
        ]
        .concat()
    );
}

#[test]
fn a_sweep_over_rules_runs_each_piece_of_work_once_and_gates_as_scores_change_no_network() {
    let data = "[data]\nlimit_train = 100\nlimit_test = 50\n";
    let folder = folder_with(&format!("{data}{RULES_SWEEP}{RULES}"));
    let (code, events, said) = run(folder.path(), "c", &[]);
    assert_eq!(code, Some(0), "{said}");
    let finished = events.iter().filter(|event| event["event"] == "stage-finished").count();
    // init, gate-train, 2 rules; 4 points of search, prune, retrain, eval; the full network's retrain and eval.
    assert_eq!(finished, 4 + 4 * 4 + 2);
    // A search that takes the gates of the network itself finds the same channels: all below it is there.
    let direct =
        RULES.replace("inputs.scores = \"gates\"", "inputs.network = \"gate-train\"\nflops_ratio = 0.3");
    std::fs::write(folder.path().join("p.toml"), format!("{data}{direct}")).unwrap();
    let (code, events, said) = run(folder.path(), "c", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(told(&events, "stage-finished").len(), 1, "the search alone: {events:?}");
}

#[test]
fn a_plan_can_be_made_before_the_data_is_there_and_a_run_says_what_is_missing() {
    let study = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/vgg19_ablation.toml");
    let folder = tempfile::tempdir().unwrap();
    let plan = stdout(folder.path(), "c", &["plan", study]);
    // Three seeds of: seven rules, three ratios, two budgets; two rules with their weights at three ratios; the full network.
    assert!(plan.starts_with("vgg19_ablation: 147 points, "), "{plan}");
    let json = stdout(folder.path(), "c", &["plan", study, "--over", "seed=1", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let why = |kind: &str| {
        let stages = json["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["kind"] == kind).unwrap()["why"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(why("gate-train"), "cifar10 is not here yet (`runner data fetch cifar10`)");
    assert_eq!(why("init"), "never run");
    let output = runner(folder.path(), "c", &["run", study]).output().unwrap();
    assert!(text(&output).1.contains("the data set cifar10 is not here"), "{}", text(&output).1);
    assert!(files(&folder.path().join("c"), "records").is_empty(), "nothing has run");
}

#[test]
fn an_input_that_is_set_may_point_down_the_file_and_a_cycle_is_told() {
    let with = |set: &str| pipeline::parse("p.toml", RULES, &[set.to_owned()], stages::catalog());
    let points = with("uniform.inputs.network=retrain").unwrap().points(&[]).unwrap();
    let graph = Graph::new(&points, &mut DataIdentities::new(None)).unwrap();
    let (place, uniform) = graph.iter().find(|(_, node)| node.name == "uniform").unwrap();
    let giver = uniform.inputs.iter().map(|edge| edge.from).next().unwrap();
    assert!(graph.node(giver).name == "retrain" && giver < place);
    let error = drawn(&with("gate-train.inputs.network=retrain").unwrap_err());
    assert!(error.contains("the stages need each other") && error.contains("the command line"), "{error}");
}
