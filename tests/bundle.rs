//! Bundles: what one machine exports another can check and use, and nothing else enters a cache.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use binary::{SMALL, files, flat, flip, folder_with, objects, runner, succeeds, text};
use jiff::Timestamp;
use runner::fingerprint::Fingerprint;
use runner::store::{
    BundleError, Imported, Lookup, ObjectHash, OutputEntry, Provenance, Record, Replace, Store,
};
use serde_json::{Value, json};

const WORK: Fingerprint = Fingerprint::from_bytes([0xab; 32]);
const OTHER: Fingerprint = Fingerprint::from_bytes([0xcd; 32]);

fn record(work: Fingerprint, content: &[u8]) -> Record {
    let object = ObjectHash::of(content);
    let entry = OutputEntry { object, bytes: content.len() as u64, artifact: "network".into() };
    let outputs = BTreeMap::from([("network".into(), entry)]);
    let provenance =
        Provenance { host: "far".into(), finished: Timestamp::UNIX_EPOCH, ..Provenance::default() };
    Record::new(work, "init", 1, outputs, json!({ "accuracy": 0.1 }), provenance)
}

fn filled(root: &Path) -> Store {
    let store = Store::open(root).unwrap();
    for (work, content) in [(WORK, b"a network"), (OTHER, b"another 1")] {
        store.put(content).unwrap();
        store.commit(&record(work, content)).unwrap();
    }
    store
}

/// A folder with a cache `a`, and an empty one `b`.
fn two() -> (tempfile::TempDir, Store, Store) {
    let folder = tempfile::tempdir().unwrap();
    let (full, empty) = (filled(&folder.path().join("a")), Store::open(&folder.path().join("b")).unwrap());
    (folder, full, empty)
}

fn export(store: &Store, to: &Path) {
    store.export(&[WORK, OTHER].into(), to, Replace::No).unwrap();
}

/// Names and contents of an archive's files.
fn unpacked(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let read = |mut entry: tar::Entry<'_, fs::File>| {
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (name, content)
    };
    archive.entries().unwrap().map(|entry| read(entry.unwrap())).collect()
}

/// An archive of files with names that need not be honest.
fn packed(to: &Path, members: &[(String, Vec<u8>)]) {
    let mut archive = tar::Builder::new(fs::File::create(to).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        // `set_path` would refuse what an attacker would write.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap();
}

fn nothing_came(store: &Store, root: &Path) {
    assert!(store.inventory().unwrap().work.is_empty());
    assert!(files(root, "objects").is_empty() && files(root, "tmp").is_empty());
}

#[test]
fn what_was_exported_is_imported_once_and_again_as_archive_and_as_folder() {
    let (folder, full, _) = two();
    for (number, name) in ["bundle.tar", "bundle"].into_iter().enumerate() {
        let (bundle, root) = (folder.path().join(name), folder.path().join(format!("b{number}")));
        export(&full, &bundle);
        let empty = Store::open(&root).unwrap();
        let first = empty.import(&bundle).unwrap();
        assert_eq!(first.new, [WORK, OTHER]);
        assert_eq!(empty.lookup(&WORK).unwrap(), Lookup::Present(record(WORK, b"a network")));
        assert_eq!(empty.get(&ObjectHash::of(b"another 1")).unwrap(), b"another 1");
        let again = empty.import(&bundle).unwrap();
        assert_eq!(again, Imported { known: vec![WORK, OTHER], new: vec![], ..first });
        // What was taken is given on with the same bytes.
        let next = folder.path().join(format!("next{number}.tar"));
        export(&empty, &next);
        let straight = folder.path().join(format!("straight{number}.tar"));
        export(&full, &straight);
        assert!(fs::read(next).unwrap() == fs::read(straight).unwrap());
    }
    let names: Vec<String> =
        unpacked(&folder.path().join("bundle.tar")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[0], "manifest.json");
    let inner = |path: PathBuf| {
        path.strip_prefix(folder.path().join("bundle")).unwrap().to_string_lossy().into_owned()
    };
    let mut there: Vec<String> = files(&folder.path().join("bundle"), "").into_iter().map(inner).collect();
    let mut names = names;
    names.sort();
    there.sort();
    assert_eq!(names, there);
}

#[test]
fn no_changed_bit_and_no_cut_of_a_bundle_gets_into_a_cache() {
    let (folder, full, empty) = two();
    let bundle = folder.path().join("bundle.tar");
    export(&full, &bundle);
    let whole = fs::read(&bundle).unwrap();
    let members = unpacked(&bundle);
    let bad = folder.path().join("bad.tar");
    // Every byte of every file in it.
    for (number, (name, content)) in members.iter().enumerate() {
        for byte in 0..content.len() {
            let mut changed = members.clone();
            changed[number].1[byte] ^= 1;
            packed(&bad, &changed);
            assert!(matches!(empty.import(&bad), Err(BundleError::Refused { .. })), "byte {byte} of {name}");
        }
    }
    // What follows the last file's content is only padding.
    let last = whole.len() - 1024 - (512 - members.last().unwrap().1.len());
    for length in (0..last).step_by(101) {
        fs::write(&bad, &whole[..length]).unwrap();
        assert!(matches!(empty.import(&bad), Err(BundleError::Refused { .. })), "cut to {length}");
    }
    nothing_came(&empty, &folder.path().join("b"));
}

#[test]
fn a_bundle_that_is_not_what_an_export_wrote_is_refused_whole() {
    let (folder, full, empty) = two();
    let bundle = folder.path().join("bundle.tar");
    export(&full, &bundle);
    let whole = unpacked(&bundle);
    let bad = folder.path().join("bad.tar");
    let mut story = String::new();
    let mut refused = |what: &str, members: &[(String, Vec<u8>)]| {
        packed(&bad, members);
        let error = empty.import(&bad).unwrap_err();
        assert!(matches!(error, BundleError::Refused { .. }), "{what}: {error:?}");
        let error = error.to_string();
        story += &format!("{what}: {}\n", error.split_once("used: ").unwrap().1);
    };
    let with = |name: &str| [whole.clone(), vec![(name.to_owned(), b"x".to_vec())]].concat();
    refused("nothing at all", &[]);
    refused("out of the folder", &with("../../outside"));
    refused("an absolute path", &with("/outside"));
    refused("a file more", &with("objects/more.safetensors"));
    refused("a file twice", &[whole.clone(), vec![whole[1].clone()]].concat());
    refused("a file less", &whole[..whole.len() - 1]);
    refused("another order", &whole.iter().rev().cloned().collect::<Vec<_>>());
    let mut swapped = whole.clone();
    let names = [swapped[3].0.clone(), swapped[4].0.clone()];
    (swapped[3].0, swapped[4].0) = (names[1].clone(), names[0].clone());
    refused("two objects swapped", &swapped);
    let mut newer = whole.clone();
    newer[0].1 =
        String::from_utf8(newer[0].1.clone()).unwrap().replace("\"format\": 2", "\"format\": 3").into();
    packed(&bad, &newer);
    assert!(matches!(empty.import(&bad), Err(BundleError::Refused { .. })), "its seal does not fit");
    newer[0].1 = b"{\n  \"format\": 3,\n  \"all\": \"new\"\n}".to_vec();
    packed(&bad, &newer);
    assert!(matches!(empty.import(&bad), Err(BundleError::Format { found: 3, .. })));
    // A link, and a header that claims more than the file has.
    let mut archive = tar::Builder::new(fs::File::create(&bad).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "manifest.json", "/etc/passwd").unwrap();
    archive.into_inner().unwrap();
    assert!(empty.import(&bad).unwrap_err().to_string().contains("no ordinary file"));
    for size in [u64::MAX >> 1, 1 << 40, 100_000] {
        let mut header = tar::Header::new_gnu();
        header.set_path("manifest.json").unwrap();
        header.set_size(size);
        header.set_cksum();
        fs::write(&bad, [header.as_bytes().as_slice(), b"{"].concat()).unwrap();
        assert!(matches!(empty.import(&bad), Err(BundleError::Refused { .. })), "{size}");
    }
    nothing_came(&empty, &folder.path().join("b"));
    assert!(!folder.path().join("outside").exists());
    insta::with_settings!({omit_expression => true, filters => vec![(r"[0-9a-f]{64}", "[hash]")]}, {
        insta::assert_snapshot!(story);
    });
}

#[cfg(unix)]
#[test]
fn a_link_in_a_bundle_s_folder_is_refused() {
    let (folder, full, empty) = two();
    let bundle = folder.path().join("bundle");
    export(&full, &bundle);
    let object = files(&bundle, "objects").remove(0);
    fs::rename(&object, folder.path().join("moved")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("moved"), &object).unwrap();
    assert!(empty.import(&bundle).unwrap_err().to_string().contains("no ordinary file"));
    nothing_came(&empty, &folder.path().join("b"));
}

#[test]
fn an_import_mends_what_is_damaged_and_never_replaces_a_result_by_another() {
    let (folder, full, _) = two();
    let bundle = folder.path().join("bundle.tar");
    export(&full, &bundle);
    let root = folder.path().join("c");
    let store = Store::open(&root).unwrap();
    // This machine has made something else of the same work.
    store.put(b"mine").unwrap();
    store.commit(&record(WORK, b"mine")).unwrap();
    let done = store.import(&bundle).unwrap();
    assert_eq!((done.different, done.new), (vec![WORK], vec![OTHER]));
    assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Present(record(WORK, b"mine")));
    flip(&store.object_path(&ObjectHash::of(b"another 1")));
    flip(&root.join(format!("records/ab/{WORK}.json")));
    let done = store.import(&bundle).unwrap();
    assert_eq!((done.known, done.new), (vec![OTHER], vec![WORK]));
    assert_eq!(store.get(&ObjectHash::of(b"another 1")).unwrap(), b"another 1");
    assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Present(record(WORK, b"a network")));
    // What a runner is making is left to it.
    fs::remove_file(root.join(format!("records/ab/{WORK}.json"))).unwrap();
    let _lock = store.lock(&WORK, &mut |_| panic!("nobody has it")).unwrap();
    assert_eq!(store.import(&bundle).unwrap().underway, [WORK]);
    assert_eq!(store.lookup(&WORK).unwrap(), Lookup::Absent);
}

#[test]
fn an_export_replaces_nothing_but_a_bundle_and_that_only_by_force() {
    let (folder, full, empty) = two();
    for name in ["bundle.tar", "bundle"] {
        let bundle = folder.path().join(name);
        full.export(&[WORK].into(), &bundle, Replace::No).unwrap();
        let again = full.export(&[OTHER].into(), &bundle, Replace::No);
        assert!(matches!(again, Err(BundleError::Exists { .. })));
        full.export(&[OTHER].into(), &bundle, Replace::Bundle).unwrap();
        assert!(empty.import(&bundle).unwrap().new.len() + empty.inventory().unwrap().work.len() >= 1);
        assert_eq!(empty.lookup(&WORK).unwrap(), Lookup::Absent, "it is the second one");
    }
    let mine = folder.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("thesis.tex"), "x").unwrap();
    let refused = full.export(&[WORK].into(), &mine, Replace::Bundle);
    assert!(matches!(refused, Err(BundleError::NotReplaced { .. })));
    assert_eq!(fs::read_to_string(mine.join("thesis.tex")).unwrap(), "x");
    // A result that is damaged leaves no half of a bundle.
    flip(&full.object_path(&ObjectHash::of(b"a network")));
    assert!(full.export(&[WORK].into(), &folder.path().join("half.tar"), Replace::No).is_err());
    let left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".runner") || name.starts_with("half"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn on_another_machine_an_imported_pipeline_is_all_cached_and_says_where_it_was_made() {
    let quick = SMALL.replace("width = 4", "width = 2").replace("epochs = 3", "steps = 2");
    let folder = folder_with(&quick.replace("epochs = 4", "epochs = 1"));
    let here = folder.path();
    let _ = Store::open(&here.join("a")).unwrap().prepare().unwrap();
    let incomplete = runner(here, "a", &["export", "p.toml", "--to", "none.tar"]).output().unwrap();
    assert_eq!(incomplete.status.code(), Some(1));
    assert!(flat(&text(&incomplete).1).contains("the result of `init` is not in the cache"));
    succeeds(here, "a", &["run", "p.toml", "--quiet"]);
    let mut story = succeeds(here, "a", &["export", "p.toml", "--to", "all.tar"]);
    story += &succeeds(here, "a", &["export", "p.toml", "prune", "--to", "prune"]);
    story += &succeeds(here, "b", &["import", "all.tar"]);
    story += &succeeds(here, "b", &["import", "all.tar"]);
    insta::with_settings!({omit_expression => true, filters => vec![(r"\d+\.\d\d [KM]iB", "[size]")]}, {
        insta::assert_snapshot!(story);
    });
    assert_eq!(objects(here, "a"), objects(here, "b"));
    assert!(succeeds(here, "b", &["run", "p.toml"]).contains("0 ran, 6 from the cache"));
    succeeds(here, "b", &["cache", "verify"]);
    let shown: Value =
        serde_json::from_str(&binary::stdout(here, "b", &["show", "p.toml", "retrain", "--json"])).unwrap();
    let made = &shown["record"]["provenance"];
    assert_eq!(made["host"].as_str().unwrap(), gethostname::gethostname().to_string_lossy());
    // A stage comes with all that led to it.
    succeeds(here, "c", &["import", "prune"]);
    assert!(succeeds(here, "c", &["run", "p.toml", "--until", "prune"]).contains("0 ran, 4 from the cache"));
}

#[test]
fn export_and_import_explain_themselves() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["export", "import"] {
        let output = runner(folder.path(), "c", &[command, "--help"]).output().unwrap();
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!(format!("help_{command}"), text(&output).0);
        });
    }
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_gzipped_bundle_is_read_whatever_its_name_and_other_packings_are_refused_in_words() {
    let (folder, store, other) = two();
    let plain = folder.path().join("bundle.tar");
    export(&store, &plain);
    let archive = fs::read(&plain).unwrap();
    let packed = folder.path().join("bundle.of.some.name");
    // In one piece, and in several as some programs write it.
    let (head, tail) = archive.split_at(archive.len() / 2);
    for content in [gzipped(&archive), [gzipped(head), gzipped(tail)].concat()] {
        fs::write(&packed, content).unwrap();
        let imported = other.import(&packed).unwrap();
        assert_eq!(imported.new.len() + imported.known.len(), store.records_like("").unwrap().len());
    }
    fs::write(&packed, &gzipped(&archive)[..archive.len() / 50]).unwrap();
    assert!(other.import(&packed).unwrap_err().to_string().contains("cannot be used"));
    for (magic, name) in [
        (b"PK\x03\x04".as_slice(), "zip"),
        (b"BZh91AY&SY", "bzip2"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    ] {
        fs::write(&packed, magic).unwrap();
        let said = other.import(&packed).unwrap_err().to_string();
        assert!(said.contains(&format!("it is packed by {name}: unpack it")), "{said}");
    }
}

#[test]
fn a_bundle_that_another_program_has_packed_is_refused_in_words_and_its_names_take_no_memory() {
    let (folder, store, other) = two();
    let plain = folder.path().join("bundle.tar");
    export(&store, &plain);
    let members = unpacked(&plain);
    let repacked = folder.path().join("repacked.tar");
    let write = |first: &dyn Fn(&mut tar::Builder<fs::File>), name: &dyn Fn(&str) -> String| {
        let mut archive = tar::Builder::new(fs::File::create(&repacked).unwrap());
        first(&mut archive);
        for (member, content) in &members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name(member), content.as_slice()).unwrap();
        }
        archive.into_inner().unwrap();
    };
    let entry = |kind: tar::EntryType, size: u64| {
        move |archive: &mut tar::Builder<fs::File>| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            archive.append(&header, std::io::Read::take(std::io::repeat(b'a'), size)).unwrap();
        }
    };
    let same = |name: &str| name.to_owned();
    let cases: [(&dyn Fn(&mut tar::Builder<fs::File>), &dyn Fn(&str) -> String, &str); 5] = [
        (&|_| {}, &|name| format!("quickstart/{name}"), "it begins with `quickstart/"),
        (&entry(tar::EntryType::Directory, 0), &same, "is a folder"),
        // A name of 100 MB, and attributes that are as long.
        (&entry(tar::EntryType::GNULongName, 100 << 20), &same, "is a name too long for a bundle"),
        (&entry(tar::EntryType::XHeader, 100 << 20), &same, "holds attributes that no export writes"),
        (&entry(tar::EntryType::XGlobalHeader, 100), &same, "holds attributes that no export writes"),
    ];
    for (first, name, expected) in cases {
        write(first, name);
        let said = other.import(&repacked).unwrap_err().to_string();
        assert!(said.contains(expected) && said.contains("unpack it and import the folder"), "{said}");
    }
    #[cfg(target_os = "linux")]
    {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        let most: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(most < 80 << 10, "{most} KiB");
    }
    nothing_came(&other, &folder.path().join("b"));
}

#[test]
fn an_export_is_compressed_where_its_name_says_so_and_the_same_results_give_the_same_bytes() {
    let (folder, store, other) = two();
    let plain = folder.path().join("bundle.tar");
    export(&store, &plain);
    for name in ["one.tar.gz", "two.tgz", "THREE.TAR.GZ"] {
        let packed = folder.path().join(name);
        export(&store, &packed);
        let content = fs::read(&packed).unwrap();
        assert!(content.starts_with(&[0x1f, 0x8b]), "{name}");
        let mut inflated = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(content.as_slice()), &mut inflated)
            .unwrap();
        assert!(inflated == fs::read(&plain).unwrap(), "{name}");
        store.export(&[WORK, OTHER].into(), &packed, Replace::Bundle).unwrap();
        assert!(fs::read(&packed).unwrap() == content, "{name}");
        assert_eq!(other.import(&packed).unwrap().objects, store.objects_like("").unwrap().len(), "{name}");
    }
}
