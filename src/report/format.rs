//! Numbers as people read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A count with a decimal prefix: `398.14 M`.
pub fn count(value: u64) -> String {
    const PREFIXES: [(f64, &str); 3] = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    let number = value as f64;
    for (scale, prefix) in PREFIXES {
        if number >= scale {
            return format!("{:.2}{prefix}", number / scale);
        }
    }
    value.to_string()
}

/// A size in bytes with a binary prefix: `1.50 MiB`.
pub fn bytes(value: u64) -> String {
    const PREFIXES: [(f64, &str); 3] =
        [((1u64 << 30) as f64, "GiB"), ((1u64 << 20) as f64, "MiB"), (1024.0, "KiB")];
    let number = value as f64;
    for (scale, prefix) in PREFIXES {
        if number >= scale {
            return format!("{:.2} {prefix}", number / scale);
        }
    }
    format!("{value} B")
}

/// A share as a percentage: `91.25%`.
pub fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

/// A duration: `0.4 s`, `2 min 05 s`, `3 h 12 min`.
pub fn duration(duration: Duration) -> String {
    seconds(duration.as_secs_f64())
}

/// As [`duration`], from seconds.
pub fn seconds(seconds: f64) -> String {
    // Rounded first, so that 59.96 s does not become "60.0 s".
    let tenths = (seconds * 10.0).round() / 10.0;
    if tenths < 0.1 && seconds > 0.0 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if tenths < 60.0 {
        return format!("{tenths:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        return format!("{} min {:02} s", whole / 60, whole % 60);
    }
    let minutes = (seconds / 60.0).round() as u64;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

/// A time of this place: `2026-11-24 20:31:05`.
pub fn when(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// As [`when`], to the minute.
pub fn minute(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// A few digits of a number, whatever its size: `0.5`, `-1.234e-5`, `1200`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if (1e-3..1e6).contains(&size) {
        let digits = 3usize.saturating_sub(size.log10().floor().max(0.0) as usize) + usize::from(size < 0.1);
        let text = format!("{value:.digits$}");
        return if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        };
    }
    format!("{value:.3e}")
}

/// A number with all digits that mean something: 0.1 + 0.2 is `0.3`, and not `0.30000000000000004`. Fifteen
/// digits are what every decimal number keeps on its way through a double.
pub fn plain(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let short: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    short.to_string()
}

/// How many there are: `1 stage`, `6 stages`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_sizes_carry_their_prefix() {
        assert_eq!(count(398_136_320), "398.14 M");
        assert_eq!(count(999), "999");
        assert_eq!(count(5_504), "5.50 k");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1_572_864), "1.50 MiB");
    }

    #[test]
    fn numbers_have_a_few_digits_whatever_their_size() {
        let words = [0.0, 0.5, -0.01234, 1.0, 12.3456, 1200.0, 3.2e-5, 1e9, -0.02].map(number);
        assert_eq!(words, ["0", "0.5", "-0.0123", "1", "12.35", "1200", "3.200e-5", "1.000e9", "-0.02"]);
    }

    #[test]
    fn sums_of_decimals_are_written_as_such() {
        assert_eq!(plain(0.1 + 0.2), "0.3");
        assert_eq!(
            [0.1, 1e-7, 123_456.789, 0.0, 2.0, f64::NAN].map(plain),
            ["0.1", "0.0000001", "123456.789", "0", "2", "NaN"]
        );
        assert_eq!(plain(1.0 / 3.0), "0.333333333333333");
    }

    #[test]
    fn durations_never_show_sixty_of_anything() {
        assert_eq!(seconds(0.0121), "12 ms");
        assert_eq!(seconds(59.96), "1 min 00 s");
        assert_eq!(seconds(125.0), "2 min 05 s");
        assert_eq!(seconds(3599.6), "1 h 00 min");
        assert_eq!(seconds(11_520.0), "3 h 12 min");
    }
}
