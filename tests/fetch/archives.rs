//! Archives, honest and not.

use std::path::Path;

use flate2::Compression;
use runner::data::DataSetName;
use runner::data::fetch::{Download, FetchError, FetchEvent, Packing, Published, published};
use tar::{Builder, EntryType, Header};

use crate::server::{Reply, Server};
use crate::{described, fetched, files, gzip, noise};

const TRAIN: &str = "cifar-100-binary/train.bin";
const TEST: &str = "cifar-100-binary/test.bin";

/// An entry, as it stands in the archive: whatever name, kind, link and size.
struct Entry<'a> {
    name: &'a str,
    kind: EntryType,
    link: &'a str,
    size: Option<u64>,
    content: &'a [u8],
}

impl<'a> Entry<'a> {
    fn file(name: &'a str, content: &'a [u8]) -> Self {
        Self { name, kind: EntryType::Regular, link: "", size: None, content }
    }

    fn link(kind: EntryType, name: &'a str, link: &'a str) -> Self {
        Self { name, kind, link, size: None, content: b"" }
    }
}

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        // Written by hand, since the library refuses to write what it should refuse to read.
        let raw = header.as_ustar_mut().unwrap();
        raw.name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        raw.linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_entry_type(entry.kind);
        header.set_mode(0o644);
        header.set_size(entry.size.unwrap_or(entry.content.len() as u64));
        header.set_cksum();
        builder.append(&header, entry.content).unwrap();
    }
    gzip(&builder.into_inner().unwrap(), Compression::fast())
}

fn contents() -> (Vec<u8>, Vec<u8>) {
    let bytes = noise(9 * 3074);
    (bytes[..6 * 3074].to_vec(), bytes[6 * 3074..].to_vec())
}

/// The set whose archive is `packed` and should have the members of [`contents`]; and a server for it.
fn serve(packed: &[u8]) -> (Server, Published) {
    let (train, test) = contents();
    let served = packed.to_vec();
    let server = Server::start(move |request, _| Reply::file(&served, "\"a\"", request));
    let download = Download {
        file: described("cifar-100-binary.tar.gz", packed),
        packing: Packing::TarGzip,
        members: vec![described(TRAIN, &train), described(TEST, &test)],
    };
    let sources = vec![server.url.clone()];
    (server, Published { sources, downloads: vec![download], ..published(DataSetName::Cifar100) })
}

/// Fetches an archive that is to be refused, and gives the reason.
fn refused(folder: &Path, entries: &[Entry<'_>]) -> String {
    let (_server, wanted) = serve(&tar(entries));
    let error = fetched(folder, &wanted).0.unwrap_err();
    let FetchError::Archive { reason, .. } = error else { panic!("{error:?}") };
    reason
}

#[test]
fn the_members_land_where_the_reader_looks_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = contents();
    let directory = Entry::link(EntryType::Directory, "cifar-100-binary/", "");
    let beside = Entry::file("cifar-100-binary/fine_label_names.txt", b"apple");
    let packed = tar(&[directory, Entry::file(TEST, &test), beside, Entry::file(TRAIN, &train)]);
    let (server, wanted) = serve(&packed);
    fetched(folder.path(), &wanted).0.unwrap();
    assert_eq!(files(folder.path()), [TEST, TRAIN]);
    assert_eq!(std::fs::read(folder.path().join(TRAIN)).unwrap(), train);
    assert_eq!(std::fs::read(folder.path().join(TEST)).unwrap(), test);

    let (result, events) = fetched(folder.path(), &wanted);
    result.unwrap();
    let here = |name| FetchEvent::AlreadyHere { path: folder.path().join(name) };
    assert_eq!(events, [here(TRAIN), here(TEST)]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_archive_that_somebody_brought_needs_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = contents();
    let packed = tar(&[Entry::file(TRAIN, &train), Entry::file(TEST, &test)]);
    let (server, wanted) = serve(&packed);
    std::fs::write(folder.path().join("cifar-100-binary.tar.gz"), &packed).unwrap();
    fetched(folder.path(), &wanted).0.unwrap();
    assert_eq!(files(folder.path()), ["cifar-100-binary.tar.gz", TEST, TRAIN]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn paths_and_links_out_of_the_folder_are_refused_and_nothing_is_written() {
    let outside = tempfile::tempdir().unwrap();
    let (train, test) = contents();
    let absolute = outside.path().join("x").display().to_string();
    let target = outside.path().display().to_string();
    let through = format!("{TRAIN}/../../../x");
    let cases = [
        (vec![Entry::file("../x", b"evil")], "outside the folder"),
        (vec![Entry::file(&through, b"evil")], "outside the folder"),
        (vec![Entry::file("/etc/x", b"evil")], "absolute path"),
        (vec![Entry::file(&absolute, b"evil")], "absolute path"),
        (vec![Entry::link(EntryType::Symlink, "cifar-100-binary", &target)], "is a link"),
        (vec![Entry::link(EntryType::Symlink, TRAIN, "/etc/passwd")], "is a link"),
        (vec![Entry::link(EntryType::Link, TRAIN, "../../x")], "is a link"),
        (vec![Entry::link(EntryType::Fifo, TRAIN, "")], "neither a file nor a folder"),
        (vec![Entry::link(EntryType::Char, "null", "")], "neither a file nor a folder"),
    ];
    for (mut entries, expected) in cases {
        // Honest members around it: the whole archive is refused all the same.
        entries.insert(0, Entry::file(TEST, &test));
        entries.push(Entry::file(TRAIN, &train));
        let folder = tempfile::tempdir().unwrap();
        let reason = refused(folder.path(), &entries);
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(files(folder.path()), [""; 0], "{reason}");
        assert_eq!(files(outside.path()), [""; 0], "{reason}");
    }
}

#[test]
fn members_of_the_wrong_size_or_number_are_refused() {
    let (train, test) = contents();
    let huge = |name| Entry { size: Some(1 << 40), ..Entry::file(name, b"") };
    let cases = [
        (vec![Entry::file(TEST, &test)], "`cifar-100-binary/train.bin` is not in it"),
        (vec![Entry::file(TRAIN, &train[1..])], "18443 bytes, 18444 were expected"),
        (vec![Entry::file(TRAIN, &train), Entry::file(TRAIN, &train)], "a second time"),
        (vec![huge(TRAIN)], "1099511627776 bytes"),
        (vec![huge("cifar-100-binary/readme.html")], "cannot be read"),
        (vec![Entry { size: Some(18444), ..Entry::file(TRAIN, &train[..50]) }], "ends before its size"),
    ];
    for (entries, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let reason = refused(folder.path(), &entries);
        assert!(reason.contains(expected), "{reason}, not {expected}");
        assert_eq!(files(folder.path()), [""; 0]);
    }
}

#[test]
fn an_archive_of_endless_zeros_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = vec![0; 64 << 20];
    let bomb = Entry::file("cifar-100-binary/readme.html", &zeros);
    let reason = refused(folder.path(), &[bomb]);
    assert!(reason.contains("cannot be read"), "{reason}");
}

#[test]
fn what_is_no_archive_is_refused() {
    for packed in [noise(5000), gzip(&noise(5000), Compression::fast())] {
        let folder = tempfile::tempdir().unwrap();
        let (_server, wanted) = serve(&packed);
        let error = fetched(folder.path(), &wanted).0.unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}

#[test]
fn a_bad_archive_leaves_the_files_that_were_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(TRAIN);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, b"mine").unwrap();
    refused(folder.path(), &[Entry::file("../x", b"evil")]);
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}
