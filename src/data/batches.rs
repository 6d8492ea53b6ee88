//! Batches, made in the background while the last one is trained on.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use rand::Rng;
use rand::seq::SliceRandom;

use super::set::{DataSet, Images};
use crate::random::{Purpose, stream};

/// Batches that are made ahead.
const AHEAD: usize = 2;

/// In which order images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As given.
    Sequential,
    /// Shuffled, by seed and epoch.
    Shuffled {
        /// The seed.
        seed: u64,
        /// The epoch, from 0.
        epoch: u64,
    },
}

/// Random changes to training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Augment {
    /// Pads with so many zeros and crops the old size at a random place.
    pub crop_padding: usize,
    /// Mirrors half of the images.
    pub flip: bool,
}

/// Some images, ready for a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Normalised values, image after image.
    pub images: Vec<f32>,
    /// Classes.
    pub labels: Vec<u32>,
}

/// Which images become which batches.
#[derive(Debug, Clone)]
pub struct Batches {
    /// Where they come from.
    pub data: Arc<DataSet>,
    /// Whether they are test images; else training images.
    pub test: bool,
    /// Which of them.
    pub indices: Arc<[u32]>,
    /// Images in a batch; the last may have fewer.
    pub size: usize,
    /// The order.
    pub order: Order,
    /// Random changes.
    pub augment: Option<Augment>,
}

impl Batches {
    /// How many batches there are.
    pub fn count(&self) -> usize {
        self.indices.len().div_ceil(self.size)
    }

    /// The batches from number `first` on.
    pub fn from(self, first: usize) -> impl Iterator<Item = Batch> {
        let (sender, receiver) = sync_channel(AHEAD);
        // The thread ends when all batches are made, or when nobody takes them any more.
        std::thread::spawn(move || {
            let mut indices = self.indices.to_vec();
            if let Order::Shuffled { seed, epoch } = self.order {
                indices.shuffle(&mut stream(Purpose::Order, seed, &epoch.to_le_bytes()));
            }
            let tables = self.tables();
            for (number, chosen) in indices.chunks(self.size).enumerate().skip(first) {
                let batch = self.make(chosen, number * self.size, &tables);
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        Taking(receiver)
    }

    /// The normalised value of every pixel, for each channel.
    fn tables(&self) -> Vec<[f32; 256]> {
        let normalise = &self.data.normalise;
        let value = |p: usize, mean: f64, std: f64| ((p as f64 / 255.0 - mean) / std) as f32;
        let channels = normalise.mean.iter().zip(&normalise.std);
        channels.map(|(mean, std)| std::array::from_fn(|p| value(p, *mean, *std))).collect()
    }

    fn make(&self, chosen: &[u32], position: usize, tables: &[[f32; 256]]) -> Batch {
        let images = if self.test { &self.data.test } else { &self.data.train };
        let mut batch = Batch {
            images: vec![0.0; chosen.len() * images.size()],
            labels: chosen.iter().map(|index| u32::from(images.labels[*index as usize])).collect(),
        };
        let outputs = batch.images.chunks_exact_mut(images.size());
        for (offset, (index, output)) in chosen.iter().zip(outputs).enumerate() {
            let (shift, flip) = self.change(position + offset);
            image(images, *index as usize, shift, flip, tables, output);
        }
        batch
    }

    /// The change of the image at a place of the epoch: how far it is moved down and right, and whether it is mirrored.
    fn change(&self, position: usize) -> ((isize, isize), bool) {
        let (Some(augment), Order::Shuffled { seed, epoch }) = (self.augment, self.order) else {
            return ((0, 0), false);
        };
        let place = [epoch, position as u64].map(u64::to_le_bytes).concat();
        let mut random = stream(Purpose::Augmentation, seed, &place);
        let padding = augment.crop_padding as isize;
        let mut shift = || random.random_range(0..=2 * augment.crop_padding as u32) as isize - padding;
        let shift = (shift(), shift());
        (shift, augment.flip && random.random_bool(0.5))
    }
}

/// Writes one image, moved, mirrored and normalised.
fn image(
    images: &Images,
    index: usize,
    shift: (isize, isize),
    flip: bool,
    tables: &[[f32; 256]],
    output: &mut [f32],
) {
    let (height, width) = (images.shape.height, images.shape.width);
    let pixels = &images.pixels[index * images.size()..(index + 1) * images.size()];
    let planes = pixels.chunks_exact(height * width).zip(output.chunks_exact_mut(height * width));
    for ((plane, output), table) in planes.zip(tables) {
        // What lies outside is a black pixel, normalised like the others.
        output.fill(table[0]);
        for (row, from) in plane.chunks_exact(width).enumerate() {
            let to = row.wrapping_add_signed(shift.0);
            if to >= height {
                continue;
            }
            let to = &mut output[to * width..(to + 1) * width];
            let (right, left) = (shift.1.max(0) as usize, (-shift.1).max(0) as usize);
            let from = from.iter().skip(left).map(|pixel| table[usize::from(*pixel)]);
            if flip {
                to.iter_mut().rev().skip(right).zip(from).for_each(|(to, value)| *to = value);
            } else {
                to.iter_mut().skip(right).zip(from).for_each(|(to, value)| *to = value);
            }
        }
    }
}

struct Taking(Receiver<Batch>);

impl Iterator for Taking {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.0.recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DataParams, load};
    use super::*;

    fn batches(order: Order) -> Batches {
        let data = Arc::new(load(&DataParams::default()).unwrap());
        let augment = Some(Augment { crop_padding: 4, flip: true });
        Batches { data, test: false, indices: (0..100).collect(), size: 32, order, augment }
    }

    #[test]
    fn going_on_in_the_middle_of_an_epoch_gives_the_same_batches() {
        let order = Order::Shuffled { seed: 3, epoch: 5 };
        let all: Vec<Batch> = batches(order).from(0).collect();
        let rest: Vec<Batch> = batches(order).from(2).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(all[2..], rest);
        let other: Vec<Batch> = batches(Order::Shuffled { seed: 3, epoch: 6 }).from(0).collect();
        assert_ne!(all[0], other[0]);
    }

    #[test]
    fn images_in_order_are_the_normalised_pixels() {
        let made = batches(Order::Sequential);
        let data = made.data.clone();
        let first = made.from(0).next().unwrap();
        let expected = (f64::from(data.train.pixels[300]) / 255.0 - 0.2860) / 0.3530;
        assert!((f64::from(first.images[300]) - expected).abs() < 1e-6);
    }

    #[test]
    fn a_moved_and_mirrored_image_is_what_each_of_its_pixels_says() {
        let made = batches(Order::Sequential);
        let images = &made.data.train;
        let (height, width) = (images.shape.height as isize, images.shape.width as isize);
        let tables = vec![std::array::from_fn(|pixel| pixel as f32 + 0.5)];
        for (index, shift, flip) in [
            (0, (0, 0), false),
            (1, (0, 0), true),
            (2, (3, -4), false),
            (3, (-4, 2), true),
            (4, (1, 5), true),
            (5, (-40, 0), false),
            (6, (0, 28), true),
        ] {
            let mut found = vec![f32::NAN; images.size()];
            image(images, index, shift, flip, &tables, &mut found);
            let pixels = &images.pixels[index * images.size()..];
            for row in 0..height {
                for column in 0..width {
                    let mirrored = if flip { width - 1 - column } else { column };
                    let (from_row, from_column) = (row - shift.0, mirrored - shift.1);
                    let inside = (0..height).contains(&from_row) && (0..width).contains(&from_column);
                    let pixel = if inside { pixels[(from_row * width + from_column) as usize] } else { 0 };
                    assert_eq!(found[(row * width + column) as usize], f32::from(pixel) + 0.5);
                }
            }
        }
    }

    #[test]
    fn a_seed_one_epoch_ahead_of_another_sees_other_batches() {
        // Mixing the epoch into the seed would make these two the same.
        let mixed = 3 ^ 5u64.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let one: Vec<Batch> = batches(Order::Shuffled { seed: 3, epoch: 5 }).from(0).collect();
        let other: Vec<Batch> = batches(Order::Shuffled { seed: mixed, epoch: 0 }).from(0).collect();
        assert_ne!(one, other);
    }

    #[test]
    fn shifts_and_mirrors_are_as_frequent_as_they_should_be() {
        let made = batches(Order::Shuffled { seed: 1, epoch: 0 });
        let (count, mut mirrored, mut rows, mut columns) = (9000, 0, [0; 9], [0; 9]);
        for position in 0..count {
            let ((down, right), flip) = made.change(position);
            mirrored += usize::from(flip);
            rows[(down + 4) as usize] += 1;
            columns[(right + 4) as usize] += 1;
        }
        // Five standard deviations of a binomial.
        assert!((mirrored as f64 - 4500.0).abs() < 5.0 * 47.4, "{mirrored}");
        for seen in rows.iter().chain(&columns) {
            assert!((f64::from(*seen) - 1000.0).abs() < 5.0 * 29.8, "{rows:?} {columns:?}");
        }
    }
}
