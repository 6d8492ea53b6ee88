//! A safetensors writer whose output depends on the content alone.
//!
//! The ordinary writer keeps metadata in a hash map, whose order may differ between runs; here
//! the header is written by hand, with one metadata key and the tensors in the given order.

/// One tensor to be written: name, safetensors type name, shape, little-endian bytes.
pub struct Entry<'a> {
    /// Name of the tensor.
    pub name: &'a str,
    /// Type as safetensors spells it (`F32`, `I64`, `U32`).
    pub dtype: &'static str,
    /// Shape, outermost first.
    pub shape: &'a [usize],
    /// The content, little endian.
    pub bytes: Vec<u8>,
}

/// Writes `entries` with `metadata` (a canonical JSON text) under `key`.
pub fn write(key: &str, metadata: &str, entries: &[Entry<'_>]) -> Vec<u8> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut header = format!("{{\"__metadata__\":{{{}:{}}}", quoted(key), quoted(metadata));
    let mut at = 0;
    for entry in entries {
        let end = at + entry.bytes.len();
        header += &format!(
            ",{}:{{\"dtype\":\"{}\",\"shape\":{:?},\"data_offsets\":[{at},{end}]}}",
            quoted(entry.name),
            entry.dtype,
            entry.shape
        );
        at = end;
    }
    header.push('}');
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut out = Vec::with_capacity(8 + header.len() + at);
    out.extend_from_slice(&(header.len() as u64).to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    for entry in entries {
        out.extend_from_slice(&entry.bytes);
    }
    out
}
