//! Results that a command was told to work on: a pipeline's, or those with a name or a hash.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use miette::{Result, miette};

use crate::cli::args::{CacheArgs, ChangeArgs, PipelineArgs, SelectionArgs};
use crate::cli::open::Opened;
use crate::fingerprint::Fingerprint;
use crate::pipeline::nearest;
use crate::plan::{Verdict, named};
use crate::store::{Inventory, Store, Visit};

/// The fewest digits by which something is looked up.
const DIGITS: usize = 4;

/// Which results.
#[derive(Debug, Clone, Args)]
pub struct ChosenArgs {
    /// A pipeline file, with or without a stage after it; or the hash of an object or the fingerprint of a piece of work
    /// (its first digits are enough); or the name of a pipeline or a stage as `runner cache ls` shows it
    #[arg(value_name = "PIPELINE|HASH|NAME")]
    pub target: String,
    /// A stage of the pipeline
    #[arg(value_name = "STAGE")]
    pub stage: Option<String>,
    #[command(flatten)]
    pub changes: ChangeArgs,
}

/// What was found.
#[derive(Debug)]
pub struct Chosen {
    /// The work itself, without what led to it. Never empty.
    pub work: Vec<Fingerprint>,
    /// In the words of the call.
    pub words: String,
}

impl ChosenArgs {
    /// Looks it up. Of a pipeline all results must be there.
    ///
    /// # Errors
    /// There is nothing of that name; a result that is not in the cache.
    pub fn find(&self, cache: &CacheArgs, inventory: &Inventory) -> Result<Chosen> {
        let words = match &self.stage {
            Some(stage) => format!("{stage} of {}", self.target),
            None => self.target.clone(),
        };
        let work = if is_pipeline(&self.target) {
            self.of_pipeline(cache)?
        } else {
            self.of_cache(&cache.here(), inventory)?
        };
        Ok(Chosen { work, words })
    }

    fn of_pipeline(&self, cache: &CacheArgs) -> Result<Vec<Fingerprint>> {
        let pipeline = PipelineArgs { pipeline: self.target.clone().into(), changes: self.changes.clone() };
        let mut opened = Opened::new(&pipeline, cache)?;
        let plan = opened.plan(&SelectionArgs::default())?;
        let wanted = match &self.stage {
            Some(stage) => Some(named(&opened.graph, "the command line", std::slice::from_ref(stage))?),
            None => None,
        };
        let mut work = Vec::new();
        for (id, node) in opened.graph.iter() {
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(&id)) {
                continue;
            }
            match &plan.entry(id).verdict {
                Verdict::Cached(record) => work.push(record.fingerprint),
                Verdict::Run { .. } | Verdict::Left => {
                    return Err(miette!(
                        help = "`runner run` makes it; or name a stage whose result is there",
                        "the result of `{}` is not in the cache",
                        node.name
                    ));
                }
            }
        }
        Ok(work)
    }

    fn of_cache(&self, cache: &Path, inventory: &Inventory) -> Result<Vec<Fingerprint>> {
        let target = &self.target;
        let made = |work: &crate::store::Work| {
            let made = &work.record.provenance;
            match &self.stage {
                Some(stage) => made.pipeline == *target && made.stage == *stage,
                None => made.pipeline == *target || made.stage == *target,
            }
        };
        let by_name = inventory.work.values().filter(|work| made(work));
        let by_name: Vec<Fingerprint> = by_name.map(|work| work.record.fingerprint).collect();
        if !by_name.is_empty() {
            return Ok(by_name);
        }
        let digits = target.to_ascii_lowercase();
        let is_hash = (DIGITS..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hash && self.stage.is_none() {
            let found = of_hash(&digits, inventory);
            match found.as_slice() {
                [] => {}
                [only] => return Ok(only.1.clone()),
                several => {
                    let lines: Vec<&str> = several.iter().map(|(hash, _)| hash.as_str()).collect();
                    return Err(miette!(
                        help = format!("give more digits:\n{}", lines.join("\n")),
                        "`{target}` is the beginning of {} hashes",
                        several.len()
                    ));
                }
            }
        }
        let names = inventory.work.values().map(|work| &work.record.provenance);
        let names = names.flat_map(|made| [made.pipeline.as_str(), made.stage.as_str()]);
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        let help = match names.as_slice() {
            [] => "the cache has no results; `--cache DIR` names another".to_owned(),
            names => nearest(target, names.iter().copied()),
        };
        let what = self.stage.as_ref().map_or(String::new(), |stage| format!(" and stage `{stage}`"));
        Err(miette!(
            help = help,
            "nothing in the cache {} has the name or hash `{target}`{what}",
            cache.display()
        ))
    }
}

/// The things whose hashes begin with `digits`, each with its work: objects with all that made them, and work.
fn of_hash(digits: &str, inventory: &Inventory) -> Vec<(String, Vec<Fingerprint>)> {
    let makers = inventory.makers();
    let objects = makers.iter().map(|(object, makers)| (object.to_string(), makers.clone()));
    // What is pinned may be gone, and must still be unpinned.
    let known: BTreeSet<_> = inventory.work.keys().chain(inventory.pins.keys()).collect();
    let work = known.into_iter().map(|fingerprint| (fingerprint.to_string(), vec![*fingerprint]));
    objects.chain(work).filter(|(hash, _)| hash.starts_with(digits)).collect()
}

/// Whether a word is meant as the path of a pipeline file.
pub fn is_pipeline(target: &str) -> bool {
    Path::new(target).extension().is_some_and(|extension| extension == "toml")
}

/// The cache of a pipeline file where `target` is one, and that of the current folder elsewhere.
pub fn folder(cache: &CacheArgs, target: Option<&str>) -> PathBuf {
    match target.filter(|target| is_pipeline(target)) {
        Some(pipeline) => cache.of(Path::new(pipeline)),
        None => cache.here(),
    }
}

/// Opens the cache for work on `target`, and keeps collection away from it meanwhile.
pub fn visited(cache: &CacheArgs, target: Option<&str>) -> Result<(Store, Visit)> {
    visit(Store::existing(&folder(cache, target))?)
}

/// Keeps collection away from a cache.
pub fn visit(store: Store) -> Result<(Store, Visit)> {
    let visit = store.visit(&mut || tell!("waiting until `runner cache gc` has cleared the cache"))?;
    Ok((store, visit))
}
