//! The CPU's kernels: against the portable operations, against brute force in `f64`, and to the byte against
//! themselves with other vectors and other numbers of threads. Shapes are random and odd.

#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use runner::ops::{
    Algorithm, BN_EPS, Backend, BnAct, Conv2d, Convolved, Input, Pool, Reuse, Vectors, Wanted, linear,
    linear_backward,
};

const DEVICE: Device = Device::Cpu;

/// Values in -1..1 that look random and depend on the seed alone.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let count: usize = shape.iter().product();
    let value = |i: usize| {
        let mut z =
            (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0xd134_2543_de82_ef95);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    Tensor::from_vec((0..count).map(value).collect::<Vec<_>>(), shape, &DEVICE).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    flat(tensor).into_iter().map(f32::to_bits).collect()
}

/// The largest difference, in shares of the largest expected value.
fn apart(found: &Tensor, expected: &[f64]) -> f64 {
    apart_beside(found, expected, 1e-3)
}

/// As [`apart`], in shares of `least` where all expected values are smaller.
fn apart_beside(found: &Tensor, expected: &[f64], least: f64) -> f64 {
    let found = flat(found);
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(least, |scale, value| scale.max(value.abs()));
    let difference = |(found, expected): (&f32, &f64)| (f64::from(*found) - expected).abs();
    found.iter().zip(expected).map(difference).fold(0.0, f64::max) / scale
}

fn double(tensor: &Tensor) -> Vec<f64> {
    flat(tensor).into_iter().map(f64::from).collect()
}

/// A layer: the maps under an activation, which a convolution reads; and the gradient of that convolution's activation.
#[derive(Debug, Clone, Copy)]
struct Layer {
    batch: usize,
    inputs: usize,
    outputs: usize,
    /// Of the maps under the activation.
    size: (usize, usize),
    pools: (Pool, Pool),
    kernel: (usize, usize),
    seed: u64,
}

/// How far an activation of `maps` is from where its gradient jumps: from zero before the ReLU, and from a tie in a
/// pool's window. Nearer than the rounding errors, two right implementations may differ by a whole gradient.
fn from_a_jump(maps: &Tensor, op: &BnAct<'_>) -> f64 {
    let (_, channels, height, width) = maps.dims4().unwrap();
    let per_channel = |values: &Tensor| double(values);
    let (gamma, beta, gate) = (per_channel(op.gamma), per_channel(op.beta), per_channel(op.gate.unwrap()));
    let values = double(maps);
    let planes: Vec<&[f64]> = values.chunks_exact(height * width).collect();
    let mut nearest = f64::INFINITY;
    for channel in 0..channels {
        let of_channel = || planes.iter().skip(channel).step_by(channels).flat_map(|plane| plane.iter());
        let count = of_channel().count() as f64;
        let mean = of_channel().sum::<f64>() / count;
        let var = of_channel().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let z = |value: f64| {
            gate[channel] * (gamma[channel] * (value - mean) / (var + BN_EPS).sqrt() + beta[channel])
        };
        for plane in planes.iter().skip(channel).step_by(channels) {
            let mut jump = |distance: f64| nearest = nearest.min(distance.abs());
            if op.pool == Pool::None {
                plane.iter().for_each(|value| jump(z(*value)));
                continue;
            }
            for (row, column) in
                (0..height / 2).flat_map(|row| (0..width / 2).map(move |column| (row, column)))
            {
                let at = |down: usize, right: usize| z(plane[(2 * row + down) * width + 2 * column + right]);
                let mut window = [at(0, 0), at(0, 1), at(1, 0), at(1, 1)];
                window.sort_by(f64::total_cmp);
                jump(window[3]);
                if window[3] > 0.0 {
                    jump(window[3] - window[2]);
                }
            }
        }
    }
    nearest
}

/// All that is computed of a layer.
struct Found {
    /// How far the activations are from where their gradients jump.
    from_a_jump: f64,
    /// The activation that the convolution reads.
    x: Tensor,
    y: Tensor,
    mean: Tensor,
    var: Tensor,
    dgamma: Tensor,
    dbeta: Tensor,
    dgate: Tensor,
    /// Of the convolution's output.
    dy: Tensor,
    dx: Tensor,
    dweight: Tensor,
    /// Gradients of the first activation's parameters, from sums that the convolution's gradient took on its way.
    before: [Tensor; 3],
}

impl Found {
    fn all(&self) -> Vec<(&'static str, &Tensor)> {
        let [gamma, beta, gate] = &self.before;
        vec![
            ("x", &self.x),
            ("y", &self.y),
            ("mean", &self.mean),
            ("var", &self.var),
            ("dgamma", &self.dgamma),
            ("dbeta", &self.dbeta),
            ("dgate", &self.dgate),
            ("dy", &self.dy),
            ("dx", &self.dx),
            ("dweight", &self.dweight),
            ("dgamma before", gamma),
            ("dbeta before", beta),
            ("dgate before", gate),
        ]
    }
}

impl Layer {
    fn weight(self) -> Tensor {
        random(&[self.outputs, self.inputs, self.kernel.0, self.kernel.0], self.seed + 1)
    }

    fn run(self, backend: &Backend) -> Found {
        let Self { batch, inputs, outputs, size: (height, width), pools, kernel, seed } = self;
        let parameters = |channels: usize, seed: u64| [0, 1, 2].map(|i| random(&[channels], seed + i));
        let [gamma, beta, gate] = parameters(inputs, seed + 10);
        let first = BnAct { gamma: &gamma, beta: &beta, gate: Some(&gate), pool: pools.0 };
        let maps =
            Convolved::from_tensor(&random(&[batch, inputs, height, width], seed + 2), backend).unwrap();
        let stats = maps.stats().unwrap().clone();
        let activation = maps.activate(&first, &stats.mean, &stats.var).unwrap();
        let conv = Conv2d::on(self.weight(), kernel.1, backend).unwrap();
        let convolved = conv.convolve(Input::Activation(&activation), true, Reuse::Keep).unwrap();
        let y = convolved.to_tensor().unwrap();
        let stats = convolved.stats().unwrap().clone();
        let [gamma, beta, gate] = parameters(outputs, seed + 20);
        let second = BnAct { gamma: &gamma, beta: &beta, gate: Some(&gate), pool: pools.1 };
        let after = convolved.activate(&second, &stats.mean, &stats.var).unwrap();
        let shape = after.to_tensor().unwrap().dims().to_vec();
        let gradient = after.gradient(&random(&shape, seed + 3)).unwrap();
        let (outgoing, grads) = after.backward(&gradient).unwrap();
        let wanted = Wanted { input: true, weight: true };
        let found = conv.backward(Input::Activation(&activation), &outgoing, wanted, Reuse::Keep).unwrap();
        let only = Wanted { input: true, weight: false };
        let alone = conv.backward(Input::Activation(&activation), &outgoing, only, Reuse::Once).unwrap();
        assert!(alone.weight.is_none());
        let input = found.input.unwrap();
        let dx = input.to_tensor().unwrap();
        let alone = alone.input.unwrap().to_tensor().unwrap();
        assert!(apart(&alone, &double(&dx)) < 1e-5, "one gradient alone is that of both together");
        let (_, before) = activation.backward(&input).unwrap();
        let maps = random(&[batch, inputs, height, width], seed + 2);
        Found {
            from_a_jump: from_a_jump(&maps, &first).min(from_a_jump(&y, &second)),
            x: activation.to_tensor().unwrap(),
            y,
            mean: stats.mean,
            var: stats.var,
            dgamma: grads.dgamma,
            dbeta: grads.dbeta,
            dgate: grads.dgate.unwrap(),
            dy: outgoing.to_tensor(backend).unwrap(),
            dx,
            dweight: found.weight.unwrap(),
            before: [before.dgamma, before.dbeta, before.dgate.unwrap()],
        }
    }

    /// `y`, `dx` and `dweight` by their definitions, from the `x` and `dy` that were found; and the largest sum of the
    /// magnitudes that each adds up, which its rounding errors are a share of however much of it cancels.
    fn by_definition(self, found: &Found) -> [(Vec<f64>, f64); 3] {
        let (x, dy, weight) = (double(&found.x), double(&found.dy), double(&self.weight()));
        let (_, _, height, width) = found.x.dims4().unwrap();
        let (_, _, out_height, out_width) = found.dy.dims4().unwrap();
        let (side, padding) = self.kernel;
        let mut sums = [vec![0f64; dy.len()], vec![0f64; x.len()], vec![0f64; weight.len()]];
        let mut magnitudes = sums.clone();
        for n in 0..self.batch {
            for output in 0..self.outputs {
                for input in 0..self.inputs {
                    for tap in 0..side * side {
                        let w = (output * self.inputs + input) * side * side + tap;
                        for row in 0..out_height {
                            for column in 0..out_width {
                                let (from_row, from_column) = (row + tap / side, column + tap % side);
                                let inside = (padding..height + padding).contains(&from_row)
                                    && (padding..width + padding).contains(&from_column);
                                if !inside {
                                    continue;
                                }
                                let from = ((n * self.inputs + input) * height + from_row - padding) * width
                                    + from_column
                                    - padding;
                                let to =
                                    ((n * self.outputs + output) * out_height + row) * out_width + column;
                                let products = [weight[w] * x[from], weight[w] * dy[to], x[from] * dy[to]];
                                for (which, (place, product)) in
                                    [to, from, w].into_iter().zip(products).enumerate()
                                {
                                    sums[which][place] += product;
                                    magnitudes[which][place] += product.abs();
                                }
                            }
                        }
                    }
                }
            }
        }
        let largest = magnitudes.map(|values| values.into_iter().fold(0.0, f64::max));
        let [y, dx, dweight] = sums;
        [(y, largest[0]), (dx, largest[1]), (dweight, largest[2])]
    }
}

fn layers(kernels: &'static [(usize, usize)]) -> impl Strategy<Value = Layer> {
    let pool = || prop_oneof![Just(Pool::None), Just(Pool::Max2)];
    let size = (1usize..14, 1usize..14);
    (2usize..7, 1usize..40, 1usize..40, size, (pool(), pool()), prop::sample::select(kernels), 0u64..1000)
        .prop_map(|(batch, inputs, outputs, size, pools, kernel, seed)| {
            let room = |size: usize, pool: Pool| if pool == Pool::Max2 { size / 2 } else { size };
            // Pools where the maps have room for them, and kernels where the padded maps have.
            let fit = |size: (usize, usize), pool| if size.0 < 2 || size.1 < 2 { Pool::None } else { pool };
            let first = fit(size, pools.0);
            let read = (room(size.0, first), room(size.1, first));
            let kernel = if read.0.min(read.1) + 2 * kernel.1 < kernel.0 { (3, 1) } else { kernel };
            let out = (read.0 + 2 * kernel.1 + 1 - kernel.0, read.1 + 2 * kernel.1 + 1 - kernel.0);
            // Batch norm over two or three values has gradients that nearly cancel: rounding errors of any size, in any code.
            let batch = batch.max(16usize.div_ceil(out.0 * out.1));
            Layer { batch, inputs, outputs, size, pools: (first, fit(out, pools.1)), kernel, seed }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn kernels_are_the_portable_operations_and_the_definitions(
        layer in layers(&[(3, 1), (3, 1), (3, 1), (3, 1), (1, 0), (3, 0), (5, 2)]),
    ) {
        let portable = layer.run(&Backend::portable());
        prop_assume!(portable.from_a_jump > 5e-5);
        for algorithm in [Algorithm::Exact, Algorithm::Fast] {
            for vectors in Vectors::available() {
                let found = layer.run(&Backend::cpu(algorithm, vectors));
                for ((name, found), (_, expected)) in found.all().into_iter().zip(portable.all()) {
                    // The sums of the gradient under a convolution cancel, wholly where batch norm follows a single
                    // channel's gate: their rounding errors are those of what is summed.
                    let summed = if name.ends_with("before") { &portable.dx } else { expected };
                    let least = double(summed).into_iter().fold(1e-3f64, |least, value| least.max(value.abs()));
                    let apart = apart_beside(found, &double(expected), least);
                    prop_assert!(apart < 1e-3, "{:?}, {:?}, {}: {:.1e}", algorithm, vectors, name, apart);
                }
                let [y, dx, dweight] = layer.by_definition(&found);
                for (name, found, (expected, summed)) in
                    [("y", &found.y, y), ("dx", &found.dx, dx), ("dweight", &found.dweight, dweight)]
                {
                    let apart = apart_beside(found, &expected, summed.max(1e-3));
                    prop_assert!(apart < 1e-5, "{:?}, {:?}, {}: {:.1e}", algorithm, vectors, name, apart);
                }
            }
        }
    }

    #[test]
    fn the_instruction_set_changes_no_byte(
        layer in layers(&[(3, 1), (3, 1), (3, 1), (1, 0), (3, 0), (5, 2)]),
    ) {
        for algorithm in [Algorithm::Exact, Algorithm::Fast] {
            let widest = layer.run(&Backend::cpu(algorithm, Vectors::widest()));
            for vectors in Vectors::available().into_iter().skip(1) {
                let found = layer.run(&Backend::cpu(algorithm, vectors));
                for ((name, found), (_, widest)) in found.all().into_iter().zip(widest.all()) {
                    prop_assert!(bits(found) == bits(widest), "{:?}, {}, {}", algorithm, vectors, name);
                }
            }
        }
    }

    #[test]
    fn the_linear_layer_has_the_same_bytes_on_every_instruction_set_with_any_number_of_threads(
        batch in 1usize..70, inputs in 1usize..90, outputs in 1usize..120, seed in 0u64..1000,
    ) {
        let [x, weight] = [(batch, 1), (outputs, 2)].map(|(rows, i)| random(&[rows, inputs], seed + i));
        let (bias, dy) = (random(&[outputs], seed + 3), random(&[batch, outputs], seed + 4));
        let run = |backend: &Backend| {
            let y = linear(&x, &weight, &bias, backend).unwrap();
            let (dx, grads) = linear_backward(&x, &weight, &dy, backend).unwrap();
            [y, dx, grads.dweight, grads.dbias]
        };
        let portable = run(&Backend::portable());
        let widest = run(&Backend::cpu(Algorithm::Fast, Vectors::widest()));
        for (found, expected) in widest.iter().zip(&portable) {
            prop_assert_eq!(found.dims(), expected.dims());
            let apart = apart(found, &double(expected));
            prop_assert!(apart < 1e-5, "{:.1e}", apart);
        }
        for vectors in Vectors::available() {
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let found = pool.install(|| run(&Backend::cpu(Algorithm::Fast, vectors)));
                for (found, widest) in found.iter().zip(&widest) {
                    prop_assert!(bits(found) == bits(widest), "{}, {} threads", vectors, threads);
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_byte(layer in layers(&[(3, 1)])) {
        for algorithm in [Algorithm::Exact, Algorithm::Fast] {
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let found = pool.install(|| layer.run(&Backend::cpu(algorithm, Vectors::widest())));
                found.all().into_iter().map(|(_, tensor)| bits(tensor)).collect::<Vec<_>>()
            };
            let one = with(1);
            prop_assert!(with(2) == one && with(3) == one, "{:?}", algorithm);
        }
    }
}

#[test]
fn the_fast_algorithm_stays_within_1e_4_of_double_precision_on_the_layers_of_a_vgg() {
    for (inputs, outputs, side, batch) in
        [(64, 64, 32, 2), (128, 128, 16, 2), (256, 256, 8, 2), (512, 512, 4, 2), (512, 512, 2, 3)]
    {
        let layer = Layer {
            batch,
            inputs,
            outputs,
            size: (side, side),
            pools: (Pool::None, Pool::None),
            kernel: (3, 1),
            seed: 5,
        };
        let found = layer.run(&Backend::cpu(Algorithm::Fast, Vectors::widest()));
        let [y, dx, dweight] = layer.by_definition(&found);
        let apart = [apart(&found.y, &y.0), apart(&found.dx, &dx.0), apart(&found.dweight, &dweight.0)];
        println!("{inputs} to {outputs} channels, {side}x{side}: y, dx, dweight {apart:?}");
        assert!(apart.into_iter().all(|apart| apart < 1e-5), "{inputs}x{side}x{side}: {apart:?}");
    }
}

#[test]
fn operations_on_single_tensors_go_through_the_kernels_and_agree_with_the_portable_ones() {
    let close = |name: &str, found: &Tensor, expected: &Tensor| {
        assert_eq!(found.dims(), expected.dims(), "{name}");
        let apart = apart(found, &double(expected));
        assert!(apart < 1e-4, "{name}: {apart:.1e}");
    };
    for (side, pool) in [(1, Pool::None), (2, Pool::Max2), (4, Pool::None), (7, Pool::Max2)] {
        let conv = Conv2d::new(random(&[5, 3, 3, 3], 1), 1).unwrap();
        let (x, dy) = (random(&[4, 3, side, side], 2), random(&[4, 5, side, side], 3));
        close("y", &conv.forward(&x).unwrap(), &conv.forward_portable(&x).unwrap());
        close("dx", &conv.grad_input(&dy).unwrap(), &conv.grad_input_portable(&dy).unwrap());
        close("dweight", &conv.grad_weight(&x, &dy).unwrap(), &conv.grad_weight_portable(&x, &dy).unwrap());
        let [gamma, beta, gate] = [4, 5, 6].map(|seed| random(&[3], seed));
        let op = BnAct { gamma: &gamma, beta: &beta, gate: Some(&gate), pool };
        let ((y, stats), (expected, _)) = (op.train(&x).unwrap(), op.train_portable(&x).unwrap());
        close("activation", &y, &expected);
        let evaluated = op.eval(&x, &beta, &stats.var).unwrap();
        close("evaluated", &evaluated, &op.apply_portable(&x, &beta, &stats.var).unwrap());
        let dy = random(y.dims(), 7);
        let (found, expected) =
            (op.backward(&x, &stats, &dy).unwrap(), op.backward_portable(&x, &stats, &dy).unwrap());
        close("dx of the activation", &found.dx, &expected.dx);
        close("dgamma", &found.dgamma, &expected.dgamma);
        close("dbeta", &found.dbeta, &expected.dbeta);
        close("dgate", &found.dgate.unwrap(), &expected.dgate.unwrap());
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let conv = Conv2d::new(random(&[5, 3, 3, 3], 1), 1).unwrap();
    assert!(conv.forward(&random(&[2, 4, 8, 8], 2)).unwrap_err().to_string().contains("3 channels, found 4"));
    assert!(conv.grad_input(&random(&[2, 4, 8, 8], 2)).is_err());
    assert!(conv.grad_weight(&random(&[2, 3, 8, 8], 2), &random(&[3, 5, 8, 8], 3)).is_err());
    assert!(conv.grad_weight(&random(&[2, 3, 8, 8], 2), &random(&[2, 5, 7, 8], 3)).is_err());
    assert!(Conv2d::new(random(&[5, 3, 3, 2], 1), 1).is_err());
    let unpadded = Conv2d::new(random(&[5, 3, 3, 3], 1), 0).unwrap();
    assert!(unpadded.forward(&random(&[2, 3, 2, 8], 2)).is_err(), "no room for the kernel");
    let (x, weight, bias) = (random(&[4, 6], 1), random(&[3, 6], 2), random(&[3], 3));
    for backend in [Backend::portable(), Backend::cpu(Algorithm::Fast, Vectors::widest())] {
        assert!(linear(&x, &weight, &bias, &backend).is_ok());
        assert!(linear(&random(&[4, 5], 1), &weight, &bias, &backend).is_err());
        assert!(linear(&x, &weight, &random(&[4], 3), &backend).is_err());
        assert!(linear_backward(&x, &weight, &random(&[4, 2], 4), &backend).is_err());
        assert!(linear_backward(&x, &weight, &random(&[5, 3], 4), &backend).is_err());
    }
}
