//! The method against brute force and closed forms, stage by stage and in memory: no cache, no command line.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;
use proptest::prelude::*;
use runner::data::DataParams;
use runner::network::{Arch, Checkpoint, Macs, NetworkSpec};
use runner::prune::{SearchError, SearchInput, SearchResult, Ties, random, removal_order, threshold_search};
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

/// A network and a search in it, as proptest draws them.
#[derive(Debug, Clone)]
struct Case {
    spec: NetworkSpec,
    importance: Vec<Vec<f32>>,
    thousandths: u64,
    min_channels: usize,
    round_to: usize,
    ties: Ties,
}

impl Case {
    fn search(&self, tolerance: Option<f64>) -> Result<SearchResult, SearchError> {
        threshold_search(&SearchInput {
            spec: &self.spec,
            importance: &self.importance,
            flops_ratio: self.thousandths as f64 / 1000.0,
            tolerance,
            min_channels: self.min_channels,
            round_to: self.round_to,
            ties: self.ties,
        })
    }

    fn macs(&self, channels: &[usize]) -> u64 {
        macs(channels, self.spec.input[0], self.spec.classes)
    }

    /// FLOPs of the network that the ratio is a share of.
    fn full(&self) -> u64 {
        self.macs(self.spec.plain_channels.as_ref().unwrap_or(&self.spec.channels))
    }

    fn budget(&self) -> u64 {
        self.full() * self.thousandths / 1000
    }

    /// Whether a layer of `all` channels may keep `kept`.
    fn may_keep(&self, kept: usize, all: usize) -> bool {
        kept == all || (kept > 0 && kept >= self.min_channels && kept.is_multiple_of(self.round_to))
    }

    /// The next larger number of channels that a layer may keep.
    fn more(&self, kept: usize, all: usize) -> Option<usize> {
        (kept + 1..=all).find(|more| self.may_keep(*more, all))
    }

    /// The channels of a layer, the best first: by score, of equal ones the higher number.
    fn ranked(&self, layer: usize) -> Vec<u32> {
        let scores = &self.importance[layer];
        let mut channels: Vec<usize> = (0..scores.len()).collect();
        channels.sort_by(|a, b| (scores[*b], b).partial_cmp(&(scores[*a], a)).unwrap());
        channels.into_iter().map(|channel| channel as u32).collect()
    }

    /// The channels of all layers, the best first, as their layers and their ranks there.
    fn best_first(&self) -> Vec<(usize, usize)> {
        let mut seen = [0; 8];
        let rank = |(layer, _): (usize, usize)| {
            seen[layer] += 1;
            (layer, seen[layer])
        };
        removal_order(&self.importance, self.ties).into_iter().rev().map(rank).collect()
    }
}

fn case(widest: usize) -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(1..widest, 8),
        prop::option::of(prop::collection::vec(0..widest / 2, 8)),
        // A dozen values for all gates: most of them tie.
        prop::collection::vec(0u8..12, 8 * (widest + 2)),
        30u64..=1000,
        prop::sample::select(vec![1usize, 1, 2, 3]),
        prop::sample::select(vec![1usize, 1, 2, 3, 4]),
        prop::sample::select(vec![Ties::Spread, Ties::Order]),
        prop::sample::select(vec![1usize, 3]),
        2usize..12,
    )
        .prop_map(|(plain, more, gates, thousandths, min_channels, round_to, ties, colours, classes)| {
            // An expanded network has a few channels more in some layers.
            let channels: Vec<usize> = match &more {
                Some(more) => plain.iter().zip(more).map(|(plain, more)| plain + more).collect(),
                None => plain.clone(),
            };
            let plain_channels = more.is_some().then_some(plain);
            let input = [colours, 16, 16];
            let spec = NetworkSpec { arch: Arch::Vgg11, input, classes, channels, plain_channels };
            let mut gates = gates.into_iter().map(|gate| f32::from(gate) / 11.0);
            let importance =
                spec.channels.iter().map(|count| gates.by_ref().take(*count).collect()).collect();
            Case { spec, importance, thousandths, min_channels, round_to, ties }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_search_keeps_the_best_channels_of_each_layer_and_none_can_be_added(case in case(6)) {
        let Ok(found) = case.search(None) else { return Ok(()) };
        let counts: Vec<usize> = found.kept.iter().map(Vec::len).collect();
        prop_assert_eq!(found.macs_pruned, Macs(case.macs(&counts)));
        prop_assert_eq!(found.macs_plain, Macs(case.full()));
        prop_assert_eq!(found.achieved_ratio, case.macs(&counts) as f64 / case.full() as f64);
        prop_assert!(found.macs_pruned.0 <= case.budget());
        for (layer, (kept, all)) in found.kept.iter().zip(&case.spec.channels).enumerate() {
            prop_assert!(case.may_keep(kept.len(), *all), "{} of {all}", kept.len());
            let mut best = case.ranked(layer)[..kept.len()].to_vec();
            best.sort_unstable();
            prop_assert_eq!(kept, &best);
            // Neither a channel nor a step of `round_to` fits any more.
            if let Some(more) = case.more(kept.len(), *all) {
                let mut larger = counts.clone();
                larger[layer] = more;
                prop_assert!(case.macs(&larger) > case.budget(), "layer {layer} could keep {more}");
            }
            // What lies above the threshold is kept.
            for channel in 0..*all as u32 {
                let score = f64::from(case.importance[layer][channel as usize]);
                let is_kept = kept.contains(&channel);
                prop_assert!(is_kept || score <= found.threshold, "{score} above {}", found.threshold);
            }
        }
        let removed: usize = case.spec.channels.iter().sum::<usize>() - counts.iter().sum::<usize>();
        prop_assert!(removed > 0 || found.threshold == 0.0);
        // Ties: scores that are both kept and removed somewhere.
        let at = |kept: bool, score: f32| found.kept.iter().enumerate().any(|(layer, own)| {
            let scores = case.importance[layer].iter().zip(0u32..);
            scores.into_iter().any(|(other, channel)| *other == score && own.contains(&channel) == kept)
        });
        for (layer, scores) in case.importance.iter().enumerate() {
            let tied = scores.iter().zip(0u32..).filter(|(score, _)| at(true, **score) && at(false, **score));
            let (tied, kept): (Vec<_>, Vec<_>) =
                (tied.clone().collect(), tied.filter(|(_, channel)| found.kept[layer].contains(channel)).collect());
            prop_assert_eq!((tied.len(), kept.len()), (found.tied[layer], found.tied_kept[layer]));
        }
    }

    #[test]
    fn one_threshold_never_gives_a_larger_network(case in case(6)) {
        // Every threshold there is: the best so and so many channels of all, and what the layers' rules add
        // to them.
        let order = removal_order(&case.importance, case.ties);
        let networks = (0..=order.len()).map(|removed| {
            let mut counts = vec![0; 8];
            order[removed..].iter().for_each(|(layer, _)| counts[*layer] += 1);
            let allowed = |(kept, all): (usize, &usize)| (kept..=*all).find(|more| case.may_keep(*more, *all));
            counts.into_iter().zip(&case.spec.channels).map(|pair| allowed(pair).unwrap()).collect()
        });
        let of_thresholds: Option<Vec<usize>> =
            networks.filter(|counts: &Vec<usize>| case.macs(counts) <= case.budget()).max_by_key(|c| case.macs(c));
        match (case.search(None), of_thresholds) {
            (Ok(found), Some(best)) => {
                prop_assert!(found.kept.iter().zip(&best).all(|(kept, best)| kept.len() >= *best));
                // What was filled up comes on top of one of these networks.
                let of_one: Vec<usize> =
                    found.kept.iter().zip(&found.filled).map(|(kept, filled)| kept.len() - filled).collect();
                prop_assert_eq!(of_one, best);
            }
            (Err(SearchError::Unreachable { .. }), None) => {}
            (found, best) => prop_assert!(false, "{found:?} against {best:?}"),
        }
    }

    #[test]
    fn a_tolerance_refuses_what_lies_further_below(case in case(6), tolerance in 0u64..300) {
        let floor = case.full() * case.thousandths.saturating_sub(tolerance) / 1000;
        match (case.search(None), case.search(Some(tolerance as f64 / 1000.0))) {
            (Ok(free), Ok(found)) => {
                prop_assert!(found.macs_pruned.0 >= floor);
                prop_assert_eq!(free, found);
            }
            (Ok(free), Err(SearchError::Tolerance { achieved, .. })) => {
                prop_assert!(free.macs_pruned.0 < floor);
                prop_assert_eq!(free.achieved_ratio, achieved);
            }
            (Err(SearchError::Unreachable { .. }), Err(SearchError::Unreachable { .. })) => {}
            (free, found) => prop_assert!(false, "{free:?} against {found:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn of_all_networks_that_fit_the_search_finds_the_one_with_the_best_channels(case in case(5)) {
        // All networks at all: every layer keeps some of its best channels.
        let choices: Vec<Vec<usize>> = case
            .spec
            .channels
            .iter()
            .map(|all| (1..=*all).filter(|kept| case.may_keep(*kept, *all)).collect())
            .collect();
        let mut networks: Vec<Vec<usize>> = vec![vec![]];
        for choices in &choices {
            let longer = |known: &Vec<usize>| {
                choices.iter().map(|more| [known.as_slice(), &[*more]].concat()).collect::<Vec<_>>()
            };
            networks = networks.iter().flat_map(longer).collect();
        }
        networks.retain(|counts| case.macs(counts) <= case.budget());
        // The first channel, the best first, that one of two networks keeps and the other does not decides.
        let order = case.best_first();
        let is_kept = |counts: &[usize]| order.iter().map(|(layer, rank)| *rank <= counts[*layer]).collect::<Vec<_>>();
        let best = networks.iter().max_by_key(|counts| is_kept(counts));
        match (case.search(None), best) {
            (Ok(found), Some(best)) => {
                prop_assert_eq!(&found.kept.iter().map(Vec::len).collect::<Vec<_>>(), best);
            }
            (Err(SearchError::Unreachable { lowest, .. }), None) => {
                let smallest: Vec<usize> = choices.iter().map(|choices| choices[0]).collect();
                prop_assert_eq!(lowest, case.macs(&smallest) as f64 / case.full() as f64);
            }
            (found, best) => prop_assert!(false, "{found:?} against {best:?}"),
        }
    }
}

#[test]
fn rounding_leaves_nothing_of_the_budget_that_a_step_fits_into() {
    let spec = NetworkSpec::vgg(Arch::Vgg11, 16, 1.0, [1, 16, 16], 10).unwrap();
    let shares = |seed| {
        let importance = random(&spec, seed).unwrap().values().to_vec();
        let (min_channels, round_to, ties) = (1, 16, Ties::Spread);
        let case = Case { spec: spec.clone(), importance, thousandths: 500, min_channels, round_to, ties };
        let found = case.search(None).unwrap();
        let at_threshold: Vec<usize> =
            found.kept.iter().zip(&found.filled).map(|(kept, filled)| kept.len() - filled).collect();
        (case.macs(&at_threshold) as f64 / case.full() as f64, found.achieved_ratio)
    };
    let shares: Vec<(f64, f64)> = (0..200).map(shares).collect();
    let worst = |of: fn(&(f64, f64)) -> f64| shares.iter().map(of).fold(1.0, f64::min);
    // With one threshold alone, whole steps of 16 channels can miss the budget by far.
    assert!(worst(|(at_threshold, _)| *at_threshold) < 0.42);
    assert!(worst(|(_, achieved)| *achieved) > 0.49);
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
            ties: Ties::Spread,
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
