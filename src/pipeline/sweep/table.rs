//! The `[sweep]` table: axes by the schemas of what they sweep.

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::axis::{Axis, Choice};
use super::{Sweep, range};
use crate::pipeline::catalog::{Catalog, KindSchema};
use crate::pipeline::change::Setting;
use crate::pipeline::change::no_stage;
use crate::pipeline::check::Checker;
use crate::pipeline::inputs::{self, INPUTS};
use crate::pipeline::stages::{Declared, Known};
use crate::pipeline::suggest::{self, nearest};

/// How an axis is written.
const FORM: &str = "write STAGE.KEY = [A, B], data.KEY = [A, B] or seed = \"1..3\" (both ends included)";

/// The tables of a sweep.
pub const TABLES: [&str; 4] = ["matrix", "zip", "include", "exclude"];

/// What stands on the right of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Several values.
    Axis,
    /// One value, or several.
    Pattern,
}

/// Reads the table.
pub fn read(
    written: Option<&Spanned<DeValue<'_>>>,
    stages: &Declared,
    catalog: &Catalog,
    checker: &mut Checker,
) -> Sweep {
    let Some(written) = written else { return Sweep::default() };
    let DeValue::Table(table) = written.get_ref() else {
        let words = format!("`sweep` must be a table, found {}", checker.written(written));
        checker.mistake(written.span(), words, "write `[sweep.matrix]` with an axis a line");
        return Sweep::default();
    };
    let mut reader = Reader { stages, catalog, checker };
    let mut sweep = Sweep { place: Some(reader.checker.place(written.span())), ..Sweep::default() };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "matrix" => sweep.matrix = reader.axes("sweep.matrix", value, Form::Axis),
            "zip" => sweep.zip = reader.axes("sweep.zip", value, Form::Axis),
            "exclude" => sweep.exclude = reader.list("sweep.exclude", value),
            "include" => sweep.include = reader.list("sweep.include", value),
            other => {
                let is_axis = other == "seed" || other == "data" || stages.kind(other).is_some();
                let near = nearest(other, TABLES);
                let help = match near.strip_prefix("did") {
                    _ if is_axis => format!("did you mean `sweep.matrix.{other}`?"),
                    Some(_) => near,
                    None => format!("{near}; axes stand in `[sweep.matrix]`"),
                };
                reader.checker.mistake(key.span(), format!("unknown key `sweep.{other}`"), help);
            }
        }
    }
    reader.together(&sweep);
    sweep
}

struct Reader<'a> {
    stages: &'a Declared,
    catalog: &'a Catalog,
    checker: &'a mut Checker,
}

impl Reader<'_> {
    /// What only the whole table can tell.
    fn together(&mut self, sweep: &Sweep) {
        let place =
            |axis: &Axis| axis.choices.first().and_then(|c| c.settings.first()).map(|s| s.place.span.clone());
        for axis in &sweep.zip {
            if sweep.matrix.iter().any(|other| other.key == axis.key) {
                let words = format!("`{}` stands in `matrix` and in `zip`", axis.key);
                self.checker.mistake(place(axis).unwrap_or(0..0), words, "sweep a key once");
            }
        }
        if let (Some(words), Some(last)) = (sweep.uneven(), sweep.zip.last()) {
            self.checker.mistake(
                place(last).unwrap_or(0..0),
                words,
                "give them equally many, or use `matrix`",
            );
        }
        let axes: Vec<&Axis> = sweep.matrix.iter().chain(&sweep.zip).collect();
        for wanted in sweep.exclude.iter().flatten() {
            let Some(axis) = axes.iter().find(|axis| axis.key == wanted.key) else {
                let near = nearest(&wanted.key, axes.iter().map(|axis| axis.key.as_str()));
                let words =
                    format!("`exclude` names `{}`, which is no axis of `matrix` or `zip`", wanted.key);
                self.checker.mistake(place(wanted).unwrap_or(0..0), words, near);
                continue;
            };
            for choice in &wanted.choices {
                if axis.choices.iter().all(|other| other.word != choice.word) {
                    let span = choice.settings.first().map_or(0..0, |setting| setting.place.span.clone());
                    let all: Vec<&str> = axis.choices.iter().map(|choice| choice.word.as_str()).collect();
                    let words = format!("`{}` is never {}", axis.key, choice.word);
                    self.checker.mistake(span, words, format!("its values are: {}", all.join(", ")));
                }
            }
        }
    }

    /// An array of tables, each a point or a part of one.
    fn list(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Vec<Vec<Axis>> {
        let DeValue::Array(items) = value.get_ref() else {
            let words = format!("`{name}` must be an array of tables, found {}", self.checker.written(value));
            self.checker.mistake(value.span(), words, format!("write `[[{name}]]` above each"));
            return Vec::new();
        };
        items.iter().map(|item| self.axes(name, item, Form::Pattern)).collect()
    }

    /// The axes of a table, in the order of the file.
    fn axes(&mut self, name: &str, value: &Spanned<DeValue<'_>>, form: Form) -> Vec<Axis> {
        let DeValue::Table(table) = value.get_ref() else {
            let words = format!("`{name}` must be a table, found {}", self.checker.written(value));
            self.checker.mistake(value.span(), words, FORM);
            return Vec::new();
        };
        if table.is_empty() {
            self.checker.mistake(value.span(), format!("`{name}` has no keys"), FORM);
        }
        let mut axes = Vec::new();
        for (key, value) in table {
            let target = key.get_ref().to_string();
            match target.as_str() {
                "seed" => {
                    let schema = &self.catalog.top["properties"]["seed"];
                    axes.extend(self.axis(vec![target], value, schema, form));
                }
                "data" => {
                    let schema = &self.catalog.data;
                    self.fields(vec![target], (key.span(), value), schema, form, &mut axes);
                }
                _ => match self.stages.kind(&target).and_then(|kind| self.catalog.kind(kind)) {
                    Some(kind) => {
                        if let DeValue::Table(fields) = value.get_ref() {
                            self.inputs(&target, kind, fields, form, &mut axes);
                        }
                        self.fields(vec![target], (key.span(), value), &kind.parameters, form, &mut axes);
                    }
                    // Its own mistake is told already.
                    None if self.stages.broken.contains(&target) => {}
                    None => {
                        let names = self.stages.stages.iter().map(|stage| stage.name.as_str());
                        let help = match target.contains('.') {
                            true => "write the key without quotes: STAGE.KEY = [A, B]".to_owned(),
                            false => no_stage(
                                &target,
                                &self.stages.stages,
                                self.catalog,
                                names.chain(["data", "seed"]),
                            ),
                        };
                        let words = format!("`{target}` is no stage, and neither `data` nor `seed`");
                        self.checker.mistake(key.span(), words, help);
                    }
                },
            }
        }
        // The parser sorts keys by name; the file's order is that of the points.
        axes.sort_by_key(|(at, _)| *at);
        axes.into_iter().map(|(_, axis)| axis).collect()
    }

    /// The swept inputs of a stage.
    fn inputs(
        &mut self,
        stage: &str,
        kind: &KindSchema,
        fields: &DeTable<'_>,
        form: Form,
        axes: &mut Vec<(usize, Axis)>,
    ) {
        if let Some((key, _)) = fields.get_key_value("kind") {
            self.checker.mistake(key.span(), "a stage's kind cannot be swept", inputs::KINDS);
        }
        let Some((key, written)) = fields.get_key_value(INPUTS) else { return };
        let DeValue::Table(roles) = written.get_ref() else {
            let words = format!("`{stage}.inputs` is a table: name one of its roles, `{stage}.inputs.ROLE`");
            self.checker.mistake(key.span(), words, "");
            return;
        };
        let text = json!({"type": "string"});
        for (role, value) in roles {
            let Some(input) = inputs::role(kind, role, self.checker) else { continue };
            let keys = [stage, INPUTS, input.role].map(str::to_owned).to_vec();
            let Some((at, mut axis)) = self.axis(keys, value, &text, form) else { continue };
            let Declared { stages, broken } = self.stages;
            let known = Known { stages, broken, catalog: self.catalog };
            let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
                DeValue::Array(items) => items.iter().collect(),
                _ => vec![value],
            };
            for (choice, item) in axis.choices.iter_mut().zip(items) {
                for setting in &mut choice.settings {
                    setting.input = inputs::read(input, item, &known, self.checker);
                }
            }
            axes.push((at, axis));
        }
    }

    /// The swept keys of a stage, or of a table in it.
    fn fields(
        &mut self,
        path: Vec<String>,
        (span, value): (std::ops::Range<usize>, &Spanned<DeValue<'_>>),
        schema: &Value,
        form: Form,
        axes: &mut Vec<(usize, Axis)>,
    ) {
        let name = path.join(".");
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let DeValue::Table(table) = value.get_ref() else {
            let known: Vec<&str> = properties.keys().map(String::as_str).collect();
            let words = format!("`{name}` is a table: name one of its keys, `{name}.KEY`");
            self.checker.mistake(span, words, format!("its keys are: {}", known.join(", ")));
            return;
        };
        for (key, value) in table {
            let inner = key.get_ref().as_ref();
            if path.len() == 1 && path[0] != "data" && (inner == INPUTS || inner == "kind") {
                continue;
            }
            let path = [path.as_slice(), &[inner.to_owned()]].concat();
            match properties.get(inner) {
                Some(table) if table["properties"].is_object() => {
                    self.fields(path, (key.span(), value), table, form, axes);
                }
                Some(leaf) => axes.extend(self.axis(path, value, leaf, form)),
                None => {
                    let near = suggest::key(inner, schema, &[], &format!("{name}."));
                    self.checker.mistake(key.span(), format!("unknown key `{}`", path.join(".")), near);
                }
            }
        }
    }

    /// One axis with its place in the file.
    fn axis(
        &mut self,
        keys: Vec<String>,
        value: &Spanned<DeValue<'_>>,
        schema: &Value,
        form: Form,
    ) -> Option<(usize, Axis)> {
        let key = keys.join(".");
        let before = self.checker.mistakes.len();
        let mut found: Vec<(Value, std::ops::Range<usize>)> = Vec::new();
        let nested = |items: &DeValue<'_>| match items {
            DeValue::Array(items) => items.iter().all(|item| matches!(item.get_ref(), DeValue::Array(_))),
            _ => false,
        };
        // Of a key that takes an array, an array of arrays is several values.
        let several = schema["type"] != "array" || nested(value.get_ref());
        match value.get_ref() {
            DeValue::Array(items) if several => {
                if items.is_empty() {
                    self.checker.mistake(value.span(), format!("`{key}` has no values"), FORM);
                }
                for item in items {
                    self.value(&key, item, schema, &mut found);
                }
            }
            DeValue::String(_) if is_number(schema) => self.value(&key, value, schema, &mut found),
            _ if form == Form::Pattern => self.value(&key, value, schema, &mut found),
            _ => {
                let words =
                    format!("`{key}` must be an array of values, found {}", self.checker.written(value));
                self.checker.mistake(value.span(), words, FORM);
            }
        }
        if self.checker.mistakes.len() > before {
            return None;
        }
        let mut axis = Axis { key, choices: Vec::new() };
        for (value, span) in found {
            let choice = Choice::new(Setting {
                keys: keys.clone(),
                value,
                input: None,
                place: self.checker.place(span.clone()),
            });
            if axis.choices.iter().any(|other| other.word == choice.word) {
                let words = format!("`{}` has the value {} twice", axis.key, choice.word);
                self.checker.mistake(span, words, "");
                return None;
            }
            axis.choices.push(choice);
        }
        Some((value.span().start, axis))
    }

    /// A value, or the values of a range.
    fn value(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        schema: &Value,
        found: &mut Vec<(Value, std::ops::Range<usize>)>,
    ) {
        let span = value.span();
        match value.get_ref() {
            DeValue::String(text) if is_number(schema) => match range::values(text) {
                Ok(texts) => {
                    let numbers = texts
                        .iter()
                        .map(|text| (self.checker.number(key, text, span.clone(), schema), span.clone()));
                    found.extend(numbers.collect::<Vec<_>>());
                }
                Err(words) => self.checker.mistake(span, format!("`{key}` cannot be swept: {words}"), FORM),
            },
            _ => found.push((self.checker.value(key, value, schema), span)),
        }
    }
}

fn is_number(schema: &Value) -> bool {
    schema["type"] == "integer" || schema["type"] == "number"
}

/// The JSON Schema of the table; `axes` is where that of its axes stands.
pub fn schema(axes: &str) -> Value {
    let table = |what: &str| json!({"$ref": axes, "description": what});
    let some = |what: &str| json!({"type": "array", "items": {"$ref": axes}, "description": what});
    json!({
        "type": "object",
        "description": "A sweep: one pipeline at many points. Work that is equal at several points runs once.",
        "properties": {
            "matrix": table("Axes of which every combination is a point."),
            "zip": table("Axes taken side by side: their first values, their second values, ..."),
            "exclude": some("Points to leave out: those that have these values."),
            "include": some("Points to add; keys that an entry does not name are as in the file."),
        },
        "additionalProperties": false,
    })
}

/// The JSON Schema of axes. The names of stages are the file's own, so of them only the form is told.
pub fn axes(catalog: &Catalog) -> Value {
    let data = catalog.data["properties"].as_object().into_iter().flatten();
    let data: Map<String, Value> = data.map(|(key, property)| (key.clone(), several(property))).collect();
    json!({
        "type": "object",
        "minProperties": 1,
        "properties": {
            "seed": several(&catalog.top["properties"]["seed"]),
            "data": {"type": "object", "properties": data, "additionalProperties": false},
        },
        "additionalProperties": {
            "type": "object",
            "description": "Keys of this stage: KEY = [A, B], or a range such as \"0.1..0.9 step 0.1\".",
        },
    })
}

/// One value of a key, a range, or an array of both.
fn several(property: &Value) -> Value {
    let mut one = property.clone();
    let description = one.as_object_mut().and_then(|one| {
        one.remove("default");
        one.remove("description")
    });
    let mut forms = vec![one.clone(), json!({"type": "array", "items": one, "minItems": 1})];
    if is_number(property) {
        forms[1]["items"] = json!({"anyOf": [one, {"type": "string"}]});
        forms.push(
            json!({"type": "string", "description": "A range such as \"1..3\" or \"0.1..0.9 step 0.1\"."}),
        );
    }
    json!({"anyOf": forms, "description": description})
}
