//! Sweeps: `--over key=values` as the points of a grid.

use super::change;
use super::error::PipelineError;
use super::file::Pipeline;

/// The most points a sweep may have; beyond it something was mistyped.
const POINTS: usize = 100_000;

/// One point of a sweep.
#[derive(Debug, Clone)]
pub struct Point {
    /// The swept parameters and their values; empty without a sweep.
    pub label: Vec<(String, String)>,
    /// The pipeline there.
    pub pipeline: Pipeline,
}

/// A parameter and the values that it takes.
#[derive(Debug, PartialEq, Eq)]
struct Axis {
    key: String,
    values: Vec<String>,
}

impl Pipeline {
    /// The points of a sweep over `key=a,b,c` or `key=1..5` (all combinations); the pipeline itself without one.
    ///
    /// # Errors
    /// Values that the file could not have, a value or a key that stands twice, too many points.
    pub fn points(&self, over: &[String]) -> Result<Vec<Point>, PipelineError> {
        let mut labels: Vec<Vec<(String, String)>> = vec![Vec::new()];
        let mut keys: Vec<String> = Vec::new();
        let mut mistakes = Vec::new();
        for text in over {
            let axis = Axis::parse(text)?;
            if keys.contains(&axis.key) {
                let reason = format!("`{}` is swept twice; write all its values in one --over", axis.key);
                return Err(change::unreadable("--over", text, reason));
            }
            if labels.len().saturating_mul(axis.values.len()) > POINTS {
                let reason = format!("the sweep would have more than {POINTS} points");
                return Err(change::unreadable("--over", text, reason));
            }
            // Each value by itself first, so that every mistake is told once.
            for value in &axis.values {
                let change = format!("{}={value}", axis.key);
                mistakes.extend(change::apply("--over", &change, &mut self.clone())?);
            }
            let with = |label: &[(String, String)], value: &String| {
                [label, &[(axis.key.clone(), value.clone())]].concat()
            };
            let grid = labels.iter().flat_map(|label| axis.values.iter().map(|value| with(label, value)));
            labels = grid.collect();
            keys.push(axis.key.clone());
        }
        if !mistakes.is_empty() {
            return Err(change::error(mistakes));
        }
        labels.into_iter().map(|label| self.at(label)).collect()
    }

    fn at(&self, label: Vec<(String, String)>) -> Result<Point, PipelineError> {
        let mut pipeline = self.clone();
        for (key, value) in &label {
            change::apply("--over", &format!("{key}={value}"), &mut pipeline)?;
        }
        Ok(Point { label, pipeline })
    }
}

impl Axis {
    fn parse(text: &str) -> Result<Self, PipelineError> {
        let (key, values) = change::split("--over", text)?;
        let fail = |reason: String| change::unreadable("--over", text, reason);
        let mut found: Vec<String> = Vec::new();
        for (at, value) in split(values).into_iter().enumerate() {
            if value.is_empty() {
                return Err(fail(format!("value {} is empty", at + 1)));
            }
            for value in expand(value).map_err(&fail)? {
                found.push(value);
                if found.len() > POINTS {
                    return Err(fail(format!("the sweep would have more than {POINTS} points")));
                }
            }
        }
        if let Some(twice) = twice(&found) {
            return Err(fail(format!("the value {twice} stands twice")));
        }
        Ok(Self { key: key.to_owned(), values: found })
    }
}

/// Splits at the commas that stand in no brackets and no quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0i32, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// The values of `1..5` (both ends included) or `0.1..0.9 step 0.1`; anything else stands for itself.
fn expand(value: &str) -> Result<Vec<String>, String> {
    let itself = || Ok(vec![value.to_owned()]);
    let (range, step) = match value.split_once(" step ") {
        Some((range, step)) => (range.trim(), Some(step.trim())),
        None => (value, None),
    };
    let Some((from, to)) = range.split_once("..") else { return itself() };
    let (from, to) = (from.trim(), to.trim());
    let (Some(first), Some(last)) = (Decimal::parse(from), Decimal::parse(to)) else { return itself() };
    let step = match step {
        Some(text) => Decimal::parse(text).ok_or_else(|| format!("the step {text} is no decimal number"))?,
        None if first.places + last.places == 0 => Decimal { digits: 1, places: 0 },
        None => {
            return Err(format!("the range {range} needs a step, such as `{range} step 0.1`"));
        }
    };
    if step.digits <= 0 {
        return Err("the step of a range must be above zero".to_owned());
    }
    let places = first.places.max(last.places).max(step.places);
    let too_fine = || format!("the range {value} has too many digits");
    let at = |number: &Decimal| number.scaled(places).ok_or_else(too_fine);
    let (first, last, step) = (at(&first)?, at(&last)?, at(&step)?);
    if first > last {
        return Err(format!("the range {range} runs backwards"));
    }
    if (last - first) / step >= POINTS as i128 {
        return Err(format!("the range {range} has more than {POINTS} values"));
    }
    let count = (last - first) / step;
    Ok((0..=count).map(|n| Decimal { digits: first + n * step, places }.to_string()).collect())
}

/// A decimal number, exact: `digits / 10^places`.
struct Decimal {
    digits: i128,
    places: u32,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !number(whole) || !number(fraction) {
            return None;
        }
        let places = if digits.contains('.') { fraction.len() } else { 0 };
        Some(Self { digits: text.replace('.', "").parse().ok()?, places: u32::try_from(places).ok()? })
    }

    /// The digits for so many places.
    fn scaled(&self, places: u32) -> Option<i128> {
        // Far from overflow, so that sums and differences are safe.
        let scaled = self.digits.checked_mul(10i128.checked_pow(places - self.places)?)?;
        (scaled.unsigned_abs() < 1 << 100).then_some(scaled)
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = self.places as usize;
        if places == 0 {
            return write!(f, "{}", self.digits);
        }
        let sign = if self.digits < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.digits.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

/// A value that stands twice, numbers compared as numbers.
fn twice(values: &[String]) -> Option<&String> {
    let key = |value: &String| match value.parse::<f64>() {
        Ok(number) => format!("{number:?}"),
        Err(_) => format!("'{}", value.trim_matches(['"', '\''])),
    };
    let mut seen = std::collections::HashSet::new();
    values.iter().find(|value| !seen.insert(key(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        Axis::parse(&format!("k={text}")).unwrap().values
    }

    #[test]
    fn ranges_of_integers_have_both_ends_and_mix_with_single_values() {
        assert_eq!(values("1..3"), ["1", "2", "3"]);
        assert_eq!(values("-1..1, 7"), ["-1", "0", "1", "7"]);
        assert_eq!(values("5..5"), ["5"]);
        assert_eq!(values("0..10 step 5"), ["0", "5", "10"]);
    }

    #[test]
    fn ranges_of_decimals_are_exact_and_stop_at_their_end() {
        assert_eq!(values("0.1..0.5 step 0.1"), ["0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(values("0.1..0.4 step 0.25"), ["0.10", "0.35"]);
        assert_eq!(values("-0.5..0.5 step 0.5"), ["-0.5", "0.0", "0.5"]);
    }

    #[test]
    fn what_is_no_range_stays_as_it_is_written() {
        assert_eq!(values("../a, b..c, 1..x"), ["../a", "b..c", "1..x"]);
        assert_eq!(values("[0.5,0.75],[0.3]"), ["[0.5,0.75]", "[0.3]"]);
        assert_eq!(values("\"a,b\",'c'"), ["\"a,b\"", "'c'"]);
    }

    #[test]
    fn a_decimal_is_written_as_it_was_read() {
        for text in ["0", "12", "-3", "0.05", "-0.5", "10.00"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "-", ".5", "1.", "1e3", "0x1", "+1", "1_0"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }
}
