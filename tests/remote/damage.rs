//! A shared cache whose files are not what they should be.

use std::fs;
use std::path::Path;

use super::{Lab, STAGES, change_record};
use crate::binary::flip;

/// What is done to the shared cache, and what the warning says of it.
type Damage = (&'static str, fn(&Lab), &'static str);

fn cut(path: &Path) {
    let content = fs::read(path).unwrap();
    fs::write(path, &content[..content.len() / 2]).unwrap();
}

const OF_AN_OBJECT: [Damage; 5] = [
    ("flipped", |lab| flip(&lab.object("a", "prune", "network")), "its content is not what its name says"),
    ("cut", |lab| cut(&lab.object("a", "prune", "network")), "bytes, and its record says"),
    (
        "too long",
        |lab| {
            let path = lab.object("a", "prune", "network");
            let content = fs::read(&path).unwrap();
            fs::write(path, [content.as_slice(), b"more"].concat()).unwrap();
        },
        "bytes, and its record says",
    ),
    (
        "missing",
        |lab| fs::remove_file(lab.object("a", "prune", "network")).unwrap(),
        "it is missing, and a record names it",
    ),
    (
        "another one",
        |lab| {
            let other = fs::read(lab.object("a", "init", "network")).unwrap();
            fs::write(lab.object("a", "prune", "network"), other).unwrap();
        },
        "bytes, and its record says",
    ),
];

const OF_A_RECORD: [Damage; 7] = [
    ("flipped", |lab| flip(&lab.record("prune")), "it is damaged"),
    ("cut", |lab| cut(&lab.record("prune")), "it is damaged"),
    ("empty", |lab| fs::write(lab.record("prune"), "").unwrap(), "it is damaged"),
    (
        "of other work",
        |lab| assert!(fs::copy(lab.record("init"), lab.record("prune")).unwrap() > 0),
        "it is the record of other work",
    ),
    (
        "of a newer format",
        |lab| change_record(&lab.record("prune"), |record| record["format"] = 99.into()),
        "it has format 99, this version of runner reads format",
    ),
    (
        "that lies about a size",
        |lab| {
            change_record(&lab.record("prune"), |record| {
                record["outputs"]["network"]["bytes"] = (1u64 << 60).into();
            });
        },
        "bytes, and its record says 1152921504606846976",
    ),
    (
        "larger than any",
        |lab| fs::write(lab.record("prune"), vec![b' '; 17 << 20]).unwrap(),
        "it is larger than any such file",
    ),
];

const OF_THE_WHOLE: [Damage; 3] = [
    (
        "of another layout",
        |lab| change_record(&lab.path().join("shared/runner-cache.json"), |mark| mark["layout"] = 7.into()),
        "has layout 7, this version of runner uses 1",
    ),
    (
        "of another format",
        |lab| change_record(&lab.path().join("shared/runner-cache.json"), |mark| mark["format"] = 99.into()),
        "has format 99, this version of runner uses",
    ),
    (
        "with a damaged mark",
        |lab| flip(&lab.path().join("shared/runner-cache.json")),
        "its `runner-cache.json` is damaged",
    ),
];

/// A machine that meets the damage warns of it and makes the rest itself.
fn met(damages: &[Damage], look: &dyn Fn(&Lab, &str, &str)) {
    for (name, damage, words) in damages {
        let lab = Lab::with_folder();
        lab.fill("a");
        damage(&lab);
        let said = lab.well("b", &["run", "p.toml", "--remote", "read-write"]);
        assert!(said.contains("warning:") && said.contains(words), "{name}: {said}");
        lab.same("b", "a");
        look(&lab, name, words);
    }
}

#[test]
fn a_wrong_object_is_named_and_not_used_and_the_run_makes_it_and_mends_it_there() {
    met(&OF_AN_OBJECT, &|lab, name, words| {
        // It was sent again, as it was known to be wrong.
        let said = lab.well("c", &["cache", "pull", "p.toml"]);
        assert!(said.contains("pulled: 5 results"), "{name}, {words}: {said}");
        lab.same("c", "a");
    });
}

#[test]
fn a_wrong_record_is_named_and_not_used_and_stays_for_somebody_to_look_at() {
    met(&OF_A_RECORD, &|lab, name, words| {
        let damaged = fs::read(lab.record_file("b", "prune")).unwrap();
        let said = lab.badly("c", &["cache", "pull", "p.toml"]);
        assert!(said.contains("failed: prune") && said.contains(words), "{name}: {said}");
        // What comes before it is here, what comes after it cannot be named.
        assert!(said.contains("pulled: 3 results") && said.contains("1 result not there"), "{name}: {said}");
        assert_eq!(fs::read(lab.record_file("b", "prune")).unwrap(), damaged, "{name}");
        assert!(lab.command("c", &["cache", "verify"]).output().unwrap().status.success(), "{name}");
    });
}

#[test]
fn a_shared_cache_of_another_version_is_left_alone() {
    for (name, damage, words) in OF_THE_WHOLE {
        let lab = Lab::with_folder();
        lab.fill("a");
        damage(&lab);
        let before = lab.shared();
        let said = lab.well("b", &["run", "p.toml", "--remote", "read-write"]);
        assert!(said.contains(words) && said.contains("5 ran, 0 from the cache, "), "{name}: {said}");
        assert!(said.contains("5 results are not in the shared cache"), "{name}: {said}");
        lab.same("b", "a");
        assert!(lab.badly("a", &["cache", "push", "p.toml"]).contains(words), "{name}");
        assert!(lab.badly("c", &["cache", "pull", "p.toml"]).contains(words), "{name}");
        assert_eq!(lab.shared(), before, "{name}");
    }
}

#[test]
fn a_folder_of_other_things_holds_no_results() {
    let lab = Lab::with_folder();
    fs::create_dir_all(lab.path().join("shared/records/ab")).unwrap();
    fs::write(lab.path().join("shared/records/ab/notes.json"), "{}").unwrap();
    assert!(lab.well("a", &["cache", "pull"]).contains("pulled: 0 results"));
    lab.fill("a");
    fs::write(lab.path().join("shared/records/zz.json"), "{}").unwrap();
    let did = lab.json("b", &["cache", "pull"]);
    assert_eq!(did["new"].as_array().unwrap().len(), STAGES, "{did}");
    lab.same("b", "a");
}
