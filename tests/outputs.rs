//! Where commands write: files of a user's choice, and streams that are closed or full.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

mod binary;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use binary::{SMALL, flat, quick, runner, stdout, succeeds, text};

fn fails(folder: &Path, arguments: &[&str]) -> String {
    let output = runner(folder, "c", arguments).output().unwrap();
    let error = flat(&text(&output).1);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    error
}

/// A folder with results in the cache `c`.
fn done() -> &'static Path {
    static DONE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = DONE.get_or_init(|| {
        let folder = quick();
        succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
        folder
    });
    folder.path()
}

/// A copy of [`done`] that a test may change.
fn own() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copied =
        Command::new("cp").args(["-r", "c", "p.toml"]).arg(folder.path()).current_dir(done()).status();
    assert!(copied.unwrap().success());
    folder
}

#[test]
fn reports_and_figures_replace_their_own_and_nothing_else_without_force() {
    let folder = own();
    let here = folder.path();
    let report = |to: &str| ["report", "p.toml", "--to", to].map(str::to_owned);
    let report = |to: &str, more: &[&str]| -> Output {
        runner(here, "c", &[&report(to).each_ref().map(String::as_str), more].concat()).output().unwrap()
    };
    for _ in 0..2 {
        assert!(report("study.html", &[]).status.success());
        succeeds(here, "c", &["plot", "p.toml", "--to", "figures"]);
    }
    fs::write(here.join("thesis.tex"), "years").unwrap();
    fs::write(here.join("figures/graph.csv"), "my,own\n1,2\n").unwrap();
    symlink("thesis.tex", here.join("link")).unwrap();
    for to in ["thesis.tex", "link"] {
        assert!(fails(here, &["report", "p.toml", "--to", to]).contains("replace it with `--force`"));
    }
    let svg = fs::read(here.join("figures/graph.svg")).unwrap();
    let listed = fails(here, &["plot", "p.toml"]);
    assert!(
        listed.contains("graph.csv exists") || listed.contains("exists, and is not an output"),
        "{listed}"
    );
    // All places are looked at before one is written.
    assert_eq!(fs::read(here.join("figures/graph.svg")).unwrap(), svg);
    assert_eq!(fs::read_to_string(here.join("thesis.tex")).unwrap(), "years");
    assert!(report("link", &["--force"]).status.success());
    assert!(here.join("link").is_symlink());
    assert!(fs::read_to_string(here.join("thesis.tex")).unwrap().starts_with("<!DOCTYPE html>"));
    succeeds(here, "c", &["plot", "p.toml", "--force"]);
    let pipeline = fs::read(here.join("p.toml")).unwrap();
    let record = binary::files(&here.join("c"), "records").swap_remove(0);
    let record = record.strip_prefix(here).unwrap().to_str().unwrap().to_owned();
    for (to, words) in [
        ("p.toml", "is an input of this command"),
        (&record, "lies in the cache"),
        ("c/new/r.html", "lies in"),
    ] {
        let refused = report(to, &["--force"]);
        assert!(flat(&text(&refused).1).contains(words), "{to}: {:?}", text(&refused));
    }
    let logs = fails(here, &["log", "p.toml", "--tensorboard", "c/tb"]);
    assert!(logs.contains("lies in the cache"), "{logs}");
    let run = fails(here, &["run", "p.toml", "--tensorboard", "c/tb"]);
    assert!(run.contains("lies in the cache"), "{run}");
    assert_eq!(fs::read(here.join("p.toml")).unwrap(), pipeline);
    succeeds(here, "c", &["cache", "verify"]);
}

#[test]
fn an_open_descriptor_is_written_through() {
    let folder = own();
    let piped = runner(folder.path(), "c", &["report", "p.toml", "--to", "/dev/stdout"]).output().unwrap();
    assert!(text(&piped).0.starts_with("<!DOCTYPE html>"), "{:?}", text(&piped));
    let file = fs::File::create(folder.path().join("out")).unwrap();
    let status =
        runner(folder.path(), "c", &["report", "p.toml", "--to", "/dev/stdout"]).stdout(file).status();
    assert!(status.unwrap().success());
    assert!(fs::read_to_string(folder.path().join("out")).unwrap().starts_with("<!DOCTYPE html>"));
}

#[test]
fn an_export_removes_nothing_of_a_user_s() {
    let folder = own();
    let here = folder.path();
    let export = |to: &str, more: &[&str]| -> Output {
        runner(here, "c", &[&["export", "p.toml", "init", "--to", to], more].concat()).output().unwrap()
    };
    assert!(export("bundle", &[]).status.success() && export("all.tar", &[]).status.success());
    symlink("bundle", here.join("link")).unwrap();
    for to in ["bundle", "bundle/", "all.tar", "link"] {
        assert!(!export(to, &[]).status.success(), "{to}");
        let again = export(to, &["--force"]);
        assert!(again.status.success(), "{to}: {:?}", text(&again));
    }
    assert!(here.join("link").is_symlink());
    let inside = runner(
        &here.join("bundle"),
        "../c",
        &["export", "../p.toml", "init", "--to", "../bundle", "--force"],
    );
    let inside = { inside }.output().unwrap();
    assert!(flat(&text(&inside).1).contains("is the current folder or holds it"), "{:?}", text(&inside));
    fs::write(here.join("bundle/objects/notes.txt"), "mine").unwrap();
    fs::create_dir(here.join("other")).unwrap();
    fs::write(here.join("other/manifest.json"), "{}").unwrap();
    fs::write(here.join("backup.tar"), "mine").unwrap();
    let appended = Command::new("tar").args(["-rf", "all.tar", "p.toml"]).current_dir(here).status().unwrap();
    assert!(appended.success());
    for (to, words) in [
        ("bundle", "holds `objects/notes.txt`, which is no part of the bundle"),
        ("other", "is no bundle"),
        ("backup.tar", "is no bundle"),
        ("all.tar", "is no bundle"),
        ("c", "lies in the cache"),
        ("c/x.tar", "lies in the cache"),
        (".", "no name"),
    ] {
        let refused = export(to, &["--force"]);
        assert!(flat(&text(&refused).1).contains(words), "{to}: {:?}", text(&refused));
        assert_eq!(refused.status.code(), Some(1));
    }
    assert_eq!(fs::read_to_string(here.join("bundle/objects/notes.txt")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(here.join("other/manifest.json")).unwrap(), "{}");
    assert_eq!(fs::read_to_string(here.join("backup.tar")).unwrap(), "mine");
    let left: Vec<_> =
        fs::read_dir(here).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.starts_with(".runner")), "{left:?}");
}

#[test]
fn an_export_that_is_killed_leaves_one_of_both_bundles() {
    use rand::Rng;
    let folder = own();
    let here = folder.path();
    succeeds(here, "c", &["export", "p.toml", "init", "--to", "bundle"]);
    let mut random = binary::random();
    for _ in 0..binary::kills(15) {
        let arguments = ["export", "p.toml", "--to", "bundle", "--force"];
        let mut running = runner(here, "c", &arguments).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(random.random_range(0..60)));
        running.kill().unwrap();
        running.wait().unwrap();
        succeeds(here, "other", &["import", "bundle"]);
    }
}

/// Every command, with arguments that make it print.
fn commands() -> Vec<Vec<String>> {
    const LINES: &str = "run p.toml|run p.toml --json|run p.toml --quiet|plan p.toml|graph p.toml|\
        graph p.toml --format svg|graph p.toml --format mermaid|table p.toml|table p.toml --format csv|\
        table p.toml --format json|compare p.toml p.toml|report p.toml --to r.html|plot p.toml --to f|\
        plot p.toml --list|data list|data fetch fashion-mnist-mini|runs|runs --json|repeat|status p.toml|status p.toml --json|\
        watch p.toml --once|watch p.toml|watch p.toml --json|log p.toml retrain|log p.toml retrain --json|\
        log p.toml retrain --follow|log p.toml --tensorboard tb|show p.toml retrain|show p.toml retrain --json|\
        cache ls|cache ls --json|cache du|cache verify|cache gc --dry-run|cache pin p.toml init|cache push p.toml|\
        cache pull p.toml|export p.toml --to b.tar --force|import b.tar|schema|schema --markdown|completions bash|\
        completions zsh|completions fish|--help|--version|run --help|cache --help|nonsense|run|show nothing.safetensors";
    let lines = LINES.split('|');
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Runs in a shell, so that streams can be closed and piped; no panic, and an end.
fn in_a_shell(here: &Path, arguments: &[String], streams: &str) -> (Option<i32>, String) {
    let binary = assert_cmd::cargo::cargo_bin!("runner");
    let cache = match arguments[0].as_str() {
        "data" | "schema" | "completions" | "nonsense" | "--help" | "--version" => "",
        _ => " --cache c",
    };
    let line = format!("timeout 60 {} {}{cache} {streams}", binary.display(), arguments.join(" "));
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", &line])
        .current_dir(here)
        .env("NO_COLOR", "1")
        .env("RUNNER_REMOTE", format!("file://{}", here.join("shared").display()))
        .output()
        .unwrap();
    let said = text(&output);
    (output.status.code(), said.0 + &said.1)
}

#[test]
fn no_command_panics_or_hangs_on_a_stream_that_is_closed_or_full() {
    let folder = quick();
    let here = folder.path();
    succeeds(here, "c", &["run", "p.toml", "--quiet"]);
    fs::create_dir(here.join("shared")).unwrap();
    succeeds(here, "c", &["export", "p.toml", "--to", "b.tar"]);
    for arguments in commands() {
        for streams in [
            ">/dev/full",
            "2>/dev/full",
            ">/dev/full 2>&1",
            "| true",
            "2>&1 | true",
            ">&-",
            "2>&-",
            ">&- 2>&- <&-",
        ] {
            let (code, said) = in_a_shell(here, &arguments, streams);
            let what = format!("{arguments:?} {streams}: {code:?} {said}");
            assert!(!said.contains("panicked"), "{what}");
            assert!(matches!(code, Some(0 | 1 | 2 | 141)), "{what}");
        }
        let (code, said) = in_a_shell(here, &arguments, "2>/dev/null");
        if !said.is_empty() && code == Some(0) {
            let (code, said) = in_a_shell(here, &arguments, ">/dev/full");
            assert_eq!(code, Some(1), "{arguments:?}: what a full disk did not take is missing");
            assert!(said.contains("standard output cannot be written"), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_run_goes_on_without_standard_error_and_saves_without_a_reader_of_its_events() {
    let long = SMALL.replace("epochs = 4", "epochs = 4000");
    let folder = binary::folder_with(&long);
    let here = folder.path();
    let run = |streams: &str| in_a_shell(here, &["run", "p.toml", "--json"].map(str::to_owned), streams);
    let (code, said) = run("| head -n 3 >/dev/null");
    assert_eq!(code, Some(141), "{said}");
    assert!(said.contains("as the reader of standard output has gone"), "{said}");
    let (code, said) = run(">/dev/full");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("standard output cannot be written"), "{said}");
    let runs: serde_json::Value = serde_json::from_str(&stdout(here, "c", &["runs", "--json"])).unwrap();
    let codes: Vec<_> = runs.as_object().unwrap().values().map(|run| run["exit_code"].clone()).collect();
    assert!(codes.contains(&141.into()) && codes.contains(&1.into()), "{codes:?}");

    fs::write(here.join("p.toml"), SMALL.replace("epochs = 4", "epochs = 1")).unwrap();
    let (code, said) = in_a_shell(here, &["run", "p.toml"].map(str::to_owned), "2>/dev/full");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("accuracy"), "{said}");
}

#[test]
fn a_closed_terminal_saves_like_a_termination_unless_hangups_are_ignored() {
    use std::io::{BufRead, BufReader};
    for (ignored, signal, code) in [(false, "HUP", 129), (false, "TERM", 143), (true, "HUP", 143)] {
        let folder = binary::folder_with(&SMALL.replace("epochs = 3", "epochs = 3000"));
        let binary = assert_cmd::cargo::cargo_bin!("runner");
        let trap = if ignored { "trap '' HUP; " } else { "" };
        let line = format!("{trap}exec {} run p.toml --cache c --json", binary.display());
        let mut running = Command::new("bash")
            .args(["-c", &line])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
        lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"progress\""))).unwrap().unwrap();
        let send = |signal: &str| {
            let id = running.id().to_string();
            assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
        };
        send(signal);
        if ignored {
            // It goes on.
            lines
                .find(|line| line.as_ref().is_ok_and(|line| line.contains("\"epoch-finished\"")))
                .unwrap()
                .unwrap();
            send("TERM");
        } else {
            send(if signal == "HUP" { "HUP" } else { "CONT" });
        }
        lines.for_each(drop);
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{signal}: {:?}", text(&output));
        assert_eq!(binary::files(&folder.path().join("c"), "partial").len(), 1, "{signal}");
    }
}

#[test]
fn nothing_is_printed_but_by_the_module_of_the_streams() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in binary::files(&source, "").iter().filter(|path| !path.starts_with(source.join("cli/output")))
    {
        let code = fs::read_to_string(path).unwrap_or_default();
        // Tests print what they like.
        let code = code.split("#[cfg(test)]").next().unwrap().to_owned();
        for macro_name in ["println!(", "print!("] {
            assert!(!code.contains(macro_name), "{} prints past `cli::output`", path.display());
        }
    }
}
