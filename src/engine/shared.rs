//! The shared cache during a run: asked before a stage runs, given what a stage has made, left alone when it costs too much.
//!
//! A run never fails for it. What does not come is made here, what does not go stays here, and each is worth a warning. After
//! [`FAILURES`] failures in a row, or when [`LOST`] went by in vain, it is left alone for the rest of the run.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::event::Event;
use super::execute::Run;
use super::host::{News, Teller, chain};
use crate::fingerprint::Fingerprint;
use crate::plan::NodeId;
use crate::report::format::seconds;
use crate::store::{
    Acceptance, Control, ObjectHash, Pulled, Pushed, Record, Remote, RemoteError, Standing, Store, StoreError,
};

/// After so many failures in a row it is left alone.
const FAILURES: usize = 3;
/// After so much time in vain as well.
const LOST: Duration = Duration::from_secs(60);
/// To hear that it has nothing may take so long without being in vain.
const QUICK: Duration = Duration::from_secs(1);
/// What is said then.
const LEFT_ALONE: &str = "the shared cache is left alone for the rest of this run";

/// What a run does with the shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Takes results from it.
    Read,
    /// Takes results from it, and gives it what was made.
    ReadWrite,
}

/// The shared cache of a run.
#[derive(Debug)]
pub struct Shared {
    remote: Remote,
    sharing: Sharing,
    /// The longest that the end of a run waits for what is still being sent.
    wait: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: usize,
    lost: Duration,
    given_up: bool,
    /// Objects that are known to be damaged there.
    mend: BTreeSet<ObjectHash>,
}

/// A result that came.
pub(super) struct Came {
    pub record: Box<Record>,
    pub objects: usize,
    pub bytes: u64,
    pub seconds: f64,
}

impl Shared {
    /// Shares results with `remote`. The end of a run waits for `wait` at most.
    pub fn new(remote: Remote, sharing: Sharing, wait: Duration) -> Self {
        Self { remote, sharing, wait, state: Mutex::default() }
    }

    /// Whether what was made is given to it.
    pub(super) fn takes(&self) -> bool {
        self.sharing == Sharing::ReadWrite
    }

    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        self.remote.url().to_string()
    }

    /// Takes the result of a piece of work, whose lock the caller holds; `None` if it does not come.
    ///
    /// # Errors
    /// This cache cannot be written.
    pub(super) fn ask(
        &self,
        store: &Store,
        fingerprint: &Fingerprint,
        acceptance: Acceptance<'_>,
        teller: &Teller<'_>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Came>, StoreError> {
        if self.state().given_up {
            return Ok(None);
        }
        let clock = Instant::now();
        // What hangs when it is given up need not be waited for.
        let stop = || stop() || self.state().given_up;
        let control = Control { stop: &stop, ..Control::NONE };
        match store.download(&self.remote, fingerprint, acceptance, &control) {
            Ok(Pulled::New { record, objects, bytes }) => {
                self.went_well();
                Ok(Some(Came { record, objects, bytes, seconds: clock.elapsed().as_secs_f64() }))
            }
            Ok(_) => {
                self.went_well();
                self.was_in_vain(clock.elapsed().saturating_sub(QUICK), teller);
                Ok(None)
            }
            Err(RemoteError::Store(error)) => Err(error),
            Err(error) => {
                self.failed(&error, clock.elapsed(), teller);
                Ok(None)
            }
        }
    }

    /// Gives it a result; `None` if that cannot be done.
    fn give(
        &self,
        store: &Store,
        fingerprint: &Fingerprint,
        teller: &Teller<'_>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pushed> {
        if stop() || self.state().given_up {
            return None;
        }
        let clock = Instant::now();
        let mend = self.state().mend.clone();
        match store.push(&self.remote, fingerprint, &mend, &Control { stop, ..Control::NONE }) {
            Ok(pushed) => {
                self.went_well();
                Some(pushed)
            }
            Err(error) => {
                self.failed(&error, clock.elapsed(), teller);
                None
            }
        }
    }

    fn went_well(&self) {
        self.state().failures = 0;
    }

    /// Notes time that came to nothing, and says so when it is enough.
    fn was_in_vain(&self, took: Duration, teller: &Teller<'_>) {
        let mut state = self.state();
        state.lost += took;
        let gives_up = state.lost >= LOST && !state.given_up;
        state.given_up |= gives_up;
        drop(state);
        if gives_up {
            teller.warn(format!("the shared cache is too slow ({} in vain)", seconds(LOST.as_secs_f64())));
            teller.warn(LEFT_ALONE.to_owned());
        }
    }

    fn failed(&self, error: &RemoteError, took: Duration, teller: &Teller<'_>) {
        if matches!(error, RemoteError::Stopped) {
            return;
        }
        let mut state = self.state();
        let was_given_up = state.given_up;
        state.lost += took;
        match error {
            // It answers, and what it has is of no use.
            RemoteError::Wrong { object, .. } => state.mend.extend(object),
            RemoteError::Layout { .. } | RemoteError::Setup { .. } => state.given_up = true,
            _ => state.failures += 1,
        }
        state.given_up |= state.failures >= FAILURES || state.lost >= LOST;
        let gives_up = state.given_up && !was_given_up;
        drop(state);
        if !was_given_up {
            teller.warn(chain(error));
        }
        if gives_up {
            teller.warn(LEFT_ALONE.to_owned());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a result that was to be given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gave {
    /// It is there now.
    Sent,
    /// It was there.
    Known,
    /// It is not, for one reason or another.
    Left,
}

/// Gives away one result after the other, beside the stages that run, until there are no more. `quit` ends it early.
pub(super) fn give_all(
    run: &Run<'_>,
    shared: &Shared,
    results: &Receiver<(NodeId, Fingerprint)>,
    news: &Sender<News>,
    quit: &AtomicBool,
) {
    let stop = || quit.load(Ordering::SeqCst) || run.options.stop.is_raised();
    for (id, fingerprint) in results {
        let stage = run.graph.node(id).name.clone();
        let teller = Teller::new(run.store, news.clone(), run.graph.common(id), &run.log_failed);
        let clock = Instant::now();
        let gave = match shared.give(run.store, &fingerprint, &teller, &stop) {
            Some(Pushed { standing: Standing::New, objects, bytes }) => {
                let seconds = clock.elapsed().as_secs_f64();
                let event = Event::StageUploaded {
                    stage,
                    fingerprint: fingerprint.to_string(),
                    objects,
                    bytes,
                    seconds,
                };
                teller.log(&fingerprint, event);
                Gave::Sent
            }
            Some(Pushed { standing: Standing::Known, .. }) => Gave::Known,
            Some(Pushed { standing: Standing::Different, .. }) => {
                teller.warn(format!(
                    "the shared cache has the result of {stage} ({}) with other outputs: both stay as they are",
                    fingerprint.short()
                ));
                Gave::Known
            }
            None => Gave::Left,
        };
        // The dispatcher listens until it has heard of every result.
        let _ = news.send(News::Gave(id, gave));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::store::RemoteUrl;

    /// A shared cache in a folder, and the warnings that `happen` leads to.
    fn warnings(happen: impl FnOnce(&Shared, &Teller<'_>)) -> (bool, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let url = RemoteUrl::parse(&format!("file://{}", folder.path().display())).unwrap();
        let remote = Remote::open(&url, Duration::from_secs(20)).unwrap();
        let shared = Shared::new(remote, Sharing::Read, Duration::ZERO);
        let store = Store::open(&folder.path().join("cache")).unwrap();
        let (news, heard) = mpsc::channel();
        let failed = AtomicBool::new(false);
        happen(&shared, &Teller::new(&store, news, String::new(), &failed));
        let told = heard.try_iter().filter_map(|news| match news {
            News::Told(stamped) => match stamped.event {
                Event::Warning { message } => Some(message),
                other => panic!("{other:?}"),
            },
            _ => None,
        });
        (shared.state().given_up, told.collect())
    }

    fn trouble() -> RemoteError {
        RemoteError::Trouble { url: "s3://lab".into(), action: "be read", reason: "no answer".into() }
    }

    #[test]
    fn three_failures_in_a_row_are_enough_and_are_all_that_is_told() {
        let (given_up, told) = warnings(|shared, teller| {
            shared.failed(&trouble(), Duration::ZERO, teller);
            shared.failed(&trouble(), Duration::ZERO, teller);
            shared.went_well();
            shared.failed(&trouble(), Duration::ZERO, teller);
            shared.failed(&trouble(), Duration::ZERO, teller);
            assert!(!shared.state().given_up);
            (0..3).for_each(|_| shared.failed(&trouble(), Duration::ZERO, teller));
        });
        assert!(given_up);
        assert_eq!(told.len(), 6, "{told:?}");
        assert_eq!(told[5], LEFT_ALONE);
    }

    #[test]
    fn a_minute_in_vain_is_enough_by_failures_and_by_slow_answers() {
        let (given_up, told) = warnings(|shared, teller| {
            shared.failed(&trouble(), Duration::from_secs(30), teller);
            shared.went_well();
            shared.was_in_vain(Duration::from_secs(29), teller);
            assert!(!shared.state().given_up);
            shared.was_in_vain(Duration::from_secs(1), teller);
            shared.was_in_vain(Duration::from_secs(1), teller);
        });
        assert!(given_up);
        assert_eq!(told[1..], ["the shared cache is too slow (1 min 00 s in vain)", LEFT_ALONE]);
    }

    #[test]
    fn what_is_wrong_there_is_remembered_and_another_layout_ends_it_at_once() {
        let object = ObjectHash::of(b"wrong");
        let wrong = || {
            let (url, name, reason) = ("s3://lab".into(), "objects/x".into(), "it is damaged".into());
            RemoteError::Wrong { url, name, reason, object: Some(object) }
        };
        let (given_up, told) = warnings(|shared, teller| {
            (0..5).for_each(|_| shared.failed(&wrong(), Duration::ZERO, teller));
            assert_eq!(shared.state().mend, BTreeSet::from([object]));
            shared.failed(&RemoteError::Stopped, LOST, teller);
        });
        assert!(!given_up && told.len() == 5, "{told:?}");
        let layout = RemoteError::Layout { url: "s3://lab".into(), what: "layout", found: 7, known: 1 };
        let (given_up, told) = warnings(|shared, teller| shared.failed(&layout, Duration::ZERO, teller));
        assert!(given_up && told.len() == 2, "{told:?}");
    }
}
