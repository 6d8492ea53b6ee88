//! What a run is estimated to take in memory is what it takes, and stages that would take too much do not run together.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod binary;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use binary::{folder_with, runner, stdout, text};
use serde_json::Value;

/// The most memory that a command had, in bytes.
fn peak(folder: &Path, arguments: &[&str]) -> u64 {
    let mut run = runner(folder, "c", arguments).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", run.id());
    let mut peak = 0;
    while run.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(1024 * kilobytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(run.wait().unwrap().success(), "{arguments:?}");
    peak
}

/// A pipeline whose stages take two steps each.
fn pipeline(network: &str, batch: usize, images: usize, more: &str) -> String {
    let data = format!("[data]\nlimit_train = {images}\nlimit_test = {batch}\nvalidation = 0.1\n");
    let training = format!("epochs = 2\nbatch_size = {batch}\n");
    format!(
        "{data}[[stage]]\nkind = \"init\"\n{network}\n\
         [[stage]]\nkind = \"gate-train\"\ninputs.network = \"init\"\n{training}\
         [[stage]]\nkind = \"retrain\"\ninputs.network = \"init\"\n{training}{more}\n\
         [[stage]]\nkind = \"eval\"\ninputs.network = \"retrain.last\"\nbatch_size = {batch}\nlatency = false\n"
    )
}

#[test]
fn the_estimate_is_near_the_measured_peak() {
    /// How far the estimate may be from what is measured: mostly allocators and buffers that are kept for other sizes.
    const FACTOR: f64 = 1.5;
    let cases = [
        ("arch = \"vgg11\"\nwidth = 8", 128, 300, ""),
        ("arch = \"vgg11\"\nwidth = 32", 64, 150, "optimizer.kind = \"adam\""),
        ("arch = \"vgg16\"\nwidth = 40", 16, 40, ""),
        ("arch = \"vgg16\"\nwidth = 16", 256, 600, "conv = \"exact\""),
    ];
    let mut wrong = Vec::new();
    for (network, batch, images, more) in cases {
        let folder = folder_with(&pipeline(network, batch, images, more));
        let plan: Value =
            serde_json::from_str(&stdout(folder.path(), "c", &["plan", "p.toml", "--json"])).unwrap();
        let shared = plan["shared_memory_bytes"].as_u64().unwrap();
        for stage in plan["stages"].as_array().unwrap() {
            let name = stage["stage"].as_str().unwrap();
            let measured = peak(folder.path(), &["run", "p.toml", "--only", name, "--quiet"]);
            let estimate = shared + stage["memory_bytes"].as_u64().unwrap();
            let share = estimate as f64 / measured as f64;
            let words = format!(
                "{network:?} {more} batch {batch}, {name}: {measured} measured, {share:.2} of it estimated"
            );
            eprintln!("{words}");
            if !(1.0 / FACTOR..=FACTOR).contains(&share) {
                wrong.push(words);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The most trainings that ran at the same time, and the warnings.
fn together(folder: &Path, cache: &str, more: &[&str]) -> (usize, Vec<String>) {
    let run = [&["run", "p.toml", "--json", "--over", "seed=1..3", "--jobs", "3"], more].concat();
    let output = runner(folder, cache, &run).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    let (mut now, mut most, mut warnings) = (0, 0, Vec::new());
    for event in stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let trains = event["stage"].as_str().is_some_and(|stage| stage.contains("train"));
        match event["event"].as_str().unwrap() {
            "stage-started" if trains => now += 1,
            "stage-finished" if trains => now -= 1,
            "warning" => warnings.push(event["message"].as_str().unwrap().to_owned()),
            _ => {}
        }
        most = most.max(now);
    }
    (most, warnings)
}

#[test]
fn stages_run_together_only_as_far_as_the_budget_goes_and_one_alone_always() {
    let folder = folder_with(&pipeline("arch = \"vgg11\"\nwidth = 4", 32, 400, ""));
    let plan: Value =
        serde_json::from_str(&stdout(folder.path(), "c", &["plan", "p.toml", "--json"])).unwrap();
    let largest =
        plan["stages"].as_array().unwrap().iter().map(|stage| stage["memory_bytes"].as_u64().unwrap());
    let (largest, shared) = (largest.max().unwrap(), plan["shared_memory_bytes"].as_u64().unwrap());
    let (most, warnings) = together(folder.path(), "all", &["--memory", "1T"]);
    assert!(most >= 2, "{most} at a time");
    assert_eq!(warnings, Vec::<String>::new());
    let one = (shared + largest + largest / 4).to_string();
    assert_eq!(together(folder.path(), "one", &["--memory", &one]), (1, vec![]));
    let (most, warnings) = together(folder.path(), "none", &["--memory", "1M"]);
    assert_eq!(most, 1);
    assert!(warnings.iter().any(|warning| warning.contains("it runs alone")), "{warnings:?}");
    let objects = |cache: &str| binary::objects(folder.path(), cache);
    assert_eq!(objects("all"), objects("one"));
    assert_eq!(objects("all"), objects("none"));
}
