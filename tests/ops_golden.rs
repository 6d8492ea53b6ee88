//! Every operation and optimizer step against PyTorch: `tests/fixtures/ops/make.py` made the figures, in double precision.
//! An operation stands behind one small function here, for each of its paths: the kernels of the CPU, and the portable
//! tensor operations, which are also what runs on a GPU.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use candle_core::{Device, Tensor};
use runner::data::{DataParams, load};
use runner::network::{Arch, Checkpoint, HostTensor, NetworkSpec, initialise};
use runner::ops::{
    AdamStep, Algorithm, Backend, BnAct, BnActGrads, Conv2d, Pool, SgdStep, adam_step, cross_entropy,
    global_avg_pool, global_avg_pool_backward, linear, linear_backward, sgd_step,
};
use runner::prune::{add_gates, regulariser};
use runner::train::{
    Budget, Keep, Length, Objective, OptimizerParams, Run, ScheduleParams, Sparsity, Trained, train,
};
use safetensors::SafeTensors;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Path {
    Cpu,
    Portable,
}

const PATHS: [Path; 2] = [Path::Cpu, Path::Portable];

/// `y`, `dx` and `dw` of a convolution with padding 1.
fn convolve(path: Path, w: &Tensor, x: &Tensor, dy: &Tensor) -> [Tensor; 3] {
    let conv = Conv2d::new(w.clone(), 1).unwrap();
    match path {
        Path::Cpu => [conv.forward(x), conv.grad_input(dy), conv.grad_weight(x, dy)],
        Path::Portable => {
            [conv.forward_portable(x), conv.grad_input_portable(dy), conv.grad_weight_portable(x, dy)]
        }
    }
    .map(Result::unwrap)
}

struct Activated {
    y: Tensor,
    mean: Tensor,
    var: Tensor,
    grads: BnActGrads,
    evaluated: Tensor,
}

/// Batch norm, gate, ReLU and pool: training forward and backward, and evaluation.
fn activate(path: Path, case: &Case<'_>) -> Activated {
    let (gamma, beta, gate) = (case.tensor("gamma"), case.tensor("beta"), case.get("gate"));
    let pool = if case.name.contains(".pool.") { Pool::Max2 } else { Pool::None };
    let op = BnAct { gamma: &gamma, beta: &beta, gate: gate.as_ref(), pool };
    let (x, dy) = (&case.tensor("x"), &case.tensor("dy"));
    let (running_mean, running_var) = (&case.tensor("running_mean"), &case.tensor("running_var"));
    let (y, stats, grads, evaluated) = match path {
        Path::Cpu => {
            let (y, stats) = op.train(x).unwrap();
            let grads = op.backward(x, &stats, dy).unwrap();
            (y, stats, grads, op.eval(x, running_mean, running_var).unwrap())
        }
        Path::Portable => {
            let (y, stats) = op.train_portable(x).unwrap();
            let grads = op.backward_portable(x, &stats, dy).unwrap();
            (y, stats, grads, op.apply_portable(x, running_mean, running_var).unwrap())
        }
    };
    let (batch, _, height, width) = x.dims4().unwrap();
    assert_eq!(stats.count, batch * height * width);
    Activated { y, mean: stats.mean, var: stats.var, grads, evaluated }
}

/// The parameter after every step of an optimizer.
fn steps(
    case: &Case<'_>,
    mut step: impl FnMut(u64, f64, Tensor, &Tensor) -> Tensor,
) -> impl Iterator<Item = Tensor> {
    let (mut parameter, gradients) = (case.tensor("start"), case.tensor("gradients"));
    let rates = case.values("rates");
    (0..rates.len()).map(move |index| {
        let gradient = gradients.get(index).unwrap();
        parameter = step(index as u64 + 1, f64::from(rates[index]), parameter.clone(), &gradient);
        parameter.clone()
    })
}

type Golden = BTreeMap<String, Tensor>;

fn golden() -> Golden {
    let bytes = std::fs::read("tests/fixtures/ops/ops.safetensors").unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |data: &[u8], shape: &[usize]| {
        let values: Vec<f32> =
            data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    file.iter().map(|(name, view)| (name.to_owned(), tensor(view.data(), view.shape()))).collect()
}

struct Case<'a> {
    golden: &'a Golden,
    name: &'a str,
}

impl Case<'_> {
    fn get(&self, what: &str) -> Option<Tensor> {
        self.golden.get(&format!("{}/{what}", self.name)).cloned()
    }

    fn tensor(&self, what: &str) -> Tensor {
        self.get(what).unwrap_or_else(|| panic!("{} has no {what}", self.name))
    }

    fn values(&self, what: &str) -> Vec<f32> {
        flat(&self.tensor(what))
    }

    /// Holds `found` to PyTorch's, within `tolerance` of the largest value (of each channel, where there are maps).
    fn holds(&self, path: Path, what: &str, found: &Tensor, tolerance: f32) {
        let expected = self.tensor(what);
        assert_eq!(found.dims(), expected.dims(), "{}/{what}", self.name);
        let (channels, plane) = match expected.dims() {
            [_, channels, height, width] => (*channels, height * width),
            _ => (1, 1),
        };
        let (found, expected) = (flat(found), flat(&expected));
        let mut scale = vec![1e-2f32; channels];
        for (index, value) in expected.iter().enumerate() {
            let scale = &mut scale[index / plane % channels];
            *scale = scale.max(value.abs());
        }
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let apart = (found - expected).abs() / scale[index / plane % channels];
            assert!(
                apart <= tolerance,
                "{}/{what}, {path:?}, at {index}: {found} against {expected}, {apart:e} apart",
                self.name
            );
        }
    }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Calls `check` with every case of an operation; there must be `count` of them.
fn cases(operation: &str, count: usize, check: impl Fn(Case<'_>)) {
    let golden = golden();
    let mut names: Vec<&str> = golden.keys().map(|name| name.split_once('/').unwrap().0).collect();
    names.retain(|name| name.starts_with(operation));
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
    for name in names {
        check(Case { golden: &golden, name });
    }
}

#[test]
fn convolutions_are_pytorch_s() {
    cases("conv.", 10, |case| {
        for path in PATHS {
            // The CPU's kernels may be Winograd's, which trade some digits for speed.
            let tolerance = if path == Path::Cpu { 1e-4 } else { 2e-6 };
            let [y, dx, dw] = convolve(path, &case.tensor("w"), &case.tensor("x"), &case.tensor("dy"));
            case.holds(path, "y", &y, tolerance);
            case.holds(path, "dx", &dx, tolerance);
            case.holds(path, "dw", &dw, tolerance);
        }
    });
}

#[test]
fn batch_norm_gate_relu_and_pool_are_pytorch_s() {
    cases("bn.", 17, |case| {
        for path in PATHS {
            let found = activate(path, &case);
            let holds = |what, found| case.holds(path, what, found, 2e-5);
            holds("y", &found.y);
            holds("mean", &found.mean);
            holds("var", &found.var);
            holds("dx", &found.grads.dx);
            holds("dgamma", &found.grads.dgamma);
            holds("dbeta", &found.grads.dbeta);
            assert_eq!(found.grads.dgate.is_some(), case.get("gate").is_some());
            if let Some(dgate) = &found.grads.dgate {
                holds("dgate", dgate);
            }
            holds("evaluated", &found.evaluated);
        }
    });
}

#[test]
fn what_is_shut_gets_no_gradient_at_all() {
    cases("bn.", 17, |case| {
        let gated = case.get("gate").is_some();
        let (open, beta) = (case.values(if gated { "gate" } else { "gamma" }), case.values("beta"));
        for path in PATHS {
            let found = activate(path, &case).grads;
            for channel in 0..open.len() {
                if open[channel] == 0.0 && (gated || beta[channel] == 0.0) {
                    for gradient in [Some(&found.dgamma), Some(&found.dbeta), found.dgate.as_ref()] {
                        let Some(gradient) = gradient else { continue };
                        assert_eq!(flat(gradient)[channel], 0.0, "{}, {path:?}", case.name);
                    }
                    let dx = flat(&found.dx.narrow(1, channel, 1).unwrap().contiguous().unwrap());
                    assert!(dx.iter().all(|value| *value == 0.0), "{}, {path:?}", case.name);
                }
            }
        }
    });
}

#[test]
fn the_average_pool_is_pytorch_s() {
    cases("average.", 3, |case| {
        let x = case.tensor("x");
        let (_, _, height, width) = x.dims4().unwrap();
        case.holds(Path::Portable, "y", &global_avg_pool(&x).unwrap(), 1e-6);
        let dx = global_avg_pool_backward(&case.tensor("dy"), (height, width)).unwrap();
        case.holds(Path::Portable, "dx", &dx, 1e-6);
    });
}

#[test]
fn the_linear_layer_is_pytorch_s() {
    cases("linear.", 3, |case| {
        let (x, w, b) = (case.tensor("x"), case.tensor("w"), case.tensor("b"));
        for path in PATHS {
            let backend = match path {
                Path::Cpu => Backend::new(&Device::Cpu, Algorithm::default()).unwrap(),
                Path::Portable => Backend::portable(),
            };
            case.holds(path, "y", &linear(&x, &w, &b, &backend).unwrap(), 2e-6);
            let (dx, grads) = linear_backward(&x, &w, &case.tensor("dy"), &backend).unwrap();
            case.holds(path, "dx", &dx, 2e-6);
            case.holds(path, "dw", &grads.dweight, 2e-6);
            case.holds(path, "db", &grads.dbias, 2e-6);
        }
    });
}

#[test]
fn cross_entropy_is_pytorch_s_also_at_logits_of_ten_thousand() {
    cases("cross-entropy.", 7, |case| {
        let labels: Vec<u32> = case.values("labels").iter().map(|label| *label as u32).collect();
        let predicted: Vec<u32> = case.values("predicted").iter().map(|class| *class as u32).collect();
        // A tenth is not the same number in single precision.
        let smoothing = (f64::from(case.values("smoothing")[0]) * 1e4).round() / 1e4;
        let scored = cross_entropy(&case.tensor("logits"), &labels, smoothing).unwrap();
        let (found, expected) = (scored.loss_sum / labels.len() as f64, f64::from(case.values("loss")[0]));
        assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{}: {found}", case.name);
        case.holds(Path::Portable, "dlogits", &scored.dlogits, 1e-6);
        assert_eq!(scored.predicted, predicted, "{}", case.name);
        let correct = labels.iter().zip(&predicted).filter(|(label, class)| label == class).count();
        assert_eq!(scored.correct, correct);
    });
}

#[test]
fn five_steps_of_gradient_descent_are_pytorch_s() {
    cases("sgd.", 5, |case| {
        let &[momentum, weight_decay, nesterov] = case.values("settings").as_slice() else { panic!() };
        let (momentum, weight_decay) = (f64::from(momentum), f64::from(weight_decay));
        let mut buffer: Option<Tensor> = None;
        let after = steps(&case, |_, lr, parameter, gradient| {
            let step = SgdStep { lr, momentum, weight_decay, nesterov: nesterov == 1.0 };
            let (moved, kept) = sgd_step(&parameter, gradient, buffer.as_ref(), step).unwrap();
            buffer = kept;
            moved
        });
        let after = Tensor::stack(&after.collect::<Vec<_>>(), 0).unwrap();
        case.holds(Path::Portable, "after", &after, 1e-6);
    });
}

#[test]
fn five_steps_of_adam_are_pytorch_s() {
    cases("adam.", 3, |case| {
        let settings: Vec<f64> = case.values("settings").iter().map(|value| f64::from(*value)).collect();
        let &[beta1, beta2, eps, weight_decay] = settings.as_slice() else { panic!() };
        let mut moments: Option<(Tensor, Tensor)> = None;
        let after = steps(&case, |step, lr, parameter, gradient| {
            let step = AdamStep { lr, beta1, beta2, eps, weight_decay, step };
            let before = moments.as_ref().map(|(first, second)| (first, second));
            let (moved, first, second) = adam_step(&parameter, gradient, before, step).unwrap();
            moments = Some((first, second));
            moved
        });
        let after = Tensor::stack(&after.collect::<Vec<_>>(), 0).unwrap();
        case.holds(Path::Portable, "after", &after, 5e-6);
    });
}

/// PyTorch's sign: zero at zero.
fn sign(value: f32) -> f64 {
    f64::from(u8::from(value > 0.0)) - f64::from(u8::from(value < 0.0))
}

#[test]
fn the_regulariser_and_its_gradient_are_pytorch_s() {
    cases("regulariser.", 3, |case| {
        let gates = case.values("gates");
        let sum = gates.iter().map(|gate| f64::from(gate.abs())).sum();
        let r = (f64::from(case.values("r")[0]) * 1e4).round() / 1e4;
        let (omega, factor) = regulariser(sum, gates.len(), r);
        assert!((omega - f64::from(case.values("omega")[0])).abs() < 1e-7, "{}: {omega}", case.name);
        for (gate, expected) in gates.iter().zip(case.values("dgates")) {
            let found = factor * sign(*gate);
            assert!((found - f64::from(expected)).abs() < 1e-7, "{}: {found} for {gate}", case.name);
        }
    });
}

/// One step of plain gradient descent.
fn one_step(start: &Checkpoint, objective: Objective, lr: f64) -> Trained {
    let optimizer = OptimizerParams { lr, momentum: 0.0, weight_decay: 0.0, ..OptimizerParams::default() };
    let run = Run {
        data: &Arc::new(load(&DataParams::default()).unwrap()),
        train: (0..16).collect(),
        validation: Arc::from([]),
        device: &Device::Cpu,
        seed: 0,
        batch_size: 16,
        length: Length::Steps(1),
        objective,
        optimizer: &optimizer,
        schedule: &ScheduleParams::constant(),
        augment: None,
        conv: Algorithm::default(),
        keep: Keep::Last,
        budget: Budget { save_every: Duration::MAX },
    };
    train(&run, start.clone(), &mut ()).unwrap().unwrap()
}

/// Every gate of a network, layer after layer.
fn gates(network: &Checkpoint, field: &str) -> Vec<f32> {
    let layers = network.spec.layers();
    let of = |index: usize| network.values(&format!("features.{}.{field}", index + 1)).unwrap().to_vec();
    layers.iter().flat_map(|layer| of(layer.index)).collect()
}

/// The closed form that the test above holds to PyTorch must be what a training step really adds, in both modes.
#[test]
fn a_training_step_moves_gates_by_the_regulariser_over_all_layers() {
    const BALANCE: f64 = 40.0;
    const R: f64 = 0.2;
    for field in ["weight", "gate"] {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 2, 1.0, [1, 28, 28], 10).unwrap();
        let mut start = initialise(&spec, 4);
        if field == "gate" {
            add_gates(&mut start);
        }
        // Some gates at zero; scales of batch norm also below it (gates cannot be, they are clamped).
        let values: &[f32] = if field == "gate" { &[0.9, 0.0, 0.4, 0.6] } else { &[0.9, 0.0, -0.4, 0.6] };
        for layer in spec.layers() {
            let name = format!("features.{}.{field}", layer.index + 1);
            let Some(HostTensor::Float { data, .. }) = start.tensors.get_mut(&name) else { panic!("{name}") };
            for (index, value) in data.iter_mut().enumerate() {
                *value = values[(index + layer.index) % values.len()];
            }
        }
        let objective = |balance| {
            let sparsity = Sparsity { balance, ratio: R, zero: 0.01 };
            if field == "gate" { Objective::Gates(sparsity) } else { Objective::BnScale(sparsity) }
        };
        let lr = 0.01;
        let (with, without) =
            (one_step(&start, objective(BALANCE), lr), one_step(&start, objective(0.0), lr));
        let before = gates(&start, field);
        let count = before.len() as f64;
        let mean = before.iter().map(|gate| f64::from(gate.abs())).sum::<f64>() / count;
        let slope = BALANCE * 2.0 * (mean - R) / count;
        assert!(slope > 0.1, "the regulariser must be seen above the rounding: {slope}");
        for ((with, without), before) in
            gates(&with.last, field).iter().zip(gates(&without.last, field)).zip(before)
        {
            let found = f64::from(without - with) / lr;
            assert!((found - slope * sign(before)).abs() < 1e-4, "{field} {before}: {found} against {slope}");
            if field == "gate" && before == 0.0 {
                assert_eq!((*with, without), (0.0, 0.0), "a shut gate stays shut");
            }
        }
        let losses = with.history[0].train_loss - without.history[0].train_loss;
        assert!((losses - BALANCE * (mean - R).powi(2)).abs() < 1e-9, "{losses}");
    }
}
