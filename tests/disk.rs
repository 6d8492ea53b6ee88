//! Real disks that are full, read-only or broken, and clocks that jump.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod binary;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use binary::{files, flat, object, objects, quick, results, runner, strays, succeeds, text};

/// A disk in memory, for as long as it lives.
struct Disk(PathBuf);

impl Disk {
    /// None where this user may not mount one.
    fn new(place: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(place).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(place.to_owned()));
        }
        eprintln!("skipped: only the superuser can mount a disk");
        None
    }

    fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg("-l").arg(&self.0).status().unwrap().success());
    }
}

#[test]
fn on_a_full_disk_the_error_says_so_and_the_run_goes_on_when_there_is_room() {
    let folder = quick();
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    for size in ["4k", "32k", "100k", "160k"] {
        let Some(disk) = Disk::new(&folder.path().join("full"), size) else { return };
        let full = runner(folder.path(), "full", &["run", "p.toml", "--quiet"]).output().unwrap();
        let error = flat(&text(&full).1);
        assert_eq!(full.status.code(), Some(1), "{size}: {error}");
        assert!(error.contains("No space left on device"), "{size}: {error}");
        assert!(error.contains("its disk has room"), "{size}: {error}");
        assert!(files(&disk.0, "tmp").is_empty(), "{size}");
        succeeds(folder.path(), "full", &["cache", "verify"]);
        disk.change("size=64m");
        succeeds(folder.path(), "full", &["run", "p.toml", "--quiet"]);
        assert!(results(folder.path(), "full") == results(folder.path(), "whole"), "{size}");
        succeeds(folder.path(), "full", &["cache", "gc"]);
        assert_eq!(strays(&disk.0), [""; 0], "{size}");
    }
}

#[test]
fn a_disk_that_is_mounted_read_only_gives_its_results_and_one_clear_error_when_there_is_work() {
    let folder = quick();
    let Some(disk) = Disk::new(&folder.path().join("c"), "64m") else { return };
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet", "--until", "gate-train"]);
    disk.change("ro");
    for command in [
        &["plan", "p.toml"] as &[&str],
        &["run", "p.toml", "--until", "gate-train"],
        &["status", "p.toml"],
        &["runs"],
        &["cache", "ls"],
        &["cache", "du"],
        &["cache", "verify"],
        &["cache", "gc", "--dry-run"],
    ] {
        let said = succeeds(folder.path(), "c", command);
        assert!(!said.contains("warning"), "{command:?}: {said}");
    }
    for command in [&["run", "p.toml"] as &[&str], &["cache", "gc"], &["cache", "pin", "p.toml", "init"]] {
        let refused = runner(folder.path(), "c", command).output().unwrap();
        let error = flat(&text(&refused).1);
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {error}");
        assert_eq!(error.matches('×').count(), 1, "{command:?}: {error}");
        assert!(error.contains("Read-only file system"), "{command:?}: {error}");
    }
}

/// The library that is preloaded; none where there is no compiler.
fn shim(folder: &Path) -> Option<PathBuf> {
    let library = folder.join("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim/faults.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
    match built {
        Ok(output) => {
            assert!(output.status.success(), "{:?}", text(&output));
            Some(library)
        }
        Err(_) => {
            eprintln!("skipped: no C compiler");
            None
        }
    }
}

fn on_a_broken_disk(folder: &Path, library: &Path, lost: &Path, arguments: &[&str]) -> Output {
    let inode = lost.metadata().unwrap().ino().to_string();
    let mut command = runner(folder, "c", arguments);
    command.env("LD_PRELOAD", library).env("FAULT_INODE", inode).output().unwrap()
}

#[test]
fn what_the_disk_does_not_give_back_is_made_again_in_the_same_run() {
    let folder = quick();
    let Some(library) = shim(folder.path()) else { return };
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let whole = results(folder.path(), "whole");
    let lost = object(folder.path(), "c", "init", "network");
    let verified = on_a_broken_disk(folder.path(), &library, &lost, &["cache", "verify"]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(flat(&text(&verified).0).contains("it cannot be read: Input/output error"), "{verified:?}");
    let run = on_a_broken_disk(folder.path(), &library, &lost, &["run", "p.toml", "--force", "gate-train"]);
    let said = flat(&text(&run).1);
    assert!(run.status.success(), "{said}");
    assert!(said.contains("cannot be read back from the disk"), "{said}");
    assert!(said.contains("init runs again"), "{said}");
    assert!(said.contains("2 ran, 4 from the cache"), "{said}");
    assert!(results(folder.path(), "c") == whole);

    let record = files(&folder.path().join("c"), "records")
        .into_iter()
        .find(|path| fs::read_to_string(path).unwrap().contains("\"kind\": \"prune\""))
        .unwrap();
    let plan = on_a_broken_disk(folder.path(), &library, &record, &["plan", "p.toml"]);
    assert!(flat(&text(&plan).0).contains("record cannot be read"), "{plan:?}");
    let run = on_a_broken_disk(folder.path(), &library, &record, &["run", "p.toml"]);
    let said = flat(&text(&run).1);
    assert!(
        said.contains("the record of prune cannot be read back from the disk; prune runs again"),
        "{said}"
    );
    assert!(said.contains("1 ran, 5 from the cache"), "{said}");
    assert!(results(folder.path(), "c") == whole);
    assert!(files(&folder.path().join("c"), "quarantine").is_empty(), "what could not be read may be whole");
}

/// No word of a time before the beginning of something.
fn has_negative_time(text: &str) -> bool {
    let words: Vec<&str> = text.split([' ', '\n']).filter(|word| !word.is_empty()).collect();
    let is_number = |word: &str| word.strip_prefix('-').is_some_and(|rest| rest.parse::<f64>().is_ok());
    let is_unit = |word: &str| ["s", "ms", "min", "h", "d", "ago"].contains(&word.trim_end_matches(','));
    words.windows(2).any(|pair| is_number(pair[0]) && is_unit(pair[1]))
}

#[test]
fn a_clock_that_jumps_between_and_within_runs_changes_no_result_and_shows_no_negative_time() {
    let folder = quick();
    let Some(library) = shim(folder.path()) else { return };
    succeeds(folder.path(), "whole", &["run", "p.toml", "--quiet"]);
    let years = 365 * 86_400;
    // Off from the beginning, or after so many milliseconds.
    for (off, after) in [(-10 * years, None), (10 * years, None), (-3600, Some("60")), (3600, Some("60"))] {
        let jumping = |arguments: &[&str], off: i64| {
            let mut command = runner(folder.path(), "c", arguments);
            command.env("LD_PRELOAD", &library).env("FAULT_CLOCK", off.to_string());
            after.map(|after| command.env("FAULT_AFTER", after));
            let output = command.output().unwrap();
            let said = format!("{}{}", text(&output).0, text(&output).1);
            assert!(output.status.success(), "{off} {after:?} {arguments:?}: {said}");
            assert!(!has_negative_time(&said), "{off} {after:?} {arguments:?}: {said}");
            said
        };
        jumping(&["run", "p.toml", "--until", "threshold-search"], off);
        // The rest at a time that is off the other way.
        jumping(&["run", "p.toml"], -off);
        assert!(results(folder.path(), "c") == results(folder.path(), "whole"));
        for off in [off, 0, -off] {
            assert!(jumping(&["run", "p.toml"], off).contains("0 ran, 6 from the cache"));
            let runs = jumping(&["runs", "--json"], off);
            let runs: serde_json::Value = serde_json::from_str(&runs).unwrap();
            let last = runs.as_object().unwrap().keys().next().unwrap().clone();
            jumping(&["runs", &last], off);
            jumping(&["log", "p.toml", "retrain"], off);
            jumping(&["status", "p.toml"], off);
            jumping(&["cache", "ls"], off);
            jumping(&["cache", "verify"], off);
            // Nothing that is asked for is old, whatever the time.
            jumping(&["cache", "gc", "--older-than", "1d"], off);
            assert_eq!(objects(folder.path(), "c"), objects(folder.path(), "whole"));
        }
        fs::remove_dir_all(folder.path().join("c")).unwrap();
    }
}
