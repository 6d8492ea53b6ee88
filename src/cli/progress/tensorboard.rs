//! Events as TensorBoard event files, beside another reader.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::engine::{Event, Reporter, Stamped};
use crate::report::tensorboard::{Axis, Writer, figures_of, files, folder, write_log};
use crate::store::Store;

/// Steps are written this often at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// Writes metrics, and passes every event on.
pub struct TensorBoard {
    root: PathBuf,
    store: Store,
    inner: Box<dyn Reporter>,
    /// Stages that run, by point and name.
    running: BTreeMap<(String, String), Stage>,
    /// Whether the user was told that something cannot be written.
    told: bool,
}

struct Stage {
    folder: PathBuf,
    writer: Option<Writer>,
    resumes: bool,
    told: Option<Instant>,
}

impl TensorBoard {
    /// Writes below `root`; `store` has the logs of what is in the cache.
    pub fn new(root: &Path, store: Store, inner: Box<dyn Reporter>) -> Self {
        Self { root: root.to_owned(), store, inner, running: BTreeMap::new(), told: false }
    }

    fn write(&mut self, stamped: &Stamped) -> io::Result<()> {
        let Some(stage) = stamped.event.stage() else { return Ok(()) };
        let key = (stamped.point.clone(), stage.to_owned());
        match &stamped.event {
            Event::StageCached { fingerprint, .. } => {
                let folder = folder(&self.root, &stamped.point, stage, fingerprint);
                if files(&folder).is_empty() {
                    self.past(&folder, fingerprint)?;
                }
            }
            Event::StageStarted { fingerprint, resumed, .. } => {
                let folder = folder(&self.root, &stamped.point, stage, fingerprint);
                if *resumed && files(&folder).is_empty() {
                    self.past(&folder, fingerprint)?;
                }
                let new = Stage { folder, writer: None, resumes: *resumed, told: None };
                self.running.insert(key, new);
            }
            Event::StageResumed { progress, .. } => {
                if let Some(stage) = self.running.get_mut(&key) {
                    let mut writer = Writer::begin(&stage.folder, stamped.time, Axis::Steps)?;
                    writer.restart(stamped.time, progress.step.saturating_add(1))?;
                    stage.writer = Some(writer);
                }
            }
            Event::Progress { .. } => {
                if let Some(stage) = self.running.get_mut(&key) {
                    if stage.told.is_none_or(|told| told.elapsed() >= INTERVAL) {
                        stage.told = Some(Instant::now());
                        stage.writer(stamped)?.figures(stamped)?;
                    }
                }
            }
            Event::EpochFinished { .. } => {
                if let Some(stage) = self.running.get_mut(&key) {
                    stage.writer(stamped)?.figures(stamped)?;
                }
            }
            Event::StageFinished { metrics, .. } => {
                if let Some(mut stage) = self.running.remove(&key) {
                    if metrics["networks"].is_object() {
                        stage.writer(stamped)?.figures(stamped)?;
                    }
                }
            }
            Event::StageFailed { .. } | Event::StageInterrupted { .. } => {
                self.running.remove(&key);
            }
            _ => {}
        }
        Ok(())
    }

    /// What the log of a stage tells of the past.
    fn past(&self, folder: &Path, fingerprint: &str) -> io::Result<()> {
        let Ok(fingerprint) = fingerprint.parse() else { return Ok(()) };
        let log = figures_of(&self.store, &fingerprint).map_err(io::Error::other)?;
        write_log(folder, &log).map(drop)
    }
}

impl Stage {
    /// The writer; what has no figures gets no file.
    fn writer(&mut self, stamped: &Stamped) -> io::Result<&mut Writer> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let is_new = files(&self.folder).is_empty();
                let mut writer = Writer::begin(&self.folder, stamped.time, Axis::Steps)?;
                if !is_new && !self.resumes {
                    writer.restart(stamped.time, 0)?;
                }
                writer
            }
        };
        Ok(self.writer.insert(writer))
    }
}

impl Reporter for TensorBoard {
    fn report(&mut self, event: &Stamped) {
        self.inner.report(event);
        let Err(error) = self.write(event) else { return };
        // Metrics that cannot be written are no reason to lose a run, nor those of other stages.
        let stage = event.event.stage().unwrap_or_default().to_owned();
        self.running.remove(&(event.point.clone(), stage.clone()));
        if !self.told {
            self.told = true;
            let message = format!(
                "TensorBoard's files of {stage} cannot be written below {}: {error}; this is said once, and other \
                 stages go on",
                self.root.display()
            );
            self.inner.report(&Stamped::now(Event::Warning { message }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Keeps warnings.
    struct Warnings(Rc<RefCell<Vec<String>>>);

    impl Reporter for Warnings {
        fn report(&mut self, event: &Stamped) {
            if let Event::Warning { message } = &event.event {
                self.0.borrow_mut().push(message.clone());
            }
        }
    }

    #[test]
    fn a_stage_whose_files_cannot_be_written_stops_no_other_and_is_told_once() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&root.path().join("c")).unwrap();
        let warnings = Rc::default();
        let mut board = TensorBoard::new(root.path(), store, Box::new(Warnings(Rc::clone(&warnings))));
        let fingerprint = "ab".repeat(32);
        // Files stand where two of the folders would be.
        for stage in ["first", "second"] {
            std::fs::write(folder(root.path(), "", stage, &fingerprint), "").unwrap();
        }
        for stage in ["first", "second", "third"] {
            let started = serde_json::json!({
                "time": "2026-01-02T03:04:05Z", "event": "stage-started", "stage": stage, "kind": "retrain",
                "fingerprint": fingerprint, "reasons": [], "resumed": false,
            });
            let epoch = serde_json::json!({
                "time": "2026-01-02T03:04:06Z", "event": "epoch-finished", "stage": stage, "epoch": 1,
                "train_loss": 1.0, "train_accuracy": 0.5, "validation_loss": null, "validation_accuracy": null,
                "sparsity": null, "mean_gate": null, "lr": 0.1,
            });
            for event in [&started, &epoch, &epoch] {
                board.report(&serde_json::from_value(event.clone()).unwrap());
            }
        }
        assert_eq!(files(&folder(root.path(), "", "third", &fingerprint)).len(), 1);
        let warnings = warnings.borrow();
        assert!(matches!(warnings.as_slice(), [one] if one.contains("files of first")), "{warnings:?}");
    }
}
