//! A declarative workflow runner with stage caching for pruning experiments.

pub mod cli;
pub mod data;
pub mod draw;
pub mod engine;
pub mod fingerprint;
pub mod network;
pub mod ops;
pub mod page;
pub mod pipeline;
pub mod plan;
pub mod prune;
pub mod random;
pub mod report;
mod shown;
pub mod stages;
pub mod state;
pub mod store;
pub mod train;
pub mod written;
