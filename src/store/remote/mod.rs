//! The shared cache: results that several machines have from an object store or a shared folder.
//!
//! ```text
//! runner-cache.json                    the version of the layout, under a seal
//! objects/ab/<hash>.safetensors        as in the cache
//! records/ab/<fingerprint>.json        as in the cache
//! ```
//!
//! It is written like the cache: objects before the record that names them. A record is put only where there is none
//! (a conditional put), so none is ever replaced, and of two machines that finish the same work at once one is first.
//!
//! Nothing that comes from it is believed. A record's seal and fingerprint are checked, an object is hashed while it
//! comes in and may not be longer than its record says; both enter the cache by the same durable way as what was made
//! here. Every wait has an end (`client`), and what the object store says of a failure is told in words
//! of our own (`fault`): its own words may hold parts of requests, and with them credentials.
//!
//! This is the one place with an asynchronous runtime: `client` has it, and everything above is ordinary, blocking code.

mod client;
mod environment;
mod error;
mod fault;
mod pull;
mod push;
mod url;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::{FORMAT, Record};
use super::rooms::place;
use super::sealed::{self, Flaw};
use super::{ObjectHash, Place};
use crate::fingerprint::Fingerprint;

use client::Client;
pub use error::RemoteError;
pub use pull::{Acceptance, Pulled};
pub use push::{Pushed, Standing};
pub use url::{RemoteUrl, UrlFlaw};

/// The version of the layout. What is in it has the cache's own format.
const LAYOUT: u32 = 1;
/// The file that says it.
const MARK: &str = "runner-cache.json";
/// The largest record that is read.
const JSON: u64 = 16 << 20;

/// What may end a transfer early, and who hears of its progress.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Whether to stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Called with the number of bytes that have come or gone since the last call.
    pub moved: &'a (dyn Fn(u64) + Sync),
}

impl Control<'_> {
    /// Nothing ends it and nobody listens.
    pub const NONE: Control<'static> = Control { stop: &|| false, moved: &|_| {} };
}

/// A shared cache.
#[derive(Debug)]
pub struct Remote {
    url: RemoteUrl,
    client: Client,
    /// What is known of its layout.
    layout: Mutex<Layout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Unknown,
    /// Nobody has written into it yet.
    Empty,
    Ours,
}

/// What the file of the layout says.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    layout: u32,
}

impl Remote {
    /// The shared cache at `url`, with the credentials of the environment. It is not looked at yet. `patience` is
    /// how long an answer may take.
    ///
    /// # Errors
    /// The environment lacks something that this kind of store needs; a folder that is not there.
    pub fn open(url: &RemoteUrl, patience: Duration) -> Result<Self, RemoteError> {
        let client = Client::new(url, patience)
            .map_err(|reason| RemoteError::Setup { url: url.to_string(), reason })?;
        Ok(Self { url: url.clone(), client, layout: Mutex::new(Layout::Unknown) })
    }

    /// Where it is.
    pub fn url(&self) -> &RemoteUrl {
        &self.url
    }

    /// The record of a piece of work, if it has one: whole, and of this work.
    ///
    /// # Errors
    /// It does not answer; what it has under that name is something else.
    pub fn record(
        &self,
        fingerprint: &Fingerprint,
        control: &Control<'_>,
    ) -> Result<Option<Record>, RemoteError> {
        if self.layout(control)? == Layout::Empty {
            return Ok(None);
        }
        let name = record_name(fingerprint);
        let Some(content) = self.small(&name, control)? else { return Ok(None) };
        let reason = match sealed::open::<Record>(&content) {
            Ok(record) if record.fingerprint == *fingerprint => return Ok(Some(record)),
            Ok(_) => "it is the record of other work".to_owned(),
            Err(Flaw::Damaged) => "it is damaged".to_owned(),
            Err(Flaw::Format(found)) => {
                format!("it has format {found}, this version of runner reads format {FORMAT}")
            }
        };
        Err(self.wrong(&name, reason))
    }

    /// The work of which it has a record, in order.
    ///
    /// # Errors
    /// It does not answer.
    pub fn results(&self, control: &Control<'_>) -> Result<Vec<Fingerprint>, RemoteError> {
        if self.layout(control)? == Layout::Empty {
            return Ok(Vec::new());
        }
        let names = self.client.list("records", control.stop).map_err(self.fault("be listed"))?;
        let named = names.iter().filter_map(|name| match place("records", Path::new(name)) {
            Place::Record(fingerprint) => Some(fingerprint),
            _ => None,
        });
        let mut results: Vec<Fingerprint> = named.collect();
        results.sort_unstable();
        Ok(results)
    }

    /// Looks at the layout, once.
    fn layout(&self, control: &Control<'_>) -> Result<Layout, RemoteError> {
        let mut known = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == Layout::Unknown {
            *known = match self.small(MARK, control)? {
                None => Layout::Empty,
                Some(content) => self.check(&content)?,
            };
        }
        Ok(*known)
    }

    /// Makes sure that it has the layout that is written here.
    fn claim(&self, control: &Control<'_>) -> Result<(), RemoteError> {
        if self.layout(control)? == Layout::Ours {
            return Ok(());
        }
        let content = sealed::seal(&Mark { layout: LAYOUT }).unwrap_or_default();
        let made = self.client.create(MARK, content, control.stop).map_err(self.fault("be written"))?;
        let found = if made { Layout::Ours } else { Layout::Unknown };
        *self.layout.lock().unwrap_or_else(PoisonError::into_inner) = found;
        if made {
            return Ok(());
        }
        // Another machine was first.
        match self.layout(control)? {
            Layout::Ours => Ok(()),
            Layout::Unknown | Layout::Empty => {
                Err(self.wrong(MARK, "it is there and cannot be read".to_owned()))
            }
        }
    }

    fn check(&self, content: &[u8]) -> Result<Layout, RemoteError> {
        let url = self.url.to_string();
        match sealed::open::<Mark>(content) {
            Ok(Mark { layout: LAYOUT }) => Ok(Layout::Ours),
            Ok(Mark { layout }) => {
                Err(RemoteError::Layout { url, what: "layout", found: layout, known: LAYOUT })
            }
            Err(Flaw::Format(found)) => {
                Err(RemoteError::Layout { url, what: "format", found, known: FORMAT })
            }
            Err(Flaw::Damaged) => Err(RemoteError::Setup { url, reason: format!("its `{MARK}` is damaged") }),
        }
    }

    /// A small file as a whole.
    fn small(&self, name: &str, control: &Control<'_>) -> Result<Option<Vec<u8>>, RemoteError> {
        let Some(mut body) = self.client.get(name, control.stop).map_err(self.fault("be read"))? else {
            return Ok(None);
        };
        let too_large = || self.wrong(name, "it is larger than any such file".to_owned());
        if body.bytes > JSON {
            return Err(too_large());
        }
        let mut content = Vec::new();
        while let Some(part) = body.next(control.stop).map_err(self.fault("be read"))? {
            // Whatever size was claimed.
            if content.len() as u64 + part.len() as u64 > JSON {
                return Err(too_large());
            }
            content.extend_from_slice(&part);
        }
        Ok(Some(content))
    }

    fn wrong(&self, name: &str, reason: String) -> RemoteError {
        RemoteError::Wrong { url: self.url.to_string(), name: name.to_owned(), reason, object: None }
    }

    fn fault(&self, action: &'static str) -> impl FnOnce(fault::Fault) -> RemoteError {
        let url = self.url.to_string();
        move |fault| match fault {
            fault::Fault::Stopped => RemoteError::Stopped,
            fault::Fault::Failed(reason) => RemoteError::Trouble { url, action, reason },
        }
    }
}

fn record_name(fingerprint: &Fingerprint) -> String {
    sharded("records", &fingerprint.to_string(), "json")
}

fn object_name(object: &ObjectHash) -> String {
    sharded("objects", &object.to_string(), "safetensors")
}

fn sharded(room: &str, name: &str, ending: &str) -> String {
    format!("{room}/{}/{name}.{ending}", name.get(..2).unwrap_or("xx"))
}
