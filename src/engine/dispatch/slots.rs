//! The slots that stages run in: threads with CPU threads and a device of their own, as far as memory goes.

use std::sync::mpsc::{self, Sender};

use super::Dispatcher;
use crate::engine::EngineError;
use crate::engine::event::Event;
use crate::engine::memory;
use crate::engine::work::{Executor, Task};
use crate::plan::NodeId;
use crate::report::format::bytes;

impl Dispatcher<'_, '_, '_> {
    /// Gives work to the first free slot.
    pub(super) fn hand_out(&mut self, task: Box<Task>) -> Result<(), EngineError> {
        if !self.prepared {
            let durability = self.run.store.prepare()?;
            if let Some(words) = durability.warning() {
                self.tell(Event::Warning { message: words.to_owned() });
            }
            self.prepared = true;
        }
        let Some(slot) = self.free.first().copied().filter(|slot| self.fits(*slot, task.id)) else {
            self.ready.insert(task.id);
            self.waits = true;
            return Ok(());
        };
        self.free.remove(&slot);
        while self.slots.len() <= slot {
            let number = self.slots.len();
            match self.executor(number) {
                Ok(tasks) => self.slots.push(tasks),
                Err(error) => {
                    self.free.insert(slot);
                    self.taken.remove(&slot);
                    return Err(error);
                }
            }
        }
        self.under_way.insert(task.assessment.fingerprint, Vec::new());
        // The executor listens until its sender is dropped.
        let _ = self.slots[slot].send(task);
        Ok(())
    }

    /// Whether a stage may run in a slot beside those that run; it is counted then. None overtakes one that waits for memory, so
    /// that a large one has its turn.
    pub(super) fn fits(&mut self, slot: usize, id: NodeId) -> bool {
        let places = &self.run.options.places;
        let on_cpu = places.get(slot % places.len().max(1)).is_none_or(|place| place.device.is_cpu());
        let Some(budget) = self.budget.filter(|_| on_cpu) else { return true };
        let records = |id: NodeId| self.records[id.0].clone();
        let needed = memory::needed(self.run.graph, id, &records);
        if !self.taken.is_empty() && self.taken.values().sum::<u64>() + needed > budget {
            return false;
        }
        if needed > budget && self.run.options.jobs > 1 {
            let (stage, needed) = (&self.run.graph.node(id).name, bytes(needed));
            let message = format!(
                "{stage} needs about {needed}, more than the {} that `--memory` leaves for stages: it runs alone",
                bytes(budget)
            );
            self.tell_of(id, Event::Warning { message });
        }
        self.taken.insert(slot, needed);
        true
    }

    /// Starts the executor of a slot.
    pub(super) fn executor(&self, slot: usize) -> Result<Sender<Box<Task>>, EngineError> {
        let executor = Executor::new(self.run, slot, self.news.clone())?;
        let (sender, tasks) = mpsc::channel::<Box<Task>>();
        let work = move || tasks.iter().for_each(|task| executor.work(*task));
        let thread = std::thread::Builder::new().name(format!("job {slot}"));
        thread.spawn_scoped(self.scope, work).map_err(|error| EngineError::Threads(Box::new(error)))?;
        Ok(sender)
    }
}
