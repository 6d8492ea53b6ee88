//! What is measured beside the figures of an epoch: for people who watch, and never part of a result.

use serde::{Deserialize, Serialize};

/// Bins of a histogram.
const BINS: usize = 30;

/// What was measured in an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Steps done at its end, over all epochs.
    pub step: u64,
    /// Training speed since this process began the stage or went on with it.
    pub images_per_second: f64,
    /// The magnitudes of all gates at its end, in gate-training.
    pub gates: Option<Histogram>,
}

/// How often values lie where: between the smallest and the largest in bins of one width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The sum of all values.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_squares: f64,
    /// How many values lie in each bin; the last holds the largest value as well.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Of these values; `None` of none, and of values of which one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let first = *values.first()?;
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let min = values.iter().copied().fold(first, f64::min);
        let max = values.iter().copied().fold(first, f64::max);
        let mut counts = vec![0; if min == max { 1 } else { BINS }];
        let last = counts.len() - 1;
        for value in values {
            let share = if min == max { 0.0 } else { (value - min) / (max - min) };
            counts[((share * BINS as f64) as usize).min(last)] += 1;
        }
        let sum = values.iter().sum();
        let sum_squares = values.iter().map(|value| value * value).sum();
        Some(Self { min, max, sum, sum_squares, counts })
    }

    /// The upper end of each bin.
    pub fn limits(&self) -> Vec<f64> {
        let width = (self.max - self.min) / self.counts.len() as f64;
        let mut limits: Vec<f64> = (1..=self.counts.len()).map(|bin| self.min + width * bin as f64).collect();
        // To the digit, so that no value lies beyond the last bin.
        if let Some(last) = limits.last_mut() {
            *last = self.max;
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_the_bin_whose_ends_are_around_it() {
        let values: Vec<f64> = (0..=60).map(|value| f64::from(value) / 60.0).collect();
        let found = Histogram::of(&values).unwrap();
        assert_eq!((found.counts.len(), found.counts.iter().sum::<u64>()), (BINS, 61));
        assert_eq!((found.counts[0], found.counts[BINS - 1]), (2, 3));
        assert_eq!((found.min, found.max), (0.0, 1.0));
        let limits = found.limits();
        assert!((limits[0] - 1.0 / 30.0).abs() < 1e-12 && limits[BINS - 1] == 1.0);
    }

    #[test]
    fn equal_values_are_one_bin_and_what_is_no_number_has_none() {
        let found = Histogram::of(&[0.5, 0.5]).unwrap();
        assert_eq!((found.counts.as_slice(), found.limits()), (&[2][..], vec![0.5]));
        assert_eq!((found.sum, found.sum_squares), (1.0, 0.5));
        assert_eq!(Histogram::of(&[]), None);
        assert_eq!(Histogram::of(&[1.0, f64::NAN]), None);
    }
}
