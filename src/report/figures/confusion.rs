//! Which classes are taken for which, summed over seeds.

use super::label::{self, Label};
use super::methods::nothing_evaluated;
use super::{Absent, Method, Methods, Order, Study, numbers, sheet};

/// The figure's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    /// A matrix for each method and budget.
    pub matrices: Vec<Matrix>,
}

/// Test images by true and predicted class.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// The method.
    pub method: Method,
    /// The budget and other numbers of its point, without seeds.
    pub label: Label,
    /// The names of the classes, where they are known.
    pub classes: Option<&'static [&'static str]>,
    /// How many networks were added up.
    pub n: usize,
    /// Images by true class (row) and predicted class (column).
    pub counts: Vec<Vec<u64>>,
}

impl Matrix {
    /// The share of each true class's images; a class without images has zeros.
    pub fn shares(&self) -> Vec<Vec<f64>> {
        let row = |row: &Vec<u64>| {
            let all = row.iter().map(|count| *count as f64).sum::<f64>().max(1.0);
            row.iter().map(|count| *count as f64 / all).collect()
        };
        self.counts.iter().map(row).collect()
    }

    /// The name of a class, or its number where it has none.
    pub fn class(&self, at: usize) -> String {
        self.classes.and_then(|names| names.get(at)).map_or_else(|| at.to_string(), |name| (*name).to_owned())
    }

    fn add(&mut self, other: &[Vec<u64>]) {
        self.n += 1;
        for (row, more) in self.counts.iter_mut().zip(other) {
            row.iter_mut().zip(more).for_each(|(count, more)| *count = count.saturating_add(*more));
        }
    }
}

impl Confusion {
    /// From the records of a study.
    ///
    /// # Errors
    /// Nothing was evaluated yet.
    pub fn of(study: &Study<'_>) -> Result<Self, Absent> {
        let methods = Methods::of(study);
        let mut matrices: Vec<Matrix> = Vec::new();
        for network in study.evaluated() {
            let rows = network.metrics["confusion"].as_array().map_or(&[][..], Vec::as_slice);
            let counts: Vec<Vec<u64>> = rows.iter().map(numbers).collect();
            if counts.is_empty() || counts.iter().any(|row| row.len() != counts.len()) {
                continue;
            }
            let (method, label) = methods.of_network(network.trained_by, &network.label);
            let classes = network.classes;
            let same = |matrix: &&mut Matrix| {
                (&matrix.method, &matrix.label, matrix.classes, matrix.counts.len())
                    == (&method, &label, classes, counts.len())
            };
            match matrices.iter_mut().find(same) {
                Some(matrix) => matrix.add(&counts),
                None => matrices.push(Matrix { method, label, classes, n: 1, counts }),
            }
        }
        if matrices.is_empty() {
            return Err(nothing_evaluated());
        }
        matrices.sort_by(|a, b| Order::of(&a.method, &a.label).compare(&Order::of(&b.method, &b.label)));
        Ok(Self { matrices })
    }

    /// As CSV, a row for each pair of classes.
    pub fn csv(&self) -> String {
        let rows = self.matrices.iter().flat_map(|matrix| {
            let cells = matrix.counts.iter().enumerate().flat_map(|(truth, row)| {
                row.iter().enumerate().map(move |(predicted, count)| (truth, predicted, *count))
            });
            cells.map(move |(truth, predicted, count)| {
                vec![
                    matrix.method.name.clone(),
                    label::words(&matrix.label),
                    truth.to_string(),
                    predicted.to_string(),
                    matrix.class(truth),
                    matrix.class(predicted),
                    count.to_string(),
                ]
            })
        });
        let head =
            ["network", "point", "true_class", "predicted_class", "true_name", "predicted_name", "images"];
        sheet(&head, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    #[test]
    fn seeds_add_up_and_shares_are_of_the_true_class() {
        let mut matrix = Matrix {
            method: Method { name: "retrain".into(), role: Role::Method(0) },
            label: vec![],
            classes: Some(&["cat"]),
            n: 1,
            counts: vec![vec![3, 1], vec![0, 0]],
        };
        matrix.add(&[vec![4, 0], vec![0, 0]]);
        assert_eq!((matrix.n, &matrix.counts), (2, &vec![vec![7, 1], vec![0, 0]]));
        assert_eq!(matrix.shares(), [[0.875, 0.125], [0.0, 0.0]]);
        let csv = Confusion { matrices: vec![matrix] }.csv();
        assert_eq!(csv.lines().nth(2), Some("retrain,,0,1,cat,1,1"), "a class without a name has its number");
    }
}
