//! The reference page of the pipeline file, in Markdown.

use std::fmt::Write;

use serde_json::Value;

use super::catalog::{Catalog, KindSchema};

const HEAD: &str = r#"# The pipeline file

Made by `runner schema --markdown`. The schema for editors is `pipelines/pipeline.schema.json` (`runner schema`); a first line
`#:schema ./pipeline.schema.json` makes Taplo and Even Better TOML complete and check the file.

A pipeline is a TOML file: some keys at the top, a `[data]` table, and a `[[stage]]` table for each stage. Every key
but a stage's `kind` and its inputs may be left out. A default that is written out changes nothing: fingerprints
are made of the values, not of what is written.

"#;

const STAGES: &str = r#"
## `[[stage]]`

| key | default | meaning |
|---|---|---|
| `kind` | must be given | What the stage does: one of the kinds below. |
| `name` | its kind | By which other stages refer to it: small letters, digits and hyphens. Two stages of one kind need names. |
| `inputs.ROLE` | must be given unless optional | What it takes: `"stage"`, or `"stage.output"` where a stage has several outputs. A role that takes several takes a list of outputs of one stage as well: `["retrain.best", "retrain.last"]`. |
| `timeout` | unset | The longest that it may run: `"90s"`, `"30min"`, `"1h 30min"`; instead of the run's `--timeout`. Never hashed. |

Stages may stand in any order; they run inputs first. A stage named alone gives its first output of the type that
the role takes (to a role that takes several, all of them). Stages that need each other are an error.
"#;

const SWEEP: &str = r#"
## `[sweep]`

One pipeline at many points. Work that is equal at several points runs once, and the results of points that are
taken out of the file stay in the cache. `docs/sweeps.md` tells how a sweep runs.

```toml
[sweep.matrix]                                  # every combination
threshold-search.flops_ratio = "0.1..0.9 step 0.2"
seed = "1..3"

[sweep.zip]                                     # side by side: 32 with 0.05, 64 with 0.1
retrain.batch_size = [32, 64]
retrain.optimizer.lr = [0.05, 0.1]

[[sweep.exclude]]                               # not these points
threshold-search.flops_ratio = 0.9
seed = [2, 3]

[[sweep.include]]                               # and this one; what it does not name is as in the file
threshold-search.flops_ratio = 0.05
```

| key | meaning |
|---|---|
| `matrix` | Axes of which every combination is a point; the last axis changes fastest. |
| `zip` | Axes taken side by side, equally long; together they are one more axis of the matrix. |
| `exclude` | Tables of values. A point that has one of the values of every key of a table is left out. |
| `include` | Tables of values. Each adds the combinations of its own values as points. |

An axis is `STAGE.KEY`, `STAGE.inputs.ROLE`, `data.KEY` or `seed`, and takes an array of values. Of a number, a text may stand for the
whole array or for a part of it: the values that `--over` takes below, such as `"1..3"`. Of an input, the values are
names of stages; stages that a point does not need are left out of it (`docs/sweeps.md`).
"#;

const CHANGES: &str = r#"
## Changes on the command line

Both options are checked like the file, and both may be repeated, each time for another key: two different values for one key, or a `--set` and an
`--over` of the same key, are an error that names both.

- `--set STAGE.KEY=VALUE`, `--set data.KEY=VALUE`, `--set seed=N` change a value for one call. Nested keys are
  dotted (`--set retrain.optimizer.lr=0.05`, `--set prune.inputs.network=gate-train`); a word needs no quotes
  (`--set init.arch=vgg16`).
- `--over KEY=VALUES` makes a sweep: a point for each value, and for several `--over` a point for each combination.
  Stages that are equal in several points run once. Values are

  | written | values |
  |---|---|
  | `0.3,0.5,0.7` | these three |
  | `1..5` | the integers 1 to 5, both ends included |
  | `0.1..0.9 step 0.1` | 0.1, 0.2, ... 0.9; exact decimals |
  | `1e-4..1e-2 step 1e-4` | 0.0001, 0.0002, ... 0.01 |
  | `1..3,7` | 1, 2, 3 and 7 |
  | `[0.5,0.75],[0.9]` | two arrays |

  What is no range of numbers stays as it is written. A value that stands twice is an error. `-0.0` is 0, and digits that
  binary arithmetic leaves at the end of a number are dropped: `0.30000000000000004` is 0.3.

Of a file with a `[sweep]`, an `--over` of a key that the file sweeps takes the place of its values (and drops what
`include` adds for that key); an `--over` of another key multiplies the file's points. A `--set` of a swept key
chooses the points with that value; where none has it, all of them get it.
"#;

/// The reference page of the pipeline file.
pub fn reference(catalog: &Catalog) -> String {
    let mut page = String::from(HEAD);
    page += &table(&catalog.top);
    page += "\n## `[data]`\n\n";
    page += &table(&catalog.data);
    page += &choices(&catalog.data);
    page += "\n## `[cache]`\n\n";
    page += &table(&catalog.cache);
    page += STAGES;
    for kind in &catalog.kinds {
        let _ = write!(page, "\n## `{}`\n\nTo {}.\n\n", kind.name, kind.summary);
        for input in kind.inputs {
            let need = if input.required { "" } else { ", optional" };
            let many = if input.many { "; takes several outputs of one stage" } else { "" };
            let _ =
                writeln!(page, "- input `{}` ({}{need}{many}): {}", input.role, input.artifact, input.doc);
        }
        for output in kind.outputs {
            let _ = writeln!(page, "- output `{}` ({}): {}", output.name, output.artifact, output.doc);
        }
        page += "\n";
        page += &table(&kind.parameters);
        page += &choices(&kind.parameters);
        let _ = write!(page, "\nWith every default written out:\n\n```toml\n{}```\n", example(catalog, kind));
    }
    page + SWEEP + CHANGES
}

/// A stage of this kind with every default written out; its inputs come from the kinds before it.
pub fn example(catalog: &Catalog, kind: &KindSchema) -> String {
    let mut text = format!("[[stage]]\nkind = \"{}\"\n", kind.name);
    let required = kind.inputs.iter().filter(|input| input.required);
    // Where no input must be there, the kind needs one or the other.
    let either = kind.inputs.iter().take(usize::from(required.clone().next().is_none()));
    for input in required.chain(either) {
        let before = catalog.kinds.iter().take_while(|other| other.name != kind.name);
        // What a kind gives first is what it is for.
        let gives = |other: &&KindSchema| other.outputs.first().is_some_and(|o| o.artifact == input.artifact);
        if let Some(giver) = before.filter(gives).last() {
            let _ = writeln!(text, "inputs.{} = \"{}\"", input.role, giver.name);
        }
    }
    for (key, property) in flat(&kind.parameters) {
        if let Some(default) = property.get("default") {
            let _ = writeln!(text, "{key} = {default}");
        }
    }
    text
}

/// The keys of a table, those of nested tables dotted.
fn flat(schema: &Value) -> Vec<(String, &Value)> {
    let mut keys = Vec::new();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        if property["properties"].is_object() {
            let inner = flat(property).into_iter();
            keys.extend(inner.map(|(inner, property)| (format!("{key}.{inner}"), property)));
        } else {
            keys.push((key.clone(), property));
        }
    }
    keys
}

fn table(schema: &Value) -> String {
    let mut rows = String::from("| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
    for (key, property) in flat(schema) {
        let default = property.get("default").map_or("unset".to_owned(), |value| format!("`{value}`"));
        let range = if property["items"].is_object() { range(&property["items"]) } else { range(property) };
        let meaning = property["description"].as_str().unwrap_or_default();
        let _ = writeln!(rows, "| `{key}` | {} | {default} | {range} | {meaning} |", kind(property));
    }
    rows
}

fn kind(property: &Value) -> String {
    match property["type"].as_str().unwrap_or_default() {
        "array" => format!("array of {}s", kind(&property["items"])),
        "boolean" => "true or false".to_owned(),
        _ if property["enum"].is_array() => "choice".to_owned(),
        other => other.to_owned(),
    }
}

fn range(property: &Value) -> String {
    if let Some(words) = property["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    let bound = |name: &str| property[name].as_f64().map(|bound| bound.to_string());
    match (bound("minimum"), bound("maximum")) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("{low} or more"),
        (None, Some(high)) => format!("{high} or less"),
        (None, None) => String::new(),
    }
}

/// What the choices of a table mean, where they say it.
fn choices(schema: &Value) -> String {
    let mut text = String::new();
    for (key, property) in flat(schema) {
        let words = property["enum"].as_array().into_iter().flatten();
        let meanings = property["enumDescriptions"].as_array().into_iter().flatten();
        for (word, meaning) in words.zip(meanings) {
            if let Some(meaning) = meaning.as_str().filter(|meaning| !meaning.is_empty()) {
                let _ = writeln!(text, "- `{key} = {word}`: {meaning}");
            }
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
