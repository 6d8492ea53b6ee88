//! Artifacts that hold one list for each convolution: the structure in the metadata, one tensor a layer, nothing else.

use safetensors::{Dtype, SafeTensors};

use super::PruneError;
use crate::network::NetworkSpec;
use crate::network::canonical::{Content, Document, Entry};

/// How the lists are stored: under which metadata key, as `features.{i}.<field>`, of which type.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The metadata key of the structure.
    pub key: &'static str,
    /// The last part of every tensor's name.
    pub field: &'static str,
    /// The type as safetensors spells it, and as its reader does. Four bytes a value.
    pub dtype: (&'static str, Dtype),
}

/// The canonical bytes.
pub fn write<T>(
    layout: Layout,
    spec: &NetworkSpec,
    lists: &[Vec<T>],
    bytes: impl Fn(&T) -> [u8; 4],
) -> Result<Vec<u8>, PruneError> {
    let names: Vec<String> =
        spec.layers().iter().map(|layer| format!("features.{}.{}", layer.index, layout.field)).collect();
    let shapes: Vec<[usize; 1]> = lists.iter().map(|list| [list.len()]).collect();
    let entries: Vec<Entry<'_>> = names
        .iter()
        .zip(&shapes)
        .zip(lists)
        .map(|((name, shape), list)| Entry {
            name,
            dtype: layout.dtype.0,
            shape,
            content: Content::Bytes(list.iter().flat_map(&bytes).collect()),
        })
        .collect();
    Ok(Document::new(layout.key, &serde_json::to_string(spec)?, entries).to_bytes())
}

/// Reads what [`write`] wrote: the structure and the lists, of a length that the caller has to check.
pub fn read<T>(
    layout: Layout,
    bytes: &[u8],
    value: impl Fn([u8; 4]) -> T,
) -> Result<(NetworkSpec, Vec<Vec<T>>), PruneError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(layout.key));
    let spec: NetworkSpec = serde_json::from_str(metadata.ok_or(PruneError::NoStructure(layout.key))?)?;
    spec.validate()?;
    let tensors = SafeTensors::deserialize(bytes)?;
    let mut lists = Vec::with_capacity(spec.channels.len());
    for layer in spec.layers() {
        let name = format!("features.{}.{}", layer.index, layout.field);
        let tensor = tensors.tensor(&name)?;
        if tensor.dtype() != layout.dtype.1 {
            return Err(PruneError::Type {
                name,
                expected: layout.dtype.0,
                found: format!("{:?}", tensor.dtype()),
            });
        }
        lists.push(tensor.data().as_chunks::<4>().0.iter().map(|bytes| value(*bytes)).collect());
    }
    Ok((spec, lists))
}
