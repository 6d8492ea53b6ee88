//! What a table's numbers mean, in sentences for its foot: what is counted, what the intervals hold for,
//! whose times they are.

use std::collections::BTreeSet;

use super::baseline::Baseline;
use super::format::plural;
use super::observations::Measured;
use super::table::{Metric, Row};

/// What is counted and compared, a sentence each, without full stops.
pub fn uncertainty(rows: &[Row], baseline: Option<&Baseline>) -> Vec<String> {
    let mut words = Vec::new();
    if rows.iter().any(|row| row.n > 1 || row.points > row.n) {
        words.push(
            "n: different networks; points that share a network count it once; \u{b1}: their standard deviation"
                .to_owned(),
        );
    }
    let compared: Vec<_> = rows.iter().filter_map(|row| row.against_baseline).collect();
    let (Some(baseline), false) = (baseline, compared.is_empty()) else { return words };
    let tested = compared.iter().filter(|found| found.p.is_some()).count();
    let seeds: BTreeSet<usize> = compared.iter().map(|found| found.seeds).collect();
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    if tested == 0 {
        words.push(format!(
            "differences to {baseline} come from one seed or one baseline network: there is no confidence interval"
        ));
        return words;
    }
    words.push(format!(
        "differences to {baseline}: points of accuracy, pair by pair, with 95% confidence intervals of Student's t \
         over {} seeds, as networks of one seed are not independent",
        seeds.join(" to ")
    ));
    words.push(match tested {
        1 => "*: differs from the baseline at the 5% level".to_owned(),
        many => format!(
            "{} with one baseline: each interval holds for its row alone; *: differs at the 5% level over all {many} \
             (Holm's correction)",
            plural(many, "comparison")
        ),
    });
    words
}

/// On which machines latency was measured, and what to keep in mind, a sentence each, without full stops.
/// Empty where no shown metric is a latency.
pub fn measured_on(rows: &[Row], metrics: &[Metric]) -> Vec<String> {
    if !metrics.iter().any(|metric| metric.is_latency()) {
        return Vec::new();
    }
    let all: BTreeSet<&Measured> = rows.iter().flat_map(|row| &row.measured).collect();
    let machines: BTreeSet<String> = all.iter().map(|measured| measured.machine.to_string()).collect();
    let mut words: Vec<String> =
        machines.iter().map(|machine| format!("latency: median, measured on {machine}")).collect();
    if machines.len() > 1 {
        words.push(
            "warning: these latencies come from several machines or numbers of threads and must not be compared; \
             `runner run --force EVAL` measures again"
                .to_owned(),
        );
    }
    let noisy = rows.iter().filter(|row| row.measured.iter().any(|measured| measured.noisy)).count();
    if noisy > 0 {
        words.push(format!(
            "warning: the latency of {} spreads by more than 20% over its passes: the machine was busy",
            plural(noisy, "row")
        ));
    }
    words
}
