//! Data sets of one's own: which content a result stands for, and what is said of files that are not right.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Stdio;

use binary::{flat, folder_with, runner, stdout, succeeds, text};
use runner::fingerprint::Fingerprint;
use runner::store::Store;
use serde_json::Value;

const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// A file of this data set with other content for every `seed`.
fn content(name: &str, seed: u32) -> Vec<u8> {
    let count: u32 = if name.starts_with("train") { 40 } else { 20 };
    let mut file = vec![0, 0, 8];
    let value =
        |at: u32| (at.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503)) >> 13) as u8;
    if name.contains("images") {
        file.push(3);
        [count, 28, 28].iter().for_each(|size| file.extend(size.to_be_bytes()));
        file.extend((0..count * 784).map(value));
    } else {
        file.push(1);
        file.extend(count.to_be_bytes());
        file.extend((0..count).map(|at| ((at + seed) % 10) as u8));
    }
    file
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A data set in `folder`, gzipped or plain.
fn data(folder: &Path, seed: u32, is_packed: bool) {
    fs::create_dir_all(folder).unwrap();
    for name in FILES {
        let content = content(name, seed);
        if is_packed {
            fs::write(folder.join(format!("{name}.gz")), packed(&content)).unwrap();
        } else {
            fs::write(folder.join(name), content).unwrap();
        }
    }
}

const PIPELINE: &str = r#"
name = "own"
[data]
set = "mnist"
dir = "a"
validation = 0.25
[[stage]]
kind = "init"
arch = "vgg11"
width = 2
[[stage]]
kind = "retrain"
inputs.network = "init"
epochs = 1
batch_size = 20
[[stage]]
kind = "eval"
inputs.network = "retrain.last"
latency = false
"#;

/// The loss that `eval` found at every point of a sweep over folders, by folder.
fn losses(folder: &Path, cache: &str, over: &[&str]) -> BTreeMap<String, f64> {
    let arguments = [&["plan", "p.toml", "--json"], over].concat();
    let plan: Value = serde_json::from_str(&stdout(folder, cache, &arguments)).unwrap();
    let mut found = BTreeMap::new();
    for node in plan["stages"].as_array().unwrap().iter().filter(|node| node["stage"] == "eval") {
        let fingerprint = node["fingerprint"].as_str().unwrap();
        let path =
            folder.join(cache).join("records").join(&fingerprint[..2]).join(format!("{fingerprint}.json"));
        let record: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let networks = record["metrics"]["networks"].as_object().unwrap();
        let loss = networks.values().next().unwrap()["loss"].as_f64().unwrap();
        for point in node["points"].as_array().unwrap() {
            let dir = point.as_str().unwrap().trim_start_matches("data.dir=");
            found.insert(dir.to_owned(), loss);
        }
    }
    found
}

#[test]
fn points_with_other_images_are_never_merged_and_points_with_equal_ones_are() {
    let folder = folder_with(PIPELINE);
    let root = folder.path();
    data(&root.join("a"), 1, false);
    data(&root.join("b"), 2, false);
    data(&root.join("d"), 1, true);
    let over = ["--over", "data.dir=a,b,d"];
    let plan: Value =
        serde_json::from_str(&stdout(root, "c", &[&["plan", "p.toml", "--json"], &over[..]].concat()))
            .unwrap();
    let uses = |stage: &str| {
        let stages = plan["stages"].as_array().unwrap().iter().filter(|node| node["stage"] == stage);
        let mut counts: Vec<usize> = stages.map(|node| node["points"].as_array().unwrap().len()).collect();
        counts.sort_unstable();
        counts
    };
    assert_eq!(uses("init"), [3], "the shape of the images is the same everywhere");
    assert_eq!(uses("retrain"), [1, 2]);
    assert_eq!(uses("eval"), [1, 2]);
    succeeds(root, "c", &[&["run", "p.toml", "--quiet"], &over[..]].concat());
    let swept = losses(root, "c", &over);
    assert_eq!(swept.len(), 3);
    // Against a run of each folder alone, with a cache of its own.
    for (dir, loss) in &swept {
        let set = format!("data.dir={dir}");
        succeeds(root, &format!("alone-{dir}"), &["run", "p.toml", "--quiet", "--set", &set]);
        let alone = losses(root, &format!("alone-{dir}"), &["--set", &set]);
        assert_eq!(alone.values().next(), Some(loss), "{dir}");
    }
    assert_eq!(swept["a"], swept["d"]);
    assert_ne!(swept["a"], swept["b"]);
    // Nothing is left to run, whoever asks.
    let again = stdout(root, "c", &[&["plan", "p.toml"], &over[..]].concat());
    assert!(again.contains("0 to run"), "{again}");
}

#[test]
fn folders_whose_files_are_missing_stay_apart() {
    let folder = folder_with(PIPELINE);
    data(&folder.path().join("a"), 1, false);
    let arguments = ["plan", "p.toml", "--json", "--over", "data.dir=a,none,nothing"];
    let plan: Value = serde_json::from_str(&stdout(folder.path(), "c", &arguments)).unwrap();
    let retrains =
        plan["stages"].as_array().unwrap().iter().filter(|node| node["stage"] == "retrain").count();
    assert_eq!(retrains, 3);
}

/// The fingerprint of a stage in a plan.
fn fingerprint(folder: &Path, stage: &str) -> Fingerprint {
    let plan: Value = serde_json::from_str(&stdout(folder, "c", &["plan", "p.toml", "--json"])).unwrap();
    let node = plan["stages"].as_array().unwrap().iter().find(|node| node["stage"] == stage).unwrap();
    node["fingerprint"].as_str().unwrap().parse().unwrap()
}

/// Plans and runs, while somebody else holds the first stage; `meanwhile` happens once it waits. What was
/// printed, and the exit code.
fn run_held_up(folder: &Path, meanwhile: impl FnOnce()) -> (String, String, Option<i32>) {
    let init = fingerprint(folder, "init");
    let store = Store::open(&folder.join("c")).unwrap();
    let _ = store.prepare().unwrap();
    let lock = store.lock(&init, &mut |_| ControlFlow::Break(())).unwrap().unwrap();
    let mut child = runner(folder, "c", &["run", "p.toml", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        told += &line;
        if line.contains("stage-waiting") {
            break;
        }
    }
    meanwhile();
    drop(lock);
    lines.for_each(|line| told += &line.unwrap());
    let output = child.wait_with_output().unwrap();
    (told, text(&output).1, output.status.code())
}

fn recorded(folder: &Path, kind: &str) -> bool {
    let records = binary::files(&folder.join("c"), "records");
    let word = format!("\"kind\": \"{kind}\"");
    records.iter().any(|path| fs::read_to_string(path).unwrap().contains(&word))
}

#[test]
fn files_that_change_between_plan_and_use_fail_the_stage_and_nothing_is_recorded() {
    let kinds = [
        ("gate-train", "steps = 1\nbatch_size = 20", &FILES[..2]),
        ("slimming", "epochs = 1\nbatch_size = 20", &FILES[..2]),
        ("retrain", "epochs = 1\nbatch_size = 20", &FILES[..2]),
        ("eval", "latency = false", &FILES[2..]),
    ];
    for (number, (kind, parameters, files)) in kinds.into_iter().enumerate() {
        for (place, file) in files.iter().enumerate() {
            // Plain and gzipped in turn.
            let is_packed = (number + place) % 2 == 1;
            let (head, _) = PIPELINE.split_once("[[stage]]\nkind = \"retrain\"").unwrap();
            let stage =
                format!("{head}[[stage]]\nkind = \"{kind}\"\ninputs.network = \"init\"\n{parameters}\n");
            let folder = folder_with(&stage);
            let root = folder.path();
            data(&root.join("a"), 1, is_packed);
            let before = fs::read_dir(root.join("a")).unwrap().flatten();
            // Old enough for their hashes to be remembered, and so not read again by the run that plans.
            let old = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
            for entry in before {
                fs::File::options().write(true).open(entry.path()).unwrap().set_modified(old).unwrap();
            }
            let name = if is_packed { format!("{file}.gz") } else { (*file).to_owned() };
            let (told, stderr, code) = run_held_up(root, || {
                let other = content(file, 2);
                let path = root.join("a").join(&name);
                fs::write(&path, if is_packed { packed(&other) } else { other }).unwrap();
                fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
            });
            assert_eq!(code, Some(1), "{kind} {name}: {told} {stderr}");
            let stderr = flat(&stderr);
            assert!(
                stderr.contains(&format!("{name} changed after this run was planned")),
                "{kind}: {stderr}"
            );
            assert!(told.contains("stage-failed"), "{told}");
            assert!(!recorded(root, kind), "{kind} {name}");
            // The same command plans with the files as they are.
            succeeds(root, "c", &["run", "p.toml", "--quiet"]);
            assert!(recorded(root, kind));
        }
    }
}

#[test]
fn a_file_that_no_stage_of_the_run_reads_may_change() {
    let (head, _) = PIPELINE.split_once("[[stage]]\nkind = \"eval\"").unwrap();
    let folder = folder_with(head);
    data(&folder.path().join("a"), 1, false);
    let (told, stderr, code) = run_held_up(folder.path(), || {
        let path = folder.path().join("a").join(FILES[2]);
        fs::write(path, content(FILES[2], 2)).unwrap();
    });
    assert_eq!(code, Some(0), "{told} {stderr}");
}

#[test]
fn files_that_are_not_right_are_told_by_the_plan() {
    let folder = folder_with(PIPELINE);
    let root = folder.path();
    data(&root.join("a"), 1, false);
    let fails = |command: &[&str]| {
        let output = runner(root, "c", command).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        flat(&text(&output).1)
    };
    fs::write(root.join("a").join(FILES[1]), content(FILES[3], 1)).unwrap();
    for command in ["plan", "run"] {
        let said = fails(&[command, "p.toml"]);
        assert!(said.contains("it has 40 images, and a/") && said.contains("has 20 labels"), "{said}");
        assert!(!said.contains("data fetch"), "{said}");
    }
    fs::create_dir(root.join("b")).unwrap();
    fs::rename(root.join("a"), root.join("b/inner")).unwrap();
    let said = fails(&["plan", "p.toml", "--set", "data.dir=b"]);
    assert!(said.contains("its files are in b/inner"), "{said}");
    assert!(said.contains("write `dir = \"b/inner\"` under `[data]`"), "{said}");
}

#[test]
fn a_home_folder_is_written_with_a_tilde() {
    let folder = folder_with(&PIPELINE.replace("\"a\"", "\"~/own\""));
    data(&folder.path().join("home/own"), 1, false);
    let mut command = runner(folder.path(), "c", &["plan", "p.toml", "--json"]);
    let output = command.env("HOME", folder.path().join("home")).output().unwrap();
    let plan: Value = serde_json::from_str(&text(&output).0).unwrap();
    assert!(plan["stages"][1]["reasons"][0]["reason"] == "never-run", "{plan}");
}

#[test]
fn warnings_are_told_by_the_plan_and_once_by_the_run() {
    let pipeline = PIPELINE
        .replace("validation = 0.25", "validation = 0.05\nmean = [33.3]\nstd = [78.6]")
        .replace("epochs = 1\n", "epochs = 2\nschedule.warmup_epochs = 3\n");
    let folder = folder_with(&pipeline);
    let root = folder.path();
    data(&root.join("a"), 1, false);
    let expected = [
        ("normalisation", "retrain, eval: `data.mean` is 33.3 for channel 1", 2),
        ("normalisation", "retrain, eval: `data.std` is 78.6 for channel 1", 2),
        (
            "no-validation-images",
            "retrain: no image is held out for validation: `data.validation` is 0.05",
            1,
        ),
        ("warm-up-too-long", "retrain: the learning rate rises for 3 epochs", 1),
        ("milestones-coincide", "retrain: 2 of `schedule.milestones` take effect at epoch 2 of 2", 1),
    ];
    let plan = flat(&stdout(root, "c", &["plan", "p.toml"]));
    for (_, words, _) in expected {
        assert!(plan.contains(&format!("warning: {words}")), "{plan}");
    }
    let plan: Value = serde_json::from_str(&stdout(root, "c", &["plan", "p.toml", "--json"])).unwrap();
    let warnings = plan["stages"][1]["warnings"].as_array().unwrap();
    let names: Vec<&str> = warnings.iter().map(|warning| warning["warning"].as_str().unwrap()).collect();
    assert_eq!(names, expected.map(|(name, _, _)| name));
    assert_eq!(
        (&warnings[3]["warmup_epochs"], &warnings[3]["epochs"]),
        (&Value::from(3.0), &Value::from(2.0))
    );
    let told = stdout(root, "c", &["run", "p.toml", "--json"]);
    for (name, words, times) in expected {
        let message = words.split_once(": ").unwrap().1;
        let is_told =
            |line: &&str| line.contains("stage-warned") && line.contains(name) && line.contains(message);
        assert_eq!(told.lines().filter(is_told).count(), times, "{name}: {told}");
    }
    // The plan of what is done still says so.
    let plan = flat(&stdout(root, "c", &["plan", "p.toml"]));
    assert!(
        plan.contains("nothing to run") && plan.contains("warning: retrain: the learning rate"),
        "{plan}"
    );
}

#[test]
fn equal_scores_are_noticed_when_they_are_there_and_kept_for_later_plans() {
    let (head, _) = PIPELINE.split_once("[[stage]]\nkind = \"retrain\"").unwrap();
    let search = "[[stage]]\nkind = \"threshold-search\"\ninputs.network = \"init\"\n";
    let folder = folder_with(&format!("{head}{search}"));
    data(&folder.path().join("a"), 1, false);
    let told = stdout(folder.path(), "c", &["run", "p.toml", "--json"]);
    let is_told =
        |line: &&str| line.contains("stage-warned") && line.contains("\"warning\":\"equal-scores\"");
    assert_eq!(told.lines().filter(is_told).count(), 1, "{told}");
    let plan = flat(&stdout(folder.path(), "c", &["plan", "p.toml"]));
    assert!(
        plan.contains("warning: threshold-search: all") && plan.contains("the same score (0.5)"),
        "{plan}"
    );
}

#[test]
fn a_folder_that_no_image_is_read_from_is_a_mistake() {
    let folder = folder_with(PIPELINE);
    for dir in ["a", "nowhere"] {
        let set = format!("data.dir={dir}");
        for command in ["plan", "run"] {
            let arguments = [command, "p.toml", "--set", "data.set=fashion-mnist-mini", "--set", &set];
            let refused = runner(folder.path(), "c", &arguments).output().unwrap();
            let words = flat(&text(&refused).1);
            assert_eq!(refused.status.code(), Some(1), "{words}");
            assert!(
                words.contains("fashion-mnist-mini is part of runner and is read from no folder"),
                "{words}"
            );
        }
    }
}
