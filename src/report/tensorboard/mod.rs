//! Metrics as TensorBoard event files.
//!
//! A file is a row of records, each with its length and two checksums (TFRecord), each record a protobuf message.
//! A folder holds the files of one stage at one point, and TensorBoard shows it as one run. A training that goes on from
//! a saved state begins a new file in the folder, with a mark by which TensorBoard forgets the steps that are done again.

mod proto;
mod scalars;

pub use scalars::settled;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use prost::Message;

use super::tail::Tail;
use crate::engine::Stamped;
use crate::fingerprint::Fingerprint;
use crate::store::{Store, StoreError};
use proto::{Event, SessionLog, Summary, What};

/// What every file begins with.
const VERSION: &str = "brain.Event:2";
/// `SessionLog.START`.
const START: i32 = 1;

/// Writes one file of events.
#[derive(Debug)]
pub struct Writer {
    file: File,
    axis: Axis,
}

/// What counts as a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Training steps.
    Steps,
    /// Epochs, for logs that do not tell the steps.
    Epochs,
}

impl Writer {
    /// Begins a file in `folder`, which is made.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(folder: &Path, time: Timestamp, axis: Axis) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let (seconds, process) = (Timestamp::now().as_second(), std::process::id());
        let mut number = 0;
        let file = loop {
            // Files are read in the order of their names.
            let name = format!("events.out.tfevents.{seconds:010}.{host}.{process}.{number}");
            match OpenOptions::new().write(true).create_new(true).open(folder.join(name)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                opened => break opened?,
            }
        };
        let mut writer = Self { file, axis };
        writer.put(time, 0, What::FileVersion(VERSION.to_owned()))?;
        Ok(writer)
    }

    /// Marks that training begins with `step`: what earlier files of the folder have of it, or of later steps, is done
    /// again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn restart(&mut self, time: Timestamp, step: u64) -> io::Result<()> {
        self.put(time, step, What::SessionLog(SessionLog { status: START }))
    }

    /// Writes the figures of an event, if it has some.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn figures(&mut self, stamped: &Stamped) -> io::Result<()> {
        match scalars::of(&stamped.event, self.axis) {
            Some((step, value)) => self.put(stamped.time, step, What::Summary(Summary { value })),
            None => Ok(()),
        }
    }

    fn put(&mut self, time: Timestamp, step: u64, what: What) -> io::Result<()> {
        let wall_time = time.as_millisecond() as f64 / 1000.0;
        let event = Event { wall_time, step: i64::try_from(step).unwrap_or(i64::MAX), what: Some(what) };
        // At once, so that a reader beside it sees whole records only.
        self.file.write_all(&framed(&event.encode_to_vec()))
    }
}

/// The files of events in a folder, in the order in which they are read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_one =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("tfevents"));
    let mut found: Vec<PathBuf> = entries.filter(is_one).collect();
    found.sort();
    found
}

/// What of a log [`write_log`] reads.
///
/// # Errors
/// It cannot be read.
pub fn figures_of(store: &Store, work: &Fingerprint) -> Result<Vec<Stamped>, StoreError> {
    let mut kept = Vec::new();
    Tail::default().events(store, work, &mut |stamped| {
        if scalars::matters(&stamped.event) {
            kept.push(stamped);
        }
    })?;
    Ok(kept)
}

/// Writes what a log tells, as one file. Says whether there was something to write.
///
/// # Errors
/// It cannot be written.
pub fn write_log(folder: &Path, log: &[Stamped]) -> io::Result<bool> {
    let (axis, events) = settled(log);
    let Some(first) = events.iter().find(|stamped| scalars::of(&stamped.event, axis).is_some()) else {
        return Ok(false);
    };
    let is_new = files(folder).is_empty();
    let mut writer = Writer::begin(folder, first.time, axis)?;
    if !is_new {
        // All that is there is in the log as well.
        writer.restart(first.time, 0)?;
    }
    for stamped in events {
        writer.figures(stamped)?;
    }
    Ok(true)
}

/// The folder of a stage at a point below `root`: readable, and another one for other work.
pub fn folder(root: &Path, point: &str, stage: &str, fingerprint: &str) -> PathBuf {
    let digits = fingerprint.get(..8).unwrap_or(fingerprint);
    let name = format!("{}-{digits}", component(stage));
    if point.is_empty() { root.join(name) } else { root.join(component(point)).join(name) }
}

/// The longest name of a folder, in bytes. File systems take 255, some with encryption 143.
const LONGEST: usize = 120;

/// A name as one component of a path. What a file system may read otherwise becomes a comma; a name that is
/// too long keeps its beginning, and the hash of the whole tells it from others with the same beginning.
fn component(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.=+[]".contains(c) { c } else { ',' };
    let plain: String = name.chars().map(plain).collect();
    if plain.len() <= LONGEST && !matches!(plain.as_str(), "" | "." | "..") {
        return plain;
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let mut room = LONGEST - 1 - 8;
    while !plain.is_char_boundary(room.min(plain.len())) {
        room -= 1;
    }
    format!("{}~{}", &plain[..room.min(plain.len())], &hash[..8])
}

/// A record of TFRecord: the length, its checksum, the content, its checksum.
fn framed(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), content, &masked(content).to_le_bytes()].concat()
}

/// The checksum of TFRecord: CRC-32C, turned and shifted, so that the checksum of a checksum is not trivial.
fn masked(content: &[u8]) -> u32 {
    const SHIFT: u32 = 0xa282_ead8;
    crc32c::crc32c(content).rotate_right(15).wrapping_add(SHIFT)
}

#[cfg(test)]
mod tests {
    use super::proto::{Figure, HistogramProto, Value};
    use super::*;

    /// A file of TensorBoard's own writer; `tests/fixtures/tensorboard/make.py` made it.
    const GOLDEN: &[u8] = include_bytes!("../../../tests/fixtures/tensorboard/golden.tfevents");

    #[test]
    fn a_file_is_byte_by_byte_what_tensorboard_s_own_writer_writes() {
        let value = |tag: &str, figure| Value { tag: tag.to_owned(), figure: Some(figure) };
        let histogram = HistogramProto {
            min: 0.0,
            max: 1.0,
            num: 3.0,
            sum: 1.5,
            sum_squares: 1.25,
            bucket_limit: vec![0.5, 1.0],
            bucket: vec![1.0, 2.0],
        };
        let summary = |value| What::Summary(Summary { value });
        let events = [
            (1_700_000_000.0, 0, What::FileVersion(VERSION.to_owned())),
            (1_700_000_001.5, 10, What::SessionLog(SessionLog { status: START })),
            (
                1_700_000_002.0,
                12,
                summary(vec![
                    value("train/loss", Figure::SimpleValue(2.25)),
                    value("lr", Figure::SimpleValue(0.1)),
                ]),
            ),
            (1_700_000_003.0, 300, summary(vec![value("gates/magnitude", Figure::Histo(histogram))])),
        ];
        let written: Vec<u8> = events
            .into_iter()
            .flat_map(|(wall_time, step, what)| {
                framed(&Event { wall_time, step, what: Some(what) }.encode_to_vec())
            })
            .collect();
        assert_eq!(written, GOLDEN);
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720_masked() {
        // Appendix B.4 of RFC 3720: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn folders_are_readable_and_stay_below_the_root() {
        let found = |point: &str| folder(Path::new("tb"), point, "retrain", "3f2a91bc0000");
        assert_eq!(found(""), Path::new("tb/retrain-3f2a91bc"));
        assert_eq!(
            found("seed=1 t.flops_ratio=0.3"),
            Path::new("tb/seed=1,t.flops_ratio=0.3/retrain-3f2a91bc")
        );
        assert_eq!(found("init.x=../a/b"), Path::new("tb/init.x=..,a,b/retrain-3f2a91bc"));
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let point = |end: &str| format!("init.channels=[{}] seed={end}", "64, ".repeat(100));
        let found = |point: &str| folder(Path::new("tb"), point, "retrain", "3f2a91bc0000");
        let (one, two) = (found(&point("1")), found(&point("2")));
        assert_ne!(one, two);
        let root = tempfile::tempdir().unwrap();
        for (point, stage) in
            [(point("1"), "s"), ("\u{fc}".repeat(300), "s"), (String::new(), &"s".repeat(300))]
        {
            let folder = folder(root.path(), &point, stage, "3f2a91bc0000");
            Writer::begin(&folder, Timestamp::now(), Axis::Steps).unwrap();
            assert_eq!(files(&folder).len(), 1);
        }
        assert!(found("..").ends_with(Path::new(&component("..")).join("retrain-3f2a91bc")));
        assert_ne!(component(".."), "..");
    }

    #[test]
    fn files_of_one_second_do_not_take_each_other_s_place() {
        let folder = tempfile::tempdir().unwrap();
        let time = Timestamp::now();
        for _ in 0..3 {
            Writer::begin(folder.path(), time, Axis::Steps).unwrap();
        }
        let names = files(folder.path());
        assert_eq!(names.len(), 3);
    }
}
