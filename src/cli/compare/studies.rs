//! Two pipelines or runs side by side.

use std::fmt::Write;

use serde::Serialize;

use super::sides::Whole;
use crate::cli::style::{Cell, FAINT, STAGE, STALE, columns, paint};
use crate::cli::summary::side_by_side;
use crate::report::NetworkRow;
use crate::report::format::{percent, plural};
use crate::report::studies::{StudiesCompared, WorkDiffers, studies};

/// So many entries of each list are told.
const LISTED: usize = 20;

/// Two pipelines or runs.
#[derive(Debug, Serialize)]
pub struct Named {
    a: String,
    b: String,
    #[serde(flatten)]
    found: StudiesCompared,
}

/// Compares them.
pub fn compare(a: &Whole, b: &Whole) -> Named {
    Named { a: a.name.clone(), b: b.name.clone(), found: studies(a.study(), b.study()) }
}

/// For people.
pub fn text(named: &Named) -> String {
    let Named { a, b, found } = named;
    let row = |side: &str, name: &str| vec![Cell::left(side).style(STAGE), Cell::left(name)];
    let mut text = columns(&[row("A", a), row("B", b)]);
    let differ: usize = found.differ.iter().map(|work| work.points.len()).sum();
    let mut counts = vec![format!("{} the same", plural(found.same, "stage"))];
    let more = [(differ, "differ"), (found.only_a.len(), "only in A"), (found.only_b.len(), "only in B")];
    counts.extend(more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    let _ = writeln!(text, "  {}", counts.join(", "));
    if !found.differ.is_empty() {
        let _ = write!(text, "\n{}\n{}", paint(STAGE, "stages that differ"), stages(&found.differ));
    }
    for (names, side) in [(&found.only_a, "A"), (&found.only_b, "B")] {
        if !names.is_empty() {
            let _ = writeln!(text, "\n{}", paint(STAGE, format!("only in {side}")));
            names.iter().take(LISTED).for_each(|name| text += &format!("  {name}\n"));
            text += &more_than(names.len());
        }
    }
    text + &networks(found)
}

fn more_than(count: usize) -> String {
    if count > LISTED { format!("  and {} more: `--json` has all\n", count - LISTED) } else { String::new() }
}

fn stages(differ: &[WorkDiffers]) -> String {
    let mut rows = Vec::new();
    for work in differ.iter().take(LISTED) {
        let points = match work.points.as_slice() {
            [one] => one.clone(),
            many => plural(many.len(), "point"),
        };
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let mut lines: Vec<String> = work
            .changes
            .iter()
            .map(|change| format!("{}: {} -> {}", change.key, word(&change.a), word(&change.b)))
            .collect();
        if lines.is_empty() {
            lines.push("what it is given".to_owned());
        }
        for (at, line) in lines.into_iter().enumerate() {
            // A stage and its points stand beside the first of their lines.
            let (stage, points) = if at == 0 { (work.stage.as_str(), points.as_str()) } else { ("", "") };
            rows.push(vec![
                Cell::left(stage).style(STAGE),
                Cell::left(line).style(STALE),
                Cell::left(points).style(FAINT),
            ]);
        }
    }
    columns(&rows) + &more_than(differ.len())
}

fn networks(found: &StudiesCompared) -> String {
    let pairs: Vec<_> = found.networks.iter().collect();
    if pairs.is_empty() {
        return String::new();
    }
    let right = |text: &str| Cell::right(text).style(FAINT);
    let mut rows = vec![vec![
        Cell::left("").style(FAINT),
        right("accuracy A"),
        right("B"),
        right("B - A"),
        right("FLOPs kept A"),
        right("B"),
    ]];
    let mut text = String::new();
    let mut point = "";
    for pair in pairs.iter().take(LISTED) {
        if pair.point != point {
            point = &pair.point;
            rows.push(vec![Cell::left(point).style(FAINT)]);
        }
        let accuracy = |row: &Option<NetworkRow>| row.as_ref().and_then(|row| row.accuracy);
        let difference =
            accuracy(&pair.a).zip(accuracy(&pair.b)).map(|(a, b)| format!("{:+.2} pt", 100.0 * (b - a)));
        let figure = |value: Option<f64>| Cell::right(value.map_or("-".to_owned(), percent));
        let kept = |row: &Option<NetworkRow>| {
            Cell::right(row.as_ref().map_or("-".to_owned(), |row| percent(row.macs_share)))
        };
        rows.push(vec![
            Cell::left(&pair.name).style(STAGE),
            figure(accuracy(&pair.a)),
            figure(accuracy(&pair.b)),
            Cell::right(difference.unwrap_or_else(|| "-".to_owned())),
            kept(&pair.a),
            kept(&pair.b),
        ]);
    }
    let _ = write!(text, "\n{}\n{}{}", paint(STAGE, "networks"), columns(&rows), more_than(pairs.len()));
    // Channels, where there is one point and they differ.
    let single = found.networks.iter().all(|pair| pair.point.is_empty());
    for pair in pairs.iter().filter(|_| single) {
        let (Some(a), Some(b)) = (&pair.a, &pair.b) else { continue };
        if a.channels != b.channels {
            let lines = [("A", a.channels.as_slice()), ("B", b.channels.as_slice())];
            let _ = write!(text, "\n{} {}\n{}", paint(STAGE, "channels"), pair.name, side_by_side(&lines));
        }
    }
    text
}
