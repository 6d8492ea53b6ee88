//! The method against brute force and closed forms, stage by stage and in memory: no cache, no command line.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;
use proptest::prelude::*;
use runner::data::DataParams;
use runner::network::{Arch, Checkpoint, Macs, NetworkSpec};
use runner::prune::{SearchError, SearchInput, threshold_search};
use runner::stages::job::Held;
use runner::stages::{Artifact, Inputs, Job, Outcome, Output, kind};
use serde_json::{Value, json};

/// Multiply-accumulates of a VGG11 for 16x16 images, layer by layer as one would on paper.
fn macs(channels: &[usize], colours: usize, classes: usize) -> u64 {
    let (mut inputs, mut sum) = (colours, 0);
    for (outputs, size) in channels.iter().zip([16, 8, 4, 4, 2, 2, 1, 1]) {
        sum += 9 * inputs * outputs * size * size;
        inputs = *outputs;
    }
    (sum + inputs * classes) as u64
}

/// What each layer keeps if the `removed` least important channels of all go, one by one; what its rules forbid comes back,
/// most important first.
fn kept(importance: &[Vec<f32>], removed: usize, min_channels: usize, round_to: usize) -> Vec<Vec<u32>> {
    let mut all: Vec<(f32, usize, u32)> = Vec::new();
    for (layer, gates) in importance.iter().enumerate() {
        all.extend(gates.iter().zip(0..).map(|(gate, channel)| (*gate, layer, channel)));
    }
    // A stable sort leaves equal gates in the order of layers and channels.
    all.sort_by(|one, other| one.0.partial_cmp(&other.0).unwrap());
    let mut kept = vec![Vec::new(); importance.len()];
    for (_, layer, channel) in &all[removed..] {
        kept[*layer].push(*channel);
    }
    for (_, layer, channel) in all[..removed].iter().rev() {
        let count = kept[*layer].len();
        if count < min_channels || count % round_to != 0 || count == 0 {
            kept[*layer].push(*channel);
        }
    }
    kept.iter_mut().for_each(|channels| channels.sort_unstable());
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_threshold_search_finds_what_trying_every_threshold_finds(
        plain in prop::collection::vec(1usize..6, 8),
        more in prop::option::of(prop::collection::vec(0usize..4, 8)),
        gates in prop::collection::vec(0u8..12, 8 * 9),
        thousandths in 1u64..=1000,
        min_channels in 1usize..4,
        round_to in 1usize..5,
        tolerance in prop::option::of(0u64..300),
        colours in prop::sample::select(vec![1usize, 3]),
        classes in 2usize..12,
    ) {
        // An expanded network has a few channels more in some layers.
        let channels: Vec<usize> = match &more {
            Some(more) => plain.iter().zip(more).map(|(plain, more)| plain + more).collect(),
            None => plain.clone(),
        };
        let plain_channels = more.is_some().then(|| plain.clone());
        let spec = NetworkSpec { arch: Arch::Vgg11, input: [colours, 16, 16], classes, channels, plain_channels };
        // A dozen values for up to 72 gates: most of them tie.
        let mut gates = gates.into_iter().map(|gate| f32::from(gate) / 11.0);
        let importance: Vec<Vec<f32>> =
            spec.channels.iter().map(|count| gates.by_ref().take(*count).collect()).collect();
        let total: usize = spec.channels.iter().sum();
        let full = macs(&plain, colours, classes);
        let budget = full * thousandths / 1000;
        let networks = (0..=total).map(|removed| kept(&importance, removed, min_channels, round_to));
        let count = |kept: &[Vec<u32>]| macs(&kept.iter().map(Vec::len).collect::<Vec<_>>(), colours, classes);
        // Of all networks that fit the largest; of equally large ones the one with the fewest removals.
        let best = networks.filter(|kept| count(kept) <= budget).reduce(|best, next| {
            if count(&next) > count(&best) { next } else { best }
        });
        let found = threshold_search(&SearchInput {
            spec: &spec,
            importance: &importance,
            flops_ratio: thousandths as f64 / 1000.0,
            tolerance: tolerance.map(|tolerance| tolerance as f64 / 1000.0),
            min_channels,
            round_to,
        });
        let floor = tolerance.map_or(0, |tolerance| full * thousandths.saturating_sub(tolerance) / 1000);
        match (found, best) {
            (Ok(found), Some(best)) => {
                prop_assert_eq!(found.macs_pruned, Macs(count(&best)));
                prop_assert_eq!(found.macs_plain, Macs(full));
                prop_assert_eq!(found.achieved_ratio, count(&best) as f64 / full as f64);
                prop_assert_eq!(found.kept, best);
                prop_assert!(found.macs_pruned.0 >= floor);
            }
            (Err(SearchError::Unreachable { lowest, .. }), None) => {
                let smallest = count(&kept(&importance, total, min_channels, round_to));
                prop_assert_eq!(lowest, smallest as f64 / full as f64);
            }
            (Err(SearchError::Tolerance { .. }), Some(best)) => prop_assert!(count(&best) < floor),
            (found, best) => prop_assert!(false, "{found:?} against {best:?}"),
        }
    }
}

#[test]
fn a_budget_of_all_flops_keeps_a_plain_network_whole_and_brings_a_widened_one_down() {
    let plain = NetworkSpec::vgg(Arch::Vgg11, 3, 1.0, [1, 16, 16], 10).unwrap();
    for expansion in [1.0, 1.25] {
        let spec = plain.expanded(expansion).unwrap();
        let importance: Vec<Vec<f32>> = spec.channels.iter().map(|count| vec![1.0; *count]).collect();
        let search = SearchInput {
            spec: &spec,
            importance: &importance,
            flops_ratio: 1.0,
            tolerance: None,
            min_channels: 1,
            round_to: 1,
        };
        let found = threshold_search(&search).unwrap();
        let whole = found.kept.iter().map(Vec::len).eq(spec.channels.iter().copied());
        assert_eq!(whole, expansion == 1.0);
        assert!(found.macs_pruned <= plain.macs());
    }
}

struct Memory(Held);

impl Memory {
    fn new(validation: f64) -> Self {
        let params =
            DataParams { limit_train: Some(200), limit_test: Some(50), validation, ..DataParams::default() };
        Self(Held::read(params).unwrap())
    }

    /// Runs a stage on outputs of others.
    fn run(&self, name: &str, parameters: Value, inputs: &[(&str, &Output, &'static str)]) -> Output {
        let Value::Object(parameters) = parameters else { panic!("parameters are a table") };
        let stage = (kind(name).unwrap().parse)(parameters).unwrap().stage;
        let mut given = Inputs::default();
        for (role, output, artifact) in inputs {
            let bytes = Arc::new(output.artifacts[artifact].clone());
            given.push(role, Artifact { output: (*artifact).to_owned(), stage: "test".to_owned(), bytes });
        }
        let mut job = Job { inputs: given, data: &self.0, seed: 3, device: Device::Cpu, host: &mut () };
        match stage.run(&mut job).unwrap() {
            Outcome::Done(output) => output,
            Outcome::Interrupted => panic!("nobody asked to stop"),
        }
    }

    fn init(&self) -> Output {
        self.run("init", json!({ "arch": "vgg11", "width": 3 }), &[])
    }
}

fn network(output: &Output, name: &str) -> Checkpoint {
    Checkpoint::from_safetensors(&output.artifacts[name]).unwrap()
}

const SHORT: fn() -> Value = || json!({ "epochs": 2, "batch_size": 32, "crop_padding": 2 });

fn with(mut table: Value, more: Value) -> Value {
    let (Value::Object(table_), Value::Object(more)) = (&mut table, more) else { panic!("not tables") };
    table_.extend(more);
    table
}

#[test]
fn gates_within_zero_count_as_closed_in_both_modes_and_decide_which_epoch_is_kept() {
    let memory = Memory::new(0.2);
    let init = memory.init();
    let kept = |mode: &str, zero: f64, keep: &str| {
        let parameters = with(SHORT(), json!({ "mode": mode, "zero": zero, "keep": keep }));
        memory.run("gate-train", parameters, &[("network", &init, "network")]).metrics
    };
    for mode in ["bn-scale", "channel-gate"] {
        // A few steps leave every gate near its start: all are within 1 of zero, and none is at zero.
        let reached = kept(mode, 1.0, "best-validation");
        let none = kept(mode, 0.0, "best-validation");
        let shares = |metrics: &Value| -> Vec<f64> {
            metrics["history"].as_array().unwrap().iter().map(|r| r["sparsity"].as_f64().unwrap()).collect()
        };
        assert_eq!((shares(&reached), shares(&none)), (vec![0.0; 2], vec![1.0; 2]), "{mode}");
        assert_eq!(reached["kept_because"], "best validation accuracy of the epochs that reach the sparsity");
        assert_eq!(none["kept_because"], "last epoch: none reaches the sparsity");
        assert_eq!(none["kept_epoch"], 2);
        assert_eq!(kept(mode, 1.0, "last")["kept_because"], "last epoch: as asked for");
    }
    let hash =
        |zero| (kind("gate-train").unwrap().parse)(json!({ "zero": zero }).as_object().unwrap().clone());
    assert_ne!(hash(0.0).unwrap().hash, hash(0.01).unwrap().hash, "it changes the result");
}

#[test]
fn scales_of_a_gated_network_are_trained_with_its_gates_folded_in() {
    let memory = Memory::new(0.2);
    let init = memory.init();
    let gated = memory.run("gate-train", SHORT(), &[("network", &init, "network")]);
    assert!(network(&gated, "network").gated());
    // A regulariser that decides everything: it must reach the scales.
    let parameters = json!({
        "mode": "bn-scale", "steps": 60, "batch_size": 32, "balance": 1000.0, "sparsity": 0.1, "keep": "last"
    });
    let scaled = memory.run("gate-train", parameters, &[("network", &gated, "network")]);
    assert!(!network(&scaled, "network").gated());
    let history = scaled.metrics["history"].as_array().unwrap();
    let mean = history.last().unwrap()["mean_gate"].as_f64().unwrap();
    assert!((mean - 0.1).abs() < 0.02, "{mean}");
}

#[test]
fn without_validation_images_the_last_epoch_is_kept_and_the_figures_say_so() {
    let memory = Memory::new(0.0);
    let init = memory.init();
    let gates = memory.run("gate-train", SHORT(), &[("network", &init, "network")]);
    assert_eq!(gates.metrics["kept_because"], "last epoch: no validation images");
    assert_eq!(gates.metrics["kept_epoch"], 2);
    let trained = memory.run("retrain", SHORT(), &[("network", &init, "network")]);
    assert_eq!(trained.metrics["best_because"], "last epoch: no validation images");
    assert_eq!(trained.artifacts["best"], trained.artifacts["last"]);
    // Training on the validation images leaves none to judge by, whatever `data.validation` says.
    let memory = Memory::new(0.2);
    let all = with(SHORT(), json!({ "train_on": "train-and-validation" }));
    let both = memory.run("retrain", all, &[("network", &init, "network")]);
    assert_eq!(both.metrics["best_because"], "last epoch: no validation images");
    assert_eq!(both.artifacts["best"], both.artifacts["last"]);
    assert_eq!(both.artifacts["last"], trained.artifacts["last"], "the same 200 images");
    let part = memory.run("retrain", SHORT(), &[("network", &init, "network")]);
    assert_eq!(part.metrics["best_because"], "best validation accuracy");
    assert_ne!(part.artifacts["last"], both.artifacts["last"]);
}

#[test]
fn retraining_inherited_weights_is_fine_tuning_it_starts_from_them() {
    let memory = Memory::new(0.2);
    let trained = memory.run("retrain", SHORT(), &[("network", &memory.init(), "network")]);
    let gates = memory.run("gate-train", SHORT(), &[("network", &trained, "best")]);
    let search = json!({ "flops_ratio": 0.5 });
    let channels = memory.run("threshold-search", search, &[("network", &gates, "network")]);
    let inputs = [("channels", &channels, "channels"), ("network", &gates, "network")];
    let slim = memory.run("prune", json!({ "weights": "inherit" }), &inputs);
    // At a rate of zero only the running statistics may move.
    let still = json!({ "lr": 0.0 });
    let tuned =
        memory.run("retrain", with(SHORT(), json!({ "optimizer": still })), &[("network", &slim, "network")]);
    let (before, after) = (network(&slim, "network"), network(&tuned, "last"));
    for (name, tensor) in &before.tensors {
        let statistic = name.contains("running") || name.contains("tracked");
        assert_eq!(after.tensors[name] != *tensor, statistic, "{name}");
    }
    // And at a real one they do; fresh weights are others from the start.
    let moved = memory.run("retrain", SHORT(), &[("network", &slim, "network")]);
    assert_ne!(network(&moved, "last").tensors, after.tensors);
    let fresh = network(&memory.run("prune", json!({}), &inputs[..1]), "network");
    assert_eq!(fresh.spec, before.spec);
    assert_ne!(fresh.values("features.0.weight").unwrap(), before.values("features.0.weight").unwrap());
}

#[test]
fn the_same_seed_gives_full_and_slim_network_weights_of_their_own() {
    let memory = Memory::new(0.2);
    let init = memory.init();
    let search = json!({ "flops_ratio": 1.0 });
    let channels = memory.run("threshold-search", search, &[("network", &init, "network")]);
    // Nothing is removed, so the slim network has the full one's shapes.
    let slim = memory.run("prune", json!({}), &[("channels", &channels, "channels")]);
    let (full, slim) = (network(&init, "network"), network(&slim, "network"));
    assert_eq!(full.spec.channels, slim.spec.channels);
    for layer in full.spec.layers() {
        let name = format!("features.{}.weight", layer.index);
        assert_ne!(full.values(&name).unwrap(), slim.values(&name).unwrap(), "{name}");
    }
}

#[test]
fn a_result_without_latency_cannot_stand_for_one_with_it() {
    let memory = Memory::new(0.2);
    let init = memory.init();
    let hash =
        |latency| (kind("eval").unwrap().parse)(json!({ "latency": latency }).as_object().unwrap().clone());
    assert_ne!(hash(true).unwrap().hash, hash(false).unwrap().hash);
    let figures = |latency| {
        let found = memory.run("eval", json!({ "latency": latency }), &[("network", &init, "network")]);
        let mut figures: BTreeMap<String, Value> =
            serde_json::from_value(found.metrics["networks"]["network"].clone()).unwrap();
        (figures.remove("latency").is_some(), figures)
    };
    let (with, without) = (figures(true), figures(false));
    assert_eq!((with.0, without.0), (true, false));
    assert_eq!(with.1, without.1, "everything else is the same");
}

#[test]
fn epochs_are_whole() {
    let parse = |epochs: Value| {
        (kind("retrain").unwrap().parse)(json!({ "epochs": epochs }).as_object().unwrap().clone())
    };
    assert!(parse(json!(2)).is_ok());
    assert!(parse(json!(1.5)).unwrap_err().to_string().contains("1.5"));
}
