//! Memory that is used again: in the steady state a training step allocates nothing large.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a cache line; vectors that cross lines load at half the speed.
const LINE: usize = 64;

/// A stock of buffers. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<f32>>>>);

/// Some values, aligned to a cache line, that go back to the stock when dropped. What they are at first is anything.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<f32>,
    start: usize,
    length: usize,
    home: Buffers,
}

impl Buffers {
    /// A buffer of `length` values: the smallest of the stock that holds them without wasting more than half, or a new one.
    pub fn take(&self, length: usize) -> Buffer {
        let wanted = length + LINE / size_of::<f32>();
        let mut stock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = stock.iter().enumerate().filter(|(_, memory)| {
            memory.len() >= wanted && memory.len() <= wanted.saturating_mul(2).max(1 << 14)
        });
        let best = fitting.min_by_key(|(_, memory)| memory.len()).map(|(place, _)| place);
        let memory = best.map(|place| stock.swap_remove(place));
        drop(stock);
        let memory = memory.unwrap_or_else(|| vec![0.0; wanted]);
        let start = memory.as_ptr().align_offset(LINE).min(wanted - length);
        Buffer { memory, start, length, home: self.clone() }
    }

    /// Empties the stock. What another phase of a training took has other sizes than what the next one needs.
    pub fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_taken_again_and_lies_on_a_cache_line() {
        let buffers = Buffers::default();
        let mut first = buffers.take(100_000);
        first.fill(3.0);
        let place = first.as_ptr();
        assert_eq!(place as usize % LINE, 0);
        drop(first);
        let again = buffers.take(99_000);
        assert_eq!((again.as_ptr(), again.len(), again[98_999]), (place, 99_000, 3.0));
        assert_eq!(buffers.take(10).len(), 10);
        drop(again);
        assert!(buffers.take(10).as_ptr() != place, "a small buffer does not take up a large one");
        assert!(buffers.take(0).is_empty());
        let kept = buffers.take(1000);
        buffers.release();
        assert!(buffers.0.lock().unwrap().is_empty());
        drop(kept);
        assert_eq!(buffers.0.lock().unwrap().len(), 1, "what was in use comes back");
    }
}
