//! The mathematics of pruning, without any I/O: gates, the sparsity regulariser, the threshold
//! search, and the slim network (Wang et al. 2020).

mod baselines;
mod channels;
mod gates;
mod layers;
mod order;
mod scores;
mod search;
mod slim;

pub use baselines::{Norms, l1, random, shuffled, uniform};
pub use channels::{Channels, PruneError};
pub use gates::{add_gates, fold_gates, importance, regulariser, sparsity};
pub use order::{Ties, removal_order};
pub use scores::Scores;
pub use search::{SearchError, SearchInput, SearchResult, reachable, threshold_search};
pub use slim::{masked, slim_fresh, slim_inherit};
