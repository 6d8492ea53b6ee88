//! Why a stage must run, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::graph::Node;
use crate::data::DataParams;
use crate::fingerprint::Fingerprint;
use crate::store::{LastRun, ObjectHash};

/// A message names at most this many parameters of another state.
const TOLD: usize = 3;

/// One reason for a stage to run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// No run of this stage is known.
    NeverRun,
    /// An interrupted run with other parameters left a state, which this run cannot go on from.
    OtherState {
        /// The parameters that differ, with their values in that run. Empty where its inputs or images alone
        /// differ.
        had: Vec<(String, String)>,
    },
    /// A parameter differs from the stage's last run.
    ParameterChanged {
        /// The parameter, with dots between nested keys.
        key: String,
        /// Its value in the last run.
        from: String,
        /// Its value now.
        to: String,
    },
    /// The seed differs from the last run's.
    SeedChanged {
        /// In the last run.
        from: Option<u64>,
        /// Now.
        to: Option<u64>,
    },
    /// What is done with the images differs from the last run.
    ImagesChanged {
        /// The key of `[data]`.
        key: String,
        /// Its value in the last run.
        from: String,
        /// Its value now.
        to: String,
    },
    /// The files of the images have another content than in the last run.
    DataChanged,
    /// The stage of this name was of another kind.
    KindChanged {
        /// In the last run.
        from: String,
        /// Now.
        to: String,
    },
    /// The implementation has moved on.
    VersionChanged {
        /// The version of the last run.
        from: u32,
        /// The version now.
        to: u32,
    },
    /// The images are not there yet, so nobody knows.
    DataMissing {
        /// The data set.
        set: String,
        /// The command that fetches it.
        command: String,
    },
    /// An input has other content than in the last run.
    InputChanged {
        /// The stage that gives it.
        stage: String,
    },
    /// The last run had no such input.
    InputNew {
        /// The stage that gives it.
        stage: String,
    },
    /// A stage above is stale and was not asked for, so there is no input to run with.
    InputLeft {
        /// The stage above.
        stage: String,
    },
    /// A stage above will run, so the content of the input is not known yet.
    InputRuns {
        /// The stage above.
        stage: String,
    },
    /// The result is recorded, but an object of it is gone.
    OutputMissing {
        /// The output.
        output: String,
    },
    /// The result was recorded, but the record is not what was written.
    RecordDamaged,
    /// The disk does not give the record back.
    RecordUnreadable,
    /// The last run's result is not in the cache any more.
    ResultGone,
    /// Asked for by `--force`.
    Forced,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverRun => f.write_str("never run"),
            Self::ParameterChanged { key, from, to } => write!(f, "{key} changed {from} -> {to}"),
            Self::OtherState { had } => {
                let words: Vec<String> =
                    had.iter().take(TOLD).map(|(key, was)| format!("{key} = {was}")).collect();
                let more = if had.len() > TOLD { ", ..." } else { "" };
                let with = match words.as_slice() {
                    [] => "other inputs".to_owned(),
                    words => words.join(", ") + more,
                };
                write!(f, "a saved state with {with} exists; this run starts anew")
            }
            Self::SeedChanged { from, to } => {
                let word = |seed: &Option<u64>| seed.map_or("none".to_owned(), |seed| seed.to_string());
                write!(f, "seed changed {} -> {}", word(from), word(to))
            }
            Self::ImagesChanged { key, from, to } => write!(f, "data.{key} changed {from} -> {to}"),
            Self::DataChanged => f.write_str("the data's files changed"),
            Self::KindChanged { from, to } => write!(f, "kind changed {from} -> {to}"),
            Self::DataMissing { set, command } => write!(f, "{set} is not here yet (`{command}`)"),
            Self::InputNew { stage } => write!(f, "input {stage} is new"),
            Self::InputLeft { stage } => write!(f, "needs {stage}, which is stale and not selected"),
            Self::VersionChanged { from, to } => {
                write!(f, "implementation changed, version {from} -> {to}")
            }
            Self::InputChanged { stage } => write!(f, "input {stage} changed"),
            Self::InputRuns { stage } => write!(f, "input {stage} will run"),
            Self::OutputMissing { output } => write!(f, "output {output} missing from the cache"),
            Self::RecordDamaged => f.write_str("record damaged"),
            Self::RecordUnreadable => f.write_str("record cannot be read"),
            Self::ResultGone => f.write_str("result no longer in the cache"),
            Self::Forced => f.write_str("forced"),
        }
    }
}

/// What a node is now, to be compared with what it was.
#[derive(Debug)]
pub struct Current<'a> {
    /// The node.
    pub node: &'a Node,
    /// What is done with the images.
    pub images: &'a DataParams,
    /// The identity of its images.
    pub data: Option<Fingerprint>,
    /// The objects in its roles; roles whose giver will run are left out.
    pub inputs: &'a BTreeMap<String, Vec<(String, ObjectHash)>>,
    /// The stages that give its roles.
    pub givers: &'a BTreeMap<String, String>,
}

/// What differs between the last run of a stage and what is asked for now. Empty if nothing
/// does.
pub fn reasons(last: &LastRun, current: &Current<'_>) -> Vec<Reason> {
    let mut found = Vec::new();
    let kind = current.node.stage.kind;
    if last.kind != kind.name {
        // Everything else differs as well, and says nothing.
        return vec![Reason::KindChanged { from: last.kind.clone(), to: kind.name.to_owned() }];
    }
    if last.version != kind.version {
        found.push(Reason::VersionChanged { from: last.version, to: kind.version });
    }
    for (key, from, to) in differences(&last.parameters, &current.node.stage.parameters) {
        // A stage's own seed is reported as the seed.
        if key != "seed" {
            found.push(Reason::ParameterChanged { key, from, to });
        }
    }
    // A stage that draws random numbers now, and did not before, does so for a parameter that has changed.
    if last.seed != current.node.seed
        && (found.is_empty() || last.seed.is_some() == current.node.seed.is_some())
    {
        found.push(Reason::SeedChanged { from: last.seed, to: current.node.seed });
    }
    if last.data != current.data.map(|data| data.to_string()) {
        let images = differences(&last.images, &images(current.images));
        let images = images.into_iter().map(|(key, from, to)| Reason::ImagesChanged { key, from, to });
        let before = found.len();
        found.extend(images);
        if found.len() == before {
            found.push(Reason::DataChanged);
        }
    }
    for (role, artifacts) in current.inputs {
        let objects: Vec<ObjectHash> = artifacts.iter().map(|(_, object)| *object).collect();
        if last.inputs.get(role) != Some(&objects) {
            let stage = current.givers.get(role).unwrap_or(role).clone();
            let known = last.inputs.contains_key(role);
            found.push(if known { Reason::InputChanged { stage } } else { Reason::InputNew { stage } });
        }
    }
    found
}

/// What is done with the images, as it is remembered. Where their files lie changes nothing.
pub fn images(params: &DataParams) -> Value {
    let mut written = serde_json::to_value(params).unwrap_or_default();
    if let Some(table) = written.as_object_mut() {
        table.remove("dir");
    }
    written
}

/// The keys, dotted where tables are nested, whose values differ between two tables; with both values in words.
pub(super) fn differences(before: &Value, now: &Value) -> Vec<(String, String, String)> {
    let (old, new) = (flat(before), flat(now));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let word = |value: Option<&String>| value.map_or("unset".to_owned(), Clone::clone);
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| (key.clone(), word(old.get(key)), word(new.get(key))))
        .collect()
}

/// A table of parameters as dotted keys and words; without what is unset.
pub fn flat(table: &Value) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    flatten("", table, &mut words);
    words
}

fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, into);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            into.insert(prefix.to_owned(), text.clone());
        }
        other => {
            into.insert(prefix.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(before: &Value, now: &Value) -> Vec<String> {
        let told = |(key, from, to)| Reason::ParameterChanged { key, from, to }.to_string();
        differences(before, now).into_iter().map(told).collect()
    }

    #[test]
    fn a_changed_parameter_is_named_with_both_values() {
        let found = words(
            &json!({"epochs": 10, "optimizer": {"lr": 0.1}, "steps": null}),
            &json!({"epochs": 12, "optimizer": {"lr": 0.1}, "steps": null}),
        );
        assert_eq!(found, ["epochs changed 10 -> 12"]);
    }

    #[test]
    fn nested_and_newly_set_parameters_are_named_in_full() {
        let found = words(
            &json!({"optimizer": {"lr": 0.1}, "steps": null}),
            &json!({"optimizer": {"lr": 0.2}, "steps": 7}),
        );
        assert_eq!(found, ["optimizer.lr changed 0.1 -> 0.2", "steps changed unset -> 7"]);
    }
}
