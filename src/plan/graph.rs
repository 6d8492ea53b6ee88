//! The points of a pipeline merged into one graph of work.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::PlanError;
use super::identity::DataIdentities;
use crate::data::DataParams;
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};
use crate::network::NetworkSpec;
use crate::pipeline::{Pipeline, Point, StageDecl};
use crate::stages::{self, Configured, DataUse, Randomness};

/// The place of a node in [`Graph::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// An input: which outputs of which node fill a role.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The role of the taking stage.
    pub role: String,
    /// The giving node.
    pub from: NodeId,
    /// The outputs taken, in order.
    pub outputs: Vec<String>,
}

/// A stage of a point that a node stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Index in [`Graph::points`].
    pub point: usize,
    /// The stage's name there.
    pub stage: String,
}

/// A piece of work: one stage, or several equal ones of several points.
#[derive(Debug)]
pub struct Node {
    /// What it is, by its parameters and those of all above it. Known without running anything.
    pub definition: Fingerprint,
    /// The name of the first stage that it stands for.
    pub name: String,
    /// The stage with its parameters.
    pub stage: Arc<Configured>,
    /// Its inputs.
    pub inputs: Vec<Edge>,
    /// Its seed, if it draws random numbers.
    pub seed: Option<u64>,
    /// Index in [`Graph::data`].
    pub data: usize,
    /// The structure of the network that it gives, where that is known without running anything.
    pub structure: Option<NetworkSpec>,
    /// The stages it stands for.
    pub uses: Vec<Use>,
    /// The longest that it may run, if the file says so: the longest of those of its stages.
    pub timeout: Option<Duration>,
}

/// One point of a sweep: its label, and the node of every stage in order.
#[derive(Debug)]
pub struct PointNodes {
    /// The swept parameters and their values here; empty without a sweep.
    pub label: Vec<(String, String)>,
    /// Stage names and their nodes, in the order of the pipeline.
    pub stages: Vec<(String, NodeId)>,
}

impl PointNodes {
    /// The label as one word: `seed=1 threshold-search.flops_ratio=0.3`, empty without a sweep. It is the same in
    /// whatever order the file has its axes.
    pub fn name(&self) -> String {
        name(&self.label)
    }

    /// The node of a stage.
    pub fn node(&self, stage: &str) -> Option<NodeId> {
        self.stages.iter().find(|(name, _)| name == stage).map(|(_, node)| *node)
    }
}

fn name(label: &[(String, String)]) -> String {
    let mut parts: Vec<String> = label.iter().map(|(key, value)| format!("{key}={value}")).collect();
    parts.sort();
    parts.join(" ")
}

/// All work of all points, each piece once, inputs before what takes them.
#[derive(Debug, Default)]
pub struct Graph {
    /// The work.
    pub nodes: Vec<Node>,
    /// The points.
    pub points: Vec<PointNodes>,
    /// The data sets, each once.
    pub data: Vec<DataParams>,
}

impl Graph {
    /// Merges points into a graph. Stages that read images are merged where `identities` knows the content of
    /// both their data sets to be the same, in whatever folders; where files are missing, those of different
    /// folders stay apart.
    ///
    /// # Errors
    /// Parameters that contradict each other, shown at their place in the file.
    pub fn new(points: &[Point], identities: &mut DataIdentities) -> Result<Self, PlanError> {
        let mut builder = Builder {
            graph: Self::default(),
            known: HashMap::new(),
            data: HashMap::new(),
            parsed: HashMap::new(),
            images: HashMap::new(),
            identities,
        };
        for point in points {
            builder.add(point)?;
        }
        Ok(builder.graph)
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// All nodes with their ids, inputs first.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeId(index), node))
    }

    /// The swept keys, each once.
    pub fn axes(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for (key, _) in self.points.iter().flat_map(|point| &point.label) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// What the labels of all points of a node have in common: `seed=1` for a gate-training that the points of this
    /// seed share. Empty where every point shares it, and where there is one point only.
    pub fn common_label(&self, id: NodeId) -> Vec<(String, String)> {
        if self.points.len() == 1 {
            return Vec::new();
        }
        let mut labels = self.node(id).uses.iter().map(|usage| &self.points[usage.point].label);
        let mut common = labels.next().cloned().unwrap_or_default();
        for label in labels {
            if common.is_empty() {
                break;
            }
            common.retain(|term| label.contains(term));
        }
        common
    }

    /// [`Self::common_label`] in one word.
    pub fn common(&self, id: NodeId) -> String {
        name(&self.common_label(id))
    }

    /// The number of stages over all points, shared ones counted every time.
    pub fn stage_uses(&self) -> usize {
        self.points.iter().map(|point| point.stages.len()).sum()
    }
}

struct Builder<'a> {
    graph: Graph,
    known: HashMap<Fingerprint, NodeId>,
    data: HashMap<String, usize>,
    /// Parsed stages by kind and written parameters: the points of a sweep repeat most of them.
    parsed: HashMap<(String, String), Arc<Configured>>,
    /// The images that a stage with this use of a data set reads.
    images: HashMap<(usize, DataUse), ImagesRead>,
    identities: &'a mut DataIdentities,
}

/// Which images are read.
#[derive(Clone)]
enum ImagesRead {
    /// None, or only their shape.
    None,
    /// Those with this identity.
    Known(Fingerprint),
    /// Whatever lies in this folder, whose files are missing or improper.
    Unknown(PathBuf),
}

impl Builder<'_> {
    fn add(&mut self, point: &Point) -> Result<(), PlanError> {
        let pipeline = &point.pipeline;
        let data = self.data(pipeline)?;
        let index = self.graph.points.len();
        let mut nodes = PointNodes { label: point.label.clone(), stages: Vec::new() };
        for declared in &pipeline.stages {
            let node = self.stage(pipeline, declared, data, index, &nodes)?;
            nodes.stages.push((declared.name.clone(), node));
        }
        self.graph.points.push(nodes);
        Ok(())
    }

    fn data(&mut self, pipeline: &Pipeline) -> Result<usize, PlanError> {
        let written = serde_json::Value::Object(pipeline.data.clone());
        let text = written.to_string();
        if let Some(&index) = self.data.get(&text) {
            return Ok(index);
        }
        let params: DataParams = serde_json::from_value(written)
            .map_err(|error| pipeline.error_at("data", "", error.to_string(), "see `runner schema`"))?;
        params
            .check()
            .map_err(|error| pipeline.error_at("data", &error.key, error.message.clone(), &error.help))?;
        let index = self.graph.data.len();
        self.graph.data.push(params);
        self.data.insert(text, index);
        Ok(index)
    }

    fn parse(&mut self, pipeline: &Pipeline, declared: &StageDecl) -> Result<Arc<Configured>, PlanError> {
        let written = serde_json::Value::Object(declared.parameters.clone()).to_string();
        let key = (declared.kind.clone(), written);
        if let Some(stage) = self.parsed.get(&key) {
            return Ok(stage.clone());
        }
        let Some(kind) = stages::kind(&declared.kind) else {
            let message = format!("no stage kind is called `{}`", declared.kind);
            return Err(pipeline.error_at(&declared.name, "kind", message, "see `runner schema`").into());
        };
        let stage = Arc::new((kind.parse)(declared.parameters.clone()).map_err(|error| {
            pipeline.error_at(&declared.name, &error.key, error.message.clone(), &error.help)
        })?);
        self.parsed.insert(key, stage.clone());
        Ok(stage)
    }

    fn stage(
        &mut self,
        pipeline: &Pipeline,
        declared: &StageDecl,
        data: usize,
        point: usize,
        above: &PointNodes,
    ) -> Result<NodeId, PlanError> {
        let stage = self.parse(pipeline, declared)?;
        stage.stage.check_inputs(&|role| declared.inputs.contains_key(role)).map_err(|error| {
            pipeline.error_at(&declared.name, &error.key, error.message.clone(), &error.help)
        })?;
        let mut inputs = Vec::new();
        for (role, reference) in &declared.inputs {
            // The pipeline room gives stages in topological order, so the input is there.
            let Some(from) = above.node(&reference.stage) else { continue };
            if stage.stage.uses_input(role) {
                inputs.push(Edge { role: role.clone(), from, outputs: reference.outputs.clone() });
            }
        }
        let structure = |role: &str| {
            let giver = declared.inputs.get(role).and_then(|reference| above.node(&reference.stage))?;
            self.graph.node(giver).structure.clone()
        };
        let structure = stage.stage.structure(&structure, &self.graph.data[data]).map_err(|error| {
            pipeline.error_at(&declared.name, &error.key, error.message.clone(), &error.help)
        })?;
        let seed = match stage.stage.randomness() {
            Randomness::None => None,
            Randomness::Pipeline => Some(pipeline.seed),
            Randomness::Own(seed) => Some(seed),
        };
        let definition = self.definition(&stage, &inputs, seed, data);
        let usage = Use { point, stage: declared.name.clone() };
        if let Some(&known) = self.known.get(&definition) {
            let node = &mut self.graph.nodes[known.0];
            node.uses.push(usage);
            // Without a timeout it may run for ever.
            node.timeout = node.timeout.zip(declared.timeout).map(|(a, b)| a.max(b));
            return Ok(known);
        }
        let id = NodeId(self.graph.nodes.len());
        let name = declared.name.clone();
        let (uses, timeout) = (vec![usage], declared.timeout);
        self.graph.nodes.push(Node { definition, name, stage, inputs, seed, data, structure, uses, timeout });
        self.known.insert(definition, id);
        Ok(id)
    }

    fn images(&mut self, data: usize, data_use: DataUse) -> ImagesRead {
        if data_use.reads().is_none() {
            return ImagesRead::None;
        }
        let (graph, identities) = (&self.graph, &mut *self.identities);
        let look = || {
            let params = &graph.data[data];
            match identities.of(params, data_use) {
                Ok(Some(identity)) => ImagesRead::Known(identity),
                Ok(None) => ImagesRead::None,
                // Whoever needs the images says what is wrong with them.
                Err(_) => {
                    let folder = params.folder();
                    ImagesRead::Unknown(std::path::absolute(&folder).unwrap_or(folder))
                }
            }
        };
        self.images.entry((data, data_use)).or_insert_with(look).clone()
    }

    fn definition(
        &mut self,
        stage: &Configured,
        inputs: &[Edge],
        seed: Option<u64>,
        data: usize,
    ) -> Fingerprint {
        let mut encoder = Encoder::new("definition");
        stage.hash.content_hash(&mut encoder);
        seed.content_hash(&mut encoder);
        let data_use = stage.stage.data_use();
        match self.images(data, data_use) {
            ImagesRead::None => {}
            ImagesRead::Known(identity) => identity.content_hash(&mut encoder),
            ImagesRead::Unknown(folder) => folder.to_string_lossy().as_ref().content_hash(&mut encoder),
        }
        let params = &self.graph.data[data];
        match data_use {
            DataUse::None => {}
            DataUse::Shape => super::identity::shape(params).content_hash(&mut encoder),
            DataUse::Train | DataUse::Test => params.content_hash(&mut encoder),
            DataUse::TrainWhole => super::identity::without_split(params).content_hash(&mut encoder),
        }
        encoder.sequence(inputs.len());
        for edge in inputs {
            edge.role.content_hash(&mut encoder);
            self.graph.nodes[edge.from.0].definition.content_hash(&mut encoder);
            edge.outputs.content_hash(&mut encoder);
        }
        encoder.finish()
    }
}
