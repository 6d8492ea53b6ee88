//! Whole MNIST and Fashion-MNIST, and the published network on it. The files are not part of the project: they are looked
//! for where `RUNNER_DATA` points, else in `../shared/data` beside it. Without them these tests say that they are skipped.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use runner::data::{DataParams, DataSetName, Images, load};
use serde_json::Value;

/// The folder with the files of a data set.
fn files(set: DataSetName) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("RUNNER_DATA").map_or_else(beside, PathBuf::from).join(set.name());
    if folder.join("train-images-idx3-ubyte.gz").is_file() {
        return Some(folder);
    }
    // Past the test harness, which keeps the words of a test that passes to itself.
    let words = format!("SKIPPED: {} is not in {}\n", set.name(), folder.display());
    std::io::stderr().write_all(words.as_bytes()).unwrap();
    None
}

/// Mean and standard deviation of all pixels, white being 1.
fn moments(images: &Images) -> (f64, f64) {
    let count = images.pixels.len() as f64;
    let (sum, squares) = images.pixels.iter().fold((0u64, 0u64), |(sum, squares), pixel| {
        let pixel = u64::from(*pixel);
        (sum + pixel, squares + pixel * pixel)
    });
    let mean = sum as f64 / count;
    (mean / 255.0, (squares as f64 / count - mean * mean).sqrt() / 255.0)
}

#[test]
fn the_readers_read_every_image_of_both_sets() {
    for (set, train, test) in
        [(DataSetName::Mnist, 60_000, 10_000), (DataSetName::FashionMnist, 59_946, 10_000)]
    {
        let Some(folder) = files(set) else { continue };
        let params = DataParams { set, dir: Some(folder), ..DataParams::default() };
        let found = load(&params).unwrap();
        assert_eq!((found.train.len(), found.test.len()), (train, test), "{}", set.name());
        for images in [&found.train, &found.test] {
            assert_eq!(images.pixels.len(), images.len() * 28 * 28);
            for class in 0..10u8 {
                let share =
                    images.labels.iter().filter(|label| **label == class).count() * 100 / images.len();
                assert!((8..=11).contains(&share), "{share}% of {} are of class {class}", set.name());
            }
        }
        // The figures that images are normalised by are those of the images.
        let (mean, std) = moments(&found.train);
        let normalise = params.normalise();
        assert!((mean - normalise.mean[0]).abs() < 5e-4, "{}: mean {mean}", set.name());
        assert!((std - normalise.std[0]).abs() < 5e-4, "{}: deviation {std}", set.name());
        let split = found.split();
        assert_eq!(split.train.len() + split.validation.len(), train);
    }
}

/// The shipped pipeline as it stands, cut short: narrow, a few hundred images, a few steps.
#[test]
fn the_shipped_vgg19_pipeline_runs_through_all_six_stages() {
    let Some(folder) = files(DataSetName::FashionMnist) else { return };
    let cache = tempfile::tempdir().unwrap();
    let run = || -> Vec<Value> {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
        command.args(["run", "pipelines/vgg19_fashion_r50.toml", "--json", "--cache"]).arg(cache.path());
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        for change in [
            format!("data.dir=\"{}\"", folder.display()).as_str(),
            "data.limit_train=300",
            "data.limit_test=200",
            "init.width=4",
            "gate-train.steps=4",
            "gate-train.batch_size=32",
            "retrain.epochs=2",
            "retrain.batch_size=64",
        ] {
            command.args(["--set", change]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let events = run();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let finished: Vec<&str> =
        of("stage-finished").iter().map(|event| event["stage"].as_str().unwrap()).collect();
    assert_eq!(finished, ["init", "gate-train", "threshold-search", "prune", "retrain", "eval"]);
    let metrics = |stage: &str| {
        let events = of("stage-finished");
        events.iter().find(|event| event["stage"] == stage).unwrap()["metrics"].clone()
    };
    let ratio = metrics("threshold-search")["achieved_ratio"].as_f64().unwrap();
    assert!((0.45..=0.5).contains(&ratio), "{ratio}");
    let evaluated = metrics("eval")["networks"]["best"].clone();
    assert_eq!(evaluated["images"], 200);
    assert_eq!(evaluated["channels"], metrics("threshold-search")["channels"]);
    assert_eq!(metrics("retrain")["epochs"], 2);
    let again = run();
    let end = again.last().unwrap();
    assert_eq!((&end["event"], &end["ran"], &end["cached"]), (&"run-finished".into(), &0.into(), &6.into()));
}
