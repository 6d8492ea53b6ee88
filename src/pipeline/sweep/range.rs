//! Values as one text: `0.3,0.5`, `1..5`, `0.1..0.9 step 0.1`.

use super::POINTS;

/// The values of a text.
///
/// # Errors
/// An empty value, a range that cannot be, too many values.
pub fn values(text: &str) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = Vec::new();
    for (at, value) in split(text).into_iter().enumerate() {
        if value.is_empty() {
            return Err(format!("value {} is empty", at + 1));
        }
        for value in expand(value)? {
            found.push(value);
            if found.len() > POINTS {
                return Err(format!("the sweep would have more than {POINTS} points"));
            }
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        super::values(text).unwrap()
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
