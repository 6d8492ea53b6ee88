//! The training loop: interruptions leave no trace, threads make no difference, a run that diverges says so.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use candle_core::Device;
use runner::data::{Augment, DataParams, DataSet, load};
use runner::network::{Arch, Checkpoint, NetworkSpec, initialise};
use runner::ops::Algorithm;
use runner::prune::add_gates;
use runner::train::{
    Budget, EpochRecord, Host, HostError, Keep, Length, Measured, Objective, OptimizerParams, Progress, Run,
    ScheduleKind, ScheduleParams, Sparsity, TrainError, Trained, train,
};

const GATES: Objective = Objective::Gates(Sparsity { balance: 0.5, ratio: 0.2, zero: 0.01 });
const WEIGHTS: Objective = Objective::Weights { label_smoothing: 0.1 };
const SLIMMING: Objective = Objective::Slimming { penalty: 0.01, label_smoothing: 0.1 };

/// Keeps the state in memory, and asks to stop after so many steps of its own, or when it was asked so often.
#[derive(Default)]
struct Memory {
    state: Option<Vec<u8>>,
    saved: usize,
    steps: u64,
    stop_after: Option<u64>,
    stop_at_question: Option<usize>,
    asked: Cell<usize>,
}

impl Host for Memory {
    fn checkpoint(&mut self, state: &[u8]) -> Result<(), HostError> {
        self.state = Some(state.to_vec());
        self.saved += 1;
        Ok(())
    }
    fn resume(&mut self) -> Option<Vec<u8>> {
        self.state.clone()
    }
    fn progress(&mut self, _: Progress) {
        self.steps += 1;
    }
    fn epoch(&mut self, _: &EpochRecord, _: &Measured) {}
    fn should_stop(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.stop_after.is_some_and(|after| self.steps >= after)
            || self.stop_at_question.is_some_and(|question| self.asked.get() >= question)
    }
}

struct Setting {
    data: Arc<DataSet>,
    start: Checkpoint,
    objective: Objective,
    optimizer: OptimizerParams,
    schedule: ScheduleParams,
    length: Length,
    save_every: Duration,
    held_out: std::ops::Range<u32>,
}

impl Setting {
    fn new(objective: Objective) -> Self {
        let mut start = initialise(&NetworkSpec::vgg(Arch::Vgg11, 2, 1.0, [1, 28, 28], 10).unwrap(), 4);
        let mut optimizer = OptimizerParams { nesterov: true, ..OptimizerParams::default() };
        if objective == GATES {
            add_gates(&mut start);
            optimizer = OptimizerParams::gates();
        }
        let schedule =
            ScheduleParams { kind: ScheduleKind::Cosine, warmup_epochs: 1.0, ..ScheduleParams::default() };
        let data = Arc::new(load(&DataParams::default()).unwrap());
        let save_every = Duration::MAX;
        // Epochs of three steps (16, 16 and 8 images), of which the last is cut short.
        Self {
            data,
            start,
            objective,
            optimizer,
            schedule,
            length: Length::Steps(8),
            save_every,
            held_out: 40..60,
        }
    }

    fn train(&self, host: &mut Memory) -> Result<Option<Trained>, TrainError> {
        let run = Run {
            data: &self.data,
            train: (0..40).collect(),
            validation: self.held_out.clone().collect(),
            device: &Device::Cpu,
            conv: Algorithm::Fast,
            seed: 11,
            batch_size: 16,
            length: self.length,
            objective: self.objective,
            optimizer: &self.optimizer,
            schedule: &self.schedule,
            augment: Some(Augment { crop_padding: 2, flip: true }),
            keep: Keep::BestValidation,
            budget: Budget { save_every: self.save_every },
        };
        train(&run, self.start.clone(), host)
    }

    fn whole(&self) -> Trained {
        self.train(&mut Memory::default()).unwrap().unwrap()
    }
}

/// Both networks as bytes, and all figures to the last bit.
fn bytes(trained: &Trained) -> (Vec<u8>, Vec<u8>, u64, String) {
    let network = |network: &Checkpoint| network.to_safetensors().unwrap();
    (network(&trained.best), network(&trained.last), trained.best_epoch, format!("{:?}", trained.history))
}

#[test]
fn a_run_stopped_after_any_step_goes_on_to_the_same_bytes() {
    for objective in [GATES, WEIGHTS, SLIMMING] {
        let setting = Setting::new(objective);
        let whole = bytes(&setting.whole());
        // After the eighth and last step the epoch is still to be validated.
        for stop in 0..=8 {
            let mut host = Memory { stop_after: Some(stop), ..Memory::default() };
            assert!(setting.train(&mut host).unwrap().is_none(), "stopped after {stop} steps");
            assert_eq!(host.steps, stop);
            let state = host.state.take();
            assert!(state.is_some(), "a stopped run has saved its state");
            let mut host = Memory { state, ..Memory::default() };
            let rest = setting.train(&mut host).unwrap().unwrap();
            assert_eq!(host.steps, 8 - stop, "no step is done twice");
            assert!(bytes(&rest) == whole, "{objective:?} differs when stopped after {stop} steps");
        }
    }
}

#[test]
fn a_run_stopped_wherever_it_asks_goes_on_to_the_same_bytes_also_in_the_middle_of_a_validation() {
    let mut setting = Setting::new(WEIGHTS);
    // Two batches of validation images.
    setting.held_out = 40..140;
    let mut host = Memory::default();
    let whole = bytes(&setting.train(&mut host).unwrap().unwrap());
    let questions = host.asked.get();
    assert!(questions >= 8 + 3 * 2, "asked {questions} times: not in the validations");
    for question in 1..=questions {
        let mut host = Memory { stop_at_question: Some(question), ..Memory::default() };
        if let Some(trained) = setting.train(&mut host).unwrap() {
            assert!(question == questions && bytes(&trained) == whole, "all was done when it asked last");
            continue;
        }
        let steps = host.steps;
        let mut host = Memory { state: host.state, ..Memory::default() };
        let rest = setting.train(&mut host).unwrap().unwrap();
        assert_eq!(host.steps, 8 - steps, "no step is done twice");
        assert!(bytes(&rest) == whole, "stopped at question {question} of {questions}");
    }
}

#[test]
fn a_run_stopped_after_every_single_step_ends_with_the_same_bytes() {
    let setting = Setting::new(WEIGHTS);
    let whole = bytes(&setting.whole());
    let mut state = None;
    for _ in 0..8 {
        let mut host = Memory { state, stop_after: Some(1), ..Memory::default() };
        if let Some(trained) = setting.train(&mut host).unwrap() {
            assert!(bytes(&trained) == whole);
            return;
        }
        state = host.state;
    }
    let mut host = Memory { state, ..Memory::default() };
    assert!(bytes(&setting.train(&mut host).unwrap().unwrap()) == whole);
}

#[test]
fn the_state_is_saved_at_the_end_of_epochs_and_when_it_is_due() {
    let mut setting = Setting::new(WEIGHTS);
    let mut host = Memory::default();
    setting.train(&mut host).unwrap();
    assert_eq!(host.saved, 2, "after the first and the second epoch; the third is the result");
    setting.save_every = Duration::ZERO;
    let mut host = Memory::default();
    let trained = setting.train(&mut host).unwrap().unwrap();
    assert_eq!(host.saved, 7, "after every step but the last");
    setting.save_every = Duration::MAX;
    assert!(bytes(&trained) == bytes(&setting.whole()), "saving changes nothing");
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for objective in [GATES, WEIGHTS, SLIMMING] {
        let setting = Setting::new(objective);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            bytes(&pool.install(|| setting.whole()))
        };
        assert!(with(1) == with(2), "{objective:?}");
        assert!(with(1) == with(3), "{objective:?}");
    }
}

#[test]
fn a_run_that_diverges_names_the_step_the_epoch_and_the_learning_rate() {
    let mut setting = Setting::new(WEIGHTS);
    setting.optimizer.lr = 1e30;
    setting.schedule = ScheduleParams::constant();
    let error = setting.train(&mut Memory::default()).unwrap_err();
    let TrainError::NotFinite { step, epoch, lr, .. } = &error else { panic!("{error}") };
    assert!((2..=3).contains(step) && *epoch == 1 && *lr == 1e30, "{error}");
    assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("optimizer.lr"));
}

#[test]
fn a_run_whose_last_step_diverges_is_no_result() {
    let mut setting = Setting::new(WEIGHTS);
    setting.optimizer.lr = 1e38;
    setting.schedule = ScheduleParams::constant();
    setting.length = Length::Steps(1);
    let error = setting.train(&mut Memory::default()).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 1, epoch: 1, .. }), "{error}");
    // Without validation images nothing but the weights shows it.
    setting.held_out = 40..40;
    setting.optimizer.lr = f64::INFINITY;
    let error = setting.train(&mut Memory::default()).unwrap_err();
    assert!(matches!(error, TrainError::NotFiniteTensor { step: 1, epoch: 1, .. }), "{error}");
}

#[test]
fn frozen_weights_stay_and_running_statistics_move_in_gate_training() {
    let setting = Setting::new(GATES);
    let trained = setting.whole();
    let mut moved = Vec::new();
    for (name, tensor) in &trained.last.tensors {
        if *tensor != setting.start.tensors[name] {
            moved.push(name.rsplit('.').next().unwrap());
        }
    }
    moved.sort_unstable();
    moved.dedup();
    assert_eq!(moved, ["gate", "num_batches_tracked", "running_mean", "running_var"]);
}

#[test]
fn the_best_network_is_that_of_the_best_validation_epoch() {
    let trained = Setting::new(WEIGHTS).whole();
    let best = trained.history.iter().filter_map(|record| record.validation_accuracy).fold(0.0, f64::max);
    let first = trained.history.iter().find(|record| record.validation_accuracy == Some(best)).unwrap();
    assert_eq!(trained.best_epoch, first.epoch, "the earlier of equals");
    let gates = Setting::new(GATES).whole();
    assert!(gates.history.iter().all(|record| record.sparsity.unwrap() > 0.2), "eight steps close no gate");
    assert_eq!(gates.best_epoch, 3, "no epoch reaches the sparsity: the last");
    assert!(gates.best == gates.last);
}
