//! The time that a plan takes, in words.

use crate::plan::{Estimate, Total};
use crate::report::format::{plural, seconds};

/// A range whose ends are nearer than this factor is one number.
const NARROW: f64 = 1.6;
/// At most this many names of stages whose time is unknown.
const NAMED: usize = 5;

/// A time as a person says it: `about 12 min`, `10 min to 25 min`.
pub fn span(estimate: &Estimate) -> String {
    let (low, high) = (rough(estimate.low), rough(estimate.high));
    if estimate.high <= estimate.low * NARROW || low == high {
        return format!("about {}", rough(estimate.seconds));
    }
    format!("{low} to {high}")
}

/// A time without digits that nobody can know.
pub fn rough(time: f64) -> String {
    match time {
        time if time < 1.0 => "1 s".to_owned(),
        time if time < 60.0 => format!("{time:.0} s"),
        time if time < 600.0 => seconds((time / 10.0).round() * 10.0),
        time if time < 3570.0 => format!("{:.0} min", time / 60.0),
        time if time < 36_000.0 => seconds((time / 60.0).round() * 60.0),
        time if time < 172_800.0 => format!("{:.0} h", time / 3600.0),
        time => format!("{:.0} days", time / 86_400.0),
    }
}

/// The time of a whole plan, and how it was estimated.
pub(super) fn sentence(total: &Total, to_run: usize) -> Option<String> {
    if to_run == 0 {
        return None;
    }
    let unknown = || {
        let named = total.unknown.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = total.unknown.len().saturating_sub(NAMED);
        if more > 0 { format!("{named} and {more} more") } else { named }
    };
    let Some(estimate) = &total.estimate else {
        return Some(format!("time: unknown; the cache has no earlier result of {}", unknown()));
    };
    let elsewhere = if estimate.elsewhere { ", some from another machine or device" } else { "" };
    let mut words = format!(
        "time: {}, one stage at a time; from the nearest earlier results of the same kinds{elsewhere}, \
         scaled by images and FLOPs",
        span(estimate)
    );
    if !total.unknown.is_empty() {
        words += &format!("; unknown for {}", unknown());
    }
    Some(words)
}

/// The time of one stage, beside its reasons.
pub(super) fn of_stage(estimate: Option<Estimate>) -> String {
    estimate.map_or(String::new(), |estimate| format!("  ({})", span(&estimate)))
}

/// How many of the stages to run are stale, for `--check`.
pub(super) fn stale(to_run: usize, stages: usize) -> String {
    format!("stale: {to_run} of {} would run", plural(stages, "stage"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(low: f64, seconds: f64, high: f64) -> Estimate {
        Estimate { seconds, low, high, results: 1, elsewhere: false }
    }

    #[test]
    fn a_narrow_range_is_one_number_and_a_wide_one_two() {
        assert_eq!(span(&estimate(500.0, 600.0, 700.0)), "about 10 min");
        assert_eq!(span(&estimate(600.0, 900.0, 1500.0)), "10 min to 25 min");
        assert_eq!(span(&estimate(0.001, 0.002, 0.01)), "about 1 s");
        assert_eq!(span(&estimate(3.0, 6.0, 11.2)), "3 s to 11 s");
        assert_eq!(rough(100.0), "1 min 40 s");
        assert_eq!(rough(7_260.0), "2 h 01 min");
        assert_eq!(rough(50_000.0), "14 h");
        assert_eq!(rough(400_000.0), "5 days");
    }

    #[test]
    fn what_is_unknown_is_named() {
        let unknown = vec!["slimming".to_owned()];
        let none = Total { estimate: None, unknown: unknown.clone() };
        assert_eq!(sentence(&none, 1).unwrap(), "time: unknown; the cache has no earlier result of slimming");
        let some = Total { estimate: Some(estimate(50.0, 60.0, 70.0)), unknown };
        assert!(sentence(&some, 2).unwrap().ends_with("; unknown for slimming"));
        assert_eq!(sentence(&some, 0), None);
    }
}
