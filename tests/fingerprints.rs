//! A fingerprint changes exactly when the result would, and the encoding does not change by accident.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use binary::SMALL;
use runner::data::{DataParams, DataSetName};
use runner::fingerprint::Fingerprint;
use runner::plan::{DataIdentities, Graph, Node, fingerprint};
use runner::stages::{self, Configured, DataUse, KINDS, Kind};
use runner::store::ObjectHash;
use serde_json::{Map, Value, json};

fn graph(path: &Path) -> Graph {
    let loaded = runner::pipeline::load(path, &[], stages::catalog()).unwrap();
    Graph::new(&loaded.points(&[]).unwrap(), &mut DataIdentities::new(None)).unwrap()
}

fn graph_of(text: &str) -> Graph {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).unwrap();
    graph(&path)
}

/// The fingerprint of a node on made-up images, and inputs that follow from what gives them.
fn of(graph: &Graph, node: &Node) -> Fingerprint {
    let data = match node.stage.stage.data_use() {
        DataUse::None => None,
        _ => Some(Fingerprint::from_bytes([9; 32])),
    };
    let mut inputs = BTreeMap::new();
    for edge in &node.inputs {
        let giver = of(graph, graph.node(edge.from));
        let object =
            |output: &String| (output.clone(), ObjectHash::of(format!("{giver} {output}").as_bytes()));
        inputs.insert(edge.role.clone(), edge.outputs.iter().map(object).collect());
    }
    fingerprint(node, data, &inputs)
}

/// The fingerprints of all stages, by kind; no two of the pipelines here are of one kind.
fn all(graph: &Graph) -> BTreeMap<&'static str, Fingerprint> {
    graph.iter().map(|(_, node)| (node.stage.kind.name, of(graph, node))).collect()
}

fn parse(kind: &Kind, parameters: Map<String, Value>) -> Option<Configured> {
    (kind.parse)(parameters).ok()
}

/// What identifies a configured stage: its hash, and the seed, which joins it in the fingerprint.
fn identity(stage: &Configured) -> (Fingerprint, String) {
    (stage.hash, format!("{:?}", stage.stage.randomness()))
}

/// Whoever changes a default, a version or the encoding sees it here; `cargo insta accept` if it was meant.
#[test]
fn fingerprints_are_what_they_were() {
    let mut text = String::new();
    for kind in KINDS {
        let stage = parse(kind, Map::new()).unwrap();
        writeln!(text, "{:<17} {}", kind.name, stage.hash).unwrap();
    }
    for name in ["quickstart", "vgg19_r50", "vgg19_fashion_r50"] {
        let path = format!("{}/pipelines/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let graph = graph(Path::new(&path));
        writeln!(text, "\n{name}.toml").unwrap();
        for (_, node) in graph.iter() {
            writeln!(text, "{:<17} {}", node.name, of(&graph, node)).unwrap();
        }
    }
    let mut images = DataIdentities::new(None);
    writeln!(text, "\nfashion-mnist-mini").unwrap();
    for part in [DataUse::Shape, DataUse::Train, DataUse::Test] {
        let identity = images.of(&DataParams::default(), part).unwrap().unwrap();
        writeln!(text, "{:<17} {identity}", format!("{part:?}")).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// Dotted paths of all values that are no tables.
fn leaves(prefix: &[String], value: &Value, into: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                leaves(&[prefix, std::slice::from_ref(key)].concat(), value, into);
            }
        }
        _ => into.push(prefix.to_vec()),
    }
}

fn with(parameters: &Value, leaf: &[String], value: &Value) -> Map<String, Value> {
    let mut changed = parameters.clone();
    *leaf.iter().fold(&mut changed, |table, key| &mut table[key.as_str()]) = value.clone();
    changed.as_object().unwrap().clone()
}

/// Values of all types, and every word that a schema knows.
fn candidates(schema: &Value) -> Vec<Value> {
    let mut words = BTreeSet::new();
    collect(schema, &mut words);
    let mut all: Vec<Value> = words.into_iter().map(Value::String).collect();
    all.extend([json!(true), json!(false), json!(1), json!(2), json!(7), json!(0.25), json!(0.75)]);
    all.extend([json!([1]), json!([0.5]), Value::Null]);
    // A list of one value for each layer of some network.
    all.extend((2..32).map(|length| json!(vec![8; length])));
    all
}

fn collect(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(table) => {
            for (key, value) in table {
                match (key.as_str(), value) {
                    ("const", Value::String(word)) => drop(words.insert(word.clone())),
                    ("enum", Value::Array(all)) => {
                        words.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => collect(value, words),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        _ => {}
    }
}

#[test]
fn every_parameter_of_every_kind_changes_the_fingerprint() {
    for kind in KINDS {
        let base = parse(kind, Map::new()).unwrap();
        let schema = (kind.schema)();
        let keys: BTreeSet<&String> = base.parameters.as_object().unwrap().keys().collect();
        let named: BTreeSet<&String> =
            schema["properties"].as_object().into_iter().flat_map(Map::keys).collect();
        assert_eq!(keys, named, "{}: a parameter that is not written out cannot be tried", kind.name);
        let mut all = Vec::new();
        leaves(&[], &base.parameters, &mut all);
        let bases = variants(kind, &base);
        for leaf in all {
            let matters = |base: &Configured| {
                let mut tried = 0;
                let mut changes = 0;
                for value in candidates(&schema) {
                    let Some(changed) = parse(kind, with(&base.parameters, &leaf, &value)) else { continue };
                    if changed.parameters == base.parameters {
                        assert_eq!(identity(&changed), identity(base), "{} {leaf:?} = {value}", kind.name);
                    } else {
                        tried += 1;
                        changes += usize::from(identity(&changed) != identity(base));
                    }
                }
                // A key of another optimizer changes nothing; one of this optimizer always changes something.
                assert!(changes == 0 || changes == tried, "{} {leaf:?}: {changes} of {tried}", kind.name);
                changes > 0
            };
            assert!(bases.iter().any(matters), "{} {leaf:?} changes nothing", kind.name);
        }
    }
}

/// The defaults of a kind, and the same with every optimizer and every schedule.
fn variants(kind: &Kind, base: &Configured) -> Vec<Configured> {
    let mut bases = vec![parse(kind, base.parameters.as_object().unwrap().clone()).unwrap()];
    for (table, names) in
        [("optimizer", ["sgd", "adam", "sgd"]), ("schedule", ["constant", "multi-step", "cosine"])]
    {
        for name in names.iter().filter(|_| base.parameters[table].is_object()) {
            let leaf = [table.to_owned(), "kind".to_owned()];
            bases.extend(parse(kind, with(&base.parameters, &leaf, &json!(name))));
        }
    }
    bases
}

#[test]
fn keys_of_another_optimizer_or_schedule_change_no_fingerprint() {
    let gates = KINDS.into_iter().find(|kind| kind.name == "gate-train").unwrap();
    let of = |written: Value| identity(&parse(gates, written.as_object().unwrap().clone()).unwrap());
    assert_eq!(of(json!({"optimizer": {"momentum": 0.5}})), of(json!({})), "Adam has no momentum");
    assert_eq!(of(json!({"schedule": {"gamma": 0.5}})), of(json!({})), "a constant rate has no gamma");
    assert_eq!(of(json!({"steps": 7, "epochs": 3})), of(json!({"steps": 7})), "steps count, not epochs");
    assert_ne!(of(json!({"epochs": 3})), of(json!({})));
}

#[test]
fn two_different_values_of_a_choice_never_share_a_fingerprint() {
    for kind in KINDS {
        let base = parse(kind, Map::new()).unwrap();
        let mut all = Vec::new();
        leaves(&[], &base.parameters, &mut all);
        for leaf in all {
            let mut seen: BTreeMap<String, String> = BTreeMap::new();
            for value in candidates(&(kind.schema)()) {
                let Some(changed) = parse(kind, with(&base.parameters, &leaf, &value)) else { continue };
                if identity(&changed) == identity(&base) {
                    continue; // The same, or a key that this optimizer or schedule does not look at.
                }
                let parameters = changed.parameters.to_string();
                let known = seen.entry(format!("{:?}", identity(&changed))).or_insert(parameters.clone());
                assert_eq!(*known, parameters, "{} {leaf:?}", kind.name);
            }
        }
    }
}

/// The small pipeline, with a seed and a table written out, and a stage of every other kind.
fn pipeline() -> String {
    let scoring = ["gates", "uniform", "random", "shuffled", "l1", "slimming"]
        .map(|kind| format!("[[stage]]\nkind = \"{kind}\"\ninputs.network = \"gate-train\"\n"))
        .concat();
    format!("{SMALL}{scoring}")
        .replace("[data]", "seed = 3\n[data]")
        .replace("epochs = 3", "epochs = 3\noptimizer = { kind = \"sgd\", lr = 0.02 }")
}

#[test]
fn names_comments_order_paths_and_written_defaults_change_no_fingerprint() {
    let pipeline = pipeline();
    let base = all(&graph_of(&pipeline));
    assert_eq!(base.len(), KINDS.len());
    let (head, tail) = pipeline.split_once("[[stage]]").unwrap();
    let stages: Vec<&str> = tail.split("[[stage]]").collect();
    let backwards: String = stages.iter().rev().map(|stage| format!("[[stage]]{stage}")).collect();
    let mut equal = vec![
        pipeline.replace("\"small\"", "\"another\""),
        pipeline.replace("seed = 3", "seed = 3 # a comment"),
        pipeline.replace("epochs = 4", "  epochs   =   4\n\n"),
        pipeline.replace("name = \"small\"", "name = \"small\"\ndescription = \"what it is for\""),
        pipeline.replace("epochs = 4", "epochs = 4\ntimeout = \"3h\""),
        pipeline.replace("arch = \"vgg11\"\nwidth = 4", "width = 4\narch = \"vgg11\""),
        pipeline.replace("kind = \"sgd\", lr = 0.02", "lr = 2e-2, kind = \"sgd\""),
        pipeline
            .replace("kind = \"init\"", "name = \"start\"\nkind = \"init\"")
            .replace("= \"init\"\nepochs", "= \"start\"\nepochs"),
        format!("{head}{backwards}"),
    ];
    // Every default of every kind, one at a time.
    for kind in KINDS {
        let base = parse(kind, Map::new()).unwrap();
        for (key, value) in base.parameters.as_object().unwrap() {
            let declared = format!("kind = \"{}\"\n", kind.name);
            let stage = stages.iter().find(|stage| stage.contains(&declared)).unwrap();
            if !value.is_null() && !value.is_object() && !stage.contains(&format!("\n{key}")) {
                equal.push(pipeline.replace(&declared, &format!("{declared}{key} = {value}\n")));
            }
        }
    }
    assert!(equal.len() > 20, "{}", equal.len());
    for text in equal {
        assert_ne!(text, pipeline);
        assert_eq!(all(&graph_of(&text)), base, "{text}");
    }
}

#[test]
fn a_change_reaches_the_stage_it_is_in_and_those_below() {
    let pipeline = pipeline();
    let base = all(&graph_of(&pipeline));
    let changed = |from: &str, to: &str| {
        let now = all(&graph_of(&pipeline.replace(from, to)));
        base.iter().filter(|(kind, old)| now[*kind] != **old).map(|(kind, _)| *kind).collect::<Vec<_>>()
    };
    let mut all: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    all.sort_unstable();
    assert_eq!(changed("width = 4", "width = 5"), all, "init stands above everything");
    assert_eq!(changed("seed = 3", "seed = 4"), all);
    let below_search = ["eval", "prune", "retrain", "threshold-search"];
    assert_eq!(changed("flops_ratio = 0.5", "flops_ratio = 0.4"), below_search);
    assert_eq!(changed("epochs = 4", "epochs = 5"), ["eval", "retrain"]);
}

#[test]
fn what_is_done_to_the_images_changes_their_identity_and_where_they_lie_does_not() {
    let base = DataParams { limit_train: Some(400), limit_test: Some(100), ..DataParams::default() };
    assert_eq!(base.set, DataSetName::FashionMnistMini);
    let mut images = DataIdentities::new(None);
    let mut of = |params: &DataParams| {
        [DataUse::None, DataUse::Shape, DataUse::Train, DataUse::Test]
            .map(|part| images.of(params, part).unwrap())
    };
    let before = of(&base);
    let mut changed = |params: DataParams| {
        let now = of(&params);
        [0, 1, 2, 3].map(|part| now[part] != before[part])
    };
    let shape_and_both = [false, true, true, true];
    let (train, test, both) =
        ([false, false, true, false], [false, false, false, true], [false, false, true, true]);
    assert_eq!(changed(DataParams { size: Some(32), ..base.clone() }), shape_and_both);
    assert_eq!(changed(DataParams { validation: 0.2, ..base.clone() }), train);
    assert_eq!(changed(DataParams { limit_train: Some(300), ..base.clone() }), train);
    assert_eq!(changed(DataParams { limit_test: None, ..base.clone() }), test);
    assert_eq!(changed(DataParams { mean: Some(vec![0.5]), ..base.clone() }), both);
    assert_eq!(changed(DataParams { std: Some(vec![0.5]), ..base.clone() }), both);
    assert_eq!(changed(DataParams { dir: Some("elsewhere".into()), ..base.clone() }), [false; 4]);
}

#[test]
fn a_training_on_all_images_does_not_ask_which_of_them_would_be_held_out() {
    let data = "[data]\nvalidation = 0.3\n";
    let stages = "[[stage]]\nkind = \"init\"\n[[stage]]\nkind = \"retrain\"\ninputs.network = \"init\"\n";
    let definition = |text: String| graph_of(&text).nodes[1].definition;
    let whole = format!("{stages}train_on = \"train-and-validation\"\n");
    assert_eq!(definition(format!("{data}{whole}")), definition(whole));
    assert_ne!(definition(format!("{data}{stages}")), definition(stages.to_owned()));
    let mut images = DataIdentities::new(None);
    let mut of = |params: &DataParams, part| images.of(params, part).unwrap();
    let plain = DataParams::default();
    let other = DataParams { validation: 0.3, ..plain.clone() };
    assert_eq!(of(&other, DataUse::TrainWhole), of(&plain, DataUse::TrainWhole));
    // As it was when the default share was part of it.
    assert_eq!(of(&plain, DataUse::TrainWhole), of(&plain, DataUse::Train));
    let fewer = DataParams { limit_train: Some(100), ..other };
    assert_ne!(of(&fewer, DataUse::TrainWhole), of(&plain, DataUse::TrainWhole));
}
