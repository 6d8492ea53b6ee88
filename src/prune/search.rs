//! The threshold search: one global order of all channels, to a budget of FLOPs.
//!
//! Every layer starts with the channels that its rules demand. Then the others come back in the order of
//! their scores, the best first (the reverse of [`removal_order`]), and each stays if the network still fits
//! the budget. Up to the first channel that does not fit, this is one global threshold; the channels added
//! after it fill the budget up. Two facts follow. Nothing can be added to the network without exceeding the
//! budget. And of the channels that differ between it and any other network that fits and keeps the best
//! channels of each layer, the best one is always in this network. A network with more FLOPs may fit.
//!
//! Channels come back in units: one channel, or with `round_to` the next `round_to` channels of a layer by
//! score, placed in the order by the best of them. A layer is full once one of its units does not fit: FLOPs
//! are sums of products of widths, so a unit never costs less after others have come back.

use miette::Diagnostic;

use super::order::{Ties, level, removal_order};
use crate::network::{Macs, NetworkSpec, SpecError};

/// The input of a search, and its rules.
#[derive(Debug, Clone, Copy)]
pub struct SearchInput<'a> {
    /// The network that is pruned. The budget is a share of the FLOPs of its plain form.
    pub spec: &'a NetworkSpec,
    /// Importance of each channel of each convolution.
    pub importance: &'a [Vec<f32>],
    /// Share of the plain network's FLOPs that may be kept.
    pub flops_ratio: f64,
    /// How far below `flops_ratio` the result may lie.
    pub tolerance: Option<f64>,
    /// Channels that every layer keeps.
    pub min_channels: usize,
    /// Every layer keeps a multiple of this, or all of its channels.
    pub round_to: usize,
    /// Which of the channels of equal importance are removed first.
    pub ties: Ties,
}

/// The network of a search, with its counts.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResult {
    /// Kept channels of each layer, ascending.
    pub kept: Vec<Vec<u32>>,
    /// Importance of the best channel that did not fit: all channels above it are kept. 0 if nothing is
    /// removed.
    pub threshold: f64,
    /// Channels of each layer that came back after the first one that did not fit.
    pub filled: Vec<usize>,
    /// Channels of each layer whose importance is both that of a kept and of a removed channel.
    pub tied: Vec<usize>,
    /// Channels of [`Self::tied`] that are kept: the rule for ties chose them.
    pub tied_kept: Vec<usize>,
    /// FLOPs of the network that was searched.
    pub macs_full: Macs,
    /// FLOPs of the plain network.
    pub macs_plain: Macs,
    /// FLOPs of the slim network.
    pub macs_pruned: Macs,
    /// Parameters of the network that was searched.
    pub params_full: u64,
    /// Parameters of the slim network.
    pub params_pruned: u64,
    /// `macs_pruned / macs_plain`.
    pub achieved_ratio: f64,
}

/// Why a search fails.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SearchError {
    /// Even the smallest allowed network is too large.
    #[error(
        "no network keeps {wanted:.4} of the FLOPs or less: with at least {min_channels} channels in every layer the reachable range is {lowest:.4} to {highest:.4}"
    )]
    #[diagnostic(help("raise `flops_ratio`, or lower `min_channels` or `round_to`"))]
    Unreachable {
        /// The wanted ratio.
        wanted: f64,
        /// Channels that every layer keeps.
        min_channels: usize,
        /// The smallest ratio.
        lowest: f64,
        /// The largest ratio.
        highest: f64,
    },
    /// The nearest network is further away than the tolerance.
    #[error(
        "the largest network that was found keeps {achieved:.4} of the FLOPs; expected {wanted:.4} less a tolerance of {tolerance} at least, and no channel can be added"
    )]
    #[diagnostic(help("raise `tolerance`, leave it out to take any network that fits, or lower `round_to`"))]
    Tolerance {
        /// The wanted ratio.
        wanted: f64,
        /// The achieved ratio.
        achieved: f64,
        /// The tolerance.
        tolerance: f64,
    },
    /// A gate is not a finite number.
    #[error("channel {channel} of convolution {layer} has the gate {value}, which is not a finite number")]
    NotFinite {
        /// Which convolution, from 0.
        layer: usize,
        /// Which channel.
        channel: usize,
        /// The gate.
        value: f32,
    },
    /// Gates that do not belong to the network.
    #[error(
        "the gates do not belong to the network: convolution {layer} has {channels} channels and {gates} gates"
    )]
    Mismatch {
        /// Which convolution, from 0.
        layer: usize,
        /// Its channels.
        channels: usize,
        /// Its gates.
        gates: usize,
    },
    /// The network cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Searches the network that keeps the best channels within the budget.
///
/// # Errors
/// A budget that cannot be met; the message names the reachable range.
pub fn threshold_search(input: &SearchInput<'_>) -> Result<SearchResult, SearchError> {
    check(input)?;
    let order = removal_order(input.importance, input.ties);
    let plain = input.spec.plain().macs();
    let budget = plain.share(input.flops_ratio);
    let ratio = |macs: Macs| macs.0 as f64 / plain.0 as f64;
    let mut counts = smallest(input);
    let lowest = cost(input.spec, &counts);
    if lowest > budget {
        return Err(SearchError::Unreachable {
            wanted: input.flops_ratio,
            min_channels: kept_at_least(usize::MAX, input.min_channels, input.round_to),
            lowest: ratio(lowest),
            highest: ratio(input.spec.macs()),
        });
    }
    let mut full = vec![false; counts.len()];
    let mut filled = vec![0; counts.len()];
    let mut threshold = None;
    for unit in units(input, &order) {
        if full[unit.layer] {
            continue;
        }
        counts[unit.layer] += unit.channels;
        if cost(input.spec, &counts) > budget {
            counts[unit.layer] -= unit.channels;
            full[unit.layer] = true;
            threshold.get_or_insert(input.importance[unit.layer][unit.best]);
        } else if threshold.is_some() {
            filled[unit.layer] += unit.channels;
        }
    }
    let kept = best_of_each_layer(&order, &counts);
    let slim = slim_spec(input.spec, &kept)?;
    let achieved_ratio = ratio(slim.macs());
    if let Some(tolerance) = input.tolerance {
        if slim.macs() < plain.share((input.flops_ratio - tolerance).max(0.0)) {
            return Err(SearchError::Tolerance {
                wanted: input.flops_ratio,
                achieved: achieved_ratio,
                tolerance,
            });
        }
    }
    let (tied, tied_kept) = ties(input.importance, &order, &kept);
    Ok(SearchResult {
        threshold: threshold.map_or(0.0, f64::from),
        filled,
        tied,
        tied_kept,
        macs_full: input.spec.macs(),
        macs_plain: plain,
        macs_pruned: slim.macs(),
        params_full: input.spec.parameters(),
        params_pruned: slim.parameters(),
        achieved_ratio,
        kept,
    })
}

/// The smallest and the largest ratio of FLOPs that a search in `spec` can reach. Known from the structure
/// alone.
///
/// # Errors
/// None for a structure that was checked.
pub fn reachable(spec: &NetworkSpec, min_channels: usize, round_to: usize) -> Result<(f64, f64), SpecError> {
    let channels = spec.channels.iter().map(|&all| kept_at_least(all, min_channels, round_to)).collect();
    let smallest = NetworkSpec { channels, ..spec.clone() };
    smallest.validate()?;
    let plain = spec.plain().macs().0 as f64;
    Ok((smallest.macs().0 as f64 / plain, spec.macs().0 as f64 / plain))
}

/// The number of a layer's `all` channels to keep where `wanted` are wanted: a multiple of `round_to`, or
/// all.
fn kept_at_least(all: usize, wanted: usize, round_to: usize) -> usize {
    let round_to = round_to.max(1);
    wanted.div_ceil(round_to).max(1).saturating_mul(round_to).min(all)
}

/// The structure that keeps these channels, with the plain one for reference.
pub(super) fn slim_spec(spec: &NetworkSpec, kept: &[Vec<u32>]) -> Result<NetworkSpec, SpecError> {
    let channels = kept.iter().map(Vec::len).collect();
    let slim = NetworkSpec { channels, plain_channels: Some(spec.plain().channels), ..spec.clone() };
    slim.validate()?;
    Ok(slim)
}

/// Checks that there is one finite number for each channel.
fn check(input: &SearchInput<'_>) -> Result<(), SearchError> {
    for (layer, channels) in input.spec.channels.iter().enumerate() {
        let gates = input.importance.get(layer).map_or(&[][..], Vec::as_slice);
        if gates.len() != *channels {
            return Err(SearchError::Mismatch { layer, channels: *channels, gates: gates.len() });
        }
        if let Some(channel) = gates.iter().position(|gate| !gate.is_finite()) {
            return Err(SearchError::NotFinite { layer, channel, value: gates[channel] });
        }
    }
    Ok(())
}

/// The channels that every layer keeps whatever their scores.
fn smallest(input: &SearchInput<'_>) -> Vec<usize> {
    let least = |all: &usize| kept_at_least(*all, input.min_channels, input.round_to);
    input.spec.channels.iter().map(least).collect()
}

fn cost(spec: &NetworkSpec, channels: &[usize]) -> Macs {
    NetworkSpec { channels: channels.to_vec(), ..spec.clone() }.macs()
}

/// The smallest step by which a layer grows.
struct Unit {
    layer: usize,
    /// How many channels it has.
    channels: usize,
    /// The best of them.
    best: usize,
}

/// Everything beyond the smallest network, the best units first.
fn units(input: &SearchInput<'_>, order: &[(usize, usize)]) -> Vec<Unit> {
    let step = input.round_to.max(1);
    let least = smallest(input);
    let mut ranks = vec![0; least.len()];
    let unit = |&(layer, best): &(usize, usize)| {
        let rank = ranks[layer];
        ranks[layer] += 1;
        let channels = step.min(input.spec.channels[layer] - rank);
        (rank >= least[layer] && rank.is_multiple_of(step)).then_some(Unit { layer, channels, best })
    };
    order.iter().rev().filter_map(unit).collect()
}

/// The last `counts` channels of each layer in the order of removal, ascending.
fn best_of_each_layer(order: &[(usize, usize)], counts: &[usize]) -> Vec<Vec<u32>> {
    let mut kept = vec![Vec::new(); counts.len()];
    for &(layer, channel) in order.iter().rev() {
        if kept[layer].len() < counts[layer] {
            kept[layer].push(channel as u32);
        }
    }
    kept.iter_mut().for_each(|channels| channels.sort_unstable());
    kept
}

/// For each layer: the number of channels with a score that both kept and removed channels have, and the
/// number of these channels that are kept.
fn ties(scores: &[Vec<f32>], order: &[(usize, usize)], kept: &[Vec<u32>]) -> (Vec<usize>, Vec<usize>) {
    let score = |&(layer, channel): &(usize, usize)| level(scores[layer][channel]);
    let is_kept = |&(layer, channel): &(usize, usize)| kept[layer].binary_search(&(channel as u32)).is_ok();
    let (mut tied, mut tied_kept) = (vec![0; kept.len()], vec![0; kept.len()]);
    for equal in order.chunk_by(|a, b| score(a) == score(b)) {
        let stays: Vec<bool> = equal.iter().map(is_kept).collect();
        if stays.contains(&true) && stays.contains(&false) {
            for ((layer, _), stays) in equal.iter().zip(stays) {
                tied[*layer] += 1;
                tied_kept[*layer] += usize::from(stays);
            }
        }
    }
    (tied, tied_kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Arch;

    fn spec(width: usize) -> NetworkSpec {
        NetworkSpec::vgg(Arch::Vgg11, width, 1.0, [1, 16, 16], 10).unwrap()
    }

    fn input<'a>(spec: &'a NetworkSpec, importance: &'a [Vec<f32>], flops_ratio: f64) -> SearchInput<'a> {
        let (tolerance, min_channels, round_to, ties) = (None, 1, 1, Ties::Spread);
        SearchInput { spec, importance, flops_ratio, tolerance, min_channels, round_to, ties }
    }

    #[test]
    fn equal_gates_go_by_the_rule_for_ties() {
        let spec = spec(8);
        let importance: Vec<Vec<f32>> = spec.channels.iter().map(|count| vec![0.5; *count]).collect();
        let found = |ties| threshold_search(&SearchInput { ties, ..input(&spec, &importance, 0.5) }).unwrap();
        let (order, spread) = (found(Ties::Order), found(Ties::Spread));
        let counts = |found: &SearchResult| found.kept.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(order.kept[0], [7], "the first layer loses all that it may");
        assert_eq!(counts(&order)[4..], spec.channels[4..], "the last layers nothing");
        let removed: usize = spec.channels.iter().sum::<usize>() - counts(&spread).iter().sum::<usize>();
        let all: usize = spec.channels.iter().sum();
        for ((kept, filled), channels) in counts(&spread).iter().zip(&spread.filled).zip(&spec.channels) {
            let share = channels * (removed + spread.filled.iter().sum::<usize>());
            let gone = (channels - kept + filled) * all;
            assert!(gone.abs_diff(share) <= all, "{kept} of {channels} are left, {filled} of them filled up");
        }
        for found in [order, spread] {
            assert_eq!((&found.tied, &found.tied_kept), (&spec.channels, &counts(&found)));
            assert_eq!(found.threshold, 0.5);
        }
    }

    #[test]
    fn scores_that_kept_and_removed_channels_share_are_counted_layer_by_layer() {
        let order = [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2), (0, 2)];
        let scores = [vec![0.0, 1.0, 3.0], vec![-0.0, 1.0, 1.0]];
        let found = ties(&scores, &order, &[vec![1, 2], vec![2]]);
        assert_eq!(found, (vec![1, 2], vec![1, 1]));
        assert_eq!(ties(&scores, &order, &[vec![1, 2], vec![1, 2]]), (vec![0, 0], vec![0, 0]));
    }

    #[test]
    fn an_impossible_budget_names_the_reachable_range() {
        let spec = spec(2);
        let importance: Vec<Vec<f32>> = spec.channels.iter().map(|count| vec![0.5; *count]).collect();
        let error = threshold_search(&input(&spec, &importance, 0.0001)).unwrap_err();
        assert!(error.to_string().contains("reachable range is 0."), "{error}");
    }

    #[test]
    fn the_budget_of_a_widened_network_is_counted_against_the_plain_one() {
        let wide = NetworkSpec::vgg(Arch::Vgg11, 4, 1.5, [1, 16, 16], 10).unwrap();
        let importance: Vec<Vec<f32>> =
            wide.channels.iter().map(|count| (0..*count).map(|c| c as f32).collect()).collect();
        let found = threshold_search(&input(&wide, &importance, 0.5)).unwrap();
        assert_eq!(found.macs_plain, spec(4).macs());
        assert!(found.macs_pruned.0 * 2 <= found.macs_plain.0);
    }
}
