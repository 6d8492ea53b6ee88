//! A safetensors writer whose output depends on the content alone.
//!
//! The ordinary writer keeps metadata in a hash map, whose order may differ between runs; here the header is
//! written by hand, with one metadata key and the tensors in the given order. Values are borrowed until the
//! file is written, so that writing a network takes the memory of its file and no more.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Result, Storage, Tensor};

/// The content of a tensor.
pub enum Content<'a> {
    /// Little-endian bytes.
    Bytes(Vec<u8>),
    /// `f32` values.
    Floats(&'a [f32]),
    /// `f32` values that were read from another device.
    Read(Vec<f32>),
    /// Values of a tensor on the CPU.
    Held(Box<dyn Deref<Target = Storage> + 'a>, Range<usize>),
    /// A whole file.
    File(Document<'a>),
}

impl<'a> Content<'a> {
    /// The values of a tensor.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        if tensor.device().is_cpu() && tensor.is_contiguous() {
            let (storage, layout) = tensor.storage_and_layout();
            if matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
                let start = layout.start_offset();
                return Ok(Self::Held(Box::new(storage), start..start + tensor.elem_count()));
            }
        }
        Ok(Self::Read(tensor.flatten_all()?.to_vec1()?))
    }

    fn floats(&self) -> &[f32] {
        match self {
            Self::Floats(values) => values,
            Self::Read(values) => values,
            Self::Held(storage, range) => match &***storage {
                Storage::Cpu(CpuStorage::F32(values)) => &values[range.clone()],
                _ => &[],
            },
            Self::Bytes(_) | Self::File(_) => &[],
        }
    }

    /// Bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(file) => file.size(),
            _ => size_of_val(self.floats()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::File(file) => file.write(out),
            _ => {
                let (start, values) = (out.len(), self.floats());
                out.resize(start + size_of_val(values), 0);
                for (to, value) in out[start..].as_chunks_mut::<4>().0.iter_mut().zip(values) {
                    *to = value.to_le_bytes();
                }
            }
        }
    }
}

/// One tensor to be written.
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Type as safetensors spells it (`F32`, `I64`, `U32`).
    pub dtype: &'static str,
    /// Shape, outermost first.
    pub shape: &'a [usize],
    /// The content.
    pub content: Content<'a>,
}

/// A file that is still to be written.
pub struct Document<'a> {
    header: String,
    contents: Vec<Content<'a>>,
}

impl<'a> Document<'a> {
    /// Of `entries`, with `metadata` (a canonical JSON text) under `key`.
    pub fn new(key: &str, metadata: &str, entries: Vec<Entry<'a>>) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut header = format!("{{\"__metadata__\":{{{}:{}}}", quoted(key), quoted(metadata));
        let mut at = 0;
        for Entry { name, dtype, shape, content } in &entries {
            let end = at + content.size();
            header += &format!(
                ",{}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{at},{end}]}}",
                quoted(name),
            );
            at = end;
        }
        header.push('}');
        while !header.len().is_multiple_of(8) {
            header.push(' ');
        }
        Self { header, contents: entries.into_iter().map(|entry| entry.content).collect() }
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        8 + self.header.len() + self.contents.iter().map(Content::size).sum::<usize>()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.header.len() as u64).to_le_bytes());
        out.extend_from_slice(self.header.as_bytes());
        self.contents.iter().for_each(|content| content.write(out));
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        self.write(&mut out);
        out
    }
}
