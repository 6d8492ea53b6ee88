//! What a run came to where not all went well: what failed, why, what could not run for it, and how to see more.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::args::{CacheArgs, PipelineArgs};
use super::style::{BAD, FAINT, STAGE, STALE, paint};
use crate::engine::{EngineError, RunSummary};
use crate::plan::{Graph, NodeId};
use crate::report::format::{duration, plural};
use crate::state::StageState;

/// So many failures are told; `runner status` has the others.
const TOLD: usize = 20;

/// How much was done: `9 of 10 points, 38 ran, 6 from the cache, 1 failed, 3 skipped, 12 s`.
pub fn counts(graph: &Graph, done: &RunSummary) -> String {
    let mut words = Vec::new();
    if graph.points.len() > 1 && !done.failures.is_empty() {
        let bad = |id: &NodeId| matches!(done.states[id.0], StageState::Failed | StageState::Skipped);
        let good = graph.points.iter().filter(|point| !point.stages.iter().any(|(_, id)| bad(id))).count();
        words.push(format!("{good} of {} done", plural(graph.points.len(), "point")));
    }
    words.push(format!(
        "{} ran, {} from the cache",
        done.count(StageState::Ran),
        done.count(StageState::Cached)
    ));
    let shared = [(done.count(StageState::Downloaded), "from the shared cache"), (done.uploaded, "uploaded")];
    for (count, word) in shared.iter().filter(|(count, _)| *count > 0) {
        words.push(format!("{count} {word}"));
    }
    for state in [StageState::Failed, StageState::Skipped] {
        let count = done.count(state);
        if count > 0 {
            words.push(format!("{count} {state}"));
        }
    }
    words.push(duration(done.elapsed));
    words.join(", ")
}

/// Every failure with its reason, what was skipped for it, and the command that shows its log.
pub fn failures(graph: &Graph, done: &RunSummary, pipeline: &PipelineArgs, cache: &CacheArgs) -> String {
    let mut text = String::from("\n");
    for failure in done.failures.iter().take(TOLD) {
        let name = match failure.node {
            Some(id) => format!("{} {}", paint(STAGE, &graph.node(id).name), graph.common(id)),
            None => paint(STAGE, "the run"),
        };
        let _ = writeln!(text, "  {} {}", paint(BAD, "failed"), name.trim_end());
        let mut tell = |line: String| {
            let _ = writeln!(text, "         {line}");
        };
        tell(reason(&failure.error));
        if let Some(help) = miette::Diagnostic::help(&failure.error).or_else(|| help(&failure.error)) {
            tell(paint(FAINT, help));
        }
        if let Some(id) = failure.node {
            if let Some(skipped) = skipped(graph, done, id) {
                tell(format!("{} {skipped}", paint(STALE, "skipped for it:")));
            }
            tell(paint(FAINT, log(graph, id, pipeline, cache)));
        }
    }
    if done.failures.len() > TOLD {
        let words =
            format!("and {} more: runner status {}", done.failures.len() - TOLD, pipeline.pipeline.display());
        let _ = writeln!(text, "  {words}");
    }
    text + "\n"
}

/// Why something failed, without the name of the stage, which stands before it.
fn reason(error: &EngineError) -> String {
    match error {
        EngineError::Stage { source, .. } => crate::engine::chain(source),
        error => crate::engine::chain(error),
    }
}

fn help(error: &EngineError) -> Option<Box<dyn std::fmt::Display + '_>> {
    match error {
        EngineError::Stage { source, .. } => miette::Diagnostic::help(source),
        _ => None,
    }
}

/// The stages that were skipped for a node, by name.
fn skipped(graph: &Graph, done: &RunSummary, because: NodeId) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, _) in done.skipped.iter().filter(|(_, root)| **root == because) {
        let name = graph.node(*id).name.as_str();
        if !names.contains(&name) {
            names.push(name);
        }
        *counts.entry(name).or_default() += 1;
    }
    let word = |name: &&str| match counts[name] {
        1 => (*name).to_owned(),
        count => format!("{name} ({count})"),
    };
    let words: Vec<String> = names.iter().map(word).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The command that shows the log of a node.
fn log(graph: &Graph, id: NodeId, pipeline: &PipelineArgs, cache: &CacheArgs) -> String {
    let own = pipeline.changes.set.iter().cloned();
    let point = graph.common_label(id).into_iter().map(|(key, value)| format!("{key}={value}"));
    let changes = own.chain(point).map(|set| format!("--set {}", quoted(&set))).collect();
    command(&["log"], pipeline, Some(&graph.node(id).name), changes, cache)
}

/// The command that gives a pipeline's results to the shared cache.
pub fn push(pipeline: &PipelineArgs, cache: &CacheArgs) -> String {
    command(&["cache", "push"], pipeline, None, changes(pipeline), cache)
}

/// The command that shows a pipeline's results.
pub fn results(pipeline: &PipelineArgs, cache: &CacheArgs) -> String {
    command(&["table"], pipeline, None, changes(pipeline), cache)
}

/// The command of this process, which goes on where an interrupted or failed run stopped.
pub fn again() -> String {
    let words = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    std::iter::once("runner".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The changes to a file, as options.
fn changes(pipeline: &PipelineArgs) -> Vec<String> {
    let changes = &pipeline.changes;
    let texts = [("--set", &changes.set), ("--over", &changes.over)];
    let options = |(option, texts): &(&str, &Vec<String>)| {
        texts.iter().map(|text| format!("{option} {}", quoted(text))).collect::<Vec<_>>()
    };
    texts.iter().flat_map(options).collect()
}

fn command(
    verb: &[&str],
    pipeline: &PipelineArgs,
    stage: Option<&str>,
    changes: Vec<String>,
    cache: &CacheArgs,
) -> String {
    let mut words = vec!["runner".to_owned()];
    words.extend(verb.iter().map(|word| (*word).to_owned()));
    words.push(quoted(&pipeline.pipeline.display().to_string()));
    words.extend(stage.map(str::to_owned));
    words.extend(changes);
    words.join(" ") + &cache_option(cache)
}

/// The option that names a cache other than the default one, with a blank before it.
pub fn cache_option(cache: &CacheArgs) -> String {
    let Some(folder) = cache.given() else { return String::new() };
    format!(" --cache {}", quoted(&folder.display().to_string()))
}

/// A word for a shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_read_otherwise_is_quoted() {
        assert_eq!(quoted("retrain.optimizer.lr=0.1"), "retrain.optimizer.lr=0.1");
        assert_eq!(quoted("init.channels=[1,2]"), "'init.channels=[1,2]'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
