//! Where results come from: enough to repeat and to cite them.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{Report, cut, table};
use crate::report::figures::label;
use crate::report::format::{minute, plural, seconds, when};
use crate::store::{Provenance, Record};

/// Runs that are listed, the newest.
const RUNS: usize = 5;
/// Pieces of work that are listed.
const WORKS: usize = 300;

/// The section.
pub fn provenance(report: &Report<'_>) -> Markup {
    let graph = report.study.graph;
    let found: Vec<(String, String, &Record)> = graph
        .iter()
        .filter_map(|(id, node)| {
            Some((node.name.clone(), label::words(&graph.common_label(id)), report.study.record(id)?))
        })
        .collect();
    html! {
        dl {
            dt { "To repeat" } dd { code { (report.command) } }
            @for (term, value) in facts(report, &found) { dt { (term) } dd { (value) } }
        }
        (runs(report))
        details {
            summary { "The pipeline file" }
            pre tabindex="0" { (report.file) }
        }
        details {
            summary { "Every result: fingerprint, machine, time" }
            (works(&found))
            (cut(found.len(), WORKS, "result"))
        }
    }
}

/// What the results have in common, or all that they do not.
fn facts(report: &Report<'_>, found: &[(String, String, &Record)]) -> Vec<(&'static str, String)> {
    let each = |value: &dyn Fn(&Provenance) -> Option<String>| {
        let all: BTreeSet<String> =
            found.iter().filter_map(|(_, _, record)| value(&record.provenance)).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let sets: Vec<String> = report
        .study
        .graph
        .data
        .iter()
        .map(|data| {
            let limits = [("limit_train", data.limit_train), ("limit_test", data.limit_test)];
            let limits = limits.iter().filter_map(|(name, limit)| Some(format!(", {name} {}", (*limit)?)));
            format!(
                "{}, {} held out for validation{}",
                data.set.name(),
                crate::report::format::percent(data.validation),
                limits.collect::<String>()
            )
        })
        .collect();
    let times = || found.iter().map(|(_, _, record)| &record.provenance);
    let began = times().map(|from| from.started).min();
    let ended = times().map(|from| from.finished).max();
    let span = began.zip(ended).map(|(began, ended)| format!("{} to {}", when(began), when(ended)));
    let resumed = times().filter(|from| from.sessions > 1).count();
    let spent: f64 = times().map(|from| from.seconds).sum();
    let mut facts = vec![
        (
            "runner",
            each(&|from| {
                let commit = from
                    .runner_commit
                    .as_ref()
                    .map(|commit| format!(" ({})", commit.get(..12).unwrap_or(commit)));
                Some(format!("{}{}", from.runner_version, commit.unwrap_or_default()))
            }),
        ),
        ("Machine", each(&|from| Some(from.host.clone()))),
        (
            "Device",
            each(&|from| Some(format!("{}, {}", from.device_in_words(), plural(from.threads, "thread")))),
        ),
        ("Data set", sets.join("; ")),
        ("Identity of the images", each(&|from| from.data.clone())),
        ("Seeds", each(&|from| from.seed.map(|seed| seed.to_string()))),
        ("Computed", span.unwrap_or_default()),
        ("Time spent", if found.is_empty() { String::new() } else { seconds(spent) }),
    ];
    if resumed > 0 {
        facts.push(("Interrupted and gone on", plural(resumed, "stage")));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

/// The newest runs of the pipeline.
fn runs(report: &Report<'_>) -> Markup {
    if report.runs.is_empty() {
        return html! { p.note { "The cache knows of no run of this pipeline: its results came from elsewhere." } };
    }
    let head = ["run", "began", "status", "machine", "command"].map(str::to_owned);
    let rows: Vec<Vec<String>> = report
        .runs
        .iter()
        .rev()
        .take(RUNS)
        .map(|(id, run)| {
            vec![
                id.clone(),
                minute(run.started),
                run.status.to_string(),
                run.host.clone(),
                run.command.join(" "),
            ]
        })
        .collect();
    html! {
        details open {
            summary { "The newest runs" }
            (table(&head, &rows))
        }
    }
}

fn works(found: &[(String, String, &Record)]) -> Markup {
    let head = ["stage", "point", "fingerprint", "finished", "took", "machine", "outputs"].map(str::to_owned);
    let rows: Vec<Vec<String>> = found
        .iter()
        .take(WORKS)
        .map(|(stage, point, record)| {
            let from = &record.provenance;
            let outputs: Vec<String> = record
                .outputs
                .iter()
                .map(|(name, entry)| {
                    let hash = entry.object.to_string();
                    format!("{name} {}", hash.get(..12).unwrap_or(&hash))
                })
                .collect();
            vec![
                stage.clone(),
                point.clone(),
                record.fingerprint.to_string(),
                minute(from.finished),
                seconds(from.seconds),
                format!("{} {}", from.host, from.device),
                outputs.join(", "),
            ]
        })
        .collect();
    table(&head, &rows)
}
