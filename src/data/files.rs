//! Where a data set's files lie, and under which names.

use std::path::PathBuf;

use super::error::DataError;
use super::misplaced;
use super::params::{DataParams, DataSetName};

/// A half of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// The training images, validation images among them.
    Train,
    /// The test images.
    Test,
}

/// The names of the files of a half, as they are published.
pub(super) fn names(set: DataSetName, half: Half) -> Vec<String> {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    match (set, half) {
        (DataSetName::Cifar10, Half::Train) => (1..=5).map(|n| format!("data_batch_{n}.bin")).collect(),
        (DataSetName::Cifar10, Half::Test) => names(&["test_batch.bin"]),
        (DataSetName::Cifar100, Half::Train) => names(&["train.bin"]),
        (DataSetName::Cifar100, Half::Test) => names(&["test.bin"]),
        (DataSetName::Mnist | DataSetName::FashionMnist | DataSetName::FashionMnistMini, Half::Train) => {
            names(&["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
        }
        (DataSetName::Mnist | DataSetName::FashionMnist | DataSetName::FashionMnistMini, Half::Test) => {
            names(&["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
        }
    }
}

/// The names of all files, training first.
pub(super) fn all_names(set: DataSetName) -> Vec<String> {
    [names(set, Half::Train), names(set, Half::Test)].concat()
}

/// The folders in which files are looked for: the set's own, and that of the archive in it.
pub(super) fn folders(params: &DataParams) -> Vec<PathBuf> {
    let folder = params.folder();
    match params.set {
        DataSetName::Cifar10 => vec![folder.clone(), folder.join("cifar-10-batches-bin")],
        DataSetName::Cifar100 => vec![folder.clone(), folder.join("cifar-100-binary")],
        _ => vec![folder],
    }
}

/// The names under which a file goes round: the published one, IDX files with a dot for a hyphen, and a file
/// in a folder of its own name, as some archives unpack.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    all.extend(name.split_once("-idx").map(|(stem, rest)| format!("{stem}.idx{rest}")));
    let nested: Vec<String> = all.iter().map(|name| format!("{name}/{name}")).collect();
    all.extend(nested);
    all
}

/// The files of this published name that are there, plain or gzipped.
pub(super) fn published(params: &DataParams, name: &str) -> Vec<PathBuf> {
    present_as(params, &[name.to_owned()])
}

/// The files of this name, however it is spelt, that are there, plain or gzipped; the first is the one that
/// is read.
pub(super) fn present(params: &DataParams, name: &str) -> Vec<PathBuf> {
    present_as(params, &spellings(name))
}

/// All files of the data set that are there.
pub(crate) fn paths(params: &DataParams) -> Vec<PathBuf> {
    all_names(params.set).iter().flat_map(|name| present(params, name)).collect()
}

fn present_as(params: &DataParams, names: &[String]) -> Vec<PathBuf> {
    let packed = |name: &String| [name.clone(), format!("{name}.gz")];
    let names: Vec<String> = names.iter().flat_map(packed).collect();
    let paths = folders(params)
        .into_iter()
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)).collect::<Vec<_>>());
    paths.filter(|path| path.is_file()).collect()
}

/// The file of this name, plain or gzipped.
///
/// # Errors
/// There is none; with what there is in its place.
pub(super) fn find(params: &DataParams, name: &str) -> Result<PathBuf, DataError> {
    let first = present(params, name).into_iter().next();
    first.ok_or_else(|| misplaced::missing(params, name))
}
