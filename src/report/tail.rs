//! A log that is read while it grows.

use crate::engine::Stamped;
use crate::fingerprint::Fingerprint;
use crate::store::{Store, StoreError};

/// A log is read in pieces of this size, so that reading costs the same memory however long the log is. No
/// event is longer: a line that is, is passed over.
const PIECE: u64 = 4 << 20;

/// How far a log was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tail {
    offset: u64,
    /// Whether the end of a line that is too long is still to be passed over.
    passing: bool,
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
    /// The next whole lines that are new since the last look, of a log that was made anew the first ones;
    /// `None` once there are no more.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn next(&mut self, store: &Store, work: &Fingerprint) -> Result<Option<Vec<Line>>, StoreError> {
        let new = match store.read_log_from(work, self.offset, PIECE)? {
            Some(new) => new,
            None => {
                *self = Self::default();
                store.read_log_from(work, 0, PIECE)?.unwrap_or_default()
            }
        };
        let Some(end) = new.iter().rposition(|byte| *byte == b'\n') else {
            if (new.len() as u64) < PIECE {
                return Ok(None);
            }
            self.offset += PIECE;
            self.passing = true;
            return Ok(Some(Vec::new()));
        };
        self.offset += end as u64 + 1;
        let text = String::from_utf8_lossy(&new[..end]);
        let rest = usize::from(std::mem::take(&mut self.passing));
        let line = |text: &str| Line { text: text.to_owned(), event: serde_json::from_str(text).ok() };
        Ok(Some(text.split('\n').skip(rest).map(|text| line(text.trim_end_matches('\r'))).collect()))
    }

    /// The events of all new lines that can be understood, one after the other, so that nothing is kept but
    /// what `take` keeps.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn events(
        &mut self,
        store: &Store,
        work: &Fingerprint,
        take: &mut dyn FnMut(Stamped),
    ) -> Result<(), StoreError> {
        while let Some(lines) = self.next(store, work)? {
            lines.into_iter().filter_map(|line| line.event).for_each(&mut *take);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let work = Fingerprint::from_bytes([7; 32]);
        let warning = |word: &str| {
            format!("{{\"time\":\"2026-01-02T03:04:05Z\",\"event\":\"warning\",\"message\":\"{word}\"}}\n")
        };
        let path = folder.path().join("logs").join(format!("{work}.jsonl"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut log = std::fs::File::create(&path).unwrap();
        log.write_all(warning("first").as_bytes()).unwrap();
        for _ in 0..9 {
            log.write_all(&vec![b'x'; 1 << 20]).unwrap();
        }
        log.write_all(format!("\n{}no event\n{}", warning("second"), warning("third")).as_bytes()).unwrap();
        log.write_all(b"{\"half a line").unwrap();
        let mut found = Vec::new();
        let mut tail = Tail::default();
        tail.events(&store, &work, &mut |event| found.push(event.line())).unwrap();
        assert_eq!(found, ["first", "second", "third"].map(|word| warning(word).trim_end().to_owned()));
        assert!(tail.next(&store, &work).unwrap().is_none());
        // A log that is made anew is read from its beginning.
        std::fs::write(&path, warning("anew")).unwrap();
        found.clear();
        tail.events(&store, &work, &mut |event| found.push(event.line())).unwrap();
        assert_eq!(found, [warning("anew").trim_end()]);
    }
}
