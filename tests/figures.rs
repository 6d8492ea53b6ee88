//! Figures of odd studies: one point, many methods, long names, equal values, many classes, diverged
//! trainings.
//!
//! With `FIGURES_TO=DIR` the pictures are written there, to be looked at.

#![allow(clippy::unwrap_used, clippy::panic)]

mod picture;

use picture::{faults, words};
use runner::draw::{Unit, panels};
use runner::report::Mean;
use runner::report::figures::label::Label;
use runner::report::figures::{
    Channels, Compared, Confusion, Content, Correlations, Curve, Curves, Gates, Histogram, Matrix, Method,
    Pareto, ParetoPoint, Role, Similarity, Stage, StageGraph, StageTime, Structure, Threshold, Time, Took,
};
use runner::train::EpochRecord;

/// Names as people may choose them; the place makes each of them another one.
fn name(kind: &str, at: usize) -> String {
    match kind {
        "long" => {
            format!("a rule with a name of many words that says how it prunes its network, number {at}")
        }
        "unbroken" => format!("{}{at}", "unbroken".repeat(12)),
        "other" => format!("Schwellenwert-größe-ñ-λ₁-метод-{at}"),
        _ => format!("method{at}"),
    }
}

fn method(kind: &str, at: usize) -> Method {
    Method { name: name(kind, at), role: Role::Method(at) }
}

fn unpruned() -> Method {
    Method { name: "unpruned".to_owned(), role: Role::Unpruned }
}

fn label(terms: &[(&str, String)]) -> Label {
    terms.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn point(method: Method, ratio: f64, runs: &[f64]) -> ParetoPoint {
    ParetoPoint {
        unpruned: method.role == Role::Unpruned,
        method,
        output: "best".to_owned(),
        label: label(&[("search.flops_ratio", ratio.to_string())]),
        flops: Mean::of(&vec![ratio; runs.len()]).unwrap(),
        accuracy: Mean::of(runs).unwrap(),
        runs: runs.to_vec(),
        on_front: true,
    }
}

fn pareto(kind: &str, methods: usize, ratios: &[f64], seeds: usize, spread: f64) -> Content {
    let mut points = Vec::new();
    for at in 0..methods {
        for ratio in ratios {
            let run = |seed: usize| 0.8 + spread * (0.1 * ratio + 0.001 * at as f64 + 0.004 * seed as f64);
            let runs: Vec<f64> = (0..seeds).map(run).collect();
            points.push(point(method(kind, at), *ratio, &runs));
        }
    }
    points.push(point(unpruned(), 1.0, &[0.9]));
    Content::Pareto(Pareto { points })
}

fn record(epoch: u64, loss: f64) -> EpochRecord {
    EpochRecord {
        epoch,
        train_loss: loss,
        train_accuracy: 0.5,
        validation_loss: Some(loss + 0.1),
        validation_accuracy: Some(0.4),
        sparsity: None,
        mean_gate: None,
        lr: 0.1,
    }
}

fn curves(kind: &str, methods: usize, ratios: &[f64], epochs: u64, loss: f64) -> Content {
    let mut all = Vec::new();
    for at in 0..methods {
        for ratio in ratios {
            let places = label(&[("search.flops_ratio", ratio.to_string())]);
            let run = |seed: u64| {
                let epochs = (1..=epochs).map(|epoch| record(epoch, loss / (epoch + seed) as f64)).collect();
                (format!("seed={seed}"), epochs)
            };
            all.push(Curve {
                stage: "retrain".to_owned(),
                method: method(kind, at),
                label: places.clone(),
                places,
                runs: (1..=3).map(run).collect(),
            });
        }
    }
    Content::Curves(Curves { curves: all })
}

fn structures(kind: &str, methods: usize, seeds: usize) -> Vec<Structure> {
    let mut found = Vec::new();
    for at in 0..methods {
        for seed in 1..=seeds {
            let places = label(&[("search.flops_ratio", "0.3".to_owned()), ("seed", seed.to_string())]);
            found.push(Structure {
                search: "search".to_owned(),
                method: method(kind, at),
                label: places.clone(),
                places,
                wanted: Some(0.3),
                kept: (0..16).map(|layer| 1 + (layer + at as u64 + seed as u64) % 64).collect(),
                full: vec![64; 16],
            });
        }
    }
    found
}

fn similarity(kind: &str, count: usize) -> Content {
    let structures = (0..count)
        .map(|at| Compared {
            method: method(kind, at / 3),
            places: label(&[("seed", (at % 3 + 1).to_string())]),
        })
        .collect();
    let value =
        |a: usize, b: usize| (a != 1 && b != 1).then(|| 1.0 - 2.0 * a.abs_diff(b) as f64 / count as f64);
    let values = (0..count).map(|a| (0..count).map(|b| value(a, b)).collect()).collect();
    let name = "30% of the FLOPs".to_owned();
    Content::Similarity(Similarity { matrices: vec![Correlations { name, structures, values }] })
}

fn confusion(kind: &str, classes: usize, names: Option<&'static [&'static str]>) -> Content {
    let count = |a: usize, b: usize| if a == b { 900 } else { ((a * 7 + b * 3) % 11) as u64 };
    let matrix = Matrix {
        method: method(kind, 0),
        label: label(&[("search.flops_ratio", "0.3".to_owned())]),
        classes: names,
        n: 3,
        counts: (0..classes).map(|a| (0..classes).map(|b| count(a, b)).collect()).collect(),
    };
    Content::Confusion(Confusion { matrices: vec![matrix] })
}

const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

fn gates(kind: &str, edges: (f64, f64), counts: &[u64], cuts: usize) -> Content {
    let wide = (edges.1 - edges.0) / counts.len() as f64;
    let cut = |at: usize| Threshold {
        search: name(kind, at),
        wanted: at.is_multiple_of(2).then_some(0.1 * at as f64),
        value: edges.0 + wide * at as f64,
    };
    let histogram = Histogram {
        source: name(kind, 0),
        label: label(&[("seed", "1".to_owned())]),
        edges: (0..=counts.len()).map(|at| edges.0 + wide * at as f64).collect(),
        counts: counts.to_vec(),
        thresholds: (0..cuts).map(cut).collect(),
    };
    Content::Gates(Gates { histograms: vec![histogram], unread: vec![] })
}

fn time(kind: &str, stages: usize) -> Content {
    let took = |at: usize| Took {
        point: String::new(),
        seconds: if at == 0 { 0.0 } else { 10f64.powi(at as i32 % 6 - 2) },
        sessions: 1,
        host: "host".to_owned(),
        device: "cpu".to_owned(),
        threads: 2,
    };
    let stage = |at: usize| StageTime { stage: name(kind, at), works: vec![took(at); 1 + at % 3] };
    Content::Time(Time { stages: (0..stages).map(stage).collect() })
}

fn graph(kind: &str, stages: usize) -> Content {
    let stage = |at: usize| Stage {
        name: name(kind, at),
        kind: "retrain".to_owned(),
        works: [runner::plan::NodeId(at)].into(),
        cached: at % 2,
        inputs: (at > 0).then(|| ("network".to_owned(), name(kind, at / 2))).into_iter().collect(),
    };
    Content::Graph(StageGraph { stages: (0..stages).map(stage).collect() })
}

/// A study, its picture's data, and the names that must stand in it whole.
fn odd() -> Vec<(String, Content, Vec<String>)> {
    let mut all: Vec<(String, Content, Vec<String>)> = Vec::new();
    let mut add = |what: String, content: Content, names: Vec<String>| all.push((what, content, names));
    let names = |kind: &str, count: usize| (0..count).map(|at| name(kind, at)).collect::<Vec<_>>();
    for kind in ["plain", "long", "unbroken", "other"] {
        add(format!("dots-{kind}"), pareto(kind, 7, &[0.3], 3, 1.0), names(kind, 7));
        add(format!("plane-{kind}"), pareto(kind, 4, &[0.3, 0.5], 3, 1.0), names(kind, 4));
        add(format!("curves-{kind}"), curves(kind, 2, &[0.3, 0.5], 6, 2.0), names(kind, 2));
        let found = Channels { structures: structures(kind, 4, 3) };
        add(format!("channels-{kind}"), Content::Channels(found), names(kind, 4));
        add(format!("similarity-{kind}"), similarity(kind, 9), names(kind, 3));
        add(format!("confusion-{kind}"), confusion(kind, 10, Some(&FASHION)), names(kind, 1));
        add(format!("gates-{kind}"), gates(kind, (-1.0, 1.0), &[3, 5, 0, 9], 3), names(kind, 1));
        add(format!("time-{kind}"), time(kind, 9), names(kind, 9));
        add(format!("graph-{kind}"), graph(kind, 9), names(kind, 9));
    }
    add("one-point".into(), pareto("plain", 1, &[0.3], 1, 1.0), names("plain", 1));
    add("only-unpruned".into(), pareto("plain", 0, &[], 1, 1.0), vec!["unpruned".into()]);
    add("equal-dots".into(), pareto("plain", 5, &[0.3], 3, 0.0), names("plain", 5));
    add("equal-plane".into(), pareto("plain", 5, &[0.3, 0.5], 3, 0.0), names("plain", 5));
    add("forty-dots".into(), pareto("plain", 40, &[0.3], 3, 1.0), names("plain", 40));
    add("forty-budgets".into(), pareto("plain", 40, &[0.1, 0.3, 0.5], 3, 1.0), names("plain", 40));
    add("forty-curves".into(), curves("plain", 40, &[0.3], 6, 2.0), names("plain", 40));
    add("one-epoch".into(), curves("plain", 1, &[0.3], 1, 2.0), names("plain", 1));
    add("diverged".into(), curves("plain", 2, &[0.3], 4, f64::NAN), names("plain", 2));
    add("endless".into(), curves("plain", 2, &[0.3], 4, f64::INFINITY), names("plain", 2));
    add("huge-loss".into(), curves("plain", 2, &[0.3], 200, 1e12), names("plain", 2));
    add("vast-loss".into(), curves("plain", 2, &[0.3], 4, 1e308), names("plain", 2));
    add("vast-cuts".into(), gates("plain", (-1e307, 1e307), &[1; 30], 3), vec![]);
    let many = Channels { structures: structures("plain", 40, 5) };
    add("many-structures".into(), Content::Channels(many), names("plain", 40));
    add("many-similar".into(), similarity("plain", 90), names("plain", 20));
    add("hundred-classes".into(), confusion("plain", 100, None), vec![]);
    add("two-classes".into(), confusion("plain", 2, Some(&["cat", "dog"])), vec!["cat".into()]);
    add("equal-scores".into(), gates("plain", (-0.5, 0.5), &[0, 0, 64, 0], 1), vec![]);
    add("many-cuts".into(), gates("plain", (0.0, 1e-6), &[1; 30], 25), vec![]);
    all
}

fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn figures_of_odd_studies_cut_no_name_and_no_words_cover_others() {
    let mut wrong = Vec::new();
    for (what, content, names) in odd() {
        for width in [321.0, 380.0, 605.0] {
            let drawn = panels(&content, width);
            assert!(!drawn.is_empty(), "{what}: nothing drawn");
            let mut all = String::new();
            for (at, panel) in drawn.iter().enumerate() {
                let svg = panel.file_svg(Unit::Pixels);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{what} {at}: a place is no number");
                let faults = faults(&svg);
                wrong.extend(faults.into_iter().map(|fault| format!("{what} {at} at {width}: {fault}")));
                all += &bare(&words(&svg).concat());
                if let Some(folder) = std::env::var_os("FIGURES_TO").filter(|_| at < 2) {
                    let file = std::path::Path::new(&folder).join(format!("{what}-{at}-{width}.png"));
                    std::fs::write(file, panel.png().unwrap()).unwrap();
                }
            }
            wrong.extend(
                names
                    .iter()
                    .filter(|name| !all.contains(&bare(name)))
                    .map(|name| format!("{what} at {width}: `{name}` is cut or missing")),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
