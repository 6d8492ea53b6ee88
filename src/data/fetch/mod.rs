//! Fetching data sets.
//!
//! [`fetch`] brings the published files of a set into the folder where the reader looks for them. In that folder
//! ```text
//! .fetch/NAME.part           what came so far of a file
//! .fetch/NAME.part.version   from where, and of which version (its ETag, or when it was changed)
//! .fetch/lock                held while a fetch works here
//! NAME.aside                 what had the name before and was not the published file
//! NAME.mismatch              what came last with a wrong checksum
//! ```
//! A file takes its name when it is whole and has the published checksum, by a rename; so the program may end at any
//! moment, by Ctrl-C too, and the next call goes on from the bytes that are here.

mod check;
mod error;
mod http;
mod part;
mod published;
mod transfer;
mod unpack;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Seek;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub use check::{Depth, Presence, presence};
pub use error::FetchError;
pub use http::{Patience, Proxies};
pub use published::{Download, Packing, Published, PublishedFile, published};

use super::files;
use super::params::DataParams;
use crate::shown::address;
use http::Client;
use part::Part;
use transfer::Transfer;

/// Where files are while they come.
const WORK: &str = ".fetch";

/// How often a waiting fetch looks again.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// How files are fetched.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// How long to wait, and how often to try.
    pub patience: Patience,
    /// Whether proxies of the environment are used.
    pub proxies: Proxies,
}

/// What happens in a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchEvent {
    /// Another fetch works in the folder; this one waits for it.
    Waiting {
        /// The folder.
        folder: PathBuf,
    },
    /// A file is there already, and it is the published one.
    AlreadyHere {
        /// Where.
        path: PathBuf,
    },
    /// Bytes begin to come.
    Started {
        /// The file.
        file: String,
        /// From where.
        url: String,
        /// Bytes that were here before.
        at: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// Bytes came.
    Received {
        /// The file.
        file: String,
        /// Bytes that are here.
        at: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The transfer broke off and is tried again.
    Retrying {
        /// The file.
        file: String,
        /// What went wrong.
        reason: String,
        /// After so long.
        wait: Duration,
    },
    /// What was here is of no use, and the file is fetched from its beginning.
    Restarted {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A source failed and the next one is asked.
    NextSource {
        /// What went wrong.
        reason: String,
    },
    /// A file is here and has the published checksum.
    Checked {
        /// The file.
        file: String,
    },
    /// What was there and is not the published file was put aside.
    PutAside {
        /// Its name until now.
        path: PathBuf,
        /// Where it is.
        moved_to: PathBuf,
        /// In what it differs.
        difference: String,
    },
    /// The files that the reader takes are in place.
    Installed {
        /// Where.
        paths: Vec<PathBuf>,
    },
}

/// Brings the files of a set into `params.folder()`; those that are there and whole are left alone. `events` are told as
/// they happen.
///
/// # Errors
/// See [`FetchError`]. What came so far stays, and the next call goes on from there.
pub fn fetch(
    params: &DataParams,
    wanted: &Published,
    options: &FetchOptions,
    tell: &mut dyn FnMut(&FetchEvent),
) -> Result<(), FetchError> {
    for source in &wanted.sources {
        if !["http://", "https://"].iter().any(|scheme| source.starts_with(scheme)) {
            return Err(FetchError::Source { source_url: address(source) });
        }
    }
    // A folder in which all is well may be read-only.
    let before: Vec<Found> =
        wanted.downloads.iter().map(|download| look(params, download)).collect::<Result<_, _>>()?;
    if before.iter().zip(&wanted.downloads).all(|(found, download)| found.is_fine(download)) {
        before.iter().for_each(|found| found.tell(tell));
        return Ok(());
    }
    let folder = params.folder();
    let work = folder.join(WORK);
    fs::create_dir_all(&work).map_err(FetchError::io("make the folder", &work))?;
    let _lock = lock(&folder, &work, tell)?;
    sweep(&work);
    let client = Client::new(&options.patience, options.proxies);
    for download in &wanted.downloads {
        let found = look(params, download)?;
        if found.whole.len() == download.members.len() {
            clear(&found.obstacles, tell)?;
            found.tell(tell);
            continue;
        }
        if let Some(mut archive) = brought(&folder, download)? {
            unpack::unpack(&mut archive, download, &folder, &work, &mut || clear(&found.obstacles, tell))?;
            installed(download, &folder, tell);
            continue;
        }
        let part = Part::open(&work, &download.file)?;
        room(&folder, download, part.length())?;
        let mut transfer = Transfer {
            client: &client,
            patience: &options.patience,
            file: &download.file,
            sources: &wanted.sources,
            folder: &folder,
            tell,
        };
        let part = transfer.run(part)?;
        install(part, download, &folder, &work, &found.obstacles, tell)?;
    }
    Ok(())
}

/// Bytes of a download that came so far and wait for the next [`fetch`].
pub fn underway(params: &DataParams, download: &Download) -> u64 {
    let path = part::path(&params.folder().join(WORK), &download.file);
    fs::metadata(path).map_or(0, |found| found.len())
}

/// A file that is not the published one, and in what it differs.
type Obstacle = (PathBuf, String);

/// What there is of a download where the reader looks.
struct Found {
    /// The published contents.
    whole: Vec<PathBuf>,
    /// What the reader would take in their place.
    obstacles: Vec<Obstacle>,
}

impl Found {
    fn is_fine(&self, download: &Download) -> bool {
        self.whole.len() == download.members.len() && self.obstacles.is_empty()
    }

    fn tell(&self, tell: &mut dyn FnMut(&FetchEvent)) {
        self.whole.iter().for_each(|path| tell(&FetchEvent::AlreadyHere { path: path.clone() }));
    }
}

fn look(params: &DataParams, download: &Download) -> Result<Found, FetchError> {
    let mut found = Found { whole: Vec::new(), obstacles: Vec::new() };
    for member in &download.members {
        for path in files::published(params, member.base()) {
            let difference = check::difference(download, member, &path, Depth::Content);
            match difference.map_err(FetchError::io("read", &path))? {
                Some(difference) => found.obstacles.push((path, difference)),
                None => {
                    found.whole.push(path);
                    break;
                }
            }
        }
    }
    Ok(found)
}

fn clear(obstacles: &[Obstacle], tell: &mut dyn FnMut(&FetchEvent)) -> Result<(), FetchError> {
    for (path, difference) in obstacles {
        let moved_to = part::put_aside(path)?;
        tell(&FetchEvent::PutAside { path: path.clone(), moved_to, difference: difference.clone() });
    }
    Ok(())
}

/// Puts a checked file where the reader looks, in place of what is in the way.
fn install(
    mut part: Part,
    download: &Download,
    folder: &Path,
    work: &Path,
    obstacles: &[Obstacle],
    tell: &mut dyn FnMut(&FetchEvent),
) -> Result<(), FetchError> {
    match download.packing {
        Packing::Gzip => {
            clear(obstacles, tell)?;
            part.settle(&folder.join(&download.file.name))?;
        }
        Packing::TarGzip => {
            let unpacked =
                unpack::unpack(part.reader()?, download, folder, work, &mut || clear(obstacles, tell));
            // An archive that was refused is of no use; one that the disk has no room for is.
            if matches!(unpacked, Ok(()) | Err(FetchError::Archive { .. })) {
                part.remove();
            }
            unpacked?;
        }
    }
    installed(download, folder, tell);
    Ok(())
}

fn installed(download: &Download, folder: &Path, tell: &mut dyn FnMut(&FetchEvent)) {
    let names = match download.packing {
        Packing::Gzip => std::slice::from_ref(&download.file),
        Packing::TarGzip => &download.members,
    };
    let paths = names.iter().map(|file| folder.join(&file.name)).collect();
    tell(&FetchEvent::Installed { paths });
}

/// The archive, if somebody has put it into the folder: for machines without a network.
fn brought(folder: &Path, download: &Download) -> Result<Option<File>, FetchError> {
    let path = folder.join(&download.file.name);
    if download.packing != Packing::TarGzip || !path.is_file() {
        return Ok(None);
    }
    let mut file = File::open(&path).map_err(FetchError::io("read", &path))?;
    let sum = check::sum(&mut file).map_err(FetchError::io("read", &path))?;
    file.rewind().map_err(FetchError::io("read", &path))?;
    Ok((sum == download.file.md5).then_some(file))
}

/// Sees that there is room for what is to come.
fn room(folder: &Path, download: &Download, here: u64) -> Result<(), FetchError> {
    let unpacked: u64 = match download.packing {
        Packing::Gzip => 0,
        Packing::TarGzip => download.members.iter().map(|member| member.size).sum(),
    };
    let needed = download.file.size.saturating_sub(here).saturating_add(unpacked);
    // A system that does not tell is tried.
    match fs4::available_space(folder) {
        Ok(free) if free < needed => Err(FetchError::NoRoom { folder: folder.to_owned(), free, needed }),
        _ => Ok(()),
    }
}

/// The lock of a folder, for as long as the file is open.
fn lock(folder: &Path, work: &Path, tell: &mut dyn FnMut(&FetchEvent)) -> Result<File, FetchError> {
    let path = work.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(FetchError::io("open the lock", &path))?;
    let mut waits = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                return Err(FetchError::io("take the lock", &path)(error));
            }
            Err(TryLockError::WouldBlock) => {
                if !waits {
                    waits = true;
                    tell(&FetchEvent::Waiting { folder: folder.to_owned() });
                }
                thread::sleep(LOCK_POLL);
            }
        }
    }
}

/// Removes what an unpacking that was killed has left.
fn sweep(work: &Path) {
    for entry in fs::read_dir(work).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(unpack::STAGING) {
            // What cannot be removed takes room, and nothing else.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
