//! What a running stage sees of the engine: a place to save its state, an ear for progress, a stop sign.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::event::{Event, Stamped};
use super::shared::Gave;
use super::signals::StopFlag;
use super::work::Ended;
use crate::fingerprint::Fingerprint;
use crate::plan::NodeId;
use crate::store::{History, Partial, SavedFor, StageLock, Store, StoreError};
use crate::train::{EpochRecord, Host, HostError, Measured, Progress};

/// How often those who look from another process are told at most.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// How often a step is told to the reporters at most: fast enough for a smooth bar.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// An error and what led to it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// News of a stage that runs: its events for the reporter, and how it ended.
pub enum News {
    /// An event.
    Told(Stamped),
    /// The stage that this slot worked on has ended.
    Ended(Box<Ended>),
    /// What became of a result that was to be given to the shared cache.
    Gave(NodeId, Gave),
}

/// Tells the events of one stage to the dispatcher, and keeps them in the stage's log.
pub struct Teller<'a> {
    store: &'a Store,
    news: Sender<News>,
    point: String,
    log_failed: &'a AtomicBool,
}

impl<'a> Teller<'a> {
    /// A teller for a stage of the point `point`; `log_failed` tells whether a log could not be written before.
    pub fn new(store: &'a Store, news: Sender<News>, point: String, log_failed: &'a AtomicBool) -> Self {
        Self { store, news, point, log_failed }
    }

    /// Tells an event.
    pub fn tell(&self, event: Event) {
        self.send(Stamped::of(&self.point, event));
    }

    /// Tells a warning.
    pub fn warn(&self, message: String) {
        self.tell(Event::Warning { message });
    }

    /// Tells an event and keeps it in a stage's log.
    pub fn log(&self, fingerprint: &Fingerprint, event: Event) {
        let stamped = Stamped::of(&self.point, event);
        // A log that cannot be written must not stop a run that goes well, and is worth one word.
        if let Err(error) = self.store.append_log(fingerprint, &stamped.line()) {
            if !self.log_failed.swap(true, Ordering::Relaxed) {
                self.warn(format!("the log cannot be written: {}", chain(&error)));
            }
        }
        self.send(stamped);
    }

    fn send(&self, stamped: Stamped) {
        // The dispatcher listens until every stage has ended.
        let _ = self.news.send(News::Told(stamped));
    }
}

/// What asks a stage to stop.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// A signal.
    pub stop: &'a StopFlag,
    /// A failure elsewhere in a run that does not go on after one.
    pub cancel: &'a AtomicBool,
    /// The longest that it may run.
    pub timeout: Option<Duration>,
}

impl Limits<'_> {
    /// Whether the run as a whole is to stop.
    pub fn is_over(&self) -> bool {
        self.stop.is_raised() || self.cancel.load(Ordering::SeqCst)
    }
}

/// The host of one running stage.
pub struct StageHost<'a> {
    store: &'a Store,
    teller: &'a Teller<'a>,
    limits: Limits<'a>,
    lock: &'a StageLock,
    fingerprint: Fingerprint,
    stage: String,
    of: SavedFor,
    /// The runs before this one that led to the state it goes on from.
    before: Option<History>,
    /// Why the saved state could not be read. It may be whole, so nothing must take its place.
    unread: Option<StoreError>,
    started: Timestamp,
    clock: Instant,
    last_progress: Option<Instant>,
    last_note: Option<Instant>,
}

impl<'a> StageHost<'a> {
    /// A host for the stage `stage`, which does the work `of` under its lock.
    pub fn new(
        store: &'a Store,
        teller: &'a Teller<'a>,
        limits: Limits<'a>,
        lock: &'a StageLock,
        stage: &str,
        of: SavedFor,
    ) -> Self {
        Self {
            store,
            teller,
            limits,
            lock,
            fingerprint: of.work.fingerprint,
            stage: stage.to_owned(),
            of,
            before: None,
            unread: None,
            started: Timestamp::now(),
            clock: Instant::now(),
            last_progress: None,
            last_note: None,
        }
    }

    /// Wall time of this run.
    pub fn seconds(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    /// Whether the stage has run for longer than it may.
    pub fn is_late(&self) -> bool {
        self.limits.timeout.is_some_and(|timeout| self.clock.elapsed() >= timeout)
    }

    /// The work of all runs up to now.
    pub fn history(&self) -> History {
        let before = self.before.as_ref();
        History {
            started: before.map_or(self.started, |before| before.started),
            seconds: before.map_or(0.0, |before| before.seconds) + self.seconds(),
            sessions: before.map_or(0, |before| before.sessions) + 1,
            of: Some(Box::new(self.of.clone())),
        }
    }

    /// Moves a state that could not be used aside and says so; `false` if the run did not go on from a state.
    pub fn begin_anew(&mut self, why: &str) -> Result<bool, StoreError> {
        if self.before.take().is_none() {
            return Ok(false);
        }
        self.set_state_aside(why)?;
        Ok(true)
    }

    fn set_state_aside(&self, why: &str) -> Result<(), StoreError> {
        let moved_to = self.store.set_partial_aside(&self.fingerprint)?;
        let message = format!(
            "the saved state of {} {why}; it was moved to {}, and the stage begins anew",
            self.stage,
            moved_to.display()
        );
        self.teller.log(&self.fingerprint, Event::Warning { message });
        Ok(())
    }
}

impl Host for StageHost<'_> {
    fn checkpoint(&mut self, state: &[u8]) -> Result<(), HostError> {
        if let Some(error) = self.unread.take() {
            return Err(HostError(Box::new(error)));
        }
        self.store
            .save_partial(&self.fingerprint, &self.history(), state)
            .map_err(|error| HostError(Box::new(error)))?;
        self.teller.log(&self.fingerprint, Event::CheckpointSaved { stage: self.stage.clone() });
        Ok(())
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        let found = match self.store.load_partial(&self.fingerprint) {
            Ok(Partial::Whole { history, state }) => {
                self.before = Some(history);
                return Some(state);
            }
            Ok(Partial::Absent) => return None,
            Ok(Partial::Damaged) => self.set_state_aside("is damaged or of another format"),
            Err(error) => {
                self.unread = Some(error);
                return None;
            }
        };
        if let Err(error) = found {
            let message = format!(
                "the saved state of {} cannot be used: {}; the stage begins anew",
                self.stage,
                chain(&error)
            );
            self.teller.log(&self.fingerprint, Event::Warning { message });
        }
        None
    }

    fn resumed(&mut self, from: &Progress) {
        let event = Event::StageResumed { stage: self.stage.clone(), progress: from.clone() };
        self.teller.log(&self.fingerprint, event);
    }

    fn progress(&mut self, progress: Progress) {
        let is_due = |last: Option<Instant>, interval| last.is_none_or(|last| last.elapsed() >= interval);
        let event =
            |progress: &Progress| Event::Progress { stage: self.stage.clone(), progress: progress.clone() };
        if is_due(self.last_note, NOTE_INTERVAL) {
            self.last_note = Some(Instant::now());
            self.lock.note(&Stamped::now(event(&progress)).line());
        }
        if is_due(self.last_progress, PROGRESS_INTERVAL) {
            self.last_progress = Some(Instant::now());
            self.teller.tell(event(&progress));
        }
    }

    fn epoch(&mut self, record: &EpochRecord, measured: &Measured) {
        let (record, measured) = (record.clone(), Some(measured.clone()));
        let event = Event::EpochFinished { stage: self.stage.clone(), record, measured };
        self.teller.log(&self.fingerprint, event);
    }

    fn should_stop(&self) -> bool {
        self.limits.is_over() || self.is_late() || self.unread.is_some()
    }
}
