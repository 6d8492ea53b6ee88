//! `examples/retrain_in_pytorch.py` repeats a retraining to 1e-6: the order of images, their changes, the
//! learning rate and the updates are what docs/data.md says.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use std::path::Path;
use std::process::Command;

use binary::{folder_with, stdout, succeeds, text};
use serde_json::Value;

/// 24 steps: 250 training images in batches of 32 (the last of 26), three epochs.
const PIPELINE: &str = r#"
name = "replay"
[data]
set = "fashion-mnist-mini"
limit_train = 280
limit_test = 10
[[stage]]
kind = "init"
arch = "vgg11"
width = 4
[[stage]]
kind = "retrain"
inputs.network = "init"
epochs = 3
batch_size = 32
optimizer = { lr = 0.001, weight_decay = 1e-4 }
schedule = { warmup_epochs = 0.5 }
label_smoothing = 0.1
conv = "exact"
"#;

#[test]
fn twenty_four_steps_are_repeated_in_pytorch() {
    let Some(python) = std::env::var_os("RUNNER_PYTHON").filter(|python| !python.is_empty()) else {
        eprintln!("skipped: RUNNER_PYTHON names no Python with torch, numpy, safetensors and blake3");
        return;
    };
    // Batches that end in a single image: 257 training images; the last is left out of each epoch.
    let uneven = PIPELINE.replace("limit_train = 280", "limit_train = 257\nvalidation = 0.0");
    for pipeline in [PIPELINE, &uneven] {
        let folder = folder_with(pipeline);
        succeeds(folder.path(), "c", &["run", "p.toml", "--quiet"]);
        let plan: Value =
            serde_json::from_str(&stdout(folder.path(), "c", &["plan", "p.toml", "--json"])).unwrap();
        let fingerprint = plan["stages"][1]["fingerprint"].as_str().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/retrain_in_pytorch.py");
        let mut command = Command::new(&python);
        command.current_dir(folder.path()).arg(script).args(["p.toml", "c", fingerprint]);
        let output = command.output().unwrap();
        let (printed, errors) = text(&output);
        assert!(output.status.success(), "{printed}{errors}");
        assert!(printed.contains("24 steps: losses differ by"), "{printed}");
    }
}
