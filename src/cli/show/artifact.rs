//! A file's structure and tensors, as text.

use std::fmt::Write;

use super::target::File;
use crate::cli::style::{Cell, FAINT, STAGE, columns, paint};
use crate::cli::summary::channels;
use crate::report::format::{bytes, count, number, percent};
use crate::report::{Content, Structure, TensorFigures};

/// A file; its tensors only where they are asked for.
pub fn text(file: &File, tensors: bool) -> String {
    let name = if file.outputs.is_empty() { "file".to_owned() } else { file.outputs.join(" and ") };
    let mut text = format!("\n{}  {}\n", paint(STAGE, name), file.object);
    let row = |key: &str, value: String| vec![Cell::left(key).style(FAINT), Cell::left(value)];
    let mut rows = vec![row("path", file.path.clone()), row("size", bytes(file.artifact.bytes as u64))];
    let mut layers = String::new();
    match &file.artifact.content {
        Content::Network { structure, gated } => {
            let gates = if *gated { ", with channel gates" } else { "" };
            rows.push(row("network", format!("{}{gates}", words(structure))));
            rows.push(row("cost", cost(structure)));
            let plain = &structure.plain_channels;
            layers =
                channels(&structure.channels, (*plain != structure.channels).then_some(plain.as_slice()));
        }
        Content::Channels { full, slim } => {
            rows.push(row("channels", format!("to keep of {}", words(full))));
            rows.push(row("full", cost(full)));
            rows.push(row("slim", format!("{} ({} of the FLOPs)", cost(slim), percent(slim.flops_share()))));
            layers = channels(&slim.channels, Some(&full.channels));
        }
        Content::Tensors { metadata } => {
            rows.push(row("content", "tensors of unknown meaning".to_owned()));
            rows.extend(metadata.iter().map(|(key, value)| row(key, value.clone())));
        }
    }
    text += &columns(&rows);
    if !layers.is_empty() {
        let _ = write!(text, "\n{layers}");
    }
    if tensors {
        let _ = write!(text, "\n{}\n{}", paint(STAGE, "tensors"), table(&file.artifact.tensors));
    }
    text
}

fn words(structure: &Structure) -> String {
    let [channels, height, width] = structure.input;
    format!(
        "{} for images of {channels}x{height}x{width} and {} classes",
        structure.arch.to_uppercase(),
        structure.classes
    )
}

fn cost(structure: &Structure) -> String {
    format!("{} FLOPs, {} parameters", count(structure.macs), count(structure.parameters))
}

fn table(tensors: &[TensorFigures]) -> String {
    let right = |text: String| Cell::right(text);
    let heads = ["min", "mean", "max", "zeros"].map(|head| Cell::right(head).style(FAINT));
    let mut rows = vec![["name", "type", "shape"].map(|head| Cell::left(head).style(FAINT)).to_vec()];
    rows[0].extend(heads);
    for tensor in tensors {
        let shape: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
        let shape = if shape.is_empty() { "scalar".to_owned() } else { shape.join("x") };
        let mut row = vec![Cell::left(&tensor.name), Cell::left(&tensor.dtype), Cell::left(shape)];
        if let Some(values) = &tensor.values {
            row.extend([values.min, values.mean, values.max].map(|value| right(number(value))));
            row.push(right(percent(values.zeros)));
            if values.not_finite > 0 {
                row.push(Cell::left(format!("{} not finite", values.not_finite)));
            }
        }
        rows.push(row);
    }
    columns(&rows)
}
