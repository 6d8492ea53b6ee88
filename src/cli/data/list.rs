//! `runner data list`: what data sets there are, and whether they are here.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr};
use serde_json::{Value, json};

use super::set_name;
use crate::cli::FAILURE;
use crate::cli::style::{BAD, FAINT, GOOD, STAGE, STALE, paint};
use crate::data::fetch::{Depth, Presence, Published, PublishedFile, presence, published, underway};
use crate::data::{DataParams, DataSetName};
use crate::report::format::bytes;

/// List the data sets: what they are, whether they are here, how to get them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner data list
  runner data list cifar10 --dir /scratch/cifar10 --verify
  runner data list --json

Without --verify, the sizes of files are compared with the published ones; with it, their checksums, and the
exit code is 1 if a file that is here differs.")]
pub struct ListArgs {
    /// Only these data sets
    #[arg(value_name = "SET", value_parser = set_name())]
    sets: Vec<DataSetName>,
    /// The folder in which its files are looked for, for one SET
    #[arg(long, value_name = "DIR", requires = "sets")]
    dir: Option<PathBuf>,
    /// Compare the content of files with the published checksums
    #[arg(long)]
    verify: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A data set and what there is of it.
struct Listed {
    params: DataParams,
    about: Published,
    files: Vec<(PublishedFile, Presence)>,
}

/// Prints the sets.
pub fn run(args: &ListArgs) -> Result<ExitCode> {
    if args.dir.is_some() && args.sets.len() != 1 {
        miette::bail!(help = "name the one that is in the folder", "`--dir` goes with one data set");
    }
    let depth = if args.verify { Depth::Content } else { Depth::Size };
    let wanted = |set: &DataSetName| args.sets.is_empty() || args.sets.contains(set);
    let sets = DataSetName::ALL.into_iter().filter(wanted);
    let listed: Vec<Listed> =
        sets.map(|set| Listed::new(set, args.dir.clone(), depth)).collect::<Result<_>>()?;
    if args.json {
        let sets: Vec<Value> = listed.iter().map(|listed| listed.as_json(depth)).collect();
        say!("{}", serde_json::to_string_pretty(&sets).into_diagnostic()?);
    } else {
        let texts: Vec<String> = listed.iter().map(|listed| listed.text(depth)).collect();
        say_all!("{}", texts.join("\n"));
    }
    let failed = args.verify && listed.iter().any(|listed| listed.differing().next().is_some());
    Ok(if failed { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS })
}

impl Listed {
    fn new(set: DataSetName, dir: Option<PathBuf>, depth: Depth) -> Result<Self> {
        let params = DataParams { set, dir, ..DataParams::default() };
        let about = published(set);
        let mut files = Vec::new();
        for download in &about.downloads {
            for member in &download.members {
                let found = presence(&params, download, member, depth);
                let found = found.into_diagnostic().wrap_err_with(|| {
                    format!("cannot look at {} in {}", member.base(), params.folder().display())
                })?;
                files.push((member.clone(), found));
            }
        }
        Ok(Self { params, about, files })
    }

    fn missing(&self) -> impl Iterator<Item = &str> {
        let missing = self.files.iter().filter(|(_, found)| *found == Presence::Missing);
        missing.map(|(file, _)| file.base())
    }

    fn differing(&self) -> impl Iterator<Item = (&PathBuf, &String)> {
        self.files.iter().filter_map(|(_, found)| match found {
            Presence::Different { path, difference } => Some((path, difference)),
            _ => None,
        })
    }

    /// Bytes of unfinished downloads.
    fn underway(&self) -> u64 {
        self.about.downloads.iter().map(|download| underway(&self.params, download)).sum()
    }

    /// In one word: `ships`, `missing`, `incomplete`, `different` or `here`.
    fn state(&self) -> &'static str {
        match self.missing().count() {
            _ if self.files.is_empty() => "ships",
            count if count == self.files.len() => "missing",
            1.. => "incomplete",
            0 if self.differing().next().is_some() => "different",
            0 => "here",
        }
    }

    fn text(&self, depth: Depth) -> String {
        let shape = self.params.shape();
        let colour = if shape.channels == 1 { "grey" } else { "colour" };
        let [train, test] = self.about.images;
        let mut text = format!(
            "{}  {}x{} {colour}, {} classes, {train} + {test} images\n",
            paint(STAGE, self.params.set.name()),
            shape.height,
            shape.width,
            self.params.classes()
        );
        let mut row = |head: &str, words: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {}{words}", paint(FAINT, format!("{head:9}")));
        };
        let folder = self.params.folder();
        let looked = match depth {
            Depth::Size => "sizes as published",
            Depth::Content => "checksums as published",
        };
        match self.state() {
            "ships" => row("state", &paint(GOOD, "ships with runner")),
            "here" => {
                row("state", &format!("{} in {}, {looked}", paint(GOOD, "here"), folder.display()));
            }
            "missing" => {
                row("state", &format!("{}, looked for in {}", paint(STALE, "not here"), folder.display()));
            }
            "incomplete" => {
                let missing: Vec<&str> = self.missing().collect();
                let missing = missing.join(", ");
                row("state", &format!("{} in {}: no {missing}", paint(BAD, "incomplete"), folder.display()));
            }
            _ => {
                let words = paint(STALE, "here, but not as published,");
                row("state", &format!("{words} in {}", folder.display()));
            }
        }
        for (path, difference) in self.differing() {
            row("differs", &format!("{}: {difference}", path.display()));
        }
        if !matches!(self.state(), "ships" | "here") {
            let size = bytes(self.about.size());
            let came = match self.underway() {
                0 => String::new(),
                came => format!(", of which {} came so far", bytes(came)),
            };
            row("get it", &format!("{}  ({size}{came})", self.params.fetch_command()));
        }
        row("licence", self.about.licence);
        row("source", self.about.page);
        text
    }

    fn as_json(&self, depth: Depth) -> Value {
        let shape = self.params.shape();
        let files = self.files.iter().map(|(file, found)| {
            let (state, path, difference) = match found {
                Presence::Missing => ("missing", None, None),
                Presence::Whole { path } => ("here", Some(path), None),
                Presence::Different { path, difference } => ("different", Some(path), Some(difference)),
            };
            json!({
                "name": file.base(),
                "bytes": file.size,
                "md5": file.md5,
                "state": state,
                "path": path,
                "difference": difference,
            })
        });
        json!({
            "set": self.params.set.name(),
            "channels": shape.channels,
            "height": shape.height,
            "width": shape.width,
            "classes": self.params.classes(),
            "train_images": self.about.images[0],
            "test_images": self.about.images[1],
            "state": self.state(),
            "verified": depth == Depth::Content,
            "folder": (!self.files.is_empty()).then(|| self.params.folder()),
            "files": files.collect::<Vec<_>>(),
            "download_bytes": self.about.size(),
            "downloaded_bytes": self.underway(),
            "sources": self.about.sources,
            "fetch": (!self.files.is_empty()).then(|| self.params.fetch_command()),
            "licence": self.about.licence,
            "page": self.about.page,
        })
    }
}
