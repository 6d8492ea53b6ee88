//! The kinds of stage: what a pipeline can be made of.
//!
//! A file here is one kind: its parameters (documented, with defaults), the version of its
//! implementation, and `run`, from input artifacts to output artifacts and metrics. A stage
//! sees bytes and a [`Job`]; it knows no paths, no cache and no other stage, so it can be run from
//! a test or an example with a few lines.
//!
//! To add a kind: write its file, and name it in [`KINDS`]. Nothing else changes: the pipeline
//! file's schema, its reference page, the fingerprints and the command line follow.

pub mod eval;
pub mod gate_train;
pub mod gates;
pub mod init;
pub mod job;
pub mod kind;
pub mod l1;
pub mod parameters;
pub mod prune;
pub mod random;
pub mod retrain;
pub mod scores;
pub mod shuffled;
pub mod slimming;
pub mod threshold_search;
pub mod training;
pub mod uniform;
pub mod warning;

pub use job::{Artifact, Inputs, Job, Outcome, Output, StageError};
pub use kind::{Configured, DataUse, Kind, ParameterError, Randomness, Stage};
pub use warning::{Outlook, Warning};

use crate::pipeline::{Catalog, KindSchema};

/// Every stage kind in the order of the method; those that score channels by another rule stand beside gate-training.
pub static KINDS: [&Kind; 12] = [
    &init::KIND,
    &gate_train::KIND,
    &gates::KIND,
    &uniform::KIND,
    &random::KIND,
    &shuffled::KIND,
    &l1::KIND,
    &slimming::KIND,
    &threshold_search::KIND,
    &prune::KIND,
    &retrain::KIND,
    &eval::KIND,
];

/// The kind of this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

/// The kinds as the pipeline room sees them: names, schemas and roles.
pub fn catalog() -> Catalog {
    let kinds = KINDS.iter().map(|kind| KindSchema {
        name: kind.name,
        summary: kind.summary,
        parameters: (kind.schema)(),
        inputs: kind.inputs,
        outputs: kind.outputs,
    });
    Catalog::new(kinds.collect(), &schemars::schema_for!(crate::data::DataParams).to_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_names_are_unique_and_found_by_name() {
        for kind_ in KINDS {
            assert!(std::ptr::eq(kind(kind_.name).unwrap(), kind_));
            assert_eq!(KINDS.iter().filter(|other| other.name == kind_.name).count(), 1);
        }
        assert!(kind("no-such-kind").is_none());
    }

    #[test]
    fn every_kind_runs_with_nothing_but_defaults_written() {
        for kind in KINDS {
            let stage = (kind.parse)(serde_json::Map::new()).unwrap();
            assert_eq!(stage.kind.name, kind.name);
        }
    }

    #[test]
    fn writing_every_default_out_changes_no_fingerprint() {
        for kind in KINDS {
            let short = (kind.parse)(serde_json::Map::new()).unwrap();
            let serde_json::Value::Object(written) = short.parameters else {
                panic!("parameters of {} are not a table", kind.name);
            };
            let written = written.into_iter().filter(|(_, value)| !value.is_null()).collect();
            let long = (kind.parse)(written).unwrap();
            assert_eq!(short.hash, long.hash);
        }
    }
}
