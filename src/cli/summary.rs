//! The table at the end of a run.

use std::fmt::{Display, Write};

use super::style::{Cell, FAINT, STAGE, columns, columns_or_below, columns_within, folded, paint, width};
use crate::plan::Graph;
use crate::report::format::{bytes, count, number, percent};
use crate::report::summary::Search;
use crate::report::{NetworkRow, PointSummary, summarise};
use crate::store::{Record, Store};

/// Layers side by side: so many fit into 80 columns.
const SIDE_BY_SIDE: usize = 8;

/// Columns of the word before the figures of layers.
const LABEL: usize = 9;
/// Columns of the figure of a layer.
const LAYER: usize = 4;

/// Sweeps of up to this many points are told point by point.
const POINTS: usize = 4;

/// Prints the networks of every point: cost, accuracy, channels, and where they are. For a large sweep a
/// table says more: the last line of the run names it.
pub fn print(graph: &Graph, store: &Store, records: &[Option<Record>]) {
    if graph.points.len() > POINTS {
        return;
    }
    let mut any = None;
    for point in &graph.points {
        let summary = summarise(graph, point, records);
        if summary.networks.is_empty() {
            continue;
        }
        say!();
        if !point.label.is_empty() {
            say!("{}", paint(STAGE, point.name()));
        }
        say_all!("{}", text(&summary, store, width()));
        any = summary.networks.last().map(|row| row.object.to_string());
    }
    if let Some(hash) = any.as_deref().and_then(|hash| hash.get(..12)) {
        let words = format!("runner show {hash} shows its tensors and where it came from");
        say!("\n{}", folded(&paint(FAINT, words), 2, width()));
    }
}

fn text(summary: &PointSummary, store: &Store, width: usize) -> String {
    let mut text = networks(&summary.networks, summary.titles(), width);
    text += &searches(&summary.searches, width);
    let slim = summary.networks.iter().rev().find(|row| row.channels != summary.channels_full);
    if let Some(slim) = slim.filter(|slim| slim.channels.len() == summary.channels_full.len()) {
        let layers = channels_within(&slim.channels, Some(&summary.channels_full), width);
        let _ = write!(text, "\n  {}\n{layers}", paint(STAGE, "channels kept"));
    }
    text.push('\n');
    let row = |row: &NetworkRow| {
        let hash = row.object.to_string();
        let short = hash.get(..12).unwrap_or(&hash).to_owned();
        // A pattern that a shell completes to the one file: the whole name is wider than a terminal.
        let folder = store.object_path(&row.object).parent().map(|folder| folder.join(&short));
        let pattern = folder.map_or(String::new(), |path| format!("{}*", path.display()));
        vec![Cell::left(row.name()), Cell::left(short), Cell::left(pattern).style(FAINT)]
    };
    text + &columns_or_below(&summary.networks.iter().map(row).collect::<Vec<_>>(), 1, width)
}

/// What the threshold searches found: a line where there is one, a table of several.
fn searches(found: &[Search], width: usize) -> String {
    if let [search] = found {
        let words = format!(
            "  {} of the FLOPs kept ({} wanted), threshold {}",
            percent(search.achieved_ratio),
            percent(search.wanted_ratio),
            number(search.threshold)
        );
        return format!("\n{}\n", folded(&words, 4, width));
    }
    let head = ["FLOPs kept", "wanted", "threshold"].map(|head| Cell::right(head).style(FAINT));
    let mut rows = vec![vec![Cell::left("search").style(FAINT)]];
    rows[0].extend(head);
    rows.extend(found.iter().map(|search| {
        vec![
            Cell::left(&search.stage).style(STAGE),
            Cell::right(percent(search.achieved_ratio)),
            Cell::right(percent(search.wanted_ratio)),
            Cell::right(number(search.threshold)),
        ]
    }));
    if found.is_empty() { String::new() } else { format!("\n{}", columns_within(&rows, width)) }
}

fn networks(rows: &[NetworkRow], titles: Vec<String>, width: usize) -> String {
    let head = |text: &str| Cell::right(text).style(FAINT);
    let compared = rows.iter().any(|row| row.difference.is_some());
    let mut table = vec![vec![
        Cell::left("network").style(FAINT),
        head("FLOPs"),
        head(""),
        head("params"),
        head("size"),
        head("accuracy"),
        head(if compared { "vs full" } else { "" }),
    ]];
    for (row, title) in rows.iter().zip(titles) {
        let difference = row.difference.map_or(String::new(), |d| format!("{:+.2} pt", d * 100.0));
        table.push(vec![
            Cell::left(title).style(STAGE),
            Cell::right(count(row.macs)),
            Cell::right(percent(row.macs_share)),
            Cell::right(count(row.parameters)),
            Cell::right(bytes(row.bytes)),
            Cell::right(row.accuracy.map_or("-".to_owned(), percent)),
            Cell::right(difference),
        ]);
    }
    columns_within(&table, width)
}

/// Channels of every convolution, and of how many they are what is kept.
pub fn channels<T: Copy + Display>(kept: &[T], full: Option<&[T]>) -> String {
    channels_within(kept, full, width())
}

fn channels_within<T: Copy + Display>(kept: &[T], full: Option<&[T]>, width: usize) -> String {
    let label = if full.is_some() { "kept" } else { "channels" };
    let of = full.map(|full| ("of", full));
    layers(&std::iter::once((label, kept)).chain(of).collect::<Vec<_>>(), width)
}

/// Figures of every layer under each other, each list with its name; as many layers side by side as fit.
pub fn side_by_side<T: Copy + Display>(lists: &[(&str, &[T])]) -> String {
    layers(lists, width())
}

fn layers<T: Copy + Display>(lists: &[(&str, &[T])], width: usize) -> String {
    let mut text = String::new();
    let room = width.saturating_sub(LABEL + 2) / (LAYER + 2);
    let side_by_side = room.clamp(1, SIDE_BY_SIDE);
    let layers = lists.iter().map(|(_, list)| list.len()).max().unwrap_or(0);
    for start in (0..layers).step_by(side_by_side) {
        let end = (start + side_by_side).min(layers);
        let row = |label: &str, cells: &mut dyn Iterator<Item = String>| {
            let label = Cell::left(format!("{label:LABEL$}")).style(FAINT);
            // As wide as the widest layer, so that the blocks stand under each other.
            let cells = cells.map(|cell| Cell::right(format!("{cell:>LAYER$}")));
            std::iter::once(label).chain(cells).collect::<Vec<_>>()
        };
        let mut rows = vec![row("layer", &mut (start + 1..=end).map(|layer| layer.to_string()))];
        for (label, list) in lists {
            let own = list.get(start..end.min(list.len())).unwrap_or(&[]);
            if !own.is_empty() {
                rows.push(row(label, &mut own.iter().map(ToString::to_string)));
            }
        }
        text += &columns(&rows);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectHash;

    fn row(stage: &str, outputs: &[&str], channels: &[u64], accuracy: Option<f64>) -> NetworkRow {
        let full = channels[0] == 64;
        NetworkRow {
            stage: stage.to_owned(),
            outputs: outputs.iter().map(|&output| output.to_owned()).collect(),
            one_of_many: stage != "init",
            macs: if full { 398_136_320 } else { 198_900_000 },
            macs_share: if full { 1.0 } else { 0.4996 },
            parameters: if full { 20_040_522 } else { 6_100_000 },
            bytes: if full { 80_200_000 } else { 24_500_000 },
            accuracy,
            difference: accuracy.filter(|_| !full).map(|accuracy| accuracy - 0.9351),
            loss: None,
            channels: channels.to_vec(),
            object: ObjectHash::of(format!("{stage}{outputs:?}").as_bytes()),
        }
    }

    fn drawn(networks: Vec<NetworkRow>, channels_full: &[u64]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let search = |stage: &str, achieved_ratio, threshold| Search {
            stage: stage.to_owned(),
            wanted_ratio: 0.5,
            achieved_ratio,
            threshold,
        };
        let mut searches = vec![search("threshold-search", 0.4996, 0.03125)];
        // Where there are two, both are told.
        if networks.len() == 2 {
            searches.push(search("search-uniform", 0.4871, 0.5));
        }
        let summary =
            PointSummary { label: Vec::new(), networks, channels_full: channels_full.to_vec(), searches };
        let drawn = |width: usize| {
            let text = anstream::adapter::strip_str(&text(&summary, &store, width)).to_string();
            let text = text.replace(&folder.path().display().to_string(), "cache");
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            text
        };
        // As wide as the path of the folder allows, the last table stands in one block.
        let (wide, narrow) = (drawn(80), drawn(60));
        format!("{wide}\n---- 60 columns ----\n{narrow}")
    }

    #[test]
    fn sixteen_layers_and_a_trained_full_network_are_readable_side_by_side() {
        let full = [64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512];
        let slim = [33, 64, 101, 128, 199, 201, 187, 230, 301, 287, 240, 198, 154, 120, 96, 143];
        let networks = vec![
            row("full", &["best"], &full, Some(0.9351)),
            row("full", &["last"], &full, Some(0.9347)),
            row("retrain", &["best", "last"], &slim, Some(0.9302)),
        ];
        insta::assert_snapshot!(drawn(networks, &full));
    }

    #[test]
    fn an_untrained_full_network_is_not_measured() {
        let networks =
            vec![row("init", &["network"], &[64, 64], None), row("retrain", &["best"], &[33, 1], None)];
        insta::assert_snapshot!(drawn(networks, &[64, 64]));
    }
}
