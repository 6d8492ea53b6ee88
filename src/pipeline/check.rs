//! A value of the file against a JSON Schema.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Mistake;

/// Where mistakes are collected, and in which text their spans lie.
pub struct Checker<'a> {
    /// The file's name.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// What was found.
    pub mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    /// Notes a mistake.
    pub fn mistake(&mut self, span: std::ops::Range<usize>, message: String, help: String) {
        self.mistakes.push(Mistake::new(self.name, self.text, span, message).with_help(help));
    }

    /// Checks a table's keys and values against an object schema, but for the keys in `skip`.
    pub fn table(&mut self, table: &DeTable<'_>, root: &Value, schema: &Value, skip: &[&str]) -> Value {
        let empty = serde_json::Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let mut values = serde_json::Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if skip.contains(&name) {
                continue;
            }
            match properties.get(name) {
                Some(schema) => {
                    let value = self.value(name, value, root, schema);
                    values.insert(name.to_owned(), value);
                }
                None => {
                    let known = properties.keys().map(String::as_str).chain(skip.iter().copied());
                    self.mistake(key.span(), format!("unknown key `{name}`"), nearest(name, known));
                }
            }
        }
        Value::Object(values)
    }

    fn value(&mut self, key: &str, value: &Spanned<DeValue<'_>>, root: &Value, schema: &Value) -> Value {
        let schema = resolve(root, schema);
        if let DeValue::Table(table) = value.get_ref() {
            if schema["properties"].is_object() {
                return self.table(table, root, schema, &[]);
            }
        }
        let plain = plain(value.get_ref());
        if let Some(problem) = problem(&plain, root, schema) {
            self.mistake(value.span(), format!("`{key}` {problem}"), String::new());
        }
        plain
    }
}

/// The alternative of an optional or referenced schema that says something.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return root.pointer(path).map_or(schema, |found| resolve(root, found));
    }
    if let Some(options) = schema["anyOf"].as_array() {
        if let Some(option) = options.iter().find(|option| option["type"] != "null") {
            return resolve(root, option);
        }
    }
    schema
}

/// A TOML value as plain data. Numbers that fit no type become text, which then has the wrong type.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => u64::try_from(number)
                .map(Value::from)
                .or_else(|_| i64::try_from(number).map(Value::from))
                .unwrap_or_else(|_| Value::from(number.to_string())),
            Err(_) => Value::from(number.as_str()),
        },
        DeValue::Float(number) => {
            number.as_str().parse::<f64>().map_or_else(|_| Value::from(number.as_str()), Value::from)
        }
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref()))).collect(),
        ),
    }
}

/// What is wrong with a value, in words that follow its name.
fn problem(value: &Value, root: &Value, schema: &Value) -> Option<String> {
    let schema = resolve(root, schema);
    let choices = choices(schema);
    if !choices.is_empty() {
        if value.as_str().is_some_and(|text| choices.contains(&text)) {
            return None;
        }
        let list = choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(", ");
        let near = value.as_str().map(|text| nearest(text, choices.iter().copied())).unwrap_or_default();
        let near = if near.starts_with("did") { format!("; {near}") } else { String::new() };
        return Some(format!("must be one of {list}, found {value}{near}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let fits = |name: &&str| match *name {
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    if !types.iter().any(fits) {
        let wanted = types.iter().filter(|name| **name != "null").copied().collect::<Vec<_>>().join(" or ");
        return Some(format!("must be of type {wanted}, found {value}"));
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema[name].as_f64();
        if bound("minimum").is_some_and(|low| number < low)
            || bound("maximum").is_some_and(|high| number > high)
        {
            let low = bound("minimum").map_or("-inf".to_owned(), |low| low.to_string());
            let high = bound("maximum").map_or("inf".to_owned(), |high| high.to_string());
            return Some(format!("must lie in {low} to {high}, found {value}"));
        }
    }
    let items = value.as_array()?;
    items
        .iter()
        .find_map(|item| problem(item, root, &schema["items"]).map(|p| format!("has an item that {p}")))
}

fn choices(schema: &Value) -> Vec<&str> {
    if let Some(names) = schema["enum"].as_array() {
        return names.iter().filter_map(Value::as_str).collect();
    }
    let options = schema["oneOf"].as_array().map_or(&[][..], Vec::as_slice);
    options
        .iter()
        .flat_map(|option| {
            let constant = option["const"].as_str().into_iter();
            constant.chain(option["enum"].as_array().into_iter().flatten().filter_map(Value::as_str))
        })
        .collect()
}

/// The nearest of several names, or all of them.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    let distance = |other: &&&str| (strsim::jaro_winkler(name, other) * 1000.0) as u64;
    match known.iter().max_by_key(distance) {
        Some(near) if strsim::jaro_winkler(name, near) > 0.8 => format!("did you mean `{near}`?"),
        Some(_) => format!("allowed are: {}", known.join(", ")),
        None => String::new(),
    }
}
