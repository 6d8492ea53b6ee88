//! `eval`: how good a network is on the test images, and what it costs.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::job::{Job, Outcome, Output, StageError, read_network};
use super::kind::{DataUse, Kind, Parameters, Stage, parse, schema};
use super::parameters::check_shape;
use crate::content_hash;
use crate::data::DataParams;
use crate::network::{Checkpoint, Model, NetworkSpec};
use crate::ops::{Algorithm, Backend};
use crate::pipeline::InputRole;
use crate::train::{Half, Machine, evaluate_until, evaluation_bytes, latency};

/// The kind.
pub static KIND: Kind = Kind {
    name: "eval",
    summary: "measure networks: test accuracy and loss, FLOPs, parameters, latency",
    version: 4,
    inputs: &[InputRole {
        role: "network",
        artifact: "network",
        many: true,
        required: true,
        doc: "the networks; naming a stage alone takes all of its networks",
    }],
    outputs: &[],
    schema: schema::<Eval>,
    parse: parse::<Eval>,
};

/// The batches whose forward pass is timed.
pub const BATCHES: [usize; 2] = [1, 64];

/// The machines on which the latencies of an evaluation were measured; empty without latencies, and for metrics of other
/// kinds.
pub fn machines(metrics: &serde_json::Value) -> BTreeSet<Machine> {
    let networks = metrics["networks"].as_object();
    let machine = |network: &serde_json::Value| {
        serde_json::from_value(network.get("latency")?.get("machine")?.clone()).ok()
    };
    networks.into_iter().flat_map(|networks| networks.values()).filter_map(machine).collect()
}

/// Parameters of `eval`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Eval {
    /// Images in a batch.
    #[schemars(range(min = 1, max = 65536))]
    pub batch_size: usize,
    /// Whether the time of a forward pass of 1 and of 64 images is measured, on the machine and device of this run. Part of
    /// what identifies the work: a result without the times cannot stand for one with them. So turning it on evaluates again.
    /// The machine and its threads are not part of it: they stand beside the times, and a run says when it reuses the times
    /// of another machine.
    pub latency: bool,
    /// How convolutions are computed on the CPU.
    pub conv: Algorithm,
}

content_hash!(Eval { batch_size, latency, conv });

impl Default for Eval {
    fn default() -> Self {
        Self { batch_size: 256, latency: true, conv: Algorithm::default() }
    }
}

impl Parameters for Eval {
    const KIND: &'static Kind = &KIND;
}

impl Stage for Eval {
    fn data_use(&self) -> DataUse {
        DataUse::Test
    }

    fn memory(&self, network: &NetworkSpec, _data: &DataParams) -> u64 {
        evaluation_bytes(network, self.batch_size, self.conv)
    }

    fn images(&self, _share: f64, data: &DataParams) -> Option<f64> {
        Some(data.images()[1] as f64)
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let mut networks = Map::new();
        let artifacts = job.inputs.all("network").to_vec();
        for (place, artifact) in artifacts.iter().enumerate() {
            // The best epoch is often the last: the same bytes are measured once.
            let twin = artifacts[..place].iter().find(|earlier| earlier.bytes == artifact.bytes);
            if let Some(known) = twin.and_then(|twin| networks.get(&twin.output)).cloned() {
                networks.insert(artifact.output.clone(), known);
                continue;
            }
            let network = read_network("network", artifact)?;
            check_shape(&network, job.data)?;
            let model = Model::load_on(&network, &job.device, &Backend::new(&job.device, self.conv)?)?;
            let Checkpoint { spec, tensors } = network;
            drop(tensors);
            let data = job.data.load()?;
            let stop = || job.host.should_stop();
            let found = evaluate_until(&model, &data, &Half::Test, self.batch_size, &job.device, &stop)?;
            let Some(found) = found else { return Ok(Outcome::Interrupted) };
            let mut metrics = json!({
                "accuracy": found.accuracy(),
                "loss": found.loss,
                "images": found.images,
                "confusion": found.confusion,
                "macs": spec.macs().0,
                "plain_macs": spec.plain().macs().0,
                "parameters": spec.parameters(),
                "channels": spec.channels,
                "plain_channels": spec.plain().channels,
            });
            if self.latency {
                let mut times = json!({ "machine": Machine::here(&job.device) });
                for batch in BATCHES {
                    let Some(timing) = latency(&model, batch, &job.device, &stop)? else {
                        return Ok(Outcome::Interrupted);
                    };
                    times[batch.to_string()] = json!(timing);
                }
                metrics["latency"] = times;
            }
            networks.insert(artifact.output.clone(), metrics);
        }
        Ok(Outcome::Done(Output { metrics: json!({ "networks": networks }), ..Output::default() }))
    }
}
