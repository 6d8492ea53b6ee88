//! The figures that are matrices: channels per layer, similarity, confusion.

use super::heat::{Cell, Heat, Names, panel};
use super::panel::Panel;
use super::scale::Scale;
use crate::report::figures::label::{self, Label};
use crate::report::figures::{
    Channels, Compared, Confusion, Correlations, Matrix, Method, Similarity, Structure,
};
use crate::report::format::{count, number, plural};

/// So many structures are rows of one matrix; others follow in another one.
const ROWS: usize = 60;

/// The height that names of rows need, in pixels.
const ROW: f64 = 13.0;

/// A matrix for the structures of networks with the same layers.
pub(super) fn channels(found: &Channels, width: f64) -> Vec<Panel> {
    let groups = found.by_layers();
    let several = groups.len() > 1;
    let mut panels = Vec::new();
    for group in &groups {
        let parts = group.len().div_ceil(ROWS);
        for (part, structures) in group.chunks(ROWS).enumerate() {
            let mut title = "Channels kept per convolution".to_owned();
            if several {
                title += &format!(
                    ", of networks with {} channels",
                    group[0].full.iter().map(|count| *count as f64).sum::<f64>()
                );
            }
            if parts > 1 {
                title += &format!(" ({} of {parts})", part + 1);
            }
            panels.push(panel(&of_structures(structures, title), width));
        }
    }
    panels
}

fn of_structures(structures: &[&Structure], title: String) -> Heat {
    let layers = structures.iter().map(|one| one.kept.len()).max().unwrap_or(0);
    let cells = |one: &&Structure| {
        let shares = one.shares();
        let cell = |layer: usize| {
            let share = 100.0 * shares[layer];
            let (kept, full) = (one.kept[layer], one.full[layer]);
            let words = format!("{} {}", one.method.name, label::words(&one.places));
            Cell {
                value: Some(shares[layer]),
                text: format!("{share:.0}"),
                tip: format!(
                    "{}, layer {}: {kept} of {full} channels, {share:.1}%",
                    words.trim_end(),
                    layer + 1
                ),
            }
        };
        (0..one.kept.len()).map(cell).collect()
    };
    let points: Vec<(&Method, Label)> = structures
        .iter()
        .map(|one| {
            let mut places = one.places.clone();
            // The budget of a search that is the same at all points is no part of their labels.
            let named = places.iter().any(|(key, _)| key.ends_with("flops_ratio"));
            if let Some(wanted) = one.wanted.filter(|_| !named) {
                places.insert(0, ("flops_ratio".to_owned(), number(wanted)));
            }
            (&one.method, places)
        })
        .collect();
    Heat {
        title,
        across: "convolution".to_owned(),
        columns: (1..=layers).map(|layer| layer.to_string()).collect(),
        names: names(&points),
        cells: structures.iter().map(cells).collect(),
        scale: Scale::Sequential,
        measure: "share of the channels kept",
        square: false,
        least: ROW,
    }
}

/// What is written before rows: the method once for all its rows, then a column for each number.
fn names(points: &[(&Method, Label)]) -> Vec<Names> {
    let mut keys: Vec<String> = Vec::new();
    let short: Vec<Label> = points
        .iter()
        .map(|(_, label)| {
            let mut terms = label::short(&label::without_seeds(label));
            terms.extend(label::short(&label::seeds(label)));
            terms
        })
        .collect();
    for (key, _) in short.iter().flatten() {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    let method = |at: usize| {
        let repeated = at > 0 && points[at].0 == points[at - 1].0;
        if repeated { String::new() } else { points[at].0.name.clone() }
    };
    let methods = (0..points.len()).map(method).collect();
    let mut found = vec![Names { head: "method".to_owned(), words: methods, numbers: false }];
    for key in keys {
        let is_budget = key.ends_with("flops_ratio");
        let word = |label: &Label| {
            let value = label.iter().find(|(own, _)| *own == key).map(|(_, value)| value.clone());
            match value.as_ref().and_then(|value| value.parse::<f64>().ok()) {
                Some(ratio) if is_budget => format!("{}%", number(100.0 * ratio)),
                _ => value.unwrap_or_default(),
            }
        };
        let words: Vec<String> = short.iter().map(word).collect();
        let head = if key == "flops_ratio" { "FLOPs".to_owned() } else { key };
        found.push(Names { head, words, numbers: true });
    }
    found
}

/// A matrix for each budget.
pub(super) fn similarity(found: &Similarity, width: f64) -> Vec<Panel> {
    found.matrices.iter().map(|matrix| panel(&of_budget(matrix), width)).collect()
}

fn of_budget(matrix: &Correlations) -> Heat {
    let shown = matrix.structures.len().min(ROWS);
    let cell = |row: usize, column: usize| {
        let value = matrix.values[row][column];
        let text = value.map_or("–".to_owned(), |value| {
            // Without the nought before the point three more digits fit into a cell.
            format!("{value:.2}").replace("0.", ".").replace("-.00", ".00").replace('-', "−")
        });
        let value_words = value.map_or("not defined".to_owned(), |value| format!("{value:.3}"));
        let [one, other] = [row, column].map(|at| matrix.structures[at].words());
        Cell { value, text, tip: format!("{one} and {other}: {value_words}") }
    };
    let more = if shown < matrix.structures.len() {
        format!(" (the first {ROWS} of {} structures; the CSV file has all)", matrix.structures.len())
    } else {
        String::new()
    };
    let points: Vec<(&Method, Label)> = matrix.structures[..shown]
        .iter()
        .map(|Compared { method, places }| (method, places.clone()))
        .collect();
    let mut names = names(&points);
    let numbers = (1..=shown).map(|at| at.to_string()).collect::<Vec<_>>();
    names.push(Names { head: "no.".to_owned(), words: numbers.clone(), numbers: true });
    Heat {
        title: format!("Structures at {}{more}", matrix.name),
        across: "number of the structure".to_owned(),
        columns: numbers,
        names,
        cells: (0..shown).map(|row| (0..shown).map(|column| cell(row, column)).collect()).collect(),
        scale: Scale::Diverging,
        measure: "Pearson's correlation",
        square: true,
        least: ROW,
    }
}

/// A matrix for each method and budget.
pub(super) fn confusion(found: &Confusion, width: f64) -> Vec<Panel> {
    found.matrices.iter().map(|matrix| panel(&of_network(matrix, width), width)).collect()
}

/// Names of classes need rows of this height, in pixels; lower ones have numbers.
const NAMED: f64 = 12.0;

fn of_network(matrix: &Matrix, width: f64) -> Heat {
    let shares = matrix.shares();
    let cell = |truth: usize, predicted: usize| {
        let images = matrix.counts[truth][predicted];
        let share = shares[truth][predicted];
        let [is, taken] = [truth, predicted].map(|class| matrix.class(class));
        Cell {
            value: Some(share),
            text: if images == 0 { String::new() } else { count(images).replace(".00", "").replace(' ', "") },
            tip: format!("{is} taken for {taken}: {images} images, {:.1}%", 100.0 * share),
        }
    };
    let classes = matrix.counts.len();
    let named = width * 0.75 / classes.max(1) as f64 >= NAMED;
    let class = |at: usize| if named { matrix.class(at) } else { at.to_string() };
    let words: Vec<String> = (0..classes).map(class).collect();
    let numbers = words.iter().all(|word| word.parse::<u64>().is_ok());
    let budget = label::budget(&matrix.label);
    let comma = if budget.is_empty() { "" } else { ", " };
    let of = if matrix.n > 1 { format!(" ({})", plural(matrix.n, "seed")) } else { String::new() };
    Heat {
        title: format!("{}{comma}{budget}{of}", matrix.method.name),
        across: if named { "predicted class" } else { "number of the predicted class" }.to_owned(),
        columns: words.clone(),
        names: vec![Names { head: "true class".to_owned(), words, numbers }],
        cells: (0..classes).map(|truth| (0..classes).map(|class| cell(truth, class)).collect()).collect(),
        scale: Scale::Sequential,
        measure: "share of the images of the true class",
        square: true,
        least: 0.0,
    }
}
