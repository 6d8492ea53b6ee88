//! What a plan says of each kind of change, and what is refused before anything runs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

mod binary;

use binary::{SMALL, flat, folder, folder_with, runner, stdout, succeeds, text};

/// The line of a stage in a plan, with the lines that go on with it.
fn line(folder: &Path, stage: &str, arguments: &[&str]) -> String {
    let plan = stdout(folder, "c", &[&["plan", "p.toml"], arguments].concat());
    let mut lines = plan.lines().skip_while(|line| line.split_whitespace().next() != Some(stage));
    let found = lines.next().unwrap_or_else(|| panic!("{stage} is not in {plan}"));
    let rest = lines.take_while(|line| line.starts_with("      "));
    flat(&std::iter::once(found).chain(rest).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_plan_says_what_has_changed_in_words() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let of = |stage: &str, arguments: &[&str]| line(folder.path(), stage, arguments);
    assert!(
        of("gate-train", &["--set", "data.limit_train=300"]).contains("data.limit_train changed 400 -> 300")
    );
    assert!(of("gate-train", &["--set", "seed=7"]).contains("input init will run, seed changed 0 -> 7"));
    let inherited = SMALL.replace(
        "inputs.channels =",
        "weights = \"inherit\"\ninputs.network = \"gate-train\"\ninputs.channels =",
    );
    std::fs::write(folder.path().join("p.toml"), inherited).unwrap();
    let inherited = of("prune", &[]);
    // Behind it stands the estimated time.
    let expected = "prune run weights changed fresh -> inherit, input gate-train is new (about";
    assert!(inherited.starts_with(expected), "{inherited}");
    std::fs::write(
        folder.path().join("p.toml"),
        SMALL.replace(
            "kind = \"gate-train\"\ninputs.network = \"init\"\nepochs = 3\nbatch_size = 32",
            "name = \"gate-train\"\nkind = \"retrain\"\ninputs.network = \"init\"",
        ),
    )
    .unwrap();
    assert!(
        of("gate-train", &[]).contains("run kind changed gate-train -> retrain"),
        "{}",
        of("gate-train", &[])
    );
}

#[test]
fn a_stage_whose_input_is_stale_and_not_selected_says_so() {
    let folder = folder();
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let stale = ["--only", "retrain", "--set", "threshold-search.flops_ratio=0.3"];
    assert!(line(folder.path(), "retrain", &stale).contains("needs prune, which is stale and not selected"));
    let refused = runner(folder.path(), "c", &["run", "p.toml", "--only", "prune", "--force", "init"])
        .output()
        .unwrap();
    let error = flat(&text(&refused).1);
    assert!(!refused.status.success() && error.contains("--force names the stage `init`"), "{error}");
}

#[test]
fn a_budget_that_no_network_meets_is_refused_before_anything_runs() {
    let folder = folder();
    let arguments = ["run", "p.toml", "--set", "threshold-search.flops_ratio=0.0001"];
    let refused = runner(folder.path(), "c", &arguments).output().unwrap();
    let error = flat(&text(&refused).1);
    assert!(!refused.status.success() && error.contains("the reachable range is 0."), "{error}");
    assert!(!folder.path().join("c").exists(), "nothing was run");
}

#[test]
fn nesterov_without_momentum_is_refused() {
    let folder = folder();
    let arguments = [
        "plan",
        "p.toml",
        "--set",
        "retrain.optimizer.nesterov=true",
        "--set",
        "retrain.optimizer.momentum=0.0",
    ];
    let error = flat(&text(&runner(folder.path(), "c", &arguments).output().unwrap()).1);
    assert!(error.contains("`optimizer.nesterov` needs momentum"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_forced_run_that_is_interrupted_goes_on_where_it_stopped() {
    let folder = folder_with(&SMALL.replace("epochs = 4", "epochs = 20"));
    succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
    let whole = binary::objects(folder.path(), "c");
    let forced = ["run", "p.toml", "--force", "retrain", "--json"];
    let run =
        runner(folder.path(), "c", &forced).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let partial = folder.path().join("c/partial");
    let begun = || partial.read_dir().is_ok_and(|mut states| states.next().is_some());
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !begun() {
        assert!(std::time::Instant::now() < deadline, "no state was saved");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::process::Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(130));
    assert!(line(folder.path(), "retrain", &["--force", "retrain"]).contains("goes on from a saved state"));
    let again = stdout(folder.path(), "c", &forced);
    assert!(again.contains("\"event\":\"stage-resumed\""), "{again}");
    assert_eq!(binary::objects(folder.path(), "c"), whole);
    assert!(!begun(), "a finished run leaves no state");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_or_closed_standard_output_is_no_panic() {
    let folder = folder();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = runner(folder.path(), "c", &["plan", "p.toml"]).stdout(full).output().unwrap();
    let error = text(&output).1;
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("standard output cannot be written: "), "{error}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = runner(folder.path(), "c", &["plan", "p.toml"]).stdout(writer).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output).1);
}
