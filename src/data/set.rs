//! Images in memory.

use std::sync::Arc;

use super::error::DataError;
use super::files::Half;
use super::params::{DataParams, DataSetName, ImageShape, Normalise};
use super::read::{self, RawHalf, ReadFile, embedded};
use super::resize;
use super::survey::{self, HalfSurvey};

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
    pub(super) validation: f64,
}

/// A data set with the files that it was read from.
#[derive(Debug)]
pub struct Loaded {
    /// The images.
    pub set: Arc<DataSet>,
    train: Vec<ReadFile>,
    test: Vec<ReadFile>,
}

impl Loaded {
    /// Whether the images of a half are those that were surveyed.
    ///
    /// # Errors
    /// The file that is another.
    pub fn check(&self, half: Half, expected: &HalfSurvey) -> Result<(), DataError> {
        survey::check(
            expected,
            match half {
                Half::Train => &self.train,
                Half::Test => &self.test,
            },
        )
    }
}

/// Reads a data set.
///
/// # Errors
/// Files that are missing or damaged.
pub fn load(params: &DataParams) -> Result<DataSet, DataError> {
    Ok(parts(params)?.0)
}

/// Reads a data set, and hashes what was read.
///
/// # Errors
/// Files that are missing or damaged.
pub fn load_hashed(params: &DataParams) -> Result<Loaded, DataError> {
    let (set, [train, test]) = parts(params)?;
    Ok(Loaded { set: Arc::new(set), train, test })
}

fn parts(params: &DataParams) -> Result<(DataSet, [Vec<ReadFile>; 2]), DataError> {
    let (train, train_files) = half(params, Half::Train, params.limit_train)?;
    let (test, test_files) = half(params, Half::Test, params.limit_test)?;
    let set = DataSet {
        train,
        test,
        normalise: params.normalise(),
        classes: params.classes(),
        validation: params.validation,
    };
    Ok((set, [train_files, test_files]))
}

fn half(params: &DataParams, half: Half, limit: Option<usize>) -> Result<(Images, Vec<ReadFile>), DataError> {
    let RawHalf { pixels, labels, mut files } = read::half(params, half)?;
    if params.set == DataSetName::FashionMnistMini {
        // A survey has the hashes of its packed files.
        for (file, packed) in files.iter_mut().zip(embedded(half)) {
            file.hash = read::hash(packed);
        }
    }
    let images = Images { shape: params.native(), pixels, labels };
    Ok((resize::to(limited(images, limit), params.shape()), files))
}

/// The first images of every class, `limit` in all, in the order of the file. The classes have as many, but for
/// one: files may be sorted by class, and a few random images miss some classes.
pub(super) fn limited(images: Images, limit: Option<usize>) -> Images {
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
}
