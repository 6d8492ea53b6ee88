//! Means over seeds, and differences with their uncertainty.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean over runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// How many runs.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// The sample standard deviation (n - 1); `None` for a single run.
    pub sd: Option<f64>,
}

impl Mean {
    /// Of these values; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { n, mean, sd })
    }
}

/// The mean of paired differences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// How many pairs.
    pub n: usize,
    /// The mean difference.
    pub mean: f64,
    /// The two-sided 95% confidence interval of the mean, by Student's t; `None` for a single pair.
    pub interval: Option<(f64, f64)>,
}

/// The confidence of [`Difference::interval`].
const CONFIDENCE: f64 = 0.95;

impl Difference {
    /// Of these differences; `None` of none.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let Mean { n, mean, sd } = Mean::of(differences)?;
        let interval = sd.and_then(|sd| {
            let t = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?.inverse_cdf(0.5 + CONFIDENCE / 2.0);
            let half = t * sd / (n as f64).sqrt();
            Some((mean - half, mean + half))
        });
        Some(Self { n, mean, interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_deviation_is_the_sample_s() {
        let found = Mean::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((found.n, found.mean), (8, 5.0));
        assert!((found.sd.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(Mean::of(&[3.0]).unwrap().sd, None);
        assert_eq!(Mean::of(&[]), None);
    }

    #[test]
    fn the_interval_is_that_of_a_table_of_student_s_t() {
        // t(0.975, 2) = 4.302653, from any printed table; sd of 1, 2, 3 is 1.
        let found = Difference::of(&[1.0, 2.0, 3.0]).unwrap();
        let (low, high) = found.interval.unwrap();
        let half = 4.302_652_73 / 3f64.sqrt();
        assert!((low - (2.0 - half)).abs() < 1e-6 && (high - (2.0 + half)).abs() < 1e-6, "{low} {high}");
        assert_eq!(Difference::of(&[1.0]).unwrap().interval, None);
    }
}
