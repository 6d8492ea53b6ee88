//! Ages and sizes as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};

/// Reads `30d`, `12h`, `2 weeks`; a day has 24 hours.
pub fn age(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "an age is written like 30d, 12h or 2w";
    let span: Span = text.parse().map_err(|_| EXPECTED.to_owned())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let duration = duration.map_err(|_| format!("{EXPECTED}; months and years have no fixed length"))?;
    Duration::try_from(duration).map_err(|_| EXPECTED.to_owned())
}

/// Reads `500M`, `1.5GiB`, `1000`: bytes, with prefixes of 1024 each.
pub fn size(text: &str) -> Result<u64, String> {
    const EXPECTED: &str = "a size is written like 500M, 20G or 1.5T";
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or(unit.strip_suffix('B')).unwrap_or(&unit);
    let power = ["", "K", "M", "G", "T"].iter().position(|known| *known == unit).ok_or(EXPECTED)?;
    let number: f64 = number.parse().map_err(|_| EXPECTED.to_owned())?;
    Ok((number * 1024f64.powi(power as i32)) as u64)
}

/// How long ago something was, in one unit: `5 min`, `3 h`, `12 d`.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(time.as_second()).max(0);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The moment that lies `age` before `now`.
pub fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_in_the_usual_units_and_nothing_else() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("2 weeks"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(age("1d12h"), Ok(Duration::from_secs(36 * 3600)));
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        for wrong in ["", "30", "d", "1 month", "-3d", "3 d ago"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_with_prefixes_of_1024() {
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("1.5k"), Ok(1536));
        assert_eq!(size("20G"), Ok(20 << 30));
        assert_eq!(size("2 TiB"), Ok(2 << 40));
        for wrong in ["", "G", "1.2.3", "10X", "-1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
