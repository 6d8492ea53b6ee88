//! `runner status`: how every stage stands.

use anstyle::Style;
use clap::Args;
use miette::{IntoDiagnostic, Result};
use serde_json::json;

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::plan::points;
use super::style::{BAD, Cell, FAINT, REUSED, STAGE, STALE, columns_or_below, folded, width};
use crate::plan::Graph;
use crate::report::format::{minute, plural, seconds};
use crate::report::{StageStatus, status};
use crate::state::StageState;

/// Show how every stage stands: cached, stale, interrupted, running
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner status pipelines/quickstart.toml
  runner status pipelines/quickstart.toml --set gate-train.epochs=12
  runner status pipelines/quickstart.toml --over threshold-search.flops_ratio=0.3,0.5,0.7 --json

`runner plan` says in full why a stage would run.")]
pub struct StatusArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print the status as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the status.
pub fn run(args: &StatusArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.plan(&SelectionArgs::default())?;
    let stages = status(&opened.graph, &plan, &opened.store, &opened.identity)?;
    let states = tally(&stages);
    if args.json {
        let states: serde_json::Map<String, serde_json::Value> =
            states.iter().map(|(state, count)| (state.word().to_owned(), (*count).into())).collect();
        let whole = json!({
            "pipeline": opened.name,
            "points": opened.graph.points.len(),
            "states": states,
            "stages": stages,
        });
        say!("{}", serde_json::to_string_pretty(&whole).into_diagnostic()?);
        return Ok(());
    }
    say!("{}", folded(&headline(&opened.name, &opened.graph, &states), 4, width()));
    let rows: Vec<Vec<Cell>> = opened
        .graph
        .nodes
        .iter()
        .zip(&stages)
        .map(|(node, found)| row(found, points(&opened.graph, node)))
        .collect();
    say_all!("{}", columns_or_below(&rows, 2, width()));
    Ok(())
}

/// How many stages are in which state.
fn tally(stages: &[StageStatus]) -> Vec<(StageState, usize)> {
    let count = |state| stages.iter().filter(|stage| stage.standing.state() == state).count();
    let mut states = StageState::ALL.to_vec();
    states.sort_by_key(|state| urgency(*state));
    states.into_iter().map(|state| (state, count(state))).filter(|(_, count)| *count > 0).collect()
}

/// The place of a state in the headline: what happens now and what went wrong comes first.
fn urgency(state: StageState) -> u8 {
    match state {
        StageState::Running => 0,
        StageState::Failed => 1,
        StageState::Skipped => 2,
        StageState::Interrupted => 3,
        StageState::Stale => 4,
        StageState::NeverRun => 5,
        StageState::Open => 6,
        StageState::Left => 7,
        StageState::Ran => 8,
        StageState::Downloaded => 9,
        StageState::Cached => 10,
    }
}

/// The word for a person.
fn word(state: StageState) -> String {
    state.word().replace('-', " ")
}

/// One sentence: how many stages are in which state.
fn headline(name: &str, graph: &Graph, states: &[(StageState, usize)]) -> String {
    let stages = plural(graph.nodes.len(), "stage");
    let sweep = match graph.points.len() {
        1 => String::new(),
        points => format!("{} over ", plural(points, "point")),
    };
    let what = match states {
        [(StageState::Cached, _)] => "all in the cache".to_owned(),
        _ => states
            .iter()
            .map(|(state, count)| format!("{count} {}", word(*state)))
            .collect::<Vec<_>>()
            .join(", "),
    };
    format!("{name}: {sweep}{stages}: {what}")
}

fn row(found: &StageStatus, points: String) -> Vec<Cell> {
    let state = found.standing.state();
    let style = match state {
        StageState::Cached | StageState::Ran | StageState::Downloaded => REUSED,
        StageState::Failed | StageState::Skipped => BAD,
        StageState::NeverRun | StageState::Open | StageState::Left => Style::new(),
        StageState::Running | StageState::Interrupted | StageState::Stale => STALE,
    };
    // A figure of an earlier run stands only where nothing more urgent is to be said.
    let detail = found.standing.detail();
    let words = if detail.is_empty() { found.figure.clone() } else { detail };
    let nothing = || "-".to_owned();
    vec![
        Cell::left(&found.stage).style(STAGE),
        Cell::left(word(state)).style(style),
        Cell::left(found.finished.map_or_else(nothing, minute)),
        Cell::right(found.seconds.map_or_else(nothing, seconds)),
        Cell::left(found.fingerprint.map_or_else(nothing, |fingerprint| fingerprint.short())).style(FAINT),
        Cell::left(words),
        Cell::left(points.trim_start()).style(FAINT),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Standing;

    #[test]
    fn at_eighty_and_at_sixty_columns_no_line_is_longer() {
        let stage = |stage: &str, state| StageStatus {
            stage: stage.to_owned(),
            kind: stage.to_owned(),
            points: Vec::new(),
            standing: state,
            fingerprint: Some("ab".repeat(32).parse().unwrap()),
            finished: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            seconds: Some(4321.0),
            figure: "accuracy 91.25% (best), 90.75% (last)".to_owned(),
        };
        let changed = [
            "optimizer.weight_decay changed 0.0001 -> 0.0005",
            "schedule.milestones changed [0.5,0.75] -> [0.9]",
        ];
        let found = [
            stage("init", Standing::Cached),
            stage("threshold-search", Standing::Stale { reasons: changed.map(str::to_owned).to_vec() }),
            stage("retrain", Standing::Interrupted { epoch: Some(12), step: Some(4200) }),
            stage("eval", Standing::NeverRun),
        ];
        let rows: Vec<Vec<Cell>> =
            found.iter().map(|found| row(found, "  (shared by 3 points)".to_owned())).collect();
        let drawn = |width: usize| {
            let text = anstream::adapter::strip_str(&columns_or_below(&rows, 2, width)).to_string();
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            text
        };
        insta::with_settings!({omit_expression => true, filters => vec![(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-01-02 03:04")]}, {
            insta::assert_snapshot!(format!("{}---- 60 columns ----\n{}", drawn(80), drawn(60)));
        });
    }
}
