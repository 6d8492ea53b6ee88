//! The `[[stage]]` tables: kinds, names, parameters and references to each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::catalog::{Catalog, KindSchema};
use super::check::Checker;
use super::error::Place;
use super::inputs::{self, Givers, InputRef};
use super::suggest::nearest_kind;

/// A stage as declared.
#[derive(Debug, Clone)]
pub struct StageDecl {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its inputs by role.
    pub inputs: BTreeMap<String, InputRef>,
    /// The parameters that are written; defaults are the stage's own affair.
    pub parameters: Map<String, Value>,
    /// The longest that it may run; never hashed.
    pub timeout: Option<Duration>,
    /// Where keys are written: parameters, `inputs.ROLE`, and the kind under an empty key.
    pub(super) places: HashMap<String, Place>,
}

/// The stages of a file.
pub struct Declared {
    /// Those without mistakes in their heads, in the order of the file.
    pub stages: Vec<StageDecl>,
    /// Names of the others, whose mistakes are told already: who refers to them makes no mistake.
    pub broken: BTreeSet<String>,
}

impl Declared {
    /// The kind of a stage.
    pub fn kind(&self, name: &str) -> Option<&str> {
        self.stages.iter().find(|stage| stage.name == name).map(|stage| stage.kind.as_str())
    }
}

/// The head of a stage: enough for others to refer to it.
struct Head<'a> {
    name: String,
    kind: &'a KindSchema,
    kind_span: Range<usize>,
    fields: &'a DeTable<'a>,
}

/// All heads, as those that a stage may refer to.
struct Heads<'a> {
    heads: &'a [Head<'a>],
    broken: &'a BTreeSet<String>,
}

impl Givers for Heads<'_> {
    fn kind(&self, name: &str) -> Option<&KindSchema> {
        self.heads.iter().find(|head| head.name == name).map(|head| head.kind)
    }

    fn names(&self) -> Vec<&str> {
        self.heads.iter().map(|head| head.name.as_str()).collect()
    }

    fn names_of(&self, kind: &str) -> Vec<String> {
        self.heads.iter().filter(|head| head.kind.name == kind).map(|head| head.name.clone()).collect()
    }

    fn is_broken(&self, name: &str) -> bool {
        self.broken.contains(name)
    }
}

/// Declared stages, as those that a change may refer to.
pub struct Known<'a> {
    /// The stages.
    pub stages: &'a [StageDecl],
    /// Names of stages with mistakes.
    pub broken: &'a BTreeSet<String>,
    /// Their kinds.
    pub catalog: &'a Catalog,
}

impl Givers for Known<'_> {
    fn kind(&self, name: &str) -> Option<&KindSchema> {
        let stage = self.stages.iter().find(|stage| stage.name == name)?;
        self.catalog.kind(&stage.kind)
    }

    fn names(&self) -> Vec<&str> {
        self.stages.iter().map(|stage| stage.name.as_str()).collect()
    }

    fn names_of(&self, kind: &str) -> Vec<String> {
        self.stages.iter().filter(|stage| stage.kind == kind).map(|stage| stage.name.clone()).collect()
    }

    fn is_broken(&self, name: &str) -> bool {
        self.broken.contains(name)
    }
}

/// Reads all stages. References may point down the file, so all heads are read first.
pub fn read<'a>(root: &'a DeTable<'a>, catalog: &'a Catalog, checker: &mut Checker) -> Declared {
    let mut broken = BTreeSet::new();
    let tables = match root.get("stage").map(|value| (value.get_ref(), value.span())) {
        Some((DeValue::Array(tables), _)) if !tables.is_empty() => tables,
        None | Some((DeValue::Array(_), _)) => {
            checker.mistake(0..0, "the pipeline has no stages", "add a `[[stage]]` with its `kind`");
            return Declared { stages: Vec::new(), broken };
        }
        Some((_, span)) => {
            let help = "write `[[stage]]`, in two brackets, above each stage";
            checker.mistake(span, "`stage` must be an array of tables", help);
            return Declared { stages: Vec::new(), broken };
        }
    };
    let mut heads: Vec<Head<'a>> = Vec::new();
    for table in tables {
        if let Some(head) = head(table, catalog, &mut broken, checker) {
            if heads.iter().any(|other| other.name == head.name) {
                let span = head.fields.get("name").map_or(head.kind_span, Spanned::span);
                let words = format!("two stages are called `{}`", head.name);
                checker.mistake(span, words, "give one of them another `name`");
            } else {
                heads.push(head);
            }
        }
    }
    let stages = heads.iter().map(|head| body(head, &heads, &broken, checker)).collect();
    Declared { stages, broken }
}

fn head<'a>(
    table: &'a Spanned<DeValue<'a>>,
    catalog: &'a Catalog,
    broken: &mut BTreeSet<String>,
    checker: &mut Checker,
) -> Option<Head<'a>> {
    let DeValue::Table(fields) = table.get_ref() else {
        let words = format!("a stage must be a table, found {}", checker.written(table));
        checker.mistake(table.span(), words, "write `[[stage]]`");
        return None;
    };
    let name = match fields.get("name").map(|name| (name.get_ref(), name)) {
        None => None,
        Some((DeValue::String(text), value)) => Some((text.to_string(), value.span())),
        Some((_, value)) => {
            let words = format!("`name` must be a string, found {}", checker.written(value));
            checker.mistake(value.span(), words, "");
            return None;
        }
    };
    let kinds: Vec<&str> = catalog.kinds.iter().map(|kind| kind.name).collect();
    let Some(written) = fields.get("kind") else {
        broken.extend(name.map(|(name, _)| name));
        let help = format!("one of {}", kinds.join(", "));
        checker.mistake(table.span(), "a stage needs its `kind`", help);
        return None;
    };
    let kind_span = written.span();
    let DeValue::String(kind_name) = written.get_ref() else {
        broken.extend(name.map(|(name, _)| name));
        let words = format!("`kind` must be a string, found {}", checker.written(written));
        checker.mistake(kind_span, words, format!("one of {}", kinds.join(", ")));
        return None;
    };
    let (name, name_span) = name.unwrap_or_else(|| (kind_name.to_string(), kind_span.clone()));
    let Some(kind) = catalog.kind(kind_name) else {
        broken.insert(name);
        checker.mistake(kind_span, format!("unknown kind `{kind_name}`"), nearest_kind(kind_name, &kinds));
        return None;
    };
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let taken = name == "data" || name == "seed";
    if name.is_empty() || name.starts_with('-') || !name.chars().all(legal) || taken {
        let words = format!("`{name}` cannot be a stage's name");
        let help = "use small letters, digits and hyphens; `data` and `seed` are taken";
        let fitting = fitting(&name);
        let help = if fitting.is_empty() { help.to_owned() } else { format!("{help}: \"{fitting}\"") };
        checker.mistake(name_span, words, help);
    }
    Some(Head { name, kind, kind_span, fields })
}

/// The letters of a name that a stage's name can have.
fn fitting(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().map(plain).collect();
    let words: Vec<&str> = text.split('-').filter(|word| !word.is_empty()).collect();
    let name = words.join("-");
    if name == "data" || name == "seed" { format!("the-{name}") } else { name }
}

/// The stages that can fill a role.
fn candidates(artifact: &str, own: &str, heads: &[Head<'_>]) -> Vec<String> {
    let gives = |head: &&Head<'_>| {
        head.name != own && head.kind.outputs.iter().any(|output| output.artifact == artifact)
    };
    heads.iter().filter(gives).map(|head| format!("\"{}\"", head.name)).collect()
}

/// The parameters of a stage, and its inputs among all stages.
fn body(head: &Head<'_>, heads: &[Head<'_>], broken: &BTreeSet<String>, checker: &mut Checker) -> StageDecl {
    let Head { name, kind, kind_span, fields } = head;
    let parameters = checker.table("", fields, &kind.parameters, &["kind", "name", "inputs", "timeout"]);
    let mut places: HashMap<String, Place> =
        fields.iter().map(|(key, value)| (key.get_ref().to_string(), checker.place(value.span()))).collect();
    places.insert(String::new(), checker.place(kind_span.clone()));
    let timeout = fields.get("timeout").and_then(|value| timeout(value, checker));
    let mut taken = BTreeMap::new();
    let empty = DeTable::default();
    let written = match fields.get("inputs").map(|inputs| (inputs.get_ref(), inputs)) {
        None => &empty,
        Some((DeValue::Table(written), _)) => written,
        Some((_, value)) => {
            let words = format!("`inputs` must be a table, found {}", checker.written(value));
            let role = kind.inputs.first();
            let given = role.and_then(|role| candidates(role.artifact, name, heads).into_iter().next_back());
            let help = match role {
                Some(role) => {
                    format!("write `inputs.{} = {}`", role.role, given.as_deref().unwrap_or("\"STAGE\""))
                }
                None => format!("`{}` takes no inputs: leave the key out", kind.name),
            };
            checker.mistake(value.span(), words, help);
            return StageDecl {
                name: name.clone(),
                kind: kind.name.to_owned(),
                inputs: taken,
                parameters,
                timeout,
                places,
            };
        }
    };
    for (role, value) in written {
        let Some(input) = inputs::role(kind, role, checker) else { continue };
        places.insert(format!("inputs.{}", input.role), checker.place(value.span()));
        if let Some(found) = inputs::read(input, value, &Heads { heads, broken }, checker) {
            taken.insert(input.role.to_owned(), found);
        }
    }
    for input in kind.inputs {
        if input.required && !written.iter().any(|(role, _)| role.get_ref() == input.role) {
            let words = format!("`{name}` needs the input `{}`: {}", input.role, input.doc);
            let given = candidates(input.artifact, name, heads);
            let help = match given.as_slice() {
                [] => {
                    format!(
                        "add a stage that gives `{}`, and `inputs.{} = \"STAGE\"` here",
                        input.artifact, input.role
                    )
                }
                [one] => format!("add `inputs.{} = {one}`", input.role),
                many => format!("add `inputs.{} = \"STAGE\"`, with one of {}", input.role, many.join(", ")),
            };
            checker.mistake(kind_span.clone(), words, help);
        }
    }
    StageDecl { name: name.clone(), kind: kind.name.to_owned(), inputs: taken, parameters, timeout, places }
}

fn timeout(value: &Spanned<DeValue<'_>>, checker: &mut Checker) -> Option<Duration> {
    let read = match value.get_ref() {
        DeValue::String(text) => duration(text),
        _ => None,
    };
    if read.is_none() {
        let words = format!("`timeout` must be a time, found {}", checker.written(value));
        checker.mistake(value.span(), words, TIME);
    }
    read
}

/// How a time is written.
pub const TIME: &str = "write a number and a unit: \"90s\", \"30min\", \"2h\" or \"1h 30min\"";

/// A time such as `90s` or `1h 30min`; `None` if it is none, or not above zero.
pub fn duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok().filter(|time| !time.is_zero())
}
