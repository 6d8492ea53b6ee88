//! Choices that several kinds share.

use std::time::Duration;

use crate::data::Augment;
use crate::network::{Checkpoint, NetworkSpec};
use crate::train::{Budget, OptimizerParams};

use super::job::{DataSource, StageError};
use super::kind::ParameterError;

/// The state of a running stage is saved this often, and after epochs.
pub const SAVE: Budget = Budget { save_every: Duration::from_secs(60) };

/// Random changes, if any are asked for.
pub fn augment(crop_padding: usize, flip: bool) -> Option<Augment> {
    (crop_padding > 0 || flip).then_some(Augment { crop_padding, flip })
}

/// Checks what the types of an optimizer cannot.
///
/// # Errors
/// Nesterov's momentum without momentum, which PyTorch refuses as well.
pub fn check_optimizer(optimizer: &OptimizerParams) -> Result<(), ParameterError> {
    if optimizer.is_nesterov_without_momentum() {
        return Err(ParameterError::new(
            "optimizer",
            "`optimizer.nesterov` needs momentum, and `optimizer.momentum` is 0",
            "give `optimizer.momentum` a value (0.9), or leave `nesterov` out",
        ));
    }
    Ok(())
}

/// The figures of a network that follow from its structure.
pub fn structure(spec: &NetworkSpec) -> serde_json::Value {
    serde_json::json!({
        "macs": spec.macs().0,
        "parameters": spec.parameters(),
        "channels": spec.channels,
        "plain_channels": spec.plain_channels,
    })
}

/// Checks that a network and the images fit each other.
///
/// # Errors
/// They do not.
pub fn check_shape(network: &Checkpoint, data: &dyn DataSource) -> Result<(), StageError> {
    let (shape, classes) = (data.params().shape(), data.params().classes());
    let images = [shape.channels, shape.height, shape.width];
    if network.spec.input == images && network.spec.classes == classes {
        return Ok(());
    }
    let word = |[c, h, w]: [usize; 3]| format!("images of {c}x{h}x{w}");
    Err(StageError::Shape {
        network: word(network.spec.input),
        network_classes: network.spec.classes,
        data: word(images),
        data_classes: classes,
    })
}
