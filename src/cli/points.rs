//! Points of a sweep, as they are named on the command line: `KEY=VALUE,...`.

use std::collections::BTreeSet;

use miette::{Result, miette};

use crate::plan::{Graph, NodeId, named};

/// Values of one key that are listed in full.
const LISTED: usize = 12;

/// Whether two texts are the same value: `1e-3` is `0.001`, `true` is `true`.
pub fn same_value(a: &str, b: &str) -> bool {
    // As TOML has numbers: with underscores between digits. Words such as `nan` and `inf` are no numbers
    // here.
    let number = |text: &str| {
        let is_one = text.bytes().any(|byte| byte.is_ascii_digit());
        text.replace('_', "").parse::<f64>().ok().filter(|_| is_one)
    };
    let unquoted = |text: &str| text.trim().trim_matches('"').to_owned();
    let (a, b) = (unquoted(a), unquoted(b));
    // Whole numbers beyond 2^53 are no two of them one double.
    let whole = |text: &str| text.replace('_', "").parse::<i128>().ok();
    match (whole(&a), whole(&b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b || number(&a).zip(number(&b)).is_some_and(|(a, b)| a == b),
    }
}

/// Whether a swept key is meant: its name, or the last part of it.
pub fn is_key(own: &str, text: &str) -> bool {
    own == text || own.strip_suffix(text).is_some_and(|before| before.ends_with('.'))
}

/// `STAGE@KEY=VALUE,...` as a stage and its point, which is empty where there is none.
pub fn split(text: &str) -> (&str, &str) {
    text.split_once('@').unwrap_or((text, ""))
}

/// The pieces of work that `STAGE` or `STAGE@KEY=VALUE,...` means.
///
/// # Errors
/// A stage or a point that there is not.
pub fn nodes(graph: &Graph, text: &str) -> Result<BTreeSet<NodeId>> {
    let (stage, point) = split(text);
    let mut nodes = named(graph, "the command line", &[stage.to_owned()])?;
    if !point.is_empty() {
        let chosen = at_point(graph, point)?;
        nodes.retain(|id| graph.node(*id).uses.iter().any(|usage| chosen.contains(&usage.point)));
    }
    Ok(nodes)
}

/// The points that have all the terms of `KEY=VALUE,...`; the last part of a key is enough.
///
/// # Errors
/// None has; the error lists the swept values.
pub fn at_point(graph: &Graph, text: &str) -> Result<BTreeSet<usize>> {
    let terms: Vec<(&str, &str)> = terms(text)
        .into_iter()
        .map(|term| term.split_once('=').ok_or_else(|| miette!("`{term}` is not of the form KEY=VALUE")))
        .collect::<Result<_>>()?;
    let has = |label: &[(String, String)], (key, value): &(&str, &str)| {
        label.iter().any(|(own, at)| is_key(own, key) && same_value(at, value))
    };
    let points = graph.points.iter().enumerate();
    let found: BTreeSet<usize> = points
        .filter(|(_, point)| terms.iter().all(|term| has(&point.label, term)))
        .map(|(at, _)| at)
        .collect();
    if found.is_empty() {
        return Err(miette!(help = swept(graph), "no point has `{text}`"));
    }
    Ok(found)
}

/// Terms of a point: commas and blanks part them, but for those in the brackets of a list.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    let parts = text.split(move |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (c == ',' || c == ' ')
    });
    parts.filter(|term| !term.is_empty()).collect()
}

/// What is swept, with the values of each key.
pub fn swept(graph: &Graph) -> String {
    let axes = graph.axes();
    if axes.is_empty() {
        return "nothing is swept: add `--over KEY=VALUES`, or leave the point out".to_owned();
    }
    let words: Vec<String> = axes.iter().map(|key| format!("{key} = {}", values(graph, key))).collect();
    format!("swept are {}", words.join("; "))
}

fn values(graph: &Graph, key: &str) -> String {
    let mut found: Vec<&str> = Vec::new();
    for (own, value) in graph.points.iter().flat_map(|point| &point.label) {
        if own == key && !found.contains(&value.as_str()) {
            found.push(value);
            if found.len() > LISTED {
                return format!("{}, ...", found[..LISTED].join(", "));
            }
        }
    }
    found.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_number_is_the_number() {
        for (a, b) in [
            ("1e-3", "0.001"),
            ("0.10", "0.1"),
            ("1_000", "1000"),
            (".5", "0.5"),
            ("5.0", "5"),
            ("-0.0", "0"),
            ("\"slimming\"", "slimming"),
            ("true", "true"),
        ] {
            assert!(same_value(a, b) && same_value(b, a), "{a} {b}");
        }
        for (a, b) in [("0.1", "0.11"), ("nan", "nan "), ("slimming", "l1"), ("1", "true")] {
            assert_eq!(same_value(a, b), a.trim() == b.trim(), "{a} {b}");
        }
        // Both are the same double, and not the same seed.
        assert!(!same_value("18446744073709551615", "18446744073709551614"));
    }

    #[test]
    fn terms_are_parted_outside_of_lists() {
        assert_eq!(terms("a=1,b=[1, 2],c=3"), ["a=1", "b=[1, 2]", "c=3"]);
        assert_eq!(terms("a=1 b=2"), ["a=1", "b=2"]);
        assert_eq!(terms("]a=1,b=2"), ["]a=1", "b=2"]);
    }

    #[test]
    fn the_last_part_of_a_key_is_enough() {
        assert!(is_key("search.flops_ratio", "flops_ratio") && is_key("seed", "seed"));
        assert!(!is_key("search.flops_ratio", "ratio") && !is_key("reseed", "seed"));
    }
}
