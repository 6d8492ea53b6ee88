//! Images in memory.

use std::path::{Path, PathBuf};

use miette::Diagnostic;

use super::params::{DataParams, DataSetName, ImageShape, Normalise};
use super::{cifar, gzip, idx};

/// Images with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The shape of each.
    pub shape: ImageShape,
    /// Pixels, image after image, channels x height x width.
    pub pixels: Vec<u8>,
    /// The class of each.
    pub labels: Vec<u8>,
}

impl Images {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub fn size(&self) -> usize {
        self.shape.channels * self.shape.height * self.shape.width
    }
}

/// A data set.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Training images, validation images among them.
    pub train: Images,
    /// Test images.
    pub test: Images,
    /// How pixels become numbers.
    pub normalise: Normalise,
    /// Classes.
    pub classes: usize,
    validation: f64,
}

/// Which training images are trained on, and which are held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Trained on.
    pub train: Vec<u32>,
    /// Held out.
    pub validation: Vec<u32>,
}

/// Why a data set cannot be had.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DataError {
    /// A file is not there.
    #[error("the data set {} is not here: {file} is missing", data.set.name())]
    #[diagnostic(help(
        "`{}` downloads it. It was looked for, plain or as .gz, in {}; `data.dir` or the variable RUNNER_DATA \
         name another place",
        data.fetch_command(),
        listed(&folders(data))
    ))]
    Missing {
        /// What was to be read.
        data: Box<DataParams>,
        /// The name of the file.
        file: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(help("see that the file may be read, and that its disk is there"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{} is no proper file of {}: {reason}", path.display(), data.set.name())]
    #[diagnostic(help("`{}` puts it aside and downloads a whole copy", data.fetch_command()))]
    Damaged {
        /// What was to be read.
        data: Box<DataParams>,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

fn listed(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ")
}

const MINI: [&[u8]; 4] = [
    include_bytes!("mini/train-images-idx3-ubyte.gz"),
    include_bytes!("mini/train-labels-idx1-ubyte.gz"),
    include_bytes!("mini/t10k-images-idx3-ubyte.gz"),
    include_bytes!("mini/t10k-labels-idx1-ubyte.gz"),
];

/// The names of the files of each half, training first.
pub(super) fn files(set: DataSetName) -> [Vec<String>; 2] {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    match set {
        DataSetName::Cifar10 => {
            [(1..=5).map(|n| format!("data_batch_{n}.bin")).collect(), names(&["test_batch.bin"])]
        }
        DataSetName::Cifar100 => [names(&["train.bin"]), names(&["test.bin"])],
        DataSetName::Mnist | DataSetName::FashionMnist | DataSetName::FashionMnistMini => [
            names(&["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]),
            names(&["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
        ],
    }
}

/// The content of a file, unpacked, and where it lies.
#[derive(Debug)]
pub(super) struct Content {
    path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Content {
    fn damaged(&self, params: &DataParams, reason: String) -> DataError {
        damaged(params, &self.path, reason)
    }
}

fn damaged(params: &DataParams, path: &Path, reason: String) -> DataError {
    DataError::Damaged { data: Box::new(params.clone()), path: path.to_owned(), reason }
}

/// Reads the file of this name and unpacks it.
pub(super) fn read(params: &DataParams, name: &str) -> Result<Content, DataError> {
    let path = find(params, name)?;
    let raw = std::fs::read(&path).map_err(|source| DataError::Io { path: path.clone(), source })?;
    let bytes = gzip::unpack(raw).map_err(|reason| damaged(params, &path, reason))?;
    Ok(Content { path, bytes })
}

/// The packed files of one half of the embedded sample.
pub(super) fn embedded(half: usize) -> &'static [&'static [u8]] {
    &MINI[2 * half..2 * half + 2]
}

/// The contents of one half's IDX files.
fn contents(params: &DataParams, half: usize) -> Result<Vec<Content>, DataError> {
    if params.set == DataSetName::FashionMnistMini {
        let path = PathBuf::from("the embedded sample");
        let unpacked = embedded(half).iter().map(|raw| {
            let bytes = gzip::unpack(raw.to_vec()).map_err(|reason| damaged(params, &path, reason))?;
            Ok(Content { path: path.clone(), bytes })
        });
        return unpacked.collect();
    }
    files(params.set)[half].iter().map(|name| read(params, name)).collect()
}

/// The folders in which files are looked for: the set's own, and that of the archive in it.
fn folders(params: &DataParams) -> Vec<PathBuf> {
    let folder = params.folder();
    match params.set {
        DataSetName::Cifar10 => vec![folder.clone(), folder.join("cifar-10-batches-bin")],
        DataSetName::Cifar100 => vec![folder.clone(), folder.join("cifar-100-binary")],
        _ => vec![folder],
    }
}

/// All files of this name that are there, plain or gzipped; the first is the one that is read.
pub(super) fn present(params: &DataParams, name: &str) -> Vec<PathBuf> {
    let folders = folders(params).into_iter();
    let paths = folders.flat_map(|folder| [folder.join(name), folder.join(format!("{name}.gz"))]);
    paths.filter(|path| path.is_file()).collect()
}

/// All files of the data set that are there.
pub(crate) fn paths(params: &DataParams) -> Vec<PathBuf> {
    files(params.set).concat().iter().flat_map(|name| present(params, name)).collect()
}

/// The file of this name, plain or gzipped.
pub(super) fn find(params: &DataParams, name: &str) -> Result<PathBuf, DataError> {
    let first = present(params, name).into_iter().next();
    first.ok_or_else(|| DataError::Missing { data: Box::new(params.clone()), file: name.to_owned() })
}

/// Reads a data set.
///
/// # Errors
/// Files that are missing or damaged.
pub fn load(params: &DataParams) -> Result<DataSet, DataError> {
    let train = half(params, 0, params.limit_train)?;
    let test = half(params, 1, params.limit_test)?;
    Ok(DataSet {
        train,
        test,
        normalise: params.normalise(),
        classes: params.classes(),
        validation: params.validation,
    })
}

fn half(params: &DataParams, half: usize, limit: Option<usize>) -> Result<Images, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let native = params.native();
    if params.set.is_cifar() {
        let labels_each = if params.set == DataSetName::Cifar100 { 2 } else { 1 };
        for name in &files(params.set)[half] {
            let file = read(params, name)?;
            let before = labels.len();
            cifar::parse(&file.bytes, labels_each, &mut pixels, &mut labels)
                .map_err(|reason| file.damaged(params, reason))?;
            known_classes(params, &file, &labels[before..])?;
        }
    } else if let [image_file, label_file] = contents(params, half)?.as_slice() {
        let (sizes, body) =
            idx::parse(&image_file.bytes, 3).map_err(|reason| image_file.damaged(params, reason))?;
        let (_, classes) =
            idx::parse(&label_file.bytes, 1).map_err(|reason| label_file.damaged(params, reason))?;
        if sizes[1..] != [native.height, native.width] || sizes[0] != classes.len() || classes.is_empty() {
            let [count, height, width] = [sizes[0], sizes[1], sizes[2]];
            let reason = format!(
                "expected {}x{} images, one for each label, found {count} of {height}x{width} for {} labels",
                native.height,
                native.width,
                classes.len()
            );
            return Err(image_file.damaged(params, reason));
        }
        known_classes(params, label_file, classes)?;
        pixels = body.to_vec();
        labels = classes.to_vec();
    }
    let images = Images { shape: native, pixels, labels };
    Ok(padded(limited(images, limit), params.shape()))
}

fn known_classes(params: &DataParams, file: &Content, labels: &[u8]) -> Result<(), DataError> {
    match labels.iter().find(|label| usize::from(**label) >= params.classes()) {
        Some(label) => {
            Err(file.damaged(params, format!("label {label} is not one of {} classes", params.classes())))
        }
        None => Ok(()),
    }
}

/// The first images of every class, `limit` in all, in the order of the file. The classes have as many, but for
/// one: files may be sorted by class, and a few random images miss some classes.
fn limited(images: Images, limit: Option<usize>) -> Images {
    let Some(limit) = limit.filter(|limit| *limit < images.len()) else { return images };
    let mut seen = [0usize; 256];
    let mut ranked: Vec<(usize, usize)> = Vec::with_capacity(images.len());
    for (index, label) in images.labels.iter().enumerate() {
        let rank = &mut seen[usize::from(*label)];
        ranked.push((*rank, index));
        *rank += 1;
    }
    ranked.sort_unstable();
    let mut taken: Vec<usize> = ranked[..limit].iter().map(|(_, index)| *index).collect();
    taken.sort_unstable();
    let size = images.size();
    Images {
        shape: images.shape,
        pixels: taken.iter().flat_map(|i| &images.pixels[i * size..(i + 1) * size]).copied().collect(),
        labels: taken.iter().map(|i| images.labels[*i]).collect(),
    }
}

/// Pads images with zeros on all sides to `shape`.
fn padded(images: Images, shape: ImageShape) -> Images {
    let native = images.shape;
    if native == shape {
        return images;
    }
    let (top, left) = ((shape.height - native.height) / 2, (shape.width - native.width) / 2);
    let mut pixels = vec![0; images.len() * shape.channels * shape.height * shape.width];
    let planes = images.pixels.chunks_exact(native.height * native.width);
    for (plane, target) in planes.zip(pixels.chunks_exact_mut(shape.height * shape.width)) {
        for (row, line) in plane.chunks_exact(native.width).enumerate() {
            let at = (row + top) * shape.width + left;
            target[at..at + native.width].copy_from_slice(line);
        }
    }
    Images { shape, pixels, labels: images.labels }
}

impl DataSet {
    /// Holds the last images of every class out for validation: the same ones for every stage and every seed.
    pub fn split(&self) -> Split {
        let mut count = vec![0usize; self.classes];
        for label in &self.train.labels {
            count[usize::from(*label)] += 1;
        }
        let kept: Vec<usize> =
            count.iter().map(|count| count - (*count as f64 * self.validation).round() as usize).collect();
        let mut seen = vec![0usize; self.classes];
        let mut split = Split { train: Vec::new(), validation: Vec::new() };
        for (index, label) in self.train.labels.iter().enumerate() {
            let class = usize::from(*label);
            let half = if seen[class] < kept[class] { &mut split.train } else { &mut split.validation };
            half.push(index as u32);
            seen[class] += 1;
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_sample_has_as_many_images_of_every_class() {
        let set = load(&DataParams::default()).unwrap();
        for (images, each) in [(&set.train, 500), (&set.test, 100)] {
            for class in 0..10u8 {
                assert_eq!(images.labels.iter().filter(|label| **label == class).count(), each);
            }
        }
        let split = set.split();
        assert_eq!((split.train.len(), split.validation.len()), (4500, 500));
        assert!(split.validation.iter().all(|index| !split.train.contains(index)));
    }

    #[test]
    fn padding_keeps_every_pixel_and_adds_zeros() {
        let plain = load(&DataParams::default()).unwrap().test;
        let wide = load(&DataParams { size: Some(32), ..DataParams::default() }).unwrap().test;
        let sum = |images: &Images| images.pixels.iter().map(|p| u64::from(*p)).sum::<u64>();
        assert_eq!(sum(&plain), sum(&wide));
        assert_eq!(wide.pixels[2 * 32 + 2..2 * 32 + 30], plain.pixels[..28]);
    }

    #[test]
    fn a_limit_takes_as_many_of_every_class_in_the_order_of_the_file() {
        let whole = load(&DataParams::default()).unwrap().train;
        for limit in [20, 43, 4999] {
            let few = load(&DataParams { limit_train: Some(limit), ..DataParams::default() }).unwrap().train;
            assert_eq!((few.len(), few.pixels.len()), (limit, limit * few.size()));
            let counts = (0..10u8).map(|class| few.labels.iter().filter(|label| **label == class).count());
            let (least, most) = (counts.clone().min().unwrap(), counts.max().unwrap());
            assert!(most - least <= 1, "{least} to {most}");
            let mut rest = whole.pixels.chunks_exact(whole.size()).zip(&whole.labels);
            for image in few.pixels.chunks_exact(few.size()).zip(&few.labels) {
                assert!(rest.any(|other| other == image), "out of order, or not an image of the set");
            }
        }
    }

    #[test]
    fn a_limit_above_what_is_there_takes_all() {
        let all = load(&DataParams { limit_test: Some(100_000), ..DataParams::default() }).unwrap();
        assert_eq!(all.test, load(&DataParams::default()).unwrap().test);
    }

    #[test]
    fn missing_files_name_the_folders_and_the_command() {
        let dir = Some("no such folder".into());
        let params = DataParams { set: DataSetName::Cifar10, dir, ..DataParams::default() };
        let error = load(&params).unwrap_err();
        assert!(error.to_string().contains("cifar10 is not here: data_batch_1.bin"), "{error}");
        let help = error.help().unwrap().to_string();
        assert!(help.contains("`runner data fetch cifar10 --dir 'no such folder'`"), "{help}");
        assert!(help.contains("no such folder and no such folder/cifar-10-batches-bin"), "{help}");
    }
}
