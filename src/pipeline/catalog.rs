//! What a pipeline may contain, and the editors' schema and reference page made from it.

use serde_json::{Value, json};

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
}

impl Catalog {
    /// The kind of this name.
    pub fn kind(&self, name: &str) -> Option<&KindSchema> {
        self.kinds.iter().find(|kind| kind.name == name)
    }
}

/// The JSON Schema of a whole pipeline file.
pub fn schema(catalog: &Catalog) -> Value {
    let mut definitions = serde_json::Map::new();
    let mut lift = |schema: &Value| {
        let mut schema = schema.clone();
        if let Some(table) = schema.as_object_mut() {
            table.remove("$schema");
            if let Some(Value::Object(inner)) = table.remove("$defs") {
                definitions.extend(inner);
            }
        }
        schema
    };
    let data = lift(&catalog.data);
    let stages: Vec<Value> = catalog
        .kinds
        .iter()
        .map(|kind| {
            let mut stage = lift(&kind.parameters);
            let roles: serde_json::Map<String, Value> = kind
                .inputs
                .iter()
                .map(|input| (input.role.to_owned(), json!({"type": "string", "description": input.doc})))
                .collect();
            stage["properties"]["kind"] = json!({"const": kind.name, "description": kind.summary});
            stage["properties"]["name"] = json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$"});
            stage["properties"]["inputs"] =
                json!({"type": "object", "properties": roles, "additionalProperties": false});
            stage["required"] = json!(["kind"]);
            stage
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A pipeline of runner",
        "type": "object",
        "additionalProperties": false,
        "required": ["stage"],
        "properties": {
            "name": {"type": "string", "description": "Shown to people; never hashed."},
            "description": {"type": "string"},
            "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "The seed of every random number."},
            "data": data,
            "stage": {"type": "array", "minItems": 1, "items": {"oneOf": stages}},
        },
        "$defs": definitions,
    })
}

/// The reference page of the pipeline file, in Markdown.
pub fn reference(catalog: &Catalog) -> String {
    let mut page = String::from(
        "# The pipeline file\n\nMade by `runner schema --markdown`; the schema for editors is `pipelines/pipeline.schema.json`.\n\n\
         At the top stand `name`, `description` and `seed` (0 by default). Every `[[stage]]` has a `kind`, a `name` (by default its kind), its `inputs` \
         (`inputs.ROLE = \"stage\"` or `\"stage.output\"`) and the parameters of its kind.\n\n## `[data]`\n\n",
    );
    page += &table(&catalog.data);
    for kind in &catalog.kinds {
        page += &format!("\n## `{}`\n\nTo {}.\n\n", kind.name, kind.summary);
        for input in kind.inputs {
            let need = if input.required { "" } else { " (optional)" };
            page += &format!("- input `{}`{need}: {}\n", input.role, input.doc);
        }
        for output in kind.outputs {
            page += &format!("- output `{}`: {}\n", output.name, output.doc);
        }
        page += "\n";
        page += &table(&kind.parameters);
    }
    page
}

fn table(schema: &Value) -> String {
    let mut rows = String::from("| key | default | range | meaning |\n|---|---|---|---|\n");
    let Some(properties) = schema["properties"].as_object() else { return rows };
    for (key, property) in properties {
        let default = match &property["default"] {
            Value::Null => "unset".to_owned(),
            value => format!("`{value}`"),
        };
        let bound = |name: &str| property[name].as_f64().map_or(String::new(), |bound| bound.to_string());
        let range = match (bound("minimum"), bound("maximum")) {
            (low, high) if low.is_empty() && high.is_empty() => String::new(),
            (low, high) => format!("{low} to {high}"),
        };
        let meaning = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        rows += &format!("| `{key}` | {default} | {range} | {meaning} |\n");
    }
    rows
}
