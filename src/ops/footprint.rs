//! How much memory operations take on the CPU, from shapes alone: what an estimate before a run is made of.

use super::Algorithm;
use super::cpu::cut::LARGE_KERNEL;
use super::cpu::gemm::padded;

/// Bytes of an `f32`.
const VALUE: u64 = size_of::<f32>() as u64;

/// Bytes of the working space that a pass over a layer takes beside its `maps` (those that it reads and those that it writes): the
/// points of the pieces that are under way. A tile of 4x4 values has 36 points. Large kernels, and gradients of weights
/// (`kernel` is `None` then), have pieces that all threads share; the others small ones, a few for each thread.
pub fn workspace(maps: u64, kernel: Option<u64>) -> u64 {
    const SHARED: u64 = 24 << 20;
    const SMALL: u64 = 4 << 20;
    let is_small = kernel.is_some_and(|bytes| bytes < LARGE_KERNEL as u64);
    (maps * 9 / 4).min(if is_small { SMALL } else { SHARED })
}

/// Bytes of the maps of a batch.
pub fn maps(batch: usize, (height, width): (usize, usize), channels: usize) -> u64 {
    (batch * height * width * padded(channels)) as u64 * VALUE
}

/// Bytes of a 3x3 kernel in the form that products on maps of this size want, one way.
pub fn kernel(
    (height, width): (usize, usize),
    (inputs, outputs): (usize, usize),
    algorithm: Algorithm,
) -> u64 {
    let planes = match (algorithm, height, width) {
        (Algorithm::Exact, _, _) => 9,
        (Algorithm::Fast, 1, 1) => 1,
        (Algorithm::Fast, 2, 2) => 9,
        (Algorithm::Fast, _, _) => 36,
    };
    (planes * inputs * padded(outputs)) as u64 * VALUE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_padded_and_small_maps_have_fewer_points() {
        assert_eq!(maps(2, (3, 5), 17), 2 * 3 * 5 * 32 * 4);
        let of = |size, algorithm| kernel((size, size), (10, 20), algorithm);
        assert_eq!(of(8, Algorithm::Fast), 36 * 10 * 32 * 4);
        assert_eq!(of(2, Algorithm::Fast), of(8, Algorithm::Exact));
        assert_eq!(of(1, Algorithm::Fast), 10 * 32 * 4);
    }
}
