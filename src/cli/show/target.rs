//! What `runner show` was asked for, found in the cache or on the disk.

use std::fs;
use std::io::Seek;
use std::path::Path;

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use serde::Serialize;

use super::{artifact, record};
use crate::cli::args::{CacheArgs, ChangeArgs, PipelineArgs, SelectionArgs};
use crate::cli::open::Opened;
use crate::cli::plan::points;
use crate::cli::points::{at_point, split, swept};
use crate::fingerprint::Fingerprint;
use crate::pipeline::nearest;
use crate::plan::{Verdict, named};
use crate::report::Artifact;
use crate::report::format::bytes;
use crate::store::{Lookup, ObjectHash, Record, Store};

/// The fewest digits by which something is looked up.
const DIGITS: usize = 4;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Target {
    /// The work that gave it; of an object that several gave, the first.
    pub record: Option<Record>,
    /// What else gave the same bytes.
    pub also_made_by: Vec<Fingerprint>,
    /// The files.
    pub files: Vec<File>,
    /// Whether the work was asked for, and not one of its files.
    pub whole: bool,
}

/// A file that was found.
#[derive(Debug, Serialize)]
pub struct File {
    /// The outputs that it is; empty where no work gave it.
    pub outputs: Vec<String>,
    /// Its hash.
    pub object: ObjectHash,
    /// Where it is.
    pub path: String,
    /// What it holds.
    #[serde(flatten)]
    pub artifact: Artifact,
}

impl Target {
    /// A stage of a pipeline, or one of its outputs.
    pub fn stage(pipeline: &Path, stage: &str, changes: &ChangeArgs, cache: &CacheArgs) -> Result<Self> {
        let pipeline = PipelineArgs { pipeline: pipeline.to_owned(), changes: changes.clone() };
        let mut opened = Opened::new(&pipeline, cache)?;
        let plan = opened.plan(&SelectionArgs::default())?;
        let (stage, point) = split(stage);
        let (name, output) =
            stage.split_once('.').map_or((stage, None), |(name, output)| (name, Some(output)));
        let mut nodes = named(&opened.graph, "the command line", &[name.to_owned()])?;
        if !point.is_empty() {
            let chosen = at_point(&opened.graph, point)?;
            nodes.retain(|id| opened.graph.node(*id).uses.iter().any(|usage| chosen.contains(&usage.point)));
        }
        let mut nodes = nodes.into_iter();
        let (Some(id), None) = (nodes.next(), nodes.next()) else {
            return Err(miette!(
                help = format!("say at which point: `{stage}@KEY=VALUE,...`; {}", swept(&opened.graph)),
                "`{name}` is several pieces of work over the points of the sweep"
            ));
        };
        let node = opened.graph.node(id);
        let record = match &plan.entry(id).verdict {
            Verdict::Cached(record) => (**record).clone(),
            Verdict::Run { reasons, .. } => {
                let why: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                return Err(miette!(
                    help = "`runner run` makes it; `runner status` says how every stage stands",
                    "the result of `{name}`{} is not in the cache: {}",
                    points(&opened.graph, node),
                    why.join(", ")
                ));
            }
            Verdict::Left => return Err(miette!("`{name}` was not looked at")),
        };
        let Some(output) = output else { return Self::work(&opened.store, record) };
        let Some(entry) = record.outputs.get(output) else {
            let near = nearest(output, record.outputs.keys().map(String::as_str));
            return Err(miette!(help = near, "`{name}` has no output `{output}`"));
        };
        let files = vec![file(&opened.store, vec![output.to_owned()], entry.object)?];
        Ok(Self { record: Some(record), also_made_by: Vec::new(), files, whole: false })
    }

    /// An object, a piece of work, or a file.
    pub fn artifact(target: &str, cache: &CacheArgs) -> Result<Self> {
        let path = Path::new(target);
        let digits = target.to_ascii_lowercase();
        let hash = !digits.is_empty() && digits.len() <= 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !hash || (path.is_file() && target.contains(['.', '/'])) {
            return Self::file(path, cache);
        }
        if digits.len() < DIGITS {
            return Err(miette!(
                help = "`runner status` and the table at the end of `runner run` show hashes",
                "`{target}` is too short: give at least {DIGITS} digits of a hash"
            ));
        }
        let store = cache.open_here()?;
        let objects = store.objects_like(&digits)?;
        let work = store.records_like(&digits)?;
        match (objects.as_slice(), work.as_slice()) {
            ([object], []) => Self::object(&store, *object),
            ([], [fingerprint]) => match store.lookup(fingerprint)? {
                Lookup::Present(record) => Self::work(&store, record),
                Lookup::OutputMissing { output } => {
                    Err(miette!("the output `{output}` of {} is missing from the cache", fingerprint.short()))
                }
                Lookup::Damaged => Err(miette!(
                    help = "`runner run` moves it aside and makes the result anew",
                    "the record of {} is damaged",
                    fingerprint.short()
                )),
                Lookup::Unreadable => Err(miette!(
                    help = "try again; check the disk, or the server of the file system",
                    "the record of {} cannot be read back from the disk",
                    fingerprint.short()
                )),
                Lookup::Absent => Err(miette!("the record of {} is gone", fingerprint.short())),
            },
            ([], []) => Err(miette!(
                help = "`runner status` and the table at the end of `runner run` show hashes; `--cache DIR` names another cache",
                "nothing in the cache {} has a hash that begins with `{target}`",
                store.root().display()
            )),
            _ => Err(several(&store, target, &objects, &work)),
        }
    }

    fn work(store: &Store, record: Record) -> Result<Self> {
        let mut files: Vec<File> = Vec::new();
        for (output, entry) in &record.outputs {
            // Two outputs are often the same bytes: the best epoch is the last one.
            match files.iter_mut().find(|file| file.object == entry.object) {
                Some(same) => same.outputs.push(output.clone()),
                None => files.push(file(store, vec![output.clone()], entry.object)?),
            }
        }
        Ok(Self { record: Some(record), also_made_by: Vec::new(), files, whole: true })
    }

    fn object(store: &Store, object: ObjectHash) -> Result<Self> {
        let mut found = Self { record: None, also_made_by: Vec::new(), files: Vec::new(), whole: false };
        let outputs = found.made_by(store, object)?;
        found.files.push(file(store, outputs, object)?);
        Ok(found)
    }

    fn file(path: &Path, cache: &CacheArgs) -> Result<Self> {
        let name = path.display().to_string();
        if path.extension().is_some_and(|extension| extension == "toml") {
            return Err(miette!(
                help = format!("name one of its stages: `runner show {name} STAGE`"),
                "`{name}` is a pipeline, and its results belong to its stages"
            ));
        }
        let (mut file, length) = opened(path, &name)?;
        let artifact = Artifact::read_from(&name, &mut file, length)?;
        let mut hasher = blake3::Hasher::new();
        file.rewind().into_diagnostic()?;
        hasher.update_reader(file).into_diagnostic().wrap_err_with(|| format!("`{name}` cannot be read"))?;
        let object = ObjectHash::from(hasher.finalize());
        let mut found = Self { record: None, also_made_by: Vec::new(), files: Vec::new(), whole: false };
        // Where it came from is known if the cache has the same bytes.
        let outputs = match cache.open_if_there()? {
            Some(store) => found.made_by(&store, object)?,
            None => Vec::new(),
        };
        found.files.push(File { outputs, object, path: name, artifact });
        Ok(found)
    }

    /// Notes who gave an object, and returns the outputs that it is.
    fn made_by(&mut self, store: &Store, object: ObjectHash) -> Result<Vec<String>> {
        let mut makers = store.makers(&object)?.into_iter();
        let Some(first) = makers.next() else { return Ok(Vec::new()) };
        let same = first.outputs.iter().filter(|(_, entry)| entry.object == object);
        let outputs = same.map(|(output, _)| output.clone()).collect();
        self.also_made_by = makers.map(|record| record.fingerprint).collect();
        self.record = Some(first);
        Ok(outputs)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(record) = &self.record {
            text += &record::text(record, &self.also_made_by, self.whole);
        }
        // A network of 16 layers has a hundred tensors: those of several files are too much at once.
        let tensors = self.files.len() == 1;
        for file in &self.files {
            text += &artifact::text(file, tensors);
        }
        if !tensors && !self.files.is_empty() {
            text += "\nthe tensors of one of them: `runner show HASH`\n";
        }
        text
    }
}

/// An ordinary file and its length: others may have no end, or no beginning.
fn opened(path: &Path, name: &str) -> Result<(fs::File, u64)> {
    let unread = || format!("`{name}` is neither a hash nor a file that can be read");
    let found = path.metadata().into_diagnostic().wrap_err_with(unread)?;
    if !found.is_file() {
        let what = if found.is_dir() { "a folder" } else { "a pipe or a device" };
        return Err(miette!(
            help = "give the path of a `.safetensors` file, or the start of a hash",
            "`{name}` is {what}, which is no file that can be shown"
        ));
    }
    let file = fs::File::open(path).into_diagnostic().wrap_err_with(unread)?;
    Ok((file, found.len()))
}

fn file(store: &Store, outputs: Vec<String>, object: ObjectHash) -> Result<File> {
    let content = store.get(&object)?;
    let path = store.object_path(&object).display().to_string();
    let artifact = Artifact::read(&path, &content)?;
    Ok(File { outputs, object, path, artifact })
}

fn several(store: &Store, target: &str, objects: &[ObjectHash], work: &[Fingerprint]) -> miette::Report {
    let mut lines = Vec::new();
    for object in objects {
        let size = store.object_path(object).metadata().map_or(0, |found| found.len());
        lines.push(format!("{object}  an object of {}", bytes(size)));
    }
    for fingerprint in work {
        let what = match store.lookup(fingerprint) {
            Ok(Lookup::Present(record)) => format!("the work of {}", record.provenance.stage),
            _ => "work without its result".to_owned(),
        };
        lines.push(format!("{fingerprint}  {what}"));
    }
    miette!(
        help = format!("give more digits:\n{}", lines.join("\n")),
        "`{target}` is the beginning of {} hashes",
        objects.len() + work.len()
    )
}
