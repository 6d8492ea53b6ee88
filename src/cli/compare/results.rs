//! Two results side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use super::sides::Found;
use crate::cli::show::File;
use crate::cli::style::{Cell, FAINT, GOOD, STAGE, STALE, columns, paint};
use crate::cli::summary::side_by_side;
use crate::report::artifact::Structure;
use crate::report::compare::{
    Change, Figures, TensorPair, changes, figures, metrics, origin, parameters, structure, tensors,
};
use crate::report::format::{count, number, percent};
use crate::train::Machine;

/// So many tensors that differ are listed.
const LISTED: usize = 20;
/// Longer words are cut.
const WORD: usize = 26;

/// Two results.
#[derive(Debug, Serialize)]
pub struct ResultsCompared {
    a: Named,
    b: Named,
    /// Whether both are the same work.
    same_work: Option<bool>,
    /// Parameters that differ.
    parameters: Vec<Change>,
    /// What of their origin differs.
    provenance: Vec<Change>,
    /// Numbers of their metrics, and of the evaluations of their networks.
    metrics: Vec<Figures>,
    /// The machines on which the latencies of each side were measured.
    latency_measured_on: [BTreeSet<Machine>; 2],
    /// Files by output.
    files: Vec<FilePair>,
}

#[derive(Debug, Serialize)]
struct Named {
    name: String,
    fingerprint: Option<String>,
    stage: Option<String>,
}

#[derive(Debug, Serialize)]
struct FilePair {
    name: String,
    a: Option<Side>,
    b: Option<Side>,
    /// Whether they are the same bytes.
    same: bool,
    tensors: Vec<TensorPair>,
}

#[derive(Debug, Serialize)]
struct Side {
    object: String,
    bytes: usize,
    structure: Option<Structure>,
}

/// Compares two results.
pub fn compare(a: &Found, b: &Found) -> Result<ResultsCompared> {
    let named = |side: &Found| Named {
        name: side.name.clone(),
        fingerprint: side.target.record.as_ref().map(|record| record.fingerprint.to_string()),
        stage: side.target.record.as_ref().map(|record| record.provenance.stage.clone()),
    };
    let records = a.target.record.as_ref().zip(b.target.record.as_ref());
    let mut files = Vec::new();
    for (name, one, two) in pairs(&a.target.files, &b.target.files) {
        let side = |file: &File| Side {
            object: file.object.to_string(),
            bytes: file.artifact.bytes,
            structure: structure(&file.artifact.content).cloned(),
        };
        let same = one.zip(two).is_some_and(|(one, two)| one.object == two.object);
        let tensors = match one.zip(two) {
            Some((one, two)) => {
                let read = |file: &File| std::fs::read(&file.path).into_diagnostic();
                tensors(&read(one)?, &read(two)?).into_diagnostic()?
            }
            None => Vec::new(),
        };
        files.push(FilePair { name, a: one.map(side), b: two.map(side), same, tensors });
    }
    Ok(ResultsCompared {
        a: named(a),
        b: named(b),
        same_work: records.map(|(a, b)| a.fingerprint == b.fingerprint),
        parameters: records.map_or(vec![], |(a, b)| changes(&parameters(a), &parameters(b))),
        provenance: records.map_or(vec![], |(a, b)| changes(&origin(a), &origin(b))),
        metrics: figures(&all_metrics(a), &all_metrics(b)),
        latency_measured_on: [machines(a), machines(b)],
        files,
    })
}

/// The machines on which the latencies of a result, or of its networks, were measured.
fn machines(side: &Found) -> BTreeSet<Machine> {
    let records = side.target.record.iter().chain(&side.evaluations);
    records.flat_map(|record| crate::stages::eval::machines(&record.metrics)).collect()
}

/// Whose the latencies are, where there are some.
fn measured_on(sides: &[BTreeSet<Machine>; 2]) -> String {
    let [a, b] = sides;
    if a.is_empty() || b.is_empty() {
        return String::new();
    }
    let words =
        |side: &BTreeSet<Machine>| side.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if a == b {
        return format!("  {}\n", paint(FAINT, format!("latency measured on {}", words(a))));
    }
    let text = format!("latencies must not be compared: A measured on {}, B on {}", words(a), words(b));
    format!("  {}\n", paint(STALE, text))
}

/// The numbers of a result, and those that evaluations found of its networks.
fn all_metrics(side: &Found) -> BTreeMap<String, f64> {
    let own = side.target.record.as_ref();
    let mut found = own.map_or_else(BTreeMap::new, |record| metrics(&record.metrics));
    let outputs: Vec<&String> = side.target.files.iter().flat_map(|file| &file.outputs).collect();
    for record in &side.evaluations {
        let evaluated = metrics(&record.metrics);
        for (key, value) in evaluated {
            let Some((output, figure)) = key.strip_prefix("networks.").and_then(|key| key.split_once('.'))
            else {
                continue;
            };
            // Two different outputs of two stages are compared as well: `best` with `last`.
            if outputs.is_empty() || outputs.iter().any(|own| *own == output) {
                let key = if outputs.len() == 1 { figure.to_owned() } else { format!("{output}.{figure}") };
                found.insert(key, value);
            }
        }
    }
    found
}

/// Files of one output; where each side has one alone, these two whatever they are called.
fn pairs<'a>(a: &'a [File], b: &'a [File]) -> Vec<(String, Option<&'a File>, Option<&'a File>)> {
    let name = |file: &File| file.outputs.first().cloned().unwrap_or_else(|| "file".to_owned());
    if let ([one], [two]) = (a, b) {
        let (one_name, two_name) = (name(one), name(two));
        let both = if one_name == two_name { one_name } else { format!("{one_name} and {two_name}") };
        return vec![(both, Some(one), Some(two))];
    }
    let of = |files: &'a [File], output: &str| {
        files.iter().find(|file| file.outputs.iter().any(|own| own == output))
    };
    let mut names: Vec<String> = Vec::new();
    for output in a.iter().chain(b).flat_map(|file| &file.outputs) {
        if !names.contains(output) {
            names.push(output.clone());
        }
    }
    names.into_iter().map(|output| (output.clone(), of(a, &output), of(b, &output))).collect()
}

/// For people.
pub fn text(found: &ResultsCompared) -> String {
    let mut text = String::new();
    let row = |side: &str, named: &Named| {
        let short = named.fingerprint.as_deref().and_then(|print| print.get(..12)).unwrap_or("");
        vec![Cell::left(side).style(STAGE), Cell::left(&named.name), Cell::left(short).style(FAINT)]
    };
    text += &columns(&[row("A", &found.a), row("B", &found.b)]);
    if found.same_work == Some(true) {
        text += "  both are the same work\n";
    }
    text += &words("parameters that differ", &found.parameters);
    let mut drawn: Vec<(String, Vec<&str>)> = Vec::new();
    for file in &found.files {
        let structure = structures(file);
        // The outputs of one stage have one structure as a rule.
        match drawn.iter_mut().find(|(known, _)| *known == structure) {
            Some((_, names)) => names.push(&file.name),
            None => drawn.push((structure, vec![&file.name])),
        }
    }
    for (structure, names) in drawn.iter().filter(|(structure, _)| !structure.is_empty()) {
        let _ = write!(text, "\n{} {}\n{structure}", paint(STAGE, "structure"), names.join(", "));
    }
    let differ: Vec<&Figures> =
        found.metrics.iter().filter(|pair| pair.a != pair.b || is_key(&pair.key)).collect();
    if !differ.is_empty() {
        let head = ["", "A", "B", "B - A"].map(|head| Cell::right(head).style(FAINT));
        let mut rows = vec![head.to_vec()];
        rows.extend(differ.iter().map(|pair| figure(pair)));
        let _ = write!(text, "\n{}\n{}", paint(STAGE, "metrics"), columns(&rows));
        text += &measured_on(&found.latency_measured_on);
    }
    for file in &found.files {
        text += &tensor_words(file);
    }
    text += &words("made otherwise", &found.provenance);
    text
}

/// What is shown where both sides have the same, too.
fn is_key(key: &str) -> bool {
    ["accuracy", "macs", "parameters", "achieved_ratio", "wanted_ratio"].iter().any(|end| key.ends_with(end))
}

fn words(title: &str, changes: &[Change]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let cell = |word: &Option<String>| Cell::left(word.as_deref().map_or("-".to_owned(), cut));
    let mut rows = vec![vec![Cell::left(""), Cell::left("A").style(FAINT), Cell::left("B").style(FAINT)]];
    rows.extend(
        changes
            .iter()
            .map(|change| vec![Cell::left(&change.key).style(FAINT), cell(&change.a), cell(&change.b)]),
    );
    format!("\n{}\n{}", paint(STAGE, title), columns(&rows))
}

/// A word that leaves room for another beside it; of a hash, the digits that it is called by.
fn cut(word: &str) -> String {
    let is_hash = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash {
        return word[..12].to_owned();
    }
    if word.chars().count() <= WORD {
        word.to_owned()
    } else {
        word.chars().take(WORD - 1).chain(['…']).collect()
    }
}

fn figure(pair: &Figures) -> Vec<Cell> {
    let write = |value: f64| match pair.key.as_str() {
        key if key.ends_with("macs") || key.ends_with("parameters") => count(value as u64),
        key if key.ends_with("accuracy") || key.ends_with("ratio") => percent(value),
        _ => number(value),
    };
    let difference = pair.difference.map(|difference| match pair.key.as_str() {
        _ if difference == 0.0 => "0".to_owned(),
        key if key.ends_with("accuracy") || key.ends_with("ratio") => {
            format!("{:+.2} pt", 100.0 * difference)
        }
        _ if difference > 0.0 => format!("+{}", number(difference)),
        _ => number(difference),
    });
    let cell = |value: Option<f64>| Cell::right(value.map_or("-".to_owned(), write));
    vec![
        Cell::left(pair.key.replace('_', " ")).style(FAINT),
        cell(pair.a),
        cell(pair.b),
        Cell::right(difference.unwrap_or_else(|| "-".to_owned())),
    ]
}

/// The structures of a pair of files, where both have one.
fn structures(file: &FilePair) -> String {
    let structure = |side: &Option<Side>| side.as_ref().and_then(|side| side.structure.clone());
    let (Some(a), Some(b)) = (structure(&file.a), structure(&file.b)) else { return String::new() };
    let mut rows = vec![vec![
        Cell::left(""),
        Cell::right("FLOPs").style(FAINT),
        Cell::right("kept").style(FAINT),
        Cell::right("parameters").style(FAINT),
        Cell::right("channels").style(FAINT),
        Cell::right("of the plain").style(FAINT),
    ]];
    for (side, found) in [("A", &a), ("B", &b)] {
        let (kept, plain): (usize, usize) = (found.channels.iter().sum(), found.plain_channels.iter().sum());
        rows.push(vec![
            Cell::left(side),
            Cell::right(count(found.macs)),
            Cell::right(percent(found.flops_share())),
            Cell::right(count(found.parameters)),
            Cell::right(kept.to_string()),
            Cell::right(percent(kept as f64 / plain.max(1) as f64)),
        ]);
    }
    let mut text = columns(&rows);
    if a.channels == b.channels {
        text += "  the same channels in every layer\n";
    } else {
        let lines =
            [("A", a.channels.as_slice()), ("B", b.channels.as_slice()), ("of", a.plain_channels.as_slice())];
        text += &side_by_side(&lines);
    }
    text
}

fn tensor_words(file: &FilePair) -> String {
    let title = format!("\n{} {}\n", paint(STAGE, "tensors"), file.name);
    if file.same {
        return title + &format!("  {} both files are the same bytes\n", paint(GOOD, "identical:"));
    }
    let (Some(_), Some(_)) = (&file.a, &file.b) else {
        let side = if file.a.is_some() { "A" } else { "B" };
        return title + &format!("  only {side} has it\n");
    };
    let same = file.tensors.iter().filter(|pair| pair.same).count();
    let differ: Vec<&TensorPair> = file.tensors.iter().filter(|pair| !pair.same).collect();
    let mut text = title + &format!("  {same} the same, {} differ\n", differ.len());
    // Of two structures nearly all shapes differ, which the structures say already.
    let shapes = |pair: &&TensorPair| pair.a.is_some() && pair.b.is_some() && pair.a != pair.b;
    let others = differ.iter().copied().filter(shapes).count();
    let differ: Vec<&TensorPair> = differ.into_iter().filter(|pair| !shapes(pair)).collect();
    if others > 0 {
        let _ = writeln!(text, "  {others} of them have other shapes");
    }
    let mut rows = Vec::new();
    for pair in differ.iter().take(LISTED) {
        let words = match (&pair.a, &pair.b, pair.max_difference) {
            (Some(_), Some(_), Some(most)) => format!("by {} at most", number(most)),
            (Some(_), Some(_), None) => "by what is no number".to_owned(),
            (Some(_), None, _) => "only A has it".to_owned(),
            (None, _, _) => "only B has it".to_owned(),
        };
        rows.push(vec![Cell::left(&pair.name).style(FAINT), Cell::left(words).style(STALE)]);
    }
    text += &columns(&rows);
    if differ.len() > LISTED {
        let _ = writeln!(text, "  and {} more: `--json` has all", differ.len() - LISTED);
    }
    text
}
