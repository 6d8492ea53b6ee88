//! Results on their way to the shared cache, and how long the end of a run waits for them.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::Dispatcher;
use crate::engine::event::Event;
use crate::engine::host::News;
use crate::engine::shared::{Gave, give_all};
use crate::fingerprint::Fingerprint;
use crate::plan::NodeId;

/// How often the end of a run looks whether it is still to wait for uploads, and how often it says so.
const POLL: Duration = Duration::from_millis(100);
const TELL: Duration = Duration::from_secs(10);

/// What is on its way to the shared cache.
#[derive(Default)]
pub(super) struct Outbox {
    /// The way to the thread that gives results away; made when the first is there.
    pub(super) results: Option<Sender<(NodeId, Fingerprint)>>,
    pub(super) under_way: usize,
    pub(super) sent: usize,
    pub(super) left: Vec<NodeId>,
}

impl Outbox {
    pub(super) fn heard(&mut self, id: NodeId, gave: Gave) {
        self.under_way -= 1;
        match gave {
            Gave::Sent => self.sent += 1,
            Gave::Known => {}
            Gave::Left => self.left.push(id),
        }
    }
}

impl Dispatcher<'_, '_, '_> {
    /// Hands a result to the thread that gives it to the shared cache, where there is one that takes it.
    pub(super) fn give(&mut self, id: NodeId, fingerprint: Fingerprint) {
        let run = self.run;
        let Some(shared) = run.options.shared.as_ref().filter(|shared| shared.takes()) else { return };
        if self.outbox.results.is_none() {
            let (sender, results) = mpsc::channel();
            let news = self.news.clone();
            let work = move || give_all(run, shared, &results, &news, &run.quit);
            let thread = std::thread::Builder::new().name("uploads".to_owned());
            match thread.spawn_scoped(self.scope, work) {
                Ok(_) => self.outbox.results = Some(sender),
                Err(error) => {
                    let message = format!("results are not given to the shared cache: {error}");
                    self.tell(Event::Warning { message });
                    self.outbox.left.push(id);
                    return;
                }
            }
        }
        self.outbox.under_way += 1;
        // The thread listens until its sender is dropped.
        let _ = self.outbox.results.as_ref().map(|results| results.send((id, fingerprint)));
    }

    /// Waits until what was made is in the shared cache, but for no longer than it may take, and not after Ctrl-C.
    pub(super) fn wait_for_uploads(&mut self, heard: &Receiver<News>) {
        let Some(shared) = &self.run.options.shared else { return };
        let (since, mut told) = (Instant::now(), None::<Instant>);
        while self.outbox.under_way > 0 {
            if since.elapsed() >= shared.wait() || self.run.options.stop.is_raised() {
                self.run.quit.store(true, Ordering::SeqCst);
            } else if since.elapsed() >= POLL && told.is_none_or(|told| told.elapsed() >= TELL) {
                told = Some(Instant::now());
                let left = self.outbox.under_way;
                self.tell(Event::UploadsWaiting { left, remote: shared.place() });
            }
            match heard.recv_timeout(POLL) {
                Ok(News::Told(stamped)) => self.reporter.report(&stamped),
                Ok(News::Gave(id, gave)) => self.outbox.heard(id, gave),
                Ok(News::Ended(_)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.outbox.results = None;
        let left = self.outbox.left.len();
        if left > 0 {
            let results = if left == 1 { "1 result is".to_owned() } else { format!("{left} results are") };
            let message =
                format!("{results} not in the shared cache; `runner cache push` sends what is missing");
            self.tell(Event::Warning { message });
        }
    }
}
