//! Images of another size than that of the files: padded where they are to be larger, averaged where smaller.

use super::params::ImageShape;
use super::set::Images;

/// Images of `shape`, which is square where it differs from what is there.
pub(super) fn to(images: Images, shape: ImageShape) -> Images {
    let native = images.shape;
    if native == shape {
        images
    } else if shape.height < native.height {
        averaged(&images, shape)
    } else {
        padded(&images, shape)
    }
}

/// Pads images with zeros on all sides; where that is uneven, the right and the lower side get one more.
fn padded(images: &Images, shape: ImageShape) -> Images {
    let native = images.shape;
    let (top, left) = ((shape.height - native.height) / 2, (shape.width - native.width) / 2);
    each_plane(images, shape, |plane, target| {
        for (row, line) in plane.chunks_exact(native.width).enumerate() {
            let at = (row + top) * shape.width + left;
            target[at..at + native.width].copy_from_slice(line);
        }
    })
}

/// Shrinks images: a new pixel is the mean of the area that it covers, pixels at its rim counted by their
/// part in it, rounded to the nearest (half up). In whole numbers, so the same everywhere.
fn averaged(images: &Images, shape: ImageShape) -> Images {
    let native = images.shape;
    let (rows, columns) = (spans(native.height, shape.height), spans(native.width, shape.width));
    let area = native.height * native.width;
    each_plane(images, shape, |plane, target| {
        for (row_spans, line) in rows.iter().zip(target.chunks_exact_mut(shape.width)) {
            for (column_spans, pixel) in columns.iter().zip(line) {
                let mut sum = 0;
                for (row, height) in row_spans {
                    for (column, width) in column_spans {
                        sum += height * width * usize::from(plane[row * native.width + column]);
                    }
                }
                *pixel = ((2 * sum + area) / (2 * area)) as u8;
            }
        }
    })
}

/// The old pixels that each of `new` pixels covers along a side of `old`, with the length covered in units of
/// 1 / `new`.
fn spans(old: usize, new: usize) -> Vec<Vec<(usize, usize)>> {
    let covered = |at: usize| {
        let (from, to) = (at * old, (at + 1) * old);
        let pixels = from / new..to.div_ceil(new);
        pixels.map(|pixel| (pixel, to.min((pixel + 1) * new) - from.max(pixel * new))).collect()
    };
    (0..new).map(covered).collect()
}

fn each_plane(images: &Images, shape: ImageShape, mut fill: impl FnMut(&[u8], &mut [u8])) -> Images {
    let native = images.shape;
    let mut pixels = vec![0; images.len() * shape.channels * shape.height * shape.width];
    let planes = images.pixels.chunks_exact(native.height * native.width);
    for (plane, target) in planes.zip(pixels.chunks_exact_mut(shape.height * shape.width)) {
        fill(plane, target);
    }
    Images { shape, pixels, labels: images.labels.clone() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{DataParams, load};
    use super::*;

    fn of_size(size: Option<usize>) -> Images {
        load(&DataParams { size, ..DataParams::default() }).unwrap().test
    }

    #[test]
    fn padding_keeps_every_pixel_and_adds_zeros() {
        let (plain, wide) = (of_size(None), of_size(Some(32)));
        let sum = |images: &Images| images.pixels.iter().map(|p| u64::from(*p)).sum::<u64>();
        assert_eq!(sum(&plain), sum(&wide));
        assert_eq!(wide.pixels[2 * 32 + 2..2 * 32 + 30], plain.pixels[..28]);
    }

    #[test]
    fn half_the_size_is_the_mean_of_two_by_two_pixels() {
        let square = |pixels: Vec<u8>, side| Images {
            shape: ImageShape { channels: 1, height: side, width: side },
            pixels,
            labels: vec![0],
        };
        let large = square(vec![0, 1, 10, 20, 2, 3, 30, 41, 9, 9, 255, 255, 9, 9, 255, 254], 4);
        let small = to(large, ImageShape { channels: 1, height: 2, width: 2 });
        // 1.5 and 25.25; 9 and 254.75.
        assert_eq!(small, square(vec![2, 25, 9, 255], 2));
    }

    proptest! {
        /// Against the definition in floating point: the integral of the old image over the new pixel.
        #[test]
        fn a_shrunk_pixel_is_the_mean_over_its_area(
            (old, new) in (2usize..12).prop_flat_map(|old| (Just(old), 1..old)),
            seed in any::<u64>(),
        ) {
            let value = |at: usize| (seed.wrapping_mul(at as u64 * 2 + 1) >> 40) as u8;
            let shape = |side| ImageShape { channels: 1, height: side, width: side };
            let pixels: Vec<u8> = (0..old * old).map(value).collect();
            let images = Images { shape: shape(old), pixels: pixels.clone(), labels: vec![0] };
            let small = to(images, shape(new));
            let ratio = old as f64 / new as f64;
            let overlap = |at: usize, pixel: usize| {
                let (from, to) = (at as f64 * ratio, (at + 1) as f64 * ratio);
                (to.min(pixel as f64 + 1.0) - from.max(pixel as f64)).max(0.0)
            };
            for row in 0..new {
                for column in 0..new {
                    let mut mean = 0.0;
                    for (at, pixel) in pixels.iter().enumerate() {
                        mean += overlap(row, at / old) * overlap(column, at % old) * f64::from(*pixel);
                    }
                    mean /= ratio * ratio;
                    let found = f64::from(small.pixels[row * new + column]);
                    prop_assert!((found - mean).abs() <= 0.5 + 1e-9, "{found} for {mean}");
                }
            }
        }
    }

    #[test]
    fn the_sample_shrinks_to_the_smallest_size_that_networks_take() {
        let small = of_size(Some(16));
        let mean = |images: &Images| {
            images.pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / images.pixels.len() as f64
        };
        assert_eq!(small.pixels.len(), 1000 * 16 * 16);
        assert!((mean(&small) - mean(&of_size(None))).abs() < 0.1);
    }
}
