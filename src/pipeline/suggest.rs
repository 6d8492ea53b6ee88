//! The help beside a mistake: the key, word or value that was probably meant.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use toml::de::DeValue;

use crate::shown::beginning;

/// Names by which other tools call a key, and ours.
const OTHER_NAMES: [(&str, &str); 26] = [
    ("learning_rate", "lr"),
    ("learningrate", "lr"),
    ("wd", "weight_decay"),
    ("l2", "weight_decay"),
    ("decay", "weight_decay"),
    ("batch", "batch_size"),
    ("bs", "batch_size"),
    ("num_epochs", "epochs"),
    ("n_epochs", "epochs"),
    ("max_epochs", "epochs"),
    ("max_steps", "steps"),
    ("iterations", "steps"),
    ("dataset", "set"),
    ("path", "dir"),
    ("folder", "dir"),
    ("root", "dir"),
    ("val", "validation"),
    ("valid", "validation"),
    ("model", "arch"),
    ("architecture", "arch"),
    ("warmup", "warmup_epochs"),
    ("pruning_ratio", "flops_ratio"),
    ("keep_ratio", "flops_ratio"),
    ("ratio", "flops_ratio"),
    ("type", "kind"),
    ("needs", "inputs"),
];

/// Names by which other tools call a kind of stage, and ours.
const OTHER_KINDS: [(&str, &str); 9] = [
    ("train", "retrain"),
    ("training", "retrain"),
    ("finetune", "retrain"),
    ("fine-tune", "retrain"),
    ("evaluate", "eval"),
    ("test", "eval"),
    ("model", "init"),
    ("network", "init"),
    ("search", "threshold-search"),
];

/// From this likeness on, a name was probably meant.
const LIKE: f64 = 0.75;
/// An unknown name is compared with at most this many known ones.
const COMPARED: usize = 1000;
/// A longer name, in bytes, is like none, and takes long to compare.
const LONGEST: usize = 200;
/// Of a name in a list, at most this many characters.
const REPEATED: usize = 40;
/// A message names at most this many keys that may be meant.
const NAMED: usize = 4;
/// A list of all that is allowed stops after this many.
const LISTED: usize = 40;

/// How alike two names are, whatever their case and their separators: from 0 to 1.
fn likeness(a: &str, b: &str) -> f64 {
    if a.len().max(b.len()) > LONGEST {
        return 0.0;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let (a, b) = (plain(a), plain(b));
    let bare = |text: &str| text.replace('_', "");
    if a == b || bare(&a) == bare(&b) { 1.0 } else { strsim::jaro_winkler(&a, &b) }
}

fn like<'a>(name: &str, known: &[&'a str]) -> Option<(f64, &'a str)> {
    let scored = known.iter().take(COMPARED).map(|other| (likeness(name, other), *other));
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(score, _)| *score > LIKE)
}

/// The nearest of several names, or all of them: the help beside an unknown name.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let known: Vec<&str> = known.into_iter().collect();
    match like(name, &known) {
        Some((_, near)) => format!("did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!("allowed are: {}", listed(&known)),
    }
}

fn listed(known: &[&str]) -> String {
    let more = known.len().saturating_sub(LISTED);
    let words =
        known.iter().take(LISTED).map(|name| beginning(name, REPEATED)).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{words} and {more} more") } else { words }
}

/// As [`nearest`], of kinds of stages.
pub fn nearest_kind(name: &str, kinds: &[&str]) -> String {
    let plain = name.to_lowercase().replace('_', "-");
    let other = OTHER_KINDS.iter().find(|(other, own)| *other == plain && kinds.contains(own));
    match other {
        Some((_, own)) => format!("did you mean `{own}`?"),
        None => nearest(name, kinds.iter().copied()),
    }
}

/// The dotted keys of a table and of the tables in it.
pub fn keys(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        if property["properties"].is_object() {
            found.extend(keys(property).into_iter().map(|inner| format!("{key}.{inner}")));
        } else {
            found.push(key.clone());
        }
    }
    found
}

/// The keys of a table that end with `name`, or with what it is called here.
pub fn ending(schema: &Value, name: &str) -> Vec<String> {
    if name.len() > LONGEST {
        return Vec::new();
    }
    let plain = name.to_lowercase().replace('-', "_");
    let own = OTHER_NAMES.iter().find(|(other, _)| *other == plain).map_or(plain.as_str(), |(_, own)| own);
    let ends = |key: &String| {
        let rest = key.strip_suffix(own);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    keys(schema).into_iter().filter(ends).collect()
}

/// The help beside an unknown key of a table; `also` are keys that its schema does not have. `prefix` stands
/// before the keys that are suggested: `retrain.`.
pub fn key(name: &str, schema: &Value, also: &[&str], prefix: &str) -> String {
    let deeper = ending(schema, name);
    if !deeper.is_empty() {
        return meant(deeper.iter().map(|key| format!("{prefix}{key}")));
    }
    let plain = name.to_lowercase();
    if let Some((_, own)) = OTHER_NAMES.iter().find(|(other, own)| *other == plain && also.contains(own)) {
        return meant([format!("{prefix}{own}")]);
    }
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let own: Vec<&str> = properties.keys().map(String::as_str).chain(also.iter().copied()).collect();
    let all = keys(schema);
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let inner = all
        .iter()
        .filter(|key| key.contains('.'))
        .map(|key| (likeness(name, &last(key)), key))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(score, _)| *score > LIKE);
    match (like(name, &own), inner) {
        (Some((score, near)), inner) if inner.is_none_or(|(inner, _)| inner <= score) => {
            meant([format!("{prefix}{near}")])
        }
        (_, Some((_, near))) => meant([format!("{prefix}{near}")]),
        _ => nearest(name, own),
    }
}

/// The question whether one of several keys is meant.
pub fn meant(keys: impl IntoIterator<Item = String>) -> String {
    let keys: Vec<String> = keys.into_iter().map(|key| format!("`{key}`")).collect();
    match keys.as_slice() {
        [] => String::new(),
        [one] => format!("did you mean {one}?"),
        many => {
            let more = if many.len() > NAMED { ", ..." } else { "" };
            format!("did you mean one of {}{more}?", many[..many.len().min(NAMED)].join(", "))
        }
    }
}

/// The help beside a value that does not fit the schema of its key.
pub fn value(key: &str, found: &DeValue<'_>, schema: &Value) -> String {
    let wanted = schema["type"].as_str().unwrap_or_default();
    match (wanted, found) {
        ("object", DeValue::String(word)) => {
            let kinds = schema["properties"]["kind"]["enum"].as_array();
            match kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == word.as_ref())) {
                true => format!("write `{key}.kind = \"{word}\"`"),
                false => format!("write `{key}.KEY = VALUE`; its keys are: {}", keys(schema).join(", ")),
            }
        }
        ("object", _) => format!("write `{key}.KEY = VALUE`; its keys are: {}", keys(schema).join(", ")),
        ("array", DeValue::Integer(_) | DeValue::Float(_)) => {
            "write one value in brackets: [VALUE]".to_owned()
        }
        ("integer" | "number", DeValue::String(text)) => number_in(text, schema),
        ("integer" | "number", DeValue::Integer(digits)) => {
            share(i128::from_str_radix(digits.as_str(), digits.radix()).ok().map(|n| n as f64), schema)
        }
        ("integer", DeValue::Float(digits)) => whole(digits.as_str().parse().ok(), schema),
        ("number", DeValue::Float(digits)) => share(digits.as_str().parse().ok(), schema),
        ("boolean", DeValue::String(text)) => truth(text),
        ("boolean", DeValue::Integer(digits)) => truth(digits.as_str()),
        ("string", DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_))
            if schema["enum"].is_null() =>
        {
            "write it in quotes".to_owned()
        }
        ("integer" | "number" | "boolean" | "string", DeValue::Array(_)) => sweep(),
        ("string", DeValue::String(text)) => {
            let near = nearest(text, words(schema));
            // The list of choices is in the message already.
            if near.starts_with("did") { near } else { String::new() }
        }
        _ => String::new(),
    }
}

fn sweep() -> String {
    "to run several values, sweep the key: in `[sweep.matrix]`, or with `--over KEY=A,B,C`".to_owned()
}

/// The help beside a text where a number is wanted.
pub fn number_in(text: &str, schema: &Value) -> String {
    let text = text.trim();
    let fits = |number: f64| within(number, schema) && (schema["type"] != "integer" || number.fract() == 0.0);
    if let Some(percent) = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok()) {
        let share = rounded(percent / 100.0);
        return if fits(share) { format!("did you mean {share}?") } else { String::new() };
    }
    if let Ok(number) = text.parse::<f64>() {
        return if fits(number) {
            format!("write it without quotes: {text}")
        } else {
            share(Some(number), schema)
        };
    }
    if let Some(number) = text.replacen(',', ".", 1).parse::<f64>().ok().filter(|number| fits(*number)) {
        if number.fract() != 0.0 {
            return format!("did you mean {number}? Several values are swept: `--over KEY=A,B,C`");
        }
    }
    if text.contains(',') {
        return sweep();
    }
    if text.contains("..") || text.contains(" to ") || text.contains("step") {
        return "a range is swept, and is written 1..5, 0.1..0.9 step 0.1 or 1e-4..5e-4 step 1e-4: in \
                `[sweep.matrix]`, or with `--over KEY=RANGE`"
            .to_owned();
    }
    String::new()
}

/// A share that was written in percent.
fn share(number: Option<f64>, schema: &Value) -> String {
    let most = schema["maximum"].as_f64().filter(|most| *most <= 1.0);
    // 1.5 is a share that is too large rather than one and a half percent.
    let is_percent =
        |number: &f64| most.is_some() && *number > 1.0 && (number.fract() == 0.0 || *number >= 10.0);
    let share = number.filter(is_percent).map(|number| rounded(number / 100.0));
    share
        .filter(|share| within(*share, schema))
        .map_or(String::new(), |share| format!("did you mean {share}?"))
}

/// An integer that was written with a fraction or an exponent.
fn whole(number: Option<f64>, schema: &Value) -> String {
    let exact = |number: &f64| number.is_finite() && number.abs() < 1e15 && within(*number, schema);
    match number.filter(exact) {
        Some(number) if number.fract() == 0.0 => format!("write {number:.0}"),
        _ => String::new(),
    }
}

fn truth(text: &str) -> String {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => "write true, without quotes".to_owned(),
        "false" | "no" | "off" | "0" => "write false, without quotes".to_owned(),
        _ => String::new(),
    }
}

/// Whether a number lies within the bounds of its schema.
pub fn within(number: f64, schema: &Value) -> bool {
    let above = schema["minimum"].as_f64().is_none_or(|low| number >= low);
    above && schema["maximum"].as_f64().is_none_or(|high| number <= high)
}

/// The words that a value may be.
pub fn words(schema: &Value) -> impl Iterator<Item = &str> {
    schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// A number without what binary arithmetic has left at its end: 0.30000000000000004 is 0.3, and -0 is 0. A
/// number that has many digits of its own stays as it is.
pub fn rounded(number: f64) -> f64 {
    /// Digits that a decimal number keeps in binary.
    const KEPT: usize = 15;
    /// A number of more digits is meant as it is written.
    const SHORT: usize = 12;
    if number == 0.0 {
        return 0.0;
    }
    let text = format!("{number:.*e}", KEPT - 1);
    let digits = text.split('e').next().unwrap_or_default();
    let digits = digits.trim_start_matches('-').trim_end_matches('0').len();
    // One of them is the point.
    if digits <= SHORT + 1 { text.parse().unwrap_or(number) } else { number }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_arithmetic_leaves_at_the_end_of_a_number_is_dropped() {
        for (written, meant) in [
            (0.300_000_000_000_000_04, 0.3),
            (0.799_999_999_999_999_9, 0.8),
            (0.1 + 0.2 + 1e-17, 0.3),
            (-0.0, 0.0),
            (1e-4, 1e-4),
            (1.0 / 3.0, 1.0 / 3.0),
            (0.123_456_789_012_345_67, 0.123_456_789_012_345_67),
            (f64::MAX, f64::MAX),
            (5e-324, 5e-324),
        ] {
            assert_eq!(rounded(written).to_bits(), f64::to_bits(meant), "{written}");
        }
    }

    #[test]
    fn short_and_foreign_names_lead_to_the_full_key() {
        let schema = json!({"properties": {
            "epochs": {"type": "integer"},
            "optimizer": {"properties": {"lr": {"type": "number"}, "weight_decay": {"type": "number"}}},
        }});
        let of = |name: &str| key(name, &schema, &["kind", "inputs"], "");
        assert_eq!(of("lr"), "did you mean `optimizer.lr`?");
        assert_eq!(of("learning_rate"), "did you mean `optimizer.lr`?");
        assert_eq!(of("Weight-Decay"), "did you mean `optimizer.weight_decay`?");
        assert_eq!(of("wieght_decay"), "did you mean `optimizer.weight_decay`?");
        assert_eq!(of("epoch"), "did you mean `epochs`?");
        assert_eq!(of("input"), "did you mean `inputs`?");
        assert_eq!(of("type"), "did you mean `kind`?");
        assert!(of("xyz").starts_with("allowed are: "));
    }
}
