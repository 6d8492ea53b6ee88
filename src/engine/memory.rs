//! The memory that stages which run side by side may take together.

use std::path::{Path, PathBuf};

use crate::data::DataParams;
use crate::network::NetworkSpec;
use crate::plan::{Graph, Node, NodeId};
use crate::store::Record;

/// The program itself, its threads' stacks and what its allocator holds back.
pub const PROGRAM: u64 = 16 << 20;

/// What all stages of a run share: the program, and each data set that one of them reads.
pub fn shared(graph: &Graph) -> u64 {
    let read = |index: &usize| {
        let reads = |node: &Node| node.stage.stage.data_use().reads().is_some();
        graph.nodes.iter().any(|node| node.data == *index && reads(node))
    };
    let sets = (0..graph.data.len()).filter(read).map(|index| graph.data[index].bytes());
    PROGRAM + sets.sum::<u64>()
}

/// What a stage takes at its peak beside what is shared, as far as that can be told from shapes. `records` are the results that
/// are there: the structure of a pruned network is known from its record, before that it may be as large as the whole.
pub fn needed(graph: &Graph, id: NodeId, records: &dyn Fn(NodeId) -> Option<Record>) -> u64 {
    let node = graph.node(id);
    let network = match &node.structure {
        Some(own) if node.inputs.is_empty() => Some(own.clone()),
        _ => node.inputs.iter().filter_map(|edge| network(graph, edge.from, records)).max_by_key(size),
    };
    let data: &DataParams = &graph.data[node.data];
    network.map_or(0, |network| node.stage.stage.memory(&network, data))
}

fn size(network: &NetworkSpec) -> u64 {
    network.parameters()
}

/// The network that a node gives or passes on.
fn network(graph: &Graph, id: NodeId, records: &dyn Fn(NodeId) -> Option<Record>) -> Option<NetworkSpec> {
    let node = graph.node(id);
    if let Some(known) = &node.structure {
        return Some(known.clone());
    }
    let above = node.inputs.iter().filter_map(|edge| network(graph, edge.from, records)).max_by_key(size)?;
    let found =
        records(id).and_then(|record| serde_json::from_value(record.metrics["channels"].clone()).ok());
    let slim = found.and_then(|channels: Vec<usize>| above.with_channels(channels).ok());
    Some(slim.unwrap_or(above))
}

/// The memory that this process may take: what the machine has available, or the limit of one of its control groups (a container, a
/// Slurm job) where that is less. `None` where the system does not say.
pub fn available() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    // "max" stands for no limit; version 1 writes a number beyond any memory.
    let limits = limits.filter_map(|text| text.trim().parse::<u64>().ok());
    machine.into_iter().chain(limits).min()
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// The files that hold the limits of a process's control groups and of those above them.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            all if all.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own = Path::new(path.trim_start_matches('/'));
        files.extend(own.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_a_group_and_of_those_above_it_are_looked_at() {
        let files = limit_files("0::/system.slice/job_7\n");
        let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        let root = "/sys/fs/cgroup";
        assert_eq!(
            names,
            [
                format!("{root}/system.slice/job_7/memory.max"),
                format!("{root}/system.slice/memory.max"),
                format!("{root}/memory.max")
            ]
        );
        let old = limit_files("5:cpu,cpuacct:/a\n4:memory:/slurm\n");
        assert_eq!(old[0], Path::new("/sys/fs/cgroup/memory/slurm/memory.limit_in_bytes"));
        assert_eq!(old.len(), 2);
        assert_eq!(limit_files("nonsense"), Vec::<PathBuf>::new());
        assert_eq!(meminfo("MemTotal: 8 kB\nMemAvailable:    3 kB\n"), Some(3072));
    }
}
