//! The binary as a user runs it, on a small pipeline.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::Timestamp;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// A pipeline of all six stages that takes a few seconds.
pub const SMALL: &str = r#"
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

pub fn runner(folder: &Path, cache: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
    command.current_dir(folder).args(arguments).args(["--cache", cache]).env("NO_COLOR", "1");
    // Errors are drawn with the characters that the locale has.
    command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
    command
}

pub fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// An error as one line: how it is wrapped depends on lengths of paths.
pub fn flat(text: &str) -> String {
    text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn folder() -> tempfile::TempDir {
    folder_with(SMALL)
}

pub fn folder_with(pipeline: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.toml"), pipeline).unwrap();
    folder
}

/// A folder with a pipeline of all six stages that takes a second.
pub fn quick() -> tempfile::TempDir {
    folder_with(
        &SMALL
            .replace("width = 4", "width = 2")
            .replace("epochs = 3", "steps = 2")
            .replace("epochs = 4", "epochs = 1"),
    )
}

/// Runs and asserts success; all that was printed.
pub fn succeeds(folder: &Path, cache: &str, arguments: &[&str]) -> String {
    let (stdout, stderr) = printed(folder, cache, arguments);
    stdout + &stderr
}

/// Runs and asserts success; what was printed on standard output.
pub fn stdout(folder: &Path, cache: &str, arguments: &[&str]) -> String {
    printed(folder, cache, arguments).0
}

fn printed(folder: &Path, cache: &str, arguments: &[&str]) -> (String, String) {
    let output = runner(folder, cache, arguments).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    (stdout, stderr)
}

/// All files below a folder of a cache.
pub fn files(folder: &Path, room: &str) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(folder.join(room)).sort_by_file_name().into_iter().flatten();
    all.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// The names of all objects of a cache, which are the hashes of their contents.
pub fn objects(folder: &Path, cache: &str) -> Vec<String> {
    let files = files(&folder.join(cache), "objects");
    let mut names: Vec<String> =
        files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The records of a cache by kind; one record of each.
pub fn records(folder: &Path, cache: &str) -> BTreeMap<String, Value> {
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let records = files(&folder.join(cache), "records").into_iter().map(read);
    records.map(|record| (record["kind"].as_str().unwrap().to_owned(), record)).collect()
}

/// The path of an output's object.
pub fn object(folder: &Path, cache: &str, kind: &str, output: &str) -> PathBuf {
    let hash = records(folder, cache)[kind]["outputs"][output]["object"].as_str().unwrap().to_owned();
    folder.join(cache).join("objects").join(&hash[..2]).join(format!("{hash}.safetensors"))
}

/// What must not depend on interruptions: objects, and of each record all that is not a time.
pub fn results(folder: &Path, cache: &str) -> (Vec<String>, Vec<Value>) {
    let timeless = |record: Value| {
        let parts = ["fingerprint", "kind", "version", "outputs", "metrics"].map(|key| record[key].clone());
        Value::from_iter(parts)
    };
    (objects(folder, cache), records(folder, cache).into_values().map(timeless).collect())
}

/// Random numbers from the seed in `RUNNER_TEST_SEED`, or from a new one that is printed.
pub fn random() -> ChaCha8Rng {
    let given = std::env::var("RUNNER_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed: u64 = given.unwrap_or_else(|| Timestamp::now().as_nanosecond() as u64);
    eprintln!("RUNNER_TEST_SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

/// How often something is killed; `RUNNER_TEST_KILLS=200` for the long version.
pub fn kills(usually: u32) -> u32 {
    std::env::var("RUNNER_TEST_KILLS").map_or(usually, |count| count.parse().unwrap())
}

/// What a cache holds after a collection that no result needs: nothing, if all went well.
pub fn strays(cache: &Path) -> Vec<String> {
    let named: BTreeSet<String> = files(cache, "records")
        .into_iter()
        .map(|path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap())
        .flat_map(|record| {
            let outputs = record["outputs"].as_object().unwrap().values();
            let objects: Vec<String> =
                outputs.map(|output| output["object"].as_str().unwrap().to_owned()).collect();
            objects.into_iter().chain([record["fingerprint"].as_str().unwrap().to_owned()])
        })
        .collect();
    let belongs = |path: &PathBuf| {
        let inner = path.strip_prefix(cache).unwrap();
        let room = inner.iter().next().unwrap().to_string_lossy().into_owned();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        match room.as_str() {
            "objects" | "records" | "logs" => named.contains(&stem),
            "locks" => ["writing", "visits", "data-hashes"].contains(&stem.as_str()),
            "last" | "runs" | "manifests" | "data-hashes.json" | ".runner-cache" => true,
            // States of what is done, half-written files, and what was found damaged.
            _ => false,
        }
    };
    let strays = files(cache, "").into_iter().filter(|path| !belongs(path));
    strays.map(|path| path.display().to_string()).collect()
}

/// Flips a bit of a file, of a read-only one as well.
pub fn flip(path: &Path) {
    let mut content = std::fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, content).unwrap();
}
