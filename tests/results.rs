//! Reading results: tables, comparisons, repetitions, and a run that is watched.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod binary;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use binary::{SMALL, flat, folder_with, runner, stdout, succeeds, text};
use serde_json::Value;

/// Uniform gates beside the learned ones of the small pipeline.
const UNIFORM: &str = r#"
[[stage]]
kind = "uniform"
inputs.network = "init"
[[stage]]
name = "search-uniform"
kind = "threshold-search"
inputs.scores = "uniform"
flops_ratio = 0.5
[[stage]]
name = "prune-uniform"
kind = "prune"
inputs.channels = "search-uniform"
[[stage]]
name = "retrain-uniform"
kind = "retrain"
inputs.network = "prune-uniform"
epochs = 2
batch_size = 32
[[stage]]
name = "eval-uniform"
kind = "eval"
inputs.network = "retrain-uniform"
"#;

/// Both, in about a second.
fn both() -> String {
    let smaller = [
        ("limit_train = 400", "limit_train = 200"),
        ("limit_test = 100", "limit_test = 50"),
        ("width = 4", "width = 2"),
        ("epochs = 3", "epochs = 2"),
        ("epochs = 4", "epochs = 2"),
        ("latency = false", ""),
    ];
    smaller.iter().fold(SMALL.to_owned(), |text, (from, to)| text.replace(from, to)) + UNIFORM
}

const OVER: [&str; 4] = ["--over", "seed=1..3", "--over", "threshold-search.flops_ratio=0.3,0.6"];

fn study() -> tempfile::TempDir {
    folder_with(&both())
}

fn with<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, more].concat()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(folder, "c", arguments)).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Mean and sample standard deviation, as the textbook has them.
fn spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len() - 1) as f64).sqrt())
}

#[test]
fn a_table_s_figures_are_those_of_the_records() {
    let folder = study();
    let here = folder.path();
    succeeds(here, "c", &with(&["run", "p.toml", "--quiet"], &OVER));
    let table = |more: &[&str]| stdout(here, "c", &[&["table", "p.toml"], &OVER[..], more].concat());
    let parsed: Value =
        serde_json::from_str(&table(&["--format", "json", "--baseline", "retrain-uniform"])).unwrap();
    let rows = parsed["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    // Each evaluation by hand.
    let evaluated = |stage: &str, seed: u32, ratio: &str| -> Value {
        let eval = if stage == "retrain" { "eval" } else { "eval-uniform" };
        let at = [format!("seed={seed}"), format!("threshold-search.flops_ratio={ratio}")];
        let shown = json(here, &["show", "p.toml", eval, "--json", "--set", &at[0], "--set", &at[1]]);
        shown["record"]["metrics"]["networks"]["best"].clone()
    };
    for row in rows {
        let (stage, ratio) =
            (row["stage"].as_str().unwrap(), row["point"]["threshold-search.flops_ratio"].as_str().unwrap());
        let own: Vec<Value> = (1..=3).map(|seed| evaluated(stage, seed, ratio)).collect();
        let of = |key: &str| own.iter().map(|found| number(&found[key])).collect::<Vec<f64>>();
        for key in ["accuracy", "loss", "macs", "parameters"] {
            let (mean, sd) = spread(&of(key));
            let found = &row["figures"][key];
            assert!(
                (number(&found["mean"]) - mean).abs() <= 1e-9 * mean.abs().max(1.0),
                "{stage} {ratio} {key}"
            );
            assert!((number(&found["sd"]) - sd).abs() <= 1e-9 * sd.abs().max(1.0), "{stage} {ratio} {key}");
            assert_eq!(found["n"], 3);
        }
        // Achieved, not wanted.
        let kept: Vec<f64> =
            own.iter().map(|found| number(&found["macs"]) / number(&found["plain_macs"])).collect();
        assert!((number(&row["figures"]["flops_ratio"]["mean"]) - spread(&kept).0).abs() < 1e-12);
        assert!(number(&row["figures"]["latency_1_ms"]["mean"]) > 0.0);
        assert!(number(&row["figures"]["latency_64_ms"]["mean"]) > 0.0);
        if stage == "retrain" {
            let other: Vec<f64> =
                (1..=3).map(|seed| number(&evaluated("retrain-uniform", seed, ratio)["accuracy"])).collect();
            let differences: Vec<f64> = of("accuracy").iter().zip(&other).map(|(a, b)| a - b).collect();
            let (mean, sd) = spread(&differences);
            // t(0.975, 2), from any printed table.
            let half = 4.302_652_73 * sd / 3f64.sqrt();
            let found = &row["against_baseline"];
            assert_eq!(found["n"], 3);
            assert!((number(&found["mean"]) - mean).abs() < 1e-12);
            assert!((number(&found["interval"][0]) - (mean - half)).abs() < 1e-6, "{found}");
            assert!((number(&found["interval"][1]) - (mean + half)).abs() < 1e-6, "{found}");
        } else {
            assert!(row["against_baseline"].is_null());
        }
    }
    // Sharing: what every point of a sweep does alone, counted by hand from the plan's uses.
    let status = json(here, &with(&["status", "p.toml", "--json"], &OVER));
    let (mut once, mut alone, mut uses) = (0.0, 0.0, 0);
    for stage in status["stages"].as_array().unwrap() {
        let points = stage["points"].as_array().unwrap().len();
        once += number(&stage["seconds"]);
        alone += number(&stage["seconds"]) * points as f64;
        uses += points;
    }
    let sharing = &parsed["sharing"];
    assert_eq!((sharing["stage_uses"].as_u64(), sharing["points"].as_u64()), (Some(uses as u64), Some(6)));
    assert!(
        (number(&sharing["seconds"]) - once).abs() < 1e-9
            && (number(&sharing["seconds_alone"]) - alone).abs() < 1e-9
    );
    assert!((number(&sharing["seconds_saved"]) - (alone - once)).abs() < 1e-9);
    assert_eq!(parsed["missing"], 0);
    // As text it fits, and tells the same.
    let words = table(&["--baseline", "retrain-uniform"]);
    assert!(words.lines().all(|line| line.chars().count() <= 80), "{words}");
    assert!(
        words.contains("shared between points: 45 stages for 66") && words.contains("vs retrain-uniform"),
        "{words}"
    );
    for head in
        ["accuracy", "FLOPs kept", "parameters", "size", "train time", "over 3 seeds", "Holm's correction"]
    {
        assert!(flat(&words).contains(head), "{head}: {words}");
    }
    // Latency is shown where it is asked for, with the machine that it was measured on.
    assert!(!words.contains("ms at 1"), "{words}");
    let times = table(&["--metric", "latency_1_ms"]);
    assert!(times.contains("ms at 1") && flat(&times).contains("median, measured on"), "{times}");
    assert!(times.lines().all(|line| line.chars().count() <= 80), "{times}");
    // Grouped by the seed, the ratios are averaged over.
    let grouped: Value = serde_json::from_str(&table(&["--format", "json", "--group-by", "seed"])).unwrap();
    let first = &grouped["rows"][0];
    assert_eq!(
        (&first["point"], &first["figures"]["accuracy"]["n"]),
        (&serde_json::json!({"seed": "1"}), &2.into())
    );
    // The uniform gates do not depend on the ratio: one network at two points.
    let uniform =
        grouped["rows"].as_array().unwrap().iter().find(|row| row["stage"] == "retrain-uniform").unwrap();
    assert_eq!(
        (&uniform["n"], &uniform["points"], &uniform["figures"]["loss"]["n"]),
        (&1.into(), &2.into(), &1.into())
    );
    // Means over both ratios and all seeds, and an interval over seeds.
    let over_all: Value = serde_json::from_str(&table(&[
        "--format",
        "json",
        "--group-by",
        "seed",
        "--set",
        "init.width=2",
        "--baseline",
        "retrain-uniform",
    ]))
    .unwrap();
    assert!(
        over_all["rows"][0]["against_baseline"]["interval"].is_null(),
        "one seed is one sample: {over_all}"
    );
    // A value of a swept key as the baseline.
    let by_value: Value =
        serde_json::from_str(&table(&["--format", "json", "--baseline", "flops_ratio=0.6"])).unwrap();
    assert_eq!(by_value["rows"][0]["against_baseline"]["n"], 3);
    // Every spelling of the number is the same value.
    let spelt: Value =
        serde_json::from_str(&table(&["--format", "json", "--baseline", "flops_ratio=6e-1"])).unwrap();
    assert_eq!(spelt["rows"], by_value["rows"]);
    the_figure_agrees(here, rows);
    the_best_is_found(here, rows);
    // Every other format has every row.
    let csv = table(&["--format", "csv", "--metric", "accuracy"]);
    assert!(
        csv.starts_with("threshold-search.flops_ratio,stage,output,n,accuracy,accuracy_sd,difference,"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 5);
    let markdown = table(&["--format", "markdown"]);
    assert_eq!(markdown.lines().filter(|line| line.starts_with('|')).count(), 6, "{markdown}");
    let latex = table(&["--format", "latex"]);
    assert!(
        latex.contains("flops\\_ratio") && latex.contains("\\%") && latex.contains("\\toprule"),
        "{latex}"
    );
    // What is not there is said.
    for (wrong, words) in [
        (["--baseline", "nothing"], "no evaluated network comes from the stage `nothing`"),
        (["--baseline", "seed=9"], "evaluated are 1, 2, 3"),
        (["--baseline", "retrain-un"], "threshold-search.flops_ratio=0.3"),
        (["--sort", "speed"], "the figures are accuracy, loss"),
        (["--group-by", "epochs"], "`epochs` is not swept"),
        (["--metric", "speed"], "the figures are accuracy, loss"),
    ] {
        let output =
            runner(here, "c", &[&["table", "p.toml"], &OVER[..], &wrong[..]].concat()).output().unwrap();
        assert!(!output.status.success() && flat(&text(&output).1).contains(words), "{}", text(&output).1);
    }
}

/// The Pareto figure has the table's means over the table's networks.
fn the_figure_agrees(here: &Path, rows: &[Value]) {
    succeeds(here, "c", &with(&["plot", "p.toml", "pareto", "--format", "csv", "--to", "figures"], &OVER));
    let file = here.join("figures/pareto.csv");
    let mut reader = csv::Reader::from_path(file).unwrap();
    let head = reader.headers().unwrap().clone();
    let at = |name: &str| head.iter().position(|column| column == name).unwrap();
    let drawn: Vec<[f64; 4]> = reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            ["n", "accuracy_mean", "accuracy_sd", "flops_ratio_mean"]
                .map(|name| record[at(name)].parse().unwrap_or(0.0))
        })
        .collect();
    // One point of the figure for the network that the ratio does not change, and one row for each ratio in
    // the table.
    assert_eq!(drawn.len(), 3, "{drawn:?}");
    for row in rows {
        let figure = |key: &str, of: &str| row["figures"][key][of].as_f64().unwrap_or(0.0);
        let own = [
            number(&row["n"]),
            figure("accuracy", "mean"),
            figure("accuracy", "sd"),
            figure("flops_ratio", "mean"),
        ];
        let near = |other: &[f64; 4]| own.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(drawn.iter().any(near), "{own:?} is not in {drawn:?}");
    }
}

/// `best`, `--best`, `--sort`, `runs` and `log` tell the same results.
fn the_best_is_found(here: &Path, rows: &[Value]) {
    let best = json(here, &with(&["best", "p.toml", "--json"], &OVER));
    let accuracy = number(&best["figures"]["accuracy"]);
    let path = here.join(best["path"].as_str().unwrap());
    assert!(
        path.is_file() && path.display().to_string().contains(best["object"].as_str().unwrap()),
        "{best}"
    );
    assert!(number(&rows[0]["figures"]["accuracy"]["mean"]) <= accuracy + 1e-9);
    let runs = json(here, &["runs", "--json"]);
    assert_eq!(number(&runs.as_object().unwrap().values().next().unwrap()["best_accuracy"]), accuracy);
    assert!(stdout(here, "c", &["runs"]).contains(&format!("best {:.2}%", 100.0 * accuracy)));
    assert!(stdout(here, "c", &["runs", "last"]).contains("accuracy "));
    let words = stdout(here, "c", &with(&["best", "p.toml"], &OVER));
    assert!(words.contains("runner show p.toml retrain") && words.contains("cp c/objects/"), "{words}");
    // The command that it names works.
    let stage = words.lines().find_map(|line| line.trim().strip_prefix("runner show p.toml ")).unwrap();
    let stage = stage.split(' ').next().unwrap();
    let shown = stdout(here, "c", &with(&["show", "p.toml", stage], &OVER));
    assert!(shown.contains(&best["object"].as_str().unwrap()[..12]), "{shown}");
    // Rows by a figure.
    let sorted = json(here, &with(&["table", "p.toml", "--format", "json", "--sort", "loss"], &OVER));
    let losses: Vec<f64> = sorted["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| number(&row["figures"]["loss"]["mean"]))
        .collect();
    assert!(losses.len() == 4 && losses.is_sorted(), "{losses:?}");
    let one = json(here, &with(&["table", "p.toml", "--format", "json", "--sort", "loss", "--best"], &OVER));
    assert_eq!(one["rows"].as_array().unwrap().as_slice(), &sorted["rows"].as_array().unwrap()[..1]);
    // A log of one point, however its numbers are spelt.
    let log = stdout(here, "c", &with(&["log", "p.toml", "retrain@flops_ratio=3e-1,seed=2"], &OVER));
    assert!(log.contains("epoch") && !log.contains("retrain  ("), "{log}");
    let wrong = runner(here, "c", &with(&["log", "p.toml", "retrain@seed=9"], &OVER)).output().unwrap();
    assert!(flat(&text(&wrong).1).contains("seed = 1, 2, 3"), "{}", text(&wrong).1);
}

#[test]
fn a_pipeline_without_a_name_is_called_by_its_file() {
    let folder = study();
    let unnamed = both().replacen("name = \"small\"\n", "", 1);
    std::fs::write(folder.path().join("my study.toml"), unnamed).unwrap();
    assert!(stdout(folder.path(), "c", &["plan", "my study.toml"]).contains("my study: "));
}

#[test]
fn results_pipelines_and_runs_are_compared() {
    let folder = study();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet"]);
    succeeds(here, "c", &["run", "p.toml", "--quiet", "--set", "retrain.epochs=3"]);
    let compare = |what: &[&str]| stdout(here, "c", &[&["compare"], what].concat());
    // Two stages.
    let found = compare(&["p.toml", "retrain", "retrain-uniform"]);
    assert!(found.lines().all(|line| line.chars().count() <= 80), "{found}");
    for words in ["structure best, last", "best.accuracy", "input network", "of them have other shapes"] {
        assert!(found.contains(words), "{words}: {found}");
    }
    let found = json(here, &["compare", "p.toml", "retrain", "retrain-uniform", "--json"]);
    let objects = |stage: &str| json(here, &["show", "p.toml", stage, "--json"])["record"]["outputs"].clone();
    assert_eq!(found["files"][0]["a"]["object"], objects("retrain")["best"]["object"]);
    let accuracy =
        found["metrics"].as_array().unwrap().iter().find(|pair| pair["key"] == "best.accuracy").unwrap();
    let evaluated = |eval: &str| {
        number(
            &json(here, &["show", "p.toml", eval, "--json"])["record"]["metrics"]["networks"]["best"]["accuracy"],
        )
    };
    assert_eq!(
        (number(&accuracy["a"]), number(&accuracy["b"])),
        (evaluated("eval"), evaluated("eval-uniform"))
    );
    // A result and itself, as a file.
    let show = json(here, &["show", "p.toml", "prune", "--json"]);
    let object = show["files"][0]["path"].as_str().unwrap();
    std::fs::copy(here.join(object), here.join("copy.safetensors")).unwrap();
    let hash = show["files"][0]["object"].as_str().unwrap();
    let found = compare(&["copy.safetensors", &hash[..12]]);
    assert!(found.contains("identical: both files are the same bytes"), "{found}");
    // A pipeline and itself; two runs, one of them with one more epoch: the parameter is named.
    let found = compare(&["p.toml", "p.toml"]);
    assert!(found.contains("11 stages the same"), "{found}");
    let runs = json(here, &["runs", "--json"]);
    let ids: Vec<&String> = runs.as_object().unwrap().keys().collect();
    let found = compare(&[ids[0], "last"]);
    assert!(found.contains("epochs: 2 -> 3") && found.contains("9 stages the same, 2 differ"), "{found}");
    assert!(found.lines().all(|line| line.chars().count() <= 80), "{found}");
    // Two files.
    std::fs::write(here.join("q.toml"), both().replace("flops_ratio = 0.5", "flops_ratio = 0.4")).unwrap();
    let found = json(here, &["compare", "p.toml", "q.toml", "--json"]);
    let differ = found["differ"].as_array().unwrap();
    let search = differ.iter().find(|work| work["stage"] == "threshold-search").unwrap();
    assert_eq!(search["changes"][0], serde_json::json!({"key": "flops_ratio", "a": "0.5", "b": "0.4"}));
    assert_eq!(found["same"], 3, "init, gate-train and uniform");
    // One result and a whole pipeline cannot be.
    let refused = runner(here, "c", &["compare", "p.toml", &hash[..12]]).output().unwrap();
    assert!(flat(&text(&refused).1).contains("is a whole pipeline or run, and the other side is one result"));
}

#[test]
fn a_stage_of_a_sweep_is_named_by_its_point() {
    let folder = study();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet", "--over", "init.width=2,3", "--until", "init"]);
    let show = |stage: &str| {
        runner(here, "c", &["show", "p.toml", stage, "--over", "init.width=2,3"]).output().unwrap()
    };
    assert!(show("init@width=3").status.success());
    assert!(flat(&text(&show("init")).1).contains("say at which point: `init@KEY=VALUE,...`"));
    assert!(flat(&text(&show("init@width=4")).1).contains("no point has `width=4`"));
    let found = stdout(
        here,
        "c",
        &["compare", "p.toml", "init@width=2", "init@init.width=3", "--over", "init.width=2,3"],
    );
    assert!(flat(&found).contains("width 2 3"), "{found}");
}

#[test]
fn a_run_is_repeated_from_its_manifest_alone() {
    let folder = study();
    let here = folder.path();
    let arguments = ["--set", "retrain.epochs=1", "--over", "seed=1,2", "--until", "eval"];
    succeeds(here, "c", &with(&["run", "p.toml", "--quiet"], &arguments));
    std::fs::remove_file(here.join("p.toml")).unwrap();
    let said = succeeds(here, "c", &["repeat", "last"]);
    assert!(flat(&said).contains("it is not there any more; the run's own is used"), "{said}");
    assert!(said.contains("identical: everything was in the cache: 12 of 12 outputs"), "{said}");
    let checked = succeeds(here, "c", &["repeat", "last", "--check", "--threads", "1", "--jobs", "2"]);
    assert!(checked.contains("identical: 12 of 12 outputs"), "{checked}");
    // What was deleted comes back as it was.
    std::fs::remove_dir_all(here.join("c/records")).unwrap();
    assert!(succeeds(here, "c", &["repeat", "last", "--quiet"]).is_empty());
    let manifests = binary::files(&here.join("c"), "manifests");
    assert_eq!(manifests.len(), 2, "the repetition ran, and is a run of its own");
    let (first, second) = (manifest(&manifests[0]), manifest(&manifests[1]));
    assert_eq!(first["stages"].as_array().unwrap().len(), second["stages"].as_array().unwrap().len());
    for (one, two) in first["stages"].as_array().unwrap().iter().zip(second["stages"].as_array().unwrap()) {
        assert_eq!((&one["outputs"], &one["fingerprint"]), (&two["outputs"], &two["fingerprint"]));
    }
}

fn manifest(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Writes the manifest `run` in place of the only one of the cache, sealed as runner does.
fn reseal(here: &Path, change: impl Fn(&mut runner::store::RunRecord)) {
    let store = runner::store::Store::open(&here.join("c")).unwrap();
    let (id, mut run) = store.runs().unwrap().pop().unwrap();
    change(&mut run);
    store.keep_run(&id, &run).unwrap();
}

#[test]
fn a_repetition_that_comes_out_otherwise_says_where() {
    let folder = study();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet", "--until", "prune"]);
    // As if another machine had found other bytes.
    reseal(here, |run| {
        let stage = run.stages.iter_mut().find(|stage| stage.stage == "prune").unwrap();
        let output = stage.outputs.values_mut().next().unwrap();
        *output = runner::store::ObjectHash::of(b"others");
        run.host = "node7".to_owned();
    });
    let output = runner(here, "c", &["repeat", "last", "--check"]).output().unwrap();
    let (out, error) = text(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out.contains("prune differs: network") && out.contains("only 3 of 4 outputs are identical"),
        "{out}"
    );
    assert!(error.contains("node7 then,"), "{error}");
    let output = runner(here, "c", &["repeat", "last", "--check", "--json"]).output().unwrap();
    let last = text(&output).0.lines().last().unwrap().to_owned();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&last["event"], &last["compared"]["outputs_same"]), (&"repeat-compared".into(), &3.into()));
    // A manifest that does not say enough, and one of a later version.
    reseal(here, |run| run.request = None);
    let refused = runner(here, "c", &["repeat", "last"]).output().unwrap();
    assert!(flat(&text(&refused).1).contains("was kept by an older runner"), "{}", text(&refused).1);
}

#[test]
fn a_manifest_of_a_later_version_is_refused_with_a_word() {
    let folder = study();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet", "--until", "init"]);
    reseal(here, |run| run.manifest = 99);
    let refused = runner(here, "c", &["repeat", "last"]).output().unwrap();
    assert!(flat(&text(&refused).1).contains("is kept in version 99 of its format"), "{}", text(&refused).1);
}

#[test]
fn a_run_is_cited_by_the_hash_of_its_manifest() {
    let folder = study();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet", "--until", "init"]);
    let path = binary::files(&here.join("c"), "manifests").remove(0);
    let hash = blake3::hash(&std::fs::read(path).unwrap()).to_string();
    assert!(stdout(here, "c", &["runs", "last"]).contains(&hash));
    let entry = stdout(here, "c", &["runs", "last", "--bibtex"]);
    assert!(entry.starts_with("@misc{runner-") && entry.contains(&format!("blake3:{hash}")), "{entry}");
}

/// Waits for something that another process does.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_goes_on_is_seen_from_outside_and_a_killed_one_is_told() {
    let folder = study();
    let here = folder.path();
    let never = runner(here, "c", &["watch", "p.toml", "--once"]).output().unwrap();
    assert!(never.status.success() && text(&never).0.contains("never run"), "{}", text(&never).0);
    let endless = ["run", "p.toml", "--quiet", "--set", "gate-train.epochs=100000", "--over", "seed=1,2"];
    let mut run = runner(here, "c", &endless).stderr(Stdio::null()).spawn().unwrap();
    let seen = || -> Option<Value> {
        let output = runner(here, "c", &["watch", "p.toml", "--once", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    };
    until("a step", || seen().is_some_and(|view| view["running"][0]["progress"]["step"].as_u64() > Some(0)));
    let view = seen().unwrap();
    assert_eq!((&view["status"], &view["running"][0]["stage"]), (&"running".into(), &"gate-train".into()));
    assert_eq!(view["points"].as_array().unwrap().len(), 2);
    assert!(view["running"][0]["holder"].as_str().unwrap().contains(&run.id().to_string()));
    let progress = &view["running"][0]["progress"];
    assert!(progress["epochs"] == 100_000 && number(&progress["images_per_second"]) > 0.0, "{progress}");
    let once = stdout(here, "c", &["watch", "p.toml", "--once"]);
    assert!(once.contains("gate-train seed=1") && once.contains("/100000"), "{once}");
    assert!(once.lines().all(|line| line.chars().count() <= 80), "{once}");
    // Somebody who watches hears of the end, and of how it came.
    let watch = runner(here, "c", &["watch", "p.toml"]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    run.kill().unwrap();
    run.wait().unwrap();
    let watched = watch.wait_with_output().unwrap();
    assert_eq!(watched.status.code(), Some(1), "{}", text(&watched).0);
    assert!(text(&watched).0.contains("epoch"), "{}", text(&watched).0);
    assert!(stdout(here, "c", &["runs"]).contains("killed"));
    let view = seen().unwrap();
    assert_eq!((&view["status"], view["running"].as_array().unwrap().len()), (&"killed".into(), 0));
    // What it left behind is cleared.
    succeeds(here, "c", &["cache", "gc"]);
    let locks: Vec<_> = binary::files(&here.join("c"), "locks");
    assert!(locks.iter().all(|lock| !lock.to_string_lossy().contains("run-")), "{locks:?}");
}

#[cfg(unix)]
#[test]
fn watching_ends_with_the_run_and_its_exit_code() {
    let folder = study();
    let here = folder.path();
    let long = ["run", "p.toml", "--quiet", "--until", "gate-train", "--set", "gate-train.epochs=40"];
    let mut run = runner(here, "c", &long).spawn().unwrap();
    until("the run", || !binary::files(&here.join("c"), "manifests").is_empty());
    let watch = runner(here, "c", &["watch", "p.toml", "--json"]).output().unwrap();
    assert!(run.wait().unwrap().success());
    assert!(watch.status.success(), "{}", text(&watch).1);
    let events: Vec<Value> = text(&watch).0.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let name = |event: &Value| event["event"].as_str().unwrap_or_default().to_owned();
    if events.len() > 1 {
        assert_eq!(
            (name(&events[0]), name(events.last().unwrap())),
            ("run-started".into(), "run-finished".into())
        );
        let count = events.iter().filter(|event| name(event) == "stage-finished").count();
        assert!(count >= 1, "{events:?}");
    }
    let over = runner(here, "c", &["watch", "last", "--once"]).output().unwrap();
    assert!(over.status.success() && text(&over).0.contains("done"), "{}", text(&over).0);
    // A run that fails gives its code to whoever watches.
    let endless = "gate-train.epochs=100000";
    let failing = ["run", "p.toml", "--quiet", "--set", endless, "--until", "gate-train", "--timeout", "1s"];
    assert_eq!(runner(here, "c", &failing).output().unwrap().status.code(), Some(1));
    let over = runner(here, "c", &["watch", "p.toml", "--once"]).output().unwrap();
    assert_eq!(over.status.code(), Some(1));
    assert!(text(&over).0.contains("failed") && text(&over).0.contains("was stopped"), "{}", text(&over).0);
}

#[test]
fn tensorboard_gets_a_folder_for_each_stage_and_point() {
    let folder = study();
    let here = folder.path();
    let arguments = ["run", "p.toml", "--quiet", "--over", "seed=1,2", "--tensorboard", "tb"];
    succeeds(here, "c", &arguments);
    let folders = |root: &str| -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for file in binary::files(here, root) {
            let inner = file.strip_prefix(here.join(root)).unwrap().parent().unwrap().display().to_string();
            // Without the digits of the fingerprint.
            *found.entry(inner.rsplit_once('-').unwrap().0.to_owned()).or_default() += 1;
        }
        found
    };
    let live = folders("tb");
    let names: Vec<&str> = live.keys().map(String::as_str).collect();
    let stages = ["eval", "eval-uniform", "gate-train", "retrain", "retrain-uniform"];
    let all: Vec<String> =
        ["seed=1", "seed=2"].iter().flat_map(|seed| stages.map(|stage| format!("{seed}/{stage}"))).collect();
    assert_eq!(names, all);
    assert!(live.values().all(|files| *files == 1), "{live:?}");
    // What is there is not written again; from the logs comes the same.
    succeeds(here, "c", &arguments);
    assert_eq!(folders("tb"), live);
    stdout(here, "c", &["log", "p.toml", "--over", "seed=1,2", "--tensorboard", "past"]);
    assert_eq!(folders("past"), live);
    let nothing = runner(here, "c", &["log", "p.toml", "init", "--tensorboard", "none"]).output().unwrap();
    assert!(flat(&text(&nothing).1).contains("no stage has a log with figures"));
    // A folder that cannot be written costs a warning, which `--quiet` does not swallow, and never the run.
    std::fs::write(here.join("file"), "").unwrap();
    let warned = runner(here, "c", &["run", "p.toml", "--quiet", "--tensorboard", "file"]).output().unwrap();
    assert!(warned.status.success());
    assert_eq!(text(&warned).1.matches("warning: TensorBoard's files of ").count(), 1);
}

#[test]
fn status_and_logs_fit_into_80_columns() {
    let folder = study();
    let here = folder.path();
    let over = ["--over", "threshold-search.flops_ratio=0.4,0.5"];
    succeeds(here, "c", &with(&["run", "p.toml", "--quiet"], &over));
    for arguments in [
        with(&["status", "p.toml"], &over),
        vec!["status", "p.toml", "--set", "gate-train.epochs=3", "--set", "gate-train.batch_size=16"],
        vec!["log", "p.toml", "gate-train"],
        vec!["log", "p.toml", "retrain"],
    ] {
        let said = stdout(here, "c", &arguments);
        let longest = said.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 80, "{arguments:?}: {longest}");
    }
}

#[test]
fn the_commands_have_a_help_with_examples() {
    for command in ["table", "compare", "watch", "repeat"] {
        let output = Command::new(assert_cmd::cargo::cargo_bin!("runner"))
            .args([command, "--help"])
            .env("NO_COLOR", "1")
            .env("COLUMNS", "100")
            .env_remove("RUNNER_CACHE")
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Examples:\n  runner "), "{help}");
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(format!("help_{command}"), help) });
    }
}

/// A record in the cache `c` with other metrics.
fn change_record(here: &Path, kind: &str, stage: &str, change: impl Fn(&mut Value)) {
    let store = runner::store::Store::open(&here.join("c")).unwrap();
    for path in binary::files(&here.join("c"), "records") {
        let name = path.file_stem().unwrap().to_string_lossy().parse().unwrap();
        let runner::store::Lookup::Present(mut record) = store.lookup(&name).unwrap() else { continue };
        if record.kind == kind && record.provenance.stage == stage {
            change(&mut record.metrics);
            store.commit(&record).unwrap();
        }
    }
}

#[test]
fn whose_latencies_are_shown_is_said_and_machines_are_not_mixed_silently() {
    let folder = study();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet", "--threads", "2"]);
    let eval = json(here, &["show", "p.toml", "eval", "--json"]);
    let latency = &eval["record"]["metrics"]["networks"]["best"]["latency"];
    assert_eq!(latency["machine"]["threads"], 2);
    assert!(latency["1"]["passes"].as_u64().unwrap() >= 5, "{latency}");
    let (low, median, high) = (
        number(&latency["64"]["low_ms"]),
        number(&latency["64"]["median_ms"]),
        number(&latency["64"]["high_ms"]),
    );
    assert!(0.0 < low && low <= median && median <= high);
    // Here, with as many threads, nothing is to be said; with others it is.
    let run = |more: &[&str]| {
        let output = runner(here, "c", &[&["run", "p.toml"], more].concat()).output().unwrap();
        assert!(output.status.success());
        flat(&text(&output).1)
    };
    assert!(!run(&["--threads", "2"]).contains("measured on"));
    assert!(run(&["--threads", "1"]).contains("the latency of eval, eval-uniform was measured on"));
    let times = |more: &[&str]| {
        flat(&stdout(here, "c", &[&["table", "p.toml", "--metric", "latency_1_ms"], more].concat()))
    };
    assert!(!times(&[]).contains("several machines"), "{}", times(&[]));
    // As if another machine had made one of them.
    change_record(here, "eval", "eval", |metrics| {
        metrics["networks"]["best"]["latency"]["machine"]["host"] = "node7".into();
        metrics["networks"]["best"]["latency"]["1"]["high_ms"] = 1e6.into();
    });
    let said = run(&["--threads", "2"]);
    assert!(
        said.contains("the latency of eval was measured on node7") && said.contains("--force eval"),
        "{said}"
    );
    let said = times(&[]);
    assert!(said.contains("several machines") && said.contains("spreads by more than 20%"), "{said}");
    assert!(stdout(here, "c", &["show", "p.toml", "eval"]).contains("node7"));
    let compared = flat(&stdout(here, "c", &["compare", "p.toml", "eval", "eval-uniform"]));
    assert!(compared.contains("latencies must not be compared: A measured on"), "{compared}");
    // Measured again, all is said by this machine.
    assert!(!run(&["--threads", "2", "--force", "eval"]).contains("measured on"));
}

/// Every number of a value in place of which another stands.
fn with_numbers(value: &mut Value, by: &Value) {
    match value {
        Value::Number(_) => *value = by.clone(),
        Value::Array(items) => items.iter_mut().for_each(|item| with_numbers(item, by)),
        Value::Object(table) => table.values_mut().for_each(|item| with_numbers(item, by)),
        _ => {}
    }
}

/// Whatever a record or a log says (they may come from anybody, by a bundle or a shared cache), its readers
/// neither panic nor need memory or time for what it claims.
#[test]
fn hostile_records_and_logs_are_read_without_a_panic() {
    let folder = study();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet"]);
    let store = runner::store::Store::open(&here.join("c")).unwrap();
    let kept: Vec<_> = binary::files(&here.join("c"), "records")
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().parse().unwrap();
            match store.lookup(&name).unwrap() {
                runner::store::Lookup::Present(record) => record,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    let logs: Vec<_> = binary::files(&here.join("c"), "logs")
        .into_iter()
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let commands: [&[&str]; 12] = [
        &[
            "table",
            "p.toml",
            "--metric",
            "latency_1_ms",
            "--metric",
            "accuracy",
            "--baseline",
            "retrain-uniform",
        ],
        &["table", "p.toml", "--format", "csv"],
        &["best", "p.toml"],
        &["report", "p.toml", "--to", "r.html"],
        &["plot", "p.toml", "--to", "f"],
        &["show", "p.toml", "eval"],
        &["show", "p.toml", "gate-train"],
        &["compare", "p.toml", "retrain", "retrain-uniform"],
        &["watch", "p.toml", "--once"],
        &["status", "p.toml"],
        &["runs", "last"],
        &["log", "p.toml", "--tensorboard", "tb"],
    ];
    for hostile in [
        "18446744073709551615",
        "10000000",
        "-1",
        "1e308",
        "-1e308",
        "5e-324",
        "0",
        "null",
        "\"\u{1b}[2J\"",
        "[]",
    ] {
        let by: Value = serde_json::from_str(&hostile.replace('\u{1b}', "\\u001b")).unwrap();
        for record in &kept {
            let mut record = record.clone();
            with_numbers(&mut record.metrics, &by);
            record.provenance.seconds = by.as_f64().unwrap_or(f64::MAX);
            store.commit(&record).unwrap();
        }
        for (path, log) in &logs {
            let lines = log.lines().map(|line| {
                let mut event: Value = serde_json::from_str(line).unwrap();
                with_numbers(&mut event, &by);
                format!("{event}\n")
            });
            std::fs::write(path, lines.collect::<String>()).unwrap();
        }
        for command in commands {
            let began = Instant::now();
            let output = runner(here, "c", command).output().unwrap();
            let (out, error) = text(&output);
            assert!(
                output.status.code().is_some_and(|code| code < 100) && !error.contains("panicked"),
                "{hostile}: {command:?}: {:?} {out}{error}",
                output.status
            );
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{hostile}: {command:?} took {:?}",
                began.elapsed()
            );
        }
    }
}
