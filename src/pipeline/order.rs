//! The order of stages: inputs before what takes them.

use std::collections::BTreeSet;

use super::error::Mistake;
use super::stages::StageDecl;

/// Puts inputs before what takes them, otherwise keeping the order of the file.
///
/// # Errors
/// Stages that need each other.
pub fn order(stages: Vec<StageDecl>) -> Result<Vec<StageDecl>, Box<Mistake>> {
    let mut left = stages;
    let mut ordered: Vec<StageDecl> = Vec::with_capacity(left.len());
    let mut done: BTreeSet<String> = BTreeSet::new();
    while !left.is_empty() {
        let waits = |stage: &StageDecl| stage.inputs.values().any(|input| !done.contains(&input.stage));
        let Some(ready) = left.iter().position(|stage| !waits(stage)) else {
            return match cycle(&left, &done) {
                Some(mistake) => Err(Box::new(mistake)),
                None => Ok(ordered),
            };
        };
        let stage = left.remove(ready);
        done.insert(stage.name.clone());
        ordered.push(stage);
    }
    Ok(ordered)
}

/// The first cycle among stages of which each waits for another.
fn cycle(left: &[StageDecl], done: &BTreeSet<String>) -> Option<Mistake> {
    let mut at = left.first()?;
    let mut path: Vec<(&StageDecl, &str)> = Vec::new();
    while !path.iter().any(|(stage, _)| stage.name == at.name) {
        let (role, input) = at.inputs.iter().find(|(_, input)| !done.contains(&input.stage))?;
        path.push((at, role));
        at = left.iter().find(|stage| stage.name == input.stage)?;
    }
    let start = path.iter().position(|(stage, _)| stage.name == at.name)?;
    let (first, role) = path[start];
    let names = path[start..].iter().map(|(stage, _)| stage.name.as_str());
    let names: Vec<&str> = names.chain([at.name.as_str()]).collect();
    let place = first.places.get(&format!("inputs.{role}"))?;
    let words = if names.len() == 2 {
        format!("the stage `{}` needs itself", at.name)
    } else {
        format!("the stages need each other: {}", names.join(" -> "))
    };
    Some(Mistake::new(place, words, "let one of them take its input from another stage"))
}
