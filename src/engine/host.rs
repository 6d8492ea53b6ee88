//! What a running stage sees of the engine: a place to save its state, an ear for progress, a stop sign.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::event::{Event, Reporter, Stamped};
use super::signals::StopFlag;
use crate::fingerprint::Fingerprint;
use crate::store::{Partial, Store};
use crate::train::{EpochRecord, Host, HostError, Progress};

/// How often a step is told to the reporters at most: fast enough for a smooth bar.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Tells events to the reporter, and keeps those of one stage in its log.
pub struct Teller<'a, 'r> {
    store: &'a Store,
    reporter: RefCell<&'r mut dyn Reporter>,
}

impl<'a, 'r> Teller<'a, 'r> {
    /// A teller for one run.
    pub fn new(store: &'a Store, reporter: &'r mut dyn Reporter) -> Self {
        Self { store, reporter: RefCell::new(reporter) }
    }

    /// Tells an event.
    pub fn tell(&self, event: Event) {
        self.reporter.borrow_mut().report(&Stamped::now(event));
    }

    /// Tells an event and keeps it in a stage's log.
    pub fn log(&self, fingerprint: &Fingerprint, event: Event) {
        let stamped = Stamped::now(event);
        // A log that cannot be written must not stop a run that goes well.
        if let Err(error) = self.store.append_log(fingerprint, &stamped.line()) {
            let message = format!("the log cannot be written: {error}");
            self.reporter.borrow_mut().report(&Stamped::now(Event::Warning { message }));
        }
        self.reporter.borrow_mut().report(&stamped);
    }
}

/// The host of one running stage.
pub struct StageHost<'a, 'r> {
    store: &'a Store,
    teller: &'a Teller<'a, 'r>,
    stop: &'a StopFlag,
    fingerprint: Fingerprint,
    stage: String,
    last_progress: Option<Instant>,
}

impl<'a, 'r> StageHost<'a, 'r> {
    /// A host for the stage `stage`, which does the work `fingerprint`.
    pub fn new(
        store: &'a Store,
        teller: &'a Teller<'a, 'r>,
        stop: &'a StopFlag,
        fingerprint: Fingerprint,
        stage: &str,
    ) -> Self {
        Self { store, teller, stop, fingerprint, stage: stage.to_owned(), last_progress: None }
    }
}

impl Host for StageHost<'_, '_> {
    fn checkpoint(&mut self, state: &[u8]) -> Result<(), HostError> {
        self.store.save_partial(&self.fingerprint, state).map_err(|error| HostError(Box::new(error)))?;
        self.teller.log(&self.fingerprint, Event::CheckpointSaved { stage: self.stage.clone() });
        Ok(())
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        match self.store.load_partial(&self.fingerprint) {
            Ok(Partial::Whole(state)) => Some(state),
            Ok(Partial::Absent) => None,
            Ok(Partial::Damaged { moved_to }) => {
                let message = format!(
                    "the saved state of {} is damaged and was moved to {}; the stage begins anew",
                    self.stage,
                    moved_to.display()
                );
                self.teller.log(&self.fingerprint, Event::Warning { message });
                None
            }
            Err(error) => {
                let message = format!("the saved state of {} cannot be read: {error}", self.stage);
                self.teller.log(&self.fingerprint, Event::Warning { message });
                None
            }
        }
    }

    fn progress(&mut self, progress: Progress) {
        let due = self.last_progress.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
        if due {
            self.last_progress = Some(Instant::now());
            self.teller.tell(Event::Progress { stage: self.stage.clone(), progress });
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let event = Event::EpochFinished { stage: self.stage.clone(), record: record.clone() };
        self.teller.log(&self.fingerprint, event);
    }

    fn should_stop(&self) -> bool {
        self.stop.is_raised()
    }
}
