//! What an axis spans, and where its ticks are.

use super::shapes::SMALL;
use super::text;

/// What an axis spans, from tick to tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    /// Its beginning.
    pub low: f64,
    /// Its end.
    pub high: f64,
    /// From one tick to the next.
    pub step: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { low: 0.0, high: 1.0, step: 0.25 }
    }
}

/// So many steps an axis has at most.
const STEPS: f64 = 5.0;

impl Range {
    /// The range that holds `values`, from one round number to another, within `limits` where they are given.
    pub fn around(values: impl Iterator<Item = f64>, limits: (f64, f64)) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
            (range.0.min(value), range.1.max(value))
        });
        // A record may hold numbers that no axis can span.
        if low > high || !(high - low).is_finite() {
            return Self::default();
        }
        let (low, high) = (low.clamp(limits.0, limits.1), high.clamp(limits.0, limits.1));
        // A single value, with what rounding adds to it, stands in the middle of some room.
        let is_single = high - low <= 1e-9 * high.abs().max(low.abs());
        let room = if is_single { (high.abs() * 0.05).max(0.5) } else { 0.0 };
        let (low, high) = ((low - room).max(limits.0), (high + room).min(limits.1));
        let least = ((high - low) / STEPS).max(f64::MIN_POSITIVE);
        let power = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|part| part * power);
        let step = step.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power);
        Self { low: (low / step + 1e-9).floor() * step, high: (high / step - 1e-9).ceil() * step, step }
    }

    /// As [`Self::around`], with some room between the ends and the values, so that marks do not lie on the
    /// axes.
    pub fn with_room(values: impl Iterator<Item = f64>, limits: (f64, f64)) -> Self {
        let finite: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let low = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let high = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let room = 0.04 * (high - low);
        let ends = [low - room, high + room].into_iter().filter(|_| high - low > 1e-9 * high.abs());
        Self::around(ends.chain(finite.iter().copied()), limits)
    }

    /// Of whole numbers, such as epochs.
    pub fn whole(low: u64, high: u64) -> Self {
        let high = high.max(low + 1);
        let steps = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000];
        let step =
            steps.into_iter().find(|step| (high - low) <= 8 * step).unwrap_or((high - low).div_ceil(8));
        Self { low: low as f64, high: high as f64, step: step as f64 }
    }

    /// The ticks, from the lowest on.
    pub fn ticks(self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step + 1e-6).floor().clamp(1.0, 100.0) as usize;
        (0..=count).map(|at| self.low + self.step * at as f64).collect()
    }

    /// Where a value stands between the ends: 0 at the low one, 1 at the high one. A value beyond the axis
    /// stands just outside of it, so that no place is infinite.
    pub fn share(self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        if share.is_nan() { 0.0 } else { share.clamp(-0.02, 1.02) }
    }
}

/// An axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// What its values are, with their unit.
    pub name: &'static str,
    /// What it spans.
    pub range: Range,
    /// The unit of a tick: `%` or nothing.
    pub unit: &'static str,
}

impl Axis {
    /// A tick in words: all ticks of an axis have as many decimals as their step needs.
    pub fn tick(self, value: f64) -> String {
        // What rounding leaves of zero is zero.
        let value = if value.abs() < self.range.step * 1e-6 { 0.0 } else { value };
        let whole = |digits: &usize| {
            let scaled = self.range.step * 10f64.powi(*digits as i32);
            (scaled - scaled.round()).abs() < 1e-6 && scaled > 0.5
        };
        let largest = self.range.low.abs().max(self.range.high.abs());
        let number = match (0..=6).find(whole).filter(|_| largest < 1e6) {
            Some(digits) => format!("{value:.digits$}"),
            None => crate::report::format::number(value),
        };
        format!("{}{}", number.replace('-', "−"), self.unit)
    }

    /// How wide its widest tick is.
    pub fn widest(self) -> f64 {
        let ticks: Vec<String> = self.range.ticks().into_iter().map(|value| self.tick(value)).collect();
        text::widest(ticks.iter().map(String::as_str), SMALL)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_holds_its_values_and_has_few_round_steps(values in prop::collection::vec(-1e6f64..1e6, 1..20), scale in -9i32..9) {
            let values: Vec<f64> = values.iter().map(|value| value * 10f64.powi(scale)).collect();
            let range = Range::around(values.iter().copied(), (f64::NEG_INFINITY, f64::INFINITY));
            let slack = range.step * 1e-6;
            prop_assert!(values.iter().all(|value| range.low - slack <= *value && *value <= range.high + slack), "{:?}", range);
            let steps = (range.high - range.low) / range.step;
            prop_assert!((0.5..=STEPS + 2.5).contains(&steps), "{range:?}");
        }
    }

    #[test]
    fn ticks_have_the_decimals_of_their_step() {
        let ticks = |values: &[f64]| -> Vec<String> {
            let range = Range::around(values.iter().copied(), (f64::NEG_INFINITY, f64::INFINITY));
            let axis = Axis { name: "", range, unit: "" };
            range.ticks().into_iter().map(|tick| axis.tick(tick)).collect()
        };
        assert_eq!(ticks(&[0.0, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(ticks(&[-20.0, 80.0]), ["−20", "0", "20", "40", "60", "80"]);
        assert_eq!(ticks(&[1.3024, 1.3026]), ["1.30240", "1.30245", "1.30250", "1.30255", "1.30260"]);
        // The mean of equal values is equal to them but for rounding.
        assert_eq!(ticks(&[40.0, 40.0 + 1e-14]), ["38", "39", "40", "41", "42"]);
    }

    #[test]
    fn ends_of_ranges_are_round() {
        let around = |values: &[f64]| Range::around(values.iter().copied(), (0.0, 100.0));
        assert_eq!(around(&[0.197, 0.999]), Range { low: 0.0, high: 1.0, step: 0.2 });
        assert_eq!(around(&[39.0, 76.4]), Range { low: 30.0, high: 80.0, step: 10.0 });
        assert_eq!(around(&[50.0]), Range { low: 47.0, high: 53.0, step: 1.0 });
        assert_eq!(around(&[]), Range::default());
        assert_eq!(around(&[f64::NAN, f64::INFINITY]), Range::default());
        let hostile = Range::around([-1e308, 1e308].into_iter(), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(hostile, Range::default());
        assert_eq!([f64::NAN, f64::INFINITY, -1e308].map(|value| hostile.share(value)), [0.0, 1.02, -0.02]);
        assert_eq!(around(&[-20.0, 130.0]), Range { low: 0.0, high: 100.0, step: 20.0 }, "limits hold");
        let room = Range::with_room([79.0, 83.0].into_iter(), (0.0, 100.0));
        assert_eq!(room, Range { low: 78.0, high: 84.0, step: 1.0 });
        assert_eq!(Range::with_room([98.0, 100.0].into_iter(), (0.0, 100.0)).high, 100.0);
        assert_eq!(Range::whole(1, 6), Range { low: 1.0, high: 6.0, step: 1.0 });
        assert_eq!(Range::whole(1, 160), Range { low: 1.0, high: 160.0, step: 20.0 });
        assert_eq!(Range::whole(1, 160).ticks().len(), 8);
    }
}
