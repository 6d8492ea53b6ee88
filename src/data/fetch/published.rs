//! What the world publishes of each data set: where, how large, with which checksums and under which licence.
//!
//! Sizes and MD5 sums of what is downloaded are those of the sets' own pages (CIFAR, Fashion-MNIST) and of
//! torchvision's list (`torchvision/datasets/mnist.py`); `docs/data.md` says how each was confirmed.

use crate::data::DataSetName;

/// A file, as published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its name; of a member of an archive, its path in there.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its MD5 sum, in hexadecimal.
    pub md5: String,
}

/// What is done with a file once it is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// A gzipped file, which stays as it is: the reader unpacks it.
    Gzip,
    /// A gzipped tar archive, of which the members are unpacked.
    TarGzip,
}

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The file.
    pub file: PublishedFile,
    /// What is done with it.
    pub packing: Packing,
    /// What is in it, of what the reader needs.
    pub members: Vec<PublishedFile>,
}

/// A data set, as published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The set.
    pub set: DataSetName,
    /// Training and test images.
    pub images: [usize; 2],
    /// The licence, as far as one is stated.
    pub licence: &'static str,
    /// The page that describes it.
    pub page: &'static str,
    /// The folders, as URLs, that have the files; tried in this order.
    pub sources: Vec<String>,
    /// The files; none for a set that ships with runner.
    pub downloads: Vec<Download>,
}

impl Published {
    /// Bytes to download.
    pub fn size(&self) -> u64 {
        self.downloads.iter().map(|download| download.file.size).sum()
    }
}

/// Name, size and MD5 sum.
type Facts = (&'static str, u64, &'static str);

fn file((name, size, md5): Facts) -> PublishedFile {
    PublishedFile { name: name.to_owned(), size, md5: md5.to_owned() }
}

fn archive(packed: Facts, members: &[Facts]) -> Vec<Download> {
    let members = members.iter().copied().map(file).collect();
    vec![Download { file: file(packed), packing: Packing::TarGzip, members }]
}

/// Gzipped files, each with its unpacked content.
fn gzipped(files: [(Facts, Facts); 4]) -> Vec<Download> {
    let download = |(packed, content)| Download {
        file: file(packed),
        packing: Packing::Gzip,
        members: vec![file(content)],
    };
    files.map(download).into()
}

const CIFAR_PAGE: &str = "https://www.cs.toronto.edu/~kriz/cifar.html";
const CIFAR_LICENCE: &str =
    "none stated; cite Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images";
/// The second is where the first redirects to, at present.
const CIFAR_SOURCES: [&str; 2] = ["https://www.cs.toronto.edu/~kriz", "https://cave.cs.toronto.edu/kriz"];

const FASHION_PAGE: &str = "https://github.com/zalandoresearch/fashion-mnist";
const FASHION_LICENCE: &str = "MIT, copyright 2017 Zalando SE";

/// What is published of a data set.
pub fn published(set: DataSetName) -> Published {
    let (images, licence, page, sources, downloads): (_, _, _, &[&str], _) = match set {
        DataSetName::FashionMnistMini => ([5000, 1000], FASHION_LICENCE, FASHION_PAGE, &[], Vec::new()),
        DataSetName::FashionMnist => (
            [60_000, 10_000],
            FASHION_LICENCE,
            FASHION_PAGE,
            &[
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            ],
            gzipped([
                (
                    ("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                    ("train-images-idx3-ubyte", 47_040_016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
                ),
                (
                    ("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
                    ("train-labels-idx1-ubyte", 60_008, "9018921c3c673c538a1fc5bad174d6f9"),
                ),
                (
                    ("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
                    ("t10k-images-idx3-ubyte", 7_840_016, "8181f5470baa50b63fa0f6fddb340f0a"),
                ),
                (
                    ("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
                    ("t10k-labels-idx1-ubyte", 10_008, "15d484375f8d13e6eb1aabb0c3f46965"),
                ),
            ]),
        ),
        DataSetName::Mnist => (
            [60_000, 10_000],
            "CC BY-SA 3.0, Y. LeCun, C. Cortes, C. Burges",
            "http://yann.lecun.com/exdb/mnist/",
            &[
                "https://ossci-datasets.s3.amazonaws.com/mnist",
                "https://storage.googleapis.com/cvdf-datasets/mnist",
            ],
            gzipped([
                (
                    ("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                    ("train-images-idx3-ubyte", 47_040_016, "6bbc9ace898e44ae57da46a324031adb"),
                ),
                (
                    ("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
                    ("train-labels-idx1-ubyte", 60_008, "a25bea736e30d166cdddb491f175f624"),
                ),
                (
                    ("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
                    ("t10k-images-idx3-ubyte", 7_840_016, "2646ac647ad5339dbf082846283269ea"),
                ),
                (
                    ("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
                    ("t10k-labels-idx1-ubyte", 10_008, "27ae3e4e09519cfbb04c329615203637"),
                ),
            ]),
        ),
        DataSetName::Cifar10 => (
            [50_000, 10_000],
            CIFAR_LICENCE,
            CIFAR_PAGE,
            &CIFAR_SOURCES,
            archive(
                ("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"),
                &[
                    ("cifar-10-batches-bin/data_batch_1.bin", 30_730_000, "5dd7e06a14cb22eb9f671a540d1b7c25"),
                    ("cifar-10-batches-bin/data_batch_2.bin", 30_730_000, "5ea93a67294ea407fff1d09f752e9692"),
                    ("cifar-10-batches-bin/data_batch_3.bin", 30_730_000, "942cd6a4bcdd0dd3c604fbe906cb4421"),
                    ("cifar-10-batches-bin/data_batch_4.bin", 30_730_000, "ae636b3ba5c66a11e91e8cb52e771fcb"),
                    ("cifar-10-batches-bin/data_batch_5.bin", 30_730_000, "53f37980c15c3d472c316c40844f3f0d"),
                    ("cifar-10-batches-bin/test_batch.bin", 30_730_000, "803d5f7f4d78ea53de84dbe85f74fb6d"),
                ],
            ),
        ),
        DataSetName::Cifar100 => (
            [50_000, 10_000],
            CIFAR_LICENCE,
            CIFAR_PAGE,
            &CIFAR_SOURCES,
            archive(
                ("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8"),
                &[
                    ("cifar-100-binary/train.bin", 153_700_000, "6172c7755cfe09b2fe270c85cebc1b15"),
                    ("cifar-100-binary/test.bin", 30_740_000, "4499cfba6c016c1be1438163640a0898"),
                ],
            ),
        ),
    };
    let sources = sources.iter().map(|source| (*source).to_owned()).collect();
    Published { set, images, licence, page, sources, downloads }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::files;

    #[test]
    fn what_is_fetched_is_exactly_what_the_reader_looks_for() {
        for set in DataSetName::ALL.into_iter().filter(|set| *set != DataSetName::FashionMnistMini) {
            let read: Vec<String> = files::all_names(set);
            let mut fetched = Vec::new();
            for member in published(set).downloads.iter().flat_map(|download| &download.members) {
                fetched.push(member.name.rsplit('/').next().unwrap_or_default().to_owned());
            }
            assert_eq!(fetched, read, "{set:?}");
        }
    }

    #[test]
    fn sizes_are_those_of_so_many_images() {
        for set in DataSetName::ALL {
            let about = published(set);
            let members = about.downloads.iter().flat_map(|download| &download.members);
            let total: u64 = members.map(|member| member.size).sum();
            let images: u64 = about.images.iter().map(|count| *count as u64).sum();
            let expected = match set {
                DataSetName::FashionMnistMini => 0,
                DataSetName::Cifar10 => images * 3073,
                DataSetName::Cifar100 => images * 3074,
                // Two headers of 16 bytes, two of 8.
                DataSetName::Mnist | DataSetName::FashionMnist => images * 785 + 48,
            };
            assert_eq!(total, expected, "{set:?}");
        }
    }

    #[test]
    fn sums_are_of_the_length_of_md5() {
        for download in DataSetName::ALL.into_iter().flat_map(|set| published(set).downloads) {
            for file in download.members.iter().chain([&download.file]) {
                assert!(file.md5.len() == 32 && file.md5.chars().all(|c| c.is_ascii_hexdigit()), "{file:?}");
            }
        }
    }
}
