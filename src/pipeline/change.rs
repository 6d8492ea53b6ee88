//! Changes of the command line, checked like the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::catalog::Catalog;
use super::check::Checker;
use super::error::{Mistake, PipelineError, Place, Source};
use super::file::Pipeline;
use super::inputs::{self, INPUTS, InputRef};
use super::stages::{Known, StageDecl};
use super::suggest::{self, meant, nearest};
use crate::shown::{beginning, without_passwords};

/// Mistakes that lie on the command line.
pub fn error(mistakes: Vec<Mistake>) -> PipelineError {
    PipelineError::mistakes("the command line", mistakes)
}

/// An option that cannot be read at all.
pub fn unreadable(option: &'static str, text: &str, reason: impl Into<String>) -> PipelineError {
    let help = match option {
        "--over" => {
            "write --over STAGE.KEY=A,B,C, --over data.KEY=A,B or --over seed=1..3 (both ends included)"
        }
        _ => "write --set STAGE.KEY=VALUE, --set data.KEY=VALUE or --set seed=N",
    };
    PipelineError::Option { option, text: repeated(text), reason: reason.into(), help }
}

/// What was written on the command line, as a message repeats it.
pub fn repeated(text: &str) -> String {
    /// As many characters.
    const REPEATED: usize = 200;
    beginning(&without_passwords(text), REPEATED).into_owned()
}

/// The key and the value of `key=value`.
///
/// # Errors
/// One of them is missing.
pub fn split<'a>(option: &'static str, text: &'a str) -> Result<(&'a str, &'a str), PipelineError> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| unreadable(option, text, "it has no `=` between key and value"))?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err(unreadable(option, text, "there is no key before the `=`"));
    }
    if value.is_empty() {
        return Err(unreadable(option, text, "there is no value after the `=`"));
    }
    Ok((key, value))
}

/// One value for one key.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The key's parts: `["retrain", "optimizer", "lr"]`.
    pub keys: Vec<String>,
    /// The value.
    pub value: Value,
    /// What it refers to, of an input.
    pub input: Option<InputRef>,
    /// Where it is written.
    pub place: Place,
}

impl Setting {
    /// The key in one word.
    pub fn key(&self) -> String {
        self.keys.join(".")
    }

    /// Gives the key its value.
    pub fn apply(&self, pipeline: &mut Pipeline) {
        let Some((target, inner)) = self.keys.split_first() else { return };
        if inner.is_empty() {
            pipeline.seed = self.value.as_u64().unwrap_or(pipeline.seed);
            return;
        }
        let (values, places) = if target == "data" {
            (&mut pipeline.data, &mut pipeline.data_places)
        } else {
            let Some(stage) = pipeline.stages.iter_mut().find(|stage| stage.name == *target) else { return };
            if let (Some(input), Some(role)) = (&self.input, inner.last()) {
                stage.inputs.insert(role.clone(), input.clone());
                stage.places.insert(inner.join("."), self.place.clone());
                return;
            }
            (&mut stage.parameters, &mut stage.places)
        };
        set(values, inner, &self.value);
        // For mistakes that only the stage can find.
        places.insert(inner[0].clone(), self.place.clone());
    }
}

fn set(into: &mut Map<String, Value>, keys: &[String], value: &Value) {
    let Some((key, inner)) = keys.split_first() else { return };
    if inner.is_empty() {
        into.insert(key.clone(), value.clone());
        return;
    }
    let table = into.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(table) = table {
        set(table, inner, value);
    }
}

/// Reads one change: what it sets, and its mistakes.
///
/// # Errors
/// A change that is no `key=value`.
pub fn read(
    option: &'static str,
    text: &str,
    pipeline: &Pipeline,
) -> Result<(Vec<Setting>, Vec<Mistake>), PipelineError> {
    let (key, value) = split(option, text)?;
    // A change is TOML as it stands, but for words: `--set init.arch=vgg16` needs no quotes.
    let typed = format!("{key}={value}");
    let quoted = format!("{key}={}", Value::from(value));
    let content = if DeTable::parse(&typed).is_ok() { typed } else { quoted };
    let source = Arc::new(Source { name: option.to_owned(), text: content });
    let table =
        DeTable::parse(&source.text).map_err(|_| unreadable(option, text, "its key cannot be read"))?;
    let mut checker = Checker::new(source.clone());
    let mut settings = Vec::new();
    for (key, value) in table.get_ref() {
        target(key, value, pipeline, &mut checker, &mut settings);
    }
    Ok((settings, checker.mistakes))
}

/// The help beside a name that is no stage: a key that was written without its stage, the kind of a stage
/// that has another name, a table of the file, or the nearest name.
pub fn no_stage<'a>(
    name: &str,
    stages: &[StageDecl],
    catalog: &Catalog,
    known: impl Iterator<Item = &'a str>,
) -> String {
    match name {
        "stage" | "stages" => return "leave `stage.` out: write STAGE.KEY".to_owned(),
        "sweep" | "matrix" => return "write --over STAGE.KEY=A,B,C to sweep a key".to_owned(),
        "cache" => return "write --cache DIR, or --remote-url URL for a shared cache".to_owned(),
        "name" | "description" => return "it stands in the file alone, and changes no result".to_owned(),
        _ => {}
    }
    let of_kind: Vec<String> =
        stages.iter().filter(|stage| stage.kind == name).map(|stage| stage.name.clone()).collect();
    if !of_kind.is_empty() {
        return meant(of_kind);
    }
    let data = suggest::ending(&catalog.data, name).into_iter().map(|key| format!("data.{key}"));
    let own = stages.iter().filter_map(|stage| Some((stage, catalog.kind(&stage.kind)?))).flat_map(
        |(stage, kind)| {
            suggest::ending(&kind.parameters, name).into_iter().map(|key| format!("{}.{key}", stage.name))
        },
    );
    let full: Vec<String> = own.chain(data).collect();
    if full.is_empty() { nearest(name, known) } else { meant(full) }
}

fn target(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    pipeline: &Pipeline,
    checker: &mut Checker,
    settings: &mut Vec<Setting>,
) {
    let name = key.get_ref().as_ref();
    let catalog = &pipeline.catalog;
    if name == "seed" {
        let read = checker.value("seed", value, &catalog.top["properties"]["seed"]);
        settings.push(Setting {
            keys: vec![name.to_owned()],
            value: read,
            input: None,
            place: checker.place(value.span()),
        });
        return;
    }
    let mut kind_schema = None;
    let schema = if name == "data" {
        &catalog.data
    } else {
        let Some(stage) = pipeline.stages.iter().find(|stage| stage.name == name) else {
            let known = pipeline.stages.iter().map(|stage| stage.name.as_str()).chain(["data", "seed"]);
            let words = format!("`{name}` is no stage, and neither `data` nor `seed`");
            checker.mistake(key.span(), words, no_stage(name, &pipeline.stages, catalog, known));
            return;
        };
        let Some(kind) = catalog.kind(&stage.kind) else { return };
        kind_schema = Some(kind);
        &kind.parameters
    };
    let DeValue::Table(fields) = value.get_ref() else {
        let known = schema["properties"].as_object().into_iter().flat_map(Map::keys);
        let known: Vec<&str> = known.map(String::as_str).collect();
        let words = format!("`{name}` is a table: name one of its keys, `{name}.KEY=VALUE`");
        checker.mistake(key.span(), words, format!("its keys are: {}", known.join(", ")));
        return;
    };
    let skip: &[&str] = if kind_schema.is_some() { &[INPUTS, "kind", "name", "timeout"] } else { &[] };
    let before = checker.prefix.replace(format!("{name}."));
    let read = checker.table("", fields, schema, skip);
    checker.prefix = before;
    leaves(&[name.to_owned()], fields, &read, checker, settings);
    let Some(kind) = kind_schema else { return };
    if let Some((key, _)) = fields.get_key_value("kind") {
        checker.mistake(key.span(), "a stage's kind stands in the file alone", inputs::KINDS);
    }
    if let Some((key, _)) = fields.get_key_value("name") {
        checker.mistake(key.span(), "a stage's name stands in the file alone", "change it in the file");
    }
    if let Some((key, _)) = fields.get_key_value("timeout") {
        let words = "a stage's timeout stands in the file alone";
        checker.mistake(key.span(), words, "change it in the file, or give the whole run a --timeout");
    }
    let broken = BTreeSet::new();
    let known = Known { stages: &pipeline.stages, broken: &broken, catalog };
    if let Some((key, written)) = fields.get_key_value(INPUTS) {
        let DeValue::Table(roles) = written.get_ref() else {
            let words =
                format!("`{name}.inputs` is a table: name one of its roles, `{name}.inputs.ROLE=STAGE`");
            checker.mistake(key.span(), words, "");
            return;
        };
        for (role, value) in roles {
            let Some(input) = inputs::role(kind, role, checker) else { continue };
            let Some(found) = inputs::read(input, value, &known, checker) else { continue };
            settings.push(Setting {
                keys: vec![name.to_owned(), INPUTS.to_owned(), input.role.to_owned()],
                value: value.get_ref().as_str().unwrap_or_default().into(),
                input: Some(found),
                place: checker.place(value.span()),
            });
        }
    }
}

/// The values of a table and of those in it, each with its place.
fn leaves(
    above: &[String],
    fields: &DeTable<'_>,
    read: &Map<String, Value>,
    checker: &Checker,
    settings: &mut Vec<Setting>,
) {
    for (key, written) in fields {
        let keys = [above, &[key.get_ref().to_string()]].concat();
        match (read.get(key.get_ref().as_ref()), written.get_ref()) {
            (Some(Value::Object(read)), DeValue::Table(fields)) => {
                leaves(&keys, fields, read, checker, settings);
            }
            (Some(value), _) => {
                let place = checker.place(written.span());
                settings.push(Setting { keys, value: value.clone(), input: None, place });
            }
            // Its mistake is told already.
            (None, _) => {}
        }
    }
}
