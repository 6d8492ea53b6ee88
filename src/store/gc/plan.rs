//! Decides what goes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{GcPlan, Keep, Kept, OldFile, OldObject, OldWork, Policy, Why};
use crate::fingerprint::Fingerprint;
use crate::store::{Held, Inventory, Last, ObjectHash, Store, StoreError, Told, Work, objects};

/// A stage or a point that a pipeline ran without for so long is forgotten: somebody has taken it out.
const FORGOTTEN: Duration = Duration::from_secs(90 * 86_400);

impl Store {
    /// What is removed under a policy at a time. Changes nothing.
    ///
    /// # Errors
    /// Something cannot be read; a file that says what to keep is damaged, or a record is of a format whose outputs this
    /// version cannot know: then nothing can be said for sure.
    pub fn plan_gc(&self, policy: &Policy, now: Timestamp) -> Result<GcPlan, StoreError> {
        let inventory = self.inventory()?;
        for (path, format) in &inventory.unreadable {
            let shown = path.display().to_string();
            match format {
                Some(found) => return Err(StoreError::Format { path: shown, found: *found }),
                // A damaged record stands for nothing.
                None if path.starts_with(self.disk.root().join("records")) => {}
                None => return Err(StoreError::Unsure { path: shown }),
            }
        }
        for aside in &inventory.aside {
            let matters = match aside.what {
                Told::Pin => true,
                Told::Last => matches!(policy.keep, Keep::LastOfEach),
                Told::Run => policy.runs > 0,
            };
            if matters {
                return Err(StoreError::Aside { path: aside.path.display().to_string() });
            }
        }
        Ok(Planner::new(&inventory, policy, now).plan())
    }
}

struct Planner<'a> {
    inventory: &'a Inventory,
    policy: &'a Policy,
    now: Timestamp,
    /// How many of the records that stay name an object.
    names: BTreeMap<ObjectHash, usize>,
    /// When each pipeline last ran.
    ran: BTreeMap<&'a str, Timestamp>,
    plan: GcPlan,
}

impl<'a> Planner<'a> {
    fn new(inventory: &'a Inventory, policy: &'a Policy, now: Timestamp) -> Self {
        let mut names: BTreeMap<ObjectHash, usize> = BTreeMap::new();
        for object in inventory.work.values().flat_map(|work| objects(&work.record)) {
            *names.entry(object).or_default() += 1;
        }
        let bytes = inventory.bytes();
        let plan = GcPlan {
            work: Vec::new(),
            objects: Vec::new(),
            partials: Vec::new(),
            remains: Vec::new(),
            kept: Vec::new(),
            before: bytes,
            after: bytes,
        };
        let runs = inventory.runs.iter().rev();
        let ran = runs.map(|(_, note)| (note.pipeline.as_str(), note.finished)).collect();
        Self { inventory, policy, now, names, ran, plan }
    }

    fn plan(mut self) -> GcPlan {
        let inventory = self.inventory;
        let mut kept = self.kept();
        for (object, held) in &inventory.objects {
            if !self.names.contains_key(object) {
                self.object(*object, held.bytes, false);
            }
        }
        self.partials();
        let mut rest: Vec<&Work> =
            inventory.work.values().filter(|work| !kept.contains_key(&work.record.fingerprint)).collect();
        // Of what was used at the same time, first what was made last: what is left can then still be used.
        rest.sort_by_key(|work| {
            (work.used, Reverse(work.record.provenance.finished), work.record.fingerprint)
        });
        for work in rest {
            let Policy { older_than, max_size, .. } = self.policy;
            let is_old = older_than.is_some_and(|age| self.is_older(work.used, age));
            let is_in_the_way = max_size.is_some_and(|most| self.plan.after > most);
            let no_limits = older_than.is_none() && max_size.is_none();
            if is_old || is_in_the_way || no_limits {
                self.work(work);
            } else {
                kept.insert(work.record.fingerprint, Why::NoNeed);
            }
        }
        self.remains(&kept);
        let mut reasons: BTreeMap<Why, usize> = BTreeMap::new();
        for why in kept.values() {
            *reasons.entry(*why).or_default() += 1;
        }
        self.plan.kept = reasons.into_iter().map(|(why, results)| Kept { why, results }).collect();
        self.plan
    }

    /// What stays whatever its age, with the first reason for it.
    fn kept(&self) -> BTreeMap<Fingerprint, Why> {
        let inventory = self.inventory;
        let pins = inventory.pins.keys().copied().collect();
        let (why, asked) = match &self.policy.keep {
            Keep::LastOfEach => {
                let last = inventory.last.iter().filter(|last| !self.is_forgotten(last));
                (Why::LastOfEach, last.map(|last| last.work).collect())
            }
            Keep::These(work) => (Why::These, work.clone()),
        };
        let runs = inventory.runs.iter().take(self.policy.runs);
        let runs: BTreeSet<Fingerprint> = runs.flat_map(|(_, note)| note.work.iter().copied()).collect();
        let mut kept = BTreeMap::new();
        for (why, roots) in [(Why::Pinned, pins), (why, asked), (Why::Runs, runs)] {
            for fingerprint in inventory.reach(roots) {
                kept.entry(fingerprint).or_insert(why);
            }
        }
        kept
    }

    /// Whether a pipeline went on running long after it last used what one of its stages was. A pipeline that rests forgets
    /// nothing.
    fn is_forgotten(&self, last: &Last) -> bool {
        let used = self.inventory.work.get(&last.work).map_or(last.held.modified, |work| work.used);
        let ran = self.ran.get(last.pipeline.as_str());
        ran.is_some_and(|ran| used.checked_add(FORGOTTEN).is_ok_and(|limit| *ran > limit))
    }

    fn is_older(&self, time: Timestamp, age: Duration) -> bool {
        self.now.checked_sub(age).is_ok_and(|limit| time < limit)
    }

    fn work(&mut self, work: &Work) {
        let record = &work.record;
        let before = self.plan.after;
        self.plan.after -= work.held.bytes;
        for object in objects(record) {
            let Some(count) = self.names.get_mut(&object) else { continue };
            *count -= 1;
            if *count == 0 {
                if let Some(held) = self.inventory.objects.get(&object) {
                    self.object(object, held.bytes, true);
                }
            }
        }
        self.plan.work.push(OldWork {
            fingerprint: record.fingerprint,
            kind: record.kind.clone(),
            stage: record.provenance.stage.clone(),
            pipeline: record.provenance.pipeline.clone(),
            used: work.used,
            bytes: before - self.plan.after,
        });
    }

    fn object(&mut self, object: ObjectHash, bytes: u64, named: bool) {
        self.plan.after -= bytes;
        self.plan.objects.push(OldObject { object, bytes, named });
    }

    /// States of work that was done after them, and old ones of work that nobody asked to keep. A state that was saved
    /// after the result is that of a run which makes it anew, by force.
    fn partials(&mut self) {
        for (fingerprint, held) in &self.inventory.partials {
            let is_asked_for = match &self.policy.keep {
                Keep::LastOfEach => false,
                Keep::These(work) => work.contains(fingerprint),
            };
            let is_pinned = self.inventory.pins.contains_key(fingerprint);
            let is_old = self.is_older(held.modified, self.policy.partials);
            if self.is_done(fingerprint, held) || is_old && !is_asked_for && !is_pinned {
                self.plan.after -= held.bytes;
                self.plan.partials.push(file(held));
            }
        }
    }

    fn is_done(&self, fingerprint: &Fingerprint, state: &Held) -> bool {
        let is_there = |object: ObjectHash, bytes: u64| {
            self.inventory.objects.get(&object).is_some_and(|held| held.bytes == bytes)
        };
        self.inventory.work.get(fingerprint).is_some_and(|work| {
            let mut outputs = work.record.outputs.values();
            state.modified <= work.held.modified && outputs.all(|entry| is_there(entry.object, entry.bytes))
        })
    }

    /// Logs of work that goes, old ones of work that never ended, what stages were that are forgotten, and of runs those of
    /// which nothing is left.
    fn remains(&mut self, kept: &BTreeMap<Fingerprint, Why>) {
        let going: BTreeSet<Fingerprint> = self.plan.work.iter().map(|work| work.fingerprint).collect();
        let mut remains = Vec::new();
        for (fingerprint, held) in &self.inventory.logs {
            let is_alone = !kept.contains_key(fingerprint)
                && !self.inventory.partials.contains_key(fingerprint)
                && self.is_older(held.modified, self.policy.partials);
            if going.contains(fingerprint) || is_alone {
                remains.push(file(held));
            }
        }
        remains.extend(
            self.inventory.last.iter().filter(|last| self.is_forgotten(last)).map(|last| file(&last.held)),
        );
        for (held, note) in self.inventory.runs.iter().skip(self.policy.runs) {
            if !note.work.iter().any(|fingerprint| kept.contains_key(fingerprint)) {
                remains.push(file(held));
            }
        }
        self.plan.after -= remains.iter().map(|file| file.bytes).sum::<u64>();
        self.plan.remains = remains;
    }
}

fn file(held: &Held) -> OldFile {
    OldFile { path: held.path.clone(), bytes: held.bytes }
}
