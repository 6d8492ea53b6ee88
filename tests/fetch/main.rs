//! Fetching data sets from servers that misbehave, and archives that are not to be trusted.

#![allow(clippy::unwrap_used, clippy::panic)]

mod archives;
mod command;
mod server;
mod transfers;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use runner::data::fetch::{
    Download, FetchError, FetchEvent, FetchOptions, Packing, Patience, Proxies, Published, PublishedFile,
    fetch, published,
};
use runner::data::{DataParams, DataSetName};

/// Bytes that do not repeat, the same each time.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn gzip(content: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn described(name: &str, content: &[u8]) -> PublishedFile {
    let md5 = Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    PublishedFile { name: name.to_owned(), size: content.len() as u64, md5 }
}

/// A set of one gzipped file.
fn one_file(packed: &[u8], content: &[u8], sources: &[String]) -> Published {
    let download = Download {
        file: described("t10k-labels-idx1-ubyte.gz", packed),
        packing: Packing::Gzip,
        members: vec![described("t10k-labels-idx1-ubyte", content)],
    };
    Published { sources: sources.to_vec(), downloads: vec![download], ..published(DataSetName::Mnist) }
}

/// The parameters of a set whose files are in `folder`.
fn within(set: DataSetName, folder: &Path) -> DataParams {
    DataParams { set, dir: Some(folder.to_owned()), ..DataParams::default() }
}

/// Little patience, for tests.
fn quick() -> FetchOptions {
    let patience = Patience {
        tries: 4,
        pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
        connect: Duration::from_secs(10),
        stall: Duration::from_secs(10),
    };
    FetchOptions { patience, proxies: Proxies::Never }
}

/// Fetches, and gives back what happened, progress left out.
fn fetched(folder: &Path, wanted: &Published) -> (Result<(), FetchError>, Vec<FetchEvent>) {
    let mut events = Vec::new();
    let result = fetch(&within(wanted.set, folder), wanted, &quick(), &mut |event| {
        if !matches!(event, FetchEvent::Received { .. }) {
            events.push(event.clone());
        }
    });
    (result, events)
}

/// All files under a folder but the lock, by their paths.
fn files(folder: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| !entry.file_type().is_dir() && entry.file_name() != "lock")
        .map(|entry| entry.path().strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/"))
        .collect();
    names.sort();
    names
}
