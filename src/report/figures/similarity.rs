//! How alike the structures are that searches found at the same budget, over seeds and rules.

use super::label::{self, Label};
use super::{Absent, Channels, Method, Structure, Study, sheet};
use crate::report::format::{number, plain};

/// The figure's data: a matrix for each budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Similarity {
    /// The matrices, the smallest budget first.
    pub matrices: Vec<Correlations>,
}

/// The correlations of all structures of one budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Correlations {
    /// The budget, in words.
    pub name: String,
    /// The structures, by method, then by other numbers, then by seed.
    pub structures: Vec<Compared>,
    /// Pearson's correlation of the shares kept per layer, structure by structure; `None` where one of them keeps the
    /// same share of every layer.
    pub values: Vec<Vec<Option<f64>>>,
}

/// A structure among those of its budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Its method.
    pub method: Method,
    /// What its point has beside the budget.
    pub places: Label,
}

impl Compared {
    /// The method, and what its point has beside the budget.
    pub fn words(&self) -> String {
        format!("{} {}", self.method.name, label::words(&self.places)).trim_end().to_owned()
    }
}

impl Similarity {
    /// From the records of a study.
    ///
    /// # Errors
    /// There are no two structures of the same budget.
    pub fn of(study: &Study<'_>) -> Result<Self, Absent> {
        Self::between(&Channels::of(study)?.structures)
    }

    fn between(structures: &[Structure]) -> Result<Self, Absent> {
        let mut budgets: Vec<(Option<f64>, Vec<&Structure>)> = Vec::new();
        for one in structures {
            let fits = |group: &&mut (Option<f64>, Vec<&Structure>)| {
                group.0 == one.wanted && group.1[0].full.len() == one.full.len()
            };
            match budgets.iter_mut().find(fits) {
                Some((_, group)) => group.push(one),
                None => budgets.push((one.wanted, vec![one])),
            }
        }
        budgets.retain(|(_, group)| group.len() > 1);
        budgets.sort_by(|a, b| a.0.unwrap_or(0.0).total_cmp(&b.0.unwrap_or(0.0)));
        if budgets.is_empty() {
            return Err(Absent::new(
                "it compares structures of the same budget, and there are no two: sweep the seed, with --over seed=1..3",
            ));
        }
        let matrix = |(wanted, group): (Option<f64>, Vec<&Structure>)| {
            let shares: Vec<Vec<f64>> = group.iter().map(|one| one.shares()).collect();
            let row = |a: &Vec<f64>| shares.iter().map(|b| correlation(a, b)).collect();
            Correlations {
                name: wanted
                    .map_or("all".to_owned(), |wanted| format!("{}% of the FLOPs", number(100.0 * wanted))),
                structures: group.iter().map(|one| compared(one)).collect(),
                values: shares.iter().map(row).collect(),
            }
        };
        Ok(Self { matrices: budgets.into_iter().map(matrix).collect() })
    }

    /// As CSV, a row for each pair.
    pub fn csv(&self) -> String {
        let rows = self.matrices.iter().flat_map(|matrix| {
            let pairs = matrix
                .values
                .iter()
                .enumerate()
                .flat_map(|(a, row)| row.iter().enumerate().map(move |(b, value)| (a, b, *value)));
            pairs.map(move |(a, b, value)| {
                vec![
                    matrix.name.clone(),
                    matrix.structures[a].words(),
                    matrix.structures[b].words(),
                    value.map_or(String::new(), plain),
                ]
            })
        });
        sheet(&["budget", "structure", "other", "correlation"], rows)
    }
}

fn compared(structure: &Structure) -> Compared {
    let places = structure.places.iter().filter(|(key, _)| !key.ends_with("flops_ratio")).cloned().collect();
    Compared { method: structure.method.clone(), places }
}

/// Pearson's correlation of two lists of the same length; `None` where one of them does not vary.
pub fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum =
        |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum::<f64>();
    let (aa, bb, ab) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
    // What rounding leaves of no spread is no spread.
    let flat = |squares: f64, mean: f64| squares <= 1e-24 * (1.0 + mean * mean) * a.len() as f64;
    if a.len() != b.len() || a.is_empty() || flat(aa, mean_a) || flat(bb, mean_b) {
        return None;
    }
    Some((ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    #[test]
    fn the_correlation_is_pearson_s() {
        // By hand: deviations -2 -1 0 1 2 and -1 -2 1 0 2, products 2 + 2 + 0 + 0 + 4 = 8, squares 10 and 10.
        let found = correlation(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0]).unwrap();
        assert!((found - 0.8).abs() < 1e-12, "{found}");
        // A line is 1, whatever its slope; a falling one is -1.
        let line: Vec<f64> = (0..7).map(f64::from).collect();
        let rising: Vec<f64> = line.iter().map(|x| 3.0 * x - 5.0).collect();
        let falling: Vec<f64> = line.iter().map(|x| 1.0 - 0.1 * x).collect();
        assert!((correlation(&line, &rising).unwrap() - 1.0).abs() < 1e-12);
        assert!((correlation(&line, &falling).unwrap() + 1.0).abs() < 1e-12);
        assert_eq!(correlation(&line, &[0.3; 7]), None);
        assert_eq!(correlation(&[], &[]), None);
    }

    #[test]
    fn structures_are_compared_within_their_budget_only() {
        let point = |wanted: f64, seed: &str| -> Label {
            vec![("s.flops_ratio".into(), wanted.to_string()), ("seed".into(), seed.into())]
        };
        let structure = |search: &str, seed: &str, wanted: f64, kept: [u64; 3]| Structure {
            search: search.into(),
            method: Method { name: search.into(), role: Role::Method(0) },
            label: point(wanted, seed),
            places: point(wanted, seed),
            wanted: Some(wanted),
            kept: kept.to_vec(),
            full: vec![4, 8, 16],
        };
        let found = Similarity::between(&[
            structure("gates", "1", 0.5, [1, 4, 12]),
            structure("gates", "1", 0.3, [1, 2, 4]),
            structure("gates", "2", 0.5, [3, 4, 4]),
            structure("uniform", "1", 0.5, [2, 4, 8]),
        ])
        .unwrap();
        assert_eq!(found.matrices.len(), 1, "one structure alone is compared with none");
        let matrix = &found.matrices[0];
        assert_eq!(matrix.name, "50% of the FLOPs");
        let names: Vec<String> = matrix.structures.iter().map(Compared::words).collect();
        assert_eq!(names, ["gates seed=1", "gates seed=2", "uniform seed=1"]);
        // The shares 0.25 0.5 0.75 and 0.75 0.5 0.25 run against each other; 0.5 everywhere does not vary.
        let rounded: Vec<Vec<Option<i64>>> = matrix
            .values
            .iter()
            .map(|row| row.iter().map(|value| value.map(|value| (value * 1e6).round() as i64)).collect())
            .collect();
        let one = Some(1_000_000);
        assert_eq!(
            rounded,
            [[one, Some(-1_000_000), None], [Some(-1_000_000), one, None], [None, None, None]]
        );
    }
}
