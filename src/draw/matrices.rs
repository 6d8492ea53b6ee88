//! The figures that are matrices: channels per layer, similarity, confusion.

use super::heat::{Cell, Heat, panel};
use super::panel::Panel;
use super::theme::Scale;
use crate::report::figures::{Channels, Confusion, Correlations, Matrix, Similarity, Structure, label};
use crate::report::format::{count, plural};

/// So many structures are rows of one matrix; more cannot be told apart, and the CSV has them.
const ROWS: usize = 60;

/// A matrix for each search.
pub fn channels(found: &Channels, width: f64) -> Vec<Panel> {
    found.by_search().into_iter().map(|structures| panel(&of_search(structures), width)).collect()
}

fn of_search(structures: &[Structure]) -> Heat {
    let shown = &structures[..structures.len().min(ROWS)];
    let name = shown.first().map_or("", |first| first.search.as_str());
    let layers = shown.iter().map(|one| one.kept.len()).max().unwrap_or(0);
    let keys: Vec<String> = shown.first().map_or(vec![], |one| {
        label::short(&one.label).into_iter().map(|(key, _)| key).collect()
    });
    let row = |one: &Structure| {
        let values: Vec<String> = label::short(&one.label).into_iter().map(|(_, value)| value).collect();
        if values.is_empty() { "kept".to_owned() } else { values.join(", ") }
    };
    let cells = |one: &Structure| {
        let shares = one.shares();
        let cell = |layer: usize| {
            let share = 100.0 * shares[layer];
            let (kept, full) = (one.kept[layer], one.full[layer]);
            let words = label::words(&one.label);
            Cell {
                value: Some(shares[layer]),
                text: format!("{share:.0}"),
                tip: format!("{words} layer {}: {kept} of {full} channels, {share:.1}%", layer + 1).trim_start().to_owned(),
            }
        };
        (0..one.kept.len()).map(cell).collect()
    };
    let left_out = structures.len() - shown.len();
    let more = if left_out > 0 { format!(" (the first {ROWS} of {})", structures.len()) } else { String::new() };
    Heat {
        title: format!("{name}: % of channels kept{more}"),
        across: "convolution".to_owned(),
        down: keys.join(", "),
        columns: (1..=layers).map(|layer| layer.to_string()).collect(),
        rows: shown.iter().map(row).collect(),
        cells: shown.iter().map(cells).collect(),
        scale: Scale::Sequential,
        square: false,
    }
}

/// A matrix for each budget.
pub fn similarity(found: &Similarity, width: f64) -> Vec<Panel> {
    found.matrices.iter().map(|matrix| panel(&of_budget(matrix), width)).collect()
}

fn of_budget(matrix: &Correlations) -> Heat {
    let shown = matrix.structures.len().min(ROWS);
    let name = |at: usize| &matrix.structures[at];
    let cell = |row: usize, column: usize| {
        let value = matrix.values[row][column];
        let text = value.map_or("–".to_owned(), |value| format!("{value:.2}").replace("0.", ".").replace("-.00", ".00"));
        let words = value.map_or("not defined".to_owned(), |value| format!("{value:.3}"));
        Cell { value, text, tip: format!("{} and {}: {words}", name(row), name(column)) }
    };
    let more = if shown < matrix.structures.len() { format!(" (the first {ROWS})") } else { String::new() };
    Heat {
        title: format!("Correlation at {}{more}", matrix.name),
        across: "structure, numbered as the rows are".to_owned(),
        down: String::new(),
        columns: (1..=shown).map(|at| at.to_string()).collect(),
        rows: (0..shown).map(|at| format!("{}  {}", name(at), at + 1)).collect(),
        cells: (0..shown).map(|row| (0..shown).map(|column| cell(row, column)).collect()).collect(),
        scale: Scale::Diverging,
        square: true,
    }
}

/// A matrix for each network.
pub fn confusion(found: &Confusion, width: f64) -> Vec<Panel> {
    found.matrices.iter().map(|matrix| panel(&of_network(matrix), width)).collect()
}

fn of_network(matrix: &Matrix) -> Heat {
    let shares = matrix.shares();
    let cell = |truth: usize, predicted: usize| {
        let images = matrix.counts[truth][predicted];
        let share = shares[truth][predicted];
        Cell {
            value: Some(share),
            text: if images == 0 { String::new() } else { count(images).replace(".00", "").replace(' ', "") },
            tip: format!("class {truth} taken for {predicted}: {images} images, {:.1}%", 100.0 * share),
        }
    };
    let classes = matrix.counts.len();
    let of = if matrix.n > 1 { format!(" ({})", plural(matrix.n, "seed")) } else { String::new() };
    Heat {
        title: format!("{} {}{of}", matrix.network, label::words(&matrix.label)).replace("  ", " ").trim_end().to_owned(),
        across: "predicted class".to_owned(),
        down: "true class".to_owned(),
        columns: (0..classes).map(|class| class.to_string()).collect(),
        rows: (0..classes).map(|class| class.to_string()).collect(),
        cells: (0..classes).map(|truth| (0..classes).map(|class| cell(truth, class)).collect()).collect(),
        scale: Scale::Sequential,
        square: true,
    }
}
