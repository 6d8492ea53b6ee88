//! Labels of points as figures write them: seeds are what is averaged over, and long keys are shortened.

use std::collections::BTreeMap;

/// The swept parameters of a point and their values.
pub type Label = Vec<(String, String)>;

/// Whether a swept key is a seed, over which figures average.
pub fn is_seed(key: &str) -> bool {
    key == "seed" || key.ends_with(".seed")
}

/// A label without its seeds.
pub fn without_seeds(label: &Label) -> Label {
    label.iter().filter(|(key, _)| !is_seed(key)).cloned().collect()
}

/// The seeds of a label.
pub fn seeds(label: &Label) -> Label {
    label.iter().filter(|(key, _)| is_seed(key)).cloned().collect()
}

/// A label with the shortest keys that tell its values apart: the `flops_ratio` of five searches that all are 0.3 is
/// one `flops_ratio=0.3`.
pub fn short(label: &Label) -> Label {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let mut found = Label::new();
    for (key, value) in label {
        let name = last(key);
        let agree = label.iter().filter(|(other, _)| last(other) == name).all(|(_, other)| other == value);
        let term = (if agree { name } else { key.clone() }, value.clone());
        if !found.contains(&term) {
            found.push(term);
        }
    }
    found
}

/// [`short`] in words: `flops_ratio=0.3 seed=1`.
pub fn words(label: &Label) -> String {
    let terms: Vec<String> = short(label).iter().map(|(key, value)| format!("{key}={value}")).collect();
    terms.join(" ")
}

/// Numbers of a point as figures write them: `30% of the FLOPs`, and other keys as [`words`] has them.
pub fn budget(label: &Label) -> String {
    let word = |(key, value): &(String, String)| match value.parse::<f64>() {
        Ok(ratio) if key.ends_with("flops_ratio") => {
            format!("{}% of the FLOPs", crate::report::format::number(100.0 * ratio))
        }
        _ => format!("{key}={value}"),
    };
    short(label).iter().map(word).collect::<Vec<_>>().join(", ")
}

/// What a curve of networks is called, and where its networks stand on it: values that are words (a rule, a budget of
/// training) tell methods apart, numbers are places on a curve. The stage that trained is named where there are no words, or
/// several such stages.
pub fn method(stage: &str, several: bool, label: &Label) -> (String, Label) {
    // A point that was included without a key has no value for it.
    let given = label.iter().filter(|(_, value)| !value.is_empty()).cloned();
    let (numbers, words): (Label, Label) = given.partition(|(_, value)| value.parse::<f64>().is_ok());
    let mut names: Vec<String> = Vec::new();
    for (key, value) in short(&words) {
        // Of these the value alone says nothing.
        let is_plain = matches!(value.as_str(), "true" | "false");
        let name = if is_plain { format!("{key}={value}") } else { value };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if several || names.is_empty() {
        names.insert(0, stage.to_owned());
    }
    (names.join(", "), numbers)
}

/// Whether networks of several stages would share a name at the same place.
pub fn several<'a>(networks: impl Iterator<Item = (&'a str, &'a Label)>) -> bool {
    let mut known: BTreeMap<(String, Label), &str> = BTreeMap::new();
    networks
        .map(|(stage, label)| (stage, *known.entry(method(stage, false, label)).or_insert(stage)))
        .any(|(stage, first)| stage != first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(terms: &[(&str, &str)]) -> Label {
        terms.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn keys_that_agree_are_one_short_key_and_others_stay_whole() {
        let agree = label(&[("a.flops_ratio", "0.3"), ("b.flops_ratio", "0.3"), ("seed", "1")]);
        assert_eq!(words(&agree), "flops_ratio=0.3 seed=1");
        let differ = label(&[("a.flops_ratio", "0.3"), ("b.flops_ratio", "0.5"), ("c.lr", "0.1")]);
        assert_eq!(words(&differ), "a.flops_ratio=0.3 b.flops_ratio=0.5 lr=0.1");
        assert_eq!(words(&Label::new()), "");
    }

    #[test]
    fn words_name_the_method_and_numbers_are_places_on_its_curve() {
        let rule = label(&[("search.flops_ratio", "0.3"), ("search.inputs.scores", "slimming")]);
        let (name, places) = method("retrain", false, &rule);
        assert_eq!((name.as_str(), places), ("slimming", label(&[("search.flops_ratio", "0.3")])));
        let inherits = label(&[
            ("search.inputs.scores", "slimming"),
            ("prune.inputs.network", "slimming"),
            ("prune.weights", "inherit"),
            ("retrain.flip", "false"),
        ]);
        assert_eq!(method("retrain", false, &inherits).0, "slimming, inherit, flip=false");
        assert_eq!(method("retrain", false, &label(&[("seed", "1")])).0, "retrain");
        assert_eq!(method("retrain", true, &rule).0, "retrain, slimming");
        let without = label(&[("search.inputs.scores", ""), ("retrain.inputs.network", "init")]);
        assert_eq!(method("retrain", false, &without).0, "init");
        assert!(several([("a", &rule), ("b", &rule)].into_iter()));
        assert!(!several([("a", &rule), ("a", &rule), ("b", &inherits)].into_iter()));
    }

    #[test]
    fn a_seed_of_a_stage_is_a_seed_as_well() {
        let all = label(&[("seed", "1"), ("init.seed", "2"), ("retrain.epochs", "3")]);
        assert_eq!(without_seeds(&all), label(&[("retrain.epochs", "3")]));
        assert_eq!(seeds(&all), label(&[("seed", "1"), ("init.seed", "2")]));
    }
}
