//! The `data` room.
