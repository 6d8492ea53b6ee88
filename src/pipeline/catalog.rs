//! What a pipeline may contain.

use serde_json::{Map, Value, json};

/// An input of a stage kind.
#[derive(Debug)]
pub struct InputRole {
    /// Its name in the file: `inputs.<role>`.
    pub role: &'static str,
    /// The type of artifact it takes.
    pub artifact: &'static str,
    /// Whether it takes every output of that type, where the file names a stage alone.
    pub many: bool,
    /// Whether it must be given.
    pub required: bool,
    /// One line for the reference page.
    pub doc: &'static str,
}

/// An output of a stage kind.
#[derive(Debug)]
pub struct OutputRole {
    /// Its name.
    pub name: &'static str,
    /// The type of artifact.
    pub artifact: &'static str,
    /// One line for the reference page.
    pub doc: &'static str,
}

/// A stage kind as this room sees it.
#[derive(Debug)]
pub struct KindSchema {
    /// Its name.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The JSON Schema of its parameters.
    pub parameters: Value,
    /// Its inputs.
    pub inputs: &'static [InputRole],
    /// Its outputs.
    pub outputs: &'static [OutputRole],
}

/// All that a pipeline may contain.
#[derive(Debug)]
pub struct Catalog {
    /// The stage kinds.
    pub kinds: Vec<KindSchema>,
    /// The JSON Schema of `[data]`.
    pub data: Value,
    /// The JSON Schema of the keys at the top.
    pub top: Value,
    /// The JSON Schema of `[cache]`.
    pub cache: Value,
}

impl Catalog {
    /// A catalog of these kinds, whose schemas are as `schemars` makes them.
    pub fn new(mut kinds: Vec<KindSchema>, data: &Value) -> Self {
        for kind in &mut kinds {
            kind.parameters = plain(&kind.parameters);
        }
        let top = json!({"type": "object", "properties": {
            "name": {"type": "string", "description": "Shown to people; never hashed."},
            "description": {"type": "string", "description": "What the pipeline is for; never hashed."},
            "seed": {"type": "integer", "minimum": 0, "default": 0,
                "description": "The seed of every random number, where a stage has none of its own."},
        }});
        let cache = json!({"type": "object", "additionalProperties": false, "properties": {
            "remote": {"type": "string", "description":
                "A cache that machines share: `s3://bucket/prefix`, `gs://`, `az://` or `file:///path`; never hashed. See `docs/remote.md`."},
        }});
        Self { kinds, data: plain(data), top, cache }
    }

    /// The kind of this name.
    pub fn kind(&self, name: &str) -> Option<&KindSchema> {
        self.kinds.iter().find(|kind| kind.name == name)
    }
}

/// A schema without references, alternatives and null, which TOML does not have. What is left are types, ranges,
/// choices (`enum`, with their meanings in `enumDescriptions`) and the defaults that hold *here*: those of a
/// nested table are what the outer table says, not what its type says.
fn plain(root: &Value) -> Value {
    let default = root.get("default").cloned().unwrap_or(Value::Null);
    simplify(root, root, &default)
}

fn simplify(root: &Value, schema: &Value, default: &Value) -> Value {
    let found = resolve(root, schema);
    let mut out = Map::new();
    let description = schema.get("description").or_else(|| found.get("description"));
    if let Some(description) = description.and_then(Value::as_str) {
        out.insert("description".into(), description.replace('\n', " ").into());
    }
    let kind = match &found["type"] {
        Value::Array(types) => types.iter().find(|kind| *kind != "null").cloned().unwrap_or(Value::Null),
        other => other.clone(),
    };
    if let Some(properties) = found["properties"].as_object() {
        let inner = properties.iter().map(|(key, property)| {
            let own = default.get(key).or_else(|| property.get("default")).unwrap_or(&Value::Null);
            (key.clone(), simplify(root, property, own))
        });
        let inner: Map<String, Value> = inner.collect();
        out.insert("type".into(), "object".into());
        out.insert("properties".into(), Value::Object(inner));
        out.insert("additionalProperties".into(), false.into());
        return Value::Object(out);
    }
    let (choices, meanings) = choices(found);
    if choices.is_empty() {
        out.insert("type".into(), kind);
    } else {
        out.insert("type".into(), "string".into());
        out.insert("enum".into(), choices.into());
        out.insert("enumDescriptions".into(), meanings.into());
    }
    for bound in ["minimum", "maximum"] {
        if let Some(number) = found.get(bound) {
            out.insert(bound.into(), number.clone());
        }
    }
    if found["items"].is_object() {
        out.insert("items".into(), simplify(root, &found["items"], &Value::Null));
    }
    if !default.is_null() {
        out.insert("default".into(), default.clone());
    }
    Value::Object(out)
}

/// What a reference, or the one alternative that is not null, stands for.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return root.pointer(path).map_or(schema, |found| resolve(root, found));
    }
    let options = schema["anyOf"].as_array().map_or(&[][..], Vec::as_slice);
    match options.iter().find(|option| option["type"] != "null") {
        Some(option) => resolve(root, option),
        None => schema,
    }
}

/// The words that a value may be, with their meanings.
fn choices(schema: &Value) -> (Vec<String>, Vec<String>) {
    let words = |schema: &Value| -> Vec<String> {
        let listed = schema["enum"].as_array().map_or(&[][..], Vec::as_slice);
        listed.iter().chain(schema.get("const")).filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let alone = words(schema);
    if !alone.is_empty() {
        let meanings = vec![String::new(); alone.len()];
        return (alone, meanings);
    }
    let options = schema["oneOf"].as_array().map_or(&[][..], Vec::as_slice);
    let pairs = options.iter().flat_map(|option| {
        let meaning = option["description"].as_str().unwrap_or_default().replace('\n', " ");
        words(option).into_iter().map(move |word| (word, meaning.clone()))
    });
    pairs.unzip()
}
