//! One file from the first source that gives it, over as many connections as it takes.

use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::FetchEvent;
use super::error::FetchError;
use super::http::{Answer, Client, Failure, Patience, broken};
use super::part::Part;
use super::published::PublishedFile;
use crate::shown::without_passwords;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// A file and what it takes to get it.
pub(super) struct Transfer<'a, 'r> {
    pub(super) client: &'a Client,
    pub(super) patience: &'a Patience,
    pub(super) file: &'a PublishedFile,
    pub(super) sources: &'a [String],
    /// Where the files of the set go.
    pub(super) folder: &'a Path,
    pub(super) tell: &'a mut (dyn FnMut(&FetchEvent) + 'r),
}

/// Why a try ended before the file was whole.
enum Trouble {
    /// Trying again changes nothing.
    Last(FetchError),
    /// Trying again may help, after so long if the server said.
    Again { reason: String, after: Option<Duration> },
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        Self::Last(error)
    }
}

impl Transfer<'_, '_> {
    /// Completes `part` and checks it.
    pub(super) fn run(&mut self, mut part: Part) -> Result<Part, FetchError> {
        let mut from_before = part.length() > 0;
        loop {
            let url = self.complete(&mut part)?;
            let found = part.md5()?;
            if found == self.file.md5 {
                (self.tell)(&FetchEvent::Checked { file: self.file.name.clone() });
                return Ok(part);
            }
            if !from_before {
                let moved_to = self.folder.join(format!("{}.mismatch", self.file.name));
                part.settle(&moved_to)?;
                return Err(FetchError::Mismatch { url, expected: self.file.md5.clone(), found, moved_to });
            }
            // Bytes of an earlier call may be of another version, which not every server tells.
            from_before = false;
            self.restarted("its checksum is wrong");
            part.clear()?;
        }
    }

    fn restarted(&mut self, reason: &str) {
        (self.tell)(&FetchEvent::Restarted { file: self.file.name.clone(), reason: reason.to_owned() });
    }

    /// Completes `part` from the first source that has the file, and says which.
    fn complete(&mut self, part: &mut Part) -> Result<String, FetchError> {
        let mut sources = self.sources.iter().peekable();
        while let Some(source) = sources.next() {
            let url = format!("{}/{}", source.trim_end_matches('/'), self.file.name);
            match self.complete_from(&url, part) {
                Ok(()) => return Ok(without_passwords(&url)),
                Err(error) if sources.peek().is_some() && error.is_of_the_source() => {
                    (self.tell)(&FetchEvent::NextSource { reason: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        Err(FetchError::Source { source_url: String::new() })
    }

    fn complete_from(&mut self, url: &str, part: &mut Part) -> Result<(), FetchError> {
        let (mut tries, mut pause) = (0, self.patience.pause);
        let start = part.length();
        // As far as it ever was: a server that begins anew each time makes no progress.
        let mut furthest = start;
        while part.length() < self.file.size {
            let connected_before = furthest > start;
            let (reason, after) = match self.try_once(url, part, connected_before) {
                Ok(()) => continue,
                Err(Trouble::Last(error)) => return Err(error),
                Err(Trouble::Again { reason, after }) => (reason, after),
            };
            if part.length() > furthest {
                furthest = part.length();
                (tries, pause) = (0, self.patience.pause);
            }
            tries += 1;
            if tries >= self.patience.tries {
                let (at, size) = (part.length(), self.file.size);
                return Err(FetchError::Broken { url: without_passwords(url), tries, reason, at, size });
            }
            let wait = after.unwrap_or(pause).min(self.patience.longest_pause);
            pause = pause.saturating_mul(2);
            (self.tell)(&FetchEvent::Retrying { file: self.file.name.clone(), reason, wait });
            thread::sleep(wait);
        }
        Ok(())
    }

    fn try_once(&mut self, url: &str, part: &mut Part, connected_before: bool) -> Result<(), Trouble> {
        let at = part.length();
        let version = part.version(url);
        let trouble = |failure| self.trouble(url, failure, connected_before);
        let answer = self.client.get(url, at, version.as_ref()).map_err(trouble)?;
        match answer.status {
            206 if at > 0 => {
                let wrong_part = match answer.range {
                    Some((first, whole)) => first != at || whole.is_some_and(|whole| whole != self.file.size),
                    None => true,
                };
                let other_version =
                    version.is_some() && answer.version.is_some() && answer.version != version;
                if wrong_part || other_version {
                    self.restarted("the file on the server has changed");
                    part.clear()?;
                    let reason = "the file on the server has changed".to_owned();
                    return Err(Trouble::Again { reason, after: Some(Duration::ZERO) });
                }
            }
            200 => {
                if let Some(length) = answer.length.filter(|length| *length != self.file.size) {
                    let (found, expected) = (format!("{length} bytes"), self.file.size);
                    return Err(
                        FetchError::NotTheFile { url: without_passwords(url), found, expected }.into()
                    );
                }
                if at > 0 {
                    self.restarted("the server does not go on in the middle, or the file there has changed");
                }
                part.begin(url, answer.version.as_ref())?;
            }
            416 if at > 0 => {
                self.restarted("the server has no bytes from there on");
                part.clear()?;
                let reason = format!("the server refused to go on at byte {at}");
                return Err(Trouble::Again { reason, after: Some(Duration::ZERO) });
            }
            408 | 425 | 429 | 500.. => {
                let reason = format!("the server answered {}", answer.status);
                return Err(Trouble::Again { reason, after: answer.retry_after });
            }
            status => return Err(FetchError::Status { url: without_passwords(url), status }.into()),
        }
        let (at, size) = (part.length(), self.file.size);
        (self.tell)(&FetchEvent::Started {
            file: self.file.name.clone(),
            url: without_passwords(url),
            at,
            size,
        });
        self.receive(url, part, answer)
    }

    fn receive(&mut self, url: &str, part: &mut Part, mut answer: Answer) -> Result<(), Trouble> {
        let size = self.file.size;
        let mut buffer = vec![0; CHUNK];
        loop {
            match answer.body.read(&mut buffer) {
                Ok(0) if part.length() == size => return Ok(()),
                Ok(0) => {
                    let reason = format!("the connection ended after {} of {size} bytes", part.length());
                    return Err(Trouble::Again { reason, after: None });
                }
                Ok(count) if part.length() + count as u64 > size => {
                    part.clear()?;
                    let found = format!("more than {size} bytes");
                    return Err(FetchError::NotTheFile {
                        url: without_passwords(url),
                        found,
                        expected: size,
                    }
                    .into());
                }
                Ok(count) => {
                    part.append(&buffer[..count])?;
                    let (file, at) = (&self.file.name, part.length());
                    (self.tell)(&FetchEvent::Received { file: file.clone(), at, size });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.trouble(url, broken(&error), true)),
            }
        }
    }

    fn trouble(&self, url: &str, failure: Failure, connected_before: bool) -> Trouble {
        match failure {
            Failure::Passing(reason) => Trouble::Again { reason, after: None },
            Failure::Unconnected(reason) if connected_before => Trouble::Again { reason, after: None },
            Failure::Unconnected(reason) | Failure::Lasting(reason) => FetchError::Unreachable {
                url: without_passwords(url),
                file: self.file.name.clone(),
                reason,
                folder: self.folder.to_owned(),
            }
            .into(),
        }
    }
}
