//! Two results side by side: parameters, structure, metrics, tensors, and where each came from.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::safetensors::Load;
use candle_core::{DType, Device};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::Serialize;
use serde_json::Value;

use super::artifact::{Content, Structure};
use crate::plan::flat;
use crate::store::Record;

/// Something that the two sides have otherwise; `None` where one of them does not have it at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What: a parameter, a fact of the provenance.
    pub key: String,
    /// The first side's.
    pub a: Option<String>,
    /// The second side's.
    pub b: Option<String>,
}

/// A figure of both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Which.
    pub key: String,
    /// The first side's.
    pub a: Option<f64>,
    /// The second side's.
    pub b: Option<f64>,
    /// The second less the first.
    pub difference: Option<f64>,
}

/// A tensor of both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorPair {
    /// Its name.
    pub name: String,
    /// Type and shape at the first side.
    pub a: Option<String>,
    /// The same at the second.
    pub b: Option<String>,
    /// Whether the bytes are the same.
    pub same: bool,
    /// The largest difference of two values, where both have one shape; `None` also where it is no number.
    pub max_difference: Option<f64>,
}

/// The differences of two maps of words.
pub fn changes(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<Change> {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let change = |key: &String| Change { key: key.clone(), a: a.get(key).cloned(), b: b.get(key).cloned() };
    keys.into_iter().map(change).filter(|change| change.a != change.b).collect()
}

/// The parameters of a record, with its kind, version and seed.
pub fn parameters(record: &Record) -> BTreeMap<String, String> {
    let mut words = flat(&record.provenance.parameters);
    words.insert("kind".to_owned(), record.kind.clone());
    words.insert("version of the kind".to_owned(), record.version.to_string());
    words.extend(record.provenance.seed.map(|seed| ("seed".to_owned(), seed.to_string())));
    words
}

/// Where a record came from: what may matter when two results are not the same.
pub fn origin(record: &Record) -> BTreeMap<String, String> {
    let made = &record.provenance;
    let mut words = BTreeMap::from([
        ("runner".to_owned(), made.runner_version.clone()),
        ("machine".to_owned(), made.host.clone()),
        ("device".to_owned(), made.device.clone()),
        ("threads".to_owned(), made.threads.to_string()),
        ("pipeline".to_owned(), made.pipeline.clone()),
        ("stage".to_owned(), made.stage.clone()),
    ]);
    words.extend(made.runner_commit.clone().map(|commit| ("commit".to_owned(), commit)));
    words.extend(made.instruction_set.clone().map(|name| ("instruction set".to_owned(), name)));
    words.extend(made.data.clone().map(|data| ("images".to_owned(), data)));
    words.extend(made.inputs.iter().map(|(role, object)| (format!("input {role}"), object.to_string())));
    words
}

/// What of a measured time is no figure to compare: its quartiles, the number of passes, the machine.
const OF_TIMES: [&str; 4] = ["low_ms", "high_ms", "passes", "machine"];

/// The numbers of a record's metrics, with dots between nested keys. Lists are left out.
pub fn metrics(metrics: &Value) -> BTreeMap<String, f64> {
    fn walk(prefix: &str, value: &Value, into: &mut BTreeMap<String, f64>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table.iter().filter(|(key, _)| !OF_TIMES.contains(&key.as_str())) {
                    let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&key, value, into);
                }
            }
            other => into.extend(other.as_f64().map(|figure| (prefix.to_owned(), figure))),
        }
    }
    let mut found = BTreeMap::new();
    walk("", metrics, &mut found);
    found
}

/// Figures side by side, those that either side has.
pub fn figures(a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>) -> Vec<Figures> {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let pair = |key: &String| {
        let (a, b) = (a.get(key).copied(), b.get(key).copied());
        Figures { key: key.clone(), a, b, difference: a.zip(b).map(|(a, b)| b - a) }
    };
    keys.into_iter().map(pair).collect()
}

/// The structure that a file describes: of the channels that are to be kept, that of the slim network.
pub fn structure(content: &Content) -> Option<&Structure> {
    match content {
        Content::Network { structure, .. } => Some(structure),
        Content::Channels { slim, .. } => Some(slim),
        Content::Tensors { .. } => None,
    }
}

/// The tensors of two files by name, in the order of the names.
///
/// # Errors
/// Bytes that are no safetensors file.
pub fn tensors(a: &[u8], b: &[u8]) -> Result<Vec<TensorPair>, safetensors::SafeTensorError> {
    let (a, b) = (SafeTensors::deserialize(a)?, SafeTensors::deserialize(b)?);
    let names: BTreeSet<&str> = a.names().into_iter().chain(b.names()).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| super::artifact::natural(name));
    Ok(names.into_iter().map(|name| pair(name, a.tensor(name).ok(), b.tensor(name).ok())).collect())
}

fn pair(name: &str, a: Option<TensorView<'_>>, b: Option<TensorView<'_>>) -> TensorPair {
    let word = |view: &TensorView<'_>| {
        let shape: Vec<String> = view.shape().iter().map(ToString::to_string).collect();
        format!("{} {}", view.dtype(), if shape.is_empty() { "scalar".to_owned() } else { shape.join("x") })
    };
    let (same, max_difference) = match (&a, &b) {
        (Some(a), Some(b)) => {
            let same = a.dtype() == b.dtype() && a.shape() == b.shape() && a.data() == b.data();
            let comparable = a.shape() == b.shape();
            (same, if same { Some(0.0) } else { comparable.then(|| farthest(a, b)).flatten() })
        }
        _ => (false, None),
    };
    TensorPair {
        name: name.to_owned(),
        a: a.as_ref().map(word),
        b: b.as_ref().map(word),
        same,
        max_difference,
    }
}

fn farthest(a: &TensorView<'_>, b: &TensorView<'_>) -> Option<f64> {
    let values = |view: &TensorView<'_>| -> Option<Vec<f64>> {
        let tensor = view.load(&Device::Cpu).ok()?;
        tensor.to_dtype(DType::F64).ok()?.flatten_all().ok()?.to_vec1().ok()
    };
    let (a, b) = (values(a)?, values(b)?);
    let mut most = 0.0f64;
    for (a, b) in a.iter().zip(&b) {
        let difference = (a - b).abs();
        if difference.is_nan() {
            return None;
        }
        most = most.max(difference);
    }
    Some(most)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::Tensor;
    use serde_json::json;

    use super::*;

    fn file(tensors: &[(&str, &[f32], &[usize])]) -> Vec<u8> {
        let tensors: HashMap<String, Tensor> = tensors
            .iter()
            .map(|(name, data, shape)| {
                ((*name).to_owned(), Tensor::from_vec(data.to_vec(), *shape, &Device::Cpu).unwrap())
            })
            .collect();
        safetensors::serialize(&tensors, None).unwrap()
    }

    #[test]
    fn tensors_are_compared_value_by_value_where_they_have_one_shape() {
        let a = file(&[
            ("l.2", &[1.0, 2.0], &[2]),
            ("l.10", &[0.0], &[1]),
            ("only", &[1.0], &[1]),
            ("s", &[1.0, 2.0], &[2]),
        ]);
        let b = file(&[("l.2", &[1.5, 1.75], &[2]), ("l.10", &[0.0], &[1]), ("s", &[1.0], &[1])]);
        let found = tensors(&a, &b).unwrap();
        let words: Vec<_> =
            found.iter().map(|pair| (pair.name.as_str(), pair.same, pair.max_difference)).collect();
        assert_eq!(
            words,
            [("l.2", false, Some(0.5)), ("l.10", true, Some(0.0)), ("only", false, None), ("s", false, None)]
        );
        assert_eq!((found[2].a.as_deref(), found[2].b.as_deref()), (Some("F32 1"), None));
        let nan = file(&[("l.2", &[f32::NAN, 2.0], &[2])]);
        assert_eq!(tensors(&a, &nan).unwrap()[0].max_difference, None);
        assert!(tensors(&a, b"nothing").is_err());
    }

    #[test]
    fn figures_and_words_stand_side_by_side() {
        let a = metrics(
            &json!({"accuracy": 0.5, "latency": {"1": {"median_ms": 2.0, "passes": 50}}, "channels": [1, 2], "word": "x"}),
        );
        let b = metrics(&json!({"accuracy": 0.75, "loss": null}));
        let found = figures(&a, &b);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].difference, found[1].difference), (Some(0.25), None));
        let words = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let found = changes(
            &words(&[("epochs", "2"), ("lr", "0.1")]),
            &words(&[("epochs", "3"), ("lr", "0.1"), ("x", "1")]),
        );
        let keys: Vec<_> = found.iter().map(|change| (change.key.as_str(), change.a.as_deref())).collect();
        assert_eq!(keys, [("epochs", Some("2")), ("x", None)]);
    }
}
