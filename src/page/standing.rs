//! How far the study is, and what has not run.

use maud::{Markup, html};

use super::{Report, cut, table};
use crate::plan::Verdict;
use crate::report::figures::label;
use crate::report::format::plural;

/// Rows of work that is missing; `runner plan` has all.
const ROWS: usize = 100;

/// One line: how much of the study is done.
pub fn standing(report: &Report<'_>) -> Markup {
    let (graph, plan) = (report.study.graph, report.study.plan);
    let done = |point: &&crate::plan::PointNodes| {
        point.stages.iter().all(|(_, id)| plan.entry(*id).record().is_some())
    };
    let (points, whole) = (graph.points.len(), graph.points.iter().filter(done).count());
    let (works, cached) =
        (graph.nodes.len(), plan.entries.iter().filter(|entry| entry.record().is_some()).count());
    let class = if cached == works { "standing done" } else { "standing open" };
    html! {
        p class=(class) {
            @if points > 1 { (whole) " of " (plural(points, "point")) " complete, " }
            (cached) " of " (plural(works, "stage")) " done"
            @if cached < works { ": " a href="#missing" { "what is missing" } }
            "."
        }
    }
}

/// What has not run, and why not.
pub fn missing(report: &Report<'_>) -> Markup {
    let (graph, plan) = (report.study.graph, report.study.plan);
    let rows: Vec<Vec<String>> = graph
        .iter()
        .filter(|(id, _)| plan.entry(*id).record().is_none())
        .map(|(id, node)| {
            let reasons = match &plan.entry(id).verdict {
                Verdict::Run { reasons, resumes } => {
                    let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                    words.join(", ") + if *resumes { "; goes on from a saved state" } else { "" }
                }
                Verdict::Cached(_) | Verdict::Left => String::new(),
            };
            vec![node.name.clone(), label::words(&graph.common_label(id)), reasons]
        })
        .collect();
    if rows.is_empty() {
        return html! { p { "Nothing: every stage of every point has a result, and all figures show all of them." } };
    }
    let head = ["stage", "point", "why"].map(str::to_owned);
    html! {
        p {
            (plural(rows.len(), "stage")) " of " (graph.nodes.len()) " have no result for the pipeline as it is now. "
            "Figures and means hold what is there, so some may stand for fewer seeds or points than the study has. "
            code { (report.command) } " computes the rest."
        }
        (table(&head, &rows[..rows.len().min(ROWS)]))
        (cut(rows.len(), ROWS, "stage"))
    }
}
