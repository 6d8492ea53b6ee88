//! The table at the end of a run.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::plan::Graph;
use crate::report::format::{bytes, count, percent};
use crate::report::{PointSummary, summarise};
use crate::store::{Record, Store};

/// Prints the networks of every point: cost, accuracy, channels, and where they are.
pub fn print(graph: &Graph, store: &Store, records: &[Option<Record>]) {
    for point in &graph.points {
        let summary = summarise(graph, point, records);
        if summary.networks.is_empty() {
            continue;
        }
        anstream::println!();
        if !point.label.is_empty() {
            anstream::println!("{}", point.name());
        }
        networks(&summary, store);
    }
}

fn networks(summary: &PointSummary, store: &Store) {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(["network", "FLOPs", "", "parameters", "size", "test accuracy"]);
    for row in &summary.networks {
        table.add_row([
            row.name.clone(),
            count(row.macs),
            percent(row.macs_share),
            count(row.parameters),
            bytes(row.bytes),
            row.accuracy.map_or("not evaluated".to_owned(), percent),
        ]);
    }
    for column in 1..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    anstream::println!("{table}");
    let slim = summary.networks.iter().rev().find(|row| row.channels != summary.channels_full);
    if let Some(slim) = slim.filter(|slim| slim.channels.len() == summary.channels_full.len()) {
        let pairs: Vec<String> = slim
            .channels
            .iter()
            .zip(&summary.channels_full)
            .map(|(kept, all)| format!("{kept}/{all}"))
            .collect();
        anstream::println!(" channels kept  {}", pairs.join(" "));
    }
    for row in &summary.networks {
        anstream::println!(" {}  {}", row.name, store.object_path(&row.object).display());
    }
}
