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
            return Err(format!(
                "the range {range} needs a step, such as `{range} step {}`",
                tenth(&first, &last)
            ));
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

/// A step of the size of a range's finer end.
fn tenth(first: &Decimal, last: &Decimal) -> String {
    Decimal { digits: 1, places: first.places.max(last.places) }.to_string()
}

/// The largest exponent of a number in a range.
const EXPONENT: u32 = 30;

/// A decimal number, exact: `digits / 10^places`.
struct Decimal {
    digits: i128,
    places: u32,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (text, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        if exponent.unsigned_abs() > EXPONENT {
            return None;
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !number(whole) || !number(fraction) {
            return None;
        }
        let places = if digits.contains('.') { i32::try_from(fraction.len()).ok()? } else { 0 };
        let digits: i128 = text.replace('.', "").parse().ok()?;
        let places = places.checked_sub(exponent)?;
        match u32::try_from(places) {
            Ok(places) => Some(Self { digits, places }),
            Err(_) => {
                let digits = digits.checked_mul(10i128.checked_pow(places.unsigned_abs())?)?;
                Some(Self { digits, places: 0 })
            }
        }
    }

    /// The digits for so many places.
    fn scaled(&self, places: u32) -> Option<i128> {
        // Far from overflow, so that sums and differences are safe.
        let scaled = self.digits.checked_mul(10i128.checked_pow(places.checked_sub(self.places)?)?)?;
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
    fn ranges_take_exponents() {
        assert_eq!(values("1e-4..1e-3 step 3e-4"), ["0.0001", "0.0004", "0.0007", "0.0010"]);
        assert_eq!(values("1e2..3E2 step 1e2"), ["100", "200", "300"]);
        assert_eq!(values("-1e-1..0 step 5e-2"), ["-0.10", "-0.05", "0.00"]);
        assert!(super::values("1e-4..1e-2").unwrap_err().contains("step"));
        assert!(super::values("1e-29..1 step 1e-29").is_err());
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
        for (text, decimal) in
            [("1e3", "1000"), ("2.5e-3", "0.0025"), ("+1", "1"), ("-1E-2", "-0.01"), ("1.50e1", "15.0")]
        {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), decimal);
        }
        for text in ["", "-", ".5", "1.", "e3", "1e", "1e99", "1e3e3", "0x1", "1_0", "--1"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }
}
