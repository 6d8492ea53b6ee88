//! Images in memory.

use std::path::{Path, PathBuf};

use miette::Diagnostic;

use super::params::{DataParams, DataSetName, ImageShape, Normalise};
use super::{cifar, idx};

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
    #[error("the data set {set} is not here: {} is missing", path.display())]
    #[diagnostic(help("put the files of {set} into {}, or point `data.dir` or the variable RUNNER_DATA at them; `runner data list` names them", folder.display()))]
    Missing {
        /// The data set.
        set: &'static str,
        /// The file.
        path: PathBuf,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{} is no proper file of {set}: {reason}", path.display())]
    #[diagnostic(help("remove it and put a whole copy in its place"))]
    Damaged {
        /// The data set.
        set: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
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
        _ => [
            names(&["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]),
            names(&["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
        ],
    }
}

/// The bytes of one half's files, as they lie on the disk; and their paths.
pub(super) fn raw(params: &DataParams, half: usize) -> Result<Vec<(PathBuf, Vec<u8>)>, DataError> {
    if params.set == DataSetName::FashionMnistMini {
        let embedded = |bytes: &[u8]| (PathBuf::from("the embedded sample"), bytes.to_vec());
        return Ok(MINI[2 * half..2 * half + 2].iter().map(|bytes| embedded(bytes)).collect());
    }
    let read = |path: PathBuf| {
        std::fs::read(&path)
            .map(|bytes| (path.clone(), bytes))
            .map_err(|source| DataError::Io { path, source })
    };
    files(params.set)[half].iter().map(|name| read(find(params, name)?)).collect()
}

/// The file of this name, plain or gzipped.
pub(super) fn find(params: &DataParams, name: &str) -> Result<PathBuf, DataError> {
    let folder = params.folder();
    let nested = ["", "cifar-10-batches-bin", "cifar-100-binary"];
    for inner in nested {
        for candidate in [name.to_owned(), format!("{name}.gz")] {
            let path = folder.join(inner).join(candidate);
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    Err(DataError::Missing { set: params.set.name(), path: folder.join(name), folder })
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
    let damaged = |path: &Path, reason: String| DataError::Damaged {
        set: params.set.name(),
        path: path.to_owned(),
        reason,
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let files = raw(params, half)?;
    let native = params.native();
    if params.set.is_cifar() {
        let labels_each = if params.set == DataSetName::Cifar100 { 2 } else { 1 };
        for (path, content) in &files {
            cifar::parse(content, labels_each, &mut pixels, &mut labels).map_err(|r| damaged(path, r))?;
        }
    } else if let [(image_path, image_file), (label_path, label_file)] = files.as_slice() {
        let images = idx::unpack(image_file.clone()).map_err(|reason| damaged(image_path, reason))?;
        let (sizes, body) = idx::parse(&images, 3).map_err(|reason| damaged(image_path, reason))?;
        let names = idx::unpack(label_file.clone()).map_err(|reason| damaged(label_path, reason))?;
        let (_, classes) = idx::parse(&names, 1).map_err(|reason| damaged(label_path, reason))?;
        if sizes[1..] != [native.height, native.width] || sizes[0] != classes.len() {
            let found = format!("{sizes:?} images for {} labels", classes.len());
            return Err(damaged(
                image_path,
                format!("expected 28x28 images, one for each label, found {found}"),
            ));
        }
        pixels = body.to_vec();
        labels = classes.to_vec();
    }
    if let Some(label) = labels.iter().find(|label| usize::from(**label) >= params.classes()) {
        let path = files.last().map_or(Path::new(""), |(path, _)| path.as_path());
        return Err(damaged(path, format!("label {label} is not one of {} classes", params.classes())));
    }
    let count = limit.unwrap_or(labels.len()).min(labels.len());
    labels.truncate(count);
    pixels.truncate(count * native.channels * native.height * native.width);
    let images = Images { shape: native, pixels, labels };
    Ok(padded(images, params.shape()))
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
    fn missing_files_name_the_folder_and_the_way_out() {
        let params = DataParams {
            set: DataSetName::Cifar10,
            dir: Some("no-such-folder".into()),
            ..DataParams::default()
        };
        let error = load(&params).unwrap_err();
        assert!(error.to_string().contains("cifar10 is not here"), "{error}");
    }
}
