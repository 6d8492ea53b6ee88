//! The threshold search: one global threshold over all gates, to a budget of FLOPs.
//!
//! Channels are ordered by importance, ties by (layer, channel), and removed in that order. FLOPs fall
//! monotonically on the way, so bisection finds the largest network that fits; exactly that network is
//! returned, with its own figures.

use miette::Diagnostic;

use crate::network::{Macs, NetworkSpec, SpecError};

/// What is searched, and under which rules.
#[derive(Debug, Clone, Copy)]
pub struct SearchInput<'a> {
    /// The network that is pruned; its plain form is what the budget is a share of.
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
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResult {
    /// Kept channels of each layer, ascending.
    pub kept: Vec<Vec<u32>>,
    /// Importance of the last removed channel: what lies above it is kept. 0 if nothing is removed.
    pub threshold: f64,
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

/// Why nothing was found.
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
        "the largest network that fits keeps {achieved:.4} of the FLOPs, further below {wanted:.4} than the tolerance {tolerance}"
    )]
    #[diagnostic(help("raise `tolerance`, or leave it out to take any network that fits"))]
    Tolerance {
        /// The wanted ratio.
        wanted: f64,
        /// The achieved ratio.
        achieved: f64,
        /// The tolerance.
        tolerance: f64,
    },
    /// Gates that are no numbers.
    #[error("channel {channel} of convolution {layer} has the gate {value}, which is no finite number")]
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
    /// A network that cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Searches the largest network that fits the budget.
///
/// # Errors
/// A budget that cannot be met; the message names the reachable range.
pub fn threshold_search(input: &SearchInput<'_>) -> Result<SearchResult, SearchError> {
    let order = ordered(input)?;
    let plain = input.spec.plain().macs();
    let budget = plain.share(input.flops_ratio).0;
    let macs_after = |removed: usize| -> Result<u64, SearchError> {
        Ok(slim_spec(input.spec, &kept_after(input, &order, removed))?.macs().0)
    };
    let ratio = |macs: u64| macs as f64 / plain.0 as f64;
    let smallest = macs_after(order.len())?;
    if smallest > budget {
        return Err(SearchError::Unreachable {
            wanted: input.flops_ratio,
            min_channels: kept_at_least(usize::MAX, input.min_channels, input.round_to),
            lowest: ratio(smallest),
            highest: ratio(macs_after(0)?),
        });
    }
    // The fewest removals that fit lie in low..=high, and `high` fits.
    let (mut low, mut high) = (0, order.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if macs_after(middle)? <= budget {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let kept = kept_after(input, &order, high);
    let slim = slim_spec(input.spec, &kept)?;
    let achieved_ratio = ratio(slim.macs().0);
    if let Some(tolerance) = input.tolerance {
        if slim.macs() < plain.share((input.flops_ratio - tolerance).max(0.0)) {
            return Err(SearchError::Tolerance {
                wanted: input.flops_ratio,
                achieved: achieved_ratio,
                tolerance,
            });
        }
    }
    let threshold = high.checked_sub(1).map_or(0.0, |last| {
        let (layer, channel) = order[last];
        f64::from(input.importance[layer][channel])
    });
    Ok(SearchResult {
        threshold,
        macs_full: input.spec.macs(),
        macs_plain: plain,
        macs_pruned: slim.macs(),
        params_full: input.spec.parameters(),
        params_pruned: slim.parameters(),
        achieved_ratio,
        kept,
    })
}

/// The share of the plain network's FLOPs that the smallest and the largest network have which the search may find in
/// `spec`. Known from the structure alone.
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

/// Of `all` channels of a layer, how many stay where `wanted` are wanted: a multiple of `round_to`, or all.
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

/// All channels in the order in which they are removed.
fn ordered(input: &SearchInput<'_>) -> Result<Vec<(usize, usize)>, SearchError> {
    let mut order = Vec::new();
    for (layer, channels) in input.spec.channels.iter().enumerate() {
        let gates = input.importance.get(layer).map_or(&[][..], Vec::as_slice);
        if gates.len() != *channels {
            return Err(SearchError::Mismatch { layer, channels: *channels, gates: gates.len() });
        }
        if let Some(channel) = gates.iter().position(|gate| !gate.is_finite()) {
            return Err(SearchError::NotFinite { layer, channel, value: gates[channel] });
        }
        order.extend((0..*channels).map(|channel| (layer, channel)));
    }
    order.sort_by(|&(layer, channel), &(other, second)| {
        input.importance[layer][channel]
            .total_cmp(&input.importance[other][second])
            .then((layer, channel).cmp(&(other, second)))
    });
    Ok(order)
}

/// The channels of each layer that are left after the first `removed` removals, under the layer rules.
fn kept_after(input: &SearchInput<'_>, order: &[(usize, usize)], removed: usize) -> Vec<Vec<u32>> {
    let mut gone = vec![0usize; input.spec.channels.len()];
    for (layer, _) in &order[..removed] {
        gone[*layer] += 1;
    }
    // The last channels in the order are the most important ones of their layer.
    let mut by_layer = vec![Vec::new(); input.spec.channels.len()];
    for (layer, channel) in order {
        by_layer[*layer].push(*channel as u32);
    }
    let keep = |layer: usize, channels: usize| {
        kept_at_least(channels, (channels - gone[layer]).max(input.min_channels), input.round_to)
    };
    input
        .spec
        .channels
        .iter()
        .enumerate()
        .map(|(layer, channels)| {
            let mut kept = by_layer[layer][channels - keep(layer, *channels)..].to_vec();
            kept.sort_unstable();
            kept
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::Arch;

    fn spec(width: usize) -> NetworkSpec {
        NetworkSpec::vgg(Arch::Vgg11, width, 1.0, [1, 16, 16], 10).unwrap()
    }

    fn input<'a>(spec: &'a NetworkSpec, importance: &'a [Vec<f32>], flops_ratio: f64) -> SearchInput<'a> {
        SearchInput { spec, importance, flops_ratio, tolerance: None, min_channels: 1, round_to: 1 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn bisection_finds_what_trying_every_threshold_finds(
            values in prop::collection::vec(0u8..20, 4 * (1 + 2 + 4 + 4 + 8 * 4)),
            ratio in 0.05f64..1.0,
            round_to in 1usize..4,
        ) {
            let spec = spec(4);
            let mut values = values.into_iter().map(|value| f32::from(value) / 20.0);
            let importance: Vec<Vec<f32>> =
                spec.channels.iter().map(|count| values.by_ref().take(*count).collect()).collect();
            let search = SearchInput { round_to, ..input(&spec, &importance, ratio) };
            let order = ordered(&search).unwrap();
            let budget = ratio * spec.macs().0 as f64;
            let best = (0..=order.len())
                .map(|removed| slim_spec(&spec, &kept_after(&search, &order, removed)).unwrap().macs())
                .find(|macs| macs.0 as f64 <= budget);
            match (threshold_search(&search), best) {
                (Ok(found), Some(best)) => prop_assert_eq!(found.macs_pruned, best),
                (Err(SearchError::Unreachable { .. }), None) => {}
                (found, best) => prop_assert!(false, "{found:?} against {best:?}"),
            }
        }
    }

    #[test]
    fn equal_gates_are_removed_in_order_of_layer_and_channel() {
        let spec = spec(2);
        let importance: Vec<Vec<f32>> = spec.channels.iter().map(|count| vec![0.5; *count]).collect();
        let found = threshold_search(&input(&spec, &importance, 0.99)).unwrap();
        assert_eq!(found.kept[0], [1], "the first channel of the first layer goes first");
        assert!(found.kept[1..].iter().zip(&spec.channels[1..]).all(|(kept, all)| kept.len() == *all));
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
