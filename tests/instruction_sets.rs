//! The same pipeline on every instruction set of this machine: the same bytes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::collections::BTreeMap;
use std::path::Path;

use binary::{files, flat, folder_with, objects, runner, text};
use runner::ops::Vectors;
use serde_json::Value;

/// Every kind that computes: gate-training in both modes, all trainings, both algorithms, evaluation.
const EVERYTHING: &str = r#"
name = "everything"
[data]
set = "fashion-mnist-mini"
size = 32
limit_train = 90
limit_test = 30
validation = 0.2
[[stage]]
kind = "init"
arch = "vgg11"
width = 3
[[stage]]
kind = "gate-train"
inputs.network = "init"
steps = 4
batch_size = 24
[[stage]]
name = "scales"
kind = "gate-train"
inputs.network = "init"
mode = "bn-scale"
conv = "exact"
steps = 4
batch_size = 24
optimizer.weight_decay = 1e-3
[[stage]]
kind = "slimming"
inputs.network = "init"
epochs = 1
batch_size = 24
optimizer.nesterov = true
[[stage]]
name = "slimming-exact"
kind = "slimming"
inputs.network = "init"
conv = "exact"
epochs = 1
batch_size = 24
optimizer.momentum = 0.0
[[stage]]
kind = "l1"
inputs.network = "slimming"
[[stage]]
kind = "threshold-search"
inputs.network = "gate-train"
flops_ratio = 0.5
[[stage]]
name = "search-scales"
kind = "threshold-search"
inputs.network = "scales"
flops_ratio = 0.3
[[stage]]
name = "search-l1"
kind = "threshold-search"
inputs.scores = "l1"
flops_ratio = 0.5
[[stage]]
kind = "prune"
inputs.channels = "threshold-search"
[[stage]]
name = "prune-scales"
kind = "prune"
inputs.channels = "search-scales"
[[stage]]
name = "prune-l1"
kind = "prune"
inputs.channels = "search-l1"
weights = "inherit"
inputs.network = "slimming"
[[stage]]
kind = "retrain"
inputs.network = "prune"
epochs = 2
batch_size = 24
schedule.kind = "cosine"
label_smoothing = 0.1
[[stage]]
name = "retrain-scales"
kind = "retrain"
inputs.network = "prune-scales"
conv = "exact"
epochs = 1
batch_size = 24
optimizer.kind = "adam"
optimizer.lr = 0.001
[[stage]]
name = "retrain-l1"
kind = "retrain"
inputs.network = "prune-l1"
epochs = 1
batch_size = 24
[[stage]]
kind = "eval"
inputs.network = "retrain"
latency = false
[[stage]]
name = "eval-scales"
kind = "eval"
inputs.network = "retrain-scales"
conv = "exact"
latency = false
[[stage]]
name = "eval-l1"
kind = "eval"
inputs.network = "retrain-l1.last"
latency = false
"#;

/// Every record of a cache without what is measured by a clock or belongs to the machine: objects, losses,
/// accuracies.
fn results(folder: &Path, cache: &str) -> BTreeMap<String, Value> {
    let read = |path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let record = |record: Value| {
        let parts = ["kind", "version", "outputs", "metrics"].map(|key| record[key].clone());
        (record["fingerprint"].as_str().unwrap().to_owned(), Value::from_iter(parts))
    };
    files(&folder.join(cache), "records").into_iter().map(read).map(record).collect()
}

#[test]
fn a_whole_pipeline_gives_the_same_bytes_on_every_instruction_set_and_any_number_of_threads() {
    let folder = folder_with(EVERYTHING);
    let sets: Vec<&str> = Vectors::available().into_iter().map(Vectors::name).collect();
    println!("this CPU has {}; the pipeline runs on each", sets.join(", "));
    let run = |cache: &str, vectors: &str, threads: &str, environment: &[(&str, &str)]| {
        let arguments = ["run", "p.toml", "--quiet", "--device", "cpu", "--threads", threads];
        let mut command = runner(folder.path(), cache, &arguments);
        command.env("RUNNER_VECTORS", vectors).envs(environment.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{vectors}: {}", text(&output).1);
        for path in files(&folder.path().join(cache), "records") {
            let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let expected = if vectors.is_empty() { sets[0] } else { vectors };
            assert_eq!(record["provenance"]["instruction_set"], expected);
        }
        (objects(folder.path(), cache), results(folder.path(), cache))
    };
    // An empty variable counts as unset.
    let widest = run("widest", "", "2", &[]);
    assert_eq!(widest.1.len(), 18);
    for &vectors in &sets {
        let found = run(vectors, vectors, "1", &[]);
        assert!(found == widest, "{vectors} gives other results than the widest vectors");
    }
    // The functions of the system's mathematics follow the CPU as well: here it is told that there is no
    // fused multiply-add.
    let without = [("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX512F")];
    assert!(
        run("plain-system", "plain", "3", &without) == widest,
        "a system without FMA gives other results"
    );
}

#[test]
fn a_wrong_instruction_set_is_refused_before_anything_runs() {
    let folder = folder_with(EVERYTHING);
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    for (value, words) in [
        ("avx1024", "RUNNER_VECTORS is `avx1024`, expected one of avx512, avx2, neon, plain"),
        ("AVX2", "RUNNER_VECTORS is `AVX2`, expected one of"),
        (foreign, "which this CPU does not have; it has "),
    ] {
        let output = runner(folder.path(), "cache", &["run", "p.toml"]).env("RUNNER_VECTORS", value).output();
        let output = output.unwrap();
        assert!(!output.status.success(), "{value}");
        let error = flat(&text(&output).1);
        assert!(error.contains(words) && error.contains("unset it"), "{error}");
        assert!(files(&folder.path().join("cache"), "records").is_empty());
    }
}
