//! Reading a pipeline file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::catalog::Catalog;
use super::change;
use super::check::Checker;
use super::error::{Mistake, PipelineError, Place, Source};
use super::order::order;
use super::stages::{self, StageDecl};
use super::suggest::{self, meant};
use super::sweep::{self, Choice, Sweep};
use super::syntax;
use super::text;

/// A checked pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The seed.
    pub seed: u64,
    /// The keys of `[data]` that are written.
    pub data: Map<String, Value>,
    /// The address of a shared cache, as it is written: see [`Pipeline::remote_error`].
    pub remote: Option<String>,
    /// The stages, inputs before what takes them.
    pub stages: Vec<StageDecl>,
    /// Where keys of `[data]` are written.
    pub(super) data_places: HashMap<String, Place>,
    /// Where `cache.remote` is written.
    pub(super) remote_place: Option<Place>,
    /// What the file sweeps.
    pub(super) sweep: Arc<Sweep>,
    /// The keys to which changes of the command line give a value.
    pub(super) pins: Vec<Pin>,
    pub(super) source: Arc<Source>,
    pub(super) catalog: Arc<Catalog>,
}

/// A key to which a change of the command line gives a value.
#[derive(Debug, Clone)]
pub struct Pin {
    /// The key.
    pub key: String,
    /// The value.
    pub choice: Choice,
    /// The change as it is written.
    pub text: String,
}

impl Pin {
    fn contradicts(&self, other: &Self) -> PipelineError {
        let (key, a, b) = (&self.key, &other.choice.word, &self.choice.word);
        let help = match self.choice.settings.iter().any(|setting| setting.value.is_array()) {
            true => "keep one of them".to_owned(),
            false => format!("keep one of them; to run both values, write `--over {key}={a},{b}`"),
        };
        PipelineError::Contradiction {
            first: format!("--set {}", change::repeated(&other.text)),
            second: format!("--set {}", change::repeated(&self.text)),
            key: key.clone(),
            help,
        }
    }
}

/// Reads and checks the pipeline at `path`, with changes such as `stage.key=value`.
///
/// # Errors
/// All mistakes of the file and of the changes.
pub fn load(path: &Path, changes: &[String], catalog: Catalog) -> Result<Pipeline, PipelineError> {
    let name = path.display().to_string();
    parse(&name, &text::read(path)?, changes, catalog)
}

/// What a pipeline is called that gives itself no name: the name of its file without the ending.
fn stem(path: &str) -> String {
    let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.filter(|stem| !stem.is_empty()).unwrap_or_else(|| "pipeline".to_owned())
}

/// As [`load`], from a text called `name`.
///
/// # Errors
/// All mistakes of the text and of the changes.
pub fn parse(
    name: &str,
    text: &str,
    changes: &[String],
    catalog: Catalog,
) -> Result<Pipeline, PipelineError> {
    // A byte order mark is no content, and would shift every column of the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    let source = Arc::new(Source { name: name.to_owned(), text });
    let mut pipeline = read(&source, catalog)?;
    let mut mistakes = Vec::new();
    for text in changes {
        let (settings, found) = change::read("--set", text, &pipeline)?;
        mistakes.extend(found);
        for setting in settings {
            setting.apply(&mut pipeline);
            let pin = Pin { key: setting.key(), choice: Choice::new(setting), text: text.clone() };
            if let Some(other) = pipeline.pins.iter().find(|other| other.key == pin.key) {
                if other.choice.word != pin.choice.word {
                    return Err(pin.contradicts(other));
                }
                continue;
            }
            pipeline.pins.push(pin);
        }
    }
    if !mistakes.is_empty() {
        return Err(change::error(mistakes));
    }
    // A changed input may point down the file.
    pipeline.stages = order(pipeline.stages).map_err(|mistake| change::error(vec![*mistake]))?;
    Ok(pipeline)
}

fn read(source: &Arc<Source>, catalog: Catalog) -> Result<Pipeline, PipelineError> {
    let fail = |mut mistakes: Vec<Mistake>| {
        mistakes.sort_by_key(Mistake::offset);
        PipelineError::mistakes(&source.name, mistakes)
    };
    let mut checker = Checker::new(source.clone());
    let root = DeTable::parse(&source.text).map_err(|error| {
        let place = Place { source: source.clone(), span: error.span().unwrap_or(0..0) };
        let help = syntax::help(&source.text, place.span.start, error.message());
        fail(vec![Mistake::new(&place, error.message(), help)])
    })?;
    let root = root.get_ref();
    let mut head = Map::new();
    for (key, value) in root {
        let name = key.get_ref().as_ref();
        if TABLES.contains(&name) {
            continue;
        }
        match catalog.top["properties"].get(name) {
            Some(schema) => drop(head.insert(name.to_owned(), checker.value(name, value, schema))),
            None => {
                checker.mistake(key.span(), format!("unknown key `{name}`"), at_the_top(name, &catalog));
            }
        }
    }
    let (data, data_places) = section("data", root, &catalog, &catalog.data, &mut checker);
    let (cache, mut cache_places) = section("cache", root, &catalog, &catalog.cache, &mut checker);
    let stages = stages::read(root, &catalog, &mut checker);
    let sweep = sweep::read(root.get("sweep"), &stages, &catalog, &mut checker);
    if !checker.mistakes.is_empty() {
        return Err(fail(checker.mistakes));
    }
    let text =
        |table: &Map<String, Value>, key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(Pipeline {
        name: text(&head, "name").unwrap_or_else(|| stem(&source.name)),
        description: text(&head, "description"),
        seed: head.get("seed").and_then(Value::as_u64).unwrap_or(0),
        data,
        remote: text(&cache, "remote"),
        stages: order(stages.stages).map_err(|mistake| fail(vec![*mistake]))?,
        data_places,
        remote_place: cache_places.remove("remote"),
        sweep: Arc::new(sweep),
        pins: Vec::new(),
        source: source.clone(),
        catalog: Arc::new(catalog),
    })
}

/// The tables of a file.
const TABLES: [&str; 4] = ["cache", "data", "stage", "sweep"];

/// The help beside an unknown key at the top of a file: it may belong further down.
fn at_the_top(name: &str, catalog: &Catalog) -> String {
    if let Some(kind) = catalog.kinds.iter().find(|kind| kind.name == name.replace('_', "-")) {
        return format!("a stage is written `[[stage]]`, with `kind = \"{}\"` below it", kind.name);
    }
    if sweep::TABLES.contains(&name) {
        return meant([format!("sweep.{name}")]);
    }
    let data = suggest::ending(&catalog.data, name);
    if !data.is_empty() {
        return meant(data.iter().map(|key| format!("data.{key}")));
    }
    let owners = catalog.kinds.iter().filter_map(|kind| {
        let key = suggest::ending(&kind.parameters, name).into_iter().next()?;
        Some((kind.name, key))
    });
    let owners: Vec<(&str, String)> = owners.collect();
    if let Some((_, key)) = owners.first() {
        let kinds: Vec<&str> = owners.iter().map(|(kind, _)| *kind).collect();
        return format!(
            "it is a key of a stage: write `{key} = ...` below the `kind` of {}",
            kinds.join(", ")
        );
    }
    suggest::key(name, &catalog.top, &TABLES, "")
}

/// The keys of a table at the top that are written, and where.
fn section(
    name: &str,
    root: &DeTable<'_>,
    catalog: &Catalog,
    schema: &Value,
    checker: &mut Checker,
) -> (Map<String, Value>, HashMap<String, Place>) {
    match root.get(name).map(|value| (value.get_ref(), value)) {
        None => (Map::new(), HashMap::new()),
        Some((DeValue::Table(table), _)) => {
            let strays = table.iter().filter(|(key, _)| {
                let name = key.get_ref().as_ref();
                catalog.top["properties"].get(name).is_some() && schema["properties"].get(name).is_none()
            });
            let strays: Vec<_> = strays.map(|(key, _)| (key.get_ref().as_ref(), key.span())).collect();
            for (key, span) in &strays {
                let words = format!("`{key}` is no key of `[{name}]`");
                checker.mistake(
                    span.clone(),
                    words,
                    "write it at the top of the file, above the first `[...]`",
                );
            }
            let skip: Vec<&str> = strays.iter().map(|(key, _)| *key).collect();
            let values = checker.table("", table, schema, &skip);
            let places = table.iter().map(|(key, v)| (key.get_ref().to_string(), checker.place(v.span())));
            (values, places.collect())
        }
        Some((_, value)) => {
            let words = format!("`{name}` must be a table, found {}", checker.written(value));
            checker.mistake(value.span(), words, format!("write `[{name}]`"));
            (Map::new(), HashMap::new())
        }
    }
}

impl Pipeline {
    /// The file as it was read.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// A mistake that only a stage (or `data`) can find, at its place in the file or on the command line.
    pub fn error_at(&self, stage: &str, key: &str, message: String, help: &str) -> PipelineError {
        let places = if stage == "data" {
            Some(&self.data_places)
        } else {
            self.stages.iter().find(|declared| declared.name == stage).map(|declared| &declared.places)
        };
        let place = places.and_then(|places| places.get(key).or_else(|| places.get(""))).cloned();
        self.mistake_at(place, message, help)
    }

    /// What is wrong with the address of the shared cache, which only the store can tell.
    pub fn remote_error(&self, message: String, help: &str) -> PipelineError {
        self.mistake_at(self.remote_place.clone(), message, help)
    }

    fn mistake_at(&self, place: Option<Place>, message: String, help: &str) -> PipelineError {
        let place = place.unwrap_or_else(|| Place { source: self.source.clone(), span: 0..0 });
        let mistakes = vec![Mistake::new(&place, message, help)];
        if place.source == self.source {
            PipelineError::mistakes(&self.source.name, mistakes)
        } else {
            change::error(mistakes)
        }
    }
}
