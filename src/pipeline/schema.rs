//! The JSON Schema of a whole pipeline file, for editors.
//!
//! A stage's `kind` picks the schema of its other keys by `if`/`then`, so that an editor speaks of the keys of that
//! kind, and not of "no alternative fits".

use serde_json::{Map, Value, json};

use super::catalog::{Catalog, KindSchema};

/// What a name of a stage looks like.
const NAME: &str = "^[a-z0-9][a-z0-9-]*$";
/// What a reference to a stage, or to one of its outputs, looks like.
const REFERENCE: &str = "^[a-z0-9][a-z0-9-]*(\\.[a-z0-9-]+)?$";

/// The JSON Schema of a whole pipeline file.
pub fn schema(catalog: &Catalog) -> Value {
    let names: Vec<&str> = catalog.kinds.iter().map(|kind| kind.name).collect();
    let summaries: Vec<&str> = catalog.kinds.iter().map(|kind| kind.summary).collect();
    let mut definitions: Map<String, Value> =
        catalog.kinds.iter().map(|kind| (kind.name.to_owned(), stage(kind))).collect();
    definitions.insert("axes".to_owned(), super::sweep::axes(catalog));
    let branches: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": {"$ref": format!("#/$defs/{name}")},
            })
        })
        .collect();
    let mut properties = catalog.top["properties"].clone();
    properties["data"] = catalog.data.clone();
    properties["cache"] = catalog.cache.clone();
    properties["sweep"] = super::sweep::schema("#/$defs/axes");
    properties["stage"] = json!({
        "type": "array",
        "minItems": 1,
        "description": "The stages, in any order.",
        "items": {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"type": "string", "enum": names, "enumDescriptions": summaries}},
            "allOf": branches,
        },
    });
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A pipeline of runner",
        "type": "object",
        "additionalProperties": false,
        "required": ["stage"],
        "properties": properties,
        "$defs": definitions,
    });
    annotate(&mut whole);
    whole
}

fn stage(kind: &KindSchema) -> Value {
    let roles: Map<String, Value> = kind
        .inputs
        .iter()
        .map(|input| {
            let mut role = json!({"type": "string", "pattern": REFERENCE, "description": input.doc});
            if input.many {
                let one = json!({"type": "string", "pattern": REFERENCE});
                role = json!({
                    "anyOf": [one, {"type": "array", "minItems": 1, "items": one}],
                    "description": input.doc,
                });
            }
            (input.role.to_owned(), role)
        })
        .collect();
    let needed: Vec<&str> =
        kind.inputs.iter().filter(|input| input.required).map(|input| input.role).collect();
    let mut required = vec!["kind"];
    if !needed.is_empty() {
        required.push("inputs");
    }
    let mut stage = kind.parameters.clone();
    stage["description"] = kind.summary.into();
    stage["required"] = json!(required);
    stage["properties"]["kind"] = json!({"const": kind.name, "description": kind.summary});
    stage["properties"]["name"] = json!({
        "type": "string",
        "pattern": NAME,
        "not": {"enum": ["data", "seed"]},
        "default": kind.name,
        "description": "The name by which other stages refer to it; its kind by default. Never hashed.",
    });
    stage["properties"]["timeout"] = json!({
        "type": "string",
        "description": "The longest that it may run: \"90s\", \"30min\", \"2h\". Never hashed.",
    });
    stage["properties"]["inputs"] = json!({
        "type": "object",
        "properties": roles,
        "required": needed,
        "additionalProperties": false,
        "description": "What it takes, by role: `\"stage\"` or `\"stage.output\"`.",
    });
    stage
}

/// Says the meanings of choices once more, in the words of Taplo, which edits TOML in most editors.
fn annotate(schema: &mut Value) {
    match schema {
        Value::Object(table) => {
            if let Some(meanings) = table.get("enumDescriptions").cloned() {
                table.insert("x-taplo".to_owned(), json!({"docs": {"enumValues": meanings}}));
            }
            table.values_mut().for_each(annotate);
        }
        Value::Array(items) => items.iter_mut().for_each(annotate),
        _ => {}
    }
}
