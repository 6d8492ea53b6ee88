//! `cargo bench`: the operations that take the time, and whole steps. `compare/` holds the comparison with PyTorch.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use candle_core::{DType, Device, Tensor};
use divan::Bencher;
use divan::counter::ItemsCount;
use runner::network::{Arch, Model, NetworkSpec, initialise};
use runner::ops::{Algorithm, Backend, BnAct, Conv2d, Convolved, Input, Pool, Reuse, Vectors, Wanted};
use runner::prune::add_gates;
use runner::train::{Objective, Optimizer, OptimizerParams, Sparsity, Trainee};

const BATCH: usize = 64;
const DEVICE: &Device = &Device::Cpu;

/// Channels and side of some layers of a VGG19, and of a pruned one.
const LAYERS: [(usize, usize); 6] = [(64, 32), (128, 16), (256, 8), (512, 4), (512, 2), (181, 8)];

fn main() {
    divan::main();
}

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1f32, shape, DEVICE).unwrap()
}

fn backend(algorithm: Algorithm) -> Backend {
    Backend::cpu(algorithm, Vectors::widest())
}

fn activation(maps: Convolved, channels: usize) -> runner::ops::Activation {
    let (gamma, beta) = (
        Tensor::ones(channels, DType::F32, DEVICE).unwrap(),
        Tensor::zeros(channels, DType::F32, DEVICE).unwrap(),
    );
    let stats = maps.stats().unwrap().clone();
    let op = BnAct { gamma: &gamma, beta: &beta, gate: None, pool: Pool::None };
    maps.activate(&op, &stats.mean, &stats.var).unwrap()
}

#[divan::bench(args = LAYERS, consts = [true, false])]
fn convolution<const FAST: bool>(bencher: Bencher<'_, '_>, (channels, side): (usize, usize)) {
    let backend = backend(if FAST { Algorithm::Fast } else { Algorithm::Exact });
    let maps = Convolved::from_tensor(&random(&[BATCH, channels, side, side]), &backend).unwrap();
    let x = activation(maps, channels);
    let conv = Conv2d::on(random(&[channels, channels, 3, 3]), 1, &backend).unwrap();
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| conv.convolve(Input::Activation(&x), true, Reuse::Keep).unwrap());
}

#[divan::bench(args = LAYERS, consts = [true, false])]
fn gradients<const WEIGHT: bool>(bencher: Bencher<'_, '_>, (channels, side): (usize, usize)) {
    let backend = backend(Algorithm::Fast);
    let shape = [BATCH, channels, side, side];
    let x = activation(Convolved::from_tensor(&random(&shape), &backend).unwrap(), channels);
    let y = activation(Convolved::from_tensor(&random(&shape), &backend).unwrap(), channels);
    let gradient = y.gradient(&random(&shape)).unwrap();
    let (outgoing, _) = y.backward(&gradient).unwrap();
    let conv = Conv2d::on(random(&[channels, channels, 3, 3]), 1, &backend).unwrap();
    let wanted = Wanted { input: true, weight: WEIGHT };
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| conv.backward(Input::Activation(&x), &outgoing, wanted, Reuse::Keep).unwrap());
}

#[divan::bench(args = [true, false], sample_count = 10, sample_size = 1)]
fn step(bencher: Bencher<'_, '_>, gates: bool) {
    let mut network = initialise(&NetworkSpec::vgg(Arch::Vgg19, 64, 1.0, [3, 32, 32], 10).unwrap(), 0);
    let (objective, optimizer) = if gates {
        add_gates(&mut network);
        (Objective::Gates(Sparsity { balance: 0.5, ratio: 0.2, zero: 0.01 }), OptimizerParams::gates())
    } else {
        (Objective::Weights { label_smoothing: 0.0 }, OptimizerParams::default())
    };
    let model = Model::load(&network, DEVICE).unwrap();
    let mut trainee = Trainee { model, optimizer: Optimizer::new(optimizer), objective };
    let (images, labels) =
        (random(&[BATCH, 3, 32, 32]), (0..BATCH as u32).map(|i| i % 10).collect::<Vec<_>>());
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| trainee.step(&images, &labels, 0.01).unwrap());
}
