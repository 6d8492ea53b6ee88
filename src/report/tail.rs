//! A log that is read while it grows.

use crate::engine::Stamped;
use crate::fingerprint::Fingerprint;
use crate::store::{Store, StoreError};

/// How far a log was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tail {
    offset: u64,
}

/// A line of a log.
#[derive(Debug, Clone)]
pub struct Line {
    /// As it stands there.
    pub text: String,
    /// What it says, if this version can read it.
    pub event: Option<Stamped>,
}

impl Tail {
    /// The whole lines that are new since the last look; all of them if the log was made anew.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn lines(&mut self, store: &Store, work: &Fingerprint) -> Result<Vec<Line>, StoreError> {
        let new = match store.read_log_from(work, self.offset)? {
            Some(new) => new,
            None => {
                self.offset = 0;
                store.read_log_from(work, 0)?.unwrap_or_default()
            }
        };
        let Some(end) = new.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        self.offset += end as u64 + 1;
        let text = String::from_utf8_lossy(&new[..end]);
        let line = |text: &str| Line { text: text.to_owned(), event: serde_json::from_str(text).ok() };
        Ok(text.lines().map(line).collect())
    }
}
