//! A value of the file against the schema of its key.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Place, Source};
use super::suggest::{self, number_in, rounded, within, words};

/// Values longer than this are not repeated in messages; the snippet shows them.
const REPEATED: usize = 40;

/// Where mistakes are collected, and in which text their spans lie.
pub struct Checker {
    /// The text.
    pub source: Arc<Source>,
    /// What was found.
    pub mistakes: Vec<Mistake>,
    /// What stands before the keys that are suggested: the stage, on the command line.
    pub prefix: Option<String>,
}

impl Checker {
    /// A checker of a text.
    pub fn new(source: Arc<Source>) -> Self {
        Self { source, mistakes: Vec::new(), prefix: None }
    }

    /// The place of a span.
    pub fn place(&self, span: Range<usize>) -> Place {
        Place { source: self.source.clone(), span }
    }

    /// Whether so many mistakes were found that a further one is only counted, and needs no help. Mistakes are shown in
    /// the order of the file, which is not that in which they are found, hence the reserve.
    pub fn is_full(&self) -> bool {
        self.mistakes.len() > 3 * super::error::SHOWN
    }

    /// Notes a mistake.
    pub fn mistake(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.mistakes.push(Mistake::new(&self.place(span), message, help));
    }

    /// Reads a table's keys and values by an object schema, but for the keys in `skip`.
    pub fn table(
        &mut self,
        prefix: &str,
        table: &DeTable<'_>,
        schema: &Value,
        skip: &[&str],
    ) -> Map<String, Value> {
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let mut values = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if skip.contains(&name) {
                continue;
            }
            let full = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
            if let Some(schema) = properties.get(name) {
                values.insert(name.to_owned(), self.value(&full, value, schema));
            } else {
                let mut above = self.prefix.clone().unwrap_or_default();
                if !prefix.is_empty() {
                    above += &format!("{prefix}.");
                }
                let near = suggest::key(name, schema, skip, &above);
                self.mistake(key.span(), format!("unknown key `{full}`"), near);
            }
        }
        values
    }

    /// Reads a value by its schema. Null stands for one with a mistake.
    pub fn value(&mut self, key: &str, value: &Spanned<DeValue<'_>>, schema: &Value) -> Value {
        let found = value.get_ref();
        let read = match (schema["type"].as_str().unwrap_or_default(), found) {
            ("object", DeValue::Table(table)) => return self.table(key, table, schema, &[]).into(),
            ("array", DeValue::Array(items)) => {
                let items = items.iter().enumerate();
                let items =
                    items.map(|(at, item)| self.value(&format!("{key}[{at}]"), item, &schema["items"]));
                return items.collect();
            }
            ("string", DeValue::String(text)) => word(text, schema),
            ("boolean", DeValue::Boolean(truth)) => Ok(Value::from(*truth)),
            ("integer", DeValue::Integer(digits)) => {
                integer(i128::from_str_radix(digits.as_str(), digits.radix()).ok(), schema)
            }
            ("number", DeValue::Integer(digits)) => {
                let number = i128::from_str_radix(digits.as_str(), digits.radix());
                number.map_or_else(|_| Err(range(schema)), |number| real(number as f64, schema))
            }
            ("number", DeValue::Float(digits)) => real(digits.as_str().parse().unwrap_or(f64::NAN), schema),
            (wanted, _) => Err(expected(wanted, schema)),
        };
        read.unwrap_or_else(|expected| {
            let message = format!("`{key}` must {expected}, found {}", self.written(value));
            let full = format!("{}{key}", self.prefix.as_deref().unwrap_or_default());
            self.mistake(value.span(), message, suggest::value(&full, found, schema));
            Value::Null
        })
    }

    /// Reads a number of a range by its schema. Null stands for one with a mistake.
    pub fn number(&mut self, key: &str, text: &str, span: Range<usize>, schema: &Value) -> Value {
        let read = match schema["type"].as_str() {
            Some("integer") => match text.parse::<i128>() {
                Ok(number) => integer(Some(number), schema),
                Err(_) => Err(expected("integer", schema)),
            },
            _ => text.parse::<f64>().map_err(|_| expected("number", schema)).and_then(|n| real(n, schema)),
        };
        read.unwrap_or_else(|expected| {
            self.mistake(span, format!("`{key}` must {expected}, found {text}"), number_in(text, schema));
            Value::Null
        })
    }

    /// A value as it is written, if that is short.
    pub fn written(&self, value: &Spanned<DeValue<'_>>) -> String {
        let text = self.source.text.get(value.span()).unwrap_or_default();
        match value.get_ref() {
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Array(_) if text.contains('\n') || text.len() > REPEATED => "an array".to_owned(),
            DeValue::String(_) if text.contains('\n') || text.len() > REPEATED => "a text".to_owned(),
            _ => text.to_owned(),
        }
    }
}

fn word(text: &str, schema: &Value) -> Result<Value, String> {
    let mut choices = words(schema).peekable();
    if choices.peek().is_none() || choices.any(|choice| choice == text) {
        return Ok(Value::from(text));
    }
    Err(expected("string", schema))
}

fn integer(number: Option<i128>, schema: &Value) -> Result<Value, String> {
    let inside = number.filter(|number| within(*number as f64, schema));
    let value = inside.and_then(|number| {
        u64::try_from(number).map(Value::from).or_else(|_| i64::try_from(number).map(Value::from)).ok()
    });
    value.ok_or_else(|| range(schema))
}

fn real(number: f64, schema: &Value) -> Result<Value, String> {
    if !number.is_finite() {
        return Err("be a finite number".to_owned());
    }
    let number = rounded(number);
    if within(number, schema) { Ok(Value::from(number)) } else { Err(range(schema)) }
}

fn range(schema: &Value) -> String {
    // An integer without a maximum still has to fit its type.
    let last = if schema["type"] == "integer" { Value::from(u64::MAX) } else { Value::from(f64::MAX) };
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(low), Some(high)) => format!("lie in {low} to {high}"),
        (Some(low), None) => format!("lie in {low} to {last}"),
        (None, Some(high)) => format!("be at most {high}"),
        (None, None) => format!("be at most {last}"),
    }
}

fn expected(wanted: &str, schema: &Value) -> String {
    let choices: Vec<String> = words(schema).map(|choice| format!("\"{choice}\"")).collect();
    match wanted {
        _ if !choices.is_empty() => format!("be one of {}", choices.join(", ")),
        "object" => "be a table".to_owned(),
        "array" => "be an array".to_owned(),
        "string" => "be a string".to_owned(),
        "boolean" => "be true or false".to_owned(),
        "integer" => "be an integer".to_owned(),
        _ => "be a number".to_owned(),
    }
}
