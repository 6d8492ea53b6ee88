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
    let keys: Vec<String> =
        shown.first().map_or(vec![], |one| terms(one).into_iter().map(|(key, _)| key).collect());
    let row = |one: &Structure| {
        let values: Vec<String> = terms(one).into_iter().map(|(_, value)| value).collect();
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
                tip: format!("{words} layer {}: {kept} of {full} channels, {share:.1}%", layer + 1)
                    .trim_start()
                    .to_owned(),
            }
        };
        (0..one.kept.len()).map(cell).collect()
    };
    let left_out = structures.len() - shown.len();
    let more =
        if left_out > 0 { format!(" (the first {ROWS} of {})", structures.len()) } else { String::new() };
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

/// The label of a structure, its seeds last.
fn terms(one: &Structure) -> label::Label {
    let mut terms = label::short(&label::without_seeds(&one.label));
    terms.extend(label::short(&label::seeds(&one.label)));
    terms
}

/// A matrix for each budget.
pub fn similarity(found: &Similarity, width: f64) -> Vec<Panel> {
    found.matrices.iter().map(|matrix| panel(&of_budget(matrix), width)).collect()
}

fn of_budget(matrix: &Correlations) -> Heat {
    let shown = matrix.structures.len().min(ROWS);
    let start = shared_start(&matrix.structures);
    let name = |at: usize| &matrix.structures[at][start..];
    let cell = |row: usize, column: usize| {
        let value = matrix.values[row][column];
        let text = value.map_or("–".to_owned(), |value| {
            // Without the nought before the point three more digits fit into a cell.
            format!("{value:.2}").replace("0.", ".").replace("-.00", ".00")
        });
        let words = value.map_or("not defined".to_owned(), |value| format!("{value:.3}"));
        Cell { value, text, tip: format!("{} and {}: {words}", name(row), name(column)) }
    };
    let more = if shown < matrix.structures.len() { format!(" (the first {ROWS})") } else { String::new() };
    Heat {
        title: format!("Correlation at {}{more}", matrix.name),
        across: "numbered as the rows".to_owned(),
        down: String::new(),
        columns: (1..=shown).map(|at| at.to_string()).collect(),
        rows: (0..shown).map(|at| format!("{} [{}]", name(at), at + 1)).collect(),
        cells: (0..shown).map(|row| (0..shown).map(|column| cell(row, column)).collect()).collect(),
        scale: Scale::Diverging,
        square: true,
    }
}

/// How long a beginning all names share, up to a dash: `search-` of `search-gates` and `search-l1`.
fn shared_start(names: &[String]) -> usize {
    let Some((first, others)) = names.split_first() else { return 0 };
    let mut ends = first.char_indices().rev().filter(|(_, c)| *c == '-').map(|(at, _)| at + 1);
    ends.find(|end| others.iter().all(|other| other.starts_with(&first[..*end]))).unwrap_or(0)
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
        title: format!("{} {}{of}", matrix.network, label::words(&matrix.label))
            .replace("  ", " ")
            .trim_end()
            .to_owned(),
        across: "predicted class".to_owned(),
        down: "true class".to_owned(),
        columns: (0..classes).map(|class| class.to_string()).collect(),
        rows: (0..classes).map(|class| class.to_string()).collect(),
        cells: (0..classes).map(|truth| (0..classes).map(|class| cell(truth, class)).collect()).collect(),
        scale: Scale::Sequential,
        square: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_names_begin_with_is_left_out() {
        let start =
            |names: &[&str]| shared_start(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(start(&["search-gates seed=1", "search-l1 seed=1"]), 7);
        assert_eq!(start(&["threshold-search seed=1", "other seed=1"]), 0);
        assert_eq!(start(&[]), 0);
    }
}
