//! A plan of a sweep as a person reads it: stages with the same fate and the same reasons in one line.

use anstyle::Style;
use serde_json::json;

use super::points;
use crate::cli::style::{FAINT, REUSED, STAGE, wrapped};
use crate::plan::{Graph, NodeId, Plan, Verdict};
use crate::report::format::plural;

/// At most this many lines of stages to run.
const LISTED: usize = 40;

/// Stages of one name with the same fate.
struct Group<'a> {
    name: &'a str,
    fate: Fate,
    nodes: Vec<NodeId>,
}

#[derive(PartialEq, Eq)]
enum Fate {
    Run { why: String, resumes: bool },
    Cached,
    Left,
}

fn groups<'a>(graph: &'a Graph, plan: &Plan) -> Vec<Group<'a>> {
    let mut found: Vec<Group<'a>> = Vec::new();
    for (id, node) in graph.iter() {
        let fate = match &plan.entry(id).verdict {
            Verdict::Run { reasons, resumes } => {
                let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                Fate::Run { why: words.join(", "), resumes: *resumes }
            }
            Verdict::Cached(_) => Fate::Cached,
            Verdict::Left => Fate::Left,
        };
        match found.iter_mut().find(|group| group.name == node.name && group.fate == fate) {
            Some(group) => group.nodes.push(id),
            None => found.push(Group { name: &node.name, fate, nodes: vec![id] }),
        }
    }
    found
}

/// The lines of all groups: what runs with its reasons, then what does not.
pub(super) fn lines(graph: &Graph, plan: &Plan, width: usize) -> String {
    let groups = groups(graph, plan);
    let mut text = String::new();
    let runs: Vec<&Group<'_>> =
        groups.iter().filter(|group| matches!(group.fate, Fate::Run { .. })).collect();
    for group in runs.iter().take(LISTED) {
        let Fate::Run { why, resumes } = &group.fate else { continue };
        let goes_on =
            if group.nodes.len() == 1 { "goes on from a saved state" } else { "go on from saved states" };
        let resumes = if *resumes { format!("; {goes_on}") } else { String::new() };
        let pieces = [
            (STAGE, format!("  {}", group.name)),
            (Style::new(), format!(", {}: {why}{resumes}", times(group.nodes.len()))),
            (FAINT, which(graph, &group.nodes)),
        ];
        let pieces: Vec<(Style, &str)> = pieces.iter().map(|(style, text)| (*style, text.as_str())).collect();
        text += &wrapped(&pieces, 4, width);
        text.push('\n');
    }
    if let Some(more) = runs.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let words =
            format!("  and {} with other reasons; --json lists every stage", plural(more, "more group"));
        text += &wrapped(&[(FAINT, &words)], 4, width);
        text.push('\n');
    }
    for (fate, word, style) in [(Fate::Cached, "in the cache", REUSED), (Fate::Left, "not selected", FAINT)] {
        let mut names: Vec<(&str, usize)> = Vec::new();
        for group in groups.iter().filter(|group| group.fate == fate) {
            names.push((group.name, group.nodes.len()));
        }
        if names.is_empty() {
            continue;
        }
        let names: Vec<String> = names
            .iter()
            .map(|(name, count)| if *count == 1 { (*name).to_owned() } else { format!("{name} ({count})") })
            .collect();
        let head = format!("  {word}:");
        text += &wrapped(&[(style, &head), (Style::new(), &format!(" {}", names.join(", ")))], 4, width);
        text.push('\n');
    }
    text
}

/// The groups that run, as JSON.
pub(super) fn as_json(graph: &Graph, plan: &Plan) -> Vec<serde_json::Value> {
    let group = |group: Group<'_>| match group.fate {
        Fate::Run { why, resumes } => Some(json!({
            "stage": group.name, "times": group.nodes.len(), "why": why, "resumes": resumes,
        })),
        Fate::Cached | Fate::Left => None,
    };
    groups(graph, plan).into_iter().filter_map(group).collect()
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// The points that the stages of a group belong to, if there is a short word for them.
fn which(graph: &Graph, nodes: &[NodeId]) -> String {
    if let [one] = nodes {
        return points(graph, graph.node(*one));
    }
    let mut common = nodes.first().map(|id| graph.common_label(*id)).unwrap_or_default();
    for id in nodes {
        let label = graph.common_label(*id);
        common.retain(|term| label.contains(term));
    }
    let words: Vec<String> = common.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if words.is_empty() { String::new() } else { format!("  ({})", words.join(" ")) }
}
