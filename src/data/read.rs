//! Reads the files of a data set, checks them and hashes what was read.

use std::path::PathBuf;

use super::error::DataError;
use super::files::{self, Half};
use super::params::{DataParams, DataSetName};
use super::{cifar, gzip, idx};
use crate::fingerprint::Fingerprint;

/// No data set that fits into memory has a larger file.
const LARGEST: u64 = 1 << 32;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The hash of its unpacked content.
    pub hash: Fingerprint,
}

/// The images of one half as they are in the files.
#[derive(Debug)]
pub(super) struct RawHalf {
    /// Pixels, image after image.
    pub pixels: Vec<u8>,
    /// The class of each.
    pub labels: Vec<u8>,
    /// What was read.
    pub files: Vec<ReadFile>,
}

const MINI: [&[u8]; 4] = [
    include_bytes!("mini/train-images-idx3-ubyte.gz"),
    include_bytes!("mini/train-labels-idx1-ubyte.gz"),
    include_bytes!("mini/t10k-images-idx3-ubyte.gz"),
    include_bytes!("mini/t10k-labels-idx1-ubyte.gz"),
];

/// The packed files of one half of the embedded sample.
pub(super) fn embedded(half: Half) -> &'static [&'static [u8]] {
    match half {
        Half::Train => &MINI[..2],
        Half::Test => &MINI[2..],
    }
}

/// The hash of a content.
pub(super) fn hash(content: &[u8]) -> Fingerprint {
    Fingerprint::from_bytes(*blake3::hash(content).as_bytes())
}

/// The content of a file, unpacked, and where it lies.
struct Content {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Content {
    fn damaged(&self, params: &DataParams, reason: String) -> DataError {
        DataError::damaged(params, &self.path, reason)
    }

    fn hashed(&self) -> ReadFile {
        ReadFile { path: self.path.clone(), hash: hash(&self.bytes) }
    }
}

/// Reads the file of this name and unpacks it.
fn content(params: &DataParams, name: &str) -> Result<Content, DataError> {
    let path = files::find(params, name)?;
    let failed = |source| DataError::Io { path: path.clone(), source };
    let size = path.metadata().map_err(failed)?.len();
    if size > LARGEST {
        return Err(DataError::damaged(params, &path, format!("it has {size} bytes, more than {LARGEST}")));
    }
    let raw = std::fs::read(&path).map_err(failed)?;
    let bytes = gzip::unpack(raw).map_err(|reason| DataError::damaged(params, &path, reason))?;
    Ok(Content { path, bytes })
}

/// The contents of one half's IDX files.
fn contents(params: &DataParams, half: Half) -> Result<Vec<Content>, DataError> {
    if params.set == DataSetName::FashionMnistMini {
        let path = PathBuf::from("the embedded sample");
        let unpacked = embedded(half).iter().map(|raw| {
            let bytes =
                gzip::unpack(raw.to_vec()).map_err(|reason| DataError::damaged(params, &path, reason))?;
            Ok(Content { path: path.clone(), bytes })
        });
        return unpacked.collect();
    }
    files::names(params.set, half).iter().map(|name| content(params, name)).collect()
}

/// Reads one half.
///
/// # Errors
/// Files that are missing, unreadable, or no proper files of the set.
pub(super) fn half(params: &DataParams, half: Half) -> Result<RawHalf, DataError> {
    let mut found = RawHalf { pixels: Vec::new(), labels: Vec::new(), files: Vec::new() };
    if params.set.is_cifar() {
        for name in files::names(params.set, half) {
            let file = content(params, &name)?;
            let before = found.labels.len();
            cifar::parse(&file.bytes, params.set, &mut found.pixels, &mut found.labels)
                .map_err(|reason| file.damaged(params, reason))?;
            known_classes(params, &file, &found.labels[before..])?;
            found.files.push(file.hashed());
        }
    } else if let [image_file, label_file] = contents(params, half)?.as_slice() {
        let (sizes, body) =
            idx::parse(&image_file.bytes, 3).map_err(|reason| image_file.damaged(params, reason))?;
        let (_, classes) =
            idx::parse(&label_file.bytes, 1).map_err(|reason| label_file.damaged(params, reason))?;
        let native = params.native();
        let [count, height, width] = [sizes[0], sizes[1], sizes[2]];
        if [height, width] != [native.height, native.width] {
            let [wanted, tall] = [native.width, native.height];
            return Err(image_file.damaged(
                params,
                format!("its images have {height}x{width} pixels, expected {tall}x{wanted}"),
            ));
        }
        if count != classes.len() {
            let (labels, path) = (classes.len(), label_file.path.display());
            return Err(
                image_file.damaged(params, format!("it has {count} images, and {path} has {labels} labels"))
            );
        }
        if count == 0 {
            return Err(image_file.damaged(params, "it has no images".to_owned()));
        }
        known_classes(params, label_file, classes)?;
        found.pixels = body.to_vec();
        found.labels = classes.to_vec();
        found.files = vec![image_file.hashed(), label_file.hashed()];
    }
    Ok(found)
}

fn known_classes(params: &DataParams, file: &Content, labels: &[u8]) -> Result<(), DataError> {
    let (largest, classes) = (labels.iter().max().map_or(0, |label| usize::from(*label)), params.classes());
    if largest < classes {
        return Ok(());
    }
    let name = params.set.name();
    Err(file.damaged(
        params,
        format!(
            "its labels go up to {largest}, which makes {} classes; {name} has {classes}, 0 to {}",
            largest + 1,
            classes - 1
        ),
    ))
}
