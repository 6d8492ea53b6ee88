//! References to other stages: `inputs.ROLE = "stage"` of a stage, of a sweep and of the command line.

use toml::Spanned;
use toml::de::DeValue;

use super::catalog::{InputRole, KindSchema};
use super::check::Checker;
use super::suggest::{meant, nearest};

/// A reference to outputs of another stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRef {
    /// The stage.
    pub stage: String,
    /// Its outputs.
    pub outputs: Vec<String>,
}

/// The key of a stage's inputs.
pub const INPUTS: &str = "inputs";

/// How a stage's kind is swept.
pub const KINDS: &str = "write a stage of each kind, and sweep the input of the stage that takes them: \
                         STAGE.inputs.ROLE = [\"a\", \"b\"]";

/// The stages that can be referred to.
pub trait Givers {
    /// The kind of the stage of this name.
    fn kind(&self, name: &str) -> Option<&KindSchema>;

    /// All names.
    fn names(&self) -> Vec<&str>;

    /// The names of the stages of a kind.
    fn names_of(&self, kind: &str) -> Vec<String>;

    /// Whether the stage of this name has mistakes of its own.
    fn is_broken(&self, name: &str) -> bool;
}

/// The role of this name, or a mistake.
pub fn role<'a>(
    kind: &'a KindSchema,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    checker: &mut Checker,
) -> Option<&'a InputRole> {
    let found = kind.inputs.iter().find(|input| input.role == name.get_ref().as_ref());
    if found.is_none() {
        let near = nearest(name.get_ref(), kind.inputs.iter().map(|input| input.role));
        let near = if near.is_empty() { "it takes none".to_owned() } else { near };
        checker.mistake(name.span(), format!("`{}` takes no input `{}`", kind.name, name.get_ref()), near);
    }
    found
}

/// What `"stage"` or `"stage.output"` refers to, or a list of these where the role takes several; `None`
/// where that is a mistake, here or in the stage itself.
pub fn read(
    input: &InputRole,
    value: &Spanned<DeValue<'_>>,
    givers: &dyn Givers,
    checker: &mut Checker,
) -> Option<InputRef> {
    match value.get_ref() {
        DeValue::Array(items) if input.many => list(input, value, items, givers, checker),
        DeValue::String(_) => one(input, value, givers, checker),
        _ => {
            let (what, help) = if input.many {
                (
                    "a string or a list of strings",
                    "write \"stage\", \"stage.output\" or [\"stage.a\", \"stage.b\"]",
                )
            } else {
                ("a string", "write \"stage\" or \"stage.output\"")
            };
            let words = format!("`inputs.{}` must be {what}, found {}", input.role, checker.written(value));
            checker.mistake(value.span(), words, help);
            None
        }
    }
}

/// Several outputs of one stage, each once, in the order in which they are written.
fn list(
    input: &InputRole,
    value: &Spanned<DeValue<'_>>,
    items: &[Spanned<DeValue<'_>>],
    givers: &dyn Givers,
    checker: &mut Checker,
) -> Option<InputRef> {
    let mut all: Option<InputRef> = None;
    for item in items {
        let found = match item.get_ref() {
            DeValue::String(_) => one(input, item, givers, checker)?,
            _ => {
                let words = format!("`inputs.{}` lists {}", input.role, checker.written(item));
                checker.mistake(item.span(), words, "write \"stage\" or \"stage.output\"");
                return None;
            }
        };
        let known = all.get_or_insert_with(|| InputRef { stage: found.stage.clone(), outputs: Vec::new() });
        if known.stage != found.stage {
            let words = format!(
                "`inputs.{}` lists outputs of several stages, `{}` and `{}`",
                input.role, known.stage, found.stage
            );
            checker.mistake(
                item.span(),
                words,
                "list outputs of one stage; write a stage like this one for each other",
            );
            return None;
        }
        for output in found.outputs {
            if !known.outputs.contains(&output) {
                known.outputs.push(output);
            }
        }
    }
    if all.is_none() {
        let words = format!("`inputs.{}` is an empty list", input.role);
        checker.mistake(value.span(), words, "write \"stage\" or \"stage.output\"");
    }
    all
}

/// What `"stage"` or `"stage.output"` refers to.
fn one(
    input: &InputRole,
    value: &Spanned<DeValue<'_>>,
    givers: &dyn Givers,
    checker: &mut Checker,
) -> Option<InputRef> {
    let DeValue::String(text) = value.get_ref() else { return None };
    let (target, output) = text.split_once('.').map_or((text.as_ref(), None), |(s, o)| (s, Some(o)));
    let Some(giver) = givers.kind(target) else {
        if !givers.is_broken(target) {
            if checker.is_full() {
                checker.mistake(value.span(), format!("no stage is called `{target}`"), "");
                return None;
            }
            let names = givers.names();
            let of_kind = givers.names_of(target);
            let near = if of_kind.is_empty() { nearest(target, names) } else { meant(of_kind) };
            checker.mistake(value.span(), format!("no stage is called `{target}`"), near);
        }
        return None;
    };
    let outputs = giver.outputs;
    let mut fitting: Vec<&str> =
        outputs.iter().filter(|output| output.artifact == input.artifact).map(|output| output.name).collect();
    if fitting.is_empty() {
        let gives: Vec<String> = outputs.iter().map(|output| format!("`{}`", output.artifact)).collect();
        let gives = if gives.is_empty() { "nothing".to_owned() } else { gives.join(", ") };
        let words =
            format!("`inputs.{}` takes `{}`, but `{target}` gives {gives}", input.role, input.artifact);
        checker.mistake(value.span(), words, "");
        return None;
    }
    if let Some(output) = output {
        if !fitting.contains(&output) {
            let near = nearest(output, fitting);
            checker.mistake(value.span(), format!("`{target}` has no output `{output}`"), near);
            return None;
        }
        fitting = vec![output];
    }
    if !input.many {
        fitting.truncate(1);
    }
    let outputs = fitting.into_iter().map(str::to_owned).collect();
    Some(InputRef { stage: target.to_owned(), outputs })
}
