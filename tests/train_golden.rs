//! Whole training runs against PyTorch: `tests/fixtures/train/make.py` made the figures, and the files name torch's
//! version. A step sees all images, so a run's history is its loss curve.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use candle_core::Device;
use runner::data::{DataParams, load};
use runner::network::{Arch, Checkpoint, HostTensor, NetworkSpec, initialise};
use runner::ops::Algorithm;
use runner::prune::add_gates;
use runner::train::{
    Budget, Keep, Length, Objective, OptimizerKind, OptimizerParams, Run, ScheduleKind, ScheduleParams,
    Sparsity, Trained, train,
};
use safetensors::SafeTensors;

const IMAGES: u32 = 32;
const TOLERANCE: f64 = 1e-4;
const SPARSITY: Sparsity = Sparsity { balance: 0.5, ratio: 0.2, zero: 0.01 };

type Figures = BTreeMap<String, Vec<f32>>;

fn golden() -> Figures {
    let bytes = std::fs::read("tests/fixtures/train/golden.safetensors").unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats =
        |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    file.iter().map(|(name, tensor)| (name.to_owned(), floats(tensor.data()))).collect()
}

fn start(golden: &Figures) -> Checkpoint {
    let spec = NetworkSpec::vgg(Arch::Vgg11, 3, 1.0, [1, 28, 28], 10).unwrap();
    let mut network = initialise(&spec, 0);
    for (name, tensor) in &mut network.tensors {
        if let HostTensor::Float { data, .. } = tensor {
            data.copy_from_slice(&golden[&format!("start/{name}")]);
        }
    }
    network
}

fn trained(start: &Checkpoint, objective: Objective, optimizer: &OptimizerParams, steps: u64) -> Trained {
    let run = Run {
        data: &Arc::new(load(&DataParams::default()).unwrap()),
        train: (0..IMAGES).collect(),
        validation: Arc::from([]),
        device: &Device::Cpu,
        conv: Algorithm::Fast,
        seed: 0,
        batch_size: IMAGES as usize,
        length: Length::Steps(steps),
        objective,
        optimizer,
        schedule: &ScheduleParams::constant(),
        augment: None,
        keep: Keep::Last,
        budget: Budget { save_every: Duration::MAX },
    };
    train(&run, start.clone(), &mut ()).unwrap().unwrap()
}

/// Holds a run to PyTorch's of this name; returns how many tensors were compared.
fn assert_is_pytorch_s(golden: &Figures, name: &str, start: &Checkpoint, trained: &Trained) -> usize {
    let losses = &golden[&format!("{name}/losses")];
    assert_eq!(losses.len(), trained.history.len());
    for (step, (record, expected)) in trained.history.iter().zip(losses).enumerate() {
        let apart = (record.train_loss - f64::from(*expected)).abs() / f64::from(*expected);
        assert!(apart <= TOLERANCE, "{name}, step {}: {} against {expected}", step + 1, record.train_loss);
    }
    if golden.keys().filter(|key| key.starts_with(&format!("{name}/"))).count() == 1 {
        return 0; // The losses alone.
    }
    let mut compared = 0;
    for (key, tensor) in &trained.last.tensors {
        let HostTensor::Float { data, .. } = tensor else { continue };
        // What PyTorch has not changed must not have changed here.
        let frozen = start.tensors.get(key);
        let expected = match (golden.get(&format!("{name}/{key}")), frozen) {
            (Some(expected), _) => expected,
            (None, Some(HostTensor::Float { data, .. })) => data,
            _ => panic!("{key} has nothing to be compared with"),
        };
        let scale = expected.iter().fold(1e-3f64, |scale, value| scale.max(f64::from(value.abs())));
        for (found, expected) in data.iter().zip(expected) {
            let apart = f64::from((found - expected).abs()) / scale;
            assert!(apart <= TOLERANCE, "{name}, {key}: {found} against {expected}");
        }
        compared += usize::from(golden.contains_key(&format!("{name}/{key}")));
    }
    compared
}

#[test]
fn gate_training_of_separate_gates_is_pytorch_s() {
    let golden = golden();
    let mut start = start(&golden);
    add_gates(&mut start);
    let trained = trained(&start, Objective::Gates(SPARSITY), &OptimizerParams::gates(), 20);
    // Gates, running means and running variances of eight layers.
    assert_eq!(assert_is_pytorch_s(&golden, "channel-gate", &start, &trained), 24);
}

#[test]
fn gate_training_of_batch_norm_s_scale_is_pytorch_s() {
    let golden = golden();
    let start = start(&golden);
    let tame = OptimizerParams { eps: 1e-4, ..OptimizerParams::gates() };
    let run = trained(&start, Objective::BnScale(SPARSITY), &tame, 20);
    assert_eq!(assert_is_pytorch_s(&golden, "bn-scale", &start, &run), 32);
    let run = trained(&start, Objective::BnScale(SPARSITY), &OptimizerParams::gates(), 20);
    assert_eq!(assert_is_pytorch_s(&golden, "bn-scale-recipe", &start, &run), 0);
}

#[test]
fn retraining_is_pytorch_s() {
    let golden = golden();
    let start = start(&golden);
    for (name, label_smoothing, lr, steps) in
        [("retrain", 0.0, 0.02, 20), ("retrain-smooth", 0.1, 0.02, 20), ("retrain-recipe", 0.0, 0.1, 5)]
    {
        let optimizer = OptimizerParams { lr, ..OptimizerParams::default() };
        assert_eq!(optimizer.kind, OptimizerKind::Sgd);
        let run = trained(&start, Objective::Weights { label_smoothing }, &optimizer, steps);
        assert_eq!(assert_is_pytorch_s(&golden, name, &start, &run), 8 * 5 + 2);
    }
}

#[test]
fn network_slimming_is_pytorch_s() {
    let golden = golden();
    let start = start(&golden);
    let optimizer = OptimizerParams { lr: 0.02, ..OptimizerParams::default() };
    for (name, penalty) in [("slimming", 1e-4), ("slimming-strong", 0.02)] {
        let run = trained(&start, Objective::Slimming { penalty, label_smoothing: 0.0 }, &optimizer, 20);
        assert_eq!(assert_is_pytorch_s(&golden, name, &start, &run), 8 * 5 + 2);
    }
    // The penalty is seen in the figures: without it, the strong run's tensors are others by far.
    let (strong, weak) =
        (&golden["slimming-strong/features.1.weight"], &golden["slimming/features.1.weight"]);
    assert!(strong.iter().zip(weak).all(|(strong, weak)| weak - strong > 0.03), "{strong:?} {weak:?}");
}

#[test]
fn the_schedules_are_pytorch_s() {
    let text = std::fs::read_to_string("tests/fixtures/train/schedules.json").unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, kind) in [("multi_step", ScheduleKind::MultiStep), ("cosine", ScheduleKind::Cosine)] {
        let schedule = ScheduleParams { kind, ..ScheduleParams::default() };
        let expected: Vec<f64> = serde_json::from_value(golden[name].clone()).unwrap();
        let epochs = expected.len() as u64;
        for (epoch, expected) in (0..epochs).zip(&expected) {
            for step in [5 * epoch, 5 * epoch + 4] {
                let found = schedule.factor(step, 5, epochs);
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{name}, epoch {epoch}: {found} against {expected}"
                );
            }
        }
    }
}
