//! Our side of the comparison: one kind of step, timed on request. `torch_side.py` beside it does the same for PyTorch.
//!
//! Builds the network, warms up, prints `ready`; then runs one step for every line on standard input and prints its
//! seconds; at the end of the input it prints its peak memory in KiB.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use candle_core::{Device, Tensor};
use runner::network::{Arch, Model, NetworkSpec, initialise};
use runner::ops::cross_entropy;
use runner::prune::add_gates;
use runner::train::{Objective, Optimizer, OptimizerParams, Sparsity, Trainee};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    arch: Arch,
    channels: Vec<usize>,
    input: [usize; 3],
    batch: usize,
    work: String,
    threads: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let case: Case = serde_json::from_str(&std::env::args().nth(1).ok_or("a case, as JSON")?)?;
    rayon::ThreadPoolBuilder::new().num_threads(case.threads).build_global()?;
    let spec = NetworkSpec::vgg(case.arch, 1, 1.0, case.input, 10)?.with_channels(case.channels.clone())?;
    let mut network = initialise(&spec, 0);
    let (objective, optimizer) = if case.work == "gates" {
        add_gates(&mut network);
        (Objective::Gates(Sparsity { balance: 0.5, ratio: 0.2, zero: 0.01 }), OptimizerParams::gates())
    } else {
        (Objective::Weights { label_smoothing: 0.0 }, OptimizerParams::default())
    };
    let model = Model::load(&network, &Device::Cpu)?;
    drop(network);
    let mut trainee = Trainee { model, optimizer: Optimizer::new(optimizer.clone()), objective };
    let [channels, height, width] = case.input;
    let images = Tensor::randn(0f32, 1f32, (case.batch, channels, height, width), &Device::Cpu)?;
    let labels: Vec<u32> = (0..case.batch as u32).map(|image| image * 7 % 10).collect();
    let mut step = || -> Result<(), Box<dyn Error>> {
        if case.work == "eval" {
            cross_entropy(&trainee.model.forward(&images)?, &labels, 0.0)?;
        } else {
            trainee.step(&images, &labels, optimizer.lr)?;
        }
        Ok(())
    };
    let mut out = std::io::stdout().lock();
    for _ in 0..2 {
        step()?;
    }
    writeln!(out, "ready")?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        step()?;
        writeln!(out, "{}", start.elapsed().as_secs_f64())?;
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    writeln!(out, "{}", peak.map_or("0", |peak| peak.trim().trim_end_matches(" kB")))?;
    Ok(())
}
