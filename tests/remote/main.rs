//! The shared cache: machines that share results through a folder or a real S3 server, and all that can be wrong with it.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

#[path = "../binary/mod.rs"]
mod binary;

mod addresses;
mod damage;
mod folder;
mod odd;
mod outages;
mod proxy;
mod s3;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use binary::{flat, text};
use serde_json::Value;

/// A pipeline of five stages that trains nothing, so that it takes no time.
pub const QUICK: &str = r#"
name = "quick"
[data]
set = "fashion-mnist-mini"
limit_train = 100
limit_test = 100
[[stage]]
kind = "init"
arch = "vgg11"
width = 8
[[stage]]
kind = "uniform"
inputs.network = "init"
[[stage]]
kind = "threshold-search"
inputs.scores = "uniform"
flops_ratio = 0.5
[[stage]]
kind = "prune"
inputs.channels = "threshold-search"
[[stage]]
kind = "eval"
inputs.network = "prune"
latency = false
"#;
/// How many stages it has.
pub const STAGES: usize = 5;

/// Machines that have a folder each, and may share another one.
pub struct Lab {
    /// Where all of it lies.
    pub folder: tempfile::TempDir,
    /// What every command has in its environment.
    pub environment: Vec<(String, String)>,
    /// The shared cache.
    pub url: String,
}

impl Lab {
    /// A shared cache in a folder.
    pub fn with_folder() -> Self {
        let folder = binary::folder_with(QUICK);
        std::fs::create_dir(folder.path().join("shared")).unwrap();
        let url = format!("file://{}", folder.path().join("shared").display());
        Self { folder, environment: Vec::new(), url }
    }

    /// Where all of it lies.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command of the machine whose cache is the folder `machine`.
    pub fn command(&self, machine: &str, arguments: &[&str]) -> Command {
        let mut command = binary::runner(self.path(), machine, arguments);
        for name in ["RUNNER_REMOTE", "RUNNER_REMOTE_MODE", "RUNNER_REMOTE_TIMEOUT"] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The same, with the shared cache named.
    pub fn sharing(&self, machine: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(machine, arguments);
        command.env("RUNNER_REMOTE", &self.url);
        command
    }

    /// Runs it to a good end, and gives all that was printed, as one line.
    pub fn well(&self, machine: &str, arguments: &[&str]) -> String {
        let output = self.sharing(machine, arguments).output().unwrap();
        said(&output, true)
    }

    /// Runs it to a bad end.
    pub fn badly(&self, machine: &str, arguments: &[&str]) -> String {
        let output = self.sharing(machine, arguments).output().unwrap();
        said(&output, false)
    }

    /// The JSON that a command prints.
    pub fn json(&self, machine: &str, arguments: &[&str]) -> Value {
        let output = self.sharing(machine, arguments).arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{:?}", text(&output)))
    }

    /// The events of a run.
    pub fn events(&self, machine: &str, arguments: &[&str]) -> Vec<Value> {
        let output = self.sharing(machine, arguments).arg("--json").output().unwrap();
        let (out, err) = text(&output);
        assert!(output.status.success(), "{out}{err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A run that gives all it makes to the shared cache.
    pub fn fill(&self, machine: &str) {
        let said = self.well(machine, &["run", "p.toml", "--remote", "read-write"]);
        assert!(said.contains(&format!("{STAGES} ran, 0 from the cache, {STAGES} uploaded")), "{said}");
    }

    /// That a machine has the same results as another, and nothing that is damaged.
    pub fn same(&self, machine: &str, other: &str) {
        assert_eq!(results(self.path(), machine), results(self.path(), other));
        let output = self.command(machine, &["cache", "verify"]).output().unwrap();
        assert!(output.status.success(), "{:?}", text(&output));
    }

    /// The files of the shared folder, with their contents.
    pub fn shared(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        contents(&self.path().join("shared"))
    }

    /// The record of a kind of stage in the shared folder.
    pub fn record(&self, kind: &str) -> PathBuf {
        let is_it = |path: &PathBuf| {
            serde_json::from_slice::<Value>(&std::fs::read(path).unwrap())
                .is_ok_and(|record| record["kind"] == kind)
        };
        binary::files(&self.path().join("shared"), "records").into_iter().find(is_it).unwrap()
    }

    /// Where the record of a kind of stage lies in the shared folder, by what a machine has.
    pub fn record_file(&self, machine: &str, kind: &str) -> PathBuf {
        let fingerprint =
            binary::records(self.path(), machine)[kind]["fingerprint"].as_str().unwrap().to_owned();
        self.path().join("shared/records").join(&fingerprint[..2]).join(format!("{fingerprint}.json"))
    }

    /// The object that a kind of stage gave, in the shared folder.
    pub fn object(&self, machine: &str, kind: &str, output: &str) -> PathBuf {
        let object = binary::object(self.path(), machine, kind, output);
        self.path().join("shared").join(object.strip_prefix(self.path().join(machine)).unwrap())
    }
}

/// All that was printed, as one line, after the end that was expected.
pub fn said(output: &Output, good: bool) -> String {
    let (out, err) = text(output);
    assert_eq!(output.status.success(), good, "{out}{err}");
    flat(&(out + &err))
}

/// What must not depend on where it was made: objects, and of each record all that is not about the making.
pub fn results(folder: &Path, cache: &str) -> (Vec<String>, Vec<Value>) {
    let timeless = |record: Value| {
        let parts = ["fingerprint", "kind", "version", "outputs"].map(|key| record[key].clone());
        Value::from_iter(parts)
    };
    let records = binary::records(folder, cache).into_values().map(timeless).collect();
    (binary::objects(folder, cache), records)
}

/// All files under a folder, with their contents.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    binary::files(folder, "").into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// A record as runner writes it: see `docs/cache.md`.
pub fn sealed(record: &Value) -> Vec<u8> {
    let mut body = record.clone();
    let format = body.as_object_mut().unwrap().remove("format").unwrap();
    body.as_object_mut().unwrap().remove("seal");
    let body = serde_json::to_string_pretty(&body).unwrap();
    let head = format!("{{\n  \"format\": {format},\n  \"seal\": \"");
    let tail = format!("\",\n{}\n", body.strip_prefix("{\n").unwrap());
    let seal = blake3::hash((head.clone() + &tail).as_bytes()).to_hex();
    format!("{head}{seal}{tail}").into_bytes()
}

/// Changes a record, and seals it again.
pub fn change_record(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut record);
    std::fs::write(path, sealed(&record)).unwrap();
}
