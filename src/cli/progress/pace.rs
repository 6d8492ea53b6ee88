//! How long a stage still takes.

use std::time::{Duration, Instant};

/// The pace of a stage since it began or went on in this process. Steps that an earlier process did count for nothing:
/// they took none of our time.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    first: u64,
    since: Instant,
}

impl Pace {
    /// A pace that begins with step `first`.
    pub fn new(first: u64, since: Instant) -> Self {
        Self { first, since }
    }

    /// The time to the last step; unknown before the second one.
    pub fn left(&self, step: u64, steps: u64, now: Instant) -> Option<Duration> {
        let done = step.checked_sub(self.first).filter(|done| *done > 0)?;
        let each = now.duration_since(self.since).as_secs_f64() / done as f64;
        Duration::try_from_secs_f64(each * steps.saturating_sub(step) as f64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_before_a_resume_do_not_count() {
        let start = Instant::now();
        let pace = Pace::new(900, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(pace.left(900, 1000, after(5)), None);
        assert_eq!(pace.left(910, 1000, after(20)), Some(Duration::from_secs(180)));
        assert_eq!(pace.left(1000, 1000, after(200)), Some(Duration::ZERO));
    }

    #[test]
    fn a_step_that_goes_back_is_no_pace() {
        assert_eq!(Pace::new(5, Instant::now()).left(3, 10, Instant::now()), None);
    }
}
