//! Where a cache is, and what is none: nothing of somebody else is ever removed, moved or replaced.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

mod binary;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use binary::{SMALL, flat, folder, objects, quick, runner, succeeds, text};
use runner::fingerprint::Fingerprint;
use runner::store::{OutputEntry, Provenance, Record, Repair, Store, StoreError};
use serde_json::json;

const MARKER: &str = ".runner-cache";

/// The binary in `here`, with no cache named by anybody.
fn bare(here: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
    command.current_dir(here).args(arguments).env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8");
    command.env_remove("RUNNER_CACHE");
    command
}

fn said(command: &mut Command) -> (bool, String) {
    let output: Output = command.output().unwrap();
    let (stdout, stderr) = text(&output);
    (output.status.success(), flat(&(stdout + &stderr)))
}

fn everything(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let all = walkdir::WalkDir::new(root).into_iter().flatten();
    all.map(|entry| (entry.path().to_owned(), fs::read(entry.path()).ok())).collect()
}

fn write(root: &Path, file: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "of somebody").unwrap();
}

/// A cache with a result, and a bundle of it at `bundle.tar` beside it.
fn with_result(folder: &Path) -> Store {
    let store = Store::open(&folder.join("c")).unwrap();
    let object = store.put(b"a network").unwrap();
    let entry = OutputEntry { object, bytes: 9, artifact: "network".into() };
    let outputs = BTreeMap::from([("network".to_owned(), entry)]);
    let work = Fingerprint::from_bytes([0xab; 32]);
    store.commit(&Record::new(work, "init", 1, outputs, json!({}), Provenance::default())).unwrap();
    succeeds(folder, "c", &["export", &work.to_string(), "--to", "bundle.tar"]);
    store
}

#[test]
fn a_folder_that_is_no_cache_is_refused_in_words_and_nothing_in_it_changes() {
    let folder = quick();
    let here = folder.path();
    with_result(here);
    let mine = here.join("mine");
    for file in
        ["tmp/letter.txt", "tmp/.tmpAbCdEf", "objects/plan.dwg", "src/main.rs", "notes.txt", "locks/door"]
    {
        write(&mine, file);
    }
    std::os::unix::fs::symlink("notes.txt", mine.join("a link")).unwrap();
    let before = everything(&mine);
    let commands: [&[&str]; 17] = [
        &["run", "../p.toml"],
        &["plan", "../p.toml"],
        &["status", "../p.toml"],
        &["table", "../p.toml"],
        &["import", "../bundle.tar"],
        &["export", "abababab", "--to", "../out.tar"],
        &["runs"],
        &["repeat", "last"],
        &["show", "abababab"],
        &["cache", "ls"],
        &["cache", "du"],
        &["cache", "verify"],
        &["cache", "verify", "--repair"],
        &["cache", "gc"],
        &["cache", "gc", "--all", "--no-wait"],
        &["cache", "pin", "abababab"],
        &["cache", "pull", "../p.toml", "--remote-url", "file:///nowhere"],
    ];
    for command in commands {
        for by_variable in [false, true] {
            let mut called = bare(&mine, command);
            if by_variable {
                called.env("RUNNER_CACHE", ".")
            } else {
                called.args(["--cache", "."])
            };
            let (success, words) = said(&mut called);
            assert!(!success, "{command:?}: {words}");
            assert!(words.contains("is not a cache of runner: it holds `"), "{command:?}: {words}");
            assert!(words.contains("--cache DIR"), "{command:?}: {words}");
            assert_eq!(everything(&mine), before, "{command:?}");
        }
    }
}

#[test]
fn files_of_somebody_else_within_a_cache_stay_whatever_is_done() {
    let folder = quick();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet"]);
    let mine = [
        "tmp/letter.txt",
        "tmp/.tmpAbCdEf",
        "tmp/runner-short.tmp",
        "tmp/folder/x",
        "objects/ab/notes.txt",
        "objects/notes.txt",
        "records/zz/x.json",
        "partial/notes",
        "last/mine/init.json",
        "pins/notes.json",
        "runs/notes.json",
        "manifests/notes.json",
        "logs/notes.jsonl",
        "locks/run-away",
        "locks/door",
        "quarantine/notes",
        "thesis.tex",
        "src/main.rs",
        "README.md",
    ];
    mine.iter().for_each(|file| write(&here.join("c"), file));
    with_result(here).verify(Repair::No).unwrap();
    let commands: [&[&str]; 7] = [
        &["run", "p.toml", "--quiet", "--force", "init"],
        &["cache", "verify", "--repair"],
        &["cache", "gc"],
        &["cache", "gc", "--all"],
        &["run", "p.toml", "--quiet"],
        &["import", "bundle.tar"],
        &["cache", "verify", "--repair"],
    ];
    for command in commands {
        let said = succeeds(here, "c", command);
        for file in mine {
            let content = fs::read_to_string(here.join("c").join(file));
            assert!(content.is_ok_and(|content| content == "of somebody"), "{command:?}: {file}: {said}");
        }
    }
    let said = succeeds(here, "c", &["cache", "verify"]);
    assert!(said.contains("tmp/letter.txt  runner does not put such a thing there"), "{said}");
    assert!(said.contains("all is as it was written"), "{said}");
}

#[test]
fn a_cache_of_an_older_runner_is_known_by_its_layout_and_gets_its_marker_when_something_is_written() {
    let folder = quick();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet"]);
    let marker = here.join("c").join(MARKER);
    fs::remove_file(&marker).unwrap();
    write(&here.join("c"), "README.md");
    write(&here.join("c"), "tmp/.tmpAbCdEf");
    let before = everything(&here.join("c"));
    for command in [&["cache", "ls"] as &[&str], &["plan", "p.toml"], &["cache", "du"], &["runs"]] {
        succeeds(here, "c", command);
    }
    assert_eq!(everything(&here.join("c")), before, "who only looks writes nothing");
    assert!(succeeds(here, "c", &["run", "p.toml"]).contains("0 ran, 6 from the cache"));
    assert!(marker.is_file());
    // One file too many, and it is somebody's folder.
    fs::remove_file(&marker).unwrap();
    write(&here.join("c"), "objects/mine.txt");
    let (success, words) = said(runner(here, "c", &["run", "p.toml"]).arg("--quiet"));
    assert!(!success && words.contains("it holds `objects/mine.txt`"), "{words}");
}

#[test]
fn where_there_is_no_cache_every_command_says_so_and_makes_none() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("empty")).unwrap();
    for place in ["none", "empty"] {
        let commands: [&[&str]; 12] = [
            &["cache", "ls"],
            &["cache", "du"],
            &["cache", "verify"],
            &["cache", "verify", "--repair"],
            &["cache", "gc"],
            &["cache", "gc", "--dry-run"],
            &["cache", "pin", "p.toml"],
            &["cache", "unpin", "--all"],
            &["cache", "push", "--remote-url", "file:///nowhere"],
            &["export", "p.toml", "--to", "out.tar"],
            &["runs"],
            &["repeat", "last"],
        ];
        for command in commands {
            let (success, words) = said(&mut runner(here, place, command));
            assert!(
                !success && words.contains(&format!("there is no cache at {place}")),
                "{command:?}: {words}"
            );
        }
    }
    for command in [
        &["import", "no bundle.tar"][..],
        &["import", "p.toml"],
        &["cache", "pull"],
        &["cache", "pull", "--remote-url", "s3://"],
    ] {
        let (success, words) = said(&mut runner(here, "none", command));
        assert!(!success, "{command:?}: {words}");
    }
    assert!(!here.join("none").exists());
    assert_eq!(fs::read_dir(here.join("empty")).unwrap().count(), 0);
    std::os::unix::fs::symlink("nowhere", here.join("dangling")).unwrap();
    let (success, words) = said(&mut runner(here, "dangling", &["run", "p.toml"]));
    assert!(!success && words.contains("is a link to a folder that does not exist"), "{words}");
    std::os::unix::fs::symlink("empty", here.join("linked")).unwrap();
    succeeds(here, "linked", &["run", "p.toml", "--quiet", "--until", "init"]);
    assert_eq!(objects(here, "empty").len(), 1);
}

#[test]
fn a_marker_is_there_before_anything_else_and_many_may_make_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let root = folder.path().join(round.to_string());
        std::thread::scope(|scope| {
            for number in 0..8u8 {
                let root = &root;
                scope.spawn(move || Store::open(root).unwrap().put(&[number; 100]).unwrap());
            }
        });
        let marker = fs::read_to_string(root.join(MARKER)).unwrap();
        assert!(
            marker.starts_with("runner cache 1\n") && marker.matches("runner cache 1").count() == 1,
            "{marker}"
        );
        assert_eq!(Store::existing(&root).unwrap().objects_like("").unwrap().len(), 8);
    }
    // A later layout is named and left alone.
    fs::write(folder.path().join("0").join(MARKER), "runner cache 7\n").unwrap();
    assert!(matches!(Store::open(&folder.path().join("0")), Err(StoreError::Layout { .. })));
}

/// A project with a pipeline two folders deep, and `mark` at its top.
fn project(mark: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("p/studies/vgg")).unwrap();
    fs::write(folder.path().join("p/studies/vgg/p.toml"), SMALL).unwrap();
    match mark {
        "nothing" => {}
        ".git" => fs::create_dir(folder.path().join("p/.git")).unwrap(),
        "cache" => {
            let store = Store::open(&folder.path().join("p/cache")).unwrap();
            let _ = store.prepare().unwrap();
        }
        file => fs::write(folder.path().join("p").join(file), "").unwrap(),
    }
    folder
}

#[test]
fn results_lie_in_the_project_of_their_pipeline_and_are_found_from_any_folder() {
    let init = ["--until", "init"];
    for (mark, place) in [
        (".git", "p/cache"),
        ("runner.toml", "p/cache"),
        ("cache", "p/cache"),
        ("nothing", "p/studies/vgg/cache"),
    ] {
        let folder = project(mark);
        let top = folder.path().canonicalize().unwrap();
        let file = top.join("p/studies/vgg/p.toml");
        // From within, from above and from elsewhere; the file by its path and by a link.
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&file, elsewhere.path().join("linked.toml")).unwrap();
        let (success, words) = said(bare(&top.join("p/studies/vgg"), &["plan", "p.toml"]).args(init));
        assert!(success, "{words}");
        assert_eq!(words.contains("cache (new)"), mark != "cache", "{mark}: {words}");
        let (success, words) = said(bare(&top.join("p/studies/vgg"), &["run", "p.toml"]).args(init));
        assert!(success && words.contains("1 ran"), "{mark}: {words}");
        assert!(
            words.contains(&format!(
                "cache: {}",
                match mark {
                    "nothing" => "cache".to_owned(),
                    _ => top.join(place).display().to_string(),
                }
            )),
            "{mark}: {words}"
        );
        assert_eq!(objects(&top, place).len(), 1, "{mark}");
        for (here, path) in [
            (top.join("p"), "studies/vgg/p.toml"),
            (top.clone(), "p/studies/vgg/p.toml"),
            (top.join("p/studies"), "./../studies/vgg/p.toml"),
            (elsewhere.path().to_owned(), "linked.toml"),
        ] {
            let (success, words) = said(bare(&here, &["run", path]).args(init));
            assert!(success && words.contains("0 ran, 1 from the cache"), "{mark} {path}: {words}");
            assert!(!words.contains("(new)"), "{mark} {path}: {words}");
        }
        // Commands without a pipeline look upward from where they are.
        for here in [top.join("p/studies/vgg"), top.join(place)] {
            let (success, words) = said(&mut bare(&here, &["cache", "ls"]));
            assert!(success && words.contains("1 result"), "{mark} {here:?}: {words}");
        }
        // An empty variable is none, and an option goes before a variable.
        let (success, words) =
            said(bare(&top.join("p"), &["plan", "studies/vgg/p.toml"]).env("RUNNER_CACHE", ""));
        assert!(success && words.contains("1 in the cache"), "{mark}: {words}");
        let (success, words) =
            said(bare(&top, &["plan", "p/studies/vgg/p.toml"]).env("RUNNER_CACHE", "other"));
        assert!(success && words.contains("cache: other (new)"), "{mark}: {words}");
        let mut both = bare(&top, &["plan", "p/studies/vgg/p.toml", "--cache", "third"]);
        let (success, words) = said(both.env("RUNNER_CACHE", "other"));
        assert!(success && words.contains("cache: third (new)"), "{mark}: {words}");
    }
}

#[test]
fn a_folder_called_cache_of_somebody_else_is_not_taken_for_the_cache_of_a_project() {
    let folder = project("nothing");
    let top = folder.path().canonicalize().unwrap();
    write(&top, "p/cache/browser.db");
    let (success, words) = said(&mut bare(&top, &["plan", "p/studies/vgg/p.toml"]));
    assert!(success && words.contains("cache: p/studies/vgg/cache (new)"), "{words}");
    // In a project it would be the place, and is refused.
    fs::create_dir(top.join("p/.git")).unwrap();
    let (success, words) = said(&mut bare(&top, &["plan", "p/studies/vgg/p.toml"]));
    assert!(!success && words.contains("p/cache is not a cache of runner: it holds `browser.db`"), "{words}");
}

#[test]
fn the_cache_of_this_repository_is_marked_and_its_default() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (success, words) =
        said(&mut bare(&top.join("src"), &["plan", "../pipelines/quickstart.toml", "--json"]));
    assert!(success, "{words}");
    assert!(words.contains(&format!("\"cache\": \"{}", top.join("cache").display())), "{words}");
    assert!(fs::read_to_string(top.join("cache").join(MARKER)).unwrap().starts_with("runner cache 1\n"));
    let ignored = fs::read_to_string(top.join(".gitignore")).unwrap();
    assert!(ignored.contains("!/cache/.runner-cache"), "{ignored}");
}
