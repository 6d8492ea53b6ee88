//! An object that breaks again and again ends the run with an error, not in a circle.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::path::{Path, PathBuf};

use binary::{flip, folder, object, succeeds};
use runner::engine::{EngineError, Event, Failure, Options, Reporter, Stamped, StopFlag, execute};
use runner::plan::{DataIdentities, Graph, Selection, assess};
use runner::stages;
use runner::store::{Store, StoreError};

/// Damages an object as soon as the stage that makes it has made it.
struct Saboteur {
    object: PathBuf,
    made: usize,
}

impl Reporter for Saboteur {
    fn report(&mut self, event: &Stamped) {
        if matches!(&event.event, Event::StageFinished { stage, .. } if stage == "init") {
            self.made += 1;
            flip(&self.object);
        }
    }
}

fn run(folder: &Path, reporter: &mut dyn Reporter) -> Vec<Failure> {
    let pipeline = runner::pipeline::load(&folder.join("p.toml"), &[], stages::catalog()).unwrap();
    let mut data = DataIdentities::new(None);
    let graph = Graph::new(&pipeline.points(&[]).unwrap(), &mut data).unwrap();
    let store = Store::open(&folder.join("c")).unwrap();
    let selection = Selection { force: vec!["gate-train".into()], ..Selection::default() };
    let plan = assess(&graph, &store, &mut data, "p", &selection).unwrap();
    let options = Options::new("p", "p", StopFlag::default());
    execute(&graph, &plan, &store, &mut data, &options, reporter).failures
}

#[test]
fn an_object_that_breaks_twice_is_an_error() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "gate-train"]);
    let object = object(folder.path(), "c", "init", "network");
    flip(&object);
    let mut saboteur = Saboteur { object, made: 0 };
    match run(folder.path(), &mut saboteur).as_slice() {
        [Failure { error: EngineError::Store(StoreError::Damaged { .. }), .. }] => {}
        otherwise => panic!("{otherwise:?}"),
    }
    assert_eq!(saboteur.made, 1);
}
