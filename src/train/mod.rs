//! The `train` room.
