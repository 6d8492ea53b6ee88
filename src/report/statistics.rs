//! Means over networks, and differences with their uncertainty.
//!
//! Networks of one seed share their first weights, often whole stages: they are no independent samples. So a
//! confidence interval counts seeds, not networks. Its standard error is the cluster-robust one of a mean
//! (CR1), which for one network per seed is the ordinary `sd / sqrt(n)`:
//!
//! ```text
//! se^2 = G / (G - 1) * sum over seeds (sum over the seed's pairs (x - mean))^2 / N^2,    t with G - 1 degrees of freedom
//! ```
//!
//! (Cameron and Miller, "A Practitioner's Guide to Cluster-Robust Inference", 2015, for a regression on a
//! constant.)

use std::collections::BTreeMap;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean over networks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// How many different networks.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// The sample standard deviation (n - 1); `None` for a single network.
    pub sd: Option<f64>,
}

impl Mean {
    /// Of these values; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let mean = mean(values.iter().copied())?;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { n, mean, sd })
    }
}

/// The mean, as a distance from the first value: equal values have themselves as the mean, to the last bit,
/// and so no spread.
fn mean(values: impl ExactSizeIterator<Item = f64> + Clone) -> Option<f64> {
    let (n, first) = (values.len(), values.clone().next()?);
    Some(first + values.map(|value| value - first).sum::<f64>() / n as f64)
}

/// The mean of paired differences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// How many different pairs of networks.
    pub n: usize,
    /// How many seeds these pairs come from: the independent samples.
    pub seeds: usize,
    /// The mean difference.
    pub mean: f64,
    /// The two-sided 95% confidence interval of the mean, by Student's t over the seeds; `None` for a single
    /// seed.
    pub interval: Option<(f64, f64)>,
    /// The two-sided probability of a mean at least this far from zero, if the true mean were zero.
    pub p: Option<f64>,
    /// `p` after Holm's correction for all rows that are compared with the same baseline.
    pub p_holm: Option<f64>,
}

/// The confidence of [`Difference::interval`].
const CONFIDENCE: f64 = 0.95;

/// One difference, and the seed it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The difference.
    pub difference: f64,
    /// Pairs of one cluster are not independent.
    pub cluster: usize,
}

impl Difference {
    /// Of these differences; `None` of none.
    pub fn of(pairs: &[Pair]) -> Option<Self> {
        let n = pairs.len();
        let mean = mean(pairs.iter().map(|pair| pair.difference))?;
        let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
        for pair in pairs {
            *sums.entry(pair.cluster).or_default() += pair.difference - mean;
        }
        let seeds = sums.len();
        let mut found = Self { n, seeds, mean, interval: None, p: None, p_holm: None };
        if seeds > 1 {
            let freedom = (seeds - 1) as f64;
            let squares = sums.values().map(|sum| sum.powi(2)).sum::<f64>();
            let error = (seeds as f64 / freedom * squares).sqrt() / n as f64;
            if let Ok(student) = StudentsT::new(0.0, 1.0, freedom) {
                let half = student.inverse_cdf(0.5 + CONFIDENCE / 2.0) * error;
                found.interval = Some((mean - half, mean + half));
                found.p = Some(match (mean == 0.0, error == 0.0) {
                    (true, true) => 1.0,
                    (false, true) => 0.0,
                    (_, false) => (2.0 * student.sf((mean / error).abs())).min(1.0),
                });
                found.p_holm = found.p;
            }
        }
        Some(found)
    }

    /// Whether the mean differs from zero at a familywise error of 5% over all rows of the table.
    pub fn is_significant(&self) -> bool {
        self.p_holm.is_some_and(|p| p < 1.0 - CONFIDENCE)
    }
}

/// Sets [`Difference::p_holm`] of all that are compared with one baseline, by Holm's step-down procedure.
pub fn correct<'a>(differences: impl Iterator<Item = &'a mut Difference>) {
    let mut tested: Vec<&mut Difference> = differences.filter(|found| found.p.is_some()).collect();
    tested.sort_by(|a, b| a.p.unwrap_or(1.0).total_cmp(&b.p.unwrap_or(1.0)));
    let count = tested.len();
    let mut least = 0.0f64;
    for (rank, found) in tested.into_iter().enumerate() {
        least = least.max(((count - rank) as f64 * found.p.unwrap_or(1.0)).min(1.0));
        found.p_holm = Some(least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(differences: &[(f64, usize)]) -> Vec<Pair> {
        differences.iter().map(|&(difference, cluster)| Pair { difference, cluster }).collect()
    }

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-9, "{found}, and not {wanted}");
    }

    #[test]
    fn the_standard_deviation_is_the_sample_s() {
        let found = Mean::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((found.n, found.mean), (8, 5.0));
        assert!((found.sd.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(Mean::of(&[3.0]).unwrap().sd, None);
        assert_eq!(Mean::of(&[]), None);
        // Equal values have no spread, whatever rounding does to their sum.
        assert_eq!(Mean::of(&[0.1; 3]), Some(Mean { n: 3, mean: 0.1, sd: Some(0.0) }));
    }

    #[test]
    fn the_interval_is_that_of_a_table_of_student_s_t() {
        // t(0.975, 2) = 4.302653, from any printed table; sd of 1, 2, 3 is 1.
        let found = Difference::of(&pairs(&[(1.0, 0), (2.0, 1), (3.0, 2)])).unwrap();
        let (low, high) = found.interval.unwrap();
        let half = 4.302_652_73 / 3f64.sqrt();
        assert!((low - (2.0 - half)).abs() < 1e-6 && (high - (2.0 + half)).abs() < 1e-6, "{low} {high}");
        assert_eq!(Difference::of(&pairs(&[(1.0, 0)])).unwrap().interval, None);
        // Three networks of one seed are no sample.
        let found = Difference::of(&pairs(&[(1.0, 7), (2.0, 7), (3.0, 7)])).unwrap();
        assert_eq!((found.n, found.seeds, found.interval, found.p), (3, 1, None, None));
    }

    /// The distribution of t has closed forms for 1 and 2 degrees of freedom.
    #[test]
    fn probabilities_are_those_of_the_closed_forms() {
        let two = Difference::of(&pairs(&[(1.0, 0), (2.0, 1), (3.0, 2)])).unwrap();
        let t = 2.0 * 3f64.sqrt();
        near(two.p.unwrap(), 1.0 - t / (2.0 + t * t).sqrt());
        let one = Difference::of(&pairs(&[(1.0, 0), (4.0, 1)])).unwrap();
        // Mean 2.5, standard error 1.5.
        near(one.p.unwrap(), 1.0 - 2.0 / std::f64::consts::PI * (2.5f64 / 1.5).atan());
        assert_eq!(Difference::of(&pairs(&[(0.0, 0), (0.0, 1)])).unwrap().p, Some(1.0));
        assert_eq!(Difference::of(&pairs(&[(1.0, 0), (1.0, 1)])).unwrap().p, Some(0.0));
    }

    /// Three seeds with as many pairs each: the same as the means of the seeds alone.
    #[test]
    fn with_as_many_pairs_of_every_seed_the_interval_is_that_of_the_seeds_means() {
        let all = [(0.01, 1), (0.03, 1), (0.02, 2), (0.05, 2), (-0.01, 3), (0.02, 3)];
        let found = Difference::of(&pairs(&all)).unwrap();
        let means = Difference::of(&pairs(&[(0.02, 1), (0.035, 2), (0.005, 3)])).unwrap();
        near(found.mean, means.mean);
        near(found.interval.unwrap().0, means.interval.unwrap().0);
        near(found.interval.unwrap().1, means.interval.unwrap().1);
        near(found.p.unwrap(), means.p.unwrap());
        assert_eq!((found.n, found.seeds), (6, 3));
    }

    /// What statsmodels 0.15.0 says of unequal clusters: `OLS(x, ones).fit(cov_type="cluster",
    /// cov_kwds={"groups": seeds}, use_t=True)`; and scipy 1.17.1 of one pair per seed: `ttest_1samp`.
    #[test]
    fn intervals_and_probabilities_are_those_of_statsmodels_and_scipy() {
        let differences = [0.011, 0.034, -0.005, 0.021, 0.046, 0.013, 0.027, 0.002, 0.019];
        let seeds = [1, 1, 1, 2, 2, 3, 4, 4, 5];
        let all: Vec<(f64, usize)> = differences.into_iter().zip(seeds).collect();
        let found = Difference::of(&pairs(&all)).unwrap();
        assert_eq!((found.n, found.seeds), (9, 5));
        near(found.mean, 0.018_666_666_666_667);
        near(found.interval.unwrap().0, 0.006_532_137_526);
        near(found.interval.unwrap().1, 0.030_801_195_807);
        near(found.p.unwrap(), 0.012_939_502_881);
        let found = Difference::of(&pairs(&[(0.02, 1), (0.05, 2), (-0.01, 3), (0.03, 4)])).unwrap();
        near(found.interval.unwrap().0, -0.017_280_578_816);
        near(found.interval.unwrap().1, 0.062_280_578_816);
        near(found.p.unwrap(), 0.169_679_928_901);
    }

    #[test]
    fn holm_s_correction_steps_down_and_never_falls() {
        let of = |p| Difference { n: 3, seeds: 3, mean: 1.0, interval: None, p: Some(p), p_holm: None };
        // As `multipletests(p, method="holm")` of statsmodels has it, and by hand: 4 * 0.005, 3 * 0.01, 2 *
        // 0.03, and 0.04, which may not fall below the one before it.
        let mut all = [of(0.01), of(0.04), of(0.03), of(0.005)];
        correct(all.iter_mut());
        for (found, wanted) in all.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            near(found.p_holm.unwrap(), wanted);
        }
        assert_eq!(all.map(|found| found.is_significant()), [true, false, false, true]);
    }
}
