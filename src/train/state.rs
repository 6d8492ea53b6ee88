//! The state of a training run: all that it needs to go on as if it had never stopped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::network::Checkpoint;
use crate::network::canonical::{Content, Document, Entry};

const KEY: &str = "train-state";

/// The figures of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which, from 1.
    pub epoch: u64,
    /// Mean training loss, the regulariser included.
    pub train_loss: f64,
    /// Share of training images classified rightly.
    pub train_accuracy: f64,
    /// Mean loss on the validation images, where there are some.
    pub validation_loss: Option<f64>,
    /// Share of validation images classified rightly.
    pub validation_accuracy: Option<f64>,
    /// Share of gates that are open, in gate-training.
    pub sparsity: Option<f64>,
    /// Mean magnitude of the gates, in gate-training.
    pub mean_gate: Option<f64>,
    /// Learning rate of the last step.
    pub lr: f64,
}

/// The figures of a state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Steps done.
    pub step: u64,
    /// Of the running epoch: the sum of the losses.
    pub loss_sum: f64,
    /// Of the running epoch: images classified rightly.
    pub correct: u64,
    /// Of the running epoch: images seen.
    pub seen: u64,
    /// Finished epochs.
    pub history: Vec<EpochRecord>,
    /// The epoch whose weights are the best so far.
    pub best_epoch: Option<u64>,
}

impl Figures {
    /// The figures of a state's file, without reading its tensors.
    ///
    /// # Errors
    /// Bytes that are no state.
    pub fn of_state(bytes: &[u8]) -> Result<Self, TrainError> {
        let wrong = |error: &dyn std::fmt::Display| TrainError::State(error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(&error))?;
        let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let json = json.ok_or_else(|| wrong(&"it has no figures"))?;
        serde_json::from_str(json).map_err(|error| wrong(&error))
    }
}

/// A buffer of an optimizer.
pub(super) struct Moments<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    pub values: Cow<'a, [f32]>,
}

/// The file of a state, from values that stay where they are.
pub(super) fn bytes<'a>(
    figures: &Figures,
    network: Document<'a>,
    best: Option<Document<'a>>,
    moments: &[Moments<'a>],
) -> Result<Vec<u8>, TrainError> {
    let json = serde_json::to_string(figures).map_err(|error| TrainError::State(error.to_string()))?;
    let names: Vec<String> = moments.iter().map(|moments| format!("optimizer.{}", moments.name)).collect();
    let best = best.map_or(Content::Bytes(Vec::new()), Content::File);
    let (best_shape, network_shape) = ([best.size()], [network.size()]);
    let mut entries = vec![
        Entry { name: "best", dtype: "U8", shape: &best_shape, content: best },
        Entry { name: "network", dtype: "U8", shape: &network_shape, content: Content::File(network) },
    ];
    entries.extend(names.iter().zip(moments).map(|(name, moments)| Entry {
        name,
        dtype: "F32",
        shape: moments.shape,
        content: Content::Floats(&moments.values),
    }));
    Ok(Document::new(KEY, &json, entries).to_bytes())
}

/// A state, free of any device.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainState {
    /// The figures.
    pub figures: Figures,
    /// The network as it is.
    pub network: Checkpoint,
    /// The network at its best.
    pub best: Option<Checkpoint>,
    /// The optimizer's buffers: shape and values.
    pub optimizer: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl TrainState {
    /// One file.
    ///
    /// # Errors
    /// None for a state that the trainer made.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TrainError> {
        let best = self.best.as_ref().map(Checkpoint::document).transpose()?;
        let moments: Vec<_> = self
            .optimizer
            .iter()
            .map(|(name, (shape, data))| Moments { name, shape, values: Cow::Borrowed(data) })
            .collect();
        bytes(&self.figures, self.network.document()?, best, &moments)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// Bytes that are no state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrainError> {
        let wrong = |error: safetensors::SafeTensorError| TrainError::State(error.to_string());
        let figures = Figures::of_state(bytes)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(wrong)?;
        let network = Checkpoint::from_safetensors(tensors.tensor("network").map_err(wrong)?.data())?;
        let best = tensors.tensor("best").map_err(wrong)?;
        let best =
            if best.data().is_empty() { None } else { Some(Checkpoint::from_safetensors(best.data())?) };
        let mut optimizer = BTreeMap::new();
        for (name, tensor) in tensors.iter() {
            if let Some(name) = name.strip_prefix("optimizer.") {
                let values = tensor.data().chunks_exact(4);
                let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                optimizer.insert(name.to_owned(), (tensor.shape().to_vec(), values));
            }
        }
        Ok(Self { figures, network, best, optimizer })
    }
}
