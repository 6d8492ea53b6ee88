//! The `stages` room.
