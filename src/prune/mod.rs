//! The `prune` room.
