//! Candidates for values of arguments: files, stages, keys of a pipeline and their values, metrics, figures,
//! runs.

use std::path::{Path, PathBuf};

use clap::Arg;
use serde_json::Value;

use super::Ending;
use super::line::Line;
use crate::cli::args::CacheArgs;
use crate::pipeline::{self, Pipeline, keys, words};
use crate::report::Metric;
use crate::report::figures::FigureId;
use crate::stages;
use crate::store::Store;

/// A folder with more files than this is not listed in full.
const FILES: usize = 2000;

/// The pipeline and the cache that the rest of the line names.
#[derive(Default)]
pub struct Given {
    pipeline: Option<PathBuf>,
    cache: Option<PathBuf>,
}

impl Given {
    /// Reads the words before the cursor.
    pub fn of(line: &Line<'_>) -> Self {
        let last =
            |id: &str| line.given.iter().rev().find(|(arg, _)| arg.get_id() == id).map(|(_, word)| word);
        let mut given = Self { pipeline: None, cache: last("folder").map(PathBuf::from) };
        given.look_ahead(&line.given.iter().map(|(_, word)| word.clone()).collect::<Vec<_>>());
        given
    }

    /// Adds a pipeline that is named after the cursor.
    pub fn look_ahead(&mut self, words: &[String]) {
        let file = || words.iter().find(|word| is_pipeline(Path::new(word)) && !word.contains('='));
        self.pipeline = self.pipeline.take().or_else(|| file().map(PathBuf::from));
    }

    fn pipeline(&self) -> Option<Pipeline> {
        pipeline::load(self.pipeline.as_ref()?, &[], stages::catalog()).ok()
    }

    fn store(&self) -> Option<Store> {
        let args = self.cache.as_ref().map_or_else(CacheArgs::default, |folder| CacheArgs::at(folder));
        let folder = self.pipeline.as_ref().map_or_else(|| args.here(), |pipeline| args.of(pipeline));
        Store::open(&folder).ok()
    }
}

fn is_pipeline(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// The candidates for an argument's value that begins with `current`.
pub fn of(arg: &Arg, command: &str, current: &str, given: &Given) -> (Ending, Vec<String>) {
    let choices: Vec<String> =
        arg.get_possible_values().iter().map(|choice| choice.get_name().to_owned()).collect();
    if !choices.is_empty() {
        let done = match arg.get_value_delimiter() {
            Some(delimiter) => current.rfind(delimiter).map_or("", |at| &current[..=at]),
            None => "",
        };
        return (Ending::Word, choices.iter().map(|choice| format!("{done}{choice}")).collect());
    }
    let plain = |words: Vec<String>| (Ending::Word, words);
    match (arg.get_id().as_str(), command) {
        ("set", _) => plain(settings(current, given, false)),
        ("over", _) => plain(settings(current, given, true)),
        ("only" | "until" | "force" | "stage", _) if arg.get_action().takes_values() => {
            plain(stage_names(given))
        }
        ("baseline", _) => plain(stage_names(given).into_iter().chain(axes(given)).collect()),
        ("group_by", _) => plain(axes(given)),
        ("metric" | "sort" | "best", _) => plain(Metric::ALL.map(|metric| metric.name().to_owned()).to_vec()),
        ("figures", _) => plain(figures()),
        ("output", _) => plain(["all", "best", "last"].map(str::to_owned).to_vec()),
        ("kind", _) => plain(stages::KINDS.iter().map(|kind| kind.name.to_owned()).collect()),
        ("device", _) => plain(["auto", "cpu", "cuda", "cuda:0"].map(str::to_owned).to_vec()),
        ("run", _) => plain(runs(given)),
        ("what", _) => {
            let runs: Vec<String> = runs(given).into_iter().filter(|id| id.starts_with(current)).collect();
            let files = files(current, is_pipeline);
            if current.is_empty() || runs.is_empty() {
                (Ending::File, files)
            } else {
                plain([runs, files].concat())
            }
        }
        ("pipeline" | "target" | "keep", _) => (Ending::File, files(current, is_pipeline)),
        (_, _) if takes_path(arg) => (Ending::File, files(current, |_| true)),
        _ => plain(Vec::new()),
    }
}

fn takes_path(arg: &Arg) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().any(|name| ["DIR", "FILE", "PATH"].iter().any(|word| name.as_str().contains(word)))
}

fn figures() -> Vec<String> {
    FigureId::ALL.map(|figure| figure.name().to_owned()).to_vec()
}

fn runs(given: &Given) -> Vec<String> {
    given.store().map_or_else(Vec::new, |store| store.run_ids())
}

fn axes(given: &Given) -> Vec<String> {
    given.pipeline().map_or_else(Vec::new, |pipeline| pipeline.axes())
}

fn stage_names(given: &Given) -> Vec<String> {
    given
        .pipeline()
        .map_or_else(Vec::new, |pipeline| pipeline.stages.into_iter().map(|stage| stage.name).collect())
}

/// Keys of `--set` and `--over`, and after the `=` the possible values of the key.
fn settings(current: &str, given: &Given, several: bool) -> Vec<String> {
    let Some(pipeline) = given.pipeline() else { return Vec::new() };
    if let Some((key, written)) = current.split_once('=') {
        let done = if several { written.rfind(',').map_or("", |at| &written[..=at]) } else { "" };
        return choices(key, &pipeline).iter().map(|word| format!("{key}={done}{word}")).collect();
    }
    if !current.contains('.') {
        let stages = pipeline.stages.iter().map(|stage| format!("{}.", stage.name));
        return stages.chain(["data.".to_owned(), "seed=".to_owned()]).collect();
    }
    let catalog = stages::catalog();
    let mut found: Vec<String> = keys(&catalog.data).into_iter().map(|key| format!("data.{key}=")).collect();
    for stage in &pipeline.stages {
        let Some(kind) = catalog.kind(&stage.kind) else { continue };
        found.extend(keys(&kind.parameters).into_iter().map(|key| format!("{}.{key}=", stage.name)));
        found.extend(kind.inputs.iter().map(|input| format!("{}.inputs.{}=", stage.name, input.role)));
    }
    found
}

/// The possible values of a key: the words of a choice, `true` and `false`, stages for an input.
fn choices(key: &str, pipeline: &Pipeline) -> Vec<String> {
    let catalog = stages::catalog();
    let Some((target, inner)) = key.split_once('.') else { return Vec::new() };
    let stage = pipeline.stages.iter().find(|stage| stage.name == target);
    let kind = stage.and_then(|stage| catalog.kind(&stage.kind));
    if let (Some(role), Some(kind)) = (inner.strip_prefix("inputs."), kind) {
        let Some(input) = kind.inputs.iter().find(|input| input.role == role) else { return Vec::new() };
        let gives = |other: &&pipeline::StageDecl| {
            let outputs = catalog.kind(&other.kind).map_or(&[][..], |kind| kind.outputs);
            other.name != target && outputs.iter().any(|output| output.artifact == input.artifact)
        };
        return pipeline.stages.iter().filter(gives).map(|stage| stage.name.clone()).collect();
    }
    let schema = match (target, kind) {
        ("data", _) => &catalog.data,
        (_, Some(kind)) => &kind.parameters,
        (_, None) => return Vec::new(),
    };
    let found = inner.split('.').try_fold(schema, |at, key| at["properties"].get(key));
    found.map_or_else(Vec::new, |property: &Value| match property["type"].as_str() {
        Some("boolean") => ["true", "false"].map(str::to_owned).to_vec(),
        _ => words(property).map(str::to_owned).collect(),
    })
}

/// Files and folders that begin with `current`; folders end in a slash.
fn files(current: &str, fits: impl Fn(&Path) -> bool) -> Vec<String> {
    let (above, name) = current.rfind('/').map_or(("", current), |at| current.split_at(at + 1));
    let home = || std::env::var("HOME").ok();
    let folder = match above.strip_prefix("~/") {
        Some(rest) => home().map(|home| Path::new(&home).join(rest)).unwrap_or_default(),
        None if above.is_empty() => PathBuf::from("."),
        None => PathBuf::from(above),
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES);
    let shown = entries.filter_map(|entry| {
        let own = entry.file_name().into_string().ok()?;
        let is_hidden = own.starts_with('.') && !name.starts_with('.');
        if is_hidden || !own.starts_with(name) {
            return None;
        }
        let path = entry.path();
        if path.is_dir() {
            return Some(format!("{above}{own}/"));
        }
        fits(&path).then(|| format!("{above}{own}"))
    });
    shown.collect()
}
