//! How a batch is cut into pieces of work.

use super::Spread;
use super::points::Grid;

/// Bytes of points that a thread works on at a time: they stay in its own cache.
const PIECE: usize = 768 << 10;

/// Bytes of points that all threads work on at a time: they stay in the shared cache.
const SHARED: usize = 16 << 20;

/// Bytes of a kernel from which on it is read once for as many tiles as possible, by all threads together.
pub const LARGE_KERNEL: usize = 3 << 20;

/// How a batch is cut. It follows from shapes alone.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Images of a piece.
    pub images: usize,
    /// Rows of tiles of a block; all, where a piece has several images.
    pub rows: usize,
    /// What runs beside each other.
    pub spread: Spread,
}

impl Cut {
    /// For images of `grid` tiles with `bytes` bytes of points a tile.
    pub fn new(grid: Grid, bytes: usize, kernel: usize, batch: usize) -> Self {
        let image = grid.down * grid.across * bytes;
        if kernel >= LARGE_KERNEL || batch < 4 {
            return Self::shared(grid, bytes, batch);
        }
        let rows = (PIECE / (grid.across * bytes)).clamp(1, grid.down);
        let images = if rows < grid.down { 1 } else { (PIECE / image).clamp(1, batch) };
        Self { images, rows, spread: Spread::Pieces }
    }

    /// Few pieces of equal size, whose parts all threads share. Gradients of weights are always cut like this: their sum over the
    /// batch is taken piece by piece.
    pub fn shared(grid: Grid, bytes: usize, batch: usize) -> Self {
        let image = grid.down * grid.across * bytes;
        let most = (SHARED / image).clamp(1, batch.max(1));
        let images = batch.div_ceil(batch.div_ceil(most).max(1)).max(1);
        Self { images, rows: grid.down, spread: Spread::Parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_fit_the_caches_and_shared_ones_are_equal() {
        let grid = Grid { down: 8, across: 8 };
        let small = Cut::new(grid, 36 * 128 * 4, 36 * 64 * 64 * 4, 64);
        assert_eq!((small.images, small.spread), (1, Spread::Pieces));
        assert!(small.rows * 8 * 36 * 128 * 4 <= PIECE && small.rows > 1);
        let one = Grid { down: 1, across: 1 };
        let large = Cut::new(one, 36 * 1024 * 4, 36 * 512 * 512 * 4, 128);
        assert_eq!((large.images, large.spread), (64, Spread::Parts));
        let huge = Cut::shared(Grid { down: 100, across: 100 }, 36 * 128 * 4, 3);
        assert_eq!((huge.images, huge.rows), (1, 100));
        assert_eq!(Cut::new(one, 64, 64, 1).spread, Spread::Parts, "a single image is shared");
    }
}
