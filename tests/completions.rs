//! Completion: what a shell is offered, by the entry point that its script calls, and by the shell itself
//! where it is here.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use binary::{SMALL, folder_with};

/// What is offered in place of the last word.
fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    let at = (words.len() - 1).to_string();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
    command.current_dir(folder).args(["__complete", "words", &at]).args(words);
    let output = command.env_remove("RUNNER_CACHE").output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::to_owned).collect()
}

fn study() -> tempfile::TempDir {
    let sweep = "[sweep.matrix]\nthreshold-search.flops_ratio = [0.3, 0.5]\nseed = [1, 2]\n";
    let folder = folder_with(&format!("{SMALL}{sweep}"));
    std::fs::create_dir(folder.path().join("pipelines")).unwrap();
    std::fs::write(folder.path().join("pipelines/q.toml"), SMALL).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "").unwrap();
    std::fs::create_dir_all(folder.path().join("cache/manifests")).unwrap();
    std::fs::write(folder.path().join("cache/.runner-cache"), "runner cache 1\n").unwrap();
    std::fs::write(folder.path().join("cache/manifests/20260102-030405-77.json"), "{}").unwrap();
    folder
}

#[test]
fn commands_options_files_stages_keys_values_metrics_figures_and_runs_are_offered() {
    let study = study();
    let offered = |words: &[&str]| offered(study.path(), words);
    let is = |words: &[&str], expected: &[&str]| assert_eq!(offered(words), expected, "{words:?}");
    let has = |words: &[&str], expected: &str| {
        assert!(offered(words).iter().any(|found| found == expected), "{words:?}: {:?}", offered(words));
    };
    is(&["pl"], &["plan", "plot"]);
    is(&["cache", "g"], &["gc"]);
    has(&["run", "--"], "--set");
    is(&["run", "p.toml", "--quie"], &["--quiet"]);
    is(&["run", ""], &["cache/", "p.toml", "pipelines/"]);
    is(&["run", "pipelines/"], &["pipelines/q.toml"]);
    is(&["run", "nothing/"], &[]);
    // Stages.
    is(&["run", "p.toml", "--only", "th"], &["threshold-search"]);
    is(&["log", "p.toml", "ret"], &["retrain"]);
    is(&["run", "p.toml", "--until=ret"], &["--until=retrain"]);
    // Keys and values.
    is(&["run", "p.toml", "--set", "r"], &["retrain."]);
    is(&["run", "p.toml", "--set", "s"], &["seed="]);
    is(&["run", "p.toml", "--set", "retrain.optimizer.l"], &["retrain.optimizer.lr="]);
    is(&["run", "p.toml", "--set", "retrain.optimizer.kind=a"], &["retrain.optimizer.kind=adam"]);
    is(&["run", "p.toml", "--set=retrain.fl"], &["--set=retrain.flip="]);
    is(&["run", "p.toml", "--set", "retrain.flip="], &["retrain.flip=false", "retrain.flip=true"]);
    is(&["run", "p.toml", "--over", "init.arch=vgg11,vgg16,vgg13"], &["init.arch=vgg11,vgg16,vgg13"]);
    is(&["run", "p.toml", "--over", "init.arch=vgg11,vgg19"], &["init.arch=vgg11,vgg19"]);
    is(&["run", "p.toml", "--set", "prune.inputs.channels="], &["prune.inputs.channels=threshold-search"]);
    is(&["run", "p.toml", "--set", "data.set=cifar100"], &["data.set=cifar100"]);
    is(&["run", "p.toml", "--set", "data.limit_te"], &["data.limit_test="]);
    // Figures, metrics, swept keys, runs, kinds.
    has(&["plot", "p.toml", ""], "pareto");
    has(&["plot", "p.toml", "pareto", "ch"], "channels");
    is(&["table", "p.toml", "--metric", "acc"], &["accuracy"]);
    has(&["table", "p.toml", "--group-by", ""], "threshold-search.flops_ratio");
    is(&["runs", ""], &["20260102-030405-77"]);
    is(&["repeat", "2026"], &["20260102-030405-77"]);
    has(&["watch", "20"], "20260102-030405-77");
    is(&["cache", "ls", "--kind", "gate"], &["gate-train", "gates"]);
    is(&["completions", "fi"], &["fish"]);
    is(&["run", "p.toml", "--device", "cp"], &["cpu"]);
}

#[test]
fn the_pipeline_may_stand_behind_the_cursor() {
    let study = study();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
    command.current_dir(study.path());
    let output =
        command.args(["__complete", "words", "2", "run", "--set", "ini", "p.toml"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "partial\ninit.\n");
}

#[test]
fn whatever_is_wrong_a_completion_says_nothing_and_is_quick() {
    let study = study();
    std::fs::write(study.path().join("broken.toml"), "[[stage\n").unwrap();
    let start = Instant::now();
    for words in [
        &["run", "broken.toml", "--set", "r"][..],
        &["run", "missing.toml", "--only", ""],
        &["no-such-command", ""],
        &["run", "--no-such-option", "x", "--set", ""],
        &["run", "p.toml", "--set", "retrain.no.such.key="],
        &["run", "p.toml", "--set", "=="],
        &["run", "p.toml", "--over", "é="],
        &["runs", "--cache", "p.toml", ""],
        &["--"],
        &[""],
    ] {
        offered(study.path(), words);
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    for odd in [
        &["__complete"][..],
        &["__complete", "words"],
        &["__complete", "words", "9"],
        &["__complete", "zsh", "x"],
    ] {
        let output = Command::new(assert_cmd::cargo::cargo_bin!("runner")).args(odd).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{odd:?}");
    }
}

/// A script of `shell` that prints what it offers for a line.
fn by_shell(shell: &str, script: &str, folder: &Path) -> Option<String> {
    let found = Command::new(shell).args(["-c", "exit 0"]).status().is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: {shell} is not on this machine");
        return None;
    }
    let binary = assert_cmd::cargo::cargo_bin!("runner");
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let plain = if shell == "bash" { &["--norc", "--noprofile", "-c"][..] } else { &["-c"][..] };
    let output =
        Command::new(shell).args(plain).arg(script).current_dir(folder).env("PATH", path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn bash_itself_offers_what_follows_its_word_breaks() {
    let study = study();
    let offers = |line: &str| {
        let script = format!(
            "source <(runner completions bash); COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; \
             _runner runner; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        by_shell("bash", &script, study.path())
    };
    let Some(keys) = offers("runner run p.toml --set retrain.optimizer.l") else { return };
    assert_eq!(keys, "retrain.optimizer.lr=\n");
    assert_eq!(offers("runner run p.toml --set retrain.optimizer.kind=a").unwrap(), "adam\n");
    assert_eq!(offers("runner run p.toml --set retrain.optimizer.kind=").unwrap(), "adam\nsgd\n");
    assert_eq!(offers("runner run p.toml --until=thr").unwrap(), "threshold-search\n");
    assert_eq!(offers("runner run pipel").unwrap(), "pipelines/\n");
}

#[test]
fn fish_itself_offers_the_same() {
    let study = study();
    let offers = |line: &str| {
        by_shell("fish", &format!("runner completions fish | source; complete -C '{line}'"), study.path())
    };
    let Some(keys) = offers("runner run p.toml --set retrain.optimizer.l") else { return };
    assert_eq!(keys, "retrain.optimizer.lr=\n");
    assert_eq!(offers("runner run p.toml --only thr").unwrap(), "threshold-search\n");
    assert_eq!(offers("runner run p.toml --set retrain.flip=t").unwrap(), "retrain.flip=true\n");
}

#[test]
fn zsh_reads_the_script_and_asks_the_same_question() {
    let study = study();
    // Without a line editor, what would be offered is printed.
    let script = "compdef() { :; }; source <(runner completions zsh); compadd() { print -l -- \"$@\" }; \
                  words=(runner run p.toml --set retrain.optimizer.l); CURRENT=5; _runner";
    let Some(found) = by_shell("zsh", script, study.path()) else { return };
    assert_eq!(found, "-S\n\n--\nretrain.optimizer.lr=\n");
}
