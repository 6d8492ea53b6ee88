//! The loop, for gates and for weights alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::evaluate::{Half, evaluate_until};
use super::optimizer::{Optimizer, OptimizerParams};
use super::schedule::ScheduleParams;
use super::state::{self, EpochRecord, Figures, TrainState};
use super::step::Trainee;
use super::{Histogram, Host, Measured, Progress, TrainError};
use crate::data::{Augment, Batch, Batches, DataSet, Order};
use crate::network::{Checkpoint, HostTensor, Model, Snapshot, Trainable};
use crate::ops::{Algorithm, Backend};
use crate::prune;

/// How long a run trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many passes over the training images.
    Epochs(u64),
    /// So many steps; the last epoch may be cut short.
    Steps(u64),
}

/// The sparsity that gate-training drives to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sparsity {
    /// Weight of the regulariser in the loss.
    pub balance: f64,
    /// The mean magnitude of gates that it drives to, and the share of open gates that counts as reached.
    pub ratio: f64,
    /// The magnitude up to which a gate counts as closed.
    pub zero: f64,
}

/// What is trained, and towards what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// All weights, with so much label smoothing.
    Weights {
        /// Label smoothing.
        label_smoothing: f64,
    },
    /// Scale and shift of batch norm.
    BnScale(Sparsity),
    /// Separate gates, clamped to 0..1.
    Gates(Sparsity),
    /// All weights, with an L1 penalty on the scales of batch norm: `penalty * sum_j |gamma_j|` (Liu et al., "Learning Efficient
    /// Convolutional Networks through Network Slimming", ICCV 2017).
    Slimming {
        /// Weight of the penalty in the loss.
        penalty: f64,
        /// Label smoothing.
        label_smoothing: f64,
    },
}

/// Which epoch's network is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The one with the best validation accuracy (in gate-training, of those that reach the sparsity); the
    /// last, where there is none.
    BestValidation,
    /// The last.
    Last,
}

/// How often the state is saved within an epoch.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// The time between two states.
    pub save_every: Duration,
}

/// Everything a run is decided by.
#[derive(Debug)]
pub struct Run<'a> {
    /// The images.
    pub data: &'a Arc<DataSet>,
    /// Training images trained on.
    pub train: Arc<[u32]>,
    /// Training images held out; may be empty.
    pub validation: Arc<[u32]>,
    /// Where tensors live.
    pub device: &'a Device,
    /// How convolutions are computed.
    pub conv: Algorithm,
    /// The seed of order and augmentation.
    pub seed: u64,
    /// Images in a batch.
    pub batch_size: usize,
    /// How long.
    pub length: Length,
    /// What, and towards what.
    pub objective: Objective,
    /// By which optimizer.
    pub optimizer: &'a OptimizerParams,
    /// At which rate.
    pub schedule: &'a ScheduleParams,
    /// With which random changes.
    pub augment: Option<Augment>,
    /// Which epoch's network is the best.
    pub keep: Keep,
    /// How often the state is saved.
    pub budget: Budget,
}

/// What a finished run gives.
#[derive(Debug)]
pub struct Trained {
    /// The network at its best.
    pub best: Checkpoint,
    /// Its epoch.
    pub best_epoch: u64,
    /// The network at the end.
    pub last: Checkpoint,
    /// The figures of every epoch.
    pub history: Vec<EpochRecord>,
    /// How long steps waited for their batches. Never part of a result.
    pub waited: Duration,
}

/// Trains `network`, from the host's state if it has one. `None` if the host asked to stop; its state is saved then.
///
/// # Errors
/// A loss that is no number, a state that cannot be saved.
pub fn train(run: &Run<'_>, network: Checkpoint, host: &mut dyn Host) -> Result<Option<Trained>, TrainError> {
    if run.train.is_empty() {
        return Err(TrainError::NoImages);
    }
    let mut loop_ = Loop::start(run, network, host)?;
    while loop_.figures.step < loop_.steps || loop_.is_within_epoch() {
        if !loop_.epoch(host)? {
            return Ok(None);
        }
    }
    let last = loop_.trainee.model.checkpoint()?;
    loop_.check_finite(&last)?;
    let Loop { trainee, figures, best, epochs, waited, .. } = loop_;
    // What only further steps would need.
    drop(trainee);
    let best_epoch = figures.best_epoch.unwrap_or(epochs);
    let best = best.map_or_else(|| Ok(last.clone()), |best| best.checkpoint())?;
    Ok(Some(Trained { best, best_epoch, last, history: figures.history, waited }))
}

/// A state that is saved as quickly as this is saved after every epoch.
const CHEAP_SAVE: Duration = Duration::from_millis(100);

/// Of another one, the time between two saves at ends of epochs, in times that a save took: saving takes a
/// twentieth of the time.
const SAVE_SHARE: u32 = 20;

/// The steps of an epoch over so many images: one for each batch. The last batch may be smaller, but not a
/// single image, of which batch norm has no statistics: that one is left out of the epoch.
pub fn steps_per_epoch(images: usize, batch_size: usize) -> u64 {
    let full = images.div_ceil(batch_size) as u64;
    if images % batch_size == 1 { (full - 1).max(1) } else { full.max(1) }
}

struct Loop<'a> {
    run: &'a Run<'a>,
    trainee: Trainee,
    figures: Figures,
    best: Option<Snapshot>,
    per_epoch: u64,
    epochs: u64,
    steps: u64,
    saved: Instant,
    save_took: Duration,
    started: Instant,
    images: u64,
    waited: Duration,
}

impl<'a> Loop<'a> {
    fn start(run: &'a Run<'a>, network: Checkpoint, host: &mut dyn Host) -> Result<Self, TrainError> {
        let per_epoch = steps_per_epoch(run.train.len(), run.batch_size);
        let (epochs, steps) = match run.length {
            Length::Epochs(epochs) => (epochs, epochs * per_epoch),
            Length::Steps(steps) => (steps.div_ceil(per_epoch), steps),
        };
        let backend = Backend::new(run.device, run.conv)?;
        let kept = host.resume();
        let resumed = kept.is_some();
        let (model, optimizer, figures, best) = match kept {
            None => {
                let optimizer = Optimizer::new(run.optimizer.clone());
                (Model::load_on(&network, run.device, &backend)?, optimizer, Figures::default(), None)
            }
            Some(bytes) => {
                let state =
                    TrainState::from_bytes(&bytes).map_err(|error| TrainError::State(error.to_string()))?;
                drop(bytes);
                if state.network.spec != network.spec || state.figures.step > steps {
                    return Err(TrainError::State("it belongs to another network".to_owned()));
                }
                let (params, step) = (run.optimizer.clone(), state.figures.step);
                let optimizer = Optimizer::resumed(params, step, state.optimizer, run.device)?;
                let best = state.best.map(Snapshot::of).transpose()?;
                (Model::load_on(&state.network, run.device, &backend)?, optimizer, state.figures, best)
            }
        };
        drop(network);
        let now = Instant::now();
        let loop_ = Self {
            run,
            trainee: Trainee { model, optimizer, objective: run.objective },
            figures,
            best,
            per_epoch,
            epochs,
            steps,
            saved: now,
            save_took: Duration::ZERO,
            started: now,
            images: 0,
            waited: Duration::ZERO,
        };
        if resumed {
            let done = loop_.figures.step;
            let lr = run.optimizer.lr * run.schedule.factor(done.saturating_sub(1), per_epoch, epochs);
            host.resumed(&loop_.progress(loop_.running_epoch(), lr));
        }
        Ok(loop_)
    }

    /// Whether an epoch was begun whose figures are not written yet. After its last step that is so until it was
    /// validated.
    fn is_within_epoch(&self) -> bool {
        self.figures.seen > 0
    }

    /// The epoch of the next step, or of the last one while its epoch is not over; from 0.
    fn running_epoch(&self) -> u64 {
        let step = self.figures.step;
        (if self.is_within_epoch() { step.saturating_sub(1) } else { step }) / self.per_epoch
    }

    /// Trains to the end of the running epoch; `false` if the host asked to stop.
    fn epoch(&mut self, host: &mut dyn Host) -> Result<bool, TrainError> {
        let epoch = self.running_epoch();
        let batches = Batches {
            data: self.run.data.clone(),
            test: false,
            indices: self.run.train.clone(),
            size: self.run.batch_size,
            order: Order::Shuffled { seed: self.run.seed, epoch },
            augment: self.run.augment,
        };
        let end = ((epoch + 1) * self.per_epoch).min(self.steps);
        let mut batches = batches.from((self.figures.step - epoch * self.per_epoch) as usize);
        while self.figures.step < end {
            if host.should_stop() {
                self.save(host)?;
                return Ok(false);
            }
            let asked = Instant::now();
            let Some(batch) = batches.next() else { return Err(TrainError::NoImages) };
            self.waited += asked.elapsed();
            let lr = self.step(epoch, batch)?;
            if self.saved.elapsed() >= self.run.budget.save_every && self.figures.step < end {
                self.save(host)?;
            }
            host.progress(self.progress(epoch, lr));
        }
        if !self.finish_epoch(epoch, host)? {
            self.save(host)?;
            return Ok(false);
        }
        Ok(!host.should_stop() || self.figures.step >= self.steps)
    }

    fn step(&mut self, epoch: u64, batch: Batch) -> Result<f64, TrainError> {
        let run = self.run;
        let shape = run.data.train.shape;
        let count = batch.labels.len();
        let images =
            Tensor::from_vec(batch.images, (count, shape.channels, shape.height, shape.width), run.device)?;
        let lr = run.optimizer.lr * run.schedule.factor(self.figures.step, self.per_epoch, self.epochs);
        let found = self.trainee.step(&images, &batch.labels, lr)?;
        let loss = found.loss;
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { loss, step: self.figures.step + 1, epoch: epoch + 1, lr });
        }
        self.figures.step += 1;
        self.figures.loss_sum += loss * count as f64;
        self.figures.correct += found.correct as u64;
        self.figures.seen += count as u64;
        self.images += count as u64;
        Ok(lr)
    }

    /// Validates and writes the epoch's figures; `false` if the host asked to stop before they were complete.
    fn finish_epoch(&mut self, epoch: u64, host: &mut dyn Host) -> Result<bool, TrainError> {
        let run = self.run;
        let validation = if run.validation.is_empty() {
            None
        } else {
            let (half, size) = (Half::Train(run.validation.clone()), run.batch_size.max(64));
            let stop = || host.should_stop();
            // Where weights are trained, a validation keeps all layers' kernels, which steps do not: neither
            // needs what lies ready for the other.
            let (model, changes) = (&self.trainee.model, run.objective.trainable() == Trainable::All);
            if changes {
                model.release();
            }
            let found = evaluate_until(model, run.data, &half, size, run.device, &stop)?;
            if changes {
                model.forget_kernels();
                model.release();
            }
            let Some(found) = found else { return Ok(false) };
            Some(found)
        };
        let last = self.figures.step.saturating_sub(1);
        let lr = run.optimizer.lr * run.schedule.factor(last, self.per_epoch, self.epochs);
        if let Some(loss) = validation.as_ref().map(|found| found.loss).filter(|loss| !loss.is_finite()) {
            return Err(TrainError::NotFinite { loss, step: self.figures.step, epoch: epoch + 1, lr });
        }
        let mut gates = Vec::new();
        if run.objective.moves_gates() {
            for (_, gate) in self.trainee.model.gates() {
                gates.push(gate.to_vec1::<f32>()?);
            }
        }
        let count = gates.iter().map(Vec::len).sum::<usize>();
        let total = gates.iter().flatten().map(|gate| f64::from(gate.abs())).sum::<f64>();
        let sparsity = run.objective.sparsity().map(|wanted| prune::sparsity(&gates, wanted.zero as f32));
        let seen = self.figures.seen.max(1) as f64;
        let record = EpochRecord {
            epoch: epoch + 1,
            train_loss: self.figures.loss_sum / seen,
            train_accuracy: self.figures.correct as f64 / seen,
            validation_loss: validation.as_ref().map(|found| found.loss),
            validation_accuracy: validation.as_ref().map(super::Evaluation::accuracy),
            sparsity,
            mean_gate: (count > 0).then(|| total / count as f64),
            lr,
        };
        if self.is_best(&record) {
            self.best = Some(self.trainee.model.snapshot(run.objective.trainable())?);
            self.figures.best_epoch = Some(record.epoch);
        }
        let magnitudes: Vec<f64> = gates.iter().flatten().map(|gate| f64::from(gate.abs())).collect();
        let measured = Measured {
            step: self.figures.step,
            images_per_second: self.images_per_second(),
            gates: Histogram::of(&magnitudes),
        };
        host.epoch(&record, &measured);
        self.figures.history.push(record);
        (self.figures.loss_sum, self.figures.correct, self.figures.seen) = (0.0, 0, 0);
        // The last state of all is the result itself.
        if self.figures.step < self.steps && self.is_worth_saving() {
            self.save(host)?;
        }
        Ok(true)
    }

    /// Whether the end of an epoch is saved: where epochs are short and states large, saving all of them
    /// would take a good part of the time. No more than `save_every` is lost in any case.
    fn is_worth_saving(&self) -> bool {
        self.save_took < CHEAP_SAVE || self.saved.elapsed() >= SAVE_SHARE * self.save_took
    }

    /// Whether an epoch beats all before it. Of equal ones the earlier stays.
    fn is_best(&self, record: &EpochRecord) -> bool {
        let Some(accuracy) = record.validation_accuracy else { return false };
        let reached = match (self.run.objective.sparsity(), record.sparsity) {
            (Some(wanted), Some(open)) => open <= wanted.ratio,
            _ => true,
        };
        let before = self.figures.best_epoch.and_then(|best| {
            self.figures
                .history
                .iter()
                .find(|record| record.epoch == best)
                .and_then(|r| r.validation_accuracy)
        });
        self.run.keep == Keep::BestValidation && reached && before.is_none_or(|before| accuracy > before)
    }

    /// The last step's own loss is from before it: a run that diverged in it shows it in its tensors alone.
    fn check_finite(&self, network: &Checkpoint) -> Result<(), TrainError> {
        for (name, tensor) in &network.tensors {
            let HostTensor::Float { data, .. } = tensor else { continue };
            if data.iter().any(|value| !value.is_finite()) {
                let step = self.figures.step;
                let last = step.saturating_sub(1);
                let lr = self.run.optimizer.lr * self.run.schedule.factor(last, self.per_epoch, self.epochs);
                return Err(TrainError::NotFiniteTensor { name: name.clone(), step, epoch: self.epochs, lr });
            }
        }
        Ok(())
    }

    fn save(&mut self, host: &mut dyn Host) -> Result<(), TrainError> {
        let began = Instant::now();
        let Trainee { model, optimizer, .. } = &self.trainee;
        // The file takes the place of what a step needs.
        model.release();
        let view = model.view();
        let best = self.best.as_ref().map(Snapshot::document).transpose()?;
        let state = state::bytes(&self.figures, view.document()?, best, &optimizer.moments()?)?;
        host.checkpoint(&state)?;
        self.saved = Instant::now();
        self.save_took = self.saved - began;
        Ok(())
    }

    fn progress(&self, epoch: u64, lr: f64) -> Progress {
        let seen = self.figures.seen.max(1) as f64;
        Progress {
            epoch: epoch + 1,
            epochs: self.epochs,
            step: self.figures.step,
            steps: self.steps,
            loss: self.figures.loss_sum / seen,
            accuracy: self.figures.correct as f64 / seen,
            images_per_second: self.images_per_second(),
            lr,
        }
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}
