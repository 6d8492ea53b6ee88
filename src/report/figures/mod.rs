//! The data of every figure, computed from a graph and its records; each can be written as CSV. How they are drawn is
//! the business of [`crate::draw`].
//!
//! Figures go by what records hold, not by the kinds of stages, so that a new kind needs nothing here: a record with
//! `networks` was an evaluation, one with `history` a training, one with `channels_full` a search.

mod channels;
mod confusion;
mod curves;
mod gates;
pub mod label;
mod methods;
mod pareto;
mod similarity;
mod stages;
mod time;

pub use channels::{Channels, Structure};
pub use confusion::{Confusion, Matrix};
pub use curves::{Curve, Curves, EpochMeans};
pub use gates::{Gates, Histogram, Threshold};
pub use methods::{Method, Methods, Order, Role};
pub use pareto::{Pareto, ParetoPoint};
pub use similarity::{Compared, Correlations, Similarity, correlation};
pub use stages::{Stage, StageGraph};
pub use time::{StageTime, Time, Took};

use serde_json::Value;

use crate::plan::{Edge, Graph, NodeId, Plan};
use crate::store::{Record, Store};
use label::Label;

/// What figures are made from: the work, how it stands, and where results are.
#[derive(Debug, Clone, Copy)]
pub struct Study<'a> {
    /// All work of all points.
    pub graph: &'a Graph,
    /// What of it is in the cache.
    pub plan: &'a Plan,
    /// The cache.
    pub store: &'a Store,
}

/// Why there is no figure, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Absent(String);

impl Absent {
    /// Because of this.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// A figure that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FigureId {
    /// Accuracy against FLOPs.
    Pareto,
    /// Channels kept per layer.
    Channels,
    /// Histograms of gates and other scores.
    Gates,
    /// Loss and accuracy by epoch.
    Curves,
    /// Correlation of structures.
    Similarity,
    /// Confusion matrices.
    Confusion,
    /// The graph of stages.
    Graph,
    /// Time per stage.
    Time,
}

impl FigureId {
    /// All of them, in the order of the page.
    pub const ALL: [Self; 8] = [
        Self::Pareto,
        Self::Channels,
        Self::Similarity,
        Self::Gates,
        Self::Curves,
        Self::Confusion,
        Self::Graph,
        Self::Time,
    ];

    /// The name in options and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pareto => "pareto",
            Self::Channels => "channels",
            Self::Gates => "gates",
            Self::Curves => "curves",
            Self::Similarity => "similarity",
            Self::Confusion => "confusion",
            Self::Graph => "graph",
            Self::Time => "time",
        }
    }

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Pareto => "Accuracy against FLOPs",
            Self::Channels => "Channels kept per layer",
            Self::Gates => "Gates and other scores",
            Self::Curves => "Training curves",
            Self::Similarity => "Similarity of the structures",
            Self::Confusion => "Confusion of classes",
            Self::Graph => "Stages",
            Self::Time => "Time per stage",
        }
    }
}

impl std::str::FromStr for FigureId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|figure| figure.name() == text);
        known.ok_or_else(|| format!("the figures are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The data of a figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Accuracy against FLOPs.
    Pareto(Pareto),
    /// Channels kept per layer.
    Channels(Channels),
    /// Histograms of gates and other scores.
    Gates(Gates),
    /// Loss and accuracy by epoch.
    Curves(Curves),
    /// Correlation of structures.
    Similarity(Similarity),
    /// Confusion matrices.
    Confusion(Confusion),
    /// The graph of stages.
    Graph(StageGraph),
    /// Time per stage.
    Time(Time),
}

impl Content {
    /// The data of `figure`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn of(figure: FigureId, study: &Study<'_>) -> Result<Self, Absent> {
        Ok(match figure {
            FigureId::Pareto => Self::Pareto(Pareto::of(study)?),
            FigureId::Channels => Self::Channels(Channels::of(study)?),
            FigureId::Gates => Self::Gates(Gates::of(study)?),
            FigureId::Curves => Self::Curves(Curves::of(study)?),
            FigureId::Similarity => Self::Similarity(Similarity::of(study)?),
            FigureId::Confusion => Self::Confusion(Confusion::of(study)?),
            FigureId::Graph => Self::Graph(StageGraph::of(study.graph, study.plan)),
            FigureId::Time => Self::Time(Time::of(study)?),
        })
    }

    /// How it is read, in a sentence or two.
    pub fn caption(&self) -> &'static str {
        match self {
            Self::Pareto(_) => {
                "Test accuracy of each method against its multiply-accumulates (FLOPs), as a share of the unpruned \
                 network's. Marks are means over seeds; small marks are single seeds. Where all pruned networks have one \
                 budget, each method has a row. Marks that would cover each other are moved sideways by a few pixels."
            }
            Self::Channels(_) => {
                "The share of each convolution's channels that a search kept, in percent. Rows are sorted by method, \
                 budget and seed."
            }
            Self::Gates(_) => {
                "The scores of all channels of all layers, and the thresholds of the searches: a channel with a score \
                 left of the line was removed, except the last channels of a layer and those that filled the budget up."
            }
            Self::Curves(_) => {
                "Means over seeds by epoch. A band is one sample standard deviation to both sides."
            }
            Self::Similarity(_) => {
                "Pearson's correlation of the shares of channels kept per layer, between the structures of one budget: 1 \
                 where two searches spread the budget over the layers alike. A dash stands where a structure keeps the \
                 same share of every layer, which leaves nothing to correlate."
            }
            Self::Confusion(_) => {
                "Test images by true class (row) and predicted class (column), summed over seeds. Colours are shares of \
                 the row; numbers are images."
            }
            Self::Graph(_) => "The stages, the inputs of each, and which results are in the cache.",
            Self::Time(_) => {
                "Wall time of all work of a stage, over all points and seeds; shared work counts once."
            }
        }
    }

    /// As CSV with a head, for whoever draws it anew.
    pub fn csv(&self) -> String {
        match self {
            Self::Pareto(found) => found.csv(),
            Self::Channels(found) => found.csv(),
            Self::Gates(found) => found.csv(),
            Self::Curves(found) => found.csv(),
            Self::Similarity(found) => found.csv(),
            Self::Confusion(found) => found.csv(),
            Self::Graph(found) => found.csv(),
            Self::Time(found) => found.csv(),
        }
    }
}

/// A network that was evaluated.
struct Evaluated<'a> {
    trained_by: &'a str,
    label: Label,
    classes: Option<&'static [&'static str]>,
    metrics: &'a Value,
}

/// A search that cut a network to its budget.
struct Searched<'a> {
    id: NodeId,
    name: &'a str,
    label: Label,
    metrics: &'a Value,
    from: Option<&'a Edge>,
}

impl<'a> Study<'a> {
    /// The record of a node, if its result is in the cache.
    pub fn record(&self, id: NodeId) -> Option<&'a Record> {
        self.plan.entry(id).record()
    }

    /// All records, in the order of the graph.
    fn records(&self) -> impl Iterator<Item = (NodeId, &'a Record)> + use<'a> {
        let Self { graph, plan, .. } = *self;
        graph.iter().filter_map(move |(id, _)| Some((id, plan.entry(id).record()?)))
    }

    /// One network of every input of every evaluation: the best by validation where there are several.
    fn evaluated(&self) -> impl Iterator<Item = Evaluated<'a>> + use<'a> {
        let graph = self.graph;
        let networks = move |(id, record): (NodeId, &'a Record)| {
            let classes = graph.data[graph.node(id).data].class_names();
            graph.node(id).inputs.iter().filter_map(move |edge| {
                let best = edge.outputs.iter().find(|output| *output == "best");
                let output = best.or(edge.outputs.first())?;
                let metrics = record.metrics["networks"].get(output.as_str())?;
                let trained_by = trainer(graph, id, edge.from);
                Some(Evaluated { trained_by, label: graph.common_label(id), classes, metrics })
            })
        };
        self.records().flat_map(networks)
    }

    fn searched(&self) -> impl Iterator<Item = Searched<'a>> + use<'a> {
        let graph = self.graph;
        self.records().filter(|(_, record)| record.metrics["channels_full"].is_array()).map(
            move |(id, record)| {
                let node = graph.node(id);
                let from = node.inputs.iter().find(|edge| matches!(edge.role.as_str(), "scores" | "network"));
                Searched {
                    id,
                    name: &node.name,
                    label: graph.common_label(id),
                    metrics: &record.metrics,
                    from,
                }
            },
        )
    }
}

/// What the stage whose network an evaluation takes is called at the evaluation's first point. The same work
/// may have another name at other points.
fn trainer(graph: &Graph, evaluation: NodeId, from: NodeId) -> &str {
    let usage = graph.node(evaluation).uses.first();
    let stages = usage.map_or(&[][..], |usage| &graph.points[usage.point].stages);
    stages.iter().find(|(_, id)| *id == from).map_or(&graph.node(from).name, |(name, _)| name)
}

/// A table as CSV.
fn sheet<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_record(head);
    for row in rows {
        let _ = writer.write_record(&row);
    }
    writer.into_inner().map_or(String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The whole numbers of a JSON array.
fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().map(|items| items.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
}
