//! Each test that `docs/cache.md` names as holding a promise is there.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

/// The modules and the names of all tests: `["tests", "store"]` or `["src", "store", "crash"]`.
fn tests() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests"] {
        for file in walkdir::WalkDir::new(root.join(folder)).into_iter().map(Result::unwrap) {
            let path = file.path().strip_prefix(root).unwrap().with_extension("");
            if file.path().extension().is_some_and(|ending| ending == "rs") {
                let mut module: Vec<String> =
                    path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                // `src/written/tests.rs` has the tests of `src/written/mod.rs`.
                module.truncate(module.len() - usize::from(file.file_name() == "tests.rs"));
                let text = fs::read_to_string(file.path()).unwrap();
                let mut is_test = false;
                for line in text.lines().map(str::trim) {
                    is_test |= line == "#[test]";
                    if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
                        found.push((module.clone(), name.split('(').next().unwrap().to_owned()));
                        is_test = false;
                    }
                }
            }
        }
    }
    found
}

/// The tests that the table of promises names, with `…` for the rest of a name.
fn named() -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cache.md")).unwrap();
    let table = page.split("| promise | test |").nth(1).unwrap().split("\n\n").next().unwrap();
    let cells = table.lines().filter_map(|line| line.split('|').nth(2));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// How many tests a name stands for.
fn count(name: &str, tests: &[(Vec<String>, String)]) -> usize {
    let mut module: Vec<&str> = name.split("::").collect();
    let name = module.pop().unwrap();
    module.retain(|part| *part != "tests");
    let fits = |(there, test): &&(Vec<String>, String)| {
        let is_there = there.len() > module.len() && there[there.len() - module.len()..] == module[..];
        is_there && name.strip_suffix('…').map_or(test == name, |beginning| test.starts_with(beginning))
    };
    tests.iter().filter(fits).count()
}

#[test]
fn each_test_that_the_page_on_the_cache_names_is_there() {
    let (tests, named) = (tests(), named());
    assert!(named.len() > 60, "{named:?}");
    let wrong: Vec<(&String, usize)> =
        named.iter().map(|name| (name, count(name, &tests))).filter(|(_, count)| *count != 1).collect();
    assert!(wrong.is_empty(), "not one test each: {wrong:?}");
    let of_row = |row: &str| row.split('|').nth(2).is_some_and(|cell| cell.contains("::"));
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cache.md")).unwrap();
    let table = page.split("|---|---|\n| A record means").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(table.lines().skip(1).all(of_row), "a promise without a test: {table}");
}

#[test]
fn a_name_stands_for_the_test_that_it_begins_and_for_no_other() {
    let tests =
        [("src/store/crash", "a_cut_spares"), ("tests/store", "a_lock"), ("tests/store", "a_lock_waits")];
    let tests = tests.map(|(module, name)| (module.split('/').map(str::to_owned).collect(), name.to_owned()));
    for (name, expected) in [
        ("store::crash::a_cut_…", 1),
        ("store::a_lock", 1),
        ("store::a_lock…", 2),
        ("crash::a_lock…", 0),
        ("store::gone_…", 0),
    ] {
        assert_eq!(count(name, &tests), expected, "{name}");
    }
}
