//! Reading a pipeline file: its stages, their references and their order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::catalog::{Catalog, KindSchema};
use super::check::{Checker, nearest};
use super::error::{Mistake, PipelineError};

/// A reference to outputs of another stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRef {
    /// The stage.
    pub stage: String,
    /// Its outputs.
    pub outputs: Vec<String>,
}

/// A stage as declared.
#[derive(Debug, Clone)]
pub struct StageDecl {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its inputs by role.
    pub inputs: BTreeMap<String, InputRef>,
    /// The parameters that are written; defaults are the stage's own affair.
    pub parameters: Map<String, Value>,
    spans: HashMap<String, Range<usize>>,
}

/// A checked pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The seed.
    pub seed: u64,
    /// The `[data]` table.
    pub data: Value,
    /// The stages, inputs before what takes them.
    pub stages: Vec<StageDecl>,
    text: Arc<Text>,
}

/// One point of a sweep.
#[derive(Debug, Clone)]
pub struct Point {
    /// The swept parameters and their values; empty without a sweep.
    pub label: Vec<(String, String)>,
    /// The pipeline there.
    pub pipeline: Pipeline,
}

#[derive(Debug)]
struct Text {
    path: String,
    content: String,
    catalog: Catalog,
}

/// Reads and checks the pipeline at `path`, with changes such as `stage.key=value`.
///
/// # Errors
/// All mistakes of the file.
pub fn load(path: &Path, overrides: &[String], catalog: Catalog) -> Result<Pipeline, PipelineError> {
    let content = std::fs::read_to_string(path)
        .map_err(|source| PipelineError::Read { path: path.display().to_string(), source })?;
    let path = path.display().to_string();
    parse(&Arc::new(Text { path, content, catalog }), overrides)
}

/// Parses with the changes of the command line.
fn parse(text: &Arc<Text>, overrides: &[String]) -> Result<Pipeline, PipelineError> {
    let fail = |mistakes| PipelineError::Mistakes { path: text.path.clone(), mistakes };
    let syntax = |name: &str, source: &str, error: &toml::de::Error| {
        Mistake::new(name, source, error.span().unwrap_or(0..0), error.message())
    };
    let root = DeTable::parse(&text.content)
        .map_err(|error| fail(vec![syntax(&text.path, &text.content, &error)]))?;
    let mut checker = Checker { name: &text.path, text: &text.content, mistakes: Vec::new() };
    let root = root.get_ref();
    let top = serde_json::json!({"properties": {
        "name": {"type": "string"}, "description": {"type": "string"}, "seed": {"type": "integer", "minimum": 0}}});
    let head = checker.table(root, &top, &top, &["data", "stage"]);
    let mut data = Value::Object(Map::new());
    if let Some(value) = root.get("data") {
        match value.get_ref() {
            DeValue::Table(table) => data = checker.table(table, &text.catalog.data, &text.catalog.data, &[]),
            _ => checker.mistake(value.span(), "`data` must be a table".into(), "write `[data]`".into()),
        }
    }
    let mut stages = declared(root, &text.catalog, &mut checker);
    let name = head["name"].as_str().unwrap_or("pipeline").to_owned();
    let mut seed = head["seed"].as_u64().unwrap_or(0);
    for change in overrides {
        apply(change, &text.catalog, &mut seed, &mut data, &mut stages, &mut checker.mistakes)?;
    }
    let written = references(&mut stages, root, &text.catalog, &mut checker);
    if checker.mistakes.is_empty() {
        order(&mut stages, &written, &mut checker);
    }
    if !checker.mistakes.is_empty() {
        return Err(fail(checker.mistakes));
    }
    let description = head["description"].as_str().map(str::to_owned);
    Ok(Pipeline { name, description, seed, data, stages, text: text.clone() })
}

/// The stages' tables with kind, name and parameters.
fn declared(root: &DeTable<'_>, catalog: &Catalog, checker: &mut Checker<'_>) -> Vec<StageDecl> {
    let mut stages: Vec<StageDecl> = Vec::new();
    let Some(DeValue::Array(tables)) = root.get("stage").map(Spanned::get_ref) else {
        checker.mistake(
            0..0,
            "the pipeline has no stages".into(),
            "add a `[[stage]]` with its `kind`".into(),
        );
        return stages;
    };
    for table in tables {
        let DeValue::Table(fields) = table.get_ref() else {
            checker.mistake(table.span(), "a stage must be a table".into(), "write `[[stage]]`".into());
            continue;
        };
        let text = |key: &str| match fields.get(key).map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::String(text), span)) => Some((text.to_string(), span)),
            _ => None,
        };
        let Some((kind_name, kind_span)) = text("kind") else {
            let kinds: Vec<&str> = catalog.kinds.iter().map(|kind| kind.name).collect();
            checker.mistake(
                table.span(),
                "a stage needs its `kind`".into(),
                format!("one of {}", kinds.join(", ")),
            );
            continue;
        };
        let Some(kind) = catalog.kind(&kind_name) else {
            let near = nearest(&kind_name, catalog.kinds.iter().map(|kind| kind.name));
            checker.mistake(kind_span, format!("unknown kind `{kind_name}`"), near);
            continue;
        };
        let (name, name_span) = text("name").unwrap_or((kind_name.clone(), kind_span.clone()));
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.starts_with('-') || !name.chars().all(legal) || name == "data" {
            checker.mistake(
                name_span.clone(),
                format!("`{name}` cannot be a stage's name"),
                "use small letters, digits and hyphens; `data` is taken".into(),
            );
        }
        if stages.iter().any(|stage| stage.name == name) {
            checker.mistake(
                name_span,
                format!("two stages are called `{name}`"),
                "give one of them another `name`".into(),
            );
            continue;
        }
        let values = checker.table(fields, &kind.parameters, &kind.parameters, &["kind", "name", "inputs"]);
        let mut spans: HashMap<String, Range<usize>> =
            fields.iter().map(|(key, value)| (key.get_ref().to_string(), value.span())).collect();
        spans.insert(String::new(), kind_span);
        let parameters = values.as_object().cloned().unwrap_or_default();
        stages.push(StageDecl { name, kind: kind_name, inputs: BTreeMap::new(), parameters, spans });
    }
    stages
}

/// Applies one change of the command line.
fn apply(
    change: &str,
    catalog: &Catalog,
    seed: &mut u64,
    data: &mut Value,
    stages: &mut [StageDecl],
    mistakes: &mut Vec<Mistake>,
) -> Result<(), PipelineError> {
    let error = |reason: &str| PipelineError::Override { text: change.to_owned(), reason: reason.to_owned() };
    let (path, value) = change.split_once('=').ok_or_else(|| error("there is no `=`"))?;
    let (target, key) = path.trim().split_once('.').unwrap_or(("", path.trim()));
    let value = value.trim();
    // What is no TOML value is a word: `--set init.arch=vgg16` needs no quotes.
    let typed = format!("{key} = {value}");
    let quoted = format!("{key} = {}", Value::from(value));
    let text = if DeTable::parse(&typed).is_ok() { typed } else { quoted };
    let table = DeTable::parse(&text).map_err(|_| error("its key cannot be read"))?;
    let mut checker = Checker { name: "--set", text: &text, mistakes: Vec::new() };
    let top = serde_json::json!({"properties": {"seed": {"type": "integer", "minimum": 0}}});
    match target {
        "" => {
            let values = checker.table(table.get_ref(), &top, &top, &[]);
            *seed = values["seed"].as_u64().unwrap_or(*seed);
        }
        "data" => merge(data, checker.table(table.get_ref(), &catalog.data, &catalog.data, &[])),
        _ => {
            let names: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
            let Some(stage) = stages.iter_mut().find(|stage| stage.name == target) else {
                let near = nearest(target, names.iter().map(String::as_str));
                return Err(error(&format!("no stage is called `{target}`; {near}")));
            };
            let Some(kind) = catalog.kind(&stage.kind) else { return Ok(()) };
            let values = checker.table(table.get_ref(), &kind.parameters, &kind.parameters, &[]);
            let mut parameters = Value::Object(std::mem::take(&mut stage.parameters));
            merge(&mut parameters, values);
            stage.parameters = parameters.as_object().cloned().unwrap_or_default();
        }
    }
    mistakes.extend(checker.mistakes);
    Ok(())
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Resolves `inputs.ROLE = "stage.output"`, and returns where each is written.
fn references(
    stages: &mut [StageDecl],
    root: &DeTable<'_>,
    catalog: &Catalog,
    checker: &mut Checker<'_>,
) -> BTreeMap<(String, String), Range<usize>> {
    let mut spans = BTreeMap::new();
    let Some(DeValue::Array(tables)) = root.get("stage").map(Spanned::get_ref) else { return spans };
    let kinds: BTreeMap<String, &KindSchema> = stages
        .iter()
        .filter_map(|stage| catalog.kind(&stage.kind).map(|kind| (stage.name.clone(), kind)))
        .collect();
    for table in tables {
        let DeValue::Table(fields) = table.get_ref() else { continue };
        let word = |key: &str| match fields.get(key).map(Spanned::get_ref) {
            Some(DeValue::String(text)) => Some(text.to_string()),
            _ => None,
        };
        let Some(name) = word("name").or_else(|| word("kind")) else { continue };
        let Some(kind) = kinds.get(&name).copied() else { continue };
        let Some(stage) = stages.iter_mut().find(|stage| stage.name == name && stage.inputs.is_empty())
        else {
            continue;
        };
        let empty = DeTable::default();
        let written = match fields.get("inputs").map(|inputs| (inputs.get_ref(), inputs.span())) {
            None => &empty,
            Some((DeValue::Table(written), _)) => written,
            Some((_, span)) => {
                checker.mistake(
                    span,
                    "`inputs` must be a table".into(),
                    "write `inputs.ROLE = \"stage\"`".into(),
                );
                continue;
            }
        };
        for (role, value) in written {
            let Some(input) = kind.inputs.iter().find(|input| input.role == role.get_ref().as_ref()) else {
                let near = nearest(role.get_ref(), kind.inputs.iter().map(|input| input.role));
                checker.mistake(
                    role.span(),
                    format!("`{}` takes no input `{}`", kind.name, role.get_ref()),
                    near,
                );
                continue;
            };
            let DeValue::String(text) = value.get_ref() else {
                checker.mistake(
                    value.span(),
                    "an input must name a stage".into(),
                    "write \"stage\" or \"stage.output\"".into(),
                );
                continue;
            };
            let (target, output) = text.split_once('.').map_or((text.as_ref(), None), |(s, o)| (s, Some(o)));
            let Some(giver) = kinds.get(target) else {
                let near = nearest(target, kinds.keys().map(String::as_str));
                checker.mistake(value.span(), format!("no stage is called `{target}`"), near);
                continue;
            };
            let mut fitting: Vec<&str> =
                giver.outputs.iter().filter(|o| o.artifact == input.artifact).map(|o| o.name).collect();
            if let Some(output) = output {
                if !fitting.contains(&output) {
                    let help = if fitting.is_empty() {
                        format!("`{target}` gives no {}", input.artifact)
                    } else {
                        format!("`{target}` gives {}", fitting.join(", "))
                    };
                    checker.mistake(
                        value.span(),
                        format!("`{target}` has no output `{output}` of type {}", input.artifact),
                        help,
                    );
                    continue;
                }
                fitting = vec![output];
            } else if fitting.is_empty() {
                let gives: Vec<&str> = giver.outputs.iter().map(|o| o.artifact).collect();
                let gives = if gives.is_empty() { "nothing".to_owned() } else { gives.join(", ") };
                checker.mistake(
                    value.span(),
                    format!(
                        "input `{}` takes a {}, but `{target}` gives {gives}",
                        input.role, input.artifact
                    ),
                    String::new(),
                );
                continue;
            }
            if !input.many {
                fitting.truncate(1);
            }
            spans.insert((name.clone(), target.to_owned()), value.span());
            let outputs = fitting.into_iter().map(str::to_owned).collect();
            stage.inputs.insert(input.role.to_owned(), InputRef { stage: target.to_owned(), outputs });
        }
        for input in kind.inputs {
            if input.required && !written.iter().any(|(role, _)| role.get_ref() == input.role) {
                let span = stage.spans.get("").cloned().unwrap_or(0..0);
                checker.mistake(
                    span,
                    format!("`{name}` needs the input `{}`: {}", input.role, input.doc),
                    format!("add `inputs.{} = \"...\"`", input.role),
                );
            }
        }
    }
    spans
}

/// Puts inputs before what takes them, otherwise keeping the order of the file.
fn order(
    stages: &mut Vec<StageDecl>,
    spans: &BTreeMap<(String, String), Range<usize>>,
    checker: &mut Checker<'_>,
) {
    let mut left = std::mem::take(stages);
    let mut done: BTreeSet<String> = BTreeSet::new();
    while !left.is_empty() {
        let ready =
            left.iter().position(|stage| stage.inputs.values().all(|input| done.contains(&input.stage)));
        let Some(ready) = ready else {
            let Some(mut at) = left.first() else { return };
            let mut path: Vec<&str> = Vec::new();
            while !path.contains(&at.name.as_str()) {
                path.push(&at.name);
                let next = at.inputs.values().find(|input| !done.contains(&input.stage));
                let Some(found) = next.and_then(|next| left.iter().find(|stage| stage.name == next.stage))
                else {
                    return;
                };
                at = found;
            }
            let start = path.iter().position(|name| *name == at.name).unwrap_or(0);
            let mut cycle = path[start..].to_vec();
            cycle.push(&at.name);
            let span = spans.get(&(cycle[0].to_owned(), cycle[1].to_owned())).cloned().unwrap_or(0..0);
            let words = format!("the stages need each other: {}", cycle.join(" -> "));
            checker.mistake(span, words, "let one of them take its input from another stage".into());
            return;
        };
        let stage = left.remove(ready);
        done.insert(stage.name.clone());
        stages.push(stage);
    }
}

impl Pipeline {
    /// A mistake that only a stage can find, at its place in the file.
    pub fn error_at(&self, stage: &str, key: &str, message: String, help: &str) -> PipelineError {
        let found = self.stages.iter().find(|declared| declared.name == stage);
        let span = found.and_then(|stage| stage.spans.get(key).or_else(|| stage.spans.get(""))).cloned();
        let mistake = Mistake::new(&self.text.path, &self.text.content, span.unwrap_or(0..0), message);
        PipelineError::Mistakes { path: self.text.path.clone(), mistakes: vec![mistake.with_help(help)] }
    }

    /// The points of a sweep over `key=a,b,c` (all combinations); the pipeline itself without one.
    ///
    /// # Errors
    /// Values that the file could not have.
    pub fn points(&self, over: &[String]) -> Result<Vec<Point>, PipelineError> {
        let mut points: Vec<Vec<(String, String)>> = vec![Vec::new()];
        for axis in over {
            let (key, values) = axis.split_once('=').ok_or_else(|| PipelineError::Override {
                text: axis.clone(),
                reason: "there is no `=`".to_owned(),
            })?;
            let with = |point: &Vec<(String, String)>, value: &str| {
                let mut point = point.clone();
                point.push((key.trim().to_owned(), value.trim().to_owned()));
                point
            };
            points =
                points.iter().flat_map(|point| values.split(',').map(|value| with(point, value))).collect();
        }
        points
            .into_iter()
            .map(|label| {
                let mut pipeline = self.clone();
                let mut mistakes = Vec::new();
                for (key, value) in &label {
                    let Pipeline { seed, data, stages, .. } = &mut pipeline;
                    apply(&format!("{key}={value}"), &self.text.catalog, seed, data, stages, &mut mistakes)?;
                }
                if mistakes.is_empty() {
                    Ok(Point { label, pipeline })
                } else {
                    Err(PipelineError::Mistakes { path: self.text.path.clone(), mistakes })
                }
            })
            .collect()
    }
}
