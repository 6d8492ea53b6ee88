//! A whole network against PyTorch: `tests/fixtures/make.py` made the figures, and the file names torch's version.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use runner::network::{Arch, Checkpoint, HostTensor, Model, NetworkSpec, Trainable, initialise};
use runner::ops::cross_entropy;
use runner::prune::{Channels, add_gates, masked, slim_inherit};
use safetensors::SafeTensors;

fn golden(file: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(format!("tests/fixtures/{file}")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats =
        |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    file.iter().map(|(name, tensor)| (name.to_owned(), floats(tensor.data()))).collect()
}

fn network(golden: &BTreeMap<String, Vec<f32>>) -> Checkpoint {
    filled(&NetworkSpec::vgg(Arch::Vgg11, 3, 1.0, [1, 16, 16], 10).unwrap(), golden, "")
}

/// A network with gates, whose values are those of the golden file under `prefix`.
fn filled(spec: &NetworkSpec, golden: &BTreeMap<String, Vec<f32>>, prefix: &str) -> Checkpoint {
    let mut network = initialise(spec, 0);
    add_gates(&mut network);
    for (name, tensor) in &mut network.tensors {
        if let HostTensor::Float { data, .. } = tensor {
            let expected = &golden[&format!("{prefix}state.{name}")];
            assert_eq!(data.len(), expected.len(), "{name}");
            data.clone_from(expected);
        }
    }
    network
}

fn assert_close(name: &str, found: &Tensor, expected: &[f32]) {
    assert_close_above(1e-3, name, found, expected);
}

/// As `assert_close`; values below `floor` are compared as if they were as large.
fn assert_close_above(floor: f32, name: &str, found: &Tensor, expected: &[f32]) {
    let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found.len(), expected.len(), "{name}");
    let scale = expected.iter().fold(floor, |scale, value| scale.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-4 * scale, "{name}: {found} against {expected}");
    }
}

#[test]
fn logits_gradients_and_running_statistics_are_pytorch_s() {
    let golden = golden("golden.safetensors");
    let mut model = Model::load(&network(&golden), &Device::Cpu).unwrap();
    let x = Tensor::from_slice(&golden["x"], (6, 1, 16, 16), &Device::Cpu).unwrap();
    let labels: Vec<u32> = golden["y"].iter().map(|label| *label as u32).collect();
    let (logits, tape) = model.forward_train(&x, Trainable::All).unwrap();
    assert_close("logits", &logits, &golden["logits"]);
    let scored = cross_entropy(&logits, &labels, 0.1).unwrap();
    assert!((scored.loss_sum / 6.0 - f64::from(golden["loss"][0])).abs() < 1e-5);
    let gradients = model.backward(tape, &scored.dlogits, Trainable::All).unwrap();
    assert_eq!(gradients.len(), 8 * 3 + 2);
    for (name, gradient) in &gradients {
        assert_close(name, gradient, &golden[&format!("grad.{name}")]);
    }
    let after = model.checkpoint().unwrap();
    for (name, expected) in golden.iter().filter(|(name, _)| name.starts_with("after.")) {
        let found = after.values(name.trim_start_matches("after.")).unwrap();
        assert_close(name, &Tensor::new(found, &Device::Cpu).unwrap(), expected);
    }
    assert_close("eval logits", &model.forward(&x).unwrap(), &golden["eval_logits"]);
}

#[test]
fn pruned_networks_of_odd_channels_on_small_wide_and_large_images_are_pytorch_s() {
    let golden = golden("ops/network.safetensors");
    for (case, arch, input, channels) in [
        ("vgg16", Arch::Vgg16, [3, 32, 32], vec![3, 5, 7, 1, 9, 5, 3, 11, 7, 5, 1, 6, 13]),
        ("vgg11", Arch::Vgg11, [1, 64, 48], vec![2, 3, 5, 1, 4, 3, 6, 5]),
        ("vgg13", Arch::Vgg13, [3, 224, 224], vec![2, 3, 3, 5, 2, 4, 3, 5, 4, 3]),
    ] {
        let spec = NetworkSpec { arch, input, classes: 7, channels, plain_channels: None };
        let start = filled(&spec, &golden, &format!("{case}/"));
        let shape = (2, input[0], input[1], input[2]);
        // The formula of the script: hashed positions, exact in single precision.
        let pixel = |index: u32| (index.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
        let pixels: Vec<f32> = (0..(2 * input.iter().product::<usize>()) as u32).map(pixel).collect();
        let x = Tensor::from_vec(pixels, shape, &Device::Cpu).unwrap();
        let holds = |what: &str, found: &Tensor| {
            // The gate of a layer of one channel hardly matters, for the next batch norm undoes it: its gradient is a
            // difference of nearly equal numbers.
            assert_close_above(1e-2, &format!("{case}/{what}"), found, &golden[&format!("{case}/{what}")]);
        };
        let mut compared = 0;
        for trainable in [Trainable::All, Trainable::Gates, Trainable::BnScale] {
            let mut model = Model::load(&start, &Device::Cpu).unwrap();
            let (logits, tape) = model.forward_train(&x, trainable).unwrap();
            holds("logits", &logits);
            let scored = cross_entropy(&logits, &[0, 6], 0.0).unwrap();
            assert!((scored.loss_sum / 2.0 - f64::from(golden[&format!("{case}/loss")][0])).abs() < 1e-5);
            for (name, gradient) in &model.backward(tape, &scored.dlogits, trainable).unwrap() {
                holds(&format!("grad.{name}"), gradient);
                compared += 1;
            }
            let after = model.checkpoint().unwrap();
            for name in golden.keys().filter_map(|name| name.strip_prefix(&format!("{case}/after."))) {
                holds(
                    &format!("after.{name}"),
                    &Tensor::new(after.values(name).unwrap(), &Device::Cpu).unwrap(),
                );
            }
            holds("eval_logits", &model.forward(&x).unwrap());
        }
        // Weight, scale and shift; gate; scale and shift; and the linear layer.
        assert_eq!(compared, 6 * spec.channels.len() + 2, "{case}");
    }
}

#[test]
fn gate_gradients_are_pytorch_s() {
    let golden = golden("golden.safetensors");
    let mut model = Model::load(&network(&golden), &Device::Cpu).unwrap();
    let x = Tensor::from_slice(&golden["x"], (6, 1, 16, 16), &Device::Cpu).unwrap();
    let labels: Vec<u32> = golden["y"].iter().map(|label| *label as u32).collect();
    let (logits, tape) = model.forward_train(&x, Trainable::Gates).unwrap();
    let scored = cross_entropy(&logits, &labels, 0.1).unwrap();
    let gradients = model.backward(tape, &scored.dlogits, Trainable::Gates).unwrap();
    assert_eq!(gradients.len(), 8);
    for (name, gradient) in &gradients {
        assert_close(name, gradient, &golden[&format!("grad.{name}")]);
    }
}

#[test]
fn an_inheriting_slim_network_computes_what_the_masked_one_does() {
    for arch in [Arch::Vgg11, Arch::Vgg13, Arch::Vgg16, Arch::Vgg19] {
        for gated in [false, true] {
            let spec = NetworkSpec::vgg(arch, 4, 1.0, [3, 32, 32], 10).unwrap();
            let mut full = initialise(&spec, 5);
            if gated {
                add_gates(&mut full);
            }
            for (name, tensor) in &mut full.tensors {
                let HostTensor::Float { data, .. } = tensor else { continue };
                for (index, value) in data.iter_mut().enumerate() {
                    if name.ends_with(".gate") || name.ends_with(".bias") {
                        *value = 0.3 + (index % 5) as f32 / 10.0;
                    }
                }
            }
            let kept = spec.channels.iter().map(|count| (0..*count as u32).filter(|c| c % 3 != 1).collect());
            let channels = Channels::new(spec.clone(), kept.collect()).unwrap();
            let read = Channels::from_safetensors(&channels.to_safetensors().unwrap()).unwrap();
            assert_eq!(read, channels);
            let x =
                Tensor::arange(0f32, 2.0 * 3072.0, &Device::Cpu).unwrap().reshape((2, 3, 32, 32)).unwrap();
            let x = x.sin().unwrap();
            let logits = |network: &Checkpoint| {
                let model = Model::load(network, &Device::Cpu).unwrap();
                model.forward(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            let slim = logits(&slim_inherit(&full, &channels).unwrap());
            for (slim, masked) in slim.iter().zip(logits(&masked(&full, &channels).unwrap())) {
                assert!((slim - masked).abs() <= 1e-5, "{arch:?}, gated {gated}: {slim} against {masked}");
            }
        }
    }
}
