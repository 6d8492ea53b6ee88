//! Our side of the comparison: one kind of step, timed on request. `torch_side.py` beside it does the same for PyTorch.
//!
//! Builds the network, warms up, prints `ready`; then runs one step for every line on standard input and prints its
//! seconds; at the end of the input it prints its peak memory in KiB. With `layers THREADS` it prints the table of layers instead, with `loop
//! THREADS` what the training loop spends on anything but its steps.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use runner::data::{Augment, DataParams, load};
use runner::network::{Arch, Model, NetworkSpec, initialise};
use runner::ops::{
    Algorithm, Backend, BnAct, Conv2d, Convolved, Input, Pool, Reuse, Vectors, Wanted, cross_entropy,
};
use runner::prune::add_gates;
use runner::train::{
    Budget, EpochRecord, Host, HostError, Keep, Length, Measured, Objective, Optimizer, OptimizerParams,
    Progress, Run, ScheduleParams, Sparsity, Trainee, train,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    arch: Arch,
    channels: Vec<usize>,
    input: [usize; 3],
    batch: usize,
    work: String,
    threads: usize,
    #[serde(default)]
    conv: Algorithm,
}

fn main() -> Result<(), Box<dyn Error>> {
    let first = std::env::args().nth(1).ok_or("a case, as JSON")?;
    if first == "layers" || first == "loop" {
        let threads = std::env::args().nth(2).map_or(Ok(2), |threads| threads.parse())?;
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
        return if first == "layers" { layers() } else { whole_loop() };
    }
    let case: Case = serde_json::from_str(&first)?;
    rayon::ThreadPoolBuilder::new().num_threads(case.threads).build_global()?;
    let spec = NetworkSpec::vgg(case.arch, 1, 1.0, case.input, 10)?.with_channels(case.channels.clone())?;
    let mut network = initialise(&spec, 0);
    let (objective, optimizer) = if case.work == "gates" {
        add_gates(&mut network);
        (Objective::Gates(Sparsity { balance: 0.5, ratio: 0.2, zero: 0.01 }), OptimizerParams::gates())
    } else {
        (Objective::Weights { label_smoothing: 0.0 }, OptimizerParams::default())
    };
    let model = Model::load_on(&network, &Device::Cpu, &Backend::new(&Device::Cpu, case.conv)?)?;
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

/// Median seconds of a few runs.
fn median(mut body: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..7 {
        let start = Instant::now();
        body()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Each layer of a VGG19 with 64 images: the speed that a convolution as it is written would need to be as quick, and the share of
/// the machine's GEMM peak at which the products run that are left of it.
fn layers() -> Result<(), Box<dyn Error>> {
    const BATCH: usize = 64;
    let device = &Device::Cpu;
    let square = Tensor::randn(0f32, 1f32, (1536, 1536), device)?;
    let peak = 2.0 * 1536f64.powi(3)
        / median(|| {
            square.matmul(&square)?;
            Ok(())
        })?
        / 1e9;
    println!("GEMM peak (1536 x 1536 x 1536, the gemm crate): {peak:.0} GFLOP/s\n");
    println!("| channels | map | forward | input gradient | both gradients |\n|---|---|---|---|---|");
    let backend = Backend::cpu(Algorithm::Fast, Vectors::widest());
    let shapes = [(64, 64, 32), (64, 128, 16), (128, 128, 16), (128, 256, 8), (256, 256, 8), (256, 512, 4)];
    for (inputs, outputs, side) in shapes.into_iter().chain([(512, 512, 4), (512, 512, 2)]) {
        let ones = |channels: usize| Tensor::ones(channels, candle_core::DType::F32, device);
        let activate = |convolved: Convolved, channels: usize| {
            let (gamma, beta) = (ones(channels)?, ones(channels)?);
            let stats = convolved.stats().cloned();
            let op = BnAct { gamma: &gamma, beta: &beta, gate: None, pool: Pool::None };
            stats.map(|stats| convolved.activate(&op, &stats.mean, &stats.var)).transpose()
        };
        let maps = Tensor::randn(0f32, 1f32, (BATCH, inputs, side, side), device)?;
        let x = activate(Convolved::from_tensor(&maps, &backend)?, inputs)?.ok_or("no statistics")?;
        let conv = Conv2d::on(Tensor::randn(0f32, 0.05f32, (outputs, inputs, 3, 3), device)?, 1, &backend)?;
        let input = Input::Activation(&x);
        let y = activate(conv.convolve(input, true, Reuse::Keep)?, outputs)?.ok_or("no statistics")?;
        let gradient = y.gradient(&Tensor::randn(0f32, 1f32, (BATCH, outputs, side, side), device)?)?;
        let (outgoing, _) = y.backward(&gradient)?;
        let forward = median(|| {
            conv.convolve(input, true, Reuse::Keep)?;
            Ok(())
        })?;
        let backward = |weight: bool| {
            median(|| {
                conv.backward(input, &outgoing, Wanted { input: true, weight }, Reuse::Keep)?;
                Ok(())
            })
        };
        let work = 2.0 * (BATCH * 9 * inputs * outputs * side * side) as f64 / 1e9;
        // 36 products for a tile of 16 values, 9 for a map of 4: a quarter of 9 for each value.
        let cell = |seconds: f64, passes: f64| {
            let speed = passes * work / seconds;
            format!("{speed:.0} GFLOP/s, {:.0}%", 25.0 * speed / peak)
        };
        println!(
            "| {inputs} to {outputs} | {side}x{side} | {} | {} | {} |",
            cell(forward, 1.0),
            cell(backward(false)?, 1.0),
            cell(backward(true)?, 2.0)
        );
    }
    Ok(())
}

/// Keeps states in a file, as durably as the cache does.
struct Disk {
    path: PathBuf,
    bytes: usize,
    saves: u32,
}

impl Host for Disk {
    fn checkpoint(&mut self, state: &[u8]) -> Result<(), HostError> {
        let write = || {
            let mut file = File::create(&self.path)?;
            file.write_all(state)?;
            file.sync_all()
        };
        write().map_err(|error| HostError(Box::new(error)))?;
        (self.bytes, self.saves) = (state.len(), self.saves + 1);
        Ok(())
    }
    fn resume(&mut self) -> Option<Vec<u8>> {
        None
    }
    fn progress(&mut self, _: Progress) {}
    fn epoch(&mut self, _: &EpochRecord, _: &Measured) {}
    fn should_stop(&self) -> bool {
        false
    }
}

/// Retrains a VGG19 for some steps of the real loop: how long steps wait for their batches, and what a saved state costs.
fn whole_loop() -> Result<(), Box<dyn Error>> {
    const STEPS: u64 = 16;
    let data = Arc::new(load(&DataParams { size: Some(32), ..DataParams::default() })?);
    let network = initialise(&NetworkSpec::vgg(Arch::Vgg19, 64, 1.0, [1, 32, 32], 10)?, 0);
    let folder = std::env::temp_dir().join(format!("runner-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut host = Disk { path: folder.join("state"), bytes: 0, saves: 0 };
    let mut seconds = Vec::new();
    let mut waited = Duration::ZERO;
    for save_every in [Duration::MAX, Duration::ZERO] {
        let run = Run {
            data: &data,
            train: (0..2048).collect(),
            validation: Arc::from([]),
            device: &Device::Cpu,
            conv: Algorithm::Fast,
            seed: 0,
            batch_size: 128,
            length: Length::Steps(STEPS),
            objective: Objective::Weights { label_smoothing: 0.0 },
            optimizer: &OptimizerParams::default(),
            schedule: &ScheduleParams::default(),
            augment: Some(Augment { crop_padding: 4, flip: true }),
            keep: Keep::Last,
            budget: Budget { save_every },
        };
        let start = Instant::now();
        let trained = train(&run, network.clone(), &mut host)?.ok_or("stopped")?;
        seconds.push(start.elapsed().as_secs_f64());
        if save_every == Duration::MAX {
            waited = trained.waited;
        }
    }
    std::fs::remove_dir_all(&folder)?;
    let saved = (seconds[1] - seconds[0]) / f64::from(host.saves.max(1));
    println!(
        "full training of a VGG19, batch 128, {STEPS} steps in {:.2} s: steps waited {:.1} ms in all for their batches ({:.2}%); \
         a saved state of {} MB costs {:.2} s, which is {:.1}% of the minute between two",
        seconds[0],
        waited.as_secs_f64() * 1000.0,
        100.0 * waited.as_secs_f64() / seconds[0],
        host.bytes / 1_000_000,
        saved,
        100.0 * saved / 60.0,
    );
    Ok(())
}
