//! What lies where a data set is looked for and is not it: said in words, with the way out.
//!
//! A published set that is missing can be downloaded. A user's own files never are to be downloaded over, so
//! a download is only advised where nothing is there, or where all that is there has the published sizes.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::fetch::{Depth, Presence, presence, published};
use super::files::{self, all_names, spellings};
use super::params::{DataParams, DataSetName};

/// How deep files are looked for below the folder.
const DEPTH: usize = 3;
/// So many entries of folders are looked at, at most.
const ENTRIES: usize = 2000;
/// So many names are listed.
const LISTED: usize = 5;

/// The folders in which a data set is looked for, in words.
pub(super) fn folders(params: &DataParams) -> String {
    let folders = files::folders(params);
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ")
}

/// The error for a file that is not there.
pub(super) fn missing(params: &DataParams, file: &str) -> DataError {
    match explain(params) {
        Some((found, help)) => DataError::Misplaced { data: Box::new(params.clone()), found, help },
        None => DataError::Missing { data: Box::new(params.clone()), file: file.to_owned() },
    }
}

/// What to do about a damaged file.
pub(super) fn mend(params: &DataParams, path: &Path) -> String {
    let format = format!("docs/data.md says what a file of {} holds", params.set.name());
    if looks_published(params, Some(path)) {
        format!("`{}` puts it aside and downloads a whole copy; {format}", params.fetch_command())
    } else {
        format!(
            "the files beside it are not the published ones, so runner does not replace it: correct the file; {format}"
        )
    }
}

/// Whether files of the set are there, and all of them, but for `except`, have the published sizes.
fn looks_published(params: &DataParams, except: Option<&Path>) -> bool {
    let mut found = false;
    for download in &published(params.set).downloads {
        for member in &download.members {
            match presence(params, download, member, Depth::Size) {
                Ok(Presence::Whole { .. }) => found = true,
                Ok(Presence::Different { path, .. }) if Some(path.as_path()) != except => return false,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
    found
}

/// What lies in the place of the files, and the way out; `None` where there is nothing, and a download is
/// safe.
fn explain(params: &DataParams) -> Option<(String, String)> {
    let folder = params.folder();
    if folder.exists() && !folder.is_dir() {
        let help = "`data.dir` names the folder that holds the files, not a file".to_owned();
        return Some(("it is a file, not a folder".to_owned(), help));
    }
    if let Some(found) = incomplete(params) {
        return Some(found);
    }
    if let Some(place) = elsewhere(params, &folder) {
        let place = place.display();
        return Some((
            format!("its files are in {place}"),
            format!("write `dir = \"{place}\"` under `[data]`"),
        ));
    }
    let names = entries(&folder);
    archive(params, &folder, &names)
        .or_else(|| python(params, &folder, &names))
        .or_else(|| strangers(params, &names))
}

/// Some of the files are there.
fn incomplete(params: &DataParams) -> Option<(String, String)> {
    let all = all_names(params.set);
    let (here, gone): (Vec<&String>, Vec<&String>) =
        all.iter().partition(|name| !files::present(params, name).is_empty());
    if here.is_empty() {
        return None;
    }
    let gone: Vec<&str> = gone.into_iter().map(String::as_str).collect();
    let found = format!("{} of its {} files are there; missing: {}", here.len(), all.len(), gone.join(", "));
    let help = if looks_published(params, None) {
        format!("`{}` downloads what is missing", params.fetch_command())
    } else {
        format!(
            "the files that are there are not the published ones; a set of your own needs all of {}",
            all.join(", ")
        )
    };
    Some((found, help))
}

/// The nearest folder, above or below, that holds all the files.
fn elsewhere(params: &DataParams, folder: &Path) -> Option<PathBuf> {
    let all = all_names(params.set);
    let holds = |place: &Path| {
        let is_there = |name: &String| {
            let packed = |name: String| [place.join(format!("{name}.gz")), place.join(name)];
            spellings(name).into_iter().flat_map(packed).any(|path| path.is_file())
        };
        all.iter().all(is_there)
    };
    let absolute = std::path::absolute(folder).ok()?;
    let mut open = VecDeque::from([(folder.to_owned(), 0)]);
    let mut seen = 0;
    while let Some((place, depth)) = open.pop_front() {
        if depth > 0 && holds(&place) {
            return Some(place);
        }
        let below = fs::read_dir(&place).into_iter().flatten().flatten().take(ENTRIES.saturating_sub(seen));
        let mut below: Vec<PathBuf> = below
            .inspect(|_| seen += 1)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .filter(|path| depth < DEPTH && !is_hidden(path))
            .collect();
        below.sort();
        open.extend(below.into_iter().map(|path| (path, depth + 1)));
    }
    // The folder of the archive beside the default folder, or a folder too deep.
    let above = absolute.ancestors().skip(1).take(2);
    let inner = files::folders(&DataParams { dir: Some(PathBuf::from(".")), ..params.clone() });
    let places = above.flat_map(|above| {
        inner.iter().map(|inner| above.join(inner.strip_prefix(".").unwrap_or(inner))).collect::<Vec<_>>()
    });
    places.into_iter().find(|place| holds(place))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// What lies in a folder, but for hidden entries, sorted.
fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(ENTRIES);
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// An archive that nobody has unpacked yet.
fn archive(params: &DataParams, folder: &Path, names: &[String]) -> Option<(String, String)> {
    let ends = [".tar.gz", ".tgz", ".tar", ".zip", ".tar.xz", ".7z"];
    let is_archive = |name: &&String| ends.iter().any(|end| name.to_lowercase().ends_with(end));
    let is_python = |name: &str| name.contains("python");
    let name = names.iter().find(|name| is_archive(name) && !is_python(name))?;
    let found = format!("the archive {name} lies there, and its files are not unpacked");
    let is_published = published(params.set).downloads.iter().any(|download| download.file.name == *name);
    let help = if is_published {
        format!("`{}` checks and unpacks it, without a download where it is whole", params.fetch_command())
    } else {
        format!("unpack it in {}: {} are looked for", folder.display(), all_names(params.set).join(", "))
    };
    Some((found, help))
}

/// CIFAR in the version for Python or for MATLAB.
fn python(params: &DataParams, folder: &Path, names: &[String]) -> Option<(String, String)> {
    if !params.set.is_cifar() {
        return None;
    }
    let mine: &[&str] = match params.set {
        DataSetName::Cifar100 => &["train", "test", "meta", "cifar-100-python", "cifar-100-python.tar.gz"],
        _ => &["data_batch_1", "test_batch", "batches.meta", "cifar-10-batches-py", "cifar-10-python.tar.gz"],
    };
    let version = |name: &String| {
        let is_matlab = Path::new(name).extension().is_some_and(|end| end == "mat");
        (is_matlab || mine.contains(&name.as_str()))
            .then_some((name.clone(), if is_matlab { "MATLAB" } else { "Python (pickle)" }))
    };
    let (name, version) = names.iter().find_map(version)?;
    let set = params.set.name();
    let found = format!("{name} is of the {version} version of {set}, and runner reads the binary version");
    let archive = published(params.set).downloads.first().map_or(String::new(), |one| one.file.name.clone());
    let help = format!(
        "`runner data fetch {set} --dir {}` downloads the binary version ({archive}) into a folder of its own; \
         name that folder with `data.dir`",
        folder.join("binary").display()
    );
    Some((found, help))
}

/// Files that have nothing to do with the set.
fn strangers(params: &DataParams, names: &[String]) -> Option<(String, String)> {
    if names.is_empty() {
        return None;
    }
    let more =
        if names.len() > LISTED { format!(" and {} more", names.len() - LISTED) } else { String::new() };
    let listed = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let found = format!("none of its files is there; the folder holds {listed}{more}");
    let expected = all_names(params.set).join(", ");
    let help = format!(
        "a set of your own needs {expected}, plain or as .gz, in the format that docs/data.md gives; the published set comes \
         with `runner data fetch {}`, and is found without `data.dir`",
        params.set.name()
    );
    Some((found, help))
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::super::{KnownHashes, survey};
    use super::*;

    fn params(set: DataSetName, folder: &Path) -> DataParams {
        DataParams { set, dir: Some(folder.to_owned()), ..DataParams::default() }
    }

    /// The error for a folder with these files, and its help.
    fn told(set: DataSetName, files: &[(&str, &[u8])]) -> (DataError, String, String) {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join("here").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let params = params(set, &folder.path().join("here"));
        let error = survey(&params, &KnownHashes::default(), &mut KnownHashes::default()).unwrap_err();
        let base = folder.path().display().to_string();
        let words = error.to_string().replace(&base, "BASE");
        let help = error.help().unwrap().to_string().replace(&base, "BASE");
        (error, words, help)
    }

    const IDX: [&str; 4] = [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];

    fn idx(dimensions: &[u32], content: usize) -> Vec<u8> {
        let mut file = vec![0, 0, 8, dimensions.len() as u8];
        dimensions.iter().for_each(|size| file.extend(size.to_be_bytes()));
        file.resize(file.len() + content, 0);
        file
    }

    #[test]
    fn a_download_is_advised_where_nothing_is_there() {
        for files in [&[][..], &[(".fetch/lock", &b""[..])]] {
            let (error, words, help) = told(DataSetName::Cifar10, files);
            assert!(matches!(error, DataError::Missing { .. }));
            assert!(words.contains("cifar10 is not here: data_batch_1.bin"), "{words}");
            assert!(help.contains("`runner data fetch cifar10 --dir BASE/here`"), "{help}");
            assert!(help.contains("in BASE/here and BASE/here/cifar-10-batches-bin"), "{help}");
        }
    }

    #[test]
    fn other_names_of_the_same_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (images, labels) = (idx(&[2, 28, 28], 2 * 784), idx(&[2], 2));
        let names = [
            ("train-images.idx3-ubyte", &images),
            ("train-labels.idx1-ubyte/train-labels.idx1-ubyte", &labels),
            ("t10k-images-idx3-ubyte/t10k-images-idx3-ubyte", &images),
            ("t10k-labels-idx1-ubyte", &labels),
        ];
        for (name, content) in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let params = params(DataSetName::Mnist, folder.path());
        let found = survey(&params, &KnownHashes::default(), &mut KnownHashes::default()).unwrap();
        assert_eq!((found.train.classes[0], found.test.classes[0]), (2, 2));
    }

    #[test]
    fn files_in_a_folder_above_or_below_are_pointed_at() {
        let mut files: Vec<(String, &[u8])> = all_names(DataSetName::Cifar10)
            .into_iter()
            .map(|name| (format!("a/b/cifar-10-batches-bin/{name}"), &b""[..]))
            .collect();
        let as_slices = |files: &[(String, &'static [u8])]| files.to_vec();
        let below = as_slices(&files);
        let below: Vec<(&str, &[u8])> =
            below.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        let (_, words, help) = told(DataSetName::Cifar10, &below);
        assert!(words.contains("its files are in BASE/here/a/b/cifar-10-batches-bin"), "{words}");
        assert!(help.contains("dir = \"BASE/here/a/b/cifar-10-batches-bin\""), "{help}");
        for (name, _) in &mut files {
            *name = name.replace("a/b/", "../");
        }
        files.push(("notes.txt".to_owned(), b""));
        let above: Vec<(&str, &[u8])> =
            files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        let (_, words, _) = told(DataSetName::Cifar10, &above);
        assert!(words.contains("its files are in BASE/cifar-10-batches-bin"), "{words}");
    }

    #[test]
    fn an_archive_and_other_versions_are_named_and_nothing_is_downloaded_over() {
        for (set, name, expected, way_out) in [
            (DataSetName::Cifar10, "cifar-10-binary.tar.gz", "is not unpacked", "checks and unpacks it"),
            (DataSetName::Mnist, "archive.zip", "archive.zip lies there", "unpack it in BASE/here"),
            (
                DataSetName::Cifar10,
                "cifar-10-python.tar.gz",
                "Python (pickle) version",
                "--dir BASE/here/binary",
            ),
            (DataSetName::Cifar10, "data_batch_1", "Python (pickle) version", "--dir BASE/here/binary"),
            (DataSetName::Cifar10, "cifar-10-batches-py/data_batch_1", "Python (pickle)", "BASE/here/binary"),
            (DataSetName::Cifar100, "train", "Python (pickle) version", "cifar-100-binary.tar.gz"),
            (DataSetName::Cifar10, "data_batch_1.mat", "MATLAB version", "--dir BASE/here/binary"),
            (DataSetName::Mnist, "mnist.csv", "the folder holds mnist.csv", "train-images-idx3-ubyte"),
        ] {
            let (error, words, help) = told(set, &[(name, b"x")]);
            let expected = expected.replace("is not", "are not");
            assert!(matches!(error, DataError::Misplaced { .. }), "{words}");
            assert!(words.contains(&expected), "{words}");
            assert!(help.contains(way_out), "{help}");
            let over = format!("`runner data fetch {} --dir BASE/here`", set.name());
            assert!(name == "cifar-10-binary.tar.gz" || !help.contains(&over), "{help}");
        }
    }

    #[test]
    fn files_of_ones_own_are_never_to_be_downloaded_over() {
        let (images, labels) = (idx(&[2, 28, 28], 2 * 784), idx(&[2], 2));
        let (_, words, help) = told(DataSetName::Mnist, &[(IDX[0], &images), (IDX[1], &labels)]);
        assert!(words.contains("2 of its 4 files are there; missing: t10k-images"), "{words}");
        assert!(!help.contains("fetch"), "{help}");
        for (broken, reason) in [
            (idx(&[2, 32, 32], 2 * 1024), "its images have 32x32 pixels, expected 28x28"),
            (
                idx(&[3, 28, 28], 3 * 784),
                "it has 3 images, and BASE/here/train-labels-idx1-ubyte has 2 labels",
            ),
            (idx(&[2], 2), "it holds labels (1 dimension), expected images (3 dimensions)"),
            (b"\x80\x04pickle".to_vec(), "it is a Python pickle"),
            (b"PK\x03\x04".to_vec(), "it is a zip archive"),
            (vec![0, 0, 13, 3], "its values have the type 0xd, expected 0x8 (unsigned bytes)"),
        ] {
            let files = [(IDX[0], &broken[..]), (IDX[1], &labels), (IDX[2], &images), (IDX[3], &labels)];
            let (_, words, help) = told(DataSetName::Mnist, &files);
            assert!(words.contains(reason), "{words}");
            assert!(!help.contains("fetch") && help.contains("runner does not replace it"), "{help}");
        }
        let mut many = idx(&[2], 2);
        *many.last_mut().unwrap() = 46;
        let files = [(IDX[0], &images[..]), (IDX[1], &many), (IDX[2], &images), (IDX[3], &labels)];
        let (_, words, _) = told(DataSetName::Mnist, &files);
        assert!(
            words.contains("labels go up to 46, which makes 47 classes; mnist has 10, 0 to 9"),
            "{words}"
        );
    }

    #[test]
    fn a_file_of_the_other_cifar_is_recognised_by_its_size() {
        let files = [("train.bin", &[0; 3073][..]), ("test.bin", &[0; 3074][..])];
        let (_, words, _) = told(DataSetName::Cifar100, &files);
        assert!(words.contains("3073 bytes") && words.contains("cifar10 has 3073 bytes an image"), "{words}");
    }
}
