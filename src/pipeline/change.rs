//! Changes of the command line, checked like the file.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{Checker, nearest};
use super::error::{Mistake, PipelineError, Place, Source};
use super::file::Pipeline;

/// Mistakes that lie on the command line.
pub fn error(mistakes: Vec<Mistake>) -> PipelineError {
    PipelineError::Mistakes { place: "the command line".to_owned(), mistakes }
}

/// An option that cannot be read at all.
pub fn unreadable(option: &'static str, text: &str, reason: impl Into<String>) -> PipelineError {
    let help = match option {
        "--over" => {
            "write --over STAGE.KEY=A,B,C, --over data.KEY=A,B or --over seed=1..3 (both ends included)"
        }
        _ => "write --set STAGE.KEY=VALUE, --set data.KEY=VALUE or --set seed=N",
    };
    PipelineError::Option { option, text: text.to_owned(), reason: reason.into(), help }
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

/// Applies one change, and returns its mistakes.
///
/// # Errors
/// A change that is no `key=value`.
pub fn apply(
    option: &'static str,
    text: &str,
    pipeline: &mut Pipeline,
) -> Result<Vec<Mistake>, PipelineError> {
    let (key, value) = split(option, text)?;
    // A change is TOML as it stands, but for words: `--set init.arch=vgg16` needs no quotes.
    let typed = format!("{key}={value}");
    let quoted = format!("{key}={}", Value::from(value));
    let content = if DeTable::parse(&typed).is_ok() { typed } else { quoted };
    let source = Arc::new(Source { name: option.to_owned(), text: content });
    let table =
        DeTable::parse(&source.text).map_err(|_| unreadable(option, text, "its key cannot be read"))?;
    let mut checker = Checker::new(source.clone());
    for (key, value) in table.get_ref() {
        target(key, value, pipeline, &mut checker);
    }
    Ok(checker.mistakes)
}

fn target(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    pipeline: &mut Pipeline,
    checker: &mut Checker,
) {
    let name = key.get_ref().as_ref();
    let catalog = pipeline.catalog.clone();
    if name == "seed" {
        let read = checker.value("seed", value, &catalog.top["properties"]["seed"]);
        pipeline.seed = read.as_u64().unwrap_or(pipeline.seed);
        return;
    }
    let (schema, values, places) = if name == "data" {
        (&catalog.data, &mut pipeline.data, &mut pipeline.data_places)
    } else {
        let names: Vec<String> = pipeline.stages.iter().map(|stage| stage.name.clone()).collect();
        let Some(stage) = pipeline.stages.iter_mut().find(|stage| stage.name == name) else {
            let known = names.iter().map(String::as_str).chain(["data", "seed"]);
            let words = format!("`{name}` is no stage, and neither `data` nor `seed`");
            checker.mistake(key.span(), words, nearest(name, known));
            return;
        };
        let Some(kind) = catalog.kind(&stage.kind) else { return };
        (&kind.parameters, &mut stage.parameters, &mut stage.places)
    };
    let DeValue::Table(fields) = value.get_ref() else {
        let known = schema["properties"].as_object().into_iter().flat_map(Map::keys);
        let known: Vec<&str> = known.map(String::as_str).collect();
        let words = format!("`{name}` is a table: name one of its keys, `{name}.KEY=VALUE`");
        checker.mistake(key.span(), words, format!("its keys are: {}", known.join(", ")));
        return;
    };
    let read = checker.table("", fields, schema, &[]);
    merge(values, read);
    note(fields, checker, places);
}

/// Remembers that keys were written here, for mistakes that only their stage can find.
fn note(fields: &DeTable<'_>, checker: &Checker, places: &mut HashMap<String, Place>) {
    let here = fields.iter().map(|(key, value)| (key.get_ref().to_string(), checker.place(value.span())));
    places.extend(here);
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
