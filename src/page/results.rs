//! The table of results.

use maud::{Markup, html};

use super::{Report, table as sheet};
use crate::plan::Graph;
use crate::report::figures::{Methods, Order, label};
use crate::report::format::{plural, seconds};
use crate::report::{
    Baseline, Grouping, Mean, Metric, Row, Sharing, measured_on, merged_rows, metric_title, observations,
    uncertainty, written,
};
use crate::store::Record;

const SHOWN: [(Metric, &str); 6] = [
    (Metric::Accuracy, "accuracy"),
    (Metric::FlopsRatio, "FLOPs kept"),
    (Metric::FlopsWanted, "wanted"),
    (Metric::Parameters, "parameters"),
    (Metric::Bytes, "size"),
    (Metric::Seconds, "time"),
];

/// A row for each network, averaged over seeds.
fn averaged(graph: &Graph, records: &[Option<Record>], baseline: Option<&Baseline>) -> Vec<Row> {
    let found = observations(graph, records);
    let over = graph.axes().into_iter().filter(|key| label::is_seed(key)).collect();
    // Of the networks of a training the best is the result; others are shown where there is no best one.
    let best = found.iter().any(|one| one.output == "best");
    let outputs = if best { vec!["best".to_owned()] } else { vec![] };
    merged_rows(graph, &found, &Grouping { over, outputs, baseline: baseline.cloned() })
}

/// The table and how it is read.
fn drawn(report: &Report<'_>, rows: &[Row], shared: f64) -> Markup {
    let compared = rows.iter().any(|row| row.against_baseline.is_some());
    let methods = Methods::of(&report.study);
    let named = |row: &Row| methods.of_network(&row.stage, &row.label);
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| {
        let order = |row: &Row| {
            let (method, places) = named(row);
            Order::of(&method, &places)
        };
        order(a).compare(&order(b))
    });
    let labelled = rows.iter().any(|row| !named(row).1.is_empty());
    let metrics: Vec<(Metric, &str)> = SHOWN
        .into_iter()
        .filter(|(metric, _)| rows.iter().any(|row| row.means.contains_key(metric)))
        .collect();
    let mut head = vec!["network".to_owned()];
    head.extend(labelled.then(|| "point".to_owned()));
    head.push("n".to_owned());
    for (metric, title) in &metrics {
        head.push((*title).to_owned());
        if let (Metric::Accuracy, true, Some(baseline)) = (metric, compared, &report.baseline) {
            head.push(format!("minus {baseline} [95%]"));
        }
    }
    let row = |row: &&Row| {
        let (method, places) = named(row);
        let mut cells = vec![method.name];
        cells.extend(labelled.then(|| label::words(&places)));
        cells.push(row.n.to_string());
        for (metric, _) in &metrics {
            cells.push(row.means.get(metric).map_or("–".to_owned(), |mean| cell(*metric, *mean)));
            if *metric == Metric::Accuracy && compared {
                cells.push(difference(row));
            }
        }
        cells
    };
    html! {
        p.caption {
            "Test figures of each trained network. "
            @for sentence in uncertainty(rows, report.baseline.as_ref()) { (sentence) ". " }
            "Time is that of all stages that led to a network. "
            @if shared >= 1.0 { "Sharing equal stages between points saved " (seconds(shared)) "." }
        }
        (sheet(&head, &sorted.iter().map(row).collect::<Vec<_>>()))
        (latency(rows))
    }
}

/// Times of forward passes, and on which machines they were measured: no figures of the networks alone.
fn latency(rows: &[Row]) -> Markup {
    const TIMES: [Metric; 2] = [Metric::Latency1, Metric::Latency64];
    let timed: Vec<&Row> =
        rows.iter().filter(|row| TIMES.iter().any(|time| row.means.contains_key(time))).collect();
    if timed.is_empty() {
        return html! {};
    }
    let head: Vec<String> =
        ["network", "point"].into_iter().chain(TIMES.map(metric_title)).map(str::to_owned).collect();
    let cells = |row: &&Row| {
        let time = |time: &Metric| row.means.get(time).map_or("–".to_owned(), |mean| cell(*time, *mean));
        [row.name.clone(), label::words(&row.places)].into_iter().chain(TIMES.iter().map(time)).collect()
    };
    html! {
        details {
            summary { "Latency" }
            p.caption { @for sentence in measured_on(rows, &TIMES) { (sentence) ". " } }
            (sheet(&head, &timed.iter().map(cells).collect::<Vec<_>>()))
        }
    }
}

fn difference(row: &Row) -> String {
    let points = |share: f64| format!("{:+.2}", 100.0 * share).replace('-', "−");
    row.against_baseline.map_or(String::new(), |found| {
        let interval = found
            .interval
            .map_or(String::new(), |(low, high)| format!(" [{}, {}]", points(low), points(high)));
        let mark = if found.is_significant() { "*" } else { "" };
        format!("{}{interval}{mark}", points(found.mean))
    })
}

fn cell(metric: Metric, mean: Mean) -> String {
    let write = |value| written(metric, value);
    match mean.sd {
        // A spread that cannot be seen in the digits shown only clutters; that of the size is that of the parameters.
        Some(sd) if metric != Metric::Bytes && write(sd) != write(0.0) => {
            format!("{} ± {}", write(mean.mean), write(sd))
        }
        _ => write(mean.mean),
    }
}

/// The table, or why there is none.
pub fn table(report: &Report<'_>) -> Markup {
    let graph = report.study.graph;
    let records: Vec<Option<Record>> =
        report.study.plan.entries.iter().map(|entry| entry.record().cloned()).collect();
    let rows = averaged(graph, &records, report.baseline.as_ref());
    if rows.is_empty() {
        let evaluated = plural(graph.points.len(), "point");
        return html! { p.absent { "Left out: no network was evaluated yet, of " (evaluated) "." } };
    }
    drawn(report, &rows, Sharing::of(graph, &records).seconds_saved())
}
