//! Evaluation: accuracy, loss, confusion.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use serde::Serialize;

use crate::data::{Batches, DataSet, Order};
use crate::network::Model;
use crate::ops;

/// Which images are evaluated on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Half {
    /// The test images, all of them.
    Test,
    /// These training images.
    Train(Arc<[u32]>),
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Images.
    pub images: u64,
    /// Images classified rightly.
    pub correct: u64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Images by true class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
}

impl Evaluation {
    fn of_nothing(classes: usize) -> Self {
        Self { images: 0, correct: 0, loss: 0.0, confusion: vec![vec![0; classes]; classes] }
    }

    /// Share of images classified rightly.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images.max(1) as f64
    }
}

/// Evaluates a network.
///
/// # Errors
/// Images that do not fit it.
pub fn evaluate(
    model: &Model,
    data: &Arc<DataSet>,
    half: &Half,
    size: usize,
    device: &Device,
) -> Result<Evaluation> {
    // Never asked to stop, so there is an end.
    let found = evaluate_until(model, data, half, size, device, &|| false)?;
    Ok(found.unwrap_or_else(|| Evaluation::of_nothing(data.classes)))
}

/// As [`evaluate`], unless `should_stop` says so between two batches: then there is no result.
///
/// # Errors
/// Images that do not fit it.
pub fn evaluate_until(
    model: &Model,
    data: &Arc<DataSet>,
    half: &Half,
    size: usize,
    device: &Device,
    should_stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let (test, indices) = match half {
        Half::Test => (true, (0..data.test.len() as u32).collect()),
        Half::Train(indices) => (false, indices.clone()),
    };
    let shape = data.train.shape;
    let mut found = Evaluation::of_nothing(data.classes);
    let batches =
        Batches { data: data.clone(), test, indices, size, order: Order::Sequential, augment: None };
    for batch in batches.from(0) {
        if should_stop() {
            return Ok(None);
        }
        let count = batch.labels.len();
        let images =
            Tensor::from_vec(batch.images, (count, shape.channels, shape.height, shape.width), device)?;
        let scored = ops::cross_entropy(&model.forward(&images)?, &batch.labels, 0.0)?;
        found.images += count as u64;
        found.correct += scored.correct as u64;
        found.loss += scored.loss_sum;
        for (label, predicted) in batch.labels.iter().zip(scored.predicted) {
            found.confusion[*label as usize][predicted as usize] += 1;
        }
    }
    found.loss /= found.images.max(1) as f64;
    Ok(Some(found))
}
