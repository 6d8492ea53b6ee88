//! A swept key and the values that it takes.

use serde_json::Value;

use super::range;
use crate::pipeline::change::{self, Setting};
use crate::pipeline::error::{Mistake, PipelineError};
use crate::pipeline::file::Pipeline;

/// One value of a swept key.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The value in a label: the same for every way of writing it, and as `--set` takes it.
    pub word: String,
    /// What it changes.
    pub settings: Vec<Setting>,
}

impl Choice {
    /// The choice of one value for one key.
    pub fn new(setting: Setting) -> Self {
        Self { word: word(&setting.value), settings: vec![setting] }
    }
}

/// A swept key and the values that it takes.
#[derive(Debug, Clone)]
pub struct Axis {
    /// The key: `STAGE.KEY`, `data.KEY` or `seed`.
    pub key: String,
    /// Its values, no two alike.
    pub choices: Vec<Choice>,
}

impl Axis {
    /// Reads `key=values` of the command line, and the mistakes in its values.
    ///
    /// # Errors
    /// Values that cannot be read, or of which one stands twice.
    pub fn parse(text: &str, pipeline: &Pipeline) -> Result<(Self, Vec<Mistake>), PipelineError> {
        let (key, written) = change::split("--over", text)?;
        let fail = |reason: String| change::unreadable("--over", text, reason);
        let mut axis = Self { key: key.to_owned(), choices: Vec::new() };
        let mut mistakes = Vec::new();
        let mut words = std::collections::HashSet::new();
        for value in range::values(written).map_err(fail)? {
            let (settings, found) = change::read("--over", &format!("{key}={value}"), pipeline)?;
            mistakes.extend(found);
            let word = match settings.as_slice() {
                [one] => {
                    axis.key = one.key();
                    word(&one.value)
                }
                _ => value.clone(),
            };
            // What has a mistake has no value to compare.
            if !settings.is_empty() && !words.insert(word.clone()) && mistakes.is_empty() {
                return Err(fail(format!("the value {value} stands twice")));
            }
            axis.choices.push(Choice { word, settings });
        }
        Ok((axis, mistakes))
    }
}

impl Axis {
    /// The keys that its values are for, each once: one, or those of a table.
    pub fn keys(&self) -> Vec<String> {
        let settings = self.choices.iter().flat_map(|choice| &choice.settings);
        let mut keys: Vec<String> = settings.map(Setting::key).collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

/// A value in a label: `0.3`, `vgg11`, `[0.5,0.75]`.
pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(number) if number == 0.0 || (1e-4..1e15).contains(&number.abs()) => number.to_string(),
            Some(number) => format!("{number:e}"),
            None => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn item(value: &Value) -> String {
    match value {
        Value::String(_) => value.to_string(),
        other => word(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_one_word_however_it_is_written() {
        let words =
            [json!(0.3), json!(1.0), json!(1e-5), json!(3), json!("vgg11"), json!([0.5, 1.0]), json!(["a"])];
        let words: Vec<String> = words.iter().map(word).collect();
        assert_eq!(words, ["0.3", "1", "1e-5", "3", "vgg11", "[0.5,1]", "[\"a\"]"]);
    }
}
