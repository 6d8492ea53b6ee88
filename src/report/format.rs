//! Numbers as people read them.

use std::time::Duration;

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
    fn durations_never_show_sixty_of_anything() {
        assert_eq!(seconds(0.0121), "12 ms");
        assert_eq!(seconds(59.96), "1 min 00 s");
        assert_eq!(seconds(125.0), "2 min 05 s");
        assert_eq!(seconds(3599.6), "1 h 00 min");
        assert_eq!(seconds(11_520.0), "3 h 12 min");
    }
}
