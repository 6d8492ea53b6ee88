//! Which training images are trained on, and which are held out.

use super::params::DataParams;
use super::set::DataSet;

/// Which training images are trained on, and which are held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Trained on.
    pub train: Vec<u32>,
    /// Held out.
    pub validation: Vec<u32>,
}

/// How many training images are trained on, and how many are held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitSizes {
    /// Trained on.
    pub train: u64,
    /// Held out.
    pub validation: u64,
}

/// The images of a class of `count` that are held out.
fn held_out(count: u64, validation: f64) -> u64 {
    (count as f64 * validation).round() as u64
}

impl DataSet {
    /// Holds the last images of every class out for validation: the same ones for every stage and every seed.
    pub fn split(&self) -> Split {
        let mut count = vec![0; self.classes];
        for label in &self.train.labels {
            count[usize::from(*label)] += 1;
        }
        let kept: Vec<u64> = count.iter().map(|count| count - held_out(*count, self.validation)).collect();
        let mut seen = vec![0; self.classes];
        let mut split = Split { train: Vec::new(), validation: Vec::new() };
        for (index, label) in self.train.labels.iter().enumerate() {
            let class = usize::from(*label);
            let half = if seen[class] < kept[class] { &mut split.train } else { &mut split.validation };
            half.push(index as u32);
            seen[class] += 1;
        }
        split
    }
}

impl DataParams {
    /// The sizes of the split, from the number of training images of every class in the files.
    pub fn split_sizes(&self, classes: &[u64]) -> SplitSizes {
        let limit = self.limit_train.map_or(u64::MAX, |limit| limit as u64);
        let mut sizes = SplitSizes { train: 0, validation: 0 };
        let mut add = |images: u64, classes: u64| {
            let held_out = held_out(images, self.validation);
            sizes.validation += classes * held_out;
            sizes.train += classes * (images - held_out);
        };
        // The limit takes the first of every class, then the second, ...: so many whole rounds, and a part of
        // one more.
        let larger = |rounds: u64| classes.iter().filter(|count| **count > rounds).count() as u64;
        let taken = |rounds: u64| classes.iter().map(|count| rounds.min(*count)).sum::<u64>();
        let largest = classes.iter().copied().max().unwrap_or(0);
        let (mut rounds, mut above) = (0, largest + 1);
        while above - rounds > 1 {
            let middle = u64::midpoint(rounds, above);
            *(if taken(middle) <= limit { &mut rounds } else { &mut above }) = middle;
        }
        let rest = if rounds < largest { limit.saturating_sub(taken(rounds)).min(larger(rounds)) } else { 0 };
        for count in classes.iter().filter(|count| **count <= rounds) {
            add(*count, 1);
        }
        add(rounds + 1, rest);
        add(rounds, larger(rounds) - rest);
        sizes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::load;
    use super::super::set::{Images, limited};
    use super::*;

    #[test]
    fn the_embedded_sample_is_split_evenly() {
        let split = load(&DataParams::default()).unwrap().split();
        assert_eq!((split.train.len(), split.validation.len()), (4500, 500));
        assert!(split.validation.iter().all(|index| !split.train.contains(index)));
    }

    proptest! {
        #[test]
        fn the_sizes_are_those_of_the_split(
            labels in prop::collection::vec(0u8..10, 1..200),
            limit in prop::option::of(1usize..250),
            validation in 0.0..0.9f64,
        ) {
            let shape = super::super::ImageShape { channels: 1, height: 1, width: 1 };
            let mut classes = vec![0; 10];
            labels.iter().for_each(|label| classes[usize::from(*label)] += 1);
            let images = Images { shape, pixels: vec![0; labels.len()], labels };
            let test = Images { shape, pixels: Vec::new(), labels: Vec::new() };
            let normalise = DataParams::default().normalise();
            let set = DataSet { train: limited(images, limit), test, normalise, classes: 10, validation };
            let params = DataParams { limit_train: limit, validation, ..DataParams::default() };
            let (sizes, split) = (params.split_sizes(&classes), set.split());
            prop_assert_eq!(sizes.train, split.train.len() as u64);
            prop_assert_eq!(sizes.validation, split.validation.len() as u64);
        }
    }
}
