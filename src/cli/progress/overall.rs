//! How far a whole run is, and how long it still takes.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::cli::plan::time::rough;
use crate::report::format::plural;

/// A stage that a run is to run, and how long that is expected to take.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The stage.
    pub stage: String,
    /// Its point, as events name it.
    pub point: String,
    /// The time by earlier results, in seconds.
    pub seconds: Option<f64>,
}

/// What this run has seen of the stages of one name.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// How many there were.
    count: f64,
    /// What they took.
    took: f64,
    /// Of those whose time was expected: what they took, and what was expected.
    compared: f64,
    expected: f64,
}

/// A stage of a run that has begun.
#[derive(Debug, Clone, Copy)]
struct Begun {
    since: Instant,
    /// What its own steps say is left, and when they said so.
    left: Option<(Duration, Instant)>,
}

type Key = (String, String);

/// The progress of a run over all its stages.
#[derive(Debug, Default)]
pub struct Overall {
    jobs: usize,
    all: usize,
    points: usize,
    points_ended: usize,
    /// What has not ended; several stages of one name and point are rare.
    open: HashMap<Key, Vec<Option<f64>>>,
    begun: HashMap<Key, Begun>,
    seen: BTreeMap<String, Seen>,
}

impl Overall {
    /// The progress of a run that has not begun.
    pub fn new(expected: &[Expected]) -> Self {
        let mut open: HashMap<Key, Vec<Option<f64>>> = HashMap::new();
        for stage in expected {
            open.entry((stage.stage.clone(), stage.point.clone())).or_default().push(stage.seconds);
        }
        Self { all: expected.len(), jobs: 1, open, ..Self::default() }
    }

    /// A run of `points` points begins, with `jobs` stages side by side.
    pub fn run_begins(&mut self, points: usize, jobs: usize) {
        (self.points, self.jobs) = (points, jobs.max(1));
    }

    /// Whether there is more than one stage to run.
    pub fn is_worth_telling(&self) -> bool {
        self.all > 1
    }

    /// All stages to run, and those that have ended.
    pub fn stages(&self) -> (usize, usize) {
        (self.all, self.all - self.open.values().map(Vec::len).sum::<usize>())
    }

    /// A stage begins.
    pub fn begins(&mut self, stage: &str, point: &str, now: Instant) {
        self.begun.insert(key(stage, point), Begun { since: now, left: None });
    }

    /// The steps of a stage say how long it still takes.
    pub fn steps_say(&mut self, stage: &str, point: &str, left: Option<Duration>, now: Instant) {
        if let (Some(begun), Some(left)) = (self.begun.get_mut(&key(stage, point)), left) {
            begun.left = Some((left, now));
        }
    }

    /// A stage has ended; `took` is the time of one that ran to its end.
    pub fn ends(&mut self, stage: &str, point: &str, took: Option<f64>) {
        let key = key(stage, point);
        self.begun.remove(&key);
        let Some(expected) = self.open.get_mut(&key).and_then(Vec::pop) else { return };
        let Some(took) = took else { return };
        let seen = self.seen.entry(key.0).or_default();
        seen.count += 1.0;
        seen.took += took;
        if let Some(expected) = expected {
            seen.compared += took;
            seen.expected += expected;
        }
    }

    /// A stage that has ended is to run again.
    pub fn again(&mut self, stage: &str, point: &str) {
        self.open.entry(key(stage, point)).or_default().push(None);
    }

    /// A point has ended.
    pub fn point_ends(&mut self, ended: usize) {
        self.points_ended = ended;
    }

    /// The time to the end of the run; `None` while that of a stage is unknown.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let (mut sum, mut longest) = (0.0f64, 0.0f64);
        for (key, stages) in &self.open {
            for (at, expected) in stages.iter().enumerate() {
                let begun = self.begun.get(key).filter(|_| at == 0);
                let own = begun.and_then(|begun| begun.left);
                let left = match own {
                    Some((left, told)) => left.as_secs_f64() - now.duration_since(told).as_secs_f64(),
                    None => {
                        let whole = self.whole(&key.0, *expected)?;
                        whole - begun.map_or(0.0, |begun| now.duration_since(begun.since).as_secs_f64())
                    }
                };
                sum += left.max(0.0);
                longest = longest.max(left);
            }
        }
        Duration::try_from_secs_f64((sum / self.jobs as f64).max(longest)).ok()
    }

    /// The time of a stage that has not begun: as expected, corrected by how those of its name went in this
    /// run.
    fn whole(&self, stage: &str, expected: Option<f64>) -> Option<f64> {
        let seen = self.seen.get(stage).copied().unwrap_or_default();
        match expected {
            Some(expected) if seen.expected > 0.0 => Some(expected * seen.compared / seen.expected),
            Some(expected) => Some(expected),
            None if seen.count > 0.0 => Some(seen.took / seen.count),
            None => None,
        }
    }

    /// `7 of 27 stages, 2 of 9 points, about 4 min left`.
    pub fn words(&self, now: Instant) -> String {
        let (all, done) = self.stages();
        let mut words = vec![format!("{done} of {}", plural(all, "stage"))];
        if self.points > 1 {
            words.push(format!("{} of {} points", self.points_ended, self.points));
        }
        if done < all {
            words.extend(self.left(now).map(|left| format!("about {} left", rough(left.as_secs_f64()))));
        }
        words.join(", ")
    }
}

fn key(stage: &str, point: &str) -> Key {
    (stage.to_owned(), point.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(stage: &str, point: &str, seconds: Option<f64>) -> Expected {
        Expected { stage: stage.to_owned(), point: point.to_owned(), seconds }
    }

    #[test]
    fn time_left_is_what_is_expected_corrected_by_how_it_went() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let stages =
            [expected("a", "x=1", Some(60.0)), expected("a", "x=2", Some(60.0)), expected("b", "", None)];
        let mut overall = Overall::new(&stages);
        overall.run_begins(2, 1);
        // Nobody knows how long b takes.
        assert_eq!(overall.words(start), "0 of 3 stages, 0 of 2 points");
        overall.begins("b", "", start);
        overall.ends("b", "", Some(10.0));
        assert_eq!(overall.words(after(10)), "1 of 3 stages, 0 of 2 points, about 2 min 00 s left");
        overall.begins("a", "x=1", after(10));
        assert_eq!(overall.left(after(40)), Some(Duration::from_secs(90)));
        // Twice as slow as expected.
        overall.ends("a", "x=1", Some(120.0));
        overall.point_ends(1);
        assert_eq!(overall.words(after(130)), "2 of 3 stages, 1 of 2 points, about 2 min 00 s left");
        overall.begins("a", "x=2", after(130));
        overall.steps_say("a", "x=2", Some(Duration::from_secs(50)), after(150));
        assert_eq!(overall.left(after(160)), Some(Duration::from_secs(40)));
        overall.ends("a", "x=2", Some(70.0));
        overall.point_ends(2);
        assert_eq!(overall.words(after(200)), "3 of 3 stages, 2 of 2 points");
    }

    #[test]
    fn jobs_share_the_time_and_the_longest_stage_is_the_least() {
        let stages: Vec<Expected> = (0..4).map(|at| expected("a", &at.to_string(), Some(10.0))).collect();
        let mut overall = Overall::new(&stages);
        overall.run_begins(4, 2);
        assert_eq!(overall.left(Instant::now()), Some(Duration::from_secs(20)));
        overall.run_begins(4, 100);
        assert_eq!(overall.left(Instant::now()), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_stage_that_is_tried_again_counts_again() {
        let mut overall = Overall::new(&[expected("a", "", Some(10.0)), expected("b", "", Some(10.0))]);
        overall.ends("a", "", None);
        assert_eq!(overall.stages(), (2, 1));
        overall.again("a", "");
        assert_eq!(overall.stages(), (2, 0));
        // What was never to run changes nothing.
        overall.ends("c", "", None);
        assert_eq!(overall.stages(), (2, 0));
    }
}
