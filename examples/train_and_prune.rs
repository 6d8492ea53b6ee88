//! Pruning from Scratch with the library alone: no pipeline file, no cache, no command line.
//!
//!     cargo run --example train_and_prune
//!
//! Each step is one call, on values in memory: images, a random network, its gates trained, the channels chosen, the
//! slim network built and trained, and both measured. `runner run` does the same, and keeps what each step gave.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use candle_core::Device;
use runner::data::{Augment, DataParams, DataSet, load};
use runner::network::{Arch, Checkpoint, Model, NetworkSpec, initialise};
use runner::ops::Algorithm;
use runner::prune::{
    Channels, SearchInput, Ties, add_gates, importance, slim_fresh, slim_inherit, threshold_search,
};
use runner::train::{
    Budget, EpochRecord, Evaluation, Half, Host, HostError, Keep, Length, Measured, Objective,
    OptimizerParams, Progress, Run, ScheduleParams, Sparsity, evaluate, train,
};

const SEED: u64 = 1;

/// What a training run tells of itself, and where it keeps its state: here the terminal, and nowhere.
struct Printer(&'static str);

impl Host for Printer {
    fn checkpoint(&mut self, _state: &[u8]) -> Result<(), HostError> {
        // A run that may be stopped writes the bytes to a file, and gives them back in `resume`.
        Ok(())
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn progress(&mut self, _progress: Progress) {}

    fn epoch(&mut self, record: &EpochRecord, _: &Measured) {
        let validation = record.validation_accuracy.unwrap_or(f64::NAN);
        let gates = record.mean_gate.map_or(String::new(), |gate| format!(", mean gate {gate:.2}"));
        let (name, epoch, loss) = (self.0, record.epoch, record.train_loss);
        println!("  {name} {epoch}: loss {loss:.3}, validation accuracy {:.1}%{gates}", 100.0 * validation);
    }

    fn should_stop(&self) -> bool {
        false
    }
}

/// Trains a network and gives the one of its best epoch.
fn trained(
    data: &Arc<DataSet>,
    network: &Checkpoint,
    objective: Objective,
    optimizer: &OptimizerParams,
    schedule: &ScheduleParams,
    host: &mut Printer,
) -> Result<Checkpoint, Box<dyn Error>> {
    let split = data.split();
    let run = Run {
        data,
        train: split.train.into(),
        validation: split.validation.into(),
        device: &Device::Cpu,
        seed: SEED,
        batch_size: 32,
        length: Length::Epochs(5),
        objective,
        optimizer,
        schedule,
        augment: Some(Augment { crop_padding: 2, flip: true }),
        conv: Algorithm::default(),
        keep: Keep::BestValidation,
        budget: Budget { save_every: Duration::from_secs(60) },
    };
    let done = train(&run, network.clone(), host)?.ok_or("the run was stopped")?;
    Ok(done.best)
}

fn measured(data: &Arc<DataSet>, network: &Checkpoint) -> Result<Evaluation, Box<dyn Error>> {
    let model = Model::load(network, &Device::Cpu)?;
    Ok(evaluate(&model, data, &Half::Test, 256, &Device::Cpu)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    // The sample of Fashion-MNIST that ships with the library, or a part of it.
    let params = DataParams { limit_train: Some(2000), limit_test: Some(500), ..DataParams::default() };
    let data = Arc::new(load(&params)?);
    let shape = params.shape();

    // A narrow VGG11 with random weights, and a gate of 1 on every channel.
    let spec =
        NetworkSpec::vgg(Arch::Vgg11, 8, 1.0, [shape.channels, shape.height, shape.width], params.classes())?;
    let mut full = initialise(&spec, SEED);
    add_gates(&mut full);

    // The weights stay as they are, the gates are trained.
    let sparsity = Sparsity { balance: 0.5, ratio: 0.2, zero: 0.01 };
    let (adam, constant) = (OptimizerParams::gates(), ScheduleParams::constant());
    let mut host = Printer("gates, epoch");
    let gated = trained(&data, &full, Objective::Gates(sparsity), &adam, &constant, &mut host)?;

    // The channels with the largest gates of all layers, as many as fit into half of the FLOPs.
    let found = threshold_search(&SearchInput {
        spec: &gated.spec,
        importance: &importance(&gated),
        flops_ratio: 0.5,
        tolerance: None,
        min_channels: 1,
        round_to: 1,
        ties: Ties::Spread,
    })?;
    let channels = Channels::new(gated.spec.clone(), found.kept)?;

    // A real, smaller network: with fresh weights as in the paper, or with the slices that are kept.
    let inherited = slim_inherit(&gated, &channels)?;
    let slim = slim_fresh(&channels, SEED)?;
    let sgd = OptimizerParams { lr: 0.05, ..OptimizerParams::default() };
    let weights = Objective::Weights { label_smoothing: 0.0 };
    let mut host = Printer("weights, epoch");
    let slim = trained(&data, &slim, weights, &sgd, &ScheduleParams::default(), &mut host)?;

    println!("{:24} {:>12} {:>10} {:>14}", "network", "FLOPs", "parameters", "test accuracy");
    for (name, network) in
        [("full, gates trained", &gated), ("slim, weights inherited", &inherited), ("slim, trained", &slim)]
    {
        let (macs, parameters) = (network.spec.macs().0, network.spec.parameters());
        let accuracy = 100.0 * measured(&data, network)?.accuracy();
        println!("{name:24} {macs:>12} {parameters:>10} {accuracy:>13.1}%");
    }
    println!("channels kept: {:?} of {:?}", slim.spec.channels, gated.spec.channels);
    Ok(())
}
