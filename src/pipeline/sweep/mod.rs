//! Sweeps: `[sweep]` of the file and `--over` of the command line as points.
//!
//! The file's points are the product of the `matrix` axes and of the rows of `zip`, without those that an `exclude`
//! matches, and with those that an `include` names. An `--over` of a key that the file sweeps takes the place of
//! its values; any other one multiplies the points. A `--set` of a swept key chooses the points with that value, or
//! gives it to all where none has it.

mod axis;
mod range;
mod table;

use std::collections::{BTreeSet, HashMap, HashSet};

pub use axis::Choice;
pub use table::{TABLES, axes, read, schema};

use super::change;
use super::error::{Mistake, PipelineError, Place};
use super::file::{Pin, Pipeline};
use super::order::order;
use super::stages::StageDecl;
use axis::Axis;

/// The most points a sweep may have; beyond it something was mistyped.
const POINTS: usize = 100_000;

/// One point of a sweep.
#[derive(Debug, Clone)]
pub struct Point {
    /// The swept parameters and their values; empty without a sweep.
    pub label: Vec<(String, String)>,
    /// The pipeline there.
    pub pipeline: Pipeline,
}

/// The `[sweep]` table of a file.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// Where it is written.
    place: Option<Place>,
    matrix: Vec<Axis>,
    zip: Vec<Axis>,
    /// Points to leave out: those that have one of the values of every key.
    exclude: Vec<Vec<Axis>>,
    /// Points to add: small matrices of their own.
    include: Vec<Vec<Axis>>,
}

/// A key and one of its values.
#[derive(Clone, Copy)]
struct Term<'a> {
    key: &'a str,
    choice: &'a Choice,
}

type Terms<'a> = Vec<Term<'a>>;

impl Pipeline {
    /// The points of the file's sweep and of `key=a,b,c` or `key=1..5` beside it; the pipeline itself without a sweep.
    ///
    /// # Errors
    /// Values that the file could not have, a value or a key that stands twice, no points or too many.
    pub fn points(&self, over: &[String]) -> Result<Vec<Point>, PipelineError> {
        let mut sweep = (*self.sweep).clone();
        let mut more: Vec<Axis> = Vec::new();
        let mut mistakes = Vec::new();
        let mut swept: HashMap<String, &str> = HashMap::new();
        for text in over {
            let (axis, found) = Axis::parse(text, self)?;
            mistakes.extend(found);
            for key in axis.keys() {
                let (first, help) = if let Some(first) = swept.insert(key.clone(), text) {
                    (
                        format!("--over {}", change::repeated(first)),
                        "write all values of a key in one --over".to_owned(),
                    )
                } else if let Some(pin) = self.pins.iter().find(|pin| pin.key == key) {
                    (
                        format!("--set {}", change::repeated(&pin.text)),
                        format!("keep one of them: --set for one value of `{key}`, --over for several"),
                    )
                } else {
                    continue;
                };
                return Err(PipelineError::Contradiction {
                    first,
                    second: format!("--over {}", change::repeated(text)),
                    key,
                    help,
                });
            }
            let many = more.iter().fold(axis.choices.len(), |n, axis| n.saturating_mul(axis.choices.len()));
            if many > POINTS {
                let reason = format!("the sweep would have more than {POINTS} points");
                return Err(change::unreadable("--over", text, reason));
            }
            if let Some(axis) = sweep.replace(axis) {
                more.push(axis);
            }
            if let Some(reason) = sweep.uneven() {
                return Err(change::unreadable("--over", text, reason));
            }
        }
        if !mistakes.is_empty() {
            return Err(change::error(mistakes));
        }
        let points = sweep.points().and_then(|points| product(points, &more)).map_err(|words| {
            let place = sweep.place.clone().unwrap_or(Place { source: self.source.clone(), span: 0..0 });
            let mistakes = vec![Mistake::new(&place, words, "")];
            PipelineError::mistakes(&place.source.name, mistakes)
        })?;
        let points = self.pinned(points);
        let named = self.named(&points);
        points.iter().map(|terms| self.at(terms, &named)).collect()
    }

    /// The keys that the file sweeps, each once.
    pub fn axes(&self) -> Vec<String> {
        let Sweep { matrix, zip, include, .. } = &*self.sweep;
        let mut keys: Vec<String> = Vec::new();
        for axis in matrix.iter().chain(zip).chain(include.iter().flatten()) {
            if !keys.contains(&axis.key) {
                keys.push(axis.key.clone());
            }
        }
        keys
    }

    /// What `--set` of swept keys leaves of the points.
    fn pinned<'a>(&'a self, mut points: Vec<Terms<'a>>) -> Vec<Terms<'a>> {
        for Pin { key, choice, .. } in &self.pins {
            let has = |terms: &Terms<'_>| terms.iter().any(|t| t.key == key && t.choice.word == choice.word);
            if points.iter().any(has) {
                points.retain(has);
            } else {
                let terms = points.iter_mut().flatten();
                terms.filter(|term| term.key == key).for_each(|term| term.choice = choice);
            }
        }
        if !self.pins.is_empty() {
            unique(&mut points);
        }
        points
    }

    /// The stages that belong to the points alone that take them: those that a swept input names, and those that another
    /// stage of the file takes. Empty where no input is swept.
    fn named(&self, points: &[Terms<'_>]) -> BTreeSet<String> {
        let settings = points.iter().flatten().flat_map(|term| &term.choice.settings);
        let mut named: BTreeSet<String> =
            settings.filter_map(|setting| Some(setting.input.as_ref()?.stage.clone())).collect();
        if !named.is_empty() {
            let taken = self.stages.iter().flat_map(|stage| stage.inputs.values());
            named.extend(taken.map(|input| input.stage.clone()));
        }
        named
    }

    fn at(&self, terms: &Terms<'_>, named: &BTreeSet<String>) -> Result<Point, PipelineError> {
        let mut pipeline = self.clone();
        let settings = || terms.iter().flat_map(|term| &term.choice.settings);
        settings().for_each(|setting| setting.apply(&mut pipeline));
        let label = terms.iter().map(|term| (term.key.to_owned(), term.choice.word.clone())).collect();
        if !named.is_empty() {
            pipeline.stages = order(std::mem::take(&mut pipeline.stages)).map_err(|mistake| {
                let mistakes = vec![*mistake];
                let in_file = settings().all(|setting| setting.place.source == self.source);
                match in_file {
                    true => PipelineError::mistakes(&self.source.name, mistakes),
                    false => change::error(mistakes),
                }
            })?;
            leave_out(&mut pipeline.stages, named);
        }
        Ok(Point { label, pipeline })
    }
}

impl Sweep {
    /// Takes an axis in place of the file's own of the same key; gives it back where there is none.
    fn replace(&mut self, axis: Axis) -> Option<Axis> {
        let own = self.matrix.iter_mut().chain(&mut self.zip).find(|own| own.key == axis.key);
        let Some(own) = own else { return Some(axis) };
        // Points that were added for another value are not asked for.
        self.include.retain(|added| added.iter().all(|added| added.key != axis.key));
        *own = axis;
        None
    }

    /// What is wrong with the lengths of the axes of `zip`.
    fn uneven(&self) -> Option<String> {
        let first = self.zip.first()?;
        let other = self.zip.iter().find(|axis| axis.choices.len() != first.choices.len())?;
        let (a, b) = (first.choices.len(), other.choices.len());
        Some(format!(
            "`zip` takes its axes side by side, but `{}` has {a} and `{}` has {b} values",
            first.key, other.key
        ))
    }

    fn points(&self) -> Result<Vec<Terms<'_>>, String> {
        let mut points = Vec::new();
        let only_included = self.matrix.is_empty() && self.zip.is_empty() && !self.include.is_empty();
        if !only_included {
            points = product(vec![Vec::new()], &self.matrix)?;
            if let Some(first) = self.zip.first() {
                let row = |at| self.zip.iter().filter_map(|axis| term(axis, at)).collect();
                points = times(&points, &(0..first.choices.len()).map(row).collect::<Vec<_>>())?;
            }
        }
        points.retain(|terms| !self.exclude.iter().any(|pattern| matches(pattern, terms)));
        for added in &self.include {
            points.extend(product(vec![Vec::new()], added)?);
        }
        unique(&mut points);
        match points.len() {
            0 => Err("the sweep has no points: `exclude` matches all of them".to_owned()),
            1..=POINTS => Ok(points),
            _ => Err(too_many()),
        }
    }
}

/// Leaves the stages in `named` out that nothing takes, with those above that nothing else takes. What takes a stage stands
/// behind it.
fn leave_out(stages: &mut Vec<StageDecl>, named: &BTreeSet<String>) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut kept: Vec<StageDecl> = Vec::with_capacity(stages.len());
    for stage in stages.drain(..).rev() {
        if taken.contains(&stage.name) || !named.contains(&stage.name) {
            taken.extend(stage.inputs.values().map(|input| input.stage.clone()));
            kept.push(stage);
        }
    }
    stages.extend(kept.into_iter().rev());
}

/// Every point with every combination of the values of some axes, the last axis fastest.
fn product<'a>(mut points: Vec<Terms<'a>>, axes: &'a [Axis]) -> Result<Vec<Terms<'a>>, String> {
    for axis in axes {
        let rows: Vec<Terms<'a>> =
            (0..axis.choices.len()).map(|at| term(axis, at).into_iter().collect()).collect();
        points = times(&points, &rows)?;
    }
    Ok(points)
}

/// Every point with every row of further values.
fn times<'a>(points: &[Terms<'a>], rows: &[Terms<'a>]) -> Result<Vec<Terms<'a>>, String> {
    if points.len().saturating_mul(rows.len()) > POINTS {
        return Err(too_many());
    }
    let mut all = Vec::with_capacity(points.len() * rows.len());
    for point in points {
        all.extend(rows.iter().map(|row| [point.as_slice(), row.as_slice()].concat()));
    }
    Ok(all)
}

fn term(axis: &Axis, at: usize) -> Option<Term<'_>> {
    axis.choices.get(at).map(|choice| Term { key: &axis.key, choice })
}

fn matches(pattern: &[Axis], terms: &Terms<'_>) -> bool {
    pattern.iter().all(|wanted| {
        let own = terms.iter().find(|term| term.key == wanted.key);
        own.is_some_and(|own| wanted.choices.iter().any(|choice| choice.word == own.choice.word))
    })
}

/// Drops points that stand before already.
fn unique(points: &mut Vec<Terms<'_>>) {
    let mut seen = HashSet::new();
    points.retain(|terms| {
        let name: BTreeSet<(&str, &str)> = terms.iter().map(|t| (t.key, t.choice.word.as_str())).collect();
        seen.insert(name)
    });
}

fn too_many() -> String {
    format!("the sweep would have more than {POINTS} points")
}
